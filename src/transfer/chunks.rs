//! A request's body in chunks of bounded memory.
//!
//! HTTP hands over frames of any size that pin buffers of any size. They are copied, once, into buffers of one size
//! from a pool whose total is bounded for the whole process: so the memory of all uploads together is what the pool holds,
//! and chunks are of a size that suits hashing and writing. A buffer is taken only when there are bytes for it, so that
//! a client that sends nothing holds none.

use std::{
    error::Error,
    future::poll_fn,
    io,
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::Poll,
};

use bytes::{Buf, Bytes};
use http_body::Body;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::{UploadError, UploadErrorKind};

/// The length of a buffer in bytes: large enough that the work per chunk does not count, small enough that many
/// uploads share the pool. A store that wants longer writes puts several chunks into one.
pub(super) const CHUNK: usize = 256 * 1024;

/// What address and length of chunks are a multiple of: the page, and no smaller than the block of any disk.
pub(super) const BLOCK: usize = 4096;

/// What a buffer takes: there is a multiple of [`BLOCK`] among its first addresses, with room for a chunk behind it.
const ALLOCATED: usize = CHUNK + BLOCK;

/// The fewest buffers that make an upload flow: one filling, one being written, a few being hashed.
const FEWEST: usize = 8;

/// The buffers of all uploads.
#[derive(Debug, Clone)]
pub(super) struct ChunkPool {
    /// Buffers that were used before; never more than there are permits.
    idle: Arc<Mutex<Vec<Buffer>>>,
    permits: Arc<Semaphore>,
}

impl ChunkPool {
    /// A pool of `memory` bytes, at least a few buffers.
    pub(super) fn new(memory: u64) -> Self {
        let buffers = usize::try_from(memory).unwrap_or(usize::MAX) / ALLOCATED;
        let buffers = buffers.clamp(FEWEST, Semaphore::MAX_PERMITS);
        Self {
            idle: Arc::default(),
            permits: Arc::new(Semaphore::new(buffers)),
        }
    }

    /// How many buffers were made and are not in use.
    #[cfg(test)]
    pub(super) fn buffers_made(&self) -> usize {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).len()
    }

    /// An empty buffer, as soon as there is one.
    async fn take(&self) -> Chunk {
        let permit = Arc::clone(&self.permits).acquire_owned().await.ok();
        let idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let buffer = idle.unwrap_or_else(Buffer::allocate);
        Chunk {
            buffer,
            pool: self.clone(),
            _permit: permit,
        }
    }
}

/// At most [`CHUNK`] bytes, of which the first is at a multiple of [`BLOCK`].
#[derive(Debug, Default)]
struct Buffer {
    /// Never grows beyond what was allocated, and so never moves.
    memory: Vec<u8>,
    /// Where the bytes begin; before it is what lies between the allocation's beginning and the multiple.
    start: usize,
}

impl Buffer {
    fn allocate() -> Self {
        let mut memory: Vec<u8> = Vec::with_capacity(ALLOCATED);
        let start = memory.as_ptr().align_offset(BLOCK).min(BLOCK);
        memory.resize(start, 0);
        Self { memory, start }
    }

    fn len(&self) -> usize {
        self.memory.len().saturating_sub(self.start)
    }

    /// How many bytes still fit.
    fn room(&self) -> usize {
        CHUNK.saturating_sub(self.len())
    }

    fn bytes(&self) -> &[u8] {
        self.memory.get(self.start..).unwrap_or_default()
    }

    /// Takes as many of these bytes as fit, and returns how many that were.
    fn append(&mut self, bytes: &[u8]) -> usize {
        let (fits, _) = bytes.split_at(bytes.len().min(self.room()));
        self.memory.extend_from_slice(fits);
        fits.len()
    }

    /// What stands behind the last multiple of [`BLOCK`].
    fn excess(&self) -> &[u8] {
        let bytes = self.bytes();
        bytes.get(bytes.len() - bytes.len() % BLOCK..).unwrap_or_default()
    }

    fn truncate(&mut self, len: usize) {
        self.memory.truncate(self.start.saturating_add(len));
    }
}

/// A buffer of the pool; goes back when the last reference to its bytes is dropped.
struct Chunk {
    buffer: Buffer,
    pool: ChunkPool,
    _permit: Option<OwnedSemaphorePermit>,
}

impl AsRef<[u8]> for Chunk {
    fn as_ref(&self) -> &[u8] {
        self.buffer.bytes()
    }
}

impl Drop for Chunk {
    fn drop(&mut self) {
        let mut buffer = std::mem::take(&mut self.buffer);
        buffer.truncate(0);
        self.pool
            .idle
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(buffer);
    }
}

/// A body as chunks of at most [`CHUNK`] bytes.
pub(super) struct Chunks<B> {
    body: Pin<Box<B>>,
    pool: ChunkPool,
    /// What came before `rest` and is less than a block: no chunk of its own as long as more may come.
    kept_back: Vec<u8>,
    /// What of the last frame did not fit into the last chunk.
    rest: Bytes,
    /// Whether the body has ended.
    at_end: bool,
}

impl<B> Chunks<B>
where
    B: Body<Data = Bytes>,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    pub(super) fn new(body: B, pool: &ChunkPool) -> Self {
        Self {
            body: Box::pin(body),
            pool: pool.clone(),
            kept_back: Vec::new(),
            rest: Bytes::new(),
            at_end: false,
        }
    }

    /// The next chunk: full, or the blocks that there are without waiting; only the last one may end within a block.
    /// `None` at the end of the body.
    ///
    /// # Errors
    /// `Interrupted` when the body broke off, `Stalled` when it did because nothing came for too long.
    pub(super) async fn next(&mut self) -> Result<Option<Bytes>, UploadError> {
        loop {
            let at_hand = self.kept_back.len().saturating_add(self.rest.len());
            if at_hand >= BLOCK || (at_hand > 0 && self.at_end) {
                break;
            }
            self.kept_back.extend_from_slice(&std::mem::take(&mut self.rest));
            if !self.wait().await? && self.kept_back.is_empty() {
                return Ok(None);
            }
        }
        let mut chunk = self.pool.take().await;
        chunk.buffer.append(&self.kept_back);
        self.kept_back.clear();
        loop {
            let taken = chunk.buffer.append(&self.rest);
            self.rest.advance(taken);
            if chunk.buffer.room() == 0 || !self.frame_at_hand().await? {
                break;
            }
        }
        if !self.at_end {
            self.kept_back.extend_from_slice(chunk.buffer.excess());
            let whole = chunk.buffer.len().saturating_sub(self.kept_back.len());
            chunk.buffer.truncate(whole);
        }
        Ok(Some(Bytes::from_owner(chunk)))
    }

    /// Waits for bytes; whether there are any.
    async fn wait(&mut self) -> Result<bool, UploadError> {
        while self.rest.is_empty() && !self.at_end {
            let frame = poll_fn(|cx| self.body.as_mut().poll_frame(cx)).await;
            self.accept(frame)?;
        }
        Ok(!self.rest.is_empty())
    }

    /// Takes the next frame if it has come already; whether there are bytes.
    async fn frame_at_hand(&mut self) -> Result<bool, UploadError> {
        while self.rest.is_empty() && !self.at_end {
            let frame = poll_fn(|cx| match self.body.as_mut().poll_frame(cx) {
                Poll::Ready(frame) => Poll::Ready(Some(frame)),
                Poll::Pending => Poll::Ready(None),
            });
            match frame.await {
                Some(frame) => self.accept(frame)?,
                None => return Ok(false),
            }
        }
        Ok(!self.rest.is_empty())
    }

    fn accept(
        &mut self,
        frame: Option<Result<http_body::Frame<Bytes>, B::Error>>,
    ) -> Result<(), UploadError> {
        match frame {
            None => self.at_end = true,
            Some(Err(error)) => return Err(broken_off(error.into())),
            Some(Ok(frame)) => {
                // Trailers say nothing of the data.
                if let Ok(bytes) = frame.into_data() {
                    self.rest = bytes;
                }
            }
        }
        debug_assert!(!self.at_end || !self.rest.has_remaining());
        Ok(())
    }
}

/// Why a body broke off: its connection says by the kind of its error when the client fell silent.
fn broken_off(error: Box<dyn Error + Send + Sync>) -> UploadError {
    let mut cause: Option<&(dyn Error + 'static)> = Some(&*error);
    let mut is_silence = false;
    while let Some(error) = cause {
        is_silence |= error
            .downcast_ref::<io::Error>()
            .is_some_and(|error| error.kind() == io::ErrorKind::TimedOut);
        cause = error.source();
    }
    let kind = if is_silence {
        UploadErrorKind::Stalled
    } else {
        UploadErrorKind::Interrupted
    };
    UploadError::because(kind, error)
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::{StreamExt as _, stream};
    use http_body::Frame;
    use http_body_util::StreamBody;
    use proptest::prelude::*;
    use std::convert::Infallible;

    /// A body that pauses where a length is 0.
    fn body(frames: Vec<Vec<u8>>) -> impl Body<Data = Bytes, Error = Infallible> {
        let frames = stream::iter(frames).then(|frame| async move {
            if frame.is_empty() {
                tokio::task::yield_now().await;
            }
            Ok(Frame::data(Bytes::from(frame)))
        });
        StreamBody::new(frames)
    }

    fn chunks_of(frames: Vec<Vec<u8>>) -> Vec<Bytes> {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let pool = ChunkPool::new(64 << 20);
            let mut chunks = Chunks::new(body(frames), &pool);
            let mut all = Vec::new();
            while let Some(chunk) = chunks.next().await.unwrap() {
                all.push(chunk);
            }
            all
        })
    }

    #[test]
    fn the_bound_counts_what_is_allocated() {
        let pool = ChunkPool::new(8 << 20);
        assert_eq!(pool.permits.available_permits(), 31);
        let buffer = Buffer::allocate();
        assert_eq!(buffer.memory.capacity(), ALLOCATED);
        assert!(31 * buffer.memory.capacity() <= 8 << 20);
    }

    #[test]
    fn a_buffer_that_is_used_again_has_nothing_of_before_and_has_not_moved() {
        let mut buffer = Buffer::allocate();
        let at = buffer.bytes().as_ptr();
        assert_eq!(buffer.append(&vec![7; CHUNK + 1]), CHUNK);
        buffer.truncate(0);
        assert_eq!(buffer.bytes(), b"");
        buffer.append(b"new");
        assert_eq!((buffer.bytes(), buffer.bytes().as_ptr()), (&b"new"[..], at));
        assert_eq!(buffer.memory.capacity(), ALLOCATED);
    }

    #[test]
    fn less_than_a_block_waits_for_more_or_the_end() {
        let chunks = chunks_of(vec![vec![1; 100], vec![], vec![2; 5000], vec![], vec![3; 10]]);
        let lengths: Vec<usize> = chunks.iter().map(Bytes::len).collect();
        assert_eq!(lengths, [4096, 100 + 5000 + 10 - 4096]);
    }

    proptest! {
        #[test]
        fn all_chunks_but_the_last_are_whole_blocks_and_nothing_is_lost(
            lengths in proptest::collection::vec(prop_oneof![Just(0), 1..100_usize, 4000..5000_usize, 1..600_000_usize], 0..12)
        ) {
            let mut seed = 0_u32;
            let frames: Vec<Vec<u8>> = lengths.iter().map(|len| {
                (0..*len).map(|_| { seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223); (seed >> 24) as u8 }).collect()
            }).collect();
            let whole = frames.concat();
            let chunks = chunks_of(frames);
            prop_assert_eq!(chunks.concat(), whole);
            for chunk in &chunks {
                prop_assert_eq!(chunk.as_ptr().addr() % BLOCK, 0);
                prop_assert!((1..=CHUNK).contains(&chunk.len()));
            }
            for chunk in chunks.iter().rev().skip(1) {
                prop_assert_eq!(chunk.len() % BLOCK, 0);
            }
        }
    }
}
