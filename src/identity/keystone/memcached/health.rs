//! Whether a server is to be asked at all.

use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::time::Instant;

/// What is known of a server's health, shared by all who use it.
pub(super) struct Health {
    dead_retry: Duration,
    trial: Duration,
    state: Mutex<State>,
}

#[derive(Clone, Copy)]
enum State {
    Alive,
    /// Left alone until then; after it, one caller at a time tries it.
    Dead(Instant),
}

/// Leave to ask a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Admission {
    /// It is believed to be well.
    Ordinary,
    /// It was dead, and this is the try whether it still is.
    Trial,
}

impl Health {
    /// Of a server that is believed to be well, is left alone for `dead_retry` when it fails, and is then tried by one
    /// caller per `trial`.
    pub(super) fn new(dead_retry: Duration, trial: Duration) -> Self {
        Self {
            dead_retry,
            trial,
            state: Mutex::new(State::Alive),
        }
    }

    /// `None`: leave it alone.
    pub(super) fn admit(&self) -> Option<Admission> {
        let mut state = self.lock();
        match *state {
            State::Alive => Some(Admission::Ordinary),
            State::Dead(until) if Instant::now() < until => None,
            State::Dead(_) => {
                *state = State::Dead(after(self.trial));
                Some(Admission::Trial)
            }
        }
    }

    /// Whether it is known to be dead.
    pub(super) fn is_dead(&self) -> bool {
        matches!(*self.lock(), State::Dead(_))
    }

    /// Notes a failure. Whether that is news.
    pub(super) fn failed(&self) -> bool {
        let before = std::mem::replace(&mut *self.lock(), State::Dead(after(self.dead_retry)));
        matches!(before, State::Alive)
    }

    /// Notes an answer. Whether that is news.
    pub(super) fn answered(&self) -> bool {
        let before = std::mem::replace(&mut *self.lock(), State::Alive);
        matches!(before, State::Dead(_))
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The instant that lies so far ahead, or a year: an operator may write any number.
pub(super) fn after(delay: Duration) -> Instant {
    const YEAR: Duration = Duration::from_secs(365 * 24 * 3600);
    Instant::now() + delay.min(YEAR)
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::time::advance;

    #[tokio::test(start_paused = true)]
    async fn a_dead_server_is_left_alone_then_tried_by_one_at_a_time() {
        let health = Health::new(Duration::from_secs(300), Duration::from_secs(3));
        assert_eq!(health.admit(), Some(Admission::Ordinary));
        assert!(health.failed());
        assert!(!health.failed(), "told twice");
        advance(Duration::from_secs(299)).await;
        assert_eq!(health.admit(), None);
        advance(Duration::from_secs(2)).await;
        assert_eq!(health.admit(), Some(Admission::Trial));
        assert_eq!(health.admit(), None, "two try at once");
        // The first was cancelled, or never came back.
        advance(Duration::from_secs(4)).await;
        assert_eq!(health.admit(), Some(Admission::Trial));
        assert!(!health.failed());
        advance(Duration::from_secs(301)).await;
        assert_eq!(health.admit(), Some(Admission::Trial));
        assert!(health.answered());
        assert!(!health.answered(), "told twice");
        assert_eq!(health.admit(), Some(Admission::Ordinary));
        assert_eq!(health.admit(), Some(Admission::Ordinary));
    }

    #[tokio::test(start_paused = true)]
    async fn any_number_of_seconds_is_a_back_off() {
        let health = Health::new(Duration::MAX, Duration::MAX);
        assert!(health.failed());
        assert_eq!(health.admit(), None);
    }
}
