//! A socket that writes a file's bytes where it is shown what stands for them.

use super::{
    cold_reads::{ColdRead, FileId},
    frame::{leading, stands_for_file},
    lane::{Broken, Company, Due, Lane, Rest},
    page_cache::{is_cached, too_short},
};
use crate::listener::{departure::Peer, stall::StallGuard, unsent::Unsent};
use rustix::{
    fs::sendfile,
    io::Errno,
    net::{SendAncillaryBuffer, SendFlags, sendmsg, sockopt},
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
    cork: Cork,
    unsent: Unsent,
}

/// What `sendfile` moves at once, in bytes: the kernel goes on piece by piece.
const PIECE: u64 = 64 << 10;

/// Whether the kernel keeps back what fills no segment.
///
/// Pieces are no multiples of a segment. Without the cork, every acknowledgement and every tick of the pacing between two pieces
/// sends the short end of the first as a segment of its own. With a processor at rest each of them wakes somebody, which makes a
/// download that is alone dearer by a third or more. Among others it is rare that anybody has to be woken, and then the cork was
/// measured to cost more than it saves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Cork {
    Out,
    In,
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
        let unsent = Unsent::begin(stream.socket());
        Self {
            stream,
            lane,
            cached: Cached::Yes,
            cork: Cork::Out,
            unsent,
        }
    }

    /// Sends of the next `len` bytes of the lane's file as many as the socket takes.
    fn poll_send_file(&mut self, cx: &mut Context<'_>, len: usize) -> Poll<io::Result<usize>> {
        let due = self.lane.due(len).map_err(broken)?;
        let cached = ready!(self.poll_cached(cx, &due));
        let sent = match cached {
            Ok(()) => {
                self.set_cork(self.cork_for(&due));
                let polled = self
                    .stream
                    .poll_send(cx, |socket| match send_from_file(socket, &due)? {
                        0 => Err(too_short(due.offset)),
                        sent => Ok(sent),
                    });
                self.unsent.note(&polled, self.stream.socket());
                if polled.is_pending() {
                    self.cached = Cached::Perhaps;
                    self.lane.kept_waiting();
                }
                ready!(polled)
            }
            Err(error) => Err(error),
        };
        match &sent {
            Ok(sent) => {
                if self.lane.sent(*sent) == Rest::Nothing {
                    self.set_cork(Cork::Out);
                }
            }
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

    /// What is one piece needs none; once it is in, it stays until the end.
    fn cork_for(&self, due: &Due) -> Cork {
        match due.company {
            Company::Alone if due.left > PIECE || self.cork == Cork::In => Cork::In,
            Company::Alone | Company::Others => Cork::Out,
        }
    }

    /// Out at the end of an answer, which sends its last segment. A connection that ends before does so too, and of one that waits for
    /// the disk the kernel sends it after 200 ms.
    fn set_cork(&mut self, cork: Cork) {
        if cork == self.cork {
            return;
        }
        // Without it all goes the same way, in more segments.
        if let Err(error) = sockopt::set_tcp_cork(self.stream.socket(), cork == Cork::In) {
            tracing::debug!(%error, "TCP_CORK not set");
        }
        self.cork = cork;
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
        let polled = Pin::new(&mut self.stream).poll_read(cx, buf);
        if polled.is_pending() {
            // Else every second of a client's ranges, asked for one by one, would end a turn that has ended by itself.
            self.lane.brought_nothing();
        }
        polled
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
        let first = bufs.iter().position(|slice| stands_for_file(slice));
        let (before, from) = bufs.split_at(first.unwrap_or(bufs.len()));
        let polled = if first.is_none() {
            Pin::new(&mut self.stream).poll_write_vectored(cx, bufs)
        } else if before.iter().any(|slice| !slice.is_empty()) {
            self.stream
                .poll_send(cx, |socket| send_before_file(socket, before))
        } else {
            return self.poll_send_file(cx, leading(from));
        };
        let Self { stream, unsent, .. } = &mut *self;
        unsent.note(&polled, stream.socket());
        polled
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
    use super::{
        super::{
            cold_file::{cold_file, eventually},
            frame::LONGEST,
        },
        *,
    };
    use crate::file_answer::FileAnswer;
    use saccade_store_contract::FileRegion;
    use std::{future::poll_fn, time::Duration};
    use tokio::{io::AsyncReadExt, net::TcpListener};

    /// A socket that owes a frame of a file that is not cached, and its peer.
    async fn owing() -> (Socket, TcpStream) {
        let file = cold_file(LONGEST);
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
        let send = async || {
            let (mut socket, mut theirs) = owing().await;
            socket.cached = Cached::Perhaps;
            let mut nobody = Context::from_waker(std::task::Waker::noop());
            let mut polled = socket.poll_send_file(&mut nobody, LONGEST);
            let waits = polled.is_pending();
            if waits {
                assert!(matches!(socket.cached, Cached::Reading(_)));
                polled = Poll::Ready(poll_fn(|cx| socket.poll_send_file(cx, LONGEST)).await);
            }
            let Poll::Ready(Ok(sent)) = polled else {
                panic!("{polled:?}")
            };
            let mut got = vec![0; sent];
            theirs.read_exact(&mut got).await.unwrap();
            assert_eq!(got, vec![7; sent]);
            waits
        };
        assert!(eventually(send).await);
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

    fn is_corked(socket: &Socket) -> bool {
        sockopt::tcp_cork(socket.stream.socket()).unwrap()
    }

    #[tokio::test]
    async fn the_cork_is_out_when_an_answer_has_ended() {
        let (mut socket, mut theirs) = owing().await;
        let reader = tokio::spawn(async move {
            let mut got = vec![0; LONGEST];
            theirs.read_exact(&mut got).await.unwrap();
            (got, theirs)
        });
        let mut left = LONGEST;
        while left > 0 {
            left -= poll_fn(|cx| socket.poll_send_file(cx, left)).await.unwrap();
            assert_eq!(is_corked(&socket), socket.cork == Cork::In);
        }
        assert_eq!(socket.cork, Cork::Out);
        // Nothing waits for a segment to be full, nor for the connection's end.
        assert_eq!(reader.await.unwrap().0, vec![7; LONGEST]);
    }

    #[tokio::test]
    async fn only_a_long_answer_that_is_alone_is_corked() {
        let (mut socket, _theirs) = owing().await;
        let mut due = socket.lane.due(LONGEST).unwrap();
        for (company, left, cork, wanted) in [
            (Company::Alone, PIECE + 1, Cork::Out, Cork::In),
            (Company::Alone, PIECE, Cork::Out, Cork::Out),
            (Company::Alone, 1, Cork::In, Cork::In),
            (Company::Others, PIECE + 1, Cork::Out, Cork::Out),
            (Company::Others, PIECE + 1, Cork::In, Cork::Out),
        ] {
            (due.company, due.left) = (company, left);
            socket.set_cork(cork);
            assert_eq!(is_corked(&socket), cork == Cork::In);
            assert_eq!(socket.cork_for(&due), wanted, "{company:?}, {left}, {cork:?}");
        }
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
