//! A store that fails on demand.

use std::{
    collections::HashMap,
    fmt,
    ops::Range,
    os::unix::fs::FileExt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::{StreamExt, future::ready, stream};
use saccade_store_contract::{
    Attempt, Blob, BlobName, BlobWriter, Body, Capabilities, Capacity, Error, ErrorKind, FileRegion, Handle,
    Location, OnBehalf, Operation, PartLengths, PartSums, Readers, Result, Store,
};

use crate::gate::{Barrier, Gate};

/// How many bytes of a file are read at once, where a body is cut.
const CHUNK: usize = 64 << 10;

/// How a call goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// It is not done, and fails.
    Fail(ErrorKind),
    /// It is done, and fails all the same: the reply is lost.
    DoneButFail(ErrorKind),
    /// The first half is done: of a write's bytes, or of the bytes that a read's body gives before it fails. Any other
    /// call is not done, and fails.
    Partial(ErrorKind),
}

/// Wraps a store; calls go wrong where a test has said so, and are passed on otherwise.
#[derive(Debug)]
pub struct FaultyStore {
    inner: Arc<dyn Store>,
    script: Arc<Script>,
}

#[derive(Debug, Default)]
struct Script(Mutex<Plan>);

#[derive(Debug, Default)]
struct Plan {
    calls: HashMap<Operation, u64>,
    steps: HashMap<(Operation, u64), Step>,
}

#[derive(Debug, Clone)]
enum Step {
    Fault(Fault),
    HoldBefore(Barrier),
    HoldAfter(Barrier),
}

impl FaultyStore {
    /// A store that passes everything on, until told otherwise.
    pub fn new(inner: Arc<dyn Store>) -> Self {
        Self {
            inner,
            script: Arc::default(),
        }
    }

    /// Lets the `nth` call of an operation from now go wrong; 1 is the next. `write_zeroes` counts as a write.
    pub fn fail(&self, operation: Operation, nth: u64, fault: Fault) {
        self.script.plan(operation, nth, Step::Fault(fault));
    }

    /// Holds the `nth` call from now before it is passed on.
    pub fn hold_before(&self, operation: Operation, nth: u64) -> Gate {
        let (gate, barrier) = Gate::new();
        self.script.plan(operation, nth, Step::HoldBefore(barrier));
        gate
    }

    /// Holds the `nth` call from now when it is done, before its caller is told.
    pub fn hold_after(&self, operation: Operation, nth: u64) -> Gate {
        let (gate, barrier) = Gate::new();
        self.script.plan(operation, nth, Step::HoldAfter(barrier));
        gate
    }

    /// How many calls of an operation there were.
    pub fn calls(&self, operation: Operation) -> u64 {
        self.script
            .state()
            .calls
            .get(&operation)
            .copied()
            .unwrap_or_default()
    }
}

impl Script {
    fn state(&self) -> MutexGuard<'_, Plan> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn plan(&self, operation: Operation, nth: u64, step: Step) {
        let mut plan = self.state();
        let before = plan.calls.get(&operation).copied().unwrap_or_default();
        plan.steps.insert((operation, before.saturating_add(nth)), step);
    }

    fn next(&self, operation: Operation) -> Option<Step> {
        let mut plan = self.state();
        let count = plan.calls.entry(operation).or_default();
        *count = count.saturating_add(1);
        let call = *count;
        plan.steps.remove(&(operation, call))
    }

    /// Makes a call that has no halves.
    async fn call<T>(
        &self,
        operation: Operation,
        subject: &str,
        call: impl Future<Output = Result<T>> + Send,
    ) -> Result<T> {
        let step = self.next(operation);
        stepped(step, operation, subject, call).await
    }
}

async fn stepped<T>(
    step: Option<Step>,
    operation: Operation,
    subject: &str,
    call: impl Future<Output = Result<T>> + Send,
) -> Result<T> {
    match step {
        None => call.await,
        Some(Step::Fault(Fault::Fail(kind) | Fault::Partial(kind))) => {
            Err(injected(kind, operation, subject))
        }
        Some(Step::Fault(Fault::DoneButFail(kind))) => {
            call.await?;
            Err(injected(kind, operation, subject))
        }
        Some(Step::HoldBefore(barrier)) => {
            barrier.wait().await;
            call.await
        }
        Some(Step::HoldAfter(barrier)) => {
            let done = call.await;
            barrier.wait().await;
            done
        }
    }
}

fn injected(kind: ErrorKind, operation: Operation, subject: &str) -> Error {
    Error::new(kind, operation, subject).caused_by("a fault that the test has asked for")
}

#[deny(clippy::missing_trait_methods)]
#[async_trait]
impl Store for FaultyStore {
    fn capabilities(&self) -> Capabilities {
        self.inner.capabilities()
    }

    fn is_per_caller(&self) -> bool {
        self.inner.is_per_caller()
    }

    fn on_behalf(&self, caller: &OnBehalf) -> Option<Arc<dyn Store>> {
        let inner = self.inner.on_behalf(caller)?;
        let script = Arc::clone(&self.script);
        Some(Arc::new(Self { inner, script }))
    }

    async fn create(
        &self,
        name: BlobName,
        attempt: Attempt,
        size_hint: Option<u64>,
    ) -> Result<(Handle, Box<dyn BlobWriter>)> {
        let subject = name.to_string();
        let create = self.inner.create(name, attempt, size_hint);
        let (handle, inner) = self.script.call(Operation::Create, &subject, create).await?;
        let script = Arc::clone(&self.script);
        let writer = FaultyWriter {
            inner,
            script,
            subject,
        };
        Ok((handle, Box::new(writer)))
    }

    async fn read(&self, location: &Location, range: Option<Range<u64>>) -> Result<Blob> {
        let read = self.inner.read(location, range.clone());
        match self.script.next(Operation::Read) {
            Some(Step::Fault(Fault::Partial(kind))) => read.await.map(|blob| {
                let range = range.unwrap_or(0..blob.size);
                let len = range.end.min(blob.size).saturating_sub(range.start);
                half(blob, len, kind)
            }),
            step => stepped(step, Operation::Read, "a blob", read).await,
        }
    }

    async fn size(&self, location: &Location) -> Result<u64> {
        let size = self.inner.size(location);
        self.script.call(Operation::Size, "a blob", size).await
    }

    fn canonical(&self, location: &Location) -> Option<Location> {
        self.inner.canonical(location)
    }

    async fn admit(&self, location: &Location) -> Result<()> {
        self.inner.admit(location).await
    }

    async fn set_readers(&self, location: &Location, readers: &Readers) -> Result<()> {
        let set = self.inner.set_readers(location, readers);
        self.script.call(Operation::SetReaders, "a blob", set).await
    }

    async fn prepare_delete(&self, location: &Location) -> Result<()> {
        let prepare = self.inner.prepare_delete(location);
        self.script
            .call(Operation::PrepareDelete, "a blob", prepare)
            .await
    }

    async fn delete(&self, location: &Location) -> Result<()> {
        let delete = self.inner.delete(location);
        self.script.call(Operation::Delete, "a blob", delete).await
    }

    async fn discard(&self, handle: &Handle) -> Result<()> {
        let discard = self.inner.discard(handle);
        self.script
            .call(Operation::Discard, handle.as_str(), discard)
            .await
    }

    async fn settle(&self, handle: &Handle) -> Result<()> {
        let settle = self.inner.settle(handle);
        self.script.call(Operation::Settle, handle.as_str(), settle).await
    }

    async fn capacity(&self) -> Result<Option<Capacity>> {
        let capacity = self.inner.capacity();
        self.script.call(Operation::Capacity, "the store", capacity).await
    }
}

impl fmt::Display for FaultyStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "faulty {}", self.inner)
    }
}

struct FaultyWriter {
    inner: Box<dyn BlobWriter>,
    script: Arc<Script>,
    subject: String,
}

#[deny(clippy::missing_trait_methods)]
#[async_trait]
impl BlobWriter for FaultyWriter {
    fn parts(&self) -> Option<PartLengths> {
        self.inner.parts()
    }

    fn use_sums(&mut self, sums: Arc<dyn PartSums>) {
        self.inner.use_sums(sums);
    }

    async fn write(&mut self, chunk: Bytes) -> Result<()> {
        match self.script.next(Operation::Write) {
            Some(Step::Fault(Fault::Partial(kind))) => {
                let half = chunk.slice(..chunk.len() / 2);
                self.inner.write(half).await?;
                Err(injected(kind, Operation::Write, &self.subject))
            }
            step => stepped(step, Operation::Write, &self.subject, self.inner.write(chunk)).await,
        }
    }

    async fn write_zeroes(&mut self, len: u64) -> Result<()> {
        match self.script.next(Operation::Write) {
            Some(Step::Fault(Fault::Partial(kind))) => {
                self.inner.write_zeroes(len / 2).await?;
                Err(injected(kind, Operation::Write, &self.subject))
            }
            step => {
                stepped(
                    step,
                    Operation::Write,
                    &self.subject,
                    self.inner.write_zeroes(len),
                )
                .await
            }
        }
    }

    async fn commit(self: Box<Self>) -> Result<Location> {
        let commit = self.inner.commit();
        self.script.call(Operation::Commit, &self.subject, commit).await
    }

    async fn abort(self: Box<Self>) -> Result<()> {
        let abort = self.inner.abort();
        self.script.call(Operation::Abort, &self.subject, abort).await
    }
}

/// A body that fails when half of its bytes, of which there are `len`, were given.
fn half(blob: Blob, len: u64, kind: ErrorKind) -> Blob {
    let given = len / 2;
    let whole = match blob.body {
        Body::File(region) => stream::iter((0..given).step_by(CHUNK))
            .map(move |start| chunk_of(&region, start))
            .boxed(),
        Body::Stream(stream) => stream,
    };
    let cut = whole.scan(given, |left, chunk| {
        let cut = chunk.map(|chunk| {
            let take = usize::try_from(*left).unwrap_or(usize::MAX).min(chunk.len());
            *left = left.saturating_sub(u64::try_from(take).unwrap_or(u64::MAX));
            chunk.slice(..take)
        });
        let goes_on = cut.as_ref().map_or(true, |chunk| !chunk.is_empty());
        ready(goes_on.then_some(cut))
    });
    let failure = stream::once(ready(Err(injected(kind, Operation::Read, "a blob"))));
    Blob {
        size: blob.size,
        body: Body::Stream(cut.chain(failure).boxed()),
    }
}

fn chunk_of(region: &FileRegion, start: u64) -> Result<Bytes> {
    let left = usize::try_from(region.len.saturating_sub(start)).unwrap_or(usize::MAX);
    let mut bytes = vec![0; left.min(CHUNK)];
    region
        .file
        .read_exact_at(&mut bytes, region.offset.saturating_add(start))
        .map_err(|source| Error::new(ErrorKind::Unavailable, Operation::Read, "a blob").caused_by(source))?;
    Ok(Bytes::from(bytes))
}
