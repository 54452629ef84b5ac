//! The bytes of one segment on their way: from the writer, in blocks, into the body of a request.
//!
//! As long as the segment fits into [`WINDOW`] nothing of it is let go, and the request can be made again. Of a longer one
//! what was sent is let go when there is no more room, and from then on there is one try.

use std::{
    collections::VecDeque,
    fmt,
    future::Future as _,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, Waker},
    time::Duration,
};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use md5::{Digest as _, Md5};
use saccade_store_contract::PartSums;
use tokio::{
    sync::Notify,
    time::{Instant, Sleep, sleep, timeout_at},
};

/// The most bytes of a segment that are in memory.
pub(crate) const WINDOW: usize = 8 << 20;
/// A body that gets nothing for so long ends here, and what follows goes into the next segment: servers give up clients
/// that are silent for a minute.
const IDLE: Duration = Duration::from_secs(20);
/// A request that is refused at once can be made again: nothing is let go before it has had so long.
const GRACE: Duration = Duration::from_millis(100);

/// A segment that is being filled, sent, or both.
#[derive(Debug)]
pub(crate) struct Segment {
    state: Mutex<State>,
    /// There may be room, or there is none any more.
    changed: Notify,
}

struct State {
    blocks: VecDeque<Bytes>,
    /// Bytes in `blocks`.
    held: usize,
    /// How many of `blocks` the request has taken.
    taken: usize,
    /// Whether nothing was let go.
    is_whole: bool,
    length: u64,
    hash: Hash,
    phase: Phase,
    waker: Option<Waker>,
    /// Since when the request takes nothing although there is something.
    stuck: Option<Instant>,
    /// When the request took its first block.
    begun: Option<Instant>,
    /// Which of the bodies that were made is the one that counts.
    try_number: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Open,
    Complete,
    Abandoned,
}

/// The hash of all of it.
enum Hash {
    /// Computed here.
    Own(Md5),
    Known(String),
    /// Computed by whoever hashes the whole blob.
    Told(Part),
}

/// Which part of a blob a segment is, where somebody else hashes them.
pub(crate) struct Part {
    pub(crate) sums: Arc<dyn PartSums>,
    /// From 1.
    pub(crate) number: u64,
    /// Where in the blob it begins.
    pub(crate) start: u64,
}

/// The body was cut, because its segment was given up.
#[derive(Debug, Clone, Copy, thiserror::Error)]
#[error("the segment was given up")]
pub(crate) struct Cut;

/// Why a block was not taken.
#[derive(Debug)]
pub(crate) enum Closed {
    /// The segment has ended before it; the block is for the next one.
    Complete(Bytes),
    Abandoned,
}

impl Segment {
    /// An empty one. Without a part to be told of, it is hashed here.
    pub(crate) fn new(part: Option<Part>) -> Arc<Self> {
        Arc::new(Self {
            state: Mutex::new(State {
                blocks: VecDeque::new(),
                held: 0,
                taken: 0,
                is_whole: true,
                length: 0,
                hash: part.map_or_else(|| Hash::Own(Md5::new()), Hash::Told),
                phase: Phase::Open,
                waker: None,
                stuck: None,
                begun: None,
                try_number: 0,
            }),
            changed: Notify::new(),
        })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Whole between any two statements.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Appends a block as soon as there is room for it. Cancelled, it is appended or not.
    pub(crate) async fn push(&self, block: Bytes) -> Result<(), Closed> {
        loop {
            let changed = self.changed.notified();
            let grace = {
                let mut state = self.state();
                match state.phase {
                    Phase::Open => {}
                    Phase::Complete => return Err(Closed::Complete(block)),
                    Phase::Abandoned => return Err(Closed::Abandoned),
                }
                let grace = state.grace();
                while state.held.saturating_add(block.len()) > WINDOW && state.taken > 0 && grace.is_none() {
                    state.let_go();
                }
                if state.held.saturating_add(block.len()) <= WINDOW {
                    if let Hash::Own(md5) = &mut state.hash {
                        md5.update(&block);
                    }
                    state.held = state.held.saturating_add(block.len());
                    state.length = state.length.saturating_add(length_of(&block));
                    state.blocks.push_back(block);
                    state.wake();
                    return Ok(());
                }
                grace
            };
            match grace {
                Some(until) => drop(timeout_at(until, changed).await),
                None => changed.await,
            }
        }
    }

    /// Nothing follows.
    pub(crate) fn complete(&self) {
        self.state().complete();
    }

    /// Lets the body break off where it is. What was complete stays so: its request goes to its end.
    pub(crate) fn abandon(&self) {
        let mut state = self.state();
        if state.phase == Phase::Open {
            state.phase = Phase::Abandoned;
            state.wake();
            drop(state);
            self.changed.notify_waiters();
        }
    }

    /// Length and hash (MD5, hexadecimal), if nothing follows. Waits until all of it is hashed. `None` also when it is hashed
    /// no more. Cancel safe.
    pub(crate) async fn sum(&self) -> Option<(u64, String)> {
        let (length, told) = {
            let state = self.state();
            match (state.phase, &state.hash) {
                (Phase::Complete, Hash::Told(part)) => (state.length, part.sums.md5(part.number)),
                (Phase::Complete, Hash::Known(md5)) => return Some((state.length, md5.clone())),
                _ => return None,
            }
        };
        Some((length, told.await?))
    }

    /// From the beginning again, if all of it is there.
    pub(crate) fn rewind(&self) -> bool {
        let mut state = self.state();
        state.outdate();
        state.taken = 0;
        state.stuck = None;
        state.begun = None;
        state.is_whole && state.phase != Phase::Abandoned
    }

    /// For how long the request has taken nothing, while there is something for it.
    pub(crate) fn stuck(&self) -> Duration {
        self.state().stuck.map_or(Duration::ZERO, |since| since.elapsed())
    }

    /// A body from the beginning.
    pub(crate) fn body(self: &Arc<Self>) -> SegmentBody {
        let mut state = self.state();
        state.outdate();
        state.stuck = Some(Instant::now());
        let exact = match state.phase {
            Phase::Complete => Some(state.length),
            Phase::Open | Phase::Abandoned => None,
        };
        let try_number = state.try_number;
        drop(state);
        SegmentBody {
            segment: Arc::clone(self),
            exact,
            silence: None,
            try_number,
        }
    }
}

impl State {
    /// A request that was answered early may still be sending: its body has no part in this any more.
    fn outdate(&mut self) {
        self.try_number = self.try_number.wrapping_add(1);
        self.wake();
    }

    /// Until when nothing may be let go.
    fn grace(&self) -> Option<Instant> {
        let until = self.begun.filter(|_| self.is_whole)?.checked_add(GRACE)?;
        (until > Instant::now()).then_some(until)
    }

    fn let_go(&mut self) {
        if let Some(block) = self.blocks.pop_front() {
            self.held = self.held.saturating_sub(block.len());
            self.taken = self.taken.saturating_sub(1);
            self.is_whole = false;
        }
    }

    fn wake(&mut self) {
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }

    fn complete(&mut self) {
        if self.phase == Phase::Open {
            if let Hash::Own(md5) = &mut self.hash {
                let md5 = std::mem::take(md5).finalize();
                self.hash = Hash::Known(md5.iter().map(|byte| format!("{byte:02x}")).collect());
            }
            self.phase = Phase::Complete;
            self.wake();
        }
    }

    /// Ends it before its time, unless more is on its way.
    fn complete_early(&mut self) -> bool {
        let ends = match &self.hash {
            Hash::Told(part) => part.sums.end_part(part.start.saturating_add(self.length)),
            Hash::Own(_) | Hash::Known(_) => true,
        };
        if ends {
            self.complete();
        }
        ends
    }
}

impl fmt::Debug for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} bytes, {:?}", self.length, self.phase)
    }
}

/// One try to send a segment.
#[derive(Debug)]
pub(crate) struct SegmentBody {
    segment: Arc<Segment>,
    exact: Option<u64>,
    silence: Option<Pin<Box<Sleep>>>,
    /// Of [`State::try_number`].
    try_number: u64,
}

impl Body for SegmentBody {
    type Data = Bytes;
    type Error = Cut;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Self::Data>, Self::Error>>> {
        let this = self.get_mut();
        let mut state = this.segment.state();
        if state.phase == Phase::Abandoned || state.try_number != this.try_number {
            return Poll::Ready(Some(Err(Cut)));
        }
        if let Some(block) = state.blocks.get(state.taken).cloned() {
            state.taken = state.taken.saturating_add(1);
            if !state.is_whole {
                // It will not be sent again: there is no use in keeping it.
                state.let_go();
            }
            let now = Instant::now();
            state.stuck = Some(now);
            state.begun.get_or_insert(now);
            drop(state);
            this.silence = None;
            this.segment.changed.notify_waiters();
            return Poll::Ready(Some(Ok(Frame::data(block))));
        }
        if state.phase == Phase::Complete {
            state.stuck = Some(Instant::now());
            return Poll::Ready(None);
        }
        state.stuck = None;
        state.waker = Some(cx.waker().clone());
        let silence = this.silence.get_or_insert_with(|| Box::pin(sleep(IDLE)));
        while silence.as_mut().poll(cx).is_ready() {
            if state.complete_early() {
                state.stuck = Some(Instant::now());
                return Poll::Ready(None);
            }
            silence.set(sleep(IDLE));
        }
        Poll::Pending
    }

    fn size_hint(&self) -> SizeHint {
        self.exact.map_or_else(SizeHint::default, SizeHint::with_exact)
    }
}

fn length_of(block: &Bytes) -> u64 {
    u64::try_from(block.len()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::future::poll_fn;

    fn block(byte: u8) -> Bytes {
        Bytes::from(vec![byte; 1 << 20])
    }

    async fn next(body: &mut SegmentBody) -> Option<Result<u8, Cut>> {
        let frame = poll_fn(|cx| Pin::new(&mut *body).poll_frame(cx)).await;
        frame.map(|frame| frame.map(|frame| frame.into_data().unwrap()[0]))
    }

    #[tokio::test]
    async fn the_body_of_an_earlier_try_takes_nothing_from_the_next() {
        let segment = Segment::new(None);
        segment.push(block(0)).await.unwrap();
        segment.push(block(1)).await.unwrap();
        let mut old = segment.body();
        assert_eq!(next(&mut old).await.unwrap().unwrap(), 0);
        assert!(segment.rewind());
        assert!(next(&mut old).await.unwrap().is_err());
        let mut new = segment.body();
        for byte in 0..2 {
            assert!(next(&mut old).await.unwrap().is_err());
            assert_eq!(next(&mut new).await.unwrap().unwrap(), byte);
        }
        segment.complete();
        assert!(next(&mut new).await.is_none());
    }

    #[tokio::test]
    async fn what_fits_can_be_sent_again() {
        let segment = Segment::new(None);
        for byte in 0..8 {
            segment.push(block(byte)).await.unwrap();
        }
        segment.complete();
        let (length, md5) = segment.sum().await.unwrap();
        assert_eq!((length, md5.len()), (8 << 20, 32));
        for _ in 0..2 {
            assert!(segment.rewind());
            let mut body = segment.body();
            assert_eq!(body.size_hint().exact(), Some(8 << 20));
            for byte in 0..8 {
                assert_eq!(next(&mut body).await.unwrap().unwrap(), byte);
            }
            assert!(next(&mut body).await.is_none());
        }
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_longer_is_let_go_as_it_is_sent() {
        let segment = Segment::new(None);
        let mut body = segment.body();
        assert_eq!(body.size_hint().exact(), None);
        for byte in 0..8 {
            segment.push(block(byte)).await.unwrap();
        }
        let more = tokio::spawn({
            let segment = Arc::clone(&segment);
            async move {
                for byte in 8..20 {
                    segment.push(block(byte)).await.unwrap();
                }
                segment.complete();
                segment.sum().await.unwrap().0
            }
        });
        tokio::task::yield_now().await;
        assert!(!more.is_finished() && segment.rewind());
        body = segment.body();
        for byte in 0..20 {
            assert_eq!(next(&mut body).await.unwrap().unwrap(), byte);
            tokio::task::yield_now().await;
            // Not before the request has had time to be refused.
            assert!(byte > 0 || segment.rewind() && segment.state().held == WINDOW);
            if byte == 0 {
                body = segment.body();
                assert_eq!(next(&mut body).await.unwrap().unwrap(), 0);
                tokio::time::sleep(GRACE).await;
            }
            assert!(segment.state().held <= WINDOW);
        }
        assert!(next(&mut body).await.is_none());
        assert_eq!(more.await.unwrap(), 20 << 20);
        assert!(!segment.rewind() && segment.state().held == 0);
    }

    #[tokio::test]
    async fn giving_up_cuts_the_body_and_stops_the_writer() {
        let segment = Segment::new(None);
        let mut body = segment.body();
        for byte in 0..8 {
            segment.push(block(byte)).await.unwrap();
        }
        let waiting = tokio::spawn({
            let segment = Arc::clone(&segment);
            async move { segment.push(block(8)).await }
        });
        tokio::task::yield_now().await;
        segment.abandon();
        assert!(matches!(waiting.await.unwrap(), Err(Closed::Abandoned)));
        assert!(next(&mut body).await.unwrap().is_err());
        segment.complete();
        assert!(segment.sum().await.is_none());
    }

    #[tokio::test(start_paused = true)]
    async fn a_silent_writer_ends_the_segment_and_not_the_image() {
        let segment = Segment::new(None);
        let mut body = segment.body();
        segment.push(block(1)).await.unwrap();
        assert!(next(&mut body).await.is_some());
        // The clock is paused: it runs when everybody waits.
        assert!(next(&mut body).await.is_none());
        assert!(matches!(segment.push(block(2)).await, Err(Closed::Complete(_))));
        assert_eq!(segment.sum().await.unwrap().0, 1 << 20);
    }
}
