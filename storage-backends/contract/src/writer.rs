//! Writing one blob.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;

use crate::{Location, PartLengths, PartSums, Result};

/// One attempt to write one blob, from its first byte to [`BlobWriter::commit`] or [`BlobWriter::abort`].
///
/// After any error only `abort`, drop or [`crate::Store::discard`] may follow. Dropping it does no I/O (rule 9).
#[async_trait]
pub trait BlobWriter: Send {
    /// The parts in which the blob is sent, where each is held against its MD5; `None` where there is nothing to hash. To be
    /// asked before the first write.
    fn parts(&self) -> Option<PartLengths> {
        None
    }

    /// Takes the hashes of the parts from here instead of computing them: from somebody who hashes every byte that is
    /// written, without waiting for the writer, in parts of the lengths that [`BlobWriter::parts`] says. Before the first
    /// write; [`BlobWriter::write_zeroes`] is not called then.
    fn use_sums(&mut self, sums: Arc<dyn PartSums>) {
        let _ = sums;
    }

    /// Appends a chunk of any length. It may return before the bytes are in the store, but holds at most a constant
    /// number of chunks; an error may therefore show at a later call.
    ///
    /// Cancelled, the writer is as after an error.
    ///
    /// # Errors
    /// `Full`, `Denied`, `Unavailable`.
    async fn write(&mut self, chunk: Bytes) -> Result<()>;

    /// Appends `len` zero bytes, without storing them where the store can have holes.
    ///
    /// # Errors
    /// As [`BlobWriter::write`].
    async fn write_zeroes(&mut self, len: u64) -> Result<()>;

    /// Publishes the blob: whole, durable, under a name that was free (rules 2 to 5). Not cancel safe: run it in a task
    /// that nobody drops; if it is cancelled the outcome is unknown, as after an error.
    ///
    /// # Errors
    /// `Exists`, `Full`, `Denied`, `Corrupt` (not the number of bytes that were written), `Unavailable`. Whatever the
    /// kind, only [`crate::Store::discard`] makes sure that nothing is left.
    async fn commit(self: Box<Self>) -> Result<Location>;

    /// Gives the attempt up and removes what it has written. The same as `discard`, while the writer is at hand.
    ///
    /// # Errors
    /// Something may be left: `discard` removes it.
    async fn abort(self: Box<Self>) -> Result<()>;
}
