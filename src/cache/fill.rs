//! One fill: the data of one image on its way from its store to a file, and to everyone who reads it meanwhile.

use std::{
    fs::File,
    os::unix::fs::FileExt,
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use futures_util::{
    FutureExt, StreamExt,
    stream::{BoxStream, Fuse},
};
use saccade_store_contract::{Error, ErrorKind, Operation, Result};
use tokio::{
    sync::watch,
    task::{JoinError, JoinHandle, spawn_blocking},
};
use tokio_util::sync::CancellationToken;

use super::{
    index::NoRoom,
    key::{Check, Key},
    room::Room,
};
use crate::digest::{DigestPool, DigestStream};

/// What is read from the store before it is written, in bytes; as much again is being written meanwhile.
const BATCH: usize = 1 << 20;

/// So much is kept back from readers until the data is known to be right, in bytes: whoever reads wrong data does not come to its end.
pub(super) const TAIL: u64 = 1 << 20;

/// A write under way, and where it will have ended.
type Writing = JoinHandle<std::io::Result<u64>>;

/// A fill under way, or at its end.
#[derive(Debug)]
pub(super) struct Fill {
    pub(super) key: Key,
    progress: watch::Sender<Progress>,
    /// Changed under the lock of the cache, so that nobody joins a fill that is being given up.
    readers: AtomicUsize,
    /// Whether it goes on when nobody reads it.
    wanted: AtomicBool,
    /// Whether what it brings will be kept by nobody but those who read it now.
    orphaned: AtomicBool,
    cancelled: CancellationToken,
    done: CancellationToken,
}

/// Why a fill has ended for a reason that is none of the data's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reason {
    /// The store could not be opened: whoever asks it will be told why.
    NotOpened,
    /// There is no room that could be made.
    NoRoom,
    /// The cache's own disk does not do its part.
    Local,
    /// Nobody wants it any more.
    Unwanted,
}

/// How far a fill has come.
#[derive(Debug, Clone)]
pub(super) struct Progress {
    /// There from the moment that the store has been opened.
    pub(super) file: Option<Arc<File>>,
    /// In bytes, from the beginning.
    pub(super) written: u64,
    pub(super) state: State,
}

/// Where a fill is in its life.
#[derive(Debug, Clone)]
pub(super) enum State {
    /// The store is being asked.
    Opening,
    /// Bytes come.
    Filling,
    /// All are there, and right.
    Verified,
    /// Readers go on without it.
    GivenUp(Reason),
    /// The store has failed.
    Broken(Arc<Error>),
    /// All are there, and wrong.
    Wrong,
}

/// Why a fill does not succeed.
#[derive(Debug)]
pub(super) enum Failure {
    /// The store, before its first byte.
    NotOpened(Error),
    /// There is no room that could be made.
    NoRoom(NoRoom),
    /// The store, within the data.
    Source(Error),
    /// This machine's disk.
    Local(std::io::Error),
    /// The data has another hash than it should.
    Wrong {
        /// The hash that it should have.
        expected: String,
        /// The one that it has.
        found: String,
    },
}

impl Fill {
    pub(super) fn new(key: Key) -> Self {
        let (progress, _) = watch::channel(Progress {
            file: None,
            written: 0,
            state: State::Opening,
        });
        Self {
            key,
            progress,
            readers: AtomicUsize::new(0),
            wanted: AtomicBool::new(false),
            orphaned: AtomicBool::new(false),
            cancelled: CancellationToken::new(),
            done: CancellationToken::new(),
        }
    }

    pub(super) fn watch(&self) -> watch::Receiver<Progress> {
        self.progress.subscribe()
    }

    /// It goes on whether somebody reads it or not.
    pub(super) fn want(&self) {
        self.wanted.store(true, Ordering::SeqCst);
    }

    /// Somebody reads it from now on. Under the lock of the cache.
    pub(super) fn join(&self) {
        self.readers.fetch_add(1, Ordering::SeqCst);
    }

    /// Somebody reads it no more; whether it is not worth going on: nobody is left, and less than half is there, or nobody
    /// would keep it. Under the lock of the cache.
    pub(super) fn leave(&self) -> bool {
        let before = self.readers.fetch_sub(1, Ordering::SeqCst);
        let written = self.progress.borrow().written;
        let is_wanted = self.wanted.load(Ordering::SeqCst) || written >= self.key.size().div_ceil(2);
        before == 1 && (self.orphaned.load(Ordering::SeqCst) || !is_wanted)
    }

    /// Nobody new will read it; it ends when those have left who do. Under the lock of the cache.
    pub(super) fn orphan(&self) {
        self.orphaned.store(true, Ordering::SeqCst);
        if self.readers.load(Ordering::SeqCst) == 0 {
            self.cancel();
        }
    }

    pub(super) fn cancel(&self) {
        self.cancelled.cancel();
    }

    /// Returns once nobody wants it.
    pub(super) async fn cancelled(&self) {
        self.cancelled.cancelled().await;
    }

    /// Nothing more will come of it.
    pub(super) fn close(&self) {
        self.end(State::GivenUp(Reason::Local));
        self.done.cancel();
    }

    /// Returns once nothing more will come of it.
    pub(super) async fn closed(&self) {
        self.done.cancelled().await;
    }

    pub(super) fn begin(&self, file: Arc<File>) {
        self.progress.send_modify(|progress| {
            progress.file = Some(file);
            progress.state = State::Filling;
        });
    }

    /// The last word; later ones say nothing.
    pub(super) fn end(&self, end: State) {
        self.progress.send_if_modified(|progress| {
            let is_open = matches!(progress.state, State::Opening | State::Filling);
            if is_open {
                progress.state = end;
            }
            is_open
        });
    }

    /// Writes what comes, hashes it, and says how far it is; returns when all is there and right.
    ///
    /// Memory: two batches of 1 MiB, what the hashing is behind, and one chunk of the store's.
    pub(super) async fn run(
        &self,
        chunks: BoxStream<'static, Result<Bytes>>,
        file: Arc<File>,
        room: &Arc<Room>,
        digests: &DigestPool,
        patience: Duration,
    ) -> std::result::Result<(), Failure> {
        let mut hashing = Hashing::of(&self.key, digests);
        let mut chunks = chunks.fuse();
        let mut received = 0_u64;
        let mut writing: Option<Writing> = None;
        loop {
            let batch = {
                let mut next = pin!(next_batch(&mut chunks, patience));
                loop {
                    // What has been written is told while the next bytes are waited for.
                    let Some(under_way) = &mut writing else {
                        break next.await;
                    };
                    tokio::select! {
                        biased;
                        end = under_way => {
                            writing = None;
                            self.written(end)?;
                        }
                        batch = &mut next => break batch,
                    }
                }
            }
            .map_err(Failure::Source)?;
            let offset = received;
            for chunk in &batch {
                received = received.saturating_add(chunk.len() as u64);
                hashing.push(chunk.clone()).await?;
            }
            if received > self.key.size() {
                return Err(Failure::Source(another_length()));
            }
            if let Some(under_way) = writing.take() {
                self.written(under_way.await)?;
            }
            if batch.is_empty() {
                break;
            }
            room.reach(received, &file).await?;
            writing = Some(spawn_blocking({
                let file = Arc::clone(&file);
                move || write(&file, &batch, offset)
            }));
        }
        if received < self.key.size() {
            return Err(Failure::Source(another_length()));
        }
        hashing.finish().await
    }

    fn written(
        &self,
        end: std::result::Result<std::io::Result<u64>, JoinError>,
    ) -> std::result::Result<(), Failure> {
        let end = end.map_err(std::io::Error::other).flatten();
        let end = end.map_err(Failure::Local)?;
        self.progress.send_modify(|progress| progress.written = end);
        Ok(())
    }
}

impl Progress {
    /// How much of a blob of this size readers may have, in bytes from the beginning.
    pub(super) fn readable(&self, size: u64) -> u64 {
        match self.state {
            State::Verified => size,
            State::Wrong => 0,
            _ => self.written.min(size.saturating_sub(TAIL)),
        }
    }
}

fn another_length() -> Error {
    Error::new(ErrorKind::Corrupt, Operation::Read, "an image's data")
        .caused_by("it has not the length that it should have")
}

/// What there is without waiting, at least one chunk; nothing at the end.
async fn next_batch(
    chunks: &mut Fuse<BoxStream<'static, Result<Bytes>>>,
    patience: Duration,
) -> Result<Vec<Bytes>> {
    let silent = |_| {
        Error::new(ErrorKind::Unavailable, Operation::Read, "an image's data")
            .caused_by("nothing came for longer than image_cache_stall_time")
    };
    let Some(first) = tokio::time::timeout(patience, chunks.next())
        .await
        .map_err(silent)?
    else {
        return Ok(Vec::new());
    };
    let mut batch = vec![first?];
    let mut len = batch.iter().map(Bytes::len).sum::<usize>();
    while len < BATCH {
        match chunks.next().now_or_never() {
            None | Some(None) => break,
            Some(Some(chunk)) => {
                let chunk = chunk?;
                len = len.saturating_add(chunk.len());
                batch.push(chunk);
            }
        }
    }
    Ok(batch)
}

/// Where the batch ends.
fn write(file: &File, batch: &[Bytes], mut offset: u64) -> std::io::Result<u64> {
    for chunk in batch {
        file.write_all_at(chunk, offset)?;
        offset = offset.saturating_add(chunk.len() as u64);
    }
    Ok(offset)
}

/// The hash of the data, where one is known that it should have.
enum Hashing {
    Of(DigestStream, Check),
    Nothing,
}

impl Hashing {
    fn of(key: &Key, digests: &DigestPool) -> Self {
        match key.check() {
            Check::Hash(algorithm, _) => Self::Of(digests.start(&[*algorithm]), key.check().clone()),
            Check::Length => Self::Nothing,
        }
    }

    async fn push(&mut self, chunk: Bytes) -> std::result::Result<(), Failure> {
        match self {
            Self::Of(digest, _) => digest.push(chunk).await.map_err(not_hashed),
            Self::Nothing => Ok(()),
        }
    }

    async fn finish(self) -> std::result::Result<(), Failure> {
        let Self::Of(digest, Check::Hash(algorithm, expected)) = self else {
            return Ok(());
        };
        let digests = digest.finish().await.map_err(not_hashed)?;
        let found = digests.hex(algorithm).unwrap_or_default().to_owned();
        match found == expected {
            true => Ok(()),
            false => Err(Failure::Wrong { expected, found }),
        }
    }
}

/// A thread has panicked: nothing that the store could help.
fn not_hashed(error: crate::digest::DigestError) -> Failure {
    Failure::Local(std::io::Error::other(error))
}
