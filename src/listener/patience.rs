//! A limit on how long nothing may happen.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};
use tokio::time::{Instant, Sleep, sleep};

/// Runs only from the first fruitless poll to the next progress, so that time in which nobody asks counts
/// for nothing: a peer is not to blame for our own slowness.
#[derive(Debug)]
pub(super) struct Patience {
    limit: Duration,
    sleep: Option<Pin<Box<Sleep>>>,
    waiting: bool,
}

impl Patience {
    pub(super) fn new(limit: Duration) -> Self {
        Self {
            limit,
            sleep: None,
            waiting: false,
        }
    }

    /// Something happened.
    pub(super) fn renew(&mut self) {
        self.waiting = false;
    }

    /// Nothing happened. Ready when that has been so for the whole limit.
    pub(super) fn poll_exhausted(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let sleep = self.sleep.get_or_insert_with(|| Box::pin(sleep(self.limit)));
        if !self.waiting {
            self.waiting = true;
            // A limit too long to add to the clock is no limit within the clock's reach.
            if let Some(deadline) = Instant::now().checked_add(self.limit) {
                sleep.as_mut().reset(deadline);
            }
        }
        sleep.as_mut().poll(cx)
    }

    /// [`io::ErrorKind::TimedOut`], so that others can tell without naming this module.
    pub(super) fn error(&self, what: &str) -> io::Error {
        let text = format!("{what} for {} s", self.limit.as_secs_f64());
        io::Error::new(io::ErrorKind::TimedOut, text)
    }
}
