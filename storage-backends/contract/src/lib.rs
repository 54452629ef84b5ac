//! The seam between Saccade and what keeps the bytes of its images.
//!
//! A blob is written in two phases, `create → write* → commit | abort`, and is found again by its [`Location`]. The
//! rules below are the whole contract; the conformance suite has one named test for each, and every backend passes it.
//!
//! 1. **Nothing before the ledger.** [`Store::create`] leaves nothing that outlives the process; what it must leave
//!    (an open multipart upload) expires by itself. The caller writes the handle to its ledger before the first byte.
//! 2. **No location reads before commit.** A reader never sees a part of a blob.
//! 3. **Commit is whole and durable.** When [`BlobWriter::commit`] returns a location, all bytes and the name are on
//!    stable storage and readable, and their number is the number written.
//! 4. **Commit never replaces.** If anything is under the blob's name, commit fails with [`ErrorKind::Exists`] and
//!    leaves it as it is, whoever wrote it.
//! 5. **A failed commit is an unknown outcome.** The blob may be published or not; [`Store::discard`] settles it.
//! 6. **Discard removes this attempt's bytes and no other's**: not those of a later attempt under the same name,
//!    not a file that somebody else put there. It is idempotent, works after a restart, and when it has returned `Ok`
//!    the attempt has left nothing, durably.
//! 7. **Settle keeps the blob** and removes what served only to undo it. Idempotent; to be called once the
//!    location is in the catalogue, and followed by forgetting the handle.
//! 8. **Delete is final when it returns `Ok`** (durably gone), [`ErrorKind::NotFound`] when the blob was gone already;
//!    on any other error it is unknown whether the blob remains. Readers that have opened the blob read it to its end.
//!    A read-only store ([`Capabilities::writable`]) deletes nothing and says so: [`ErrorKind::Unsupported`].
//! 9. **Dropping a writer does no I/O** that could block, and publishes nothing. What it leaves is for `discard`.
//! 10. **Memory is bounded** by a constant per open writer or reader, stated by the backend.
//! 11. **A blob has one spelling.** [`Store::canonical`] tells a store's own locations from all others, and gives all
//!     spellings of one blob the same form, without credentials.
//! 12. **A store that keeps blobs in its callers' own places** ([`Store::is_per_caller`]) is asked for one that acts in a
//!     caller's name ([`Store::on_behalf`]) by whoever has a caller. By itself it acts in the operator's name, as far as it can:
//!     to clear up, long after the caller has gone. What it needs for that is in handles and locations; credentials are
//!     in neither.

mod caller;
mod error;
mod parts;
mod store;
mod types;
mod writer;

pub use self::{
    caller::{Endpoint, OnBehalf, Readers},
    error::{Error, ErrorKind, Operation},
    parts::{PartLengths, PartSums},
    store::{Store, StoreExt},
    types::{
        Attempt, Blob, BlobName, Body, Capabilities, Capacity, FileRegion, Handle, InvalidHandle, Location,
    },
    writer::BlobWriter,
};

/// What every call of this seam returns.
pub type Result<T, E = Error> = std::result::Result<T, E>;
