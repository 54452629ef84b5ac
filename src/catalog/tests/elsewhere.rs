//! Stores of other kinds beside the file store: one that deletes, and one that only reads.

use std::{fmt, ops::Range, sync::Arc};

use async_trait::async_trait;
use saccade_store_contract::{
    Attempt, Blob, BlobName, BlobWriter, Capabilities, Capacity, Error, ErrorKind, Handle, Location,
    Operation, Result, Store,
};
use saccade_store_memory::{MemoryStore, Shelf};

/// Reads what others have put on a shelf, at `http://web/NAME`, and changes nothing.
#[derive(Debug)]
pub(super) struct ReadOnly(pub(super) MemoryStore);

impl ReadOnly {
    pub(super) fn new(shelf: Arc<Shelf>) -> Self {
        Self(MemoryStore::new("web", shelf))
    }
}

impl fmt::Display for ReadOnly {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the web")
    }
}

fn inner(location: &Location) -> Location {
    Location::new(location.as_str().replace("http://web/", "memory:///"))
}

fn unsupported<T>(operation: Operation) -> Result<T> {
    Err(Error::new(ErrorKind::Unsupported, operation, "the web"))
}

#[async_trait]
impl Store for ReadOnly {
    fn capabilities(&self) -> Capabilities {
        Capabilities {
            kind: "http",
            random_access: false,
            writable: false,
        }
    }

    async fn create(&self, _: BlobName, _: Attempt, _: Option<u64>) -> Result<(Handle, Box<dyn BlobWriter>)> {
        unsupported(Operation::Create)
    }

    async fn read(&self, location: &Location, range: Option<Range<u64>>) -> Result<Blob> {
        self.0.read(&inner(location), range).await
    }

    async fn size(&self, location: &Location) -> Result<u64> {
        self.0.size(&inner(location)).await
    }

    async fn prepare_delete(&self, _: &Location) -> Result<()> {
        unsupported(Operation::PrepareDelete)
    }

    async fn delete(&self, _: &Location) -> Result<()> {
        unsupported(Operation::Delete)
    }

    async fn discard(&self, _: &Handle) -> Result<()> {
        unsupported(Operation::Discard)
    }

    async fn settle(&self, _: &Handle) -> Result<()> {
        unsupported(Operation::Settle)
    }

    async fn capacity(&self) -> Result<Option<Capacity>> {
        Ok(None)
    }
}
