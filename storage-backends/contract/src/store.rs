//! The store.

use std::{fmt, ops::Range, sync::Arc};

use async_trait::async_trait;

use crate::{
    Attempt, Blob, BlobName, BlobWriter, Capabilities, Capacity, Error, ErrorKind, Handle, Location,
    OnBehalf, Readers, Result,
};

/// A place that keeps blobs. The numbered rules are in the crate's documentation.
///
/// `Display` names the store in errors and logs, without credentials. Every method may be called from any number of
/// tasks at once; none blocks the async thread.
#[async_trait]
pub trait Store: Send + Sync + fmt::Debug + fmt::Display {
    /// What this store can do.
    fn capabilities(&self) -> Capabilities;

    /// Whether it acts in its callers' names, and needs their credentials for that. Others are the same to everybody.
    fn is_per_caller(&self) -> bool {
        false
    }

    /// The same store, acting in this caller's name for as long as it is kept; `None` where that makes no difference. Asks
    /// nobody.
    fn on_behalf(&self, caller: &OnBehalf) -> Option<Arc<dyn Store>> {
        let _ = caller;
        None
    }

    /// Begins one attempt to write a blob. `size_hint` is what the client declared, in bytes; it may be wrong.
    ///
    /// The handle must reach the caller's ledger before the first write (rule 1). Cancel safe.
    ///
    /// # Errors
    /// `Full` when the hint exceeds the room there is, `Denied`, `Unsupported`, `Unavailable`. Nothing is left behind.
    async fn create(
        &self,
        name: BlobName,
        attempt: Attempt,
        size_hint: Option<u64>,
    ) -> Result<(Handle, Box<dyn BlobWriter>)>;

    /// Opens a committed blob, whole or a range of it. The range is cut to the blob's end; an empty range reads
    /// nothing. The blob is open when this returns: a failure to find it comes now, not in the body. Cancel safe.
    ///
    /// # Errors
    /// `NotFound`, `Invalid`, `Denied`, `Unavailable`; `Unsupported` for a range that this blob cannot be read by;
    /// `Corrupt` when it is known to be another than it was.
    async fn read(&self, location: &Location, range: Option<Range<u64>>) -> Result<Blob>;

    /// The length of a blob in bytes, also of one this daemon did not write. Cancel safe.
    ///
    /// # Errors
    /// As [`Store::read`].
    async fn size(&self, location: &Location) -> Result<u64>;

    /// The one spelling of a location, without credentials: two locations are the same blob where this is equal. `None`
    /// when the location is none of this store's (another host, bucket or directory), or the store does not know its own
    /// by sight. Asks nobody.
    fn canonical(&self, location: &Location) -> Option<Location> {
        let _ = location;
        None
    }

    /// Whether somebody who may not reach this address himself may have the daemon read it: asked before an address that a
    /// client has given is used for the first time. Stores whose addresses all lead to one place admit them. Cancel
    /// safe.
    ///
    /// # Errors
    /// `Denied` by the operator's rules, `Invalid`, `Unavailable`.
    async fn admit(&self, location: &Location) -> Result<()> {
        let _ = location;
        Ok(())
    }

    /// Says who may read the blob where it is kept, beside whom it belongs to. Stores that only the daemon reads have
    /// nothing to say. Cancelled: call it again.
    ///
    /// # Errors
    /// As [`Store::read`]; it is unknown who may.
    async fn set_readers(&self, location: &Location, readers: &Readers) -> Result<()> {
        let _ = (location, readers);
        Ok(())
    }

    /// Asks whether the blob may be deleted, and makes ready for it; changes nothing that a reader could see.
    ///
    /// # Errors
    /// `InUse` or `HasSnapshots` when it may not; `NotFound` when there is nothing to delete; `Unsupported` when the
    /// store is read-only: the bytes stay, and the record may go without them; `Invalid`; `Unavailable`.
    async fn prepare_delete(&self, location: &Location) -> Result<()>;

    /// Deletes a blob (rule 8). Cancelled, it is unknown whether the blob remains.
    ///
    /// # Errors
    /// `NotFound` when it was gone already; `Unsupported` from a read-only store, which leaves it; any other: unknown
    /// whether it remains.
    async fn delete(&self, location: &Location) -> Result<()>;

    /// Removes whatever an attempt has left, published or not (rule 6). Cancelled: call it again.
    ///
    /// # Errors
    /// `Invalid` for a handle that is not this store's; any other: something may be left, call it again.
    async fn discard(&self, handle: &Handle) -> Result<()>;

    /// Keeps what an attempt has published for good (rule 7). Cancelled: call it again.
    ///
    /// # Errors
    /// As [`Store::discard`]; the blob is untouched whatever happens.
    async fn settle(&self, handle: &Handle) -> Result<()>;

    /// The room in the store; `None` where it has no bound that can be known.
    ///
    /// # Errors
    /// `Denied`, `Unavailable`.
    async fn capacity(&self) -> Result<Option<Capacity>>;
}

/// What follows from [`Store`]; not to be implemented.
#[async_trait]
pub trait StoreExt {
    /// [`Store::delete`] for callers to whom gone is gone.
    ///
    /// # Errors
    /// Any but `NotFound`.
    async fn ensure_deleted(&self, location: &Location) -> Result<()>;
}

#[async_trait]
impl<S: Store + ?Sized> StoreExt for S {
    async fn ensure_deleted(&self, location: &Location) -> Result<(), Error> {
        match self.delete(location).await {
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
            other => other,
        }
    }
}
