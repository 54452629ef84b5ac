//! What to do when a connection cannot be accepted.

use std::{io, time::Duration};

const FIRST: Duration = Duration::from_millis(50);
const LONGEST: Duration = Duration::from_secs(1);

/// Counts failures in a row, so that trouble is logged once and does not spin.
#[derive(Debug, Default)]
pub(super) struct Backoff {
    wait: Option<Duration>,
}

/// What follows from a failure to accept.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Reaction {
    /// That one connection failed; the next may be fine.
    Retry,
    /// The machine is short of something; the first time in a row, an operator should know.
    Wait {
        /// How long, before another try.
        pause: Duration,
        /// Whether to say so.
        first: bool,
    },
}

impl Backoff {
    pub(super) fn failed(&mut self, error: &io::Error) -> Reaction {
        use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset, Interrupted};
        if matches!(
            error.kind(),
            ConnectionAborted | ConnectionRefused | ConnectionReset | Interrupted
        ) {
            return Reaction::Retry;
        }
        let pause = self.wait.map_or(FIRST, |last| (last * 2).min(LONGEST));
        let first = self.wait.replace(pause).is_none();
        Reaction::Wait { pause, first }
    }

    /// Returns whether there had been trouble.
    pub(super) fn succeeded(&mut self) -> bool {
        self.wait.take().is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn no_more_files() -> io::Error {
        rustix::io::Errno::MFILE.into()
    }

    #[test]
    fn a_shortage_is_told_once_and_waited_out_longer_each_time() {
        let mut backoff = Backoff::default();
        let reactions: Vec<_> = (0..7).map(|_| backoff.failed(&no_more_files())).collect();
        let told: Vec<_> = reactions
            .iter()
            .map(|reaction| match reaction {
                Reaction::Wait { pause, first } => (pause.as_millis(), *first),
                Reaction::Retry => panic!("a shortage does not pass by trying at once"),
            })
            .collect();
        assert_eq!(
            told,
            [
                (50, true),
                (100, false),
                (200, false),
                (400, false),
                (800, false),
                (1000, false),
                (1000, false)
            ]
        );
        assert!(backoff.succeeded());
        assert!(!backoff.succeeded());
        assert_eq!(
            backoff.failed(&no_more_files()),
            Reaction::Wait {
                pause: FIRST,
                first: true
            }
        );
    }

    #[test]
    fn a_client_that_left_the_queue_is_nobodys_trouble() {
        let mut backoff = Backoff::default();
        assert_eq!(
            backoff.failed(&rustix::io::Errno::CONNABORTED.into()),
            Reaction::Retry
        );
        assert!(!backoff.succeeded());
    }
}
