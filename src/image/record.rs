//! The record of one image.

use std::{
    borrow::Cow,
    collections::{BTreeMap, BTreeSet},
    fmt,
};

use serde::{Deserialize, Serialize};

use super::{AttemptId, ImageId, Member, NodeId, RemovalId, Status, StoreId, Timestamp, Visibility};

/// How the names of properties begin that are the service's own (Glance's constant has no underscore at its end).
pub const INTERNAL_PROPERTY_PREFIX: &str = "os_glance";

/// Everything the catalogue knows of one image.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Image {
    /// Its id.
    pub id: ImageId,
    /// Where it is in its life.
    pub status: Status,
    /// The name people gave it; not unique.
    pub name: Option<String>,
    /// Who can see it.
    pub visibility: Visibility,
    /// Deletion is refused while this is set.
    pub protected: bool,
    /// Left out of lists that do not ask for hidden images.
    pub hidden: bool,
    /// The project that owns it; images without an owner come from old Glance databases.
    pub owner: Option<String>,
    /// The format of the disk, by Glance's names.
    pub disk_format: Option<String>,
    /// The format of the container around the disk, by Glance's names.
    pub container_format: Option<String>,
    /// Disk needed to boot it, in GiB.
    pub min_disk: u32,
    /// Memory needed to boot it, in MiB.
    pub min_ram: u32,
    /// What is known of its data; `None` before there is any.
    pub content: Option<Content>,
    /// Where its data is, best first.
    pub locations: Vec<Location>,
    /// Locations that were removed and whose data may not be gone yet: the image takes none of them back.
    pub retired: Vec<Retired>,
    /// Free labels.
    pub tags: BTreeSet<String>,
    /// Custom properties.
    pub properties: BTreeMap<String, String>,
    /// The projects it is shared with.
    pub members: BTreeMap<String, Member>,
    /// Who is about to finish a transient status.
    pub claim: Option<Claim>,
    /// When it was registered.
    pub created_at: Timestamp,
    /// When it was last changed.
    pub updated_at: Timestamp,
    /// Which state of the record this is.
    pub revision: Revision,
}

impl Image {
    /// A queued image without data, owned by nobody, shared with nobody, with the defaults of the API.
    pub fn new(id: ImageId, now: Timestamp) -> Self {
        Self {
            id,
            status: Status::Queued,
            name: None,
            visibility: Visibility::Shared,
            protected: false,
            hidden: false,
            owner: None,
            disk_format: None,
            container_format: None,
            min_disk: 0,
            min_ram: 0,
            content: None,
            locations: Vec::new(),
            retired: Vec::new(),
            tags: BTreeSet::new(),
            properties: BTreeMap::new(),
            members: BTreeMap::new(),
            claim: None,
            created_at: now,
            updated_at: now,
            revision: Revision::FIRST,
        }
    }

    /// The size of its data in bytes; `None` before there is any.
    pub fn size(&self) -> Option<u64> {
        self.content.as_ref().map(|content| content.size)
    }

    /// The attempt whose data waits for an import: it is whole, and kept by the claim's node.
    pub fn staged(&self) -> Option<AttemptId> {
        let content = self.content.as_ref()?;
        (self.status == Status::Uploading).then_some(content.attempt)
    }
}

/// What is known of an image's data, all of it verified before the image became active.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Content {
    /// The attempt that brought it; how an interrupted upload finds out that it had finished.
    pub attempt: AttemptId,
    /// Length in bytes.
    pub size: u64,
    /// The size a virtual machine sees, in bytes.
    pub virtual_size: Option<u64>,
    /// MD5 in lower-case hex.
    pub checksum: Option<String>,
    /// The algorithm of `hash_value`, by hashlib's name.
    pub hash_algorithm: Option<String>,
    /// The secure hash in lower-case hex.
    pub hash_value: Option<String>,
}

/// Schemes of addresses that Glance has written keys into.
const WITH_KEYS: &[&str] = &["s3", "s3+http", "s3+https", "swift", "swift+http", "swift+https"];

/// One place where the data of an image is.
///
/// The URL may carry credentials, so `Debug` shows its scheme only.
#[derive(Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Location {
    /// The store; `None` for a location of an old single-store Glance.
    pub store: Option<StoreId>,
    /// The store's own address of the data: a secret as far as clients are concerned.
    pub url: String,
    /// Free key-value pairs kept with the location.
    pub metadata: BTreeMap<String, String>,
}

impl Location {
    /// The URL for people: Glance has written keys into addresses of S3 (`s3://KEY:SECRET@host/bucket/id`) and Swift
    /// (`swift+https://project:user:key@host/v3/container/id`), and nobody needs them to read the data.
    pub fn shown_url(&self) -> Cow<'_, str> {
        let Some((scheme, rest)) = self.url.split_once("://") else {
            return Cow::Borrowed(&self.url);
        };
        if !WITH_KEYS.iter().any(|one| scheme.eq_ignore_ascii_case(one)) {
            return Cow::Borrowed(&self.url);
        }
        // A secret may hold anything, a host no `@`.
        match rest.rsplit_once('@') {
            Some((_, place)) => Cow::Owned(format!("{scheme}://{place}")),
            None => Cow::Borrowed(&self.url),
        }
    }

    /// Whether the data is the image's own, to be deleted with it: a blob belongs to the image whose id it is named after.
    /// Every store names what it writes so. Whatever has another name was there before the image, and stays.
    pub fn is_own_of(&self, image: ImageId) -> bool {
        let id = image.to_string();
        path(&self.url).any(|segment| segment.eq_ignore_ascii_case(&id))
    }
}

/// The segments of a URL's path.
fn path(url: &str) -> impl Iterator<Item = &str> {
    let rest = url.split_once("://").map_or("", |(_, rest)| rest);
    // The first segment is the host, or nothing.
    rest.split('/').skip(1)
}

impl fmt::Debug for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = self.url.split_once("://").map_or("?", |(scheme, _)| scheme);
        f.debug_struct("Location")
            .field("store", &self.store)
            .field("url", &format_args!("{scheme}://…"))
            .finish_non_exhaustive()
    }
}

/// A location that was removed from an image, until its data is gone.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Retired {
    /// Which removal.
    pub removal: RemovalId,
    /// Where the data is, or was.
    pub location: Location,
}

/// The right, and the duty, of one attempt to bring an image out of a transient status.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Claim {
    /// The attempt.
    pub attempt: AttemptId,
    /// The node that runs it.
    pub node: NodeId,
    /// When other nodes may take it for dead.
    pub expires_at: Timestamp,
    /// Whether it may still finish.
    pub phase: ClaimPhase,
}

/// Whether a claim may still finish.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum ClaimPhase {
    /// The attempt may commit its content.
    Open,
    /// It may not any more: its bytes are being removed. A commit that was delayed on its way comes too late.
    Fenced,
}

/// Counts the changes of one record. A change that was computed from an older revision is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Revision(u64);

impl Revision {
    /// The revision of a new record.
    pub const FIRST: Self = Self(1);

    /// The revision with this number.
    pub const fn from_number(number: u64) -> Self {
        Self(number)
    }

    /// Its number.
    pub const fn number(self) -> u64 {
        self.0
    }

    /// The revision after this one.
    pub const fn next(self) -> Self {
        Self(self.0.wrapping_add(1))
    }
}

/// What the catalogue holds under an id.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Entry {
    /// An image.
    Live(Image),
    /// What a deleted image left: the id is never used again, and a walk whose marker it was goes on from there.
    Deleted(Tombstone),
}

impl Entry {
    /// The image, unless it was deleted.
    pub fn live(&self) -> Option<&Image> {
        match self {
            Self::Live(image) => Some(image),
            Self::Deleted(_) => None,
        }
    }

    /// The image as it was last in lists: where a walk that stopped at it goes on, deleted or not.
    pub fn last_listed(self) -> Image {
        match self {
            Self::Live(image) => image,
            Self::Deleted(tombstone) => Image {
                status: tombstone.last_status,
                ..tombstone.image
            },
        }
    }
}

/// What a deleted image left.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Tombstone {
    /// The image as it was, without claim and with status `deleted`; or, while its data is kept for a time,
    /// `pending_delete`: to clients it is as deleted, but it can be restored.
    pub image: Image,
    /// The status it was deleted from: its place in lists that are sorted by status, and what it is restored to.
    pub last_status: Status,
    /// When it was deleted.
    pub deleted_at: Timestamp,
}

impl Tombstone {
    /// Whether the data is still there, and the image can be restored.
    pub fn is_pending(&self) -> bool {
        self.image.status == Status::PendingDelete
    }
}
