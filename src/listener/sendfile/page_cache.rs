//! Parts of a file that are in the page cache, so that sending them waits for no disk.

use super::frame::LONGEST;
use rustix::{
    fs::{Advice, fadvise},
    io::{Errno, ReadWriteFlags, pread, preadv2},
};
use saccade_store_contract::FileRegion;
use std::{
    collections::VecDeque,
    fs::File,
    future::Future,
    io::{self, IoSliceMut},
    num::NonZeroU64,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};
use tokio::task::{JoinHandle, spawn_blocking};

/// Parts that are read from disk beside the one that is being sent: the disk goes on while the socket does.
const AHEAD: usize = 2;
/// What is read at once from disk, in bytes: small enough to stay in the processor's cache.
const SCRATCH: usize = 128 << 10;

/// The parts of a region in order, each when it is cached. One that is not is read on the threads for blocking calls, and
/// then those behind it too, ahead of time. A part that is cached costs two system calls.
#[derive(Debug)]
pub(super) struct CachedParts {
    file: Arc<File>,
    /// What nobody has looked for in the page cache yet.
    at: u64,
    left: u64,
    found: VecDeque<Part>,
    probe: Probe,
}

#[derive(Debug)]
enum Part {
    Cached(usize),
    Reading(usize, JoinHandle<io::Result<()>>),
}

/// Whether the file system tells what is cached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Probe {
    Works,
    Unsupported,
}

impl CachedParts {
    pub(super) fn new(region: &FileRegion) -> Self {
        Self {
            file: region.file.clone(),
            at: region.offset,
            left: region.len,
            found: VecDeque::with_capacity(AHEAD),
            probe: Probe::Works,
        }
    }

    /// The length of the next part, at most [`LONGEST`]; `None` after the last. Fails where the file ends too early or
    /// cannot be read. Cancel safe.
    pub(super) fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<io::Result<usize>>> {
        if self.found.is_empty() {
            self.look();
        }
        if self.found.iter().any(|part| matches!(part, Part::Reading(..))) {
            while self.found.len() <= AHEAD && self.left > 0 {
                self.look();
            }
        }
        let part = match self.found.front_mut() {
            None => return Poll::Ready(None),
            Some(Part::Cached(len)) => Ok(*len),
            Some(Part::Reading(len, read)) => {
                let len = *len;
                ready!(Pin::new(read).poll(cx))
                    .map_err(io::Error::other)
                    .flatten()
                    .map(|()| len)
            }
        };
        self.found.pop_front();
        Poll::Ready(Some(part))
    }

    /// Takes up the part behind those that were found.
    fn look(&mut self) {
        let len = usize::try_from(self.left).unwrap_or(LONGEST).min(LONGEST);
        if len == 0 {
            return;
        }
        let offset = self.at;
        self.at = offset.saturating_add(len as u64);
        self.left -= len as u64;
        let part = if self.is_cached(offset, len) {
            Part::Cached(len)
        } else {
            metrics::counter!("saccade_download_uncached_parts_total").increment(1);
            let file = self.file.clone();
            Part::Reading(len, spawn_blocking(move || read(&file, offset, len)))
        };
        self.found.push_back(part);
    }

    /// Looks at the first and the last byte. Pages leave the cache in the order in which they were read, so that a
    /// part with a hole between those is rare; it is sent nevertheless, and waits for the disk where it stands.
    fn is_cached(&mut self, offset: u64, len: usize) -> bool {
        let last = offset.saturating_add(len as u64).saturating_sub(1);
        self.probe == Probe::Works && self.byte_is_cached(offset) && self.byte_is_cached(last)
    }

    fn byte_is_cached(&mut self, offset: u64) -> bool {
        let mut byte = [0];
        let mut into = [IoSliceMut::new(&mut byte)];
        match preadv2(&self.file, &mut into, offset, ReadWriteFlags::NOWAIT) {
            Ok(read) => read == 1,
            Err(Errno::OPNOTSUPP | Errno::NOSYS | Errno::INVAL) => {
                self.probe = Probe::Unsupported;
                false
            }
            // Not without waiting. What else may be wrong is seen when it is read.
            Err(_) => false,
        }
    }
}

/// Reads a part into the page cache, and nowhere else. Waits for the disk.
fn read(file: &File, offset: u64, len: usize) -> io::Result<()> {
    // All of it is asked for at once; the kernel's own guess begins small at every jump. A hint: nothing hangs on it.
    let _ = fadvise(file, offset, NonZeroU64::new(len as u64), Advice::WillNeed);
    let mut scratch = vec![0; SCRATCH.min(len)];
    let mut read: usize = 0;
    while read < len {
        let room = scratch.len().min(len - read);
        let at = offset.saturating_add(read as u64);
        match pread(file, scratch.get_mut(..room).unwrap_or_default(), at) {
            Ok(0) => return Err(too_short(at)),
            Ok(n) => read = read.saturating_add(n),
            Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

/// The file ends where more was promised.
pub(super) fn too_short(at: u64) -> io::Error {
    io::Error::new(
        io::ErrorKind::UnexpectedEof,
        format!("the file ends too early, at {at}"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{future::poll_fn, io::Write};

    fn region(len: usize, offset: u64) -> FileRegion {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(&vec![7; len]).unwrap();
        file.sync_all().unwrap();
        FileRegion {
            file: Arc::new(file),
            offset,
            len: len as u64 - offset,
        }
    }

    async fn parts(region: &FileRegion) -> Vec<usize> {
        let mut parts = CachedParts::new(region);
        let mut all = Vec::new();
        while let Some(part) = poll_fn(|cx| parts.poll_next(cx)).await {
            all.push(part.unwrap());
        }
        all
    }

    #[tokio::test]
    async fn a_region_is_cut_into_parts() {
        let whole = region(2 * LONGEST + 5, 3);
        assert_eq!(parts(&whole).await, [LONGEST, LONGEST, 2]);
        assert_eq!(parts(&region(10, 10)).await, [0_usize; 0]);
    }

    #[tokio::test]
    async fn what_is_not_cached_is_read_and_then_is() {
        let cold = region(5 * LONGEST, 0);
        fadvise(&cold.file, 0, None, Advice::DontNeed).unwrap();
        assert_eq!(parts(&cold).await, [LONGEST; 5]);
        let mut now = CachedParts::new(&cold);
        now.look();
        // A file system that does not tell leaves nothing to see.
        if now.probe == Probe::Works {
            assert!(matches!(now.found.front(), Some(Part::Cached(LONGEST))));
        }
    }

    #[tokio::test]
    async fn what_is_not_cached_is_read_ahead_within_a_bound() {
        let mut parts = CachedParts::new(&region(9 * LONGEST, 0));
        parts.probe = Probe::Unsupported;
        let mut count = 0;
        while let Some(part) = poll_fn(|cx| parts.poll_next(cx)).await {
            part.unwrap();
            assert!(parts.found.len() <= AHEAD);
            assert!(parts.found.iter().all(|part| matches!(part, Part::Reading(..))));
            count += 1;
        }
        assert_eq!(count, 9);
    }

    #[tokio::test]
    async fn a_file_that_is_too_short_is_an_error() {
        let mut whole = region(LONGEST, 0);
        whole.len += 1;
        let mut parts = CachedParts::new(&whole);
        assert_eq!(poll_fn(|cx| parts.poll_next(cx)).await.unwrap().unwrap(), LONGEST);
        let error = poll_fn(|cx| parts.poll_next(cx)).await.unwrap().unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
        assert!(error.to_string().ends_with(&LONGEST.to_string()), "{error}");
    }
}
