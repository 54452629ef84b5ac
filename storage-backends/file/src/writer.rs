//! The async side of a writer.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use saccade_store_contract::{BlobWriter, Error, ErrorKind, Location, Operation, Result};
use tokio::task::{JoinError, JoinHandle};

use crate::{
    attempt::AttemptState,
    errors::refused,
    layout::AttemptNames,
    queue::{Batches, Offered, Queue, Queued},
    store::Inner,
    undo,
};

/// Writes one blob. Chunks are written on blocking threads, one at a time, and what comes meanwhile is the next write: so that
/// writes are the longer the more there is to write, and no chunk waits for another. The [`Queue`] says how many are held.
#[derive(Debug)]
pub(crate) struct FileWriter {
    inner: Arc<Inner>,
    state: Arc<AttemptState>,
    names: Arc<AttemptNames>,
    size_hint: Option<u64>,
    queue: Queue,
    /// How many bytes were accepted.
    written: u64,
    running: Option<JoinHandle<Result<()>>>,
    /// Set while a call has begun and not succeeded, so that a cancelled one is as a failed one.
    broken: bool,
}

impl FileWriter {
    pub(crate) fn new(
        inner: Arc<Inner>,
        state: Arc<AttemptState>,
        names: AttemptNames,
        size_hint: Option<u64>,
    ) -> Self {
        Self {
            inner,
            state,
            names: Arc::new(names),
            size_hint,
            queue: Queue::default(),
            written: 0,
            running: None,
            broken: false,
        }
    }

    async fn append(&mut self, len: u64, piece: Queued) -> Result<()> {
        if len == 0 {
            return Ok(());
        }
        self.begin(Operation::Write)?;
        let Some(written) = self.written.checked_add(len) else {
            return Err(refused(
                ErrorKind::Full,
                Operation::Write,
                self.names.blob.to_string(),
                "no file can be so long",
            ));
        };
        let mut piece = Some(piece);
        loop {
            match self.queue.offer(&mut piece) {
                Offered::Taken => break,
                Offered::Full => self.queue.room().await,
                Offered::NobodyWrites => {
                    self.previous(Operation::Write).await?;
                    self.start(piece.take());
                    break;
                }
            }
        }
        self.written = written;
        self.broken = false;
        Ok(())
    }

    /// Has the queue written by blocking threads, until it is empty.
    fn start(&mut self, first: Option<Queued>) {
        let writing = Writing {
            inner: Arc::clone(&self.inner),
            state: Arc::clone(&self.state),
            names: Arc::clone(&self.names),
            size_hint: self.size_hint,
        };
        let batches = self.queue.start(first);
        self.running = Some(tokio::spawn(writing.write(batches)));
    }

    fn begin(&mut self, operation: Operation) -> Result<()> {
        if self.broken {
            return Err(refused(
                ErrorKind::Unavailable,
                operation,
                self.names.blob.to_string(),
                "an earlier write failed or was cancelled",
            ));
        }
        self.broken = true;
        Ok(())
    }

    /// The outcome of the write that is under way.
    async fn previous(&mut self, operation: Operation) -> Result<()> {
        match self.running.take() {
            Some(running) => joined(running.await, operation, &self.names),
            None => Ok(()),
        }
    }
}

impl Drop for FileWriter {
    /// Does no I/O beyond closing the file: only stops a call that takes long, and one that waits for a thread. What is left is
    /// for `discard`.
    fn drop(&mut self) {
        self.state.give_up();
        if let Some(running) = &self.running {
            running.abort();
        }
    }
}

/// What the threads that write need.
struct Writing {
    inner: Arc<Inner>,
    state: Arc<AttemptState>,
    names: Arc<AttemptNames>,
    size_hint: Option<u64>,
}

impl Writing {
    /// Writes until there is nothing more. Other writers get their turn after each batch.
    async fn write(self, mut batches: Batches) -> Result<()> {
        let this = Arc::new(self);
        while !batches.are_over() {
            let writing = Arc::clone(&this);
            let call = this.inner.threads.write(move |place| {
                while let Some((offset, piece)) = batches.next() {
                    let Self {
                        inner,
                        state,
                        names,
                        size_hint,
                    } = &*writing;
                    state.append(inner, names, *size_hint, offset, &piece)?;
                    if place.is_wanted() {
                        return Ok(Some(batches));
                    }
                }
                Ok(None)
            });
            match joined(call.await, Operation::Write, &this.names)? {
                Some(left) => batches = left,
                None => break,
            }
        }
        Ok(())
    }
}

/// What a call on another thread or task returned.
fn joined<T>(
    called: std::result::Result<Result<T>, JoinError>,
    operation: Operation,
    names: &AttemptNames,
) -> Result<T> {
    called.unwrap_or_else(|stopped| {
        Err(Error::new(ErrorKind::Unavailable, operation, names.blob.to_string()).caused_by(stopped))
    })
}

#[async_trait]
impl BlobWriter for FileWriter {
    async fn write(&mut self, chunk: Bytes) -> Result<()> {
        let len = u64::try_from(chunk.len()).unwrap_or(u64::MAX);
        self.append(len, Queued::Bytes(chunk)).await
    }

    async fn write_zeroes(&mut self, len: u64) -> Result<()> {
        self.append(len, Queued::Zeroes(len)).await
    }

    async fn commit(mut self: Box<Self>) -> Result<Location> {
        self.begin(Operation::Commit)?;
        self.previous(Operation::Commit).await?;
        let (inner, state) = (Arc::clone(&self.inner), Arc::clone(&self.state));
        let (names, written) = (Arc::clone(&self.names), self.written);
        let threads = &self.inner.threads;
        let called = threads
            .write(move |_| state.commit(&inner, &names, written))
            .await;
        joined(called, Operation::Commit, &self.names)
    }

    async fn abort(self: Box<Self>) -> Result<()> {
        self.state.give_up();
        let (inner, names) = (Arc::clone(&self.inner), Arc::clone(&self.names));
        let state = Arc::clone(&self.state);
        let call = self.inner.threads.call(move || {
            state.end();
            undo::discard(&inner, &names, Operation::Abort)
        });
        joined(call.await, Operation::Abort, &self.names)
    }
}
