//! A socket that writes a file's bytes where it is shown what stands for them.

use super::{
    frame::{leading, stands_for_file},
    lane::{Broken, Due, Lane, Way},
    page_cache::too_short,
};
use crate::listener::{departure::Peer, stall::StallGuard};
use rustix::{
    fs::sendfile,
    io::{Errno, pread},
    net::{SendAncillaryBuffer, SendFlags, send, sendmsg},
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

/// What goes by way of memory at once, in bytes. It has been read from disk before.
const COPIED: usize = 128 << 10;

/// A connection's socket, under a [`StallGuard`], which judges every byte that the peer does not take, the file's too.
#[derive(Debug)]
pub(in crate::listener) struct Socket {
    stream: StallGuard<TcpStream>,
    lane: Arc<Lane>,
}

impl Socket {
    pub(in crate::listener) fn new(stream: StallGuard<TcpStream>, lane: Arc<Lane>) -> Self {
        Self { stream, lane }
    }

    /// Sends of the next `len` bytes of the lane's file as many as the socket takes.
    fn poll_send_file(&mut self, cx: &mut Context<'_>, len: usize) -> Poll<io::Result<usize>> {
        let due = self.lane.due(len).map_err(broken)?;
        let lane = &self.lane;
        let polled = self.stream.poll_send(cx, |socket| match due.way {
            Way::Sendfile => match send_from_file(socket, &due) {
                Err(Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP) => {
                    lane.copy();
                    copy(socket, &due)
                }
                Ok(0) => Err(too_short(due.offset)),
                sent => Ok(sent?),
            },
            Way::Copy => copy(socket, &due),
        });
        let sent = ready!(polled);
        match &sent {
            Ok(sent) => self.lane.sent(*sent),
            Err(error) if is_the_files(error) => {
                tracing::error!(%error, "a download broke off: its file cannot be read");
            }
            Err(_) => {}
        }
        Poll::Ready(sent)
    }
}

/// A peer that goes away is no error of ours; a file that cannot be read is.
fn is_the_files(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::UnexpectedEof
        || matches!(Errno::from_io_error(error), Some(Errno::IO | Errno::STALE))
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

fn copy(socket: &TcpStream, due: &Due) -> io::Result<usize> {
    let mut chunk = vec![0; due.len.min(COPIED)];
    let read = rustix::io::retry_on_intr(|| pread(&due.file, chunk.as_mut_slice(), due.offset))?;
    if read == 0 {
        return Err(too_short(due.offset));
    }
    chunk.truncate(read);
    let flags = SendFlags::DONTWAIT | SendFlags::NOSIGNAL;
    Ok(rustix::io::retry_on_intr(|| send(socket, &chunk, flags))?)
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
