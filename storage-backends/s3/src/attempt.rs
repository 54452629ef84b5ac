//! Attempts that this process still works on, and the locks between them.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, Weak,
        atomic::{AtomicBool, Ordering},
    },
};

use bytes::Bytes;
use saccade_store_contract::{Attempt, BlobName};
use tokio::sync::{OwnedMutexGuard, OwnedRwLockReadGuard, RwLock};

/// Version of the mark's form.
const MARK_FORM: &str = "saccade s3:1";

/// What an attempt's calls share. Every call that changes something at the server holds the gate and is a task of its
/// own: a request that was sent cannot be taken back, so `discard` waits for its end instead of forgetting it.
#[derive(Debug, Default)]
pub(crate) struct AttemptState {
    pub(crate) given_up: AtomicBool,
    gate: Arc<RwLock<()>>,
    upload: Mutex<Option<String>>,
}

impl AttemptState {
    /// Begins a call, unless the attempt was given up.
    pub(crate) fn enter(&self) -> Option<OwnedRwLockReadGuard<()>> {
        let guard = Arc::clone(&self.gate).try_read_owned().ok()?;
        (!self.given_up.load(Ordering::SeqCst)).then_some(guard)
    }

    /// Lets no call follow, and waits for those that are under way. Cancel safe.
    pub(crate) async fn give_up(&self) {
        self.given_up.store(true, Ordering::SeqCst);
        drop(self.gate.write().await);
    }

    pub(crate) fn upload(&self) -> Option<String> {
        unpoisoned(&self.upload).clone()
    }

    pub(crate) fn set_upload(&self, id: String) {
        *unpoisoned(&self.upload) = Some(id);
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

/// One lock for each key, while somebody wants it: to look what is there and to act on it must be one step within this
/// process, where the server has no conditions.
#[derive(Debug, Default)]
pub(crate) struct KeyLocks(Mutex<HashMap<String, Arc<tokio::sync::Mutex<()>>>>);

impl KeyLocks {
    /// Waits until nobody else in this process acts on the key. Cancel safe.
    pub(crate) async fn hold(&self, key: &str) -> OwnedMutexGuard<()> {
        let lock = {
            let mut locks = unpoisoned(&self.0);
            locks.retain(|_, lock| Arc::strong_count(lock) > 1);
            Arc::clone(locks.entry(key.to_owned()).or_default())
        };
        lock.lock_owned().await
    }
}

/// What a mark says: the upload in parts, if there is one.
pub(crate) fn mark(upload: Option<&str>) -> Bytes {
    format!("{MARK_FORM}\n{}\n", upload.unwrap_or_default()).into()
}

/// The upload that a mark names.
pub(crate) fn marked_upload(mark: &[u8]) -> Option<String> {
    let text = std::str::from_utf8(mark).ok()?;
    let upload = text.strip_prefix(MARK_FORM)?.trim();
    (!upload.is_empty()).then(|| upload.to_owned())
}

/// What these locks guard is whole between any two statements.
fn unpoisoned<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_are_read_back() {
        assert_eq!(marked_upload(&mark(Some("2~a/b"))).as_deref(), Some("2~a/b"));
        assert_eq!(marked_upload(&mark(None)), None);
        assert_eq!(marked_upload(b"something else"), None);
        assert_eq!(marked_upload(b"\xff"), None);
    }

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
    async fn one_key_is_held_by_one_at_a_time() {
        let locks = KeyLocks::default();
        let held = locks.hold("a").await;
        drop(locks.hold("b").await);
        let again = tokio::time::timeout(std::time::Duration::from_millis(20), locks.hold("a")).await;
        assert!(again.is_err());
        drop(held);
        drop(locks.hold("a").await);
    }
}
