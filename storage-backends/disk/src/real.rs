//! The disk of this machine.

use std::{
    error, fmt,
    fs::{self, DirBuilder, File, OpenOptions},
    io::{self, IoSlice},
    os::{
        fd::AsRawFd,
        unix::fs::{FileExt, MetadataExt, OpenOptionsExt, PermissionsExt},
    },
    path::Path,
    sync::{Arc, OnceLock},
};

use rustix::{
    fs::{Access, Advice, FallocateFlags, OFlags, access, fadvise, fallocate, statfs, statvfs},
    io::{Errno, ReadWriteFlags, pwritev2},
};

use crate::{Disk, DiskFile, Space, Stat, WriteMode, refuses_mode};

/// The disk of this machine.
#[derive(Debug, Clone, Copy, Default)]
pub struct RealDisk;

#[derive(Debug)]
struct RealFile {
    file: Arc<File>,
    /// The same file with `O_DIRECT`, once there was a write for it; or the number of the error that it could not be had for.
    direct: OnceLock<Result<Arc<File>, i32>>,
}

impl From<File> for RealFile {
    fn from(file: File) -> Self {
        Self {
            file: Arc::new(file),
            direct: OnceLock::new(),
        }
    }
}

/// The file could not be opened a second time.
#[derive(Debug)]
struct NoDirect(io::Error);

impl fmt::Display for NoDirect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the file could not be opened for direct writes")
    }
}

impl error::Error for NoDirect {
    fn source(&self) -> Option<&(dyn error::Error + 'static)> {
        Some(&self.0)
    }
}

/// Bit of `RWF_DONTCACHE` in `pwritev2`, which rustix does not name yet (`linux/fs.h`).
const DONTCACHE: ReadWriteFlags = ReadWriteFlags::from_bits_retain(0x80);

/// Most pieces of one `pwritev2` (`IOV_MAX`).
const MOST_PIECES: usize = 1024;

/// File systems that lie on a disk of this machine and take direct writes as they are: ext4 (and its ancestors), XFS, F2FS.
/// (`linux/magic.h`.) Not Btrfs, which copies them where it keeps checksums.
const DIRECT: [u64; 3] = [0xEF53, 0x5846_5342, 0xF2F5_2010];

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
        Ok(Box::new(RealFile::from(file)))
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

    fn favours_direct_writes(&self, directory: &Path) -> bool {
        // The type of `f_type` is not the same on all machines; all of these fit into any.
        statfs(directory).is_ok_and(|found| DIRECT.contains(&((found.f_type as u64) & 0xFFFF_FFFF)))
    }
}

fn open_regular(path: &Path, options: &mut OpenOptions) -> io::Result<Box<dyn DiskFile>> {
    let file = options.custom_flags(NO_FOLLOW).open(path)?;
    if !file.metadata()?.is_file() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "not a regular file"));
    }
    Ok(Box::new(RealFile::from(file)))
}

impl RealFile {
    /// The descriptor for a mode.
    ///
    /// Direct writes have one of their own beside that of the rest: what is no whole block goes through the page cache, and
    /// with two there is no moment at which one descriptor is in the other's mode. One inode has the sizes, the errors and the
    /// syncs of both.
    fn of_mode(&self, mode: WriteMode) -> io::Result<&Arc<File>> {
        if mode != WriteMode::Direct {
            return Ok(&self.file);
        }
        let open = || {
            // The path in /proc leads to this file, also when its name has gone to another one.
            let path = format!("/proc/self/fd/{}", self.file.as_raw_fd());
            OpenOptions::new()
                .write(true)
                .custom_flags((OFlags::DIRECT | OFlags::CLOEXEC).bits().cast_signed())
                .open(path)
                .map(Arc::new)
                .map_err(|error| error.raw_os_error().unwrap_or(Errno::OPNOTSUPP.raw_os_error()))
        };
        let direct = self.direct.get_or_init(open).as_ref();
        direct.map_err(|number| {
            let error = io::Error::from_raw_os_error(*number);
            if refuses_mode(&error) {
                return error;
            }
            // Whatever the reason is, other modes do without it: as where the file system refuses.
            io::Error::new(io::ErrorKind::Unsupported, NoDirect(error))
        })
    }
}

impl DiskFile for RealFile {
    fn write_all_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.file.write_all_at(bytes, offset)
    }

    fn write_pieces_at(&self, pieces: &[&[u8]], mut offset: u64, mode: WriteMode) -> io::Result<()> {
        let flags = match mode {
            WriteMode::DontCache => DONTCACHE,
            WriteMode::Buffered | WriteMode::Direct => ReadWriteFlags::empty(),
        };
        let file = self.of_mode(mode)?;
        for pieces in pieces.chunks(MOST_PIECES) {
            let mut slices: Vec<IoSlice<'_>> = pieces.iter().map(|piece| IoSlice::new(piece)).collect();
            let mut slices = slices.as_mut_slice();
            // Takes away what is empty.
            IoSlice::advance_slices(&mut slices, 0);
            while !slices.is_empty() {
                match pwritev2(file, slices, offset, flags) {
                    Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                    Ok(written) => {
                        IoSlice::advance_slices(&mut slices, written);
                        offset = u64::try_from(written)
                            .ok()
                            .and_then(|written| offset.checked_add(written))
                            .ok_or(io::ErrorKind::FileTooLarge)?;
                    }
                    Err(Errno::INTR) => (),
                    Err(error) => return Err(error.into()),
                }
            }
        }
        Ok(())
    }

    fn writable(&self, mode: WriteMode) -> Option<io::Result<Arc<File>>> {
        Some(self.of_mode(mode).map(Arc::clone))
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        self.file.read_at(buffer, offset)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.file.set_len(len)
    }

    fn set_mode(&self, mode: u32) -> io::Result<()> {
        self.file.set_permissions(fs::Permissions::from_mode(mode))
    }

    fn size(&self) -> io::Result<u64> {
        Ok(self.file.metadata()?.len())
    }

    fn sync_data(&self) -> io::Result<()> {
        self.file.sync_data()
    }

    fn reserve(&self, len: u64) -> io::Result<()> {
        match fallocate(&*self.file, FallocateFlags::KEEP_SIZE, 0, len) {
            Err(full @ (Errno::NOSPC | Errno::DQUOT)) => Err(full.into()),
            // Not every file system can; the writes themselves will tell.
            Ok(()) | Err(_) => Ok(()),
        }
    }

    fn write_behind(&self, offset: u64, len: u64) {
        // DONTNEED starts writeback of dirty pages and drops the clean ones, so that calling it for a window that was
        // started earlier drops it. Errors mean only that the cache keeps more.
        let len = std::num::NonZeroU64::new(len);
        let _ = fadvise(&*self.file, offset, len, Advice::DontNeed);
    }

    fn as_file(&self) -> io::Result<Arc<File>> {
        Ok(Arc::clone(&self.file))
    }
}
