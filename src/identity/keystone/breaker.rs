//! A dead Keystone costs one request its patience, not every request.

use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::time::Instant;

/// How long nobody asks after a complete failure.
pub(super) const REST: Duration = Duration::from_secs(1);

/// Lets everyone ask while Keystone answers; after a complete failure nobody for [`REST`], and then one at a time
/// until one is answered.
#[derive(Debug)]
pub(super) struct Breaker {
    state: Mutex<State>,
}

#[derive(Debug, Clone, Copy)]
enum State {
    Closed,
    Open { until: Instant },
    Probing,
}

/// Leave to ask. Dropped unsettled (the asker was cancelled), it tells nothing about Keystone.
#[derive(Debug)]
pub(super) struct Pass<'b> {
    breaker: &'b Breaker,
    kind: PassKind,
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
            state: Mutex::new(State::Closed),
        }
    }

    /// `None`: it was found dead a moment ago.
    pub(super) fn admit(&self) -> Option<Pass<'_>> {
        let mut state = self.state();
        let kind = match *state {
            State::Closed => PassKind::Normal,
            State::Open { until } if Instant::now() >= until => {
                *state = State::Probing;
                PassKind::Probe
            }
            State::Open { .. } | State::Probing => return None,
        };
        Some(Pass {
            breaker: self,
            kind,
            settled: false,
        })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Pass<'_> {
    pub(super) fn kind(&self) -> PassKind {
        self.kind
    }

    /// Keystone answered, whatever it said.
    pub(super) fn answered(mut self) {
        self.settled = true;
        *self.breaker.state() = State::Closed;
    }

    /// It did not, and all tries are spent.
    pub(super) fn failed(mut self) {
        self.settled = true;
        *self.breaker.state() = State::Open {
            until: Instant::now() + REST,
        };
    }
}

impl Drop for Pass<'_> {
    fn drop(&mut self) {
        if !self.settled && self.kind == PassKind::Probe {
            *self.breaker.state() = State::Open {
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
    async fn a_cancelled_request_closes_nothing() {
        let breaker = Breaker::new();
        let late = breaker.admit().unwrap();
        breaker.admit().unwrap().failed();
        drop(late);
        assert!(breaker.admit().is_none());
    }
}
