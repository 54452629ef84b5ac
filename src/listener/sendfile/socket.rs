//! A socket that writes a file's bytes where it is shown what stands for them.

use super::{
    cold_reads::{ColdRead, FileId},
    frame::{leading, stands_for_file},
    lane::{Broken, Due, Lane},
    page_cache::{is_cached, too_short},
};
use crate::listener::{departure::Peer, stall::StallGuard};
use rustix::{
    fs::sendfile,
    io::Errno,
    net::{SendAncillaryBuffer, SendFlags, sendmsg},
};
use std::{
    io::{self, IoSlice},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
};

/// A connection's socket, under a [`StallGuard`], which judges every byte that the peer does not take, the file's too.
#[derive(Debug)]
pub(in crate::listener) struct Socket {
    stream: StallGuard<TcpStream>,
    lane: Arc<Lane>,
    cached: Cached,
}

/// Whether the next byte of the frame that is being sent is in the page cache.
#[derive(Debug)]
enum Cached {
    /// It was when the frame was given out, just now.
    Yes,
    /// The peer has kept it waiting: it may have left.
    Perhaps,
    /// It had left.
    Reading(ColdRead),
}

/// Whose fault it is that sending a file has failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Culprit {
    Peer,
    File,
    /// Both a network and a file system behind one say that time is over.
    Unclear,
}

impl Socket {
    pub(in crate::listener) fn new(stream: StallGuard<TcpStream>, lane: Arc<Lane>) -> Self {
        Self {
            stream,
            lane,
            cached: Cached::Yes,
        }
    }

    /// Sends of the next `len` bytes of the lane's file as many as the socket takes.
    fn poll_send_file(&mut self, cx: &mut Context<'_>, len: usize) -> Poll<io::Result<usize>> {
        let due = self.lane.due(len).map_err(broken)?;
        let cached = ready!(self.poll_cached(cx, &due));
        let sent = match cached {
            Ok(()) => {
                let polled = self
                    .stream
                    .poll_send(cx, |socket| match send_from_file(socket, &due)? {
                        0 => Err(too_short(due.offset)),
                        sent => Ok(sent),
                    });
                if polled.is_pending() {
                    self.cached = Cached::Perhaps;
                }
                ready!(polled)
            }
            Err(error) => Err(error),
        };
        match &sent {
            Ok(sent) => self.lane.sent(*sent),
            Err(error) => match culprit(error) {
                Culprit::Peer => {}
                Culprit::File => tracing::error!(%error, "a download broke off: its file cannot be read"),
                Culprit::Unclear => {
                    tracing::info!(%error, "a download broke off: the client or the file's storage does not answer");
                }
            },
        }
        Poll::Ready(sent)
    }

    /// Ready when the next byte is in the page cache, as far as one can know: what has left it while the peer took nothing is
    /// read again on another thread. Time that this takes is not the peer's.
    fn poll_cached(&mut self, cx: &mut Context<'_>, due: &Due) -> Poll<io::Result<()>> {
        loop {
            match &mut self.cached {
                Cached::Yes => return Poll::Ready(Ok(())),
                Cached::Perhaps if is_cached(&due.file, due.offset) => self.cached = Cached::Yes,
                Cached::Perhaps => {
                    let id = FileId::of(&due.file)?;
                    self.cached = Cached::Reading(ColdRead::begin(&due.file, id, due.offset));
                }
                Cached::Reading(read) => {
                    let ended = ready!(read.poll(cx));
                    self.cached = Cached::Yes;
                    return Poll::Ready(ended.map(drop));
                }
            }
        }
    }
}

/// A peer that goes away is no error of ours; a file that cannot be read is.
fn culprit(error: &io::Error) -> Culprit {
    match Errno::from_io_error(error) {
        Some(
            Errno::PIPE
            | Errno::CONNRESET
            | Errno::CONNABORTED
            | Errno::NOTCONN
            | Errno::HOSTUNREACH
            | Errno::HOSTDOWN
            | Errno::NETUNREACH
            | Errno::NETDOWN,
        ) => Culprit::Peer,
        Some(Errno::TIMEDOUT) => Culprit::Unclear,
        Some(_) => Culprit::File,
        // Of those that are not the kernel's: all but a peer that stalls, and a runtime that ends.
        None if error.kind() == io::ErrorKind::UnexpectedEof => Culprit::File,
        None => Culprit::Peer,
    }
}

fn broken(error: Broken) -> io::Error {
    tracing::error!(%error, "a connection is closed");
    io::Error::other(error)
}

/// A peer that is gone is an error here and no signal: Rust's runtime ignores SIGPIPE.
fn send_from_file(socket: &TcpStream, due: &Due) -> Result<usize, Errno> {
    let mut offset = due.offset;
    rustix::io::retry_on_intr(|| sendfile(socket, &due.file, Some(&mut offset), due.len))
}

/// The bytes of a file follow at once: the kernel need not send a segment for the head alone.
fn send_before_file(socket: &TcpStream, slices: &[IoSlice<'_>]) -> io::Result<usize> {
    let flags = SendFlags::DONTWAIT | SendFlags::NOSIGNAL | SendFlags::MORE;
    let sent =
        rustix::io::retry_on_intr(|| sendmsg(socket, slices, &mut SendAncillaryBuffer::default(), flags));
    Ok(sent?)
}

impl Peer for Socket {
    fn is_gone(&self) -> bool {
        self.stream.is_gone()
    }
}

impl AsyncRead for Socket {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl AsyncWrite for Socket {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.poll_write_vectored(cx, &[IoSlice::new(buf)])
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.lane.check().map_err(broken)?;
        let Some(first) = bufs.iter().position(|slice| stands_for_file(slice)) else {
            return Pin::new(&mut self.stream).poll_write_vectored(cx, bufs);
        };
        let (before, from) = bufs.split_at(first);
        if before.iter().any(|slice| !slice.is_empty()) {
            return self
                .stream
                .poll_send(cx, |socket| send_before_file(socket, before));
        }
        self.poll_send_file(cx, leading(from))
    }

    /// Else hyper would copy bodies into one buffer.
    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::{super::frame::LONGEST, *};
    use crate::file_answer::FileAnswer;
    use saccade_store_contract::FileRegion;
    use std::{future::poll_fn, time::Duration};
    use tokio::{io::AsyncReadExt, net::TcpListener};

    /// A socket that owes a frame of a file that is not cached, and its peer.
    async fn owing() -> (Socket, TcpStream) {
        let beside = std::env::current_exe().unwrap();
        let file = tempfile::tempfile_in(beside.parent().unwrap()).unwrap();
        rustix::io::pwrite(&file, &vec![7; LONGEST], 0).unwrap();
        file.sync_all().unwrap();
        rustix::fs::fadvise(&file, 0, None, rustix::fs::Advice::DontNeed).unwrap();
        let lane = Arc::new(Lane::default());
        let region = FileRegion {
            file: Arc::new(file),
            offset: 0,
            len: LONGEST as u64,
        };
        lane.begin(FileAnswer::new(region)).unwrap();
        lane.promise(LONGEST);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let theirs = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let ours = listener.accept().await.unwrap().0;
        socket2::SockRef::from(&ours)
            .set_send_buffer_size(64 << 10)
            .unwrap();
        socket2::SockRef::from(&theirs)
            .set_recv_buffer_size(64 << 10)
            .unwrap();
        let guard = StallGuard::new(ours, Duration::from_secs(20));
        (Socket::new(guard, lane), theirs)
    }

    #[tokio::test]
    async fn what_has_left_the_page_cache_while_the_peer_took_nothing_is_read_first() {
        let (mut socket, mut theirs) = owing().await;
        socket.cached = Cached::Perhaps;
        let mut nobody = Context::from_waker(std::task::Waker::noop());
        assert!(socket.poll_send_file(&mut nobody, LONGEST).is_pending());
        assert!(matches!(socket.cached, Cached::Reading(_)));
        let sent = poll_fn(|cx| socket.poll_send_file(cx, LONGEST)).await.unwrap();
        let mut got = vec![0; sent];
        theirs.read_exact(&mut got).await.unwrap();
        assert_eq!(got, vec![7; sent]);
    }

    #[tokio::test]
    async fn a_frame_that_the_peer_keeps_waiting_is_looked_up_again() {
        let (mut socket, _theirs) = owing().await;
        let mut left = LONGEST;
        let pending = poll_fn(|cx| match socket.poll_send_file(cx, left) {
            Poll::Ready(sent) => {
                left -= sent.unwrap();
                cx.waker().wake_by_ref();
                Poll::Pending
            }
            Poll::Pending => Poll::Ready(left),
        });
        assert!(pending.await > 0, "more than sockets hold");
        assert!(matches!(socket.cached, Cached::Perhaps));
    }

    #[test]
    fn an_error_that_is_not_the_peers_is_the_files() {
        for errno in [
            Errno::IO,
            Errno::STALE,
            Errno::INVAL,
            Errno::ACCESS,
            Errno::OVERFLOW,
        ] {
            assert_eq!(culprit(&errno.into()), Culprit::File, "{errno}");
        }
        assert_eq!(culprit(&too_short(7)), Culprit::File);
        for errno in [Errno::PIPE, Errno::CONNRESET, Errno::HOSTUNREACH, Errno::NETDOWN] {
            assert_eq!(culprit(&errno.into()), Culprit::Peer, "{errno}");
        }
        assert_eq!(
            culprit(&io::ErrorKind::TimedOut.into()),
            Culprit::Peer,
            "our own limit"
        );
        assert_eq!(culprit(&Errno::TIMEDOUT.into()), Culprit::Unclear);
    }
}
