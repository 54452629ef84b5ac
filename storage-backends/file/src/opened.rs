//! Blobs that were opened a moment ago, for who asks for them range by range: to open one takes a thread that may wait, and
//! that takes longer than to send a small range.

use std::{
    collections::BTreeMap,
    fs::File,
    io::IoSliceMut,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
    time::Duration,
};

use rustix::{
    fs::{Stat, fstat, lstat},
    io::{Errno, ReadWriteFlags, preadv2},
};
use tokio::{
    runtime::Handle,
    task::spawn_blocking,
    time::{Instant, sleep},
};

/// How long a file is kept. Then it is looked up by its name again: its directory may not be mounted any more, or may
/// have another file of that name.
const FRESH: Duration = Duration::from_secs(1);

/// Files of one store that are kept at most.
const MOST: usize = 64;

/// The files of one store that are kept open, by their paths. None is kept for much longer than [`FRESH`], whether or not anybody
/// asks again: an unlinked file takes its room until it is closed.
///
/// Only files whose file system tells at once what is in the page cache are kept: to ask one for the state of an open file
/// is to look into memory. On those that answer over a network it may wait, and each read opens its file on a thread that may.
#[derive(Debug, Default)]
pub(crate) struct Opened(Mutex<Files>);

#[derive(Debug, Default)]
struct Files {
    kept: BTreeMap<PathBuf, Kept>,
    closer: Closer,
}

#[derive(Debug)]
struct Kept {
    file: Arc<File>,
    since: Instant,
    names: Names,
}

/// What of a file's state changes when any of its names is taken away, also by giving it to another file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Names {
    count: u64,
    /// Seconds and nanoseconds of the last change of names, rights or content.
    changed: (i64, i64),
}

impl Names {
    #[allow(
        clippy::useless_conversion,
        clippy::unnecessary_fallible_conversions,
        reason = "the types are each architecture's own"
    )]
    fn of(stat: &Stat) -> Option<Self> {
        Some(Self {
            count: stat.st_nlink.into(),
            changed: (
                stat.st_ctime.try_into().ok()?,
                stat.st_ctime_nsec.try_into().ok()?,
            ),
        })
    }
}

/// What closes files that nobody asks for any more: runs while there are any.
#[derive(Debug, Default, PartialEq, Eq)]
enum Closer {
    #[default]
    Rests,
    Runs,
}

impl Opened {
    /// The file that this path had a moment ago, and its size now. `None` also when anything has happened to its names, so that
    /// what was deleted or replaced is not found, whoever has done it. Does not block.
    pub(crate) fn find(&self, path: &Path) -> Option<(Arc<File>, u64)> {
        let (file, names) = {
            let files = self.lock();
            let kept = files.kept.get(path)?;
            (kept.since.elapsed() < FRESH).then(|| (Arc::clone(&kept.file), kept.names))?
        };
        let stat = fstat(&file).ok()?;
        if Names::of(&stat) != Some(names) {
            let forgotten = self.lock().kept.remove(path);
            close_elsewhere((file, forgotten));
            return None;
        }
        Some((file, u64::try_from(stat.st_size).ok()?))
    }

    /// Keeps a file that was just opened, if that can be: if the path still has it, as nothing tells apart afterwards whether
    /// the name that is gone was this one. Blocks.
    pub(crate) fn keep(self: &Arc<Self>, path: PathBuf, file: &Arc<File>) {
        let Ok(runtime) = Handle::try_current() else {
            // Nobody would close it.
            return;
        };
        let Some(names) = names(&path, file).filter(|_| tells_what_is_cached(file)) else {
            return;
        };
        let mut files = self.lock();
        if files.kept.len() >= MOST {
            let oldest = files.kept.iter().min_by_key(|(_, kept)| kept.since);
            if let Some(oldest) = oldest.map(|(path, _)| path.clone()) {
                files.kept.remove(&oldest);
            }
        }
        let kept = Kept {
            file: Arc::clone(file),
            since: Instant::now(),
            names,
        };
        files.kept.insert(path, kept);
        if files.closer == Closer::Rests {
            files.closer = Closer::Runs;
            runtime.spawn(close(Arc::downgrade(self)));
        }
    }

    /// The path has no file any more. Blocks for as long as closing it takes.
    pub(crate) fn forget(&self, path: &Path) {
        let forgotten = self.lock().kept.remove(path);
        drop(forgotten);
    }

    /// Every change is complete before anything could panic.
    fn lock(&self) -> MutexGuard<'_, Files> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Closes what was kept for long enough, until nothing is left.
async fn close(opened: Weak<Opened>) {
    loop {
        sleep(FRESH).await;
        let Some(opened) = opened.upgrade() else { return };
        let mut files = opened.lock();
        let stale: Vec<Kept> = files
            .kept
            .extract_if(.., |_, kept| kept.since.elapsed() >= FRESH)
            .map(|(_, kept)| kept)
            .collect();
        if files.kept.is_empty() {
            files.closer = Closer::Rests;
        }
        let is_over = files.closer == Closer::Rests;
        drop(files);
        if !stale.is_empty() {
            close_elsewhere(stale);
        }
        if is_over {
            return;
        }
    }
}

/// The names of a file, if the path is one of them.
fn names(path: &Path, file: &File) -> Option<Names> {
    let stat = fstat(file).ok()?;
    let named = lstat(path).ok()?;
    let is_same = (stat.st_dev, stat.st_ino) == (named.st_dev, named.st_ino);
    Names::of(&stat).filter(|_| is_same)
}

/// Whoever closes an unlinked file as the last frees its blocks, which may take long.
fn close_elsewhere(files: impl Send + 'static) {
    drop(spawn_blocking(move || drop(files)));
}

/// Whether the file is of a file system that keeps its state in memory: one that knows reads that do not wait.
fn tells_what_is_cached(file: &File) -> bool {
    let mut byte = [0];
    let asked = preadv2(file, &mut [IoSliceMut::new(&mut byte)], 0, ReadWriteFlags::NOWAIT);
    !matches!(asked, Err(Errno::OPNOTSUPP | Errno::NOSYS | Errno::INVAL))
}

#[cfg(test)]
mod tests {
    use std::{env, fs, io::Write};

    use super::*;

    struct Place {
        dir: tempfile::TempDir,
        opened: Arc<Opened>,
    }

    impl Place {
        fn new() -> Self {
            // On a disk: a file system in memory, which /tmp may be, does not tell what is cached.
            let beside = env::current_exe().unwrap();
            Self {
                dir: tempfile::tempdir_in(beside.parent().unwrap()).unwrap(),
                opened: Arc::default(),
            }
        }

        fn path(&self, number: usize) -> PathBuf {
            self.dir.path().join(number.to_string())
        }

        fn keep(&self, number: usize) -> Arc<File> {
            let path = self.path(number);
            fs::write(&path, number.to_string()).unwrap();
            let file = Arc::new(File::open(&path).unwrap());
            self.opened.keep(path, &file);
            file
        }

        fn is_kept(&self, number: usize) -> bool {
            self.opened.find(&self.path(number)).is_some()
        }
    }

    #[tokio::test]
    async fn a_file_is_found_with_the_size_that_it_has_now() {
        let place = Place::new();
        let file = place.keep(10);
        let (found, size) = place.opened.find(&place.path(10)).unwrap();
        assert!(Arc::ptr_eq(&file, &found));
        assert_eq!(size, 2);
        assert!(!place.is_kept(11));
        // One that somebody writes to is looked up again.
        std::thread::sleep(Duration::from_millis(20));
        let mut longer = File::options().append(true).open(place.path(10)).unwrap();
        longer.write_all(b"123").unwrap();
        let found = place.opened.find(&place.path(10));
        assert!(found.is_none_or(|(_, size)| size == 5));
    }

    #[tokio::test]
    async fn a_file_that_anybody_has_unlinked_or_replaced_is_not_found() {
        let place = Place::new();
        place.keep(1);
        fs::remove_file(place.path(1)).unwrap();
        assert!(!place.is_kept(1));
        place.keep(2);
        fs::write(place.path(3), "another").unwrap();
        fs::rename(place.path(3), place.path(2)).unwrap();
        assert!(!place.is_kept(2));
        // Also when it has another name.
        place.keep(4);
        fs::hard_link(place.path(4), place.path(5)).unwrap();
        place.keep(4);
        assert!(place.is_kept(4));
        fs::remove_file(place.path(4)).unwrap();
        assert!(!place.is_kept(4));
        // What was replaced before it could be kept.
        fs::write(place.path(6), "one").unwrap();
        let file = Arc::new(File::open(place.path(6)).unwrap());
        fs::remove_file(place.path(6)).unwrap();
        fs::write(place.path(6), "another").unwrap();
        place.opened.keep(place.path(6), &file);
        assert!(!place.is_kept(6));
    }

    #[tokio::test]
    async fn after_a_while_a_file_is_closed_without_being_asked_for() {
        let place = Place::new();
        // What comes when all is closed is closed as well.
        for number in 1..=2 {
            let file = place.keep(number);
            assert!(place.is_kept(number));
            let asked = Instant::now();
            while Arc::strong_count(&file) > 1 {
                assert!(asked.elapsed() < FRESH * 20);
                sleep(FRESH / 20).await;
            }
            assert!(!place.is_kept(number));
            assert_eq!(place.opened.lock().closer, Closer::Rests);
        }
    }

    #[tokio::test]
    async fn no_more_than_so_many_are_kept_the_newest() {
        let place = Place::new();
        for number in 0..MOST + 3 {
            place.keep(number);
        }
        assert!((0..3).all(|number| !place.is_kept(number)));
        assert!((3..MOST + 3).all(|number| place.is_kept(number)));
        place.opened.forget(&place.path(5));
        assert!(!place.is_kept(5));
    }
}
