//! A socket whose peer must go on reading.

use super::{departure::Peer, patience::Patience};
use std::{
    io::{self, IoSlice},
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};
use tokio::{
    io::{AsyncRead, AsyncWrite, Interest, ReadBuf},
    net::TcpStream,
};

/// Fails a write of which the peer has taken no byte for the whole limit; everything else passes through.
#[derive(Debug)]
pub(super) struct StallGuard<T> {
    inner: T,
    patience: Patience,
}

impl<T> StallGuard<T> {
    pub(super) fn new(inner: T, limit: Duration) -> Self {
        Self {
            inner,
            patience: Patience::new(limit),
        }
    }

    fn judge<R>(&mut self, cx: &mut Context<'_>, polled: Poll<io::Result<R>>) -> Poll<io::Result<R>> {
        match polled {
            Poll::Ready(result) => {
                self.patience.renew();
                Poll::Ready(result)
            }
            Poll::Pending => self.patience.poll_exhausted(cx).map(|()| {
                metrics::counter!("saccade_transfers_stalled_total", "direction" => "out").increment(1);
                Err(self.patience.error("the client took no data"))
            }),
        }
    }
}

impl<T: Peer> Peer for StallGuard<T> {
    fn is_gone(&self) -> bool {
        self.inner.is_gone()
    }
}

impl StallGuard<TcpStream> {
    /// The socket itself, for its options.
    pub(super) fn socket(&self) -> &TcpStream {
        &self.inner
    }

    /// `send`, a system call that gives bytes to the socket, as soon as the socket takes any. Judged as a write.
    pub(super) fn poll_send(
        &mut self,
        cx: &mut Context<'_>,
        send: impl Fn(&TcpStream) -> io::Result<usize>,
    ) -> Poll<io::Result<usize>> {
        let socket = &self.inner;
        let polled = loop {
            match socket.poll_write_ready(cx) {
                Poll::Pending => break Poll::Pending,
                Poll::Ready(Err(error)) => break Poll::Ready(Err(error)),
                Poll::Ready(Ok(())) => {}
            }
            match socket.try_io(Interest::WRITABLE, || send(socket)) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                done => break Poll::Ready(done),
            }
        };
        self.judge(cx, polled)
    }
}

impl<T: AsyncRead + Unpin> AsyncRead for StallGuard<T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_read(cx, buf)
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for StallGuard<T> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.inner).poll_write(cx, buf);
        self.judge(cx, polled)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.inner).poll_write_vectored(cx, bufs);
        self.judge(cx, polled)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        // A socket's flush succeeds at once and says nothing about progress.
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
        io::{AsyncReadExt, AsyncWriteExt, duplex},
        time::{Instant, sleep},
    };

    const LIMIT: Duration = Duration::from_secs(60);

    #[tokio::test(start_paused = true)]
    async fn a_reader_that_stopped_fails_the_write() {
        let (ours, _theirs) = duplex(16);
        let mut guarded = StallGuard::new(ours, LIMIT);
        let start = Instant::now();
        let error = guarded.write_all(&[0; 17]).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        assert_eq!(error.to_string(), "the client took no data for 60 s");
        assert_eq!(start.elapsed().as_secs(), 60);
    }

    #[tokio::test(start_paused = true)]
    async fn a_slow_reader_is_waited_for() {
        let (ours, mut theirs) = duplex(16);
        let mut guarded = StallGuard::new(ours, LIMIT);
        let reader = tokio::spawn(async move {
            let mut got = 0;
            while got < 160 {
                sleep(Duration::from_secs(50)).await;
                got += theirs.read(&mut [0; 16]).await.unwrap();
            }
            got
        });
        guarded.write_all(&[0; 160]).await.unwrap();
        assert_eq!(reader.await.unwrap(), 160);
    }

    #[tokio::test(start_paused = true)]
    async fn waiting_for_the_next_request_is_no_stall() {
        let (ours, mut theirs) = duplex(16);
        let mut guarded = StallGuard::new(ours, LIMIT);
        guarded.write_all(b"answer").await.unwrap();
        tokio::spawn(async move {
            sleep(LIMIT * 10).await;
            theirs.write_all(b"q").await.unwrap();
        });
        assert_eq!(guarded.read_u8().await.unwrap(), b'q');
    }
}
