//! The cache on disk: a directory of its own inside the one that is configured, locked for one daemon.
//!
//! ```text
//!  saccade-cache/lock          held as long as the daemon lives
//!  saccade-cache/index.json    which files hold which data
//!  saccade-cache/data/         complete files
//!  saccade-cache/incomplete/   files that are being filled
//! ```
//!
//! A file counts only when the index names it, and its size, inode and time of change are those that were written
//! down: whatever a crash has left, or somebody has changed, is removed at the next start. What else is in the configured
//! directory is nobody's business here.

#[cfg(test)]
mod tests;

use std::{
    collections::HashSet,
    fs::{self, DirBuilder, File, OpenOptions, TryLockError},
    io::{self, Read, Write},
    os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

use rustix::fs::{FallocateFlags, fallocate};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{
    index::{Entry, Index, Stamp},
    key::Identity,
};
use crate::image::{ImageId, Timestamp};

/// The directory's name. Not the daemon's own, which may be that of its data directory.
const NAME: &str = "saccade-cache";
const VERSION: u32 = 1;
/// How an index is called that is being written.
const UNFINISHED: &str = "index.new";
/// The longest index that is read, in bytes: that of [`super::index::MOST_ENTRIES`] images is shorter.
const LONGEST_INDEX: u64 = 64 << 20;
/// Directories that Glance makes beside its cached files (`image_cache/drivers/base.py`).
const OF_GLANCE: [&str; 4] = [".", "incomplete", "invalid", "queue"];

/// The cache's directory cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// A system call failed.
    #[error("image_cache_dir: cannot {action} {}", path.display())]
    Io {
        /// Such as `create`.
        action: &'static str,
        /// Of what.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Another daemon has it.
    #[error("image_cache_dir: {} is in use by another saccade; give each its own directory", path.display())]
    InUse {
        /// The directory.
        path: PathBuf,
    },
}

impl OpenError {
    /// Whether somebody has to change the configuration. Else the disk is in trouble, which is no reason to do without
    /// more than the cache.
    pub fn is_misconfiguration(&self) -> bool {
        match self {
            Self::InUse { .. } => true,
            Self::Io { source, .. } => matches!(
                source.kind(),
                io::ErrorKind::NotADirectory | io::ErrorKind::AlreadyExists
            ),
        }
    }
}

/// Whether a cached file that cannot be opened will not be another time either: it is gone, another, or its disk has lost it.
/// Else it is the machine that is short of something.
pub(super) fn is_lost(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::InvalidData)
        || error.raw_os_error() == Some(rustix::io::Errno::IO.raw_os_error())
}

fn failed<'a>(action: &'static str, path: &'a Path) -> impl FnOnce(io::Error) -> OpenError + 'a {
    move |source| OpenError::Io {
        action,
        path: path.to_owned(),
        source,
    }
}

/// The directory, which no other daemon uses as long as this lives.
#[derive(Debug)]
pub(super) struct Directory {
    root: PathBuf,
    /// The kernel holds the lock until this is closed, also when the process is killed.
    _lock: File,
}

/// What was found at the start.
pub(super) struct Found {
    pub(super) index: Index,
    /// What is wrong with the index that was there: the cache begins anew.
    pub(super) broken: Option<io::Error>,
    /// Files that the index does not know, or knows otherwise: removed.
    pub(super) removed: usize,
    /// What others have left in the configured directory, in bytes.
    pub(super) foreign: u64,
}

/// The index as it is written.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Snapshot {
    version: u32,
    /// The one first that was not used for the longest time.
    entries: Vec<Record>,
    queue: Vec<ImageId>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Record {
    image: ImageId,
    number: u64,
    size: u64,
    identity: String,
    file: String,
    inode: u64,
    /// Seconds since the epoch, and nanoseconds.
    written: (i64, i64),
    hits: u64,
    accessed: Timestamp,
    modified: Timestamp,
}

impl Snapshot {
    pub(super) fn of(index: &Index) -> Self {
        let record = |(image, entry): (ImageId, &Entry)| Record {
            image,
            number: entry.number,
            size: entry.size,
            identity: entry.identity.as_str().to_owned(),
            file: entry.file.clone(),
            inode: entry.stamp.inode,
            written: (entry.stamp.seconds, entry.stamp.nanoseconds),
            hits: entry.hits,
            accessed: entry.accessed,
            modified: entry.modified,
        };
        Self {
            version: VERSION,
            entries: index.iter().map(record).collect(),
            queue: index.queue().collect(),
        }
    }
}

impl Directory {
    /// Makes the directory where it is missing, open to its owner only, and locks it. Blocks.
    ///
    /// # Errors
    /// See [`OpenError`]. Directories made until then stay.
    pub(super) fn open(configured: &Path) -> Result<Self, OpenError> {
        let root = configured.join(NAME);
        for path in [root.clone(), root.join("data"), root.join("incomplete")] {
            let made = DirBuilder::new().recursive(true).mode(0o700).create(&path);
            made.map_err(failed("create", &path))?;
        }
        let lock_path = root.join("lock");
        let mut options = OpenOptions::new();
        options
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600);
        let lock = options.open(&lock_path).map_err(failed("open", &lock_path))?;
        match lock.try_lock() {
            Ok(()) => Ok(Self { root, _lock: lock }),
            Err(TryLockError::WouldBlock) => Err(OpenError::InUse { path: root }),
            Err(TryLockError::Error(source)) => Err(failed("lock", &lock_path)(source)),
        }
    }

    /// What a complete file of this name is called.
    pub(super) fn complete(&self, file: &str) -> PathBuf {
        self.root.join("data").join(file)
    }

    /// What it is called as long as it is being filled.
    pub(super) fn incomplete(&self, file: &str) -> PathBuf {
        self.root.join("incomplete").join(file)
    }

    /// Reads the index, and makes it and the files agree: files that it does not know go, and entries without their
    /// file. Blocks.
    ///
    /// # Errors
    /// A directory cannot be read, or a file not removed.
    pub(super) fn load(&self, limit: u64) -> Result<Found, OpenError> {
        let (snapshot, broken) = match self.read_index() {
            Ok(snapshot) => (snapshot, None),
            Err(error) => (None, Some(error)),
        };
        let mut index = Index::new(limit);
        let mut known = HashSet::new();
        let (entries, queue) = snapshot.map_or_else(Default::default, |found| (found.entries, found.queue));
        for record in entries {
            let image = record.image;
            if let Some(entry) = self.checked(record)
                && index.get(image).is_none()
                && known.insert(entry.file.clone())
            {
                index.restore(image, entry);
            }
        }
        for id in queue {
            index.enqueue(id);
        }
        for entry in index.prune() {
            known.remove(&entry.file);
        }
        self.remove_unfinished().map_err(failed("clean up", &self.root))?;
        let nothing = HashSet::new();
        let removed = self
            .sweep("data", &known)?
            .saturating_add(self.sweep("incomplete", &nothing)?);
        Ok(Found {
            index,
            broken,
            removed,
            foreign: self.root.parent().map_or(0, foreign_bytes),
        })
    }

    /// `None` when there is none yet.
    fn read_index(&self) -> io::Result<Option<Snapshot>> {
        let file = match File::open(self.index_path()) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            other => other?,
        };
        let mut text = Vec::new();
        file.take(LONGEST_INDEX.saturating_add(1))
            .read_to_end(&mut text)?;
        if text.len() as u64 > LONGEST_INDEX {
            return Err(io::Error::new(
                io::ErrorKind::InvalidData,
                "it is longer than any index",
            ));
        }
        let snapshot: Snapshot = serde_json::from_slice(&text)?;
        match snapshot.version {
            VERSION => Ok(Some(snapshot)),
            other => Err(io::Error::new(
                io::ErrorKind::InvalidData,
                format!("it is of version {other}, and this daemon writes version {VERSION}"),
            )),
        }
    }

    /// The entry, if its file is the one that was written.
    fn checked(&self, record: Record) -> Option<Entry> {
        let is_name = record
            .file
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.'));
        if !is_name || !record.file.starts_with(&record.image.to_string()) {
            return None;
        }
        let stamp = Stamp {
            inode: record.inode,
            seconds: record.written.0,
            nanoseconds: record.written.1,
        };
        let found = fs::symlink_metadata(self.complete(&record.file)).ok()?;
        let is_same = found.is_file() && found.len() == record.size && Stamp::of(&found) == stamp;
        is_same.then_some(())?;
        let identity = Identity::parse(record.identity)?;
        Some(Entry::restored(
            (record.size, identity, record.file, stamp),
            (record.number, record.hits, record.accessed, record.modified),
        ))
    }

    /// The files in our own directory. Blocks.
    ///
    /// # Errors
    /// What the system says.
    pub(super) fn files(&self) -> io::Result<Vec<PathBuf>> {
        let mut files = Vec::new();
        for directory in ["data", "incomplete"] {
            for entry in fs::read_dir(self.root.join(directory))? {
                let entry = entry?;
                if !entry.file_type()?.is_dir() {
                    files.push(entry.path());
                }
            }
        }
        Ok(files)
    }

    /// Removes the files of our own directory that are not known; how many there were.
    fn sweep(&self, directory: &str, known: &HashSet<String>) -> Result<usize, OpenError> {
        let path = self.root.join(directory);
        let mut removed = 0_usize;
        for entry in fs::read_dir(&path).map_err(failed("read", &path))? {
            let entry = entry.map_err(failed("read", &path))?;
            let is_known = entry
                .file_name()
                .to_str()
                .is_some_and(|name| known.contains(name));
            let kind = entry.file_type().map_err(failed("read", &path))?;
            if !is_known && !kind.is_dir() {
                let path = entry.path();
                fs::remove_file(&path).map_err(failed("remove", &path))?;
                removed = removed.saturating_add(1);
            }
        }
        Ok(removed)
    }

    /// Writes the index so that a crash leaves the old one or this. Blocks.
    ///
    /// # Errors
    /// What the system says; the old one is still there.
    pub(super) fn write_index(&self, snapshot: &Snapshot) -> io::Result<()> {
        // A name of its own: whoever was broken off may write still.
        let unfinished = self.root.join(format!("{UNFINISHED}{}", Uuid::new_v4().simple()));
        let written = self.write_and_rename(snapshot, &unfinished);
        if written.is_err() {
            let _ = fs::remove_file(&unfinished);
        }
        written
    }

    fn write_and_rename(&self, snapshot: &Snapshot, unfinished: &Path) -> io::Result<()> {
        let mut options = OpenOptions::new();
        options.write(true).create_new(true).mode(0o600);
        let mut file = options.open(unfinished)?;
        file.write_all(&serde_json::to_vec(snapshot)?)?;
        file.sync_all()?;
        fs::rename(unfinished, self.index_path())?;
        sync(&self.root)
    }

    /// Removes indexes that were not written to their end. Before any is written.
    fn remove_unfinished(&self) -> io::Result<()> {
        for entry in fs::read_dir(&self.root)? {
            let entry = entry?;
            let name = entry.file_name();
            if name.to_str().is_some_and(|name| name.starts_with(UNFINISHED)) {
                fs::remove_file(entry.path())?;
            }
        }
        Ok(())
    }

    fn index_path(&self) -> PathBuf {
        self.root.join("index.json")
    }

    /// A new file, empty. Blocks.
    ///
    /// # Errors
    /// What the system says; nothing is left.
    pub(super) fn create(&self, file: &str) -> io::Result<File> {
        let mut options = OpenOptions::new();
        options.read(true).write(true).create_new(true).mode(0o600);
        options.open(self.incomplete(file))
    }

    /// The free space for others than the system's administrator where the files are, in bytes. A file system that
    /// does not say how full it is is taken to have room: the write itself will tell. Takes a few microseconds.
    pub(super) fn free_space(&self) -> u64 {
        rustix::fs::statvfs(&self.root)
            .map_or(u64::MAX, |found| found.f_bavail.saturating_mul(found.f_frsize))
    }

    /// Makes a filled file durable and complete. Blocks for as long as the disk takes.
    ///
    /// # Errors
    /// What the system says; the file is incomplete still, or complete and in no index.
    pub(super) fn publish(&self, file: &str, filled: &File) -> io::Result<Stamp> {
        filled.sync_all()?;
        fs::rename(self.incomplete(file), self.complete(file))?;
        sync(&self.root.join("data"))?;
        Ok(Stamp::of(&filled.metadata()?))
    }

    /// A complete file, if it is the one of the entry. Blocks.
    ///
    /// # Errors
    /// It is gone, another, or cannot be opened.
    pub(super) fn open_complete(&self, file: &str, size: u64, stamp: Stamp) -> io::Result<File> {
        let opened = File::open(self.complete(file))?;
        let found = opened.metadata()?;
        if found.len() != size || Stamp::of(&found) != stamp {
            return Err(io::Error::new(
                io::ErrorKind::InvalidData,
                "the file was changed since it was cached",
            ));
        }
        Ok(opened)
    }
}

impl Stamp {
    fn of(metadata: &fs::Metadata) -> Self {
        Self {
            inode: metadata.ino(),
            seconds: metadata.mtime(),
            nanoseconds: metadata.mtime_nsec(),
        }
    }
}

/// Whether there is a directory, or none yet where one could be. Changes nothing.
pub(super) fn check(configured: &Path) -> Result<(), OpenError> {
    match fs::read_dir(configured) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(failed("read", configured)(error)),
        _ => Ok(()),
    }
}

/// Removes a file of ours; whoever has it open reads on. What cannot be removed is removed by the next start.
pub(super) fn remove(path: &Path) {
    if let Err(error) = fs::remove_file(path)
        && error.kind() != io::ErrorKind::NotFound
    {
        tracing::warn!(path = %path.display(), %error, "a file of the image cache cannot be removed now");
    }
}

/// Takes the room of so many bytes at the end of a file, where the file system can; elsewhere a write says that there is
/// none. Blocks.
///
/// # Errors
/// What the system says.
pub(super) fn allocate(file: &File, end: u64, len: u64) -> io::Result<()> {
    use rustix::io::Errno;
    if len == 0 {
        return Ok(());
    }
    loop {
        match fallocate(file, FallocateFlags::empty(), end, len) {
            Err(Errno::INTR) => {}
            Err(Errno::OPNOTSUPP | Errno::NOSYS) => return file.set_len(end.saturating_add(len)),
            other => return Ok(other?),
        }
    }
}

fn sync(directory: &Path) -> io::Result<()> {
    File::open(directory)?.sync_all()
}

/// How much Glance has left in the directory: the files in it and in the directories that it makes there. What
/// cannot be read counts for nothing: the figure is for people.
fn foreign_bytes(configured: &Path) -> u64 {
    let files = |name: &&str| {
        fs::read_dir(configured.join(name))
            .into_iter()
            .flatten()
            .flatten()
    };
    let sizes = OF_GLANCE.iter().flat_map(files).filter_map(|entry| {
        let metadata = entry.metadata().ok()?;
        metadata.is_file().then_some(metadata.len())
    });
    sizes.fold(0, u64::saturating_add)
}
