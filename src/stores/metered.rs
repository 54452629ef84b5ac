//! A store whose failures are counted.

use std::{fmt, ops::Range, sync::Arc};

use async_trait::async_trait;
use bytes::Bytes;
use saccade_store_contract::{
    Attempt, Blob, BlobName, BlobWriter, Capabilities, Capacity, Error, ErrorKind, Handle, Location,
    OnBehalf, Operation, PartLengths, PartSums, Readers, Result, Store,
};

/// Passes everything on, and counts what fails as `saccade_store_errors_total`.
#[derive(Debug)]
pub(super) struct Metered {
    id: String,
    inner: Arc<dyn Store>,
}

struct MeteredWriter {
    store: String,
    inner: Box<dyn BlobWriter>,
}

impl Metered {
    pub(super) fn new(id: String, inner: Arc<dyn Store>) -> Self {
        Self { id, inner }
    }
}

fn counted<T>(store: &str, result: Result<T>) -> Result<T> {
    if let Err(error) = &result {
        count(store, error);
    }
    result
}

fn count(store: &str, error: &Error) {
    metrics::counter!(
        "saccade_store_errors_total",
        "store" => store.to_owned(), "operation" => operation(error.operation()), "kind" => kind(error.kind())
    )
    .increment(1);
}

const fn operation(operation: Operation) -> &'static str {
    match operation {
        Operation::Create => "create",
        Operation::Write => "write",
        Operation::Commit => "commit",
        Operation::Abort => "abort",
        Operation::Discard => "discard",
        Operation::Settle => "settle",
        Operation::Read => "read",
        Operation::Size => "size",
        Operation::PrepareDelete => "prepare_delete",
        Operation::Delete => "delete",
        Operation::SetReaders => "set_readers",
        Operation::Capacity => "capacity",
    }
}

const fn kind(kind: ErrorKind) -> &'static str {
    match kind {
        ErrorKind::Full => "full",
        ErrorKind::Denied => "denied",
        ErrorKind::InUse => "in_use",
        ErrorKind::HasSnapshots => "has_snapshots",
        ErrorKind::NotFound => "not_found",
        ErrorKind::Exists => "exists",
        ErrorKind::Invalid => "invalid",
        ErrorKind::Corrupt => "corrupt",
        ErrorKind::Unsupported => "unsupported",
        ErrorKind::Unavailable => "unavailable",
    }
}

impl fmt::Display for Metered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.inner.fmt(f)
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl Store for Metered {
    fn capabilities(&self) -> Capabilities {
        self.inner.capabilities()
    }

    fn is_per_caller(&self) -> bool {
        self.inner.is_per_caller()
    }

    fn on_behalf(&self, caller: &OnBehalf) -> Option<Arc<dyn Store>> {
        let inner = self.inner.on_behalf(caller)?;
        Some(Arc::new(Self::new(self.id.clone(), inner)))
    }

    async fn create(
        &self,
        name: BlobName,
        attempt: Attempt,
        size_hint: Option<u64>,
    ) -> Result<(Handle, Box<dyn BlobWriter>)> {
        let (handle, inner) = counted(&self.id, self.inner.create(name, attempt, size_hint).await)?;
        Ok((
            handle,
            Box::new(MeteredWriter {
                store: self.id.clone(),
                inner,
            }),
        ))
    }

    async fn read(&self, location: &Location, range: Option<Range<u64>>) -> Result<Blob> {
        counted(&self.id, self.inner.read(location, range).await)
    }

    async fn size(&self, location: &Location) -> Result<u64> {
        counted(&self.id, self.inner.size(location).await)
    }

    fn canonical(&self, location: &Location) -> Option<Location> {
        self.inner.canonical(location)
    }

    async fn admit(&self, location: &Location) -> Result<()> {
        // A refusal is the store's work, and no failure.
        self.inner.admit(location).await
    }

    async fn set_readers(&self, location: &Location, readers: &Readers) -> Result<()> {
        counted(&self.id, self.inner.set_readers(location, readers).await)
    }

    async fn prepare_delete(&self, location: &Location) -> Result<()> {
        counted(&self.id, self.inner.prepare_delete(location).await)
    }

    async fn delete(&self, location: &Location) -> Result<()> {
        counted(&self.id, self.inner.delete(location).await)
    }

    async fn discard(&self, handle: &Handle) -> Result<()> {
        counted(&self.id, self.inner.discard(handle).await)
    }

    async fn settle(&self, handle: &Handle) -> Result<()> {
        counted(&self.id, self.inner.settle(handle).await)
    }

    async fn capacity(&self) -> Result<Option<Capacity>> {
        counted(&self.id, self.inner.capacity().await)
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl BlobWriter for MeteredWriter {
    fn parts(&self) -> Option<PartLengths> {
        self.inner.parts()
    }

    fn use_sums(&mut self, sums: Arc<dyn PartSums>) {
        self.inner.use_sums(sums);
    }

    async fn write(&mut self, chunk: Bytes) -> Result<()> {
        counted(&self.store, self.inner.write(chunk).await)
    }

    async fn write_zeroes(&mut self, len: u64) -> Result<()> {
        counted(&self.store, self.inner.write_zeroes(len).await)
    }

    async fn commit(self: Box<Self>) -> Result<Location> {
        counted(&self.store, self.inner.commit().await)
    }

    async fn abort(self: Box<Self>) -> Result<()> {
        counted(&self.store, self.inner.abort().await)
    }
}
