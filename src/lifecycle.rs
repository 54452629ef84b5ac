//! How far the daemon is in its life, for whoever must behave differently near its end.

use tokio::sync::watch;

/// A stage of the daemon's life. Stages only ever follow in this order; any may be skipped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Phase {
    /// Requests are answered, or will be as soon as the start is complete.
    Serving,
    /// Told to stop. Everything still works, but `/healthcheck` asks load balancers to send no more.
    Draining,
    /// Nothing new is accepted; what is open may finish.
    Closing,
    /// What is still open is broken off.
    Aborting,
}

/// The daemon's current [`Phase`]. Clones share it.
#[derive(Clone, Debug)]
pub struct Lifecycle {
    phase: watch::Sender<Phase>,
}

impl Lifecycle {
    /// Begins with [`Phase::Serving`].
    #[must_use]
    pub fn new() -> Self {
        Self {
            phase: watch::Sender::new(Phase::Serving),
        }
    }

    /// The phase now.
    #[must_use]
    pub fn phase(&self) -> Phase {
        *self.phase.borrow()
    }

    /// Goes on to `phase`; does nothing if that is behind already.
    pub fn advance(&self, phase: Phase) {
        self.phase.send_if_modified(|current| {
            let is_later = phase > *current;
            if is_later {
                *current = phase;
            }
            is_later
        });
    }

    /// Returns once `phase`, or a later one, has begun. Cancel safe.
    pub async fn reached(&self, phase: Phase) {
        let mut phases = self.phase.subscribe();
        // Fails only when the sender is gone, and `self` holds it.
        let _ = phases.wait_for(|current| *current >= phase).await;
    }

    /// The part that `/healthcheck` needs.
    #[must_use]
    pub fn draining(&self) -> Draining {
        Draining {
            phase: self.phase.subscribe(),
        }
    }
}

impl Default for Lifecycle {
    fn default() -> Self {
        Self::new()
    }
}

/// Whether the daemon has been told to stop. Cheap to clone and to ask.
#[derive(Clone, Debug)]
pub struct Draining {
    phase: watch::Receiver<Phase>,
}

impl Draining {
    /// True from the signal to stop until the end.
    #[must_use]
    pub fn is_draining(&self) -> bool {
        *self.phase.borrow() >= Phase::Draining
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn draining_is_seen_from_the_signal_on() {
        let lifecycle = Lifecycle::new();
        let draining = lifecycle.draining();
        assert!(!draining.is_draining());
        lifecycle.advance(Phase::Draining);
        assert!(draining.is_draining());
        lifecycle.advance(Phase::Aborting);
        assert!(draining.clone().is_draining());
    }

    #[test]
    fn phases_never_go_back() {
        let lifecycle = Lifecycle::new();
        lifecycle.advance(Phase::Closing);
        lifecycle.advance(Phase::Draining);
        assert_eq!(lifecycle.phase(), Phase::Closing);
    }

    #[tokio::test]
    async fn a_skipped_phase_counts_as_reached() {
        let lifecycle = Lifecycle::new();
        let waiter = tokio::spawn({
            let lifecycle = lifecycle.clone();
            async move { lifecycle.reached(Phase::Draining).await }
        });
        tokio::task::yield_now().await;
        assert!(!waiter.is_finished());
        lifecycle.advance(Phase::Aborting);
        waiter.await.unwrap();
    }
}
