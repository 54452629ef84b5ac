//! Who may do what at the same time, within this process.

use std::{
    collections::HashMap,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
};

use saccade_store_contract::{Attempt, BlobName};

use crate::attempt::AttemptState;

/// One lock for each blob's name, while somebody wants it: to look which file is there and to act on it must be one
/// step, or a discard could remove what another attempt has published in between. It is held for a few system calls,
/// never while bytes are written or synced.
#[derive(Debug, Default)]
pub(crate) struct NameLocks(Mutex<HashMap<PathBuf, Arc<Mutex<()>>>>);

impl NameLocks {
    /// Runs `action` while nobody else in this process changes what is at `name`. Blocks.
    pub(crate) fn hold<T>(&self, name: &Path, action: impl FnOnce() -> T) -> T {
        let lock = Arc::clone(unpoisoned(&self.0).entry(name.to_owned()).or_default());
        let guard = unpoisoned(&lock);
        let done = action();
        drop(guard);
        let mut locks = unpoisoned(&self.0);
        // The map's and ours: new ones are handed out under the map's lock only.
        if Arc::strong_count(&lock) == 2 {
            locks.remove(name);
        }
        done
    }
}

/// The attempts that have a writer, or a call of one that is still running. `discard` ends these first: otherwise a
/// write that its caller has given up on could make the file after it was removed.
#[derive(Debug, Default)]
pub(crate) struct LiveAttempts(Mutex<HashMap<(BlobName, Attempt), Weak<AttemptState>>>);

impl LiveAttempts {
    /// Adds one, and forgets those whose writers are gone.
    pub(crate) fn add(&self, blob: BlobName, attempt: Attempt, state: &Arc<AttemptState>) {
        let mut live = unpoisoned(&self.0);
        live.retain(|_, state| state.strong_count() > 0);
        live.insert((blob, attempt), Arc::downgrade(state));
    }

    /// Its state, while it has a writer.
    pub(crate) fn find(&self, blob: BlobName, attempt: Attempt) -> Option<Arc<AttemptState>> {
        unpoisoned(&self.0).get(&(blob, attempt))?.upgrade()
    }
}

/// What these locks guard is whole between any two statements, so that a panic elsewhere need not end the store.
pub(crate) fn unpoisoned<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{
        sync::atomic::{AtomicUsize, Ordering},
        thread,
    };

    #[test]
    fn one_name_is_held_by_one_at_a_time_and_forgotten_after() {
        let locks = NameLocks::default();
        let inside = AtomicUsize::new(0);
        thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    for _ in 0..200 {
                        locks.hold(Path::new("/d/a"), || {
                            assert_eq!(inside.fetch_add(1, Ordering::SeqCst), 0);
                            thread::yield_now();
                            inside.fetch_sub(1, Ordering::SeqCst);
                        });
                    }
                });
            }
        });
        assert!(unpoisoned(&locks.0).is_empty());
    }

    #[test]
    fn other_names_are_free_meanwhile() {
        let locks = NameLocks::default();
        let both = locks.hold(Path::new("/d/a"), || locks.hold(Path::new("/d/b"), || 2));
        assert_eq!(both, 2);
    }
}
