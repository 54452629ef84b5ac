//! Whoever asks for what is being fetched waits for that fetch.

use std::{
    collections::HashMap,
    hash::Hash,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use futures_util::{FutureExt, future::Shared};
use tokio::sync::oneshot;

type Open<K, V> = Arc<Mutex<HashMap<K, Shared<oneshot::Receiver<V>>>>>;

/// At most one fetch for each key at a time. Each runs in a task of its own: that the one who began it goes away
/// disturbs nobody else.
#[derive(Debug)]
pub(super) struct SingleFlight<K, V> {
    open: Open<K, V>,
    most: usize,
}

/// What came of joining.
#[derive(Debug)]
pub(super) enum Joined<V> {
    /// It was there already.
    Settled(V),
    /// It is being fetched. An error of the receiver: the fetch ended without a result, by a panic or because the
    /// runtime ends.
    Waiting(Shared<oneshot::Receiver<V>>),
    /// As many fetches as are allowed are under way for other keys.
    Full,
}

impl<K, V> SingleFlight<K, V>
where
    K: Hash + Eq + Clone + Send + 'static,
    V: Clone + Send + Sync + 'static,
{
    /// Fetches for at most `most` keys at a time.
    pub(super) fn new(most: usize) -> Self {
        Self {
            open: Arc::default(),
            most,
        }
    }

    /// `settled` looks once more for a result: a fetch that ended between the caller's own look and now has left one.
    pub(super) fn join<F>(
        &self,
        key: K,
        settled: impl FnOnce() -> Option<V>,
        fetch: impl FnOnce() -> F,
    ) -> Joined<V>
    where
        F: Future<Output = V> + Send + 'static,
    {
        let (sender, receiver) = oneshot::channel();
        let mut open = lock(&self.open);
        if let Some(underway) = open.get(&key) {
            return Joined::Waiting(underway.clone());
        }
        if let Some(value) = settled() {
            return Joined::Settled(value);
        }
        if open.len() >= self.most {
            return Joined::Full;
        }
        let receiver = receiver.shared();
        open.insert(key.clone(), receiver.clone());
        drop(open);
        let landing = Landing {
            open: Arc::clone(&self.open),
            key,
        };
        let fetch = fetch();
        tokio::spawn(async move {
            let value = fetch.await;
            // Before the result is told: who comes later finds what the fetch has left, or fetches anew.
            drop(landing);
            // Nobody waits any more: then nobody is told.
            let _ = sender.send(value);
        });
        Joined::Waiting(receiver)
    }
}

/// Takes the fetch off the list however it ends.
struct Landing<K: Hash + Eq, V> {
    open: Open<K, V>,
    key: K,
}

impl<K: Hash + Eq, V> Drop for Landing<K, V> {
    fn drop(&mut self) {
        let landed = lock(&self.open).remove(&self.key);
        drop(landed);
    }
}

fn lock<K, V>(open: &Open<K, V>) -> MutexGuard<'_, HashMap<K, Shared<oneshot::Receiver<V>>>> {
    open.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::{
        sync::atomic::{AtomicUsize, Ordering},
        time::Duration,
    };

    use super::*;

    fn waiting<V: Clone>(joined: Joined<V>) -> Shared<oneshot::Receiver<V>> {
        match joined {
            Joined::Waiting(receiver) => receiver,
            Joined::Settled(_) | Joined::Full => panic!("not under way"),
        }
    }

    #[tokio::test(start_paused = true)]
    async fn one_fetch_serves_all_even_when_its_first_asker_goes_away() {
        static FETCHES: AtomicUsize = AtomicUsize::new(0);
        let flights = SingleFlight::new(8);
        let join = || {
            waiting(flights.join(
                "k",
                || None,
                || async {
                    FETCHES.fetch_add(1, Ordering::Relaxed);
                    tokio::time::sleep(Duration::from_secs(1)).await;
                    7
                },
            ))
        };
        let first = join();
        let others: Vec<_> = (0..100).map(|_| join()).collect();
        drop(first);
        for other in others {
            assert_eq!(other.await, Ok(7));
        }
        assert_eq!(FETCHES.load(Ordering::Relaxed), 1);
        assert_eq!(join().await, Ok(7), "and the next one is fetched anew");
        assert_eq!(FETCHES.load(Ordering::Relaxed), 2);
    }

    #[tokio::test(start_paused = true)]
    async fn a_fetch_that_panics_leaves_no_trace() {
        let flights: SingleFlight<_, u8> = SingleFlight::new(8);
        let lost = waiting(flights.join(1, || None, || async { panic!("by intent") }));
        assert!(lost.await.is_err());
        assert_eq!(waiting(flights.join(1, || None, || async { 5 })).await, Ok(5));
        assert!(matches!(
            flights.join(1, || Some(6), || async { 5 }),
            Joined::Settled(6)
        ));
    }

    #[tokio::test(start_paused = true)]
    async fn fetches_for_more_keys_than_allowed_are_refused() {
        let flights: SingleFlight<_, ()> = SingleFlight::new(2);
        let _one = waiting(flights.join(1, || None, std::future::pending));
        let two = waiting(flights.join(2, || None, || tokio::time::sleep(Duration::from_secs(1))));
        assert!(matches!(
            flights.join(3, || None, std::future::pending),
            Joined::Full
        ));
        assert!(matches!(
            flights.join(1, || None, std::future::pending),
            Joined::Waiting(_)
        ));
        two.await.unwrap();
        assert!(matches!(
            flights.join(3, || None, std::future::pending),
            Joined::Waiting(_)
        ));
    }
}
