//! Making sure, at the start, that a directory can hold a store.

use std::{
    io,
    path::{Path, PathBuf},
};

use saccade_disk::{Disk, DiskFile, WriteMode};

use crate::{
    engine::Engine,
    layout::RESERVED,
    mode::{self, WriteChoice},
};

/// How often to begin again when another daemon tries the same directory at the same moment.
const TRIES: usize = 16;

/// What a file store is made of.
#[derive(Debug, Clone)]
pub struct FileStoreConfig {
    /// Its name in the configuration; for errors and logs.
    pub id: String,
    /// `filesystem_store_datadir`: an absolute path. A symbolic link to a directory will do.
    pub datadir: PathBuf,
    /// `filesystem_store_file_perm`: permission bits of each blob, whatever the umask; `None` leaves them to the umask,
    /// from 0666.
    pub file_mode: Option<u32>,
    /// `filesystem_thin_provisioning`: whether zeroes become holes.
    pub thin_provisioning: bool,
    /// How bytes get to the disk.
    pub write: WriteChoice,
    /// Who writes them.
    pub engine: Engine,
}

impl FileStoreConfig {
    /// A store in this directory, the rest as when nothing is said.
    pub fn new(id: impl Into<String>, datadir: impl Into<PathBuf>) -> Self {
        Self {
            id: id.into(),
            datadir: datadir.into(),
            file_mode: None,
            thin_provisioning: false,
            write: WriteChoice::default(),
            engine: Engine::default(),
        }
    }
}

/// Why a store cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The path is not one that locations can name.
    #[error("{} cannot be the directory of a file store: {reason}", path.display())]
    Path {
        /// The path.
        path: PathBuf,
        /// Why.
        reason: &'static str,
    },
    /// Not one directory.
    #[error("a file store needs a directory")]
    NoDirectory,
    /// Two directories are one: by a symbolic link, or mounted twice.
    #[error(
        "{} and {} are one directory: a file store needs each of its directories for itself",
        path.display(), other.display()
    )]
    SameDirectory {
        /// The one.
        path: PathBuf,
        /// The other.
        other: PathBuf,
    },
    /// The directory or one above it is missing and could not be made.
    #[error("the directory {} could not be made", path.display())]
    Create {
        /// The directory.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// No file can be made in the directory, or the configured permissions cannot be given to it.
    #[error("the directory {} is not writable for the daemon", path.display())]
    NotWritable {
        /// The directory.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The file system refuses the way of writing that is configured.
    #[error("the file system of {} takes no writes of the mode {mode}", path.display())]
    WriteMode {
        /// The directory.
        path: PathBuf,
        /// What is configured.
        mode: WriteMode,
        /// What the system said.
        source: io::Error,
    },
    /// The file system has no hard links, which blobs are published by.
    #[error("the file system of {} has no hard links, which a file store publishes images by", path.display())]
    NoHardLinks {
        /// The directory.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

/// What was found out of a directory.
#[derive(Debug)]
pub(crate) struct Found {
    /// Which one it is: its device and its inode.
    pub(crate) identity: (u64, u64),
    /// How files in it are written.
    pub(crate) write_mode: WriteMode,
}

/// Makes the directory if need be, and tries it.
pub(crate) fn prepare(
    disk: &dyn Disk,
    directory: &Path,
    file_mode: Option<u32>,
    write: WriteChoice,
) -> Result<Found, OpenError> {
    let not_writable = |source| OpenError::NotWritable {
        path: directory.to_owned(),
        source,
    };
    make(disk, directory)?;
    disk.check_writable(directory).map_err(not_writable)?;
    let tried = try_file(disk, directory, file_mode, write);
    // What was tried is gone for good, also when the start is refused.
    let synced = disk.sync_dir(directory).map_err(not_writable);
    let write_mode = tried.and_then(|mode| synced.map(|()| mode))?;
    Ok(Found {
        identity: identity(disk, directory).map_err(not_writable)?,
        write_mode,
    })
}

/// Which directory it is, also by way of a link: its device and its inode.
pub(crate) fn identity(disk: &dyn Disk, directory: &Path) -> io::Result<(u64, u64)> {
    Ok(disk.stat(&directory.join("."))?.identity)
}

/// Makes a directory and those above it, each durable before the next.
fn make(disk: &dyn Disk, directory: &Path) -> Result<(), OpenError> {
    let fail = |path: &Path, source| OpenError::Create {
        path: path.to_owned(),
        source,
    };
    let mut missing = Vec::new();
    for ancestor in directory.ancestors() {
        match disk.stat(ancestor) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => missing.push(ancestor),
            Err(error) => return Err(fail(ancestor, error)),
            Ok(_) => {
                // An earlier start may have made it and been killed before it was durable. One that was there before
                // us may have a parent that we must not read, and then somebody else has made it.
                if let Some(parent) = ancestor.parent() {
                    match disk.sync_dir(parent) {
                        Err(error) if error.kind() != io::ErrorKind::PermissionDenied => {
                            return Err(fail(ancestor, error));
                        }
                        _ => (),
                    }
                }
                break;
            }
        }
    }
    for path in missing.into_iter().rev() {
        match disk.create_dir(path) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(fail(path, error)),
            _ => (),
        }
        let parent = path.parent().unwrap_or(Path::new("/"));
        disk.sync_dir(parent).map_err(|source| fail(path, source))?;
    }
    Ok(())
}

/// Makes a file, writes to it and gives it a second name, as an upload does, and removes both names. Returns how it is written.
///
/// The names are fixed, so that a start after a crash removes what the crash has left, and shared by all daemons on the
/// directory: each step takes it that another may be at the same one.
fn try_file(
    disk: &dyn Disk,
    directory: &Path,
    file_mode: Option<u32>,
    write: WriteChoice,
) -> Result<WriteMode, OpenError> {
    let path = || directory.to_owned();
    let file = directory.join(format!("{RESERVED}probe"));
    let link = directory.join(format!("{RESERVED}probe.link"));
    let mut linked = Err(io::ErrorKind::NotFound.into());
    let mut chosen = Ok(WriteMode::Buffered);
    for _ in 0..TRIES {
        let (probe, is_ours): (Box<dyn DiskFile>, bool) = match disk.create_new(&file, 0o600) {
            Ok(made) => (made, true),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => match disk.open_writable(&file) {
                Ok(found) => (found, false),
                // Another daemon has removed it: again.
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                // Left with permissions that let nobody write: it goes, which is up to the directory.
                Err(error) if error.kind() == io::ErrorKind::PermissionDenied => match disk.unlink(&file) {
                    Err(source) if source.kind() != io::ErrorKind::NotFound => {
                        return Err(OpenError::NotWritable { path: path(), source });
                    }
                    _ => continue,
                },
                Err(source) => return Err(OpenError::NotWritable { path: path(), source }),
            },
            Err(source) => return Err(OpenError::NotWritable { path: path(), source }),
        };
        chosen = mode::choose(disk, directory, &*probe, write);
        // After that: they may not let anybody write.
        if let Some(mode) = file_mode.filter(|_| is_ours)
            && let Err(source) = probe.set_mode(mode)
        {
            // The next start removes the file, should this fail.
            let _ = disk.unlink(&file);
            return Err(OpenError::NotWritable { path: path(), source });
        }
        linked = disk.link(&file, &link);
        match &linked {
            // As above.
            Err(error) if error.kind() == io::ErrorKind::NotFound => (),
            _ => break,
        }
    }
    for name in [&link, &file] {
        match disk.unlink(name) {
            Err(error) if error.kind() != io::ErrorKind::NotFound && linked.is_ok() => {
                return Err(OpenError::NotWritable {
                    path: path(),
                    source: error,
                });
            }
            _ => (),
        }
    }
    match linked {
        // A link that is there already was made by a link.
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => (),
        Err(source) => return Err(OpenError::NoHardLinks { path: path(), source }),
        Ok(()) => (),
    }
    chosen.map_err(|source| OpenError::WriteMode {
        path: path(),
        mode: match write {
            WriteChoice::Always(mode) => mode,
            WriteChoice::Auto => WriteMode::Buffered,
        },
        source,
    })
}
