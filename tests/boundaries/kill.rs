//! Wrappers that count steps, and kill the process at one of them.

use std::{
    fmt,
    fs::File,
    io,
    ops::Range,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use async_trait::async_trait;
use bytes::Bytes;
use rustix::process::{Signal, getpid, kill_process};
use saccade::{
    image::{Allowance, Change, Claim, Entry, ImageId, Timestamp, Tombstone, Usage},
    metadata::{Metadata, MetadataError, Page, Query},
};
use saccade_disk::{Disk, DiskFile, RealDisk, Space, Stat, WriteMode};
use saccade_store_contract::{
    Attempt, Blob, BlobName, BlobWriter, Capabilities, Capacity, Handle, Location, OnBehalf, PartLengths,
    PartSums, Readers, Result as Stored, Store,
};

/// Counts steps, and dies at one of them. Clones count together.
#[derive(Debug, Clone)]
pub(super) struct Steps {
    made: Arc<AtomicU64>,
    kill_at: u64,
}

impl Steps {
    pub(super) fn new(kill_at: u64) -> Self {
        Self {
            made: Arc::default(),
            kill_at,
        }
    }

    pub(super) fn made(&self) -> u64 {
        self.made.load(Ordering::SeqCst)
    }

    /// One more boundary between steps is reached.
    pub(super) fn boundary(&self) {
        if self.made.fetch_add(1, Ordering::SeqCst) + 1 == self.kill_at {
            let _ = kill_process(getpid(), Signal::KILL);
            // The signal is on its way.
            loop {
                std::thread::park();
            }
        }
    }
}

#[derive(Debug)]
pub(super) struct KillingDisk(pub(super) Steps);

#[derive(Debug)]
struct KillingFile {
    file: Box<dyn DiskFile>,
    steps: Steps,
}

impl KillingDisk {
    fn file(&self, file: Box<dyn DiskFile>) -> Box<dyn DiskFile> {
        Box::new(KillingFile {
            file,
            steps: self.0.clone(),
        })
    }
}

#[deny(clippy::missing_trait_methods)]
impl Disk for KillingDisk {
    fn create_new(&self, path: &Path, mode: u32) -> io::Result<Box<dyn DiskFile>> {
        self.0.boundary();
        Ok(self.file(RealDisk.create_new(path, mode)?))
    }

    fn open(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        RealDisk.open(path)
    }

    fn open_writable(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        Ok(self.file(RealDisk.open_writable(path)?))
    }

    fn stat(&self, path: &Path) -> io::Result<Stat> {
        RealDisk.stat(path)
    }

    fn link(&self, existing: &Path, new: &Path) -> io::Result<()> {
        self.0.boundary();
        RealDisk.link(existing, new)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.0.boundary();
        RealDisk.rename(from, to)
    }

    fn unlink(&self, path: &Path) -> io::Result<()> {
        self.0.boundary();
        RealDisk.unlink(path)
    }

    fn create_dir(&self, path: &Path) -> io::Result<()> {
        self.0.boundary();
        RealDisk.create_dir(path)
    }

    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        self.0.boundary();
        RealDisk.sync_dir(path)
    }

    fn check_writable(&self, directory: &Path) -> io::Result<()> {
        RealDisk.check_writable(directory)
    }

    fn space(&self, path: &Path) -> io::Result<Space> {
        RealDisk.space(path)
    }

    fn favours_direct_writes(&self, directory: &Path) -> bool {
        RealDisk.favours_direct_writes(directory)
    }
}

#[deny(clippy::missing_trait_methods)]
impl DiskFile for KillingFile {
    fn write_all_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.steps.boundary();
        self.file.write_all_at(bytes, offset)
    }

    fn write_pieces_at(&self, pieces: &[&[u8]], offset: u64, mode: WriteMode) -> io::Result<()> {
        self.steps.boundary();
        self.file.write_pieces_at(pieces, offset, mode)
    }

    /// Nobody writes past the steps.
    fn writable(&self, _mode: WriteMode) -> Option<io::Result<Arc<File>>> {
        None
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        self.file.read_at(buffer, offset)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.steps.boundary();
        self.file.set_len(len)
    }

    fn set_mode(&self, mode: u32) -> io::Result<()> {
        self.file.set_mode(mode)
    }

    fn size(&self) -> io::Result<u64> {
        self.file.size()
    }

    fn sync_data(&self) -> io::Result<()> {
        self.steps.boundary();
        self.file.sync_data()
    }

    fn reserve(&self, len: u64) -> io::Result<()> {
        self.file.reserve(len)
    }

    fn write_behind(&self, offset: u64, len: u64) {
        self.file.write_behind(offset, len);
    }

    fn as_file(&self) -> io::Result<Arc<File>> {
        self.file.as_file()
    }
}

pub(super) struct KillingMetadata<M> {
    pub(super) inner: M,
    pub(super) steps: Steps,
}

#[async_trait]
impl<M: Metadata> Metadata for KillingMetadata<M> {
    async fn commit_within(&self, change: Change, allowance: Allowance) -> Result<Entry, MetadataError> {
        self.steps.boundary();
        let result = self.inner.commit_within(change, allowance).await;
        self.steps.boundary();
        result
    }

    async fn entry(&self, id: ImageId) -> Result<Option<Entry>, MetadataError> {
        self.inner.entry(id).await
    }

    async fn usage(&self, project: &str) -> Result<Usage, MetadataError> {
        self.inner.usage(project).await
    }

    async fn list(&self, query: Query) -> Result<Page, MetadataError> {
        self.inner.list(query).await
    }

    async fn claims(&self) -> Result<Vec<(ImageId, Claim)>, MetadataError> {
        self.inner.claims().await
    }

    async fn pending(
        &self,
        until: Timestamp,
        after: Option<(Timestamp, ImageId)>,
        limit: usize,
    ) -> Result<Vec<Tombstone>, MetadataError> {
        self.inner.pending(until, after, limit).await
    }
}

/// A store that is not on this machine: each of its calls that change something is a step, before and after. (So is each of its
/// requests, which pass by the proxy that the child has.)
#[derive(Debug)]
pub(super) struct KillingStore {
    pub(super) inner: Box<dyn Store>,
    pub(super) steps: Steps,
}

struct KillingWriter {
    inner: Box<dyn BlobWriter>,
    steps: Steps,
}

impl Steps {
    async fn around<T>(&self, call: impl Future<Output = T>) -> T {
        self.boundary();
        let result = call.await;
        self.boundary();
        result
    }
}

#[deny(clippy::missing_trait_methods)]
#[async_trait]
impl Store for KillingStore {
    fn capabilities(&self) -> Capabilities {
        self.inner.capabilities()
    }

    fn is_per_caller(&self) -> bool {
        self.inner.is_per_caller()
    }

    fn on_behalf(&self, _: &OnBehalf) -> Option<Arc<dyn Store>> {
        // What is killed here keeps everything in one place.
        None
    }

    async fn set_readers(&self, location: &Location, readers: &Readers) -> Stored<()> {
        self.inner.set_readers(location, readers).await
    }

    async fn create(
        &self,
        name: BlobName,
        attempt: Attempt,
        size_hint: Option<u64>,
    ) -> Stored<(Handle, Box<dyn BlobWriter>)> {
        let create = self.inner.create(name, attempt, size_hint);
        let (handle, inner) = self.steps.around(create).await?;
        let steps = self.steps.clone();
        Ok((handle, Box::new(KillingWriter { inner, steps })))
    }

    async fn read(&self, location: &Location, range: Option<Range<u64>>) -> Stored<Blob> {
        self.inner.read(location, range).await
    }

    async fn size(&self, location: &Location) -> Stored<u64> {
        self.inner.size(location).await
    }

    fn canonical(&self, location: &Location) -> Option<Location> {
        self.inner.canonical(location)
    }

    async fn admit(&self, location: &Location) -> Stored<()> {
        self.inner.admit(location).await
    }

    async fn prepare_delete(&self, location: &Location) -> Stored<()> {
        self.steps.around(self.inner.prepare_delete(location)).await
    }

    async fn delete(&self, location: &Location) -> Stored<()> {
        self.steps.around(self.inner.delete(location)).await
    }

    async fn discard(&self, handle: &Handle) -> Stored<()> {
        self.steps.around(self.inner.discard(handle)).await
    }

    async fn settle(&self, handle: &Handle) -> Stored<()> {
        self.steps.around(self.inner.settle(handle)).await
    }

    async fn capacity(&self) -> Stored<Option<Capacity>> {
        self.inner.capacity().await
    }
}

impl fmt::Display for KillingStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.inner.fmt(f)
    }
}

#[deny(clippy::missing_trait_methods)]
#[async_trait]
impl BlobWriter for KillingWriter {
    fn parts(&self) -> Option<PartLengths> {
        self.inner.parts()
    }

    fn use_sums(&mut self, sums: Arc<dyn PartSums>) {
        self.inner.use_sums(sums);
    }

    async fn write(&mut self, chunk: Bytes) -> Stored<()> {
        self.steps.boundary();
        self.inner.write(chunk).await
    }

    async fn write_zeroes(&mut self, len: u64) -> Stored<()> {
        self.steps.boundary();
        self.inner.write_zeroes(len).await
    }

    async fn commit(self: Box<Self>) -> Stored<Location> {
        let Self { inner, steps } = *self;
        steps.around(inner.commit()).await
    }

    async fn abort(self: Box<Self>) -> Stored<()> {
        let Self { inner, steps } = *self;
        steps.around(inner.abort()).await
    }
}
