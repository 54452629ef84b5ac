//! How the hashes of a stream are spread over the threads: what is fastest depends on how many streams there are.
//!
//! The rule and the measurements behind it: `docs/decisions/0005-digest-kernels.md`.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use saccade_digest_kernels::one_pass;

/// Where the two hashes of a stream that there is code for in one pass are computed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Arrangement {
    /// Each as a unit of its own: by two threads at once, or beside those of other streams.
    Apart,
    /// As one unit, in one pass.
    Together,
}

/// The streams that have something to be hashed, and the threads for them.
pub(super) struct Crowd {
    threads: usize,
    busy: AtomicUsize,
}

/// A stream that has something to be hashed.
pub(super) struct Busy(Arc<Crowd>);

impl Crowd {
    pub(super) fn new(threads: usize) -> Self {
        Self {
            threads,
            busy: AtomicUsize::new(0),
        }
    }

    pub(super) fn busy(self: &Arc<Self>) -> Busy {
        self.busy.fetch_add(1, Ordering::Relaxed);
        Busy(Arc::clone(self))
    }

    /// What is best for a stream that has something to be hashed, which counts as busy already or not.
    pub(super) fn arrangement(&self, own: Option<&Busy>) -> Arrangement {
        let others = self
            .busy
            .load(Ordering::Relaxed)
            .saturating_sub(usize::from(own.is_some()));
        if one_pass().pays() {
            arrangement(self.threads, others.saturating_add(1))
        } else {
            Arrangement::Apart
        }
    }

    /// How many streams are busy.
    #[cfg(test)]
    pub(super) fn count(&self) -> usize {
        self.busy.load(Ordering::Relaxed)
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        self.0.busy.fetch_sub(1, Ordering::Relaxed);
    }
}

/// What is best on hosts with code for one pass.
fn arrangement(threads: usize, streams: usize) -> Arrangement {
    // On two threads a stream is a little faster, and costs half as much again: only for as long as half of the threads have nothing to do
    // even so.
    let is_quiet = streams.saturating_mul(4) <= threads;
    // As many streams as threads, two at least, fill lanes of each hash. That is as fast, and with more of them faster.
    let is_crowded = streams >= threads.max(2);
    if is_quiet || is_crowded {
        Arrangement::Apart
    } else {
        Arrangement::Together
    }
}

#[cfg(test)]
mod tests {
    use super::Arrangement::{Apart, Together};
    use super::*;

    #[test]
    fn streams_are_hashed_in_one_pass_unless_threads_are_idle_or_lanes_are_filled() {
        for (threads, streams, expected) in [
            (1, 1, Together),
            (1, 2, Apart),
            (2, 1, Together),
            (2, 2, Apart),
            (4, 1, Apart),
            (4, 2, Together),
            (4, 3, Together),
            (4, 4, Apart),
            (32, 8, Apart),
            (32, 9, Together),
            (32, 31, Together),
            (32, 32, Apart),
        ] {
            assert_eq!(arrangement(threads, streams), expected, "{streams} on {threads}");
        }
    }

    #[test]
    fn a_stream_does_not_count_itself_twice() {
        let crowd = Arc::new(Crowd::new(3));
        let (first, _second) = (crowd.busy(), crowd.busy());
        let together = if one_pass().pays() { Together } else { Apart };
        assert_eq!(crowd.arrangement(Some(&first)), together);
        assert_eq!(crowd.arrangement(None), Apart);
        drop(first);
        assert_eq!(crowd.arrangement(None), together);
    }
}
