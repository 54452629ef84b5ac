//! A peer that goes away while its request waits.
//!
//! hyper notices the end of a connection by reading it, and does not read while a request's body has not been asked for. A request
//! that waits for its turn would so wait for a client that is long gone.

use futures_util::FutureExt;
use std::{
    future::Future,
    io::{self, IoSlice},
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};
use tokio::{
    io::{AsyncRead, AsyncWrite, Interest, ReadBuf},
    net::TcpStream,
    time::{Sleep, sleep},
};

/// How often it is looked whether the peer is still there.
const LOOK: Duration = Duration::from_millis(500);

/// Whether there is a body that nobody has asked for yet. Clones share it.
#[derive(Debug, Clone, Default)]
pub(super) struct Unasked(Arc<AtomicBool>);

impl Unasked {
    pub(super) fn set(&self, is_so: bool) {
        self.0.store(is_so, Ordering::Relaxed);
    }

    fn is_so(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// A socket that can tell.
pub(super) trait Peer {
    /// Whether the peer has closed its side, whatever it has sent before that was not read.
    fn is_gone(&self) -> bool;
}

impl Peer for TcpStream {
    fn is_gone(&self) -> bool {
        // What cannot be told is taken to be there: reads and writes will tell.
        let ready = self.ready(Interest::READABLE).now_or_never();
        ready.is_some_and(|ready| ready.is_ok_and(|ready| ready.is_read_closed()))
    }
}

/// Fails flushes, which hyper does whenever it has nothing else to do, once the peer is gone while a body waits to be asked for. A peer
/// that has filled the connection with data before it went is not seen to be gone before that is read.
#[derive(Debug)]
pub(super) struct DepartureGuard<T> {
    inner: T,
    unasked: Unasked,
    look: Option<Pin<Box<Sleep>>>,
}

impl<T: Peer> DepartureGuard<T> {
    pub(super) fn new(inner: T, unasked: Unasked) -> Self {
        Self {
            inner,
            unasked,
            look: None,
        }
    }

    /// Ready when the peer is gone, and that matters.
    fn poll_gone(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if !self.unasked.is_so() {
            self.look = None;
            return Poll::Pending;
        }
        loop {
            let look = self.look.get_or_insert_with(|| Box::pin(sleep(LOOK)));
            std::task::ready!(look.as_mut().poll(cx));
            if self.inner.is_gone() {
                return Poll::Ready(());
            }
            self.look = None;
        }
    }
}

impl<T: AsyncRead + Unpin> AsyncRead for DepartureGuard<T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_read(cx, buf)
    }
}

impl<T: Peer + AsyncWrite + Unpin> AsyncWrite for DepartureGuard<T> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.poll_gone(cx).is_ready() {
            let gone = "the client went away while its request was waiting";
            return Poll::Ready(Err(io::Error::new(io::ErrorKind::ConnectionAborted, gone)));
        }
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::{
        io::AsyncWriteExt,
        net::TcpListener,
        time::{Instant, timeout},
    };

    async fn pair() -> (TcpStream, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let theirs = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        (listener.accept().await.unwrap().0, theirs)
    }

    #[tokio::test]
    async fn a_peer_that_has_sent_something_and_gone_is_gone() {
        let (ours, mut theirs) = pair().await;
        theirs.write_all(b"the beginning of a body").await.unwrap();
        assert!(!ours.is_gone());
        drop(theirs);
        let start = Instant::now();
        while !ours.is_gone() {
            assert!(start.elapsed() < Duration::from_secs(10));
            tokio::task::yield_now().await;
        }
    }

    #[tokio::test]
    async fn flushes_fail_only_while_a_body_waits_to_be_asked_for() {
        let (ours, theirs) = pair().await;
        let unasked = Unasked::default();
        let mut guarded = DepartureGuard::new(ours, unasked.clone());
        drop(theirs);
        guarded.flush().await.unwrap();
        unasked.set(true);
        // The first one waits for the first look.
        guarded.flush().await.unwrap();
        let failed = timeout(Duration::from_secs(10), async {
            loop {
                if let Err(error) = guarded.flush().await {
                    return error;
                }
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        });
        assert_eq!(failed.await.unwrap().kind(), io::ErrorKind::ConnectionAborted);
        unasked.set(false);
        guarded.flush().await.unwrap();
    }
}
