//! The layout of the database. No other module makes or takes apart a key.
//!
//! ```text
//! table   key                                                               value
//! ─────   ───────────────────────────────────────────────────────────────   ─────────────────────────────
//! meta    'm' name                                                          "schema": u32, "group": u64, "usage": u64, u32
//! entry   'e' image id                                                      the record, live or tombstone
//! claim   'c' image id                                                      nothing
//! pending 'd' deleted_at (u64) ── image id, of those that can be restored   nothing
//! index   'x' scope ─────────────────── sort key ── value ─────── created_at ── image id     nothing
//!              'v' visibility (1)       1 byte      text or u64   u64           16 bytes
//!              'o' text, the owner                  or nothing
//!              'm' text, a project it is shared with
//! term    't' digest of what an image may be looked up by ── image id          nothing
//! usage   'u' name of a project                                             four u64
//! names   'n' name of a namespace of metadata definitions                   the record, with all that is in it
//! types   'r' name of a resource type                                       the record
//! task    'k' id of a task                                                  the record
//!
//! text    its bytes, 00 as 00 FF, then 00 00: sorts as the text does, and none is a prefix of another
//! u64     eight bytes, big end first
//! ```
//!
//! All tables share one column family. Each family would have its own buffer, files and place in the log; then a log
//! lives as long as the idlest family, an open makes a dozen more synced files, and a recovery has to bring
//! families back to the same instant. One has none of that, and a record and its index entries
//! cannot part.
//!
//! A term is a tag, a custom property with its value, a name or a hash: the first 16 bytes of the BLAKE3 digest of its kind
//! and text stand for it, whatever its length. Two terms with one digest would cost time and no truth: what is found is
//! compared with what is wanted.
//!
//! Every live image stands in the scope of its visibility, of its owner, and, while it is shared, of each project it is
//! shared with; in each of them once per sort key. A list is the merged walk of at most four scopes.

use std::collections::BTreeSet;

use crate::{
    image::{Entry, Image, ImageId, Listing, TaskId, Timestamp, Viewer, Visibility, VisibilityFilter},
    metadata::{Filter, SortKey},
};

const META: u8 = b'm';
const ENTRY: u8 = b'e';
const CLAIM: u8 = b'c';
const PENDING: u8 = b'd';
const INDEX: u8 = b'x';
const TERM: u8 = b't';
const NAMESPACE: u8 = b'n';
const RESOURCE_TYPE: u8 = b'r';
const PROJECT_USAGE: u8 = b'u';
const TASK: u8 = b'k';

/// Under it stands the version of this layout.
pub(super) const SCHEMA: &[u8] = b"mschema";
/// Under it stands the number of the last commit group: whether it is there after a write that failed tells whether
/// the group was applied.
pub(super) const GROUP: &[u8] = b"mgroup";
/// Under it stands the number of the last group that the figures of [`usage`] follow from, and the way of counting.
pub(super) const USAGE: &[u8] = b"musage";
const _: () =
    assert!(matches!(SCHEMA, [META, ..]) && matches!(GROUP, [META, ..]) && matches!(USAGE, [META, ..]));

/// The first byte of every entry's key.
pub(super) const ENTRIES: &[u8] = &[ENTRY];

/// The first byte of the key of every project's figures.
pub(super) const USAGES: &[u8] = &[PROJECT_USAGE];

/// The key of what a project's images take up.
pub(super) fn usage(project: &str) -> Vec<u8> {
    [USAGES, project.as_bytes()].concat()
}

/// The first byte of every claim's key.
pub(super) const CLAIMS: &[u8] = &[CLAIM];

/// The first byte of the key of every image that waits to be deleted.
pub(super) const PENDING_IMAGES: &[u8] = &[PENDING];

/// The key of an image that was deleted at this instant and can be restored. They sort by the instant.
pub(super) fn pending(deleted_at: Timestamp, id: ImageId) -> Vec<u8> {
    let at = deleted_at.as_micros().to_be_bytes();
    [PENDING_IMAGES, at.as_slice(), id.as_bytes().as_slice()].concat()
}

/// The first byte of every namespace's key.
pub(super) const NAMESPACES: &[u8] = &[NAMESPACE];
/// The first byte of every resource type's key.
pub(super) const RESOURCE_TYPES: &[u8] = &[RESOURCE_TYPE];

/// The first byte of every task's key.
pub(super) const TASKS: &[u8] = &[TASK];

/// The key of a task.
pub(super) fn task(id: TaskId) -> Vec<u8> {
    [TASKS, id.as_bytes().as_slice()].concat()
}

/// The key of a namespace of metadata definitions.
pub(super) fn namespace(name: &str) -> Vec<u8> {
    [NAMESPACES, name.as_bytes()].concat()
}

/// The key of a resource type.
pub(super) fn resource_type(name: &str) -> Vec<u8> {
    [RESOURCE_TYPES, name.as_bytes()].concat()
}

/// The name in the key of a namespace or resource type; `None` when it is no text.
pub(super) fn name(key: &[u8]) -> Option<&str> {
    let (_, name) = key.split_first()?;
    std::str::from_utf8(name).ok()
}

/// The key of what is under an image id.
pub(super) fn entry(id: ImageId) -> Vec<u8> {
    [ENTRIES, id.as_bytes().as_slice()].concat()
}

fn claim(id: ImageId) -> Vec<u8> {
    [&[CLAIM], id.as_bytes().as_slice()].concat()
}

/// The image that a claim's or an index entry's key ends in; `None` when it is too short to.
pub(super) fn image_id(key: &[u8]) -> Option<ImageId> {
    key.last_chunk::<16>().map(|id| ImageId::from_bytes(*id))
}

/// What an image can be found by without walking a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Term<'a> {
    Name(&'a str),
    Tag(&'a str),
    Property(&'a str, &'a str),
    Checksum(&'a str),
    HashValue(&'a str),
}

impl<'a> Term<'a> {
    /// The terms that a live image stands under.
    fn of(image: &'a Image) -> impl Iterator<Item = Self> {
        let content = image.content.as_ref();
        let checksum = content.and_then(|content| content.checksum.as_deref());
        let hash = content.and_then(|content| content.hash_value.as_deref());
        let properties = image.properties.iter();
        (image.name.as_deref().map(Self::Name).into_iter())
            .chain(image.tags.iter().map(|tag| Self::Tag(tag)))
            .chain(properties.map(|(name, value)| Self::Property(name, value)))
            .chain(checksum.map(Self::Checksum))
            .chain(hash.map(Self::HashValue))
    }

    /// What the keys of the images under this term begin with. What follows it is an image's id.
    pub(super) fn prefix(self) -> Vec<u8> {
        let (kind, name, value) = match self {
            Self::Name(value) => (b'n', "", value),
            Self::Tag(value) => (b't', "", value),
            Self::Property(name, value) => (b'p', name, value),
            Self::Checksum(value) => (b'c', "", value),
            Self::HashValue(value) => (b'h', "", value),
        };
        let mut whole = Vec::with_capacity(name.len().saturating_add(value.len()).saturating_add(8));
        whole.push(kind);
        text(&mut whole, name);
        whole.extend(value.as_bytes());
        let digest = blake3::hash(&whole);
        let (short, _) = digest.as_bytes().split_at(16);
        [&[TERM], short].concat()
    }
}

/// The key of an image under a term.
pub(super) fn under(prefix: &[u8], id: ImageId) -> Vec<u8> {
    [prefix, id.as_bytes().as_slice()].concat()
}

/// A set of images that has its own index entries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Scope<'a> {
    /// The images of one visibility. Together they are all images.
    Visibility(Visibility),
    /// The images of one owner.
    Owner(&'a str),
    /// The shared images that a project is a member of, in whatever status.
    Member(&'a str),
}

impl<'a> Scope<'a> {
    /// The scopes that a live image stands in.
    fn of(image: &'a Image) -> impl Iterator<Item = Self> {
        let shared = image.visibility == Visibility::Shared;
        let members = image.members.keys().filter(move |_| shared);
        std::iter::once(Self::Visibility(image.visibility))
            .chain(image.owner.as_deref().map(Self::Owner))
            .chain(members.map(|project| Self::Member(project)))
    }

    /// Scopes that together hold every image that the listing holds and the filter lets through, and few others.
    pub(super) fn needed(listing: &'a Listing, filter: &'a Filter) -> Vec<Self> {
        use Visibility::{Community, Private, Public, Shared};
        // Whoever may see all that a project owns finds it in that project's scope alone.
        if let Some(owner) = filter.owner()
            && (matches!(listing.viewer, Viewer::Admin(_)) || listing.viewer.project() == Some(owner))
        {
            return vec![Self::Owner(owner)];
        }
        let own = listing.viewer.project().map(Self::Owner);
        let visibility = Self::Visibility;
        let mut scopes = match (&listing.viewer, listing.visibility) {
            (_, Some(VisibilityFilter::Only(wanted @ (Public | Community)))) => {
                return vec![visibility(wanted)];
            }
            (Viewer::Admin(_), Some(VisibilityFilter::Only(wanted))) => return vec![visibility(wanted)],
            (Viewer::Admin(_), Some(VisibilityFilter::All)) => {
                return vec![
                    visibility(Public),
                    visibility(Community),
                    visibility(Private),
                    visibility(Shared),
                ];
            }
            (Viewer::Admin(_), None) => vec![visibility(Public), visibility(Private), visibility(Shared)],
            (Viewer::Project(_), Some(VisibilityFilter::Only(Private))) => vec![],
            (Viewer::Project(project), Some(VisibilityFilter::Only(Shared))) => vec![Self::Member(project)],
            (Viewer::Project(project), Some(VisibilityFilter::All)) => {
                vec![visibility(Public), visibility(Community), Self::Member(project)]
            }
            (Viewer::Project(project), None) => vec![visibility(Public), Self::Member(project)],
        };
        scopes.extend(own);
        scopes
    }

    fn write(self, key: &mut Vec<u8>) {
        match self {
            Self::Visibility(visibility) => key.extend([b'v', visibility_code(visibility)]),
            Self::Owner(owner) => {
                key.push(b'o');
                text(key, owner);
            }
            Self::Member(project) => {
                key.push(b'm');
                text(key, project);
            }
        }
    }
}

/// What the keys of a scope's index by a sort key begin with. What follows it is the [`position`].
pub(super) fn index(scope: Scope<'_>, sort: SortKey) -> Vec<u8> {
    let mut key = vec![INDEX];
    scope.write(&mut key);
    key.push(sort_code(sort));
    key
}

/// The first key after all that begin with the prefix, which must not end in `FF`.
pub(super) fn end_of(prefix: &[u8]) -> Vec<u8> {
    let mut end = prefix.to_vec();
    if let Some(last) = end.last_mut() {
        *last = last.saturating_add(1);
    }
    end
}

/// Where an image stands in every index by a sort key. Positions sort as images do by the key, `created_at` and id.
pub(super) fn position(image: &Image, sort: SortKey) -> Vec<u8> {
    let mut key = Vec::with_capacity(64);
    let optional =
        |key: &mut Vec<u8>, value: &Option<String>| text(key, value.as_deref().unwrap_or_default());
    match sort {
        SortKey::Name => optional(&mut key, &image.name),
        SortKey::Status => text(&mut key, image.status.as_str()),
        SortKey::ContainerFormat => optional(&mut key, &image.container_format),
        SortKey::DiskFormat => optional(&mut key, &image.disk_format),
        SortKey::Size => key.extend(image.size().unwrap_or(0).to_be_bytes()),
        SortKey::Id => key.extend(image.id.as_bytes()),
        SortKey::CreatedAt => {}
        SortKey::UpdatedAt => key.extend(image.updated_at.as_micros().to_be_bytes()),
    }
    key.extend(image.created_at.as_micros().to_be_bytes());
    key.extend(image.id.as_bytes());
    key
}

/// Every key that follows from an entry: its index entries, its terms and its claim's, or that it waits to be deleted.
/// All have no value.
pub(super) fn derived(entry: Option<&Entry>) -> BTreeSet<Vec<u8>> {
    let image = match entry {
        None => return BTreeSet::new(),
        Some(Entry::Deleted(tombstone)) if tombstone.is_pending() => {
            return [pending(tombstone.deleted_at, tombstone.image.id)].into();
        }
        Some(Entry::Deleted(_)) => return BTreeSet::new(),
        Some(Entry::Live(image)) => image,
    };
    let mut keys: BTreeSet<_> = image.claim.iter().map(|_| claim(image.id)).collect();
    for sort in SortKey::ALL {
        let position = position(image, sort);
        keys.extend(Scope::of(image).map(|scope| [index(scope, sort), position.clone()].concat()));
    }
    keys.extend(terms(image));
    keys
}

/// The keys of an image under all its terms.
pub(super) fn terms(image: &Image) -> impl Iterator<Item = Vec<u8>> {
    Term::of(image).map(|term| under(&term.prefix(), image.id))
}

fn text(key: &mut Vec<u8>, text: &str) {
    for byte in text.bytes() {
        key.push(byte);
        if byte == 0 {
            key.push(0xFF);
        }
    }
    key.extend([0, 0]);
}

// The codes are what is stored: they stay as they are, whatever happens to the types.

const fn visibility_code(visibility: Visibility) -> u8 {
    match visibility {
        Visibility::Community => b'c',
        Visibility::Public => b'p',
        Visibility::Private => b'v',
        Visibility::Shared => b's',
    }
}

const fn sort_code(sort: SortKey) -> u8 {
    match sort {
        SortKey::Name => b'n',
        SortKey::Status => b's',
        SortKey::ContainerFormat => b'c',
        SortKey::DiskFormat => b'd',
        SortKey::Size => b'b',
        SortKey::Id => b'i',
        SortKey::CreatedAt => b'r',
        SortKey::UpdatedAt => b'u',
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{ProptestConfig, any, prop_assert_eq, proptest};

    use super::*;
    use crate::{
        image::{Status, Tombstone},
        metadata::{Direction, Order},
    };

    fn image(id: u8, name: Option<String>, created: u64, updated: u64) -> Image {
        Image {
            name: name.clone(),
            disk_format: name,
            updated_at: Timestamp::from_micros(updated),
            ..Image::new(ImageId::from_bytes([id; 16]), Timestamp::from_micros(created))
        }
    }

    fn name() -> impl proptest::strategy::Strategy<Value = Option<String>> {
        proptest::option::of("[\u{0}\u{1}a\u{7f}é\u{ff}\u{10ffff}]{0,3}")
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2000))]
        #[test]
        fn positions_sort_as_the_images_do(
            a in (any::<u8>(), name(), 0..3_u64, 0..300_u64), b in (any::<u8>(), name(), 0..3_u64, 0..300_u64),
        ) {
            let (a, b) = (image(a.0, a.1, a.2, a.3), image(b.0, b.1, b.2, b.3));
            for sort in SortKey::ALL {
                let order = Order::by([(sort, Direction::Ascending)], Direction::Ascending);
                prop_assert_eq!(position(&a, sort).cmp(&position(&b, sort)), order.compare(&a, &b), "{:?}", sort);
            }
        }

        #[test]
        fn no_scope_is_a_prefix_of_another(a in "[\u{0}\u{1}ab\u{ff}]{0,4}", b in "[\u{0}\u{1}ab\u{ff}]{0,4}") {
            let keys = [Scope::Owner(&a), Scope::Owner(&b)].map(|scope| index(scope, SortKey::Name));
            prop_assert_eq!(keys[1].starts_with(&keys[0]), a == b);
        }
    }

    #[test]
    fn the_keys_of_definitions_are_those_of_every_release() {
        assert_eq!(namespace("OS::A"), b"nOS::A");
        assert_eq!(resource_type("OS::B"), b"rOS::B");
        assert_eq!(super::name(&namespace("é")), Some("é"));
        assert_eq!(super::name(b"n\xff"), None);
    }

    #[test]
    fn a_deleted_image_has_a_key_while_it_can_be_restored() {
        let tombstone = |status| {
            let mut image = image(0xAB, None, 1, 2);
            image.status = status;
            Entry::Deleted(Tombstone {
                image,
                last_status: Status::Active,
                deleted_at: Timestamp::from_micros(258),
            })
        };
        let key = [b"d\0\0\0\0\0\0\x01\x02".as_slice(), &[0xAB; 16]].concat();
        assert_eq!(derived(Some(&tombstone(Status::PendingDelete))), [key].into());
        assert!(derived(Some(&tombstone(Status::Deleted))).is_empty());
    }

    #[test]
    fn the_keys_of_an_image_are_those_of_every_release() {
        let mut image = image(0xAB, Some("a\0b".into()), 1, 2);
        image.owner = Some("me".into());
        let hex: Vec<String> = derived(Some(&Entry::Live(image)))
            .into_iter()
            .map(|key| key.iter().map(|byte| format!("{byte:02x}")).collect())
            .collect();
        let id = "abababababababababababababababab";
        let one = "0000000000000001";
        let name = blake3::hash(b"n\0\0a\0b").to_hex();
        let term = format!("74{}{id}", &name[..32]);
        let expected: Vec<String> = std::iter::once(term)
            .chain(["6f6d650000", "7673"].iter().flat_map(|scope| {
                [
                    format!("78{scope}62{:016}{one}{id}", 0),
                    format!("78{scope}630000{one}{id}"),
                    format!("78{scope}646100ff620000{one}{id}"),
                    format!("78{scope}69{id}{one}{id}"),
                    format!("78{scope}6e6100ff620000{one}{id}"),
                    format!("78{scope}72{one}{id}"),
                    format!("78{scope}737175657565640000{one}{id}"),
                    format!("78{scope}750000000000000002{one}{id}"),
                ]
            }))
            .collect();
        assert_eq!(hex, expected);
    }
}
