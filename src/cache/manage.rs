//! What operators may see of the cache and do to it, and how it is kept on disk.

use std::{collections::HashSet, sync::Arc, time::Duration};

use tokio::task::spawn_blocking;

use super::{Cache, Contents, Key, Shared, directory, directory::Snapshot, index};
use crate::image::{ImageId, Timestamp};

/// How often the index is written when only the order of use has changed.
const SAVE_INTERVAL: Duration = Duration::from_secs(60);

/// A cached image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cached {
    /// Counts what was ever cached.
    pub number: u64,
    /// The image.
    pub image: ImageId,
    /// In bytes.
    pub size: u64,
    /// How often it was read.
    pub hits: u64,
    /// When it was read last, or cached.
    pub accessed: Timestamp,
    /// When it was cached.
    pub modified: Timestamp,
}

/// What had to go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pruned {
    /// How many images.
    pub files: usize,
    /// Their data, in bytes.
    pub bytes: u64,
}

impl Cache {
    /// What is cached, in the order in which it was.
    pub fn cached(&self) -> Vec<Cached> {
        let state = self.shared.lock();
        let shown = |(image, entry): (ImageId, &index::Entry)| Cached {
            number: entry.number,
            image,
            size: entry.size,
            hits: entry.hits,
            accessed: entry.accessed,
            modified: entry.modified,
        };
        let mut cached: Vec<Cached> = state.index.iter().map(shown).collect();
        cached.sort_unstable_by_key(|cached| cached.number);
        cached
    }

    /// Whether an image is cached, whatever data.
    pub fn is_cached(&self, id: ImageId) -> bool {
        self.shared.lock().index.get(id).is_some()
    }

    /// What waits to be cached, the next one first.
    pub fn queue(&self) -> Vec<ImageId> {
        self.shared.lock().index.queue().collect()
    }

    /// Has an image cached when its turn comes; whether it was not cached or queued already. What is on its way for a reader
    /// is queued, too: it may not arrive.
    pub fn enqueue(&self, id: ImageId) -> bool {
        let mut state = self.shared.lock();
        let is_there = state.index.get(id).is_some();
        // Nobody may stay who reads it: it is wanted all the same.
        if let Some(fill) = state.fills.get(&id) {
            fill.want();
        }
        let is_new = !is_there && state.index.enqueue(id);
        state.is_dirty |= is_new;
        if is_new {
            state.asked.insert(id);
        }
        drop(state);
        if is_new {
            self.shared.urgent.notify_one();
            self.shared.queued.notify_one();
        }
        is_new
    }

    /// Returns once something was queued since it was asked last.
    pub async fn something_queued(&self) {
        self.shared.queued.notified().await;
    }

    /// What was queued since it was asked last, and is still. Whoever was in the queue before, and was taken out and put in
    /// again, is among it.
    pub fn newly_queued(&self) -> HashSet<ImageId> {
        std::mem::take(&mut self.shared.lock().asked)
    }

    /// Takes an image from the queue; whether it was there.
    pub fn dequeue(&self, id: ImageId) -> bool {
        let was_there = self.shared.lock().dequeue(id);
        if was_there {
            self.shared.urgent.notify_one();
        }
        was_there
    }

    /// Removes an image's data; those who read it come to its end. A fill of it is for those alone who follow it already.
    /// Whether there was any.
    pub fn evict(&self, id: ImageId) -> bool {
        let mut state = self.shared.lock();
        let fill = state.fills.remove(&id);
        if let Some(fill) = &fill {
            fill.orphan();
        }
        let entry = state.index.remove(id);
        let was_there = entry.is_some();
        state.is_dirty |= was_there;
        state.measure();
        self.shared.discard(entry.into_iter().collect(), "removed");
        drop(state);
        if was_there {
            self.shared.urgent.notify_one();
        }
        was_there || fill.is_some()
    }

    /// Removes the data of an image unless it is this; `None` is none. For whoever knows the record.
    pub fn keep_only(&self, id: ImageId, key: Option<&Key>) {
        let is_right = {
            let state = self.shared.lock();
            let is_right = |entry: &index::Entry| key.is_some_and(|key| entry.is_of(key));
            state.index.get(id).is_none_or(is_right)
        };
        if !is_right {
            self.evict(id);
        }
    }

    /// Removes everything that is cached or being cached; how many were cached.
    pub fn clear(&self) -> usize {
        let mut state = self.shared.lock();
        for (_, fill) in state.fills.drain() {
            fill.orphan();
        }
        let entries = state.index.clear();
        let count = entries.len();
        state.is_dirty = true;
        state.measure();
        self.shared.discard(entries, "removed");
        drop(state);
        self.shared.urgent.notify_one();
        count
    }

    /// Empties the queue; how many there were.
    pub fn clear_queue(&self) -> usize {
        let mut state = self.shared.lock();
        let count = state.index.clear_queue();
        state.asked.clear();
        state.is_dirty = true;
        drop(state);
        self.shared.urgent.notify_one();
        count
    }

    /// Removes what is beyond the limit, which only a change of the configuration brings about.
    pub fn prune(&self) -> Pruned {
        let mut state = self.shared.lock();
        let entries = state.index.prune();
        let pruned = Pruned {
            files: entries.len(),
            bytes: entries
                .iter()
                .map(|entry| entry.size)
                .fold(0, u64::saturating_add),
        };
        state.is_dirty |= !entries.is_empty();
        state.measure();
        self.shared.discard(entries, "pruned");
        pruned
    }

    /// Removes files that nobody knows: those that could not be removed when their time had come. Fills that stand still end by themselves.
    pub async fn clean(&self) {
        let shared = Arc::clone(&self.shared);
        let cleaned = spawn_blocking(move || {
            // Listed first: what is begun meanwhile is not in it.
            let files = shared.directory.files()?;
            let known = shared.lock().known_files();
            for path in files {
                let name = path.file_name().and_then(|name| name.to_str());
                if name.is_none_or(|name| !known.contains(name)) {
                    directory::remove(&path);
                }
            }
            Ok(())
        });
        if let Err(error) = cleaned.await.map_err(std::io::Error::other).flatten() {
            self.shared.trouble("its directory cannot be cleaned up", &error);
        }
    }

    /// Keeps the index on disk up to date. Runs until dropped.
    pub async fn run(self) {
        let mut ticks = tokio::time::interval(SAVE_INTERVAL);
        loop {
            tokio::select! {
                _ = ticks.tick() => {}
                () = self.shared.urgent.notified() => {}
            }
            self.save().await;
        }
    }

    /// Gives up what is under way, and writes the index. For a stop.
    pub async fn close(&self) {
        {
            let mut state = self.shared.lock();
            for (_, fill) in state.fills.drain() {
                fill.cancel();
            }
        }
        self.save().await;
    }

    /// Writes the index, if it is not what is on disk. What was begun is written to its end, also when this is dropped,
    /// and before another begins.
    pub(super) async fn save(&self) {
        let turn = Arc::clone(&self.shared.saving).lock_owned().await;
        let shared = Arc::clone(&self.shared);
        let saved = spawn_blocking(move || {
            let _one_at_a_time = turn;
            shared.write_index();
        });
        if saved.await.is_err() {
            // A panic was logged where it happened.
            self.shared.lock().is_dirty = true;
        }
    }
}

impl Shared {
    /// Blocks.
    fn write_index(&self) {
        let snapshot = {
            let mut state = self.lock();
            if !std::mem::take(&mut state.is_dirty) {
                return;
            }
            Snapshot::of(&state.index)
        };
        if let Err(error) = self.directory.write_index(&snapshot) {
            self.lock().is_dirty = true;
            self.trouble("its index cannot be written", &error);
        }
    }
}

impl Contents {
    fn known_files(&self) -> HashSet<String> {
        let complete = self.index.iter().map(|(_, entry)| entry.file.clone());
        complete.chain(self.files.iter().cloned()).collect()
    }
}
