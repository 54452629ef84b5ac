//! A region of a file as a body, for connections that cannot send it from file to socket.

use std::{
    collections::VecDeque,
    fs::File,
    future::Future,
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http_body::{Frame, SizeHint};
use rustix::{buffer::spare_capacity, io::pread};
use saccade_store_contract::FileRegion;
use tokio::task::{JoinHandle, spawn_blocking};

/// The length of a read, in bytes.
const CHUNK: u64 = 1024 * 1024;
/// Reads under way at most. With the chunk that is being sent this bounds the memory of a download.
const AHEAD: usize = 2;

/// Reads a region in chunks on the threads for blocking calls. A file that is shorter than the region is an error, so
/// that the connection breaks: what was promised is never filled up.
///
/// Memory: at most three chunks of 1 MiB.
#[derive(Debug)]
pub(super) struct FileBody {
    file: Arc<File>,
    /// Where the next read begins, and how many bytes are still to be read.
    offset: u64,
    unread: u64,
    /// How many bytes are still to be sent.
    unsent: u64,
    reads: VecDeque<JoinHandle<io::Result<Bytes>>>,
}

impl FileBody {
    pub(super) fn new(region: FileRegion) -> Self {
        metrics::gauge!("saccade_transfers_open", "direction" => "out").increment(1);
        Self {
            file: region.file,
            offset: region.offset,
            unread: region.len,
            unsent: region.len,
            reads: VecDeque::with_capacity(AHEAD),
        }
    }

    fn read_ahead(&mut self) {
        while self.unread > 0 && self.reads.len() < AHEAD {
            let len = self.unread.min(CHUNK);
            let (file, offset) = (self.file.clone(), self.offset);
            self.reads
                .push_back(spawn_blocking(move || read(&file, offset, len)));
            self.offset = offset.saturating_add(len);
            self.unread -= len;
        }
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
        let Some(read) = self.reads.front_mut() else {
            return Poll::Ready(None);
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

fn read(file: &File, offset: u64, len: u64) -> io::Result<Bytes> {
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
    Ok(chunk.into())
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
