//! What is stored under an image id: one byte that says which version, then the record in that version's form.
//!
//! There is no checksum of our own: RocksDB has one on every block and every log record, and checks them on every read.

use crate::image::{Entry, ImageId};

pub(super) mod definition;
pub(super) mod task;
mod v1;
mod v2;

/// The bytes that are stored for an entry: in the oldest version that can say all of it, so that an older Saccade can
/// go on with records that hold nothing new.
///
/// # Errors
/// None that a complete entry can cause.
pub(super) fn encode(entry: &Entry) -> Result<Vec<u8>, postcard::Error> {
    match v2::needed(entry) {
        true => postcard::to_extend(&v2::Record::from(entry), vec![v2::VERSION]),
        false => postcard::to_extend(&v1::Record::from(entry), vec![v1::VERSION]),
    }
}

/// The entry that is stored under `id`. Total: any bytes give an entry or an error, in memory that is bounded by a
/// multiple of their length.
///
/// # Errors
/// [`CorruptRecord`].
pub(super) fn decode(id: ImageId, bytes: &[u8]) -> Result<Entry, CorruptRecord> {
    let (entry, stored) = match bytes.split_first() {
        None => return Err(CorruptRecord::Empty),
        Some((&v1::VERSION, bytes)) => v1::decode(bytes)?,
        Some((&v2::VERSION, bytes)) => v2::decode(bytes)?,
        Some((version, _)) => return Err(CorruptRecord::Version(*version)),
    };
    if stored != id {
        return Err(CorruptRecord::OtherImage(stored));
    }
    Ok(entry)
}

/// Why stored bytes are no record.
#[derive(Debug, thiserror::Error)]
pub(super) enum CorruptRecord {
    /// There are none.
    #[error("the record is empty")]
    Empty,
    /// A later version of Saccade wrote it.
    #[error("the record has version {0}, which this version of Saccade does not know")]
    Version(u8),
    /// It does not have the form of its version.
    #[error("the record does not have the form of its version")]
    Form(#[source] postcard::Error),
    /// Bytes are left after it.
    #[error("the record is followed by {0} bytes")]
    Trailing(usize),
    /// A number stands for no status, visibility or phase.
    #[error("{0} is no {1}")]
    Code(u8, &'static str),
    /// It is the record of another image.
    #[error("the record is that of image {0}")]
    OtherImage(ImageId),
}

#[cfg(test)]
mod tests;
