//! Blobs in memory: the storage contract at its simplest, to test against and to compare other backends with.
//!
//! "Stable storage" is a [`Shelf`]: a store made anew over the same shelf finds what was published there and what attempts
//! have left, as after a restart of a daemon. Locations are `memory:///<image id>`.
//!
//! Memory: all of it, by nature. Runs of zeroes are kept as their length.

mod shelf;
mod writer;

use std::{fmt, ops::Range, sync::Arc};

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::{StreamExt as _, stream};
use saccade_store_contract::{
    Attempt, Blob, BlobName, BlobWriter, Body, Capabilities, Capacity, Error, ErrorKind, Handle, Location,
    Operation, Result, Store,
};
use uuid::Uuid;

pub use self::shelf::Shelf;
use self::{
    shelf::{AttemptKey, Piece},
    writer::MemoryWriter,
};

const HANDLE_FORM: &str = "memory:1";
const SCHEME: &str = "memory:///";

/// Blobs in memory.
#[derive(Debug, Clone)]
pub struct MemoryStore {
    id: String,
    shelf: Arc<Shelf>,
}

impl MemoryStore {
    /// A store on a shelf, which others may share.
    pub fn new(id: impl Into<String>, shelf: Arc<Shelf>) -> Self {
        Self { id: id.into(), shelf }
    }

    /// Where a blob is, or would be.
    pub fn location(name: BlobName) -> Location {
        Location::new(format!("{SCHEME}{name}"))
    }
}

fn resolve(location: &Location, operation: Operation) -> Result<BlobName> {
    location
        .as_str()
        .strip_prefix(SCHEME)
        .and_then(|id| Uuid::try_parse(id).ok())
        .map(BlobName)
        .ok_or_else(|| Error::new(ErrorKind::Invalid, operation, "a location"))
}

fn parse_handle(handle: &Handle, operation: Operation) -> Result<AttemptKey> {
    let parse = || {
        let rest = handle.as_str().strip_prefix(HANDLE_FORM)?.strip_prefix(':')?;
        let (name, attempt) = rest.split_once(':')?;
        Some(AttemptKey {
            name: BlobName(Uuid::try_parse(name).ok()?),
            attempt: Attempt(Uuid::try_parse(attempt).ok()?),
        })
    };
    parse().ok_or_else(|| Error::new(ErrorKind::Invalid, operation, "a handle"))
}

#[async_trait]
impl Store for MemoryStore {
    fn capabilities(&self) -> Capabilities {
        Capabilities {
            kind: "memory",
            random_access: true,
            writable: true,
        }
    }

    async fn create(
        &self,
        name: BlobName,
        attempt: Attempt,
        size_hint: Option<u64>,
    ) -> Result<(Handle, Box<dyn BlobWriter>)> {
        let handle = Handle::new(format!("{HANDLE_FORM}:{name}:{attempt}")).map_err(|error| {
            Error::new(ErrorKind::Invalid, Operation::Create, name.to_string()).caused_by(error)
        })?;
        let free = self.shelf.capacity().map(|room| room.free);
        if free.is_some_and(|free| size_hint.is_some_and(|hint| hint > free)) {
            return Err(Error::new(ErrorKind::Full, Operation::Create, name.to_string()));
        }
        let key = AttemptKey { name, attempt };
        let writer = MemoryWriter::new(Arc::clone(&self.shelf), key);
        Ok((handle, Box::new(writer)))
    }

    async fn read(&self, location: &Location, range: Option<Range<u64>>) -> Result<Blob> {
        let name = resolve(location, Operation::Read)?;
        let pieces = self.shelf.blob(name, Operation::Read)?;
        let size = pieces.iter().map(Piece::len).sum();
        let range = range.unwrap_or(0..size);
        let chunks: Vec<_> = shelf::cut(&pieces, range);
        let chunks = stream::iter(chunks).flat_map(|piece| stream::iter(piece.into_chunks()));
        let body = Body::Stream(chunks.map(Ok::<Bytes, Error>).boxed());
        Ok(Blob { size, body })
    }

    async fn size(&self, location: &Location) -> Result<u64> {
        let name = resolve(location, Operation::Size)?;
        let pieces = self.shelf.blob(name, Operation::Size)?;
        Ok(pieces.iter().map(Piece::len).sum())
    }

    fn canonical(&self, location: &Location) -> Option<Location> {
        resolve(location, Operation::Size).ok().map(Self::location)
    }

    async fn prepare_delete(&self, location: &Location) -> Result<()> {
        let name = resolve(location, Operation::PrepareDelete)?;
        self.shelf.blob(name, Operation::PrepareDelete).map(drop)
    }

    async fn delete(&self, location: &Location) -> Result<()> {
        self.shelf.delete(resolve(location, Operation::Delete)?)
    }

    async fn discard(&self, handle: &Handle) -> Result<()> {
        self.shelf.discard(parse_handle(handle, Operation::Discard)?);
        Ok(())
    }

    async fn settle(&self, handle: &Handle) -> Result<()> {
        self.shelf.settle(parse_handle(handle, Operation::Settle)?);
        Ok(())
    }

    async fn capacity(&self) -> Result<Option<Capacity>> {
        Ok(self.shelf.capacity())
    }
}

impl fmt::Display for MemoryStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "memory store {}", self.id)
    }
}
