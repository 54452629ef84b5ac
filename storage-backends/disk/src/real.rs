//! The disk of this machine.

use std::{
    fs::{self, DirBuilder, File, OpenOptions},
    io,
    os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt, PermissionsExt},
    path::Path,
    sync::Arc,
};

use rustix::{
    fs::{Access, Advice, FallocateFlags, OFlags, access, fadvise, fallocate, statvfs},
    io::Errno,
};

use crate::{Disk, DiskFile, Space, Stat};

/// The disk of this machine.
#[derive(Debug, Clone, Copy, Default)]
pub struct RealDisk;

#[derive(Debug)]
struct RealFile(Arc<File>);

/// Flags for every open: a name that turns out to be a link or a device is not what we made.
const NO_FOLLOW: i32 =
    (OFlags::NOFOLLOW.bits() | OFlags::CLOEXEC.bits() | OFlags::NONBLOCK.bits()).cast_signed();

impl Disk for RealDisk {
    fn create_new(&self, path: &Path, mode: u32) -> io::Result<Box<dyn DiskFile>> {
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create_new(true)
            .mode(mode)
            .open(path)?;
        Ok(Box::new(RealFile(Arc::new(file))))
    }

    fn open(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        open_regular(path, OpenOptions::new().read(true))
    }

    fn open_writable(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        open_regular(path, OpenOptions::new().read(true).write(true))
    }

    fn stat(&self, path: &Path) -> io::Result<Stat> {
        let found = fs::symlink_metadata(path)?;
        Ok(Stat {
            identity: (found.dev(), found.ino()),
            len: found.len(),
            is_file: found.is_file(),
        })
    }

    fn link(&self, existing: &Path, new: &Path) -> io::Result<()> {
        fs::hard_link(existing, new)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)
    }

    fn unlink(&self, path: &Path) -> io::Result<()> {
        fs::remove_file(path)
    }

    fn create_dir(&self, path: &Path) -> io::Result<()> {
        DirBuilder::new().create(path)
    }

    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        File::open(path)?.sync_all()
    }

    fn check_writable(&self, directory: &Path) -> io::Result<()> {
        Ok(access(directory, Access::WRITE_OK | Access::EXEC_OK)?)
    }

    fn space(&self, path: &Path) -> io::Result<Space> {
        let found = statvfs(path)?;
        Ok(Space {
            total: found.f_blocks.saturating_mul(found.f_frsize),
            free: found.f_bavail.saturating_mul(found.f_frsize),
        })
    }
}

fn open_regular(path: &Path, options: &mut OpenOptions) -> io::Result<Box<dyn DiskFile>> {
    let file = options.custom_flags(NO_FOLLOW).open(path)?;
    if !file.metadata()?.is_file() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "not a regular file"));
    }
    Ok(Box::new(RealFile(Arc::new(file))))
}

impl DiskFile for RealFile {
    fn write_all_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.0.write_all_at(bytes, offset)
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        self.0.read_at(buffer, offset)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.0.set_len(len)
    }

    fn set_mode(&self, mode: u32) -> io::Result<()> {
        self.0.set_permissions(fs::Permissions::from_mode(mode))
    }

    fn size(&self) -> io::Result<u64> {
        Ok(self.0.metadata()?.len())
    }

    fn sync_data(&self) -> io::Result<()> {
        self.0.sync_data()
    }

    fn reserve(&self, len: u64) -> io::Result<()> {
        match fallocate(&*self.0, FallocateFlags::KEEP_SIZE, 0, len) {
            Err(full @ (Errno::NOSPC | Errno::DQUOT)) => Err(full.into()),
            // Not every file system can; the writes themselves will tell.
            Ok(()) | Err(_) => Ok(()),
        }
    }

    fn write_behind(&self, offset: u64, len: u64) {
        // DONTNEED starts writeback of dirty pages and drops the clean ones, so that calling it for a window that was
        // started earlier drops it. Errors mean only that the cache keeps more.
        let len = std::num::NonZeroU64::new(len);
        let _ = fadvise(&*self.0, offset, len, Advice::DontNeed);
    }

    fn as_file(&self) -> io::Result<Arc<File>> {
        Ok(Arc::clone(&self.0))
    }
}
