//! The threads that hash, and the queue of units that are ready for them.

use std::collections::VecDeque;
use std::num::NonZeroUsize;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::{fmt, io, thread};

use super::algorithm::Algorithm;
use super::error::DigestError;
use super::kernel::Kernel;
use super::stream::{DigestStream, Unit};

/// A fixed set of threads that hash streams. Cheap to clone; clones share the threads.
///
/// The threads end when the last clone and the last [`DigestStream`] are dropped; a stream outlives the handle it was
/// started from. However many streams there are, there are no more threads: units that are ready wait in one
/// first-in, first-out queue, and give way to others after each chunk.
#[derive(Clone)]
pub struct DigestPool {
    threads: Arc<Threads>,
}

impl DigestPool {
    /// Starts a pool of `threads` threads.
    ///
    /// # Errors
    /// The system refused a thread. Those already started end.
    pub fn new(threads: NonZeroUsize) -> io::Result<Self> {
        let pool = Self {
            threads: Arc::new(Threads {
                queue: Arc::default(),
            }),
        };
        for index in 0..threads.get() {
            let queue = Arc::clone(&pool.threads.queue);
            thread::Builder::new()
                .name(format!("digest-{index}"))
                .spawn(move || work(&queue))?;
        }
        Ok(pool)
    }

    /// As many threads as run in parallel here, but at least two, so that the two digests of an image are not
    /// computed one after the other.
    #[must_use]
    pub fn default_threads() -> NonZeroUsize {
        const LEAST: NonZeroUsize = NonZeroUsize::MIN.saturating_add(1);
        thread::available_parallelism().map_or(LEAST, |threads| threads.max(LEAST))
    }

    /// Opens a stream that is hashed with each of `algorithms` (one named twice counts once).
    #[must_use]
    pub fn start(&self, algorithms: &[Algorithm]) -> DigestStream {
        let mut kernels: Vec<(Algorithm, Box<dyn Kernel>)> = Vec::with_capacity(algorithms.len());
        for &algorithm in algorithms {
            if !kernels.iter().any(|(known, _)| *known == algorithm) {
                kernels.push((algorithm, algorithm.kernel()));
            }
        }
        self.start_with(kernels)
    }

    pub(super) fn start_with(&self, kernels: Vec<(Algorithm, Box<dyn Kernel>)>) -> DigestStream {
        DigestStream::new(Arc::clone(&self.threads), kernels)
    }

    /// Alive for as long as any thread is.
    #[cfg(test)]
    pub(super) fn liveness(&self) -> std::sync::Weak<impl Sized + use<>> {
        Arc::downgrade(&self.threads.queue)
    }
}

impl fmt::Debug for DigestPool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DigestPool").finish_non_exhaustive()
    }
}

/// What keeps the threads: held by handles and streams, not by the threads themselves.
pub(super) struct Threads {
    queue: Arc<RunQueue>,
}

impl Threads {
    /// Hands `units` to the threads.
    pub(super) fn run(&self, units: Vec<Unit>) {
        if !units.is_empty() {
            self.queue.push(units);
        }
    }
}

impl Drop for Threads {
    fn drop(&mut self) {
        // Not joined: the last handle may be dropped on an async thread, which must not wait.
        self.queue.close();
    }
}

#[derive(Default)]
struct RunQueue {
    inner: Mutex<Inner>,
    ready: Condvar,
    /// `inner.units.len()`, to be looked at without the lock.
    waiting: AtomicUsize,
}

#[derive(Default)]
struct Inner {
    units: VecDeque<Unit>,
    sleepers: usize,
    closed: bool,
}

impl RunQueue {
    fn push(&self, units: Vec<Unit>) {
        let mut inner = self.lock();
        let wake = inner.sleepers.min(units.len());
        inner.units.extend(units);
        self.waiting.store(inner.units.len(), Ordering::Relaxed);
        drop(inner);
        // A thread that is awake looks at the queue before it sleeps: only sleepers cost a system call.
        for _ in 0..wake {
            self.ready.notify_one();
        }
    }

    /// The next unit to run, after `back`, if any, has gone to the end of the queue. Waits for one;
    /// `None` when the pool is closed and nothing is left.
    fn next(&self, back: Option<Unit>) -> Option<Unit> {
        let mut inner = self.lock();
        inner.units.extend(back);
        loop {
            if let Some(unit) = inner.units.pop_front() {
                self.waiting.store(inner.units.len(), Ordering::Relaxed);
                return Some(unit);
            }
            if inner.closed {
                return None;
            }
            inner.sleepers += 1;
            inner = self.ready.wait(inner).unwrap_or_else(PoisonError::into_inner);
            inner.sleepers -= 1;
        }
    }

    /// Whether a unit waits for a thread. May lag behind by an instant, which costs a unit one turn at most.
    fn is_waited_for(&self) -> bool {
        self.waiting.load(Ordering::Relaxed) > 0
    }

    fn close(&self) {
        self.lock().closed = true;
        self.ready.notify_all();
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        // No code under this lock leaves the queue half changed.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What each thread does until the pool closes. A panic ends the stream it happened in, not the thread.
fn work(queue: &RunQueue) {
    let mut back = None;
    while let Some(unit) = queue.next(back.take()) {
        let owner = unit.owner();
        let turn = catch_unwind(AssertUnwindSafe(|| unit.run(|| queue.is_waited_for())));
        match turn {
            Ok(unit) => back = unit,
            Err(_) => owner.fail(DigestError::panicked),
        }
    }
}
