//! The metadata store of one node: an embedded RocksDB.
//!
//! * `keys`: the layout of the database; every key is made there
//! * `record`: what is stored of an image, in versions
//! * `open`: the database: opened, checked, and opened again after a write that failed
//! * `writer`: the one thread that decides and writes, in synced groups
//! * `usage`: what each project's images take up
//! * `list`: pages
//! * `lookup`: pages of what few images have
//! * `definitions`: metadata definitions
//! * `tasks`: what became of imports
//!
//! Writes run on the writer's thread. What may wait for the disk is read on tokio's blocking threads; a record, a sum or a short page that
//! is in memory is read where it is asked for, in microseconds: going to another thread and back costs many times as much.

mod definitions;
#[cfg(feature = "fuzzing")]
#[doc(hidden)]
pub mod fuzzing;
mod keys;
mod list;
mod lookup;
mod open;
mod record;
mod tasks;
#[cfg(test)]
mod tests;
mod usage;
mod writer;

use std::{
    fmt,
    path::Path,
    sync::{Arc, Mutex, PoisonError},
    thread::JoinHandle,
};

use ::rocksdb::DB;
use async_trait::async_trait;
use tokio::sync::{mpsc, oneshot};

pub use self::open::{OpenError, OpenErrorKind, Options};
use self::{
    open::{Database, Reach, read_error, read_options},
    writer::{Message, QUEUE, Request, Writer},
};
use super::{Metadata, MetadataError, MetadataErrorKind, Page, Query};
use crate::image::{Allowance, Change, Claim, Entry, ImageId, Timestamp, Tombstone, Usage};

/// Images in a RocksDB under one directory. Clones are handles to the same store.
///
/// One commit costs a share of one synced write: commits that come while another is being written are written together.
///
/// When the last handle is dropped, everything that was committed is written and the database closed before the drop
/// returns: it blocks for a write. [`close`](Self::close) does the same without blocking.
#[derive(Clone)]
pub struct RocksMetadata(Arc<Handle>);

struct Handle {
    database: Arc<Database>,
    /// `None` only while it is dropped.
    queue: Option<mpsc::Sender<Message>>,
    writer: Mutex<Option<JoinHandle<()>>>,
}

impl RocksMetadata {
    /// Opens the store, or makes a new one, directories included. Blocks.
    ///
    /// After a crash it holds every change that was acknowledged; of the others some may have been applied.
    ///
    /// # Errors
    /// [`OpenError`]; nothing was changed, but for the directories.
    pub fn open(path: &Path, options: Options) -> Result<Self, OpenError> {
        let database = Arc::new(Database::open(path, options)?);
        let failed = |kind, source| OpenError {
            kind,
            path: path.to_owned(),
            source: Some(source),
        };
        let (queue, waiting) = mpsc::channel(QUEUE);
        let writer = Writer::new(Arc::clone(&database), waiting)
            .map_err(|error| failed(OpenErrorKind::Damaged, error.into()))?;
        let writer = std::thread::Builder::new()
            .name("metadata-writer".into())
            .spawn(move || writer.run())
            .map_err(|error| failed(OpenErrorKind::Directory, error.into()))?;
        Ok(Self(Arc::new(Handle {
            database,
            queue: Some(queue),
            writer: Mutex::new(Some(writer)),
        })))
    }

    /// Closes the store for all handles: commits that were begun are finished, later operations find it `Unavailable`.
    /// When it returns, the directory can be opened again.
    ///
    /// Cancel safety: once polled, the store is closed whether or not the future is dropped, unless the queue was full.
    pub async fn close(self) {
        let (done, closed) = oneshot::channel();
        if let Some(queue) = &self.0.queue
            && queue.send(Message::Close(done)).await.is_ok()
        {
            let _ = closed.await;
        }
    }

    async fn read<T: Send + 'static>(
        &self,
        work: impl FnOnce(&DB) -> Result<T, MetadataError> + Send + 'static,
    ) -> Result<T, MetadataError> {
        let database = Arc::clone(&self.0.database);
        tokio::task::spawn_blocking(move || database.with(work))
            .await
            .unwrap_or_else(|error| Err(MetadataError::caused_by(MetadataErrorKind::Unavailable, error)))
    }

    /// The same for what is little and mostly in memory: on this thread if all of it is there, else on one that may wait. `work` is
    /// then called again, with [`Reach::Disk`].
    async fn read_little<T: Send + 'static>(
        &self,
        work: impl Fn(&DB, Reach) -> Result<T, MetadataError> + Send + 'static,
    ) -> Result<T, MetadataError> {
        match self.0.database.with_memory(|db| work(db, Reach::Memory)) {
            Some(done) => done,
            None => self.read(move |db| work(db, Reach::Disk)).await,
        }
    }
}

#[async_trait]
impl Metadata for RocksMetadata {
    async fn commit_within(&self, change: Change, allowance: Allowance) -> Result<Entry, MetadataError> {
        let (reply, answer) = oneshot::channel();
        let unavailable = || MetadataError::new(MetadataErrorKind::Unavailable);
        let queue = self.0.queue.as_ref().ok_or_else(unavailable)?;
        let request = Message::Commit(Request {
            change,
            allowance,
            reply,
        });
        queue.send(request).await.map_err(|_| unavailable())?;
        // A writer that went away without an answer may have written before.
        answer
            .await
            .unwrap_or_else(|_| Err(MetadataError::new(MetadataErrorKind::OutcomeUnknown)))
    }

    async fn entry(&self, id: ImageId) -> Result<Option<Entry>, MetadataError> {
        self.read_little(move |db, reach| {
            read_entry(id, db.get_pinned_opt(keys::entry(id), &read_options(reach)))
        })
        .await
    }

    async fn usage(&self, project: &str) -> Result<Usage, MetadataError> {
        let project = project.to_owned();
        self.read_little(move |db, reach| usage::of_project(db, &project, reach))
            .await
    }

    async fn list(&self, query: Query) -> Result<Page, MetadataError> {
        self.read_little(move |db, reach| list::page(db, &query, reach))
            .await
    }

    async fn claims(&self) -> Result<Vec<(ImageId, Claim)>, MetadataError> {
        self.read(list::claims).await
    }

    async fn pending(
        &self,
        until: Timestamp,
        after: Option<(Timestamp, ImageId)>,
        limit: usize,
    ) -> Result<Vec<Tombstone>, MetadataError> {
        self.read(move |db| list::pending(db, until, after, limit)).await
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.queue = None;
        let writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(writer) = writer {
            let _ = writer.join();
        }
    }
}

impl fmt::Debug for RocksMetadata {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RocksMetadata").finish_non_exhaustive()
    }
}

/// The entry in what was read under its id.
fn read_entry(
    id: ImageId,
    read: Result<Option<impl AsRef<[u8]>>, ::rocksdb::Error>,
) -> Result<Option<Entry>, MetadataError> {
    let Some(bytes) = read.map_err(read_error)? else {
        return Ok(None);
    };
    let entry = record::decode(id, bytes.as_ref())
        .map_err(|error| MetadataError::caused_by(MetadataErrorKind::Corrupt, error))?;
    Ok(Some(entry))
}
