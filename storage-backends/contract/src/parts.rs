//! The hashes of a blob's parts, computed by whoever hashes all of it anyway.

use std::fmt;

use futures_util::future::BoxFuture;

/// The lengths in bytes of the parts that a blob is sent in, by their numbers from 1; `None`: there is no such part.
pub type PartLengths = Box<dyn Fn(u64) -> Option<u64> + Send>;

/// The MD5 of each part of a blob, of which all bytes are hashed in their order.
///
/// A part ends where the writer's [`PartLengths`] say, where [`PartSums::end_part`] has ended it, and with the blob: the last
/// one when whoever hashes knows that there are no more bytes, which is before the writer's commit.
pub trait PartSums: Send + Sync + fmt::Debug {
    /// The MD5 of a part (from 1), in lower-case hexadecimal, as soon as all of it is hashed. That waits for nothing that the
    /// writer does: a writer may wait for the sum of what it was given. `None`: the bytes are not hashed any more.
    fn md5(&self, number: u64) -> BoxFuture<'static, Option<String>>;

    /// Ends the part that is being hashed behind this byte of the blob (counted from its beginning), if none behind it has
    /// been taken to be hashed. Otherwise changes nothing and returns false: more bytes are on their way to the writer.
    fn end_part(&self, at: u64) -> bool;
}
