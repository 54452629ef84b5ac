//! A stream being hashed: its queues, its back-pressure, and the unit of work that runs each algorithm.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::{fmt, mem};

use bytes::Bytes;

use super::algorithm::Algorithm;
#[cfg(test)]
use super::crowd::Arrangement;
use super::crowd::{Busy, Crowd};
use super::digests::Digests;
use super::error::DigestError;
use super::kernel::{Family, Kernel};
use super::parts::{PartDigests, PartLengths, Parts, Piece};
use super::pool::Threads;
use super::run_queue::Waiting;
use super::track::{Pair, Status, Track};

/// How many chunks an algorithm may be behind, the one being hashed included, before
/// [`push`](DigestStream::push) waits.
pub const MAX_CHUNKS_BEHIND: usize = 4;

/// A push that waits goes on once every algorithm has come this close: waiting for room for one chunk only would cost
/// a wake-up for each chunk, and two chunks in hand keep the threads busy while the owner wakes.
const RESUME_CHUNKS_BEHIND: usize = MAX_CHUNKS_BEHIND / 2;

/// A stream of bytes being hashed with each algorithm it was started with.
///
/// Memory: at most [`MAX_CHUNKS_BEHIND`] chunks are held for each algorithm, by reference count and never copied. They
/// are the same chunks for every algorithm, so a stream keeps at most [`MAX_CHUNKS_BEHIND`] distinct chunks alive
/// (with the whole of the buffers they are slices of), and all streams together hold
/// streams × algorithms × [`MAX_CHUNKS_BEHIND`] references.
///
/// A chunk is also the turn a unit takes on a thread: chunks of 64 KiB to 1 MiB keep both the cost per chunk and the
/// wait of other streams small. Units that take their turn together go on one by one where their chunks are of different
/// lengths.
///
/// Dropping the stream cancels it: queued chunks are released at once, and one that is being hashed when its turn ends.
pub struct DigestStream {
    threads: Arc<Threads>,
    shared: Arc<Shared>,
}

impl DigestStream {
    pub(super) fn new(threads: Arc<Threads>, kernels: Vec<(Algorithm, Kernel)>) -> Self {
        Self::open(threads, kernels, None)
    }

    /// Of the kernels, the first is that of the parts.
    pub(super) fn with_parts(
        threads: Arc<Threads>,
        kernels: Vec<(Algorithm, Kernel)>,
        lengths: PartLengths,
    ) -> (Self, PartDigests) {
        let stream = Self::open(threads, kernels, Some(Parts::new(0, lengths)));
        let parts = PartDigests {
            threads: Arc::clone(&stream.threads),
            shared: Arc::clone(&stream.shared),
        };
        (stream, parts)
    }

    fn open(threads: Arc<Threads>, kernels: Vec<(Algorithm, Kernel)>, parts: Option<Parts>) -> Self {
        let tracks: Vec<_> = kernels
            .into_iter()
            .map(|(algorithm, kernel)| Track {
                algorithm,
                queue: VecDeque::with_capacity(MAX_CHUNKS_BEHIND),
                status: Status::Resting(kernel),
            })
            .collect();
        let state = State {
            pair: Pair::of(&tracks),
            tracks,
            busy: None,
            phase: Phase::Open,
            waiting: None,
            parts,
        };
        let crowd = Arc::clone(&threads.crowd);
        Self {
            threads,
            shared: Arc::new(Shared {
                crowd,
                state: Mutex::new(state),
            }),
        }
    }

    /// Whether its MD5 and SHA-512 are hashed in one pass now.
    #[cfg(test)]
    pub(super) fn arrangement(&self) -> Option<Arrangement> {
        self.shared.lock().pair.as_ref().and_then(Pair::arrangement)
    }

    /// Hashes `chunk` after those before it. Returns when every algorithm has taken it, not when it is hashed; waits
    /// while any algorithm is [`MAX_CHUNKS_BEHIND`] chunks behind. The digests do not depend on how the bytes were
    /// divided into chunks; an empty chunk changes nothing.
    ///
    /// # Errors
    /// An algorithm failed, on this chunk or an earlier one. The stream is over; see [`DigestError`].
    ///
    /// # Cancel safety
    /// A future that is dropped before it is done has handed the chunk to no algorithm. The chunk is dropped with it.
    pub async fn push(&mut self, chunk: Bytes) -> Result<(), DigestError> {
        if chunk.is_empty() {
            return Ok(());
        }
        let ready = poll_fn(|cx| self.shared.poll_push(cx, &chunk)).await?;
        self.threads.run(ready);
        Ok(())
    }

    /// The digests of all chunks pushed, once they are hashed.
    ///
    /// # Errors
    /// An algorithm failed, now or earlier.
    ///
    /// # Cancel safety
    /// Dropping the future drops, and so cancels, the stream.
    pub async fn finish(self) -> Result<Digests, DigestError> {
        self.threads.run(self.shared.finish());
        poll_fn(|cx| self.shared.poll_finished(cx)).await
    }
}

impl Drop for DigestStream {
    fn drop(&mut self) {
        self.shared.end(Phase::Cancelled);
    }
}

impl fmt::Debug for DigestStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let algorithms: Vec<_> = self
            .shared
            .lock()
            .tracks
            .iter()
            .map(|track| track.algorithm)
            .collect();
        f.debug_struct("DigestStream")
            .field("algorithms", &algorithms)
            .finish_non_exhaustive()
    }
}

/// What the stream's owner and the threads share. Locked a few times per chunk and algorithm, for a few instructions
/// each: no chunk is hashed or released, no kernel dropped and no one woken under the lock.
pub(super) struct Shared {
    crowd: Arc<Crowd>,
    state: Mutex<State>,
}

struct State {
    tracks: Vec<Track>,
    pair: Option<Pair>,
    /// While there is a [`Unit`].
    busy: Option<Busy>,
    phase: Phase,
    /// The owner, when it waits in a push or for the end.
    waiting: Option<Waker>,
    parts: Option<Parts>,
}

enum Phase {
    Open,
    Finishing,
    Cancelled,
    Failed(DigestError),
}

impl State {
    /// The parts, with the queue of the track that hashes them.
    fn parts(&mut self) -> Option<(&mut Parts, &mut VecDeque<Piece>)> {
        let parts = self.parts.as_mut()?;
        let track = self.tracks.get_mut(parts.track)?;
        Some((parts, &mut track.queue))
    }

    /// Whoever waits for the digest of a part.
    fn take_part_waiters(&mut self) -> Vec<Waker> {
        let parts = self.parts.as_mut();
        parts.map_or_else(Vec::new, |parts| mem::take(&mut parts.waiting))
    }

    fn most_behind(&self) -> usize {
        self.tracks.iter().map(Track::chunks_behind).max().unwrap_or(0)
    }

    /// Arranges the two hashes of a pair as is best now. False if that has to wait until they rest.
    fn arrange(&mut self, crowd: &Crowd) -> bool {
        let best = crowd.arrangement(self.busy.as_ref());
        let pair = self.pair.as_mut();
        pair.is_none_or(|pair| pair.arrange(&mut self.tracks, best))
    }

    fn is_at_rest(&self) -> bool {
        self.tracks.iter().all(Track::is_at_rest)
    }

    fn wait(&mut self, cx: &Context<'_>) {
        match &mut self.waiting {
            Some(waker) => waker.clone_from(cx.waker()),
            none => *none = Some(cx.waker().clone()),
        }
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        // The code under this lock cannot panic half way; and a poisoned stream must still report its failure.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Gives the chunk to every track, or to none and waits. Returns the units that have become ready.
    fn poll_push(self: &Arc<Self>, cx: &Context<'_>, chunk: &Bytes) -> Poll<Result<Vec<Unit>, DigestError>> {
        let mut state = self.lock();
        if let Phase::Failed(error) = &state.phase {
            return Poll::Ready(Err(error.clone()));
        }
        if state.most_behind() >= MAX_CHUNKS_BEHIND || !state.arrange(&self.crowd) {
            state.wait(cx);
            return Poll::Pending;
        }
        state.waiting = None;
        let State { tracks, parts, .. } = &mut *state;
        for (index, track) in tracks.iter_mut().enumerate() {
            match parts {
                _ if matches!(track.status, Status::Together) => {}
                Some(parts) if parts.track == index => parts.divide(chunk.clone(), &mut track.queue),
                _ => track.queue.push_back(Piece::Chunk(chunk.clone())),
            }
        }
        Poll::Ready(Ok(self.rouse(&mut state)))
    }

    /// No more chunks will come. Returns the units that have become ready.
    fn finish(self: &Arc<Self>) -> Vec<Unit> {
        let mut state = self.lock();
        match state.phase {
            Phase::Open => {
                state.phase = Phase::Finishing;
                if let Some((parts, queue)) = state.parts() {
                    parts.end_last(queue);
                }
                self.rouse(&mut state)
            }
            Phase::Finishing | Phase::Cancelled | Phase::Failed(_) => Vec::new(),
        }
    }

    /// Ends a part before its time. Returns the units that have become ready; `None` if it was not ended.
    pub(super) fn end_part(self: &Arc<Self>, at: u64) -> Option<Vec<Unit>> {
        let mut state = self.lock();
        if !matches!(state.phase, Phase::Open) {
            return None;
        }
        let (parts, queue) = state.parts()?;
        parts.end_at(at, queue).then(|| self.rouse(&mut state))
    }

    /// The digest of a part.
    pub(super) fn poll_part(&self, cx: &Context<'_>, number: u64) -> Poll<Option<String>> {
        let mut state = self.lock();
        let is_over = matches!(state.phase, Phase::Cancelled | Phase::Failed(_));
        let Some(parts) = &mut state.parts else {
            return Poll::Ready(None);
        };
        match parts.sum(number) {
            Some(sum) => Poll::Ready(Some(sum.clone())),
            None if is_over => Poll::Ready(None),
            None => {
                if !parts.waiting.iter().any(|waker| waker.will_wake(cx.waker())) {
                    parts.waiting.push(cx.waker().clone());
                }
                Poll::Pending
            }
        }
    }

    fn poll_finished(&self, cx: &Context<'_>) -> Poll<Result<Digests, DigestError>> {
        let mut state = self.lock();
        if let Phase::Failed(error) = &state.phase {
            return Poll::Ready(Err(error.clone()));
        }
        let digests = state.tracks.iter().map(|track| match &track.status {
            Status::Done(hex) => Some((track.algorithm, hex.clone())),
            Status::Resting(_) | Status::Ready | Status::Hashing | Status::Together => None,
        });
        if let Some(digests) = digests.collect() {
            return Poll::Ready(Ok(digests));
        }
        state.wait(cx);
        Poll::Pending
    }

    fn rouse(self: &Arc<Self>, state: &mut State) -> Vec<Unit> {
        let tracks = state.tracks.iter_mut().enumerate();
        let ready = tracks.filter_map(|(index, track)| {
            let kernel = track.rouse()?;
            Some(Unit {
                shared: Arc::clone(self),
                track: index,
                algorithm: track.algorithm,
                kernel,
            })
        });
        let ready: Vec<_> = ready.collect();
        if !ready.is_empty() && state.busy.is_none() {
            state.busy = Some(self.crowd.busy());
        }
        ready
    }

    /// Ends the stream before its time, and releases what it holds.
    fn end(&self, phase: Phase) {
        let mut state = self.lock();
        match state.phase {
            Phase::Open | Phase::Finishing => state.phase = phase,
            // The first failure is the one to report.
            Phase::Failed(_) | Phase::Cancelled => return,
        }
        let tracks = state.tracks.iter_mut();
        let released: Vec<_> = tracks
            .map(|track| (mem::take(&mut track.queue), track.rouse()))
            .collect();
        state.busy = None;
        let waiting = state.waiting.take();
        let parts_waiting = state.take_part_waiters();
        drop(state);
        drop(released);
        waiting.into_iter().chain(parts_waiting).for_each(Waker::wake);
    }
}

/// One algorithm of one stream, or two in one pass, when there is something to do for it: what a thread runs.
pub(super) struct Unit {
    shared: Arc<Shared>,
    track: usize,
    algorithm: Algorithm,
    kernel: Kernel,
}

/// What a unit does next.
pub(super) enum Step {
    Hash(Unit, Bytes),
    EndPart(Unit),
    Finish(Unit),
    /// Let others have a turn.
    Yield(Unit),
    /// The track rests, or the stream has ended.
    Leave,
}

impl Waiting for Unit {
    fn family(&self) -> Family {
        self.kernel.family()
    }
}

impl Unit {
    pub(super) fn kernel(&mut self) -> &mut Kernel {
        &mut self.kernel
    }

    /// Whom to tell of a failure.
    pub(super) fn owner(&self) -> Owner {
        Owner {
            shared: Arc::clone(&self.shared),
            algorithm: self.algorithm,
        }
    }

    /// Books the chunk hashed, if one was, and decides what is next.
    pub(super) fn step(self, turn_over: bool) -> Step {
        let shared = Arc::clone(&self.shared);
        let mut state = shared.lock();
        let finishing = match state.phase {
            Phase::Open => false,
            Phase::Finishing => true,
            Phase::Cancelled | Phase::Failed(_) => return Step::Leave,
        };
        let Some(track) = state.tracks.get_mut(self.track) else {
            return Step::Leave;
        };
        track.status = Status::Ready;
        let step = if turn_over && !track.queue.is_empty() {
            Step::Yield(self)
        } else if let Some(piece) = track.queue.pop_front() {
            match piece {
                Piece::Chunk(chunk) => {
                    track.status = Status::Hashing;
                    Step::Hash(self, chunk)
                }
                Piece::EndOfPart => Step::EndPart(self),
            }
        } else if finishing {
            Step::Finish(self)
        } else {
            track.status = Status::Resting(self.kernel);
            if state.is_at_rest() {
                state.busy = None;
            }
            Step::Leave
        };
        let caught_up = !finishing && state.most_behind() <= RESUME_CHUNKS_BEHIND;
        let waiting = if caught_up { state.waiting.take() } else { None };
        drop(state);
        if let Some(waker) = waiting {
            waker.wake();
        }
        step
    }

    /// Ends the part and leaves its digest to the stream.
    pub(super) fn end_part(mut self) -> Self {
        if let Some(digest) = self.kernel.end_part() {
            let mut state = self.shared.lock();
            if let Some(parts) = &mut state.parts {
                parts.sums.push(hex(&digest));
            }
            let waiting = state.take_part_waiters();
            drop(state);
            waiting.into_iter().for_each(Waker::wake);
        }
        self
    }

    /// Ends the hash, or both, and leaves the digests to the stream.
    pub(super) fn finish(self) {
        let (kernel, other) = self.kernel.apart();
        let done = |kernel: Kernel| Status::Done(hex(&kernel.finish()));
        let (done, other_done) = (done(kernel), other.map(done));
        let mut state = self.shared.lock();
        let other = state.pair.as_ref().map(Pair::second);
        let others = other.zip(other_done);
        for (index, status) in std::iter::once((self.track, done)).chain(others) {
            if let Some(track) = state.tracks.get_mut(index) {
                track.status = status;
            }
        }
        if state.is_at_rest() {
            state.busy = None;
        }
        let all_done = state
            .tracks
            .iter()
            .all(|track| matches!(track.status, Status::Done(_)));
        let waiting = if all_done { state.waiting.take() } else { None };
        drop(state);
        if let Some(waker) = waiting {
            waker.wake();
        }
    }
}

/// The stream a unit belongs to, to be told of the unit's failure when the unit itself is lost.
pub(super) struct Owner {
    shared: Arc<Shared>,
    algorithm: Algorithm,
}

impl Owner {
    pub(super) fn fail(self) {
        let algorithm = self.algorithm;
        self.shared.end(Phase::Failed(DigestError { algorithm }));
    }
}

pub(super) fn hex(digest: &[u8]) -> String {
    use fmt::Write as _;
    digest
        .iter()
        .fold(String::with_capacity(digest.len() * 2), |mut hex, byte| {
            // Writing to a string cannot fail.
            let _ = write!(hex, "{byte:02x}");
            hex
        })
}
