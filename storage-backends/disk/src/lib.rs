//! The few system calls of whoever writes durably, behind a trait.
//!
//! Two parts of Saccade promise that what they acknowledged survives a power cut: the file store and the ledger. They
//! make their system calls through [`Disk`], so that a test can put a disk beneath them that forgets everything that
//! was not synced (data, names, directory entries) and look at what remains after each call.
//!
//! All calls block. Paths are absolute. Nothing here retries, and a failed sync is final: after it, what reached the disk
//! is unknown, and the file must be discarded.

use std::{fmt, fs::File, io, path::Path, sync::Arc};

use rustix::io::Errno;

mod real;
#[cfg(feature = "simulated")]
pub mod simulated;

pub use real::RealDisk;

/// What address, offset and length of [`WriteMode::Direct`] writes are multiples of, whatever the disk: the page, which no
/// block in use exceeds.
pub const BLOCK: usize = 4096;

/// How written bytes get to the disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum WriteMode {
    /// Through the page cache (`pwritev`). [`DiskFile::write_behind`] sends them on.
    Buffered,
    /// Through the page cache, which starts writing them at once and lets go of them when they are written
    /// (`RWF_DONTCACHE`, since Linux 6.14).
    DontCache,
    /// From where they are in memory (`O_DIRECT`): all in whole [`BLOCK`]s.
    Direct,
}

impl fmt::Display for WriteMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Buffered => "buffered",
            Self::DontCache => "dontcache",
            Self::Direct => "direct",
        })
    }
}

/// A file system, as durable writers use it.
pub trait Disk: fmt::Debug + Send + Sync + 'static {
    /// Makes a new empty file for reading and writing (`O_CREAT | O_EXCL`), with the given permission bits.
    ///
    /// # Errors
    /// `AlreadyExists`, and whatever the system says.
    fn create_new(&self, path: &Path, mode: u32) -> io::Result<Box<dyn DiskFile>>;

    /// Opens a regular file for reading; symbolic links are not followed in the last component.
    ///
    /// # Errors
    /// `NotFound`, and whatever the system says.
    fn open(&self, path: &Path) -> io::Result<Box<dyn DiskFile>>;

    /// [`Disk::open`] for reading and writing.
    ///
    /// # Errors
    /// `NotFound`, and whatever the system says.
    fn open_writable(&self, path: &Path) -> io::Result<Box<dyn DiskFile>>;

    /// What is at a path (`lstat`).
    ///
    /// # Errors
    /// `NotFound`, and whatever the system says.
    fn stat(&self, path: &Path) -> io::Result<Stat>;

    /// Gives a file a second name. Never replaces.
    ///
    /// # Errors
    /// `AlreadyExists`, and whatever the system says.
    fn link(&self, existing: &Path, new: &Path) -> io::Result<()>;

    /// Renames a file, replacing what is at the new name.
    ///
    /// # Errors
    /// Whatever the system says.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;

    /// Removes a name.
    ///
    /// # Errors
    /// `NotFound`, and whatever the system says.
    fn unlink(&self, path: &Path) -> io::Result<()>;

    /// Makes a directory. Its own name is durable once the parent is synced.
    ///
    /// # Errors
    /// `AlreadyExists`, and whatever the system says.
    fn create_dir(&self, path: &Path) -> io::Result<()>;

    /// Makes the names in a directory durable.
    ///
    /// # Errors
    /// Whatever the system says; the names made since the last sync may then be lost.
    fn sync_dir(&self, path: &Path) -> io::Result<()>;

    /// Whether this process may add and remove names in a directory (`access`); changes nothing.
    ///
    /// # Errors
    /// `PermissionDenied`, `ReadOnlyFilesystem`, `NotFound`, and whatever the system says.
    fn check_writable(&self, directory: &Path) -> io::Result<()>;

    /// The room on the file system of a path (`statvfs`).
    ///
    /// # Errors
    /// `NotFound`, and whatever the system says.
    fn space(&self, path: &Path) -> io::Result<Space>;

    /// Whether files in a directory are on a file system whose direct writes go to a disk of this machine as they are. Others
    /// may take them, too, and wait for a server, or copy them after all. Where it cannot be told, they are not.
    fn favours_direct_writes(&self, directory: &Path) -> bool;
}

/// An open file.
pub trait DiskFile: fmt::Debug + Send + Sync {
    /// Writes all of `bytes` at `offset`.
    ///
    /// # Errors
    /// A part may have been written.
    fn write_all_at(&self, bytes: &[u8], offset: u64) -> io::Result<()>;

    /// Writes all of `pieces`, one behind the other, from `offset` on.
    ///
    /// # Errors
    /// A part may have been written. What [`refuses_mode`] knows says that the file does not take this mode: another may
    /// follow.
    fn write_pieces_at(&self, pieces: &[&[u8]], offset: u64, mode: WriteMode) -> io::Result<()>;

    /// The descriptor that writes of a mode are made to, for who makes them in a way of its own (io_uring): each as
    /// [`DiskFile::write_pieces_at`] would. The file must have been made or opened for writing. `None` where files are none
    /// of the machine.
    ///
    /// # Errors
    /// As [`DiskFile::write_pieces_at`].
    fn writable(&self, mode: WriteMode) -> Option<io::Result<Arc<File>>>;

    /// Reads up to the length of `buffer` at `offset`; 0 at the end.
    ///
    /// # Errors
    /// Whatever the system says.
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize>;

    /// Sets the length; a longer file ends in a hole.
    ///
    /// # Errors
    /// Whatever the system says.
    fn set_len(&self, len: u64) -> io::Result<()>;

    /// Sets the permission bits, whatever the process's umask.
    ///
    /// # Errors
    /// Whatever the system says.
    fn set_mode(&self, mode: u32) -> io::Result<()>;

    /// The length in bytes.
    ///
    /// # Errors
    /// Whatever the system says.
    fn size(&self) -> io::Result<u64>;

    /// Makes data and length durable (`fdatasync`).
    ///
    /// # Errors
    /// Final: the data may be lost, and a later sync that succeeds does not bring it back.
    fn sync_data(&self) -> io::Result<()>;

    /// Reserves room for `len` bytes without changing the length; does nothing where that cannot be done.
    ///
    /// # Errors
    /// `StorageFull` or `QuotaExceeded` when there is no room.
    fn reserve(&self, len: u64) -> io::Result<()>;

    /// Starts writing a range back to the disk and drops it from the cache once it is there, so that a long upload
    /// neither fills the cache nor leaves its whole length to the last sync. Advice only: no effect on what is durable.
    fn write_behind(&self, offset: u64, len: u64);

    /// The open file itself, for `sendfile` and `pread`.
    ///
    /// # Errors
    /// Whatever the system says.
    fn as_file(&self) -> io::Result<Arc<File>>;
}

/// Whether an error says that a file does not take writes of a mode, which says nothing about its bytes.
pub fn refuses_mode(error: &io::Error) -> bool {
    match error.raw_os_error() {
        Some(number) => [Errno::INVAL, Errno::OPNOTSUPP]
            .iter()
            .any(|refusal| number == refusal.raw_os_error()),
        // A file that could not be opened for it.
        None => error.kind() == io::ErrorKind::Unsupported,
    }
}

/// What is at a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stat {
    /// Which file it is, among those that exist now: two names with the same identity are one file.
    pub identity: (u64, u64),
    /// Length in bytes.
    pub len: u64,
    /// Whether it is a regular file.
    pub is_file: bool,
}

/// Room on a file system, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Space {
    /// All of it.
    pub total: u64,
    /// What this process may still use.
    pub free: u64,
}
