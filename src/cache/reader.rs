//! A reader that follows a fill: it reads from the file what has been written, and waits for the rest.

use std::{fs::File, ops::Range, sync::Arc};

use bytes::Bytes;
use futures_util::{StreamExt, TryStreamExt, stream, stream::BoxStream};
use rustix::{buffer::spare_capacity, io::pread};
use saccade_store_contract::{Error, ErrorKind, Operation, Result};
use tokio::{sync::watch, task::spawn_blocking};

use super::{
    Origin, Shared,
    fill::{Fill, Progress, State},
};

/// What is read at once, in bytes: with what the connection holds, the memory of a reader.
const CHUNK: u64 = 256 * 1024;

/// Somebody's part in a fill, until it is dropped.
pub(super) struct Joined {
    pub(super) shared: Arc<Shared>,
    pub(super) fill: Arc<Fill>,
}

impl Drop for Joined {
    fn drop(&mut self) {
        self.shared.leave(&self.fill);
    }
}

/// One reader.
struct Reader {
    joined: Joined,
    progress: watch::Receiver<Progress>,
    origin: Arc<dyn Origin>,
    /// What is still to come.
    left: Range<u64>,
    /// The store's own answer, once the fill is of no help any more.
    alone: Option<BoxStream<'static, Result<Bytes>>>,
}

/// The bytes of the range as they come.
///
/// Memory: one chunk of 256 KiB.
pub(super) fn follow(
    joined: Joined,
    progress: watch::Receiver<Progress>,
    range: Range<u64>,
    origin: Arc<dyn Origin>,
) -> BoxStream<'static, Result<Bytes>> {
    let reader = Reader {
        joined,
        progress,
        origin,
        left: range,
        alone: None,
    };
    let chunks = stream::try_unfold(reader, |mut reader| async move {
        let chunk = reader.next().await?;
        Ok(chunk.map(|chunk| (chunk, reader)))
    });
    chunks.boxed()
}

impl Reader {
    async fn next(&mut self) -> Result<Option<Bytes>> {
        loop {
            if self.left.is_empty() {
                return Ok(None);
            }
            if let Some(alone) = &mut self.alone {
                let chunk = alone.try_next().await?;
                let mut chunk = chunk.ok_or_else(|| broken("it ended before its end".into()))?;
                let left = self.left.end.saturating_sub(self.left.start);
                chunk.truncate(usize::try_from(left).unwrap_or(usize::MAX));
                return Ok(Some(self.advance(chunk)));
            }
            let Progress { file, written, state } = self.progress.borrow_and_update().clone();
            if matches!(state, State::Wrong) {
                return Err(broken("it has not the hash that it should have".into()));
            }
            let progress = Progress { file, written, state };
            let end = progress.readable(self.joined.fill.key.size()).min(self.left.end);
            let is_lost = matches!(progress.state, State::GivenUp(_));
            if let (Some(file), false) = (&progress.file, is_lost || end <= self.left.start) {
                let len = end.saturating_sub(self.left.start).min(CHUNK);
                match read(Arc::clone(file), self.left.start, len).await {
                    Ok(chunk) => return Ok(Some(self.advance(chunk))),
                    Err(error) => {
                        self.joined
                            .shared
                            .trouble("a file that is being filled cannot be read", &error);
                        self.go_on_alone().await?;
                        continue;
                    }
                }
            }
            match &progress.state {
                State::Opening | State::Filling => {
                    if self.progress.changed().await.is_err() {
                        self.go_on_alone().await?;
                    }
                }
                State::Broken(error) => return Err(broken(Arc::clone(error).into())),
                State::Verified | State::GivenUp(_) | State::Wrong => self.go_on_alone().await?,
            }
        }
    }

    fn advance(&mut self, chunk: Bytes) -> Bytes {
        self.left.start = self.left.start.saturating_add(chunk.len() as u64);
        chunk
    }

    async fn go_on_alone(&mut self) -> Result<()> {
        metrics::counter!("saccade_image_cache_resumes_total").increment(1);
        self.alone = Some(self.origin.resume(self.left.clone()).await?);
        Ok(())
    }
}

fn broken(cause: Box<dyn std::error::Error + Send + Sync>) -> Error {
    Error::new(ErrorKind::Corrupt, Operation::Read, "an image's data").caused_by(cause)
}

/// So many bytes of the file from the offset, on the threads for blocking calls.
async fn read(file: Arc<File>, offset: u64, len: u64) -> std::io::Result<Bytes> {
    let read = move || {
        let len = usize::try_from(len).map_err(std::io::Error::other)?;
        let mut chunk = Vec::with_capacity(len);
        while chunk.len() < len {
            let at = offset.saturating_add(chunk.len() as u64);
            match pread(&*file, spare_capacity(&mut chunk), at) {
                Ok(0) => return Err(std::io::ErrorKind::UnexpectedEof.into()),
                Ok(_) | Err(rustix::io::Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
        // A vector may have more room than it was asked for, and then more was read.
        chunk.truncate(len);
        Ok(Bytes::from(chunk))
    };
    spawn_blocking(read).await.map_err(std::io::Error::other)?
}
