//! The second version of the stored record: the first, followed by the locations that were removed and whose data may not be
//! gone yet. Nothing here may change: another form is another version.

use serde::{Deserialize, Serialize};

use super::{CorruptRecord, v1};
use crate::image::{Entry, Image, ImageId, RemovalId, Retired};

pub(super) const VERSION: u8 = 2;

#[derive(Serialize, Deserialize)]
pub(super) struct Record<'a> {
    #[serde(borrow)]
    first: v1::Record<'a>,
    #[serde(borrow)]
    retired: Vec<StoredRetired<'a>>,
}

#[derive(Serialize, Deserialize)]
struct StoredRetired<'a> {
    removal: [u8; 16],
    #[serde(borrow)]
    location: v1::StoredLocation<'a>,
}

/// Whether the first version cannot say all of the entry.
pub(super) fn needed(entry: &Entry) -> bool {
    !image(entry).retired.is_empty()
}

/// The entry, and the id that the record itself names.
pub(super) fn decode(bytes: &[u8]) -> Result<(Entry, ImageId), CorruptRecord> {
    let (record, rest): (Record<'_>, _) = postcard::take_from_bytes(bytes).map_err(CorruptRecord::Form)?;
    if !rest.is_empty() {
        return Err(CorruptRecord::Trailing(rest.len()));
    }
    let (mut entry, id) = v1::entry(record.first)?;
    let retired = record.retired.into_iter().map(|stored| Retired {
        removal: RemovalId::from_bytes(stored.removal),
        location: stored.location.into(),
    });
    match &mut entry {
        Entry::Live(image) => image.retired = retired.collect(),
        Entry::Deleted(tombstone) => tombstone.image.retired = retired.collect(),
    }
    Ok((entry, id))
}

impl<'a> From<&'a Entry> for Record<'a> {
    fn from(entry: &'a Entry) -> Self {
        let retired = image(entry).retired.iter().map(|retired| StoredRetired {
            removal: *retired.removal.as_uuid().as_bytes(),
            location: (&retired.location).into(),
        });
        Self {
            first: entry.into(),
            retired: retired.collect(),
        }
    }
}

fn image(entry: &Entry) -> &Image {
    match entry {
        Entry::Live(image) => image,
        Entry::Deleted(tombstone) => &tombstone.image,
    }
}
