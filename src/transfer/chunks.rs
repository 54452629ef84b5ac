//! A request's body in chunks of bounded memory.
//!
//! HTTP hands over frames of any size that pin buffers of any size. They are copied, once, into buffers of one size
//! from a pool whose total is bounded for the whole process: so the memory of all uploads together is what the pool holds,
//! and chunks are of a size that suits hashing and writing. A buffer is taken only when there are bytes for it, so that
//! a client that sends nothing holds none. Who waits for a buffer gets the next one when its tenant holds the fewest, and no tenant takes
//! all of them: however many uploads it has, and however slow their store is, others' go on.

use std::{
    error::Error,
    future::poll_fn,
    io,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
    task::Poll,
};

use bytes::{Buf, Bytes};
use http_body::Body;

use super::{
    UploadError, UploadErrorKind,
    turns::{Asked, Bounds, Place, Places, Tenant},
};

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
    idle: Arc<Mutex<Weak<Idle>>>,
    /// One for each buffer.
    places: Places,
}

/// Buffers that were used before; never more than there are places. All streams that are read have the same ones, which go with the
/// last.
#[derive(Debug, Default)]
struct Idle(Mutex<Vec<Buffer>>);

impl Idle {
    fn buffers(&self) -> MutexGuard<'_, Vec<Buffer>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ChunkPool {
    /// A pool of `memory` bytes, at least a few buffers.
    pub(super) fn new(memory: u64) -> Self {
        let buffers = usize::try_from(memory).unwrap_or(usize::MAX) / ALLOCATED;
        let bounds = Bounds {
            places: buffers.max(FEWEST),
            per_tenant: usize::MAX,
            // Each upload waits for one at most.
            waiting: usize::MAX,
        };
        Self {
            idle: Arc::default(),
            places: Places::new(bounds),
        }
    }

    /// How many buffers were made and are not in use.
    #[cfg(test)]
    pub(super) fn buffers_made(&self) -> usize {
        self.idle().buffers().len()
    }

    /// Those of all streams that are read now.
    fn idle(&self) -> Arc<Idle> {
        let mut current = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        current.upgrade().unwrap_or_else(|| {
            let idle = Arc::default();
            *current = Arc::downgrade(&idle);
            idle
        })
    }

    /// An empty buffer, as soon as it is the tenant's turn. Cancel safe.
    async fn take(&self, idle: &Arc<Idle>, tenant: &Tenant) -> Chunk {
        let place = match self.places.ask(tenant) {
            Asked::Placed(place) => Some(place),
            // Nobody is refused: as many as there are uploads may wait.
            Asked::Waits(waiting) => waiting.await.ok(),
            Asked::Full => None,
        };
        let buffer = idle.buffers().pop();
        Chunk {
            buffer: buffer.unwrap_or_else(Buffer::allocate),
            home: Arc::clone(idle),
            _place: place,
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
    home: Arc<Idle>,
    _place: Option<Place>,
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
        self.home.buffers().push(buffer);
    }
}

/// A body as chunks of at most [`CHUNK`] bytes.
pub(super) struct Chunks<B> {
    body: Pin<Box<B>>,
    pool: ChunkPool,
    idle: Arc<Idle>,
    tenant: Tenant,
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
    /// The body's chunks, in buffers on the tenant's account.
    pub(super) fn new(body: B, pool: &ChunkPool, tenant: &Tenant) -> Self {
        Self {
            body: Box::pin(body),
            pool: pool.clone(),
            idle: pool.idle(),
            tenant: tenant.clone(),
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
        let mut chunk = self.pool.take(&self.idle, &self.tenant).await;
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
mod tests;
