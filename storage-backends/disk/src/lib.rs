//! The few system calls of whoever writes durably, behind a trait.
//!
//! Two parts of Saccade promise that what they acknowledged survives a power cut: the file store and the ledger. They
//! make their system calls through [`Disk`], so that a test can put a disk beneath them that forgets everything that
//! was not synced (data, names, directory entries) and look at what remains after each call.
//!
//! All calls block. Paths are absolute. Nothing here retries, and a failed sync is final: after it, what reached the disk
//! is unknown, and the file must be discarded.

use std::{fmt, fs::File, io, path::Path, sync::Arc};

mod real;
#[cfg(feature = "simulated")]
pub mod simulated;

pub use real::RealDisk;

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
}

/// An open file.
pub trait DiskFile: fmt::Debug + Send + Sync {
    /// Writes all of `bytes` at `offset`.
    ///
    /// # Errors
    /// A part may have been written.
    fn write_all_at(&self, bytes: &[u8], offset: u64) -> io::Result<()>;

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
