//! A region of a file as a body, for connections that cannot send it from file to socket.

use std::{
    collections::VecDeque,
    fs::File,
    future::Future,
    io,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use futures_util::task::AtomicWaker;
use http_body::{Frame, SizeHint};
use rustix::{buffer::spare_capacity, io::pread};
use saccade_store_contract::FileRegion;
use tokio::{
    sync::{Semaphore, SemaphorePermit},
    task::{JoinHandle, spawn_blocking},
};

/// The length of a read in memory that is shared, in bytes.
const CHUNK: u64 = 1024 * 1024;
/// The length of a read in memory that is a download's own.
const OWN: u64 = 128 * 1024;
/// Reads under way at most.
const AHEAD: usize = 2;
/// Chunks of [`CHUNK`] that all downloads together may hold.
const SHARED: usize = 64;

static BUDGET: Semaphore = Semaphore::const_new(SHARED);

/// Reads a region in chunks on the threads for blocking calls. A file that is shorter than the region is an error, so
/// that the connection breaks: what was promised is never filled up.
///
/// Memory, until it is sent: one chunk of 128 KiB, and of the 64 MiB that all downloads share as many as are free, at most three of
/// 1 MiB. Clients that take nothing may hold all of those; with its own each of the others goes on.
#[derive(Debug)]
pub(super) struct FileBody {
    budget: &'static Semaphore,
    own: Arc<Own>,
    file: Arc<File>,
    /// Where the next read begins, and how many bytes are still to be read.
    offset: u64,
    unread: u64,
    /// How many bytes are still to be sent.
    unsent: u64,
    reads: VecDeque<JoinHandle<io::Result<Bytes>>>,
}

/// A download's own memory.
#[derive(Debug, Default)]
struct Own {
    is_taken: AtomicBool,
    /// Of who waits until it is free.
    waiting: AtomicWaker,
}

impl Own {
    fn take(self: &Arc<Self>) -> Option<Lease> {
        let was_taken = self.is_taken.swap(true, Ordering::AcqRel);
        (!was_taken).then(|| Lease::Own(Arc::clone(self)))
    }
}

/// The memory of one chunk, from its read until its last byte is sent.
#[derive(Debug)]
enum Lease {
    Own(Arc<Own>),
    Shared { _permit: SemaphorePermit<'static> },
}

impl Drop for Lease {
    fn drop(&mut self) {
        if let Self::Own(own) = self {
            own.is_taken.store(false, Ordering::Release);
            own.waiting.wake();
        }
    }
}

struct Chunk {
    bytes: Vec<u8>,
    _lease: Lease,
}

impl AsRef<[u8]> for Chunk {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl FileBody {
    pub(super) fn new(region: FileRegion) -> Self {
        Self::within(region, &BUDGET)
    }

    fn within(region: FileRegion, budget: &'static Semaphore) -> Self {
        metrics::gauge!("saccade_transfers_open", "direction" => "out").increment(1);
        Self {
            budget,
            own: Arc::default(),
            file: region.file,
            offset: region.offset,
            unread: region.len,
            unsent: region.len,
            reads: VecDeque::with_capacity(AHEAD),
        }
    }

    fn read_ahead(&mut self) {
        while self.unread > 0
            && self.reads.len() < AHEAD
            && let Some((lease, most)) = self.lease()
        {
            let len = self.unread.min(most);
            let (file, offset) = (self.file.clone(), self.offset);
            self.reads
                .push_back(spawn_blocking(move || read(&file, offset, len, lease)));
            self.offset = offset.saturating_add(len);
            self.unread -= len;
        }
    }

    /// Memory for a chunk and how long it may be, if there is any.
    fn lease(&self) -> Option<(Lease, u64)> {
        let shared = self.budget.try_acquire().ok();
        shared
            .map(|permit| (Lease::Shared { _permit: permit }, CHUNK))
            .or_else(|| Some((self.own.take()?, OWN)))
    }
}

impl Drop for FileBody {
    fn drop(&mut self) {
        metrics::gauge!("saccade_transfers_open", "direction" => "out").decrement(1);
    }
}

impl http_body::Body for FileBody {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        self.read_ahead();
        if self.reads.is_empty() && self.unread > 0 {
            // Its own memory is on its way to the client. It may have got there meanwhile.
            self.own.waiting.register(cx.waker());
            self.read_ahead();
        }
        let Some(read) = self.reads.front_mut() else {
            return match self.unread {
                0 => Poll::Ready(None),
                _ => Poll::Pending,
            };
        };
        let chunk = ready!(Pin::new(read).poll(cx))
            .map_err(io::Error::other)
            .flatten();
        self.reads.pop_front();
        match chunk {
            Ok(chunk) => {
                self.unsent = self.unsent.saturating_sub(chunk.len() as u64);
                metrics::counter!("saccade_download_bytes_total").increment(chunk.len() as u64);
                Poll::Ready(Some(Ok(Frame::data(chunk))))
            }
            Err(error) => {
                // Nothing follows an error.
                self.unread = 0;
                self.reads.clear();
                tracing::error!(%error, "a download broke off: its file cannot be read");
                Poll::Ready(Some(Err(error)))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.unsent == 0
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.unsent)
    }
}

fn read(file: &File, offset: u64, len: u64, lease: Lease) -> io::Result<Bytes> {
    let len = usize::try_from(len).map_err(io::Error::other)?;
    let mut chunk = Vec::with_capacity(len);
    while chunk.len() < len {
        let at = offset.saturating_add(chunk.len() as u64);
        match pread(file, spare_capacity(&mut chunk), at) {
            Ok(0) => {
                let missing = len - chunk.len();
                return Err(io::Error::new(
                    io::ErrorKind::UnexpectedEof,
                    format!("the file ends {missing} bytes too early, at {at}"),
                ));
            }
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
    // A vector may have more room than it was asked for, and then more was read.
    chunk.truncate(len);
    Ok(Bytes::from_owner(Chunk {
        bytes: chunk,
        _lease: lease,
    }))
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use http_body_util::BodyExt;

    use super::*;

    fn region(content: &[u8], offset: u64, len: u64) -> FileRegion {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(content).unwrap();
        FileRegion {
            file: Arc::new(file),
            offset,
            len,
        }
    }

    #[tokio::test]
    async fn a_region_is_read_in_order_and_nothing_else() {
        let content: Vec<u8> = (0..5_000_000_u32).map(|n| (n % 251) as u8).collect();
        let body = FileBody::new(region(&content, 3, 4_500_000));
        assert_eq!(http_body::Body::size_hint(&body).exact(), Some(4_500_000));
        let read = body.collect().await.unwrap().to_bytes();
        assert!(read == content[3..4_500_003]);
    }

    #[tokio::test]
    async fn an_empty_region_is_an_empty_body() {
        let body = FileBody::new(region(b"abc", 1, 0));
        assert!(http_body::Body::is_end_stream(&body));
        assert!(body.collect().await.unwrap().to_bytes().is_empty());
    }

    #[tokio::test]
    async fn a_file_that_is_too_short_breaks_the_body() {
        let body = FileBody::new(region(&vec![1; 1_500_000], 0, 3_000_000));
        let error = body.collect().await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
    }

    /// All frames that come while none is sent.
    async fn fill(body: &mut FileBody) -> Vec<Bytes> {
        let mut frames = Vec::new();
        // Reads end on other threads.
        while !body.reads.is_empty() || frames.is_empty() {
            frames.push(body.frame().await.unwrap().unwrap().into_data().unwrap());
            body.read_ahead();
        }
        frames
    }

    #[tokio::test]
    async fn clients_that_take_nothing_hold_what_is_shared_and_each_its_own() {
        static BUDGET: Semaphore = Semaphore::const_new(4);
        let content: Vec<u8> = (0..8_000_000_u32).map(|n| (n % 251) as u8).collect();
        let mut bodies: Vec<_> = (0..20)
            .map(|_| FileBody::within(region(&content, 0, content.len() as u64), &BUDGET))
            .collect();
        let mut held = Vec::new();
        for body in &mut bodies {
            held.push(fill(body).await);
        }
        let bytes: usize = held.iter().flatten().map(Bytes::len).sum();
        assert_eq!(bytes as u64, 4 * CHUNK + 20 * OWN);
        // Who takes what it gets goes on to its end, beside them, in its own memory alone.
        let mut rest = held.pop().unwrap().concat();
        let mut quick = bodies.pop().unwrap();
        while let Some(frame) = quick.frame().await {
            let frame = frame.unwrap().into_data().unwrap();
            assert!(frame.len() as u64 <= OWN);
            rest.extend_from_slice(&frame);
        }
        assert!(rest == content);
        // All of it comes back.
        drop((held, bodies));
        assert_eq!(BUDGET.available_permits(), 4);
    }

    #[tokio::test]
    async fn a_download_without_memory_waits_until_its_own_is_sent() {
        static BUDGET: Semaphore = Semaphore::const_new(0);
        let mut body = FileBody::within(region(&vec![1; 300_000], 0, 300_000), &BUDGET);
        let first = body.frame().await.unwrap().unwrap().into_data().unwrap();
        let next = tokio::spawn(async move { body.frame().await.unwrap().unwrap().into_data().unwrap() });
        tokio::task::yield_now().await;
        assert!(!next.is_finished());
        drop(first);
        assert_eq!(next.await.unwrap().len() as u64, OWN);
    }

    #[tokio::test]
    async fn no_more_than_two_reads_are_ahead() {
        let content = vec![0; 8 * 1024 * 1024];
        let mut body = FileBody::new(region(&content, 0, content.len() as u64));
        while let Some(frame) = body.frame().await {
            frame.unwrap();
            assert!(body.reads.len() <= AHEAD);
        }
    }
}
