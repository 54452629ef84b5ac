//! What this node has begun and not finished: a small durable list.
//!
//! Every upload attempt is in it before its first byte, and every deletion before its tombstone; they leave it when
//! nothing is left to do. What is in it when a daemon starts was interrupted, and is finished by the janitor: nothing
//! else, no listing of a directory or bucket, tells what to clean up.
//!
//! An operation that is in the ledger is *held* by whoever works on it, through a [`Held`]. Dropping that without
//! forgetting the operation makes it an orphan, as does a restart.
//!
//! * `journal`: the file: lines appended and synced in groups, rewritten when it has grown
//! * `writer`: the thread that owns it

mod entry;
#[cfg(feature = "fuzzing")]
#[doc(hidden)]
pub mod fuzzing;
mod journal;
#[cfg(test)]
mod tests;
mod writer;

use std::{
    collections::HashMap,
    io,
    path::Path,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use saccade_disk::Disk;
use tokio::sync::Notify;

pub use self::entry::{
    AdoptionEntry, DeletionEntry, Entry, OperationId, RemovalEntry, StoredLocation, UploadEntry,
};
use self::{journal::Journal, writer::Writer};

/// This node's ledger. Clones are handles to the same one.
#[derive(Debug, Clone)]
pub struct Ledger {
    state: Arc<State>,
    writer: Arc<Writer>,
}

#[derive(Debug, Default)]
struct State {
    operations: Mutex<HashMap<OperationId, Operation>>,
    orphaned: Notify,
}

#[derive(Debug)]
struct Operation {
    entry: Entry,
    is_held: bool,
}

/// The ledger could not be read or written.
#[derive(Debug, Clone, thiserror::Error)]
#[error("the ledger cannot be {action} ({path})")]
pub struct LedgerError {
    action: &'static str,
    path: String,
    #[source]
    source: Arc<io::Error>,
}

impl LedgerError {
    fn new(action: &'static str, path: &Path, source: io::Error) -> Self {
        Self {
            action,
            path: path.display().to_string(),
            source: Arc::new(source),
        }
    }

    /// Whether the reason is that there is no room.
    pub fn is_for_want_of_room(&self) -> bool {
        matches!(
            self.source.kind(),
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded
        )
    }
}

/// What a ledger was opened with.
#[derive(Debug)]
pub struct Opened {
    /// The ledger; everything it holds is an orphan.
    pub ledger: Ledger,
    /// Lines that could not be read. They were never acknowledged, unless the disk has lost data; the file that held
    /// them was kept beside the new one.
    pub unreadable_lines: usize,
}

impl Ledger {
    /// Opens the ledger in `dir`, which exists, or makes an empty one. Reads the whole file; blocks.
    ///
    /// # Errors
    /// The file cannot be read, or a new one cannot be written.
    pub fn open(dir: &Path, disk: Arc<dyn Disk>) -> Result<Opened, LedgerError> {
        let (journal, found) = Journal::open(dir, disk)?;
        let operations = found.entries.into_iter().map(|(id, entry)| {
            (
                id,
                Operation {
                    entry,
                    is_held: false,
                },
            )
        });
        let state = Arc::new(State {
            operations: Mutex::new(operations.collect()),
            orphaned: Notify::new(),
        });
        let writer = Arc::new(Writer::start(journal)?);
        Ok(Opened {
            ledger: Self { state, writer },
            unreadable_lines: found.unreadable_lines,
        })
    }

    /// Adds an operation. When this returns `Ok`, it is on stable storage.
    ///
    /// Cancelled, or after an error, it is unknown whether the operation is in the ledger: it is then an orphan.
    ///
    /// # Errors
    /// The ledger cannot be written.
    pub async fn begin(&self, entry: Entry) -> Result<Held, LedgerError> {
        let id = OperationId::random();
        self.state.lock().insert(
            id,
            Operation {
                entry: entry.clone(),
                is_held: true,
            },
        );
        let held = Held {
            id,
            ledger: self.clone(),
        };
        self.writer.begin(id, entry).await?;
        Ok(held)
    }

    /// Takes an orphan to work on; `None` when somebody holds it, or it was forgotten.
    pub fn adopt(&self, id: OperationId) -> Option<Held> {
        let mut operations = self.state.lock();
        let operation = operations.get_mut(&id).filter(|operation| !operation.is_held)?;
        operation.is_held = true;
        Some(Held {
            id,
            ledger: self.clone(),
        })
    }

    /// The operations that nobody works on.
    pub fn orphans(&self) -> Vec<(OperationId, Entry)> {
        let operations = self.state.lock();
        let orphans = operations.iter().filter(|(_, operation)| !operation.is_held);
        orphans
            .map(|(id, operation)| (*id, operation.entry.clone()))
            .collect()
    }

    /// Whether any operation, held or not, is this attempt's.
    pub fn knows_attempt(&self, attempt: uuid::Uuid) -> bool {
        self.state
            .lock()
            .values()
            .any(|operation| operation.entry.attempt() == Some(attempt))
    }

    /// Whether any operation, held or not, brings the image's data to the store, or removes what one has left there.
    pub fn has_upload(&self, image: uuid::Uuid, store: &str) -> bool {
        self.state
            .lock()
            .values()
            .any(|operation| match &operation.entry {
                Entry::Upload(upload) | Entry::Copy(upload) => upload.image == image && upload.store == store,
                Entry::Deletion(_) | Entry::Removal(_) | Entry::Adoption(_) | Entry::Staging(_) => false,
            })
    }

    /// Whether an operation other than this one is of the attempt, too.
    pub fn shares_attempt(&self, held: &Held, attempt: uuid::Uuid) -> bool {
        self.state
            .lock()
            .iter()
            .any(|(id, operation)| *id != held.id && operation.entry.attempt() == Some(attempt))
    }

    /// How many operations there are, held or not.
    pub fn len(&self) -> usize {
        self.state.lock().len()
    }

    /// Whether there is nothing to do.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Returns once an operation has become an orphan since the last call. Cancel safe.
    pub async fn orphaned(&self) {
        self.state.orphaned.notified().await;
    }
}

impl State {
    fn lock(&self) -> MutexGuard<'_, HashMap<OperationId, Operation>> {
        // Nothing panics while it is held, and the map is whole at any time.
        self.operations.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// An operation that somebody works on.
#[derive(Debug)]
#[must_use = "dropped, the operation becomes an orphan"]
pub struct Held {
    id: OperationId,
    ledger: Ledger,
}

impl Held {
    /// The operation's id.
    pub const fn id(&self) -> OperationId {
        self.id
    }

    /// Removes the operation: nothing is left to do. The removal is written, and synced with the next addition: after a
    /// crash the operation may be there once more, which harms nothing.
    ///
    /// # Errors
    /// The ledger cannot be written; the operation is then an orphan.
    pub async fn forget(self) -> Result<(), LedgerError> {
        self.ledger.writer.forget(self.id).await?;
        self.ledger.state.lock().remove(&self.id);
        Ok(())
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        if let Some(operation) = self.ledger.state.lock().get_mut(&self.id) {
            operation.is_held = false;
            self.ledger.state.orphaned.notify_one();
        }
    }
}
