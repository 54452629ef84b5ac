//! The read-through image cache: images of slow stores on the local disk, read once from the store for any number of
//! readers.
//!
//! ```text
//!  reader ─► complete? ─► a region of the cached file
//!            filling?  ─► follows the fill, from the file        store ─► fill ─► file ─► verified ─► complete
//!            neither   ─► begins a fill, and follows it
//! ```
//!
//! * [`Cache`]: the handle; `read` is what a download asks
//! * `key`: which data is meant; `index`: what there is, in the order of use, within the limit
//! * `directory`: the files and the index on disk
//! * `fill`: one image on its way; `drive`: its life from the first byte to the index; `room`: what it takes of the limit and of
//!   the disk; `reader`: whoever follows it
//! * `manage`: what operators may see and do
//!
//! It knows nothing of records but what a [`Key`] says: who may read, and whether the image still lives, is decided before it is
//! asked. Everything in it can be had again from the stores, so that trouble with its disk is never a reader's.
//!
//! Memory: a few MiB for each fill, of which [`FILLS_AT_ONCE`] run, and one chunk of 256 KiB for each reader that follows one.

mod directory;
mod drive;
mod fill;
mod index;
mod key;
mod manage;
mod reader;
mod room;
#[cfg(test)]
pub(crate) mod tests;

use std::{
    collections::{HashMap, HashSet},
    fs::File,
    ops::Range,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::stream::BoxStream;
use saccade_store_contract::{Body, FileRegion, Result};
use tokio::{sync::Notify, task::spawn_blocking};

pub use self::{
    directory::OpenError,
    drive::Fetched,
    key::Key,
    manage::{Cached, Pruned},
};
use self::{
    directory::{Directory, Found},
    fill::{Fill, Reason, State},
    index::{Index, Stamp},
    reader::{Joined, follow},
};
use crate::{
    digest::DigestPool,
    image::{ImageId, Timestamp},
};

/// Fills that run at once. What more would begin is read from its store.
pub const FILLS_AT_ONCE: usize = 16;

/// A range that begins so far beyond what has been written, in bytes, is not waited for.
const WORTH_WAITING: u64 = 64 << 20;

/// What the operator has decided of the cache.
#[derive(Debug, Clone)]
pub struct Options {
    /// The configured directory (`image_cache_dir`).
    pub dir: PathBuf,
    /// The most bytes of all files together (`image_cache_max_size`).
    pub limit: u64,
    /// So much of the disk is left to others, in bytes (`[saccade] free_space_reserve`).
    pub free_space_reserve: u64,
    /// A fill to which nothing comes for so long is given up (`image_cache_stall_time`).
    pub stall: Duration,
}

/// Where the data of one image comes from.
#[async_trait]
pub trait Origin: Send + Sync {
    /// All of it.
    ///
    /// # Errors
    /// It cannot be had: readers will ask for it themselves, and be told why.
    async fn open(&self) -> Result<BoxStream<'static, Result<Bytes>>>;

    /// A part of it, for a reader that has what comes before, or wants no more.
    ///
    /// # Errors
    /// It cannot be had, or may be other data by now.
    async fn resume(&self, range: Range<u64>) -> Result<BoxStream<'static, Result<Bytes>>>;

    /// Whether the image still lives and has this data.
    async fn is_current(&self) -> bool;
}

/// What becomes of data that is not cached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnMiss {
    /// It is cached while it is read.
    Fill,
    /// The reader asks the store.
    Leave,
}

/// The cache. Clones are handles to the same one.
#[derive(Clone)]
pub struct Cache {
    shared: Arc<Shared>,
}

struct Shared {
    directory: Directory,
    digests: DigestPool,
    stall: Duration,
    /// So many bytes of the disk are left to others.
    free_space_reserve: u64,
    free_space: FreeSpace,
    state: Mutex<Contents>,
    /// Held while the index is written.
    saving: Arc<tokio::sync::Mutex<()>>,
    /// Held while room is made on the disk and taken.
    allocating: Mutex<()>,
    /// The index is to be written soon.
    urgent: Notify,
    /// Something was queued.
    queued: Notify,
    /// Whether an operator has been told of the trouble that there is.
    troubled: AtomicBool,
}

/// How many bytes are free where the directory is.
type FreeSpace = Box<dyn Fn(&Directory) -> u64 + Send + Sync>;

/// What changes.
struct Contents {
    index: Index,
    /// What was queued since the queue was looked at last, as far as it is still there.
    asked: HashSet<ImageId>,
    /// Those that may be joined.
    fills: HashMap<ImageId, Arc<Fill>>,
    /// Names of the files of all fills, those that nobody may join among them.
    files: HashSet<String>,
    running: usize,
    /// Whether the index on disk is another.
    is_dirty: bool,
}

/// What there is of an image.
enum There {
    Complete(Complete),
    Filling(Joined),
    Nothing(&'static str),
}

/// A complete file that may be open already.
struct Complete {
    file: String,
    size: u64,
    stamp: Stamp,
    open: Option<Arc<File>>,
}

/// What became of opening a complete file.
enum Opened {
    File(Arc<File>),
    /// There is none any more.
    Lost,
    /// It may be there, and cannot be opened now.
    NotNow,
}

impl Cache {
    /// Opens the cache in its directory, which is made where it is missing, and removes from it what cannot be used any
    /// more. Blocks.
    ///
    /// # Errors
    /// The directory cannot be used, or another daemon uses it.
    pub fn open(options: &Options, digests: DigestPool) -> std::result::Result<Self, OpenError> {
        Self::open_on(options, digests, Box::new(Directory::free_space))
    }

    fn open_on(
        options: &Options,
        digests: DigestPool,
        free_space: FreeSpace,
    ) -> std::result::Result<Self, OpenError> {
        let directory = Directory::open(&options.dir)?;
        let Found {
            index,
            broken,
            removed,
            foreign,
        } = directory.load(options.limit)?;
        if let Some(error) = broken {
            tracing::warn!(%error, "the index of the image cache cannot be read: the cache begins anew");
        }
        if foreign > 0 {
            tracing::info!(
                bytes = foreign,
                "image_cache_dir holds files of another service's cache, which are not used and not touched: \
                 remove them when that service is gone"
            );
        }
        tracing::info!(
            path = %options.dir.display(),
            images = index.iter().count(),
            bytes = index.used(),
            limit = index.limit(),
            removed,
            "image cache opened"
        );
        metrics::gauge!("saccade_image_cache_limit_bytes").set(index.limit() as f64);
        let cache = Self {
            shared: Arc::new(Shared {
                directory,
                digests,
                stall: options.stall.max(Duration::from_secs(1)),
                free_space_reserve: options.free_space_reserve,
                free_space,
                state: Mutex::new(Contents {
                    index,
                    asked: HashSet::new(),
                    fills: HashMap::new(),
                    files: HashSet::new(),
                    running: 0,
                    is_dirty: removed > 0,
                }),
                saving: Arc::default(),
                allocating: Mutex::new(()),
                urgent: Notify::new(),
                queued: Notify::new(),
                troubled: AtomicBool::new(false),
            }),
        };
        cache.shared.lock().measure();
        Ok(cache)
    }

    /// Whether the directory can be used, as far as can be told without changing anything. Blocks.
    ///
    /// # Errors
    /// What is there is no directory, or cannot be looked at.
    pub fn check(dir: &Path) -> std::result::Result<(), OpenError> {
        directory::check(dir)
    }

    /// The data of an image, or a range of it, if it is cached, is being cached, or is to be from now on; `None` when the
    /// caller has to ask the store. A range alone begins nothing.
    ///
    /// When this returns a body of a fill, the store has answered. Cancel safe: a fill that was begun goes on as long as
    /// somebody reads it.
    pub async fn read(
        &self,
        key: &Key,
        range: Option<Range<u64>>,
        on_miss: OnMiss,
        origin: &Arc<dyn Origin>,
    ) -> Option<Body> {
        let may_fill = on_miss == OnMiss::Fill && range.is_none();
        let wanted = range.unwrap_or(0..key.size());
        // A file that is found to be gone is forgotten, and then there is nothing.
        for _ in 0..2 {
            match self.find(key, may_fill, origin) {
                There::Complete(complete) => match self.open_complete(key, complete).await {
                    Opened::File(file) => {
                        count("hit");
                        return Some(Body::File(FileRegion {
                            file,
                            offset: wanted.start,
                            len: wanted.end.saturating_sub(wanted.start),
                        }));
                    }
                    Opened::Lost => {}
                    Opened::NotNow => {
                        bypassed("local_failure");
                        return None;
                    }
                },
                There::Filling(joined) => return self.follow(joined, wanted, origin).await,
                There::Nothing(reason) => {
                    bypassed(reason);
                    return None;
                }
            }
        }
        bypassed("lost");
        None
    }

    fn find(&self, key: &Key, may_fill: bool, origin: &Arc<dyn Origin>) -> There {
        let mut state = self.shared.lock();
        let stale = match state.index.get(key.image()) {
            Some(entry) if entry.is_of(key) => {
                return There::Complete(Complete {
                    file: entry.file.clone(),
                    size: entry.size,
                    stamp: entry.stamp,
                    open: entry.open.upgrade(),
                });
            }
            found => found.is_some(),
        };
        if stale && let Some(entry) = state.index.remove(key.image()) {
            state.is_dirty = true;
            self.shared.discard(vec![entry], "stale");
        }
        if let Some(fill) = state.fills.get(&key.image()) {
            if fill.key == *key {
                return There::Filling(self.joined(fill));
            }
            // It brings data that the image has no more.
            fill.orphan();
            state.fills.remove(&key.image());
        }
        let reason = match (may_fill, key.size() > state.index.limit()) {
            (false, _) => "not_filled",
            (true, true) => "too_large",
            (true, false) if state.running >= FILLS_AT_ONCE => "busy",
            (true, false) => {
                count("miss");
                let fill = self.begin(&mut state, key, origin);
                return There::Filling(self.joined(&fill));
            }
        };
        There::Nothing(reason)
    }

    /// Under the lock.
    fn joined(&self, fill: &Arc<Fill>) -> Joined {
        fill.join();
        Joined {
            shared: Arc::clone(&self.shared),
            fill: Arc::clone(fill),
        }
    }

    async fn open_complete(&self, key: &Key, complete: Complete) -> Opened {
        let Complete {
            file,
            size,
            stamp,
            open,
        } = complete;
        let opened = match open {
            Some(open) => Ok(open),
            None => {
                let (shared, name) = (Arc::clone(&self.shared), file.clone());
                let open = move || shared.directory.open_complete(&name, size, stamp).map(Arc::new);
                spawn_blocking(open)
                    .await
                    .map_err(std::io::Error::other)
                    .flatten()
            }
        };
        self.opened(key.image(), &file, opened)
    }

    /// A file of the image was opened, or could not be.
    fn opened(&self, image: ImageId, file: &str, opened: std::io::Result<Arc<File>>) -> Opened {
        let mut state = self.shared.lock();
        let current = state.index.get(image).filter(|entry| entry.file == file);
        let is_still_it = current.is_some();
        let shared = current.and_then(|entry| entry.open.upgrade());
        match (shared, opened) {
            // Somebody else has opened it meanwhile: all have the same, by which it is known to be read.
            (Some(opened), _) | (None, Ok(opened)) => {
                if is_still_it {
                    let open = Arc::downgrade(&opened);
                    state.index.hit(image, open, Timestamp::now());
                    state.is_dirty = true;
                }
                Opened::File(opened)
            }
            (None, Err(error)) if !directory::is_lost(&error) => {
                self.shared
                    .trouble("a cached file cannot be opened now, and stays", &error);
                Opened::NotNow
            }
            (None, Err(error)) => {
                // Evicted a moment ago, it is nobody's fault.
                if is_still_it && let Some(entry) = state.index.remove(image) {
                    state.is_dirty = true;
                    state.measure();
                    self.shared
                        .trouble("a cached file cannot be used, and is forgotten", &error);
                    self.shared.discard(vec![entry], "lost");
                }
                Opened::Lost
            }
        }
    }

    /// Waits until the store has answered.
    async fn follow(&self, joined: Joined, wanted: Range<u64>, origin: &Arc<dyn Origin>) -> Option<Body> {
        let mut progress = joined.fill.watch();
        let started = progress
            .wait_for(|progress| !matches!(progress.state, State::Opening))
            .await;
        let reason = match started
            .as_deref()
            .map(|progress| (&progress.state, progress.written))
        {
            Ok((State::GivenUp(Reason::NotOpened), _)) => Some("not_opened"),
            Ok((State::GivenUp(Reason::NoRoom), _)) => Some("no_room"),
            Ok((State::GivenUp(_), _)) | Err(_) => Some("given_up"),
            Ok((State::Filling, written)) if wanted.start > written.saturating_add(WORTH_WAITING) => {
                Some("far_ahead")
            }
            Ok(_) => None,
        };
        drop(started);
        if let Some(reason) = reason {
            bypassed(reason);
            return None;
        }
        count("shared");
        let origin = Arc::clone(origin);
        Some(Body::Stream(follow(joined, progress, wanted, origin)))
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Contents> {
        // No code under this lock leaves it half changed.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How much is free on the disk, in bytes. Blocks.
    fn free_space(&self) -> u64 {
        (self.free_space)(&self.directory)
    }

    /// How many bytes a disk with so much free space is short of for so many more, and for what is left to others.
    fn short_for(&self, bytes: u64, free: u64) -> u64 {
        let needed = bytes.saturating_add(self.free_space_reserve);
        needed.saturating_sub(free)
    }

    /// A reader leaves a fill: the last one may end it.
    fn leave(&self, fill: &Arc<Fill>) {
        let mut state = self.lock();
        if fill.leave() {
            state.forget(fill);
            fill.cancel();
        }
    }

    /// Tells an operator of trouble with the cache's own disk, once until it works again.
    fn trouble(&self, what: &'static str, error: &std::io::Error) {
        if self.troubled.swap(true, Ordering::Relaxed) {
            tracing::debug!(%error, "image cache: {what}");
        } else {
            tracing::warn!(%error, "image cache: {what}; images are read from their stores as long as this lasts");
        }
    }

    /// Removes the files of entries that are in the index no more. Does not wait.
    fn discard(self: &Arc<Self>, entries: Vec<index::Entry>, reason: &'static str) {
        if entries.is_empty() {
            return;
        }
        metrics::counter!("saccade_image_cache_evictions_total", "reason" => reason)
            .increment(entries.len() as u64);
        let shared = Arc::clone(self);
        spawn_blocking(move || {
            for entry in entries {
                directory::remove(&shared.directory.complete(&entry.file));
            }
        });
    }
}

impl Contents {
    /// The fill may be joined no more; whether it could be.
    fn forget(&mut self, fill: &Arc<Fill>) -> bool {
        let id = fill.key.image();
        let is_it = self.fills.get(&id).is_some_and(|known| Arc::ptr_eq(known, fill));
        if is_it {
            self.fills.remove(&id);
        }
        is_it
    }

    fn measure(&self) {
        metrics::gauge!("saccade_image_cache_size_bytes").set(self.index.used() as f64);
    }
}

fn count(result: &'static str) {
    metrics::counter!("saccade_image_cache_requests_total", "result" => result).increment(1);
}

fn bypassed(reason: &'static str) {
    count("bypass");
    metrics::counter!("saccade_image_cache_bypasses_total", "reason" => reason).increment(1);
}
