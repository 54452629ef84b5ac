//! A disk in memory that loses what was not synced.
//!
//! It keeps two states: the one that running programs see, and the one that a power cut leaves. A file's bytes and
//! length pass from the first to the second by [`DiskFile::sync_data`]; a name, also a directory's own, by
//! [`Disk::sync_dir`] of the directory that holds it. What is in between may be on the disk or not, and
//! [`SimulatedDisk::after_crash`] shows what the next start may find: nothing of it, all of it, or an arbitrary part.
//!
//! It is an adversary, not a copy of one file system. It gives the inode number of a removed file to the next one; it
//! keeps or loses each unsynced change of a name by itself, in no order; after a failed data sync, a later one succeeds
//! and saves nothing, as Linux does once it has marked the dirty pages clean.
//!
//! Everything is deterministic: the same calls, faults and seed give the same disk.

use std::{
    fs::File,
    io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

mod crash;
mod state;
#[cfg(test)]
mod tests;

use self::state::{Open, State};
use crate::{BLOCK, Disk, DiskFile, Space, Stat, WriteMode};

/// A disk in memory that loses what was not synced. Clones are the same disk.
#[derive(Debug, Clone, Default)]
pub struct SimulatedDisk(Arc<Mutex<State>>);

/// What happens at a call instead of success.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// The call fails with this error number and changes nothing.
    Fail(i32),
    /// A write puts the first half of its bytes in place, then fails with this error number; any other call is as with
    /// [`Fault::Fail`].
    Partial(i32),
    /// The call takes effect, then fails with this error number: a lost reply of a network file system.
    Unknown(i32),
}

/// What a power cut does to that which was not synced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Loss {
    /// It is all forgotten.
    Everything,
    /// It had all reached the disk.
    Nothing,
    /// Each change of a name is kept or forgotten; each file's bytes are kept, forgotten, replaced by zeroes, or a mixture
    /// of these by sector. The seed decides.
    Seeded(u64),
}

/// Number of `ENOSPC`.
pub const NO_SPACE: i32 = rustix::io::Errno::NOSPC.raw_os_error();
/// Number of `EIO`.
pub const IO_ERROR: i32 = rustix::io::Errno::IO.raw_os_error();
/// Number of `EACCES`.
pub const ACCESS_DENIED: i32 = rustix::io::Errno::ACCESS.raw_os_error();
/// Number of `EPERM`: what `link` says on a file system without hard links.
pub const NOT_PERMITTED: i32 = rustix::io::Errno::PERM.raw_os_error();

impl SimulatedDisk {
    /// An empty disk: a root directory, one TiB of room.
    pub fn new() -> Self {
        Self::default()
    }

    /// How many calls that change something were made; failed ones count.
    pub fn calls(&self) -> u64 {
        self.state().calls
    }

    /// Lets `calls` more changing calls pass and then cuts the power: whatever is called after that fails, and changes
    /// nothing.
    pub fn crash_after(&self, calls: u64) {
        let mut state = self.state();
        state.crash_at = Some(state.calls.saturating_add(calls));
    }

    /// Whether the power was cut.
    pub fn has_crashed(&self) -> bool {
        self.state().off
    }

    /// Puts a fault at the `nth` changing call from now; 1 is the next one.
    pub fn fail(&self, nth: u64, fault: Fault) {
        let mut state = self.state();
        let call = state.calls.saturating_add(nth);
        state.faults.insert(call, fault);
    }

    /// Takes back the faults, and the power cut, that have not come yet.
    pub fn heal(&self) {
        let mut state = self.state();
        state.faults.clear();
        state.crash_at = None;
        state.links_refused = None;
    }

    /// Makes every `link` from now on fail with this error number, as file systems without hard links do.
    pub fn refuse_links(&self, errno: i32) {
        self.state().links_refused = Some(errno);
    }

    /// Makes every write of a mode from now on fail as file systems do that do not have it: before it has written anything.
    pub fn refuse_mode(&self, mode: WriteMode) {
        self.state().modes_refused.push(mode);
    }

    /// How many bytes were written in a mode so far.
    pub fn written_in(&self, mode: WriteMode) -> u64 {
        let state = self.state();
        let of_mode = state.written.iter().filter(|(written, _)| *written == mode);
        of_mode.fold(0, |sum, (_, bytes)| sum.saturating_add(*bytes))
    }

    /// Sets what [`Disk::space`] says. Nothing is refused for want of room; faults do that.
    pub fn set_space(&self, space: Space) {
        self.state().space = space;
    }

    /// Sets whether [`Disk::check_writable`] agrees. Nothing else is refused; faults do that.
    pub fn set_writable(&self, writable: bool) {
        self.state().read_only = !writable;
    }

    /// The disk as the next start may find it when the power is cut now, or was by [`SimulatedDisk::crash_after`].
    /// This one is unchanged; the new one has no faults, and all that is on it is durable.
    #[must_use]
    pub fn after_crash(&self, loss: Loss) -> Self {
        Self(Arc::new(Mutex::new(crash::restart(&self.state(), loss))))
    }

    /// Puts a durable file there, replacing whatever is, and the directories that it needs; not counted as calls.
    ///
    /// # Errors
    /// When the path goes through a file.
    pub fn plant(&self, path: &Path, bytes: &[u8]) -> io::Result<()> {
        self.state().plant(path, bytes)
    }

    /// Every file that has a name now, with its bytes, in order of path.
    pub fn files(&self) -> Vec<(PathBuf, Vec<u8>)> {
        self.state().files()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes one changing call, with the fault that is due at it. `partial` is what a [`Fault::Partial`] does.
    fn change<T>(
        &self,
        whole: impl FnOnce(&mut State) -> io::Result<T>,
        partial: impl FnOnce(&mut State),
    ) -> io::Result<T> {
        let mut state = self.state();
        match state.count()? {
            None => whole(&mut state),
            Some(Fault::Fail(errno)) => Err(io::Error::from_raw_os_error(errno)),
            Some(Fault::Partial(errno)) => {
                partial(&mut state);
                Err(io::Error::from_raw_os_error(errno))
            }
            Some(Fault::Unknown(errno)) => {
                whole(&mut state)?;
                Err(io::Error::from_raw_os_error(errno))
            }
        }
    }

    fn look<T>(&self, look: impl FnOnce(&State) -> io::Result<T>) -> io::Result<T> {
        let state = self.state();
        state.alive()?;
        look(&state)
    }

    fn file(&self, open: Open) -> Box<dyn DiskFile> {
        Box::new(SimulatedFile {
            disk: self.clone(),
            open,
        })
    }
}

impl Disk for SimulatedDisk {
    fn create_new(&self, path: &Path, _mode: u32) -> io::Result<Box<dyn DiskFile>> {
        self.change(|state| state.create(path), |_| ())
            .map(|open| self.file(open))
    }

    fn open(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        let open = {
            let mut state = self.state();
            state.alive()?;
            state.open(path)?
        };
        Ok(self.file(open))
    }

    fn open_writable(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        self.open(path)
    }

    fn stat(&self, path: &Path) -> io::Result<Stat> {
        self.look(|state| state.stat(path))
    }

    fn link(&self, existing: &Path, new: &Path) -> io::Result<()> {
        self.change(|state| state.link(existing, new), |_| ())
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.change(|state| state.rename(from, to), |_| ())
    }

    fn unlink(&self, path: &Path) -> io::Result<()> {
        self.change(|state| state.unlink(path), |_| ())
    }

    fn create_dir(&self, path: &Path) -> io::Result<()> {
        self.change(|state| state.create_dir(path), |_| ())
    }

    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        self.change(|state| state.sync_dir(path), |_| ())
    }

    fn check_writable(&self, directory: &Path) -> io::Result<()> {
        self.look(|state| {
            state.directory(directory)?;
            if state.read_only {
                Err(io::ErrorKind::PermissionDenied.into())
            } else {
                Ok(())
            }
        })
    }

    fn space(&self, path: &Path) -> io::Result<Space> {
        self.look(|state| state.stat(path).map(|_| state.space))
    }

    fn favours_direct_writes(&self, _directory: &Path) -> bool {
        true
    }
}

#[derive(Debug)]
struct SimulatedFile {
    disk: SimulatedDisk,
    open: Open,
}

impl DiskFile for SimulatedFile {
    fn write_all_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        let (half, _) = bytes.split_at(bytes.len() / 2);
        self.disk.change(
            |state| state.write(&self.open, bytes, offset),
            // A disk in memory has no way to fail in the half; the fault's own error is reported anyway.
            |state| drop(state.write(&self.open, half, offset)),
        )
    }

    /// As strict as any disk about direct writes.
    fn write_pieces_at(&self, pieces: &[&[u8]], offset: u64, mode: WriteMode) -> io::Result<()> {
        let block = u64::try_from(BLOCK).unwrap_or(u64::MAX);
        let is_whole =
            |piece: &&[u8]| piece.as_ptr().addr().is_multiple_of(BLOCK) && piece.len().is_multiple_of(BLOCK);
        let is_aligned = offset.is_multiple_of(block) && pieces.iter().all(is_whole);
        if self.disk.state().modes_refused.contains(&mode) {
            return Err(rustix::io::Errno::OPNOTSUPP.into());
        }
        if mode == WriteMode::Direct && !is_aligned {
            return Err(rustix::io::Errno::INVAL.into());
        }
        let bytes = pieces.concat();
        self.write_all_at(&bytes, offset)?;
        let len = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        self.disk.state().written.push((mode, len));
        Ok(())
    }

    fn writable(&self, _mode: WriteMode) -> Option<io::Result<Arc<File>>> {
        None
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        self.disk.look(|state| state.read(&self.open, buffer, offset))
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.disk.change(|state| state.set_len(&self.open, len), |_| ())
    }

    fn set_mode(&self, _mode: u32) -> io::Result<()> {
        self.disk.change(|_| Ok(()), |_| ())
    }

    fn size(&self) -> io::Result<u64> {
        self.disk.look(|state| state.size(&self.open))
    }

    fn sync_data(&self) -> io::Result<()> {
        let mut state = self.disk.state();
        match state.count() {
            Ok(None) => state.sync_data(&self.open),
            Ok(Some(Fault::Unknown(errno))) => {
                state.sync_data(&self.open)?;
                Err(io::Error::from_raw_os_error(errno))
            }
            Ok(Some(Fault::Fail(errno) | Fault::Partial(errno))) => {
                state.lose_sync(&self.open)?;
                Err(io::Error::from_raw_os_error(errno))
            }
            Err(off) => Err(off),
        }
    }

    fn reserve(&self, _len: u64) -> io::Result<()> {
        self.disk.change(|_| Ok(()), |_| ())
    }

    fn write_behind(&self, _offset: u64, _len: u64) {}

    /// A copy of the bytes as they are now, in a file of the machine that has no name.
    fn as_file(&self) -> io::Result<Arc<File>> {
        let bytes = self.disk.look(|state| state.bytes(&self.open))?;
        let copy = File::from(rustix::fs::memfd_create(
            "simulated",
            rustix::fs::MemfdFlags::CLOEXEC,
        )?);
        std::os::unix::fs::FileExt::write_all_at(&copy, &bytes, 0)?;
        Ok(Arc::new(copy))
    }
}
