//! A dead Keystone costs one request its patience, not every request.

use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::time::Instant;

/// How long nobody asks after a complete failure.
pub(super) const REST: Duration = Duration::from_secs(1);

/// Lets everyone ask while Keystone answers; after a complete failure nobody for [`REST`], and then one at a time, a
/// next one after [`REST`] at the latest, until one is answered.
///
/// A failure while others were answered is not Keystone's but that token's, as when the directory of one domain hangs:
/// it holds nobody else up.
#[derive(Debug)]
pub(super) struct Breaker {
    inner: Mutex<Inner>,
}

#[derive(Debug)]
struct Inner {
    state: State,
    /// When anybody was last answered.
    answered: Option<Instant>,
}

#[derive(Debug, Clone, Copy)]
enum State {
    Closed,
    Open { until: Instant },
    Probing { since: Instant },
}

/// Leave to ask. Dropped unsettled (the asker was cancelled), it tells nothing about Keystone.
#[derive(Debug)]
pub(super) struct Pass<'b> {
    breaker: &'b Breaker,
    kind: PassKind,
    begun: Instant,
    settled: bool,
}

/// How patiently Keystone may be asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum PassKind {
    /// With all tries: it answered the last time.
    Normal,
    /// Once: it did not.
    Probe,
}

impl Breaker {
    pub(super) fn new() -> Self {
        Self {
            inner: Mutex::new(Inner {
                state: State::Closed,
                answered: None,
            }),
        }
    }

    /// `None`: it was found dead a moment ago.
    pub(super) fn admit(&self) -> Option<Pass<'_>> {
        let mut inner = self.lock();
        let now = Instant::now();
        let kind = match inner.state {
            State::Closed => PassKind::Normal,
            State::Open { until } if now < until => return None,
            State::Probing { since } if now < since + REST => return None,
            State::Open { .. } | State::Probing { .. } => {
                inner.state = State::Probing { since: now };
                PassKind::Probe
            }
        };
        Some(Pass {
            breaker: self,
            kind,
            begun: now,
            settled: false,
        })
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Pass<'_> {
    pub(super) fn kind(&self) -> PassKind {
        self.kind
    }

    /// Keystone answered, whatever it said.
    pub(super) fn answered(mut self) {
        self.settled = true;
        let mut inner = self.breaker.lock();
        inner.state = State::Closed;
        inner.answered = Some(Instant::now());
    }

    /// It did not, and all tries are spent.
    pub(super) fn failed(mut self) {
        self.settled = true;
        let mut inner = self.breaker.lock();
        if inner.answered.is_none_or(|answered| answered < self.begun) {
            inner.state = State::Open {
                until: Instant::now() + REST,
            };
        }
    }
}

impl Drop for Pass<'_> {
    fn drop(&mut self) {
        let mut inner = self.breaker.lock();
        if !self.settled && matches!(inner.state, State::Probing { since } if since == self.begun) {
            inner.state = State::Open {
                until: Instant::now(),
            };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn after_a_failure_nobody_asks_and_then_one_at_a_time() {
        let breaker = Breaker::new();
        let (a, b) = (breaker.admit().unwrap(), breaker.admit().unwrap());
        assert_eq!(a.kind(), PassKind::Normal);
        a.failed();
        assert!(breaker.admit().is_none());
        tokio::time::advance(REST - Duration::from_millis(1)).await;
        assert!(breaker.admit().is_none());
        tokio::time::advance(Duration::from_millis(1)).await;
        let probe = breaker.admit().unwrap();
        assert_eq!(probe.kind(), PassKind::Probe);
        assert!(breaker.admit().is_none(), "one probe at a time");
        probe.failed();
        assert!(breaker.admit().is_none());
        // One that was asked before the failure and is answered late.
        b.answered();
        assert_eq!(breaker.admit().unwrap().kind(), PassKind::Normal);
    }

    #[tokio::test(start_paused = true)]
    async fn a_cancelled_probe_leaves_room_for_the_next() {
        let breaker = Breaker::new();
        breaker.admit().unwrap().failed();
        tokio::time::advance(REST).await;
        drop(breaker.admit().unwrap());
        let probe = breaker.admit().unwrap();
        assert_eq!(probe.kind(), PassKind::Probe);
        probe.answered();
        assert_eq!(breaker.admit().unwrap().kind(), PassKind::Normal);
    }

    #[tokio::test(start_paused = true)]
    async fn a_token_that_hangs_while_others_are_answered_is_no_outage() {
        let breaker = Breaker::new();
        let hung = breaker.admit().unwrap();
        tokio::time::advance(REST).await;
        breaker.admit().unwrap().answered();
        hung.failed();
        assert_eq!(breaker.admit().unwrap().kind(), PassKind::Normal);
    }

    #[tokio::test(start_paused = true)]
    async fn a_hung_probe_is_followed_by_another() {
        let breaker = Breaker::new();
        tokio::time::advance(REST).await;
        breaker.admit().unwrap().failed();
        tokio::time::advance(REST).await;
        let hung = breaker.admit().unwrap();
        tokio::time::advance(REST - Duration::from_millis(1)).await;
        assert!(breaker.admit().is_none());
        tokio::time::advance(Duration::from_millis(1)).await;
        let next = breaker.admit().unwrap();
        assert_eq!(next.kind(), PassKind::Probe);
        next.answered();
        hung.failed();
        assert_eq!(breaker.admit().unwrap().kind(), PassKind::Normal);
    }

    #[tokio::test(start_paused = true)]
    async fn a_cancelled_request_closes_nothing() {
        let breaker = Breaker::new();
        let late = breaker.admit().unwrap();
        breaker.admit().unwrap().failed();
        drop(late);
        assert!(breaker.admit().is_none());
    }
}
