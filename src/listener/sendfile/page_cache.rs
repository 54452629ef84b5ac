//! Parts of a file that are in the page cache, so that sending them waits for no disk.

use super::cold_reads::{ColdRead, FileId, left_in_part};
use rustix::io::{Errno, ReadWriteFlags, preadv2};
use saccade_store_contract::FileRegion;
use std::{
    collections::VecDeque,
    fs::File,
    io::{self, IoSliceMut},
    sync::Arc,
    task::{Context, Poll},
};

/// Parts that are read from disk beside the one that is waited for: the disk goes on while the socket does.
const AHEAD: usize = 3;

/// The parts of a region in order, each when it is cached. They end at multiples of
/// [`LONGEST`](super::frame::LONGEST) in the file. One that is not cached is read on the threads for blocking calls, and
/// then those behind it too, ahead of time. A part that is cached costs two system calls.
#[derive(Debug)]
pub(super) struct CachedParts {
    file: Arc<File>,
    id: FileId,
    /// What is not cut into parts yet.
    at: u64,
    left: u64,
    found: VecDeque<(Part, State)>,
}

#[derive(Debug, Clone, Copy)]
struct Part {
    offset: u64,
    /// At least one.
    len: usize,
}

#[derive(Debug)]
enum State {
    /// It has not been looked up, or so long ago that it may have left the cache again.
    Unknown,
    /// It is read ahead of time.
    Ahead(ColdRead),
    /// It is read, and taken as soon as it is.
    Awaited(ColdRead),
}

impl CachedParts {
    /// `None` where the file system does not tell what is cached. Never waits: the first byte is asked for to see that.
    pub(super) fn of(region: &FileRegion) -> Option<Self> {
        let first = read_cached_byte(&region.file, region.offset);
        // What else may be wrong is seen when it is read.
        if matches!(first, Err(Errno::OPNOTSUPP | Errno::NOSYS | Errno::INVAL)) {
            return None;
        }
        Some(Self {
            file: region.file.clone(),
            id: FileId::of(&region.file).ok()?,
            at: region.offset,
            left: region.len,
            found: VecDeque::with_capacity(AHEAD),
        })
    }

    /// The length of the next part, at most [`LONGEST`](super::frame::LONGEST); `None` after the last. Fails where the
    /// file ends too early or cannot be read. Cancel safe.
    pub(super) fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<io::Result<usize>>> {
        loop {
            if self
                .found
                .iter()
                .any(|(_, state)| !matches!(state, State::Unknown))
            {
                self.read_ahead();
            }
            let next = self.found.pop_front();
            let Some((part, state)) = next.or_else(|| Some((self.cut()?, State::Unknown))) else {
                return Poll::Ready(None);
            };
            let (mut read, was_awaited) = match state {
                State::Unknown => match self.look(part) {
                    None => return Poll::Ready(Some(Ok(part.len))),
                    Some(read) => {
                        self.found.push_front((part, State::Awaited(read)));
                        continue;
                    }
                },
                State::Ahead(read) => (read, false),
                State::Awaited(read) => (read, true),
            };
            match read.poll(cx) {
                Poll::Pending => {
                    self.found.push_front((part, State::Awaited(read)));
                    return Poll::Pending;
                }
                Poll::Ready(Err(error)) => return Poll::Ready(Some(Err(error))),
                Poll::Ready(Ok(end)) if end < part.end() => return Poll::Ready(Some(Err(too_short(end)))),
                Poll::Ready(Ok(_)) if was_awaited => return Poll::Ready(Some(Ok(part.len))),
                // It may have been there for long: the peer is slower than the disk.
                Poll::Ready(Ok(_)) => self.found.push_front((part, State::Unknown)),
            }
        }
    }

    fn read_ahead(&mut self) {
        while self.found.len() <= AHEAD
            && let Some(part) = self.cut()
        {
            let state = self.look(part).map_or(State::Unknown, State::Ahead);
            self.found.push_back((part, state));
        }
    }

    /// The part behind those that were found.
    fn cut(&mut self) -> Option<Part> {
        let offset = self.at;
        let len = self.left.min(left_in_part(offset));
        self.at = offset.saturating_add(len);
        self.left -= len;
        (len > 0).then(|| Part {
            offset,
            len: usize::try_from(len).unwrap_or(usize::MAX),
        })
    }

    /// The read that has to end before the part is sent. Asks for one under way first: while that lasts, the first and
    /// the last byte may be cached and those between them not.
    fn look(&self, part: Part) -> Option<ColdRead> {
        ColdRead::join(self.id, part.offset).or_else(|| {
            // Pages leave the cache in the order in which they were read, so that a part with a hole between the first and
            // the last byte is rare; it is sent nevertheless, and waits for the disk where it stands.
            let is_cached = is_cached(&self.file, part.offset) && is_cached(&self.file, part.end() - 1);
            (!is_cached).then(|| ColdRead::begin(&self.file, self.id, part.offset))
        })
    }
}

impl Part {
    fn end(self) -> u64 {
        self.offset.saturating_add(self.len as u64)
    }
}

/// Whether the byte can be read without waiting.
pub(super) fn is_cached(file: &File, offset: u64) -> bool {
    read_cached_byte(file, offset) == Ok(1)
}

fn read_cached_byte(file: &File, offset: u64) -> Result<usize, Errno> {
    let mut byte = [0];
    let mut into = [IoSliceMut::new(&mut byte)];
    preadv2(file, &mut into, offset, ReadWriteFlags::NOWAIT)
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
    use super::{
        super::{
            cold_file::{cold_file, eventually, forget},
            frame::LONGEST,
        },
        *,
    };
    use std::future::poll_fn;

    fn region(len: usize, offset: u64) -> FileRegion {
        let file = cold_file(len.next_multiple_of(4096));
        rustix::fs::ftruncate(&file, len as u64).unwrap();
        FileRegion {
            file: Arc::new(file),
            offset,
            len: len as u64 - offset,
        }
    }

    fn cold(len: usize) -> FileRegion {
        region(len, 0)
    }

    fn parts_of(region: &FileRegion) -> CachedParts {
        CachedParts::of(region).expect("a file system that tells what is cached")
    }

    async fn next(parts: &mut CachedParts) -> Option<io::Result<usize>> {
        poll_fn(|cx| parts.poll_next(cx)).await
    }

    fn poll_once(parts: &mut CachedParts) -> Poll<Option<io::Result<usize>>> {
        parts.poll_next(&mut Context::from_waker(std::task::Waker::noop()))
    }

    async fn lengths(region: &FileRegion) -> Vec<usize> {
        let mut parts = parts_of(region);
        let mut all = Vec::new();
        while let Some(part) = next(&mut parts).await {
            all.push(part.unwrap());
        }
        all
    }

    #[tokio::test]
    async fn a_region_is_cut_at_multiples_of_the_longest_frame() {
        let whole = region(2 * LONGEST + 5, 3);
        assert_eq!(lengths(&whole).await, [LONGEST - 3, LONGEST, 5]);
        assert_eq!(lengths(&region(10, 10)).await, [0_usize; 0]);
    }

    #[tokio::test]
    async fn what_is_not_cached_is_read_and_then_is() {
        let read_once = async || {
            let cold = cold(5 * LONGEST);
            let mut parts = parts_of(&cold);
            let waits = poll_once(&mut parts).is_pending();
            assert_eq!(lengths(&cold).await, [LONGEST; 5]);
            let mut now = parts_of(&cold);
            for _ in 0..5 {
                assert!(matches!(poll_once(&mut now), Poll::Ready(Some(Ok(LONGEST)))));
            }
            waits
        };
        assert!(eventually(read_once).await);
    }

    #[tokio::test]
    async fn whoever_comes_while_a_part_is_read_waits_for_it_and_does_not_look() {
        let come = async || {
            let cold = cold(LONGEST);
            let mut clients: Vec<_> = (0..9).map(|_| parts_of(&cold)).collect();
            if poll_once(&mut clients[0]).is_ready() {
                return false;
            }
            // The read has not begun, for this test has the only thread. Meanwhile the first and the last page come by another way.
            for offset in [0, LONGEST as u64 - 1] {
                rustix::io::pread(&cold.file, &mut [0], offset).unwrap();
                assert!(is_cached(&cold.file, offset));
            }
            for client in &mut clients[1..] {
                assert!(poll_once(client).is_pending());
            }
            for client in &mut clients {
                assert_eq!(next(client).await.unwrap().unwrap(), LONGEST);
            }
            true
        };
        assert!(eventually(come).await);
    }

    #[tokio::test]
    async fn what_is_not_cached_is_read_ahead_within_a_bound() {
        let read = async || {
            let mut parts = parts_of(&cold(9 * LONGEST));
            let waits = poll_once(&mut parts).is_pending();
            assert!(parts.found.len() <= 1 + AHEAD);
            let ahead = parts.found.iter().skip(1);
            let ahead = ahead
                .filter(|(_, state)| matches!(state, State::Ahead(_)))
                .count();
            let mut left = if waits { 9 } else { 8 };
            while let Some(part) = next(&mut parts).await {
                part.unwrap();
                assert!(parts.found.len() <= AHEAD);
                left -= 1;
            }
            assert_eq!(left, 0);
            waits && ahead == AHEAD
        };
        assert!(eventually(read).await);
    }

    #[tokio::test]
    async fn what_was_read_ahead_and_has_left_the_cache_is_read_again() {
        let leave = async || {
            let cold = cold(2 * LONGEST);
            let mut parts = parts_of(&cold);
            assert_eq!(next(&mut parts).await.unwrap().unwrap(), LONGEST);
            let Some((_, State::Ahead(read))) = parts.found.front() else {
                return false;
            };
            let mut read = read.clone();
            poll_fn(|cx| read.poll(cx)).await.unwrap();
            forget(&cold.file, 2 * LONGEST);
            let waits = poll_once(&mut parts).is_pending();
            if waits {
                assert!(matches!(parts.found[0].1, State::Awaited(_)));
                assert_eq!(next(&mut parts).await.unwrap().unwrap(), LONGEST);
            }
            waits
        };
        assert!(eventually(leave).await);
    }

    #[test]
    fn a_file_system_that_does_not_tell_is_found_out() {
        let file = Arc::new(File::open("/proc/self/auxv").unwrap());
        let region = FileRegion {
            file,
            offset: 0,
            len: 16,
        };
        assert!(CachedParts::of(&region).is_none());
    }

    #[tokio::test]
    async fn a_file_that_is_too_short_is_an_error() {
        let mut whole = region(LONGEST, 0);
        whole.len += 1;
        let mut parts = parts_of(&whole);
        assert_eq!(next(&mut parts).await.unwrap().unwrap(), LONGEST);
        let error = next(&mut parts).await.unwrap().unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
        assert!(error.to_string().ends_with(&LONGEST.to_string()), "{error}");
    }
}
