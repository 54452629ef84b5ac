//! Attempts that this process still works on, and the locks between them.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, Weak,
        atomic::{AtomicBool, Ordering},
    },
};

use saccade_store_contract::{Attempt, BlobName};
use tokio::sync::{OwnedMutexGuard, OwnedRwLockReadGuard, RwLock};

use crate::segment::Segment;

/// What an attempt's calls share. Every call that changes something at the server holds the gate and is a task of its
/// own: a request that was sent cannot be taken back, so `discard` waits for its end instead of forgetting it. One whose
/// body is still coming is cut, and the server drops it.
#[derive(Debug, Default)]
pub(crate) struct AttemptState {
    given_up: AtomicBool,
    gate: Arc<RwLock<()>>,
    /// The segment that is being filled.
    open: Mutex<Option<Arc<Segment>>>,
}

impl AttemptState {
    /// Begins a call, unless the attempt was given up.
    pub(crate) fn enter(&self) -> Option<OwnedRwLockReadGuard<()>> {
        let guard = Arc::clone(&self.gate).try_read_owned().ok()?;
        (!self.is_given_up()).then_some(guard)
    }

    pub(crate) fn is_given_up(&self) -> bool {
        self.given_up.load(Ordering::SeqCst)
    }

    /// The segment whose body is cut when the attempt is given up.
    pub(crate) fn set_open(&self, segment: Option<&Arc<Segment>>) {
        *unpoisoned(&self.open) = segment.cloned();
    }

    /// Lets no call follow, and does not wait.
    pub(crate) fn stop(&self) {
        self.given_up.store(true, Ordering::SeqCst);
        if let Some(segment) = &*unpoisoned(&self.open) {
            segment.abandon();
        }
    }

    /// Lets no call follow, and waits for those that are under way. Cancel safe.
    pub(crate) async fn give_up(&self) {
        self.stop();
        drop(self.gate.write().await);
        // One that was begun in between.
        self.stop();
    }
}

/// The attempts that have a writer, or a call under way.
#[derive(Debug, Default)]
pub(crate) struct LiveAttempts(Mutex<HashMap<(BlobName, Attempt), Weak<AttemptState>>>);

impl LiveAttempts {
    /// Adds one, and forgets those that are over.
    pub(crate) fn add(&self, blob: BlobName, attempt: Attempt, state: &Arc<AttemptState>) {
        let mut live = unpoisoned(&self.0);
        live.retain(|_, state| state.strong_count() > 0);
        live.insert((blob, attempt), Arc::downgrade(state));
    }

    pub(crate) fn find(&self, blob: BlobName, attempt: Attempt) -> Option<Arc<AttemptState>> {
        unpoisoned(&self.0).get(&(blob, attempt))?.upgrade()
    }
}

/// One lock for each object, while somebody wants it: to look what is there and to act on it must be one step within this
/// process, where the server has no conditions.
#[derive(Debug, Default)]
pub(crate) struct KeyLocks(Mutex<HashMap<String, Arc<tokio::sync::Mutex<()>>>>);

impl KeyLocks {
    /// Waits until nobody else in this process acts on the object. Cancel safe.
    pub(crate) async fn hold(&self, key: &str) -> OwnedMutexGuard<()> {
        let lock = {
            let mut locks = unpoisoned(&self.0);
            locks.retain(|_, lock| Arc::strong_count(lock) > 1);
            Arc::clone(locks.entry(key.to_owned()).or_default())
        };
        lock.lock_owned().await
    }
}

/// What these locks guard is whole between any two statements.
fn unpoisoned<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn giving_up_waits_for_calls_and_lets_none_follow() {
        let state = Arc::new(AttemptState::default());
        let call = state.enter().unwrap();
        let giving_up = tokio::spawn({
            let state = Arc::clone(&state);
            async move { state.give_up().await }
        });
        tokio::task::yield_now().await;
        assert!(!giving_up.is_finished() && state.enter().is_none());
        drop(call);
        giving_up.await.unwrap();
        assert!(state.enter().is_none());
    }

    #[tokio::test]
    async fn one_object_is_held_by_one_at_a_time() {
        let locks = KeyLocks::default();
        let held = locks.hold("a").await;
        drop(locks.hold("b").await);
        let again = tokio::time::timeout(std::time::Duration::from_millis(20), locks.hold("a")).await;
        assert!(again.is_err());
        drop(held);
        drop(locks.hold("a").await);
    }
}
