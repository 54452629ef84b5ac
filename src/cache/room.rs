//! The room of one fill: promised as a whole before its first byte, taken in steps as bytes come.
//!
//! So a fill that is broken off has let go what it has needed so far, and not the whole cache. What is on disk never exceeds the
//! limit, and never takes the free space that is to be left to others.

use std::{
    fs::File,
    io,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::task::spawn_blocking;

use super::{Contents, Shared, directory, directory::allocate, fill::Failure, index::NoRoom};

/// What is taken at once, in bytes.
pub(super) const STEP: u64 = 64 << 20;

/// What one fill has of the limit, and gives back when this is dropped.
pub(super) struct Room {
    shared: Arc<Shared>,
    /// Of the data, in bytes.
    size: u64,
    /// In bytes.
    step: u64,
    /// Locked within the cache's lock, where both are.
    held: Mutex<Held>,
}

/// In bytes.
#[derive(Debug, Default)]
struct Held {
    promised: u64,
    taken: u64,
}

impl Room {
    pub(super) fn new(shared: Arc<Shared>, size: u64, step: u64) -> Arc<Self> {
        Arc::new(Self {
            shared,
            size,
            step,
            held: Mutex::default(),
        })
    }

    fn held(&self) -> MutexGuard<'_, Held> {
        // Numbers, each set at once.
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Free space is counted, and then taken: by one at a time.
    fn one_at_a_time(&self) -> MutexGuard<'_, ()> {
        let allocating = &self.shared.allocating;
        allocating.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether all could be had, now and with what others were promised. Nothing goes yet. Blocks.
    ///
    /// # Errors
    /// There is no room that could be made, of the limit or on the disk.
    pub(super) fn promise(&self) -> Result<(), Failure> {
        let _one_at_a_time = self.one_at_a_time();
        let free = self.shared.free_space();
        let mut state = self.shared.lock();
        let needed = state.index.promised().saturating_add(self.size);
        let short = self.shared.short_for(needed, free);
        state.index.promise(self.size, short).map_err(Failure::NoRoom)?;
        self.held().promised = self.size;
        Ok(())
    }

    /// Has the file grow so far, or farther. What has to go for it is gone when this returns. Blocks.
    ///
    /// # Errors
    /// No room can be made any more, or the disk does not do its part. What was taken stays so.
    pub(super) fn extend(&self, to: u64, file: &File) -> Result<(), Failure> {
        let _one_at_a_time = self.one_at_a_time();
        // Not under the cache's lock: a file system may take its time to answer.
        let free = self.shared.free_space();
        let (from, len, evicted) = {
            let mut state = self.shared.lock();
            let mut held = self.held();
            let from = held.taken;
            let end = to.max(from.saturating_add(self.step)).min(self.size);
            let len = end.saturating_sub(from);
            // Nothing was promised, or it was given back: the fill has ended.
            let promised = held
                .promised
                .checked_sub(len)
                .ok_or(Failure::NoRoom(NoRoom::Limit))?;
            let short = self.shared.short_for(len, free);
            let evicted = state.index.take(len, short).map_err(Failure::NoRoom)?;
            held.promised = promised;
            held.taken = end;
            state.is_dirty |= !evicted.is_empty();
            state.measure();
            (from, len, evicted)
        };
        let count = evicted.len() as u64;
        metrics::counter!("saccade_image_cache_evictions_total", "reason" => "room").increment(count);
        for entry in evicted {
            directory::remove(&self.shared.directory.complete(&entry.file));
        }
        // Others may write there, too, and a file system may take its time to free what was removed.
        if count > 0 && self.shared.short_for(len, self.shared.free_space()) > 0 {
            return Err(Failure::NoRoom(NoRoom::Disk));
        }
        allocate(file, from, len).map_err(Failure::Local)
    }

    /// Makes sure that the file reaches so far. Cancel safe: what was begun comes to its end.
    ///
    /// # Errors
    /// As [`Self::extend`].
    pub(super) async fn reach(self: &Arc<Self>, to: u64, file: &Arc<File>) -> Result<(), Failure> {
        if to <= self.held().taken {
            return Ok(());
        }
        let (room, file) = (Arc::clone(self), Arc::clone(file));
        spawn_blocking(move || room.extend(to, &file))
            .await
            .map_err(|error| Failure::Local(io::Error::other(error)))?
    }

    /// Gives back what it has, or leaves it to an entry that comes in its place. Under the lock.
    pub(super) fn give_back(&self, state: &mut Contents) {
        let held = std::mem::take(&mut *self.held());
        state.index.withdraw(held.promised);
        state.index.release(held.taken);
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        self.give_back(&mut self.shared.lock());
    }
}
