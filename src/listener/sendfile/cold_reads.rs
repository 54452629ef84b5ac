//! Reads of what is not in the page cache: each part of a file once, however many wait for it, and few at a time.

use super::frame::LONGEST;
use futures_util::{
    FutureExt,
    future::{BoxFuture, Shared, WeakShared},
};
use rustix::{
    fs::{Advice, fadvise, fstat, sendfile},
    io::{Errno, pread},
};
use std::{
    collections::BTreeMap,
    fs::File,
    io,
    num::NonZeroU64,
    ops::Range,
    pin::Pin,
    sync::{
        Arc, LazyLock, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Poll},
};
use tokio::{sync::Semaphore, task::spawn_blocking};
use tokio_util::task::AbortOnDropHandle;

/// Parts that are read at once, of all files together. The threads for blocking calls are more: writes, metadata and
/// what else waits for a file system find one while cold images keep the disk busy.
const READS: usize = 24;
/// What is copied at once where nothing else makes the kernel read, in bytes: small enough to stay in the processor's cache.
const SCRATCH: usize = 128 << 10;

static PERMITS: Semaphore = Semaphore::const_new(READS);
/// Takes everything. `None` where there is none: in a container that has no devices.
static NOWHERE: LazyLock<Option<File>> = LazyLock::new(|| File::options().write(true).open("/dev/null").ok());
/// Reads that somebody waits for and that have not ended.
static UNDER_WAY: Mutex<BTreeMap<Part, Entry>> = Mutex::new(BTreeMap::new());
static NEXT_TICKET: AtomicU64 = AtomicU64::new(0);

/// Which file, while somebody has it open.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct FileId {
    device: u64,
    inode: u64,
}

impl FileId {
    pub(super) fn of(file: &File) -> io::Result<Self> {
        let stat = fstat(file)?;
        Ok(Self {
            device: stat.st_dev,
            inode: stat.st_ino,
        })
    }
}

/// The bytes of a file from a multiple of [`LONGEST`] to the next.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Part {
    file: FileId,
    index: u64,
}

impl Part {
    fn at(file: FileId, offset: u64) -> Self {
        let index = offset / LONGEST as u64;
        Self { file, index }
    }

    fn begin(self) -> u64 {
        self.index.saturating_mul(LONGEST as u64)
    }
}

/// How many bytes there are from `offset` to the end of its part: at least one.
pub(super) fn left_in_part(offset: u64) -> u64 {
    LONGEST as u64 - offset % LONGEST as u64
}

/// Where the file was found to end within the part, or else the part's end.
type End = Result<u64, Arc<io::Error>>;
type Reading = BoxFuture<'static, End>;

struct Entry {
    read: WeakShared<Reading>,
    ticket: u64,
}

/// Takes its entry off the list when the read has ended or is given up.
struct Listed {
    part: Part,
    ticket: u64,
}

impl Drop for Listed {
    fn drop(&mut self) {
        let mut under_way = under_way();
        // Another read may have begun after the last holder of this one had gone.
        if under_way
            .get(&self.part)
            .is_some_and(|entry| entry.ticket == self.ticket)
        {
            under_way.remove(&self.part);
        }
    }
}

/// A part on its way into the page cache. Given up with its last holder, unless it has begun to read.
#[derive(Debug, Clone)]
pub(super) struct ColdRead {
    read: Shared<Reading>,
}

impl ColdRead {
    /// The read under way of the part that `offset` is in, if there is one.
    pub(super) fn join(file: FileId, offset: u64) -> Option<Self> {
        let read = under_way().get(&Part::at(file, offset))?.read.upgrade()?;
        Some(Self { read })
    }

    /// Reads the part that `offset` is in into the page cache, or joins those who do. Begins at once, polled or not. Must
    /// be called within a runtime.
    pub(super) fn begin(file: &Arc<File>, id: FileId, offset: u64) -> Self {
        let part = Part::at(id, offset);
        let mut under_way = under_way();
        if let Some(read) = under_way.get(&part).and_then(|entry| entry.read.upgrade()) {
            return Self { read };
        }
        metrics::counter!("saccade_download_uncached_parts_total").increment(1);
        let ticket = NEXT_TICKET.fetch_add(1, Ordering::Relaxed);
        let read = start(file.clone(), Listed { part, ticket }).boxed().shared();
        if let Some(weak) = read.downgrade() {
            under_way.insert(part, Entry { read: weak, ticket });
        }
        drop(under_way);
        // Not before: what a runtime that shuts down refuses to run takes its entry off the list at once.
        let _ = read.clone().now_or_never();
        Self { read }
    }

    /// Ready with where the part ends: there, or where the file does. Cancel safe.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<u64>> {
        Pin::new(&mut self.read)
            .poll(cx)
            .map_err(|error| match error.raw_os_error() {
                Some(code) => io::Error::from_raw_os_error(code),
                None => io::Error::new(error.kind(), error),
            })
    }
}

/// Waits for its turn and reads, on from the first poll.
async fn start(file: Arc<File>, listed: Listed) -> End {
    let queued = AbortOnDropHandle::new(tokio::spawn(async move {
        let permit = PERMITS.acquire().await.map_err(io::Error::other)?;
        // Waits once more where other work has all threads.
        let reading = AbortOnDropHandle::new(spawn_blocking(move || {
            let end = read(&file, listed.part.begin());
            drop((permit, listed));
            end
        }));
        reading.await.map_err(io::Error::other).flatten()
    }));
    queued.await.map_err(io::Error::other).flatten().map_err(Arc::new)
}

/// Reads a part into the page cache, and keeps none of it; says where it or the file ends. Waits for the disk.
fn read(file: &File, begin: u64) -> io::Result<u64> {
    let end = begin.saturating_add(LONGEST as u64);
    // All of it is asked for at once; the kernel's own guess begins small at every jump. A hint: nothing hangs on it.
    let _ = fadvise(file, begin, NonZeroU64::new(LONGEST as u64), Advice::WillNeed);
    let mut scratch = Vec::new();
    let mut at = begin;
    while at < end {
        match read_some(file, at..end, &mut scratch) {
            Ok(0) => break,
            Ok(n) => at = at.saturating_add(n as u64),
            Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(at)
}

/// Waits until some of the bytes are in the page cache, without a copy of them if it can be done so: where the file's pages
/// can be sent.
fn read_some(file: &File, bytes: Range<u64>, scratch: &mut Vec<u8>) -> Result<usize, Errno> {
    if scratch.is_empty() {
        let len = usize::try_from(bytes.end.saturating_sub(bytes.start)).unwrap_or(LONGEST);
        let mut offset = bytes.start;
        let sent = NOWHERE.as_ref().map_or(Err(Errno::INVAL), |nowhere| {
            sendfile(nowhere, file, Some(&mut offset), len)
        });
        match sent {
            Err(Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP) => scratch.resize(SCRATCH, 0),
            done => return done,
        }
    }
    pread(file, scratch.as_mut_slice(), bytes.start)
}

/// Every change of the list is complete before anything could panic.
fn under_way() -> MutexGuard<'static, BTreeMap<Part, Entry>> {
    UNDER_WAY.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{future::poll_fn, time::Duration};

    fn file(len: usize) -> (Arc<File>, FileId) {
        let file = Arc::new(tempfile::tempfile().unwrap());
        file.set_len(len as u64).unwrap();
        let id = FileId::of(&file).unwrap();
        (file, id)
    }

    async fn ended(mut read: ColdRead) -> io::Result<u64> {
        poll_fn(|cx| read.poll(cx)).await
    }

    fn is_listed(id: FileId) -> bool {
        under_way().keys().any(|part| part.file == id)
    }

    async fn until(condition: impl Fn() -> bool) {
        while !condition() {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }

    #[tokio::test]
    async fn many_who_want_a_part_share_one_read() {
        let (file, id) = file(2 * LONGEST);
        assert!(ColdRead::join(id, 5).is_none());
        let first = ColdRead::begin(&file, id, 5);
        for offset in [0, 6, LONGEST as u64 - 1] {
            let other = ColdRead::begin(&file, id, offset);
            assert!(other.read.ptr_eq(&first.read));
            assert!(ColdRead::join(id, offset).unwrap().read.ptr_eq(&first.read));
        }
        let next = ColdRead::begin(&file, id, LONGEST as u64);
        assert!(!next.read.ptr_eq(&first.read));
        let (one, other, next) = tokio::join!(ended(first.clone()), ended(first), ended(next));
        assert_eq!(one.unwrap(), LONGEST as u64);
        assert_eq!(other.unwrap(), LONGEST as u64);
        assert_eq!(next.unwrap(), 2 * LONGEST as u64);
        assert!(!is_listed(id));
    }

    #[tokio::test]
    async fn a_read_that_nobody_waits_for_any_more_leaves_no_trace() {
        let (file, id) = file(LONGEST);
        let read = ColdRead::begin(&file, id, 0);
        assert!(is_listed(id));
        drop(read);
        until(|| !is_listed(id) && Arc::strong_count(&file) == 1).await;
    }

    #[tokio::test]
    async fn a_read_waits_for_its_turn_and_is_not_made_for_nobody() {
        let (file, id) = file(LONGEST);
        let all = PERMITS.acquire_many(u32::try_from(READS).unwrap()).await.unwrap();
        let read = ColdRead::begin(&file, id, 0);
        tokio::time::sleep(Duration::from_millis(20)).await;
        assert!(is_listed(id) && read.read.peek().is_none());
        drop(read);
        // Nobody could have read meanwhile.
        until(|| !is_listed(id) && Arc::strong_count(&file) == 1).await;
        drop(all);
    }

    #[tokio::test]
    async fn a_read_that_ended_is_not_joined() {
        let (file, id) = file(LONGEST);
        let held = ColdRead::begin(&file, id, 0);
        until(|| !is_listed(id)).await;
        assert!(ColdRead::join(id, 0).is_none());
        assert_eq!(ended(held).await.unwrap(), LONGEST as u64);
    }

    #[tokio::test]
    async fn the_end_of_the_file_is_told() {
        let (file, id) = file(LONGEST + 10);
        let end = LONGEST as u64 + 10;
        assert_eq!(ended(ColdRead::begin(&file, id, end - 1)).await.unwrap(), end);
        let beyond = ColdRead::begin(&file, id, 5 * LONGEST as u64 + 1);
        assert_eq!(ended(beyond).await.unwrap(), 5 * LONGEST as u64);
    }

    #[test]
    fn a_part_is_cached_once_it_was_read() {
        let file = super::super::cold_file::cold_file(2 * LONGEST);
        let one = LONGEST as u64;
        assert_eq!(read(&file, 0).unwrap(), one);
        let cached = |offset: usize| super::super::page_cache::is_cached(&file, offset as u64);
        assert!((0..LONGEST).step_by(4096).all(cached));
    }

    #[test]
    fn a_file_whose_pages_cannot_be_sent_is_read_by_copying() {
        let file = File::open("/proc/self/status").unwrap();
        let mut scratch = Vec::new();
        let read = read_some(&file, 0..LONGEST as u64, &mut scratch).unwrap();
        assert!(read > 0);
        assert_eq!(scratch.len(), SCRATCH);
    }

    #[tokio::test]
    async fn an_error_reaches_everybody() {
        let file = Arc::new(File::open("/proc/self/mem").unwrap());
        let id = FileId::of(&file).unwrap();
        let read = ColdRead::begin(&file, id, 0);
        let (one, other) = tokio::join!(ended(read.clone()), ended(read));
        for error in [one.unwrap_err(), other.unwrap_err()] {
            assert_eq!(Errno::from_io_error(&error), Some(Errno::IO));
        }
    }
}
