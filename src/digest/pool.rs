//! The threads that hash.

use std::num::NonZeroUsize;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::{fmt, io, thread};

use arrayvec::ArrayVec;
use bytes::Bytes;
use saccade_digest_kernels::MAX_LANES;

use super::algorithm::Algorithm;
use super::crowd::Crowd;
use super::kernel::Kernel;
use super::parts::{PartDigests, PartLengths};
use super::run_queue::RunQueue;
use super::stream::{DigestStream, Owner, Step, Unit};

/// A fixed set of threads that hash streams. Cheap to clone; clones share the threads.
///
/// The threads end when the last clone and the last [`DigestStream`] are dropped; a stream outlives the handle it was
/// started from. However many streams there are, there are no more threads: units that are ready wait in a
/// first-in, first-out queue, and give way to others after each chunk. Units of one hash take their turn together when there are more
/// units than threads: five and more times as many bytes for the same time of a processor. With fewer, MD5 and SHA-512 of a stream are
/// one unit: three fifths of the time for both.
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
                crowd: Arc::new(Crowd::new(threads.get())),
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
        self.start_with(kernels(algorithms))
    }

    /// The same with MD5, if that is not among the algorithms, and the MD5 of each of its parts.
    #[must_use]
    pub fn start_with_parts(
        &self,
        algorithms: &[Algorithm],
        lengths: PartLengths,
    ) -> (DigestStream, PartDigests) {
        let mut kernels = kernels(algorithms);
        kernels.retain(|(algorithm, _)| *algorithm != Algorithm::Md5);
        kernels.insert(0, (Algorithm::Md5, Kernel::md5_with_parts()));
        DigestStream::with_parts(Arc::clone(&self.threads), kernels, lengths)
    }

    pub(super) fn start_with(&self, kernels: Vec<(Algorithm, Kernel)>) -> DigestStream {
        DigestStream::new(Arc::clone(&self.threads), kernels)
    }

    #[cfg(test)]
    pub(super) fn crowd(&self) -> &Arc<Crowd> {
        &self.threads.crowd
    }

    /// Alive for as long as any thread is.
    #[cfg(test)]
    pub(super) fn liveness(&self) -> std::sync::Weak<impl Sized + use<>> {
        Arc::downgrade(&self.threads.queue)
    }
}

fn kernels(algorithms: &[Algorithm]) -> Vec<(Algorithm, Kernel)> {
    let mut kernels: Vec<(Algorithm, Kernel)> = Vec::with_capacity(algorithms.len());
    for &algorithm in algorithms {
        if !kernels.iter().any(|(known, _)| *known == algorithm) {
            kernels.push((algorithm, algorithm.kernel()));
        }
    }
    kernels
}

impl fmt::Debug for DigestPool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DigestPool").finish_non_exhaustive()
    }
}

/// What keeps the threads: held by handles and streams, not by the threads themselves.
pub(super) struct Threads {
    queue: Arc<RunQueue<Unit>>,
    pub(super) crowd: Arc<Crowd>,
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

/// What each thread does until the pool closes. A panic ends the streams it happened in, not the thread.
fn work(queue: &RunQueue<Unit>) {
    let mut units = Vec::with_capacity(MAX_LANES);
    while queue.next(&mut units) {
        let owners: ArrayVec<_, MAX_LANES> = units.iter().map(Unit::owner).collect();
        let turn = catch_unwind(AssertUnwindSafe(|| {
            run(&mut units, |left| queue.wants_back(left))
        }));
        if turn.is_err() {
            units.clear();
            owners.into_iter().for_each(Owner::fail);
        }
    }
}

/// Takes turns: hashes a chunk of each unit, and further ones for as long as the queue does not want so many of them back. Leaves those
/// that have more to do.
fn run(units: &mut Vec<Unit>, wanted_back: impl Fn(usize) -> bool) {
    let mut turn_over = false;
    loop {
        let mut hashing = ArrayVec::<(Unit, Bytes), MAX_LANES>::new();
        let mut left = ArrayVec::<Unit, MAX_LANES>::new();
        for unit in units.drain(..) {
            let mut step = unit.step(turn_over);
            while let Step::EndPart(unit) = step {
                step = unit.end_part().step(turn_over);
            }
            match step {
                Step::Hash(unit, chunk) => hashing.push((unit, chunk)),
                Step::Finish(unit) => unit.finish(),
                Step::Yield(unit) => left.push(unit),
                Step::EndPart(_) | Step::Leave => {}
            }
        }
        if hashing.is_empty() {
            units.extend(left);
            return;
        }
        Kernel::update_many(
            hashing
                .iter_mut()
                .map(|(unit, chunk)| (unit.kernel(), &*chunk))
                .collect(),
        );
        // A chunk is released before it is booked as hashed.
        units.extend(hashing.into_iter().map(|(unit, _)| unit));
        turn_over = wanted_back(units.len());
    }
}
