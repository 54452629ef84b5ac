//! The first version of the stored record. Nothing here may change: another form is another version.
//!
//! The types mirror those of the domain, so that a change there cannot change what is stored; they borrow, so
//! that nothing is copied on the way in. The form is postcard's: fields in order, numbers as varints, text and
//! lists with their length, ids as their 16 bytes.

use serde::{Deserialize, Serialize};

use super::CorruptRecord;
use crate::image::{
    AttemptId, Claim, ClaimPhase, Content, Entry, Image, ImageId, Location, Member, MemberStatus, NodeId,
    Revision, Status, StoreId, Timestamp, Tombstone, Visibility,
};

pub(super) const VERSION: u8 = 1;

#[derive(Serialize, Deserialize)]
pub(super) struct Record<'a> {
    #[serde(borrow)]
    image: StoredImage<'a>,
    deleted: Option<StoredDeletion>,
}

#[derive(Serialize, Deserialize)]
struct StoredDeletion {
    at: u64,
    last_status: u8,
}

#[derive(Serialize, Deserialize)]
struct StoredImage<'a> {
    id: [u8; 16],
    status: u8,
    name: Option<&'a str>,
    visibility: u8,
    protected: bool,
    hidden: bool,
    owner: Option<&'a str>,
    disk_format: Option<&'a str>,
    container_format: Option<&'a str>,
    min_disk: u32,
    min_ram: u32,
    #[serde(borrow)]
    content: Option<StoredContent<'a>>,
    #[serde(borrow)]
    locations: Vec<StoredLocation<'a>>,
    #[serde(borrow)]
    tags: Vec<&'a str>,
    #[serde(borrow)]
    properties: Vec<(&'a str, &'a str)>,
    #[serde(borrow)]
    members: Vec<StoredMember<'a>>,
    claim: Option<StoredClaim>,
    created_at: u64,
    updated_at: u64,
    revision: u64,
}

#[derive(Serialize, Deserialize)]
struct StoredContent<'a> {
    attempt: [u8; 16],
    size: u64,
    virtual_size: Option<u64>,
    checksum: Option<&'a str>,
    hash_algorithm: Option<&'a str>,
    hash_value: Option<&'a str>,
}

#[derive(Serialize, Deserialize)]
pub(super) struct StoredLocation<'a> {
    store: Option<&'a str>,
    url: &'a str,
    #[serde(borrow)]
    metadata: Vec<(&'a str, &'a str)>,
}

#[derive(Serialize, Deserialize)]
struct StoredMember<'a> {
    project: &'a str,
    status: u8,
    created_at: u64,
    updated_at: u64,
}

#[derive(Serialize, Deserialize)]
struct StoredClaim {
    attempt: [u8; 16],
    node: [u8; 16],
    expires_at: u64,
    phase: u8,
}

/// The entry, and the id that the record itself names.
pub(super) fn decode(bytes: &[u8]) -> Result<(Entry, ImageId), CorruptRecord> {
    let (record, rest): (Record<'_>, _) = postcard::take_from_bytes(bytes).map_err(CorruptRecord::Form)?;
    if !rest.is_empty() {
        return Err(CorruptRecord::Trailing(rest.len()));
    }
    entry(record)
}

/// The entry of a record.
pub(super) fn entry(record: Record<'_>) -> Result<(Entry, ImageId), CorruptRecord> {
    let id = ImageId::from_bytes(record.image.id);
    let image = Image::try_from(record.image)?;
    let entry = match record.deleted {
        None => Entry::Live(image),
        Some(deleted) => Entry::Deleted(Tombstone {
            image,
            last_status: status(deleted.last_status)?,
            deleted_at: Timestamp::from_micros(deleted.at),
        }),
    };
    Ok((entry, id))
}

impl<'a> From<&'a Entry> for Record<'a> {
    fn from(entry: &'a Entry) -> Self {
        match entry {
            Entry::Live(image) => Self {
                image: image.into(),
                deleted: None,
            },
            Entry::Deleted(tombstone) => Self {
                image: (&tombstone.image).into(),
                deleted: Some(StoredDeletion {
                    at: tombstone.deleted_at.as_micros(),
                    last_status: status_code(tombstone.last_status),
                }),
            },
        }
    }
}

impl<'a> From<&'a Image> for StoredImage<'a> {
    fn from(image: &'a Image) -> Self {
        Self {
            id: *image.id.as_bytes(),
            status: status_code(image.status),
            name: image.name.as_deref(),
            visibility: visibility_code(image.visibility),
            protected: image.protected,
            hidden: image.hidden,
            owner: image.owner.as_deref(),
            disk_format: image.disk_format.as_deref(),
            container_format: image.container_format.as_deref(),
            min_disk: image.min_disk,
            min_ram: image.min_ram,
            content: image.content.as_ref().map(Into::into),
            locations: image.locations.iter().map(Into::into).collect(),
            tags: image.tags.iter().map(String::as_str).collect(),
            properties: pairs(&image.properties),
            members: image.members.iter().map(Into::into).collect(),
            claim: image.claim.map(Into::into),
            created_at: image.created_at.as_micros(),
            updated_at: image.updated_at.as_micros(),
            revision: image.revision.number(),
        }
    }
}

impl TryFrom<StoredImage<'_>> for Image {
    type Error = CorruptRecord;

    fn try_from(stored: StoredImage<'_>) -> Result<Self, CorruptRecord> {
        let owned = |text: Option<&str>| text.map(str::to_owned);
        Ok(Self {
            id: ImageId::from_bytes(stored.id),
            status: status(stored.status)?,
            name: owned(stored.name),
            visibility: visibility(stored.visibility)?,
            protected: stored.protected,
            hidden: stored.hidden,
            owner: owned(stored.owner),
            disk_format: owned(stored.disk_format),
            container_format: owned(stored.container_format),
            min_disk: stored.min_disk,
            min_ram: stored.min_ram,
            content: stored.content.map(Into::into),
            locations: stored.locations.into_iter().map(Into::into).collect(),
            retired: Vec::new(),
            tags: stored.tags.into_iter().map(str::to_owned).collect(),
            properties: map(stored.properties),
            members: stored.members.into_iter().map(member).collect::<Result<_, _>>()?,
            claim: stored.claim.map(claim).transpose()?,
            created_at: Timestamp::from_micros(stored.created_at),
            updated_at: Timestamp::from_micros(stored.updated_at),
            revision: Revision::from_number(stored.revision),
        })
    }
}

impl<'a> From<&'a Content> for StoredContent<'a> {
    fn from(content: &'a Content) -> Self {
        Self {
            attempt: *content.attempt.as_uuid().as_bytes(),
            size: content.size,
            virtual_size: content.virtual_size,
            checksum: content.checksum.as_deref(),
            hash_algorithm: content.hash_algorithm.as_deref(),
            hash_value: content.hash_value.as_deref(),
        }
    }
}

impl From<StoredContent<'_>> for Content {
    fn from(stored: StoredContent<'_>) -> Self {
        Self {
            attempt: AttemptId::from_bytes(stored.attempt),
            size: stored.size,
            virtual_size: stored.virtual_size,
            checksum: stored.checksum.map(str::to_owned),
            hash_algorithm: stored.hash_algorithm.map(str::to_owned),
            hash_value: stored.hash_value.map(str::to_owned),
        }
    }
}

impl<'a> From<&'a Location> for StoredLocation<'a> {
    fn from(location: &'a Location) -> Self {
        Self {
            store: location.store.as_ref().map(StoreId::as_str),
            url: &location.url,
            metadata: pairs(&location.metadata),
        }
    }
}

impl From<StoredLocation<'_>> for Location {
    fn from(stored: StoredLocation<'_>) -> Self {
        Self {
            store: stored.store.map(StoreId::new),
            url: stored.url.to_owned(),
            metadata: map(stored.metadata),
        }
    }
}

impl<'a> From<(&'a String, &'a Member)> for StoredMember<'a> {
    fn from((project, member): (&'a String, &'a Member)) -> Self {
        Self {
            project,
            status: match member.status {
                MemberStatus::Pending => 0,
                MemberStatus::Accepted => 1,
                MemberStatus::Rejected => 2,
            },
            created_at: member.created_at.as_micros(),
            updated_at: member.updated_at.as_micros(),
        }
    }
}

fn member(stored: StoredMember<'_>) -> Result<(String, Member), CorruptRecord> {
    let status = match stored.status {
        0 => MemberStatus::Pending,
        1 => MemberStatus::Accepted,
        2 => MemberStatus::Rejected,
        code => return Err(CorruptRecord::Code(code, "member status")),
    };
    let member = Member {
        status,
        created_at: Timestamp::from_micros(stored.created_at),
        updated_at: Timestamp::from_micros(stored.updated_at),
    };
    Ok((stored.project.to_owned(), member))
}

impl From<Claim> for StoredClaim {
    fn from(claim: Claim) -> Self {
        Self {
            attempt: *claim.attempt.as_uuid().as_bytes(),
            node: *claim.node.as_uuid().as_bytes(),
            expires_at: claim.expires_at.as_micros(),
            phase: match claim.phase {
                ClaimPhase::Open => 0,
                ClaimPhase::Fenced => 1,
            },
        }
    }
}

fn claim(stored: StoredClaim) -> Result<Claim, CorruptRecord> {
    let phase = match stored.phase {
        0 => ClaimPhase::Open,
        1 => ClaimPhase::Fenced,
        code => return Err(CorruptRecord::Code(code, "phase of a claim")),
    };
    Ok(Claim {
        attempt: AttemptId::from_bytes(stored.attempt),
        node: NodeId::from_bytes(stored.node),
        expires_at: Timestamp::from_micros(stored.expires_at),
        phase,
    })
}

const fn status_code(status: Status) -> u8 {
    match status {
        Status::Queued => 0,
        Status::Saving => 1,
        Status::Active => 2,
        Status::Killed => 3,
        Status::Deleted => 4,
        Status::Uploading => 5,
        Status::Importing => 6,
        Status::PendingDelete => 7,
        Status::Deactivated => 8,
    }
}

fn status(code: u8) -> Result<Status, CorruptRecord> {
    Ok(match code {
        0 => Status::Queued,
        1 => Status::Saving,
        2 => Status::Active,
        3 => Status::Killed,
        4 => Status::Deleted,
        5 => Status::Uploading,
        6 => Status::Importing,
        7 => Status::PendingDelete,
        8 => Status::Deactivated,
        _ => return Err(CorruptRecord::Code(code, "status")),
    })
}

const fn visibility_code(visibility: Visibility) -> u8 {
    match visibility {
        Visibility::Community => 0,
        Visibility::Public => 1,
        Visibility::Private => 2,
        Visibility::Shared => 3,
    }
}

fn visibility(code: u8) -> Result<Visibility, CorruptRecord> {
    Ok(match code {
        0 => Visibility::Community,
        1 => Visibility::Public,
        2 => Visibility::Private,
        3 => Visibility::Shared,
        _ => return Err(CorruptRecord::Code(code, "visibility")),
    })
}

type Map = std::collections::BTreeMap<String, String>;

fn pairs(map: &Map) -> Vec<(&str, &str)> {
    map.iter()
        .map(|(key, value)| (key.as_str(), value.as_str()))
        .collect()
}

fn map(pairs: Vec<(&str, &str)>) -> Map {
    let owned = |(key, value): (&str, &str)| (key.to_owned(), value.to_owned());
    pairs.into_iter().map(owned).collect()
}
