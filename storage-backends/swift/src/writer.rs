//! Writing one blob.

use std::{future::Future, mem, sync::Arc};

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::{StreamExt, stream::FuturesUnordered};
use saccade_store_contract::{
    BlobWriter, Error, ErrorKind, Location, Operation, PartLengths, PartSums, Result,
};
use tokio::task::JoinHandle;

use crate::{
    attempt::AttemptState,
    failure::{Failure, refused},
    location::AttemptNames,
    plan::{Lease, Plan},
    publish::{self, Content},
    segment::{Closed, Part, Segment, WINDOW},
    store::Inner,
    undo,
};

/// How many segments of one blob are under way at once.
pub(crate) const SEGMENTS_AT_ONCE: usize = 4;
/// What is collected before it goes into a segment.
const BLOCK: usize = 256 << 10;

/// Fills segments and sends them.
#[derive(Debug)]
pub(crate) struct SwiftWriter {
    inner: Arc<Inner>,
    state: Arc<AttemptState>,
    names: Arc<AttemptNames>,
    plan: Plan,
    /// The block that is being filled.
    block: Vec<u8>,
    filling: Option<Filling>,
    /// Who hashes the segments; they are hashed here without.
    sums: Option<Arc<dyn PartSums>>,
    /// Bytes that are in segments.
    position: u64,
    is_marked: bool,
    under_way: FuturesUnordered<JoinHandle<Sent>>,
    /// Length and hash of each segment, as they come.
    segments: Vec<Option<(u64, String)>>,
    /// Whether the memory that is this writer's own is free.
    own: bool,
    /// A call has failed, or was dropped before its end.
    is_broken: bool,
}

#[derive(Debug)]
struct Filling {
    segment: Arc<Segment>,
    /// How long it may be, and how long it is.
    room: u64,
    length: u64,
    /// Until it is sent, it is here.
    lease: Option<Lease>,
}

/// A segment that was sent, or not.
#[derive(Debug)]
struct Sent {
    index: usize,
    was_own: bool,
    sum: Result<(u64, String), Failure>,
}

impl SwiftWriter {
    pub(crate) fn new(
        inner: Arc<Inner>,
        state: Arc<AttemptState>,
        names: AttemptNames,
        declared: Option<u64>,
    ) -> Self {
        let plan = Plan {
            chunk: inner.chunk,
            declared,
        };
        Self {
            inner,
            state,
            names: Arc::new(names),
            plan,
            block: Vec::new(),
            filling: None,
            sums: None,
            position: 0,
            is_marked: false,
            under_way: FuturesUnordered::new(),
            segments: Vec::new(),
            own: true,
            is_broken: false,
        }
    }

    /// Runs a call that ends neither with this writer nor with the caller's patience; `discard` waits for it.
    fn spawn<T, F>(&self, call: F) -> Result<JoinHandle<T>, Failure>
    where
        T: Send + 'static,
        F: Future<Output = T> + Send + 'static,
    {
        let entered = self.state.enter().ok_or(Failure::GivenUp)?;
        let state = Arc::clone(&self.state);
        Ok(tokio::spawn(async move {
            let done = call.await;
            drop((entered, state));
            done
        }))
    }

    fn failed(&self, operation: Operation) -> impl Fn(Failure) -> Error + use<> {
        let subject = self.names.place.to_string();
        move |failure| failure.at(operation, &subject)
    }

    /// Copies a chunk into segments as it is: one that waited to become longer would be hashed there and not yet be here, and
    /// no segment could end before its time.
    async fn pass_on(&mut self, chunk: &[u8]) -> Result<()> {
        if mem::replace(&mut self.is_broken, true) {
            return Err(self.broken(Operation::Write));
        }
        if !self.block.is_empty() {
            self.push(Operation::Write).await?;
        }
        for block in chunk.chunks(BLOCK) {
            self.divide(Bytes::copy_from_slice(block), Operation::Write)
                .await?;
        }
        self.is_broken = false;
        Ok(())
    }

    async fn append(&mut self, mut next: impl FnMut(&mut Vec<u8>, usize) -> usize) -> Result<()> {
        if mem::replace(&mut self.is_broken, true) {
            return Err(self.broken(Operation::Write));
        }
        loop {
            if self.block.capacity() == 0 {
                self.block.reserve_exact(BLOCK);
            }
            let room = BLOCK.saturating_sub(self.block.len());
            let left = next(&mut self.block, room);
            if self.block.len() >= BLOCK {
                self.push(Operation::Write).await?;
            }
            if left == 0 {
                self.is_broken = false;
                return Ok(());
            }
        }
    }

    /// Puts the block into segments.
    async fn push(&mut self, operation: Operation) -> Result<()> {
        let block = Bytes::from(mem::take(&mut self.block));
        self.divide(block, operation).await
    }

    /// Puts bytes into segments.
    async fn divide(&mut self, mut block: Bytes, operation: Operation) -> Result<()> {
        while !block.is_empty() {
            let mut filling = match self.filling.take() {
                Some(filling) => filling,
                None => self.begin(operation).await?,
            };
            let room = filling.room.saturating_sub(filling.length);
            let taken = usize::try_from(room).unwrap_or(usize::MAX).min(block.len());
            let part = block.split_to(taken);
            let length = filling.length.saturating_add(length_of(&part));
            // From here on it is sent while it comes, and cannot be kept whole.
            if length > WINDOW_LENGTH && filling.lease.is_some() {
                self.send(&mut filling, operation).await?;
            }
            match filling.segment.push(part).await {
                Ok(()) => {
                    self.position = self
                        .position
                        .saturating_add(length.saturating_sub(filling.length));
                    filling.length = length;
                }
                // It was ended, since nothing came for it. What has come now is for the next one.
                Err(Closed::Complete(part)) => {
                    self.state.set_open(None);
                    block = [part, block].concat().into();
                    continue;
                }
                Err(Closed::Abandoned) => {
                    self.filling = Some(filling);
                    return Err(self.why(operation).await);
                }
            }
            if filling.length < filling.room {
                self.filling = Some(filling);
            } else {
                filling.segment.complete();
                self.send(&mut filling, operation).await?;
                self.state.set_open(None);
            }
        }
        Ok(())
    }

    /// An empty segment, as soon as there is memory for it.
    async fn begin(&mut self, operation: Operation) -> Result<Filling> {
        let number = u64::try_from(self.segments.len())
            .unwrap_or(u64::MAX)
            .saturating_add(1);
        let Some(room) = self.plan.segment(number) else {
            let reason = "it has more segments than a manifest can have; a larger swift_store_large_object_chunk_size \
                          makes fewer";
            let subject = self.names.place.to_string();
            return Err(refused(ErrorKind::Full, operation, &subject, reason));
        };
        let lease = loop {
            if self.under_way.len() < SEGMENTS_AT_ONCE {
                if mem::replace(&mut self.own, false) {
                    break Lease::Own;
                }
                if let Some(lease) = self.inner.memory.another() {
                    break lease;
                }
            }
            if !self.collect(operation).await? {
                // The writer's own is with a segment that is under way, or free.
                self.own = true;
            }
        };
        let part = self.sums.clone().map(|sums| Part {
            sums,
            number,
            start: self.position,
        });
        let segment = Segment::new(part);
        self.state.set_open(Some(&segment));
        if self.state.is_given_up() {
            segment.abandon();
        }
        Ok(Filling {
            segment,
            room,
            length: 0,
            lease: Some(lease),
        })
    }

    /// Waits for one segment; false if none is under way.
    async fn collect(&mut self, operation: Operation) -> Result<bool> {
        let Some(sent) = self.under_way.next().await else {
            return Ok(false);
        };
        let failed = self.failed(operation);
        let sent = sent.map_err(|stopped| failed(Failure::Unasked(stopped.to_string())))?;
        let sum = sent.sum.map_err(failed)?;
        self.own |= sent.was_own;
        if let Some(place) = self.segments.get_mut(sent.index) {
            *place = Some(sum);
        }
        Ok(true)
    }

    /// Why the open segment was given up.
    async fn why(&mut self, operation: Operation) -> Error {
        loop {
            match self.collect(operation).await {
                Ok(true) => {}
                Ok(false) => return self.failed(operation)(Failure::GivenUp),
                Err(error) => return error,
            }
        }
    }

    /// Sends a segment in the background, unless that has begun; the attempt is marked before its first one.
    async fn send(&mut self, filling: &mut Filling, operation: Operation) -> Result<()> {
        let Some(lease) = filling.lease.take() else {
            return Ok(());
        };
        let failed = self.failed(operation);
        if !self.is_marked {
            self.mark().await.map_err(&failed)?;
            self.is_marked = true;
        }
        let index = self.segments.len();
        self.segments.push(None);
        let number = u64::try_from(self.segments.len()).unwrap_or(u64::MAX);
        let (inner, names, state) = (
            Arc::clone(&self.inner),
            Arc::clone(&self.names),
            Arc::clone(&self.state),
        );
        let segment = Arc::clone(&filling.segment);
        let sending = self.spawn(async move {
            let account = inner.account(&names.place);
            let sum = account.put_segment(&names, number, &segment, &state).await;
            if sum.is_err() {
                segment.abandon();
            }
            Sent {
                index,
                was_own: matches!(lease, Lease::Own),
                sum,
            }
        });
        self.under_way.push(sending.map_err(failed)?);
        Ok(())
    }

    async fn mark(&self) -> Result<(), Failure> {
        let (inner, names) = (Arc::clone(&self.inner), Arc::clone(&self.names));
        let marking = self.spawn(async move { inner.mark(&names).await })?;
        match marking.await {
            Ok(result) => result,
            Err(stopped) => Err(Failure::Unasked(stopped.to_string())),
        }
    }

    /// What is to be published, when all segments are there.
    async fn content(&mut self) -> Result<Content> {
        let operation = Operation::Commit;
        if !self.block.is_empty() {
            self.push(operation).await?;
        }
        if let Some(mut filling) = self.filling.take() {
            let is_small = filling.length < self.inner.large_object;
            filling.segment.complete();
            if is_small && self.segments.is_empty() {
                self.state.set_open(None);
                return Ok(Content::Whole {
                    bytes: filling.segment,
                    _lease: filling.lease,
                });
            }
            self.send(&mut filling, operation).await?;
        } else if self.segments.is_empty() {
            let part = self.sums.clone().map(|sums| Part {
                sums,
                number: 1,
                start: 0,
            });
            let bytes = Segment::new(part);
            bytes.complete();
            return Ok(Content::Whole { bytes, _lease: None });
        }
        while self.collect(operation).await? {}
        self.state.set_open(None);
        let segments: Option<Vec<_>> = mem::take(&mut self.segments).into_iter().collect();
        Ok(Content::Segments(segments.ok_or_else(|| self.broken(operation))?))
    }

    fn broken(&self, operation: Operation) -> Error {
        let reason = "an earlier call of this attempt has failed";
        refused(
            ErrorKind::Unavailable,
            operation,
            &self.names.place.to_string(),
            reason,
        )
    }
}

#[async_trait]
impl BlobWriter for SwiftWriter {
    fn parts(&self) -> Option<PartLengths> {
        let plan = self.plan;
        Some(Box::new(move |number| plan.segment(number)))
    }

    fn use_sums(&mut self, sums: Arc<dyn PartSums>) {
        self.sums = Some(sums);
    }

    async fn write(&mut self, chunk: Bytes) -> Result<()> {
        if chunk.is_empty() {
            return Ok(());
        }
        if self.sums.is_some() {
            return self.pass_on(&chunk).await;
        }
        let mut left = chunk;
        self.append(move |block, room| {
            let taken = left.split_to(room.min(left.len()));
            block.extend_from_slice(&taken);
            left.len()
        })
        .await
    }

    async fn write_zeroes(&mut self, len: u64) -> Result<()> {
        if len == 0 {
            return Ok(());
        }
        let mut left = len;
        self.append(move |block, room| {
            let taken = usize::try_from(left).unwrap_or(usize::MAX).min(room);
            block.resize(block.len().saturating_add(taken), 0);
            left = left.saturating_sub(u64::try_from(taken).unwrap_or(u64::MAX));
            usize::try_from(left).unwrap_or(usize::MAX)
        })
        .await
    }

    async fn commit(mut self: Box<Self>) -> Result<Location> {
        if mem::replace(&mut self.is_broken, true) {
            return Err(self.broken(Operation::Commit));
        }
        let content = self.content().await?;
        let (inner, names) = (Arc::clone(&self.inner), Arc::clone(&self.names));
        let failed = self.failed(Operation::Commit);
        let publishing = self
            .spawn(async move { publish::publish(&inner, &names, content).await })
            .map_err(&failed)?;
        match publishing.await {
            Ok(result) => result?,
            Err(stopped) => return Err(failed(Failure::Unasked(stopped.to_string()))),
        }
        Ok(self.inner.names.location(&self.names.place))
    }

    async fn abort(self: Box<Self>) -> Result<()> {
        undo::discard(&self.inner, &self.names, Operation::Abort).await
    }
}

impl Drop for SwiftWriter {
    fn drop(&mut self) {
        // What is complete goes to its end; what is open is cut, and the server drops it. None is sent again.
        self.state.stop();
    }
}

const WINDOW_LENGTH: u64 = WINDOW as u64;

fn length_of(bytes: &Bytes) -> u64 {
    u64::try_from(bytes.len()).unwrap_or(u64::MAX)
}
