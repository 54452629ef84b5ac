//! The data directory: made, locked for one daemon, and the node's name kept in it.

use crate::image::NodeId;
use std::{
    fs::{self, DirBuilder, File, OpenOptions, TryLockError},
    io::{self, Read, Write},
    os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

const LOCK: &str = "lock";
const NODE_ID: &str = "node-id";

/// The data directory, which no other daemon uses as long as this lives.
#[derive(Debug)]
pub struct DataDir {
    path: PathBuf,
    /// The kernel holds the lock until this is closed, also when the process is killed.
    _lock: File,
}

/// The data directory cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum DataDirError {
    /// A system call failed.
    #[error("data directory: cannot {action} {}", path.display())]
    Io {
        /// Such as `create`.
        action: &'static str,
        /// Of what.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Another daemon has it.
    #[error("data directory {}: in use by another saccade ({}); stop it, or give this one its own --data-dir",
        path.display(), holder.map_or_else(|| "process unknown".to_owned(), |pid| format!("process {pid}")))]
    InUse {
        /// The directory.
        path: PathBuf,
        /// The process id that the other has written down.
        holder: Option<u32>,
    },
    /// The file with the node's name holds something else.
    #[error("{}: holds no node id; restore it from a backup. A new id would leave this node's open uploads to nobody", path.display())]
    NoNodeId {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

fn failed<'a>(action: &'static str, path: &'a Path) -> impl FnOnce(io::Error) -> DataDirError + 'a {
    move |source| DataDirError::Io {
        action,
        path: path.to_owned(),
        source,
    }
}

impl DataDir {
    /// Makes the directory where it is missing, open to its owner only and synced, and locks it. Blocks.
    ///
    /// # Errors
    /// [`DataDirError::InUse`] if another process has it; otherwise what the system says. Directories made
    /// until then stay.
    pub fn open(path: &Path) -> Result<Self, DataDirError> {
        create(path)?;
        let lock_path = path.join(LOCK);
        let mut lock = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(&lock_path)
            .map_err(failed("open", &lock_path))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(DataDirError::InUse {
                    path: path.to_owned(),
                    holder: holder(&mut lock),
                });
            }
            Err(TryLockError::Error(source)) => return Err(failed("lock", &lock_path)(source)),
        }
        // For whoever is refused, and for people: no promise rests on it.
        lock.set_len(0)
            .and_then(|()| writeln!(lock, "{}", std::process::id()))
            .map_err(failed("write", &lock_path))?;
        Ok(Self {
            path: path.to_owned(),
            _lock: lock,
        })
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Whether users other than the owner and its group can look inside.
    #[must_use]
    pub fn is_open_to_others(&self) -> bool {
        fs::metadata(&self.path).is_ok_and(|metadata| metadata.mode() & 0o007 != 0)
    }

    /// This node's name: the one in the directory, or at the first start a new one, durable before it is
    /// returned. Blocks.
    ///
    /// # Errors
    /// [`DataDirError::NoNodeId`] for a file that holds anything else: it is left as it is.
    pub fn node_id(&self) -> Result<NodeId, DataDirError> {
        let path = self.path.join(NODE_ID);
        let text = match fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return self.new_node_id(&path),
            Err(error) if error.kind() == io::ErrorKind::InvalidData => {
                let source = error.into();
                return Err(DataDirError::NoNodeId { path, source });
            }
            Err(error) => return Err(failed("read", &path)(error)),
        };
        text.trim().parse().map_err(|error| DataDirError::NoNodeId {
            path,
            source: Box::new(error),
        })
    }

    fn new_node_id(&self, path: &Path) -> Result<NodeId, DataDirError> {
        let id = NodeId::random();
        let unfinished = self.path.join("node-id.new");
        let write = || {
            let mut file = OpenOptions::new()
                .write(true)
                .create(true)
                .truncate(true)
                .mode(0o600)
                .open(&unfinished)?;
            writeln!(file, "{id}")?;
            file.sync_all()?;
            fs::rename(&unfinished, path)?;
            sync_directory(&self.path)
        };
        write().map_err(failed("write", path))?;
        Ok(id)
    }
}

fn holder(lock: &mut File) -> Option<u32> {
    let mut text = String::new();
    lock.take(32).read_to_string(&mut text).ok()?;
    text.trim().parse().ok()
}

/// Makes what is missing of `path`, each directory's name durable in its parent.
fn create(path: &Path) -> Result<(), DataDirError> {
    let missing: Vec<&Path> = path
        .ancestors()
        .take_while(|ancestor| !ancestor.as_os_str().is_empty() && !ancestor.exists())
        .collect();
    for directory in missing.into_iter().rev() {
        match DirBuilder::new().mode(0o700).create(directory) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
                return Err(failed("create", directory)(error));
            }
            _ => {}
        }
        if let Some(parent) = directory.parent() {
            sync_directory(parent).map_err(failed("sync", parent))?;
        }
    }
    // Exists by now; says so if it is something else than a directory.
    fs::read_dir(path).map_err(failed("read", path))?;
    Ok(())
}

fn sync_directory(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().mode() & 0o7777
    }

    #[test]
    fn missing_directories_are_made_for_the_owner_alone() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("a/b");
        let dir = DataDir::open(&path).unwrap();
        assert_eq!(mode(&path), 0o700);
        assert_eq!(mode(&root.path().join("a")), 0o700);
        assert!(!dir.is_open_to_others());
    }

    #[test]
    fn an_existing_directory_keeps_its_mode() {
        let root = tempfile::tempdir().unwrap();
        fs::set_permissions(root.path(), PermissionsExt::from_mode(0o755)).unwrap();
        let dir = DataDir::open(root.path()).unwrap();
        assert_eq!(mode(root.path()), 0o755);
        assert!(dir.is_open_to_others());
    }

    #[test]
    fn a_second_daemon_is_refused_and_told_who_is_there() {
        let root = tempfile::tempdir().unwrap();
        let first = DataDir::open(root.path()).unwrap();
        let error = DataDir::open(root.path()).unwrap_err();
        let text = error.to_string();
        assert!(matches!(error, DataDirError::InUse { holder: Some(pid), .. } if pid == std::process::id()));
        assert!(
            text.contains(&format!("process {}", std::process::id())) && text.contains("--data-dir"),
            "{text}"
        );
        drop(first);
        DataDir::open(root.path()).expect("the lock ends with its holder");
    }

    #[test]
    fn a_node_keeps_its_id() {
        let root = tempfile::tempdir().unwrap();
        let id = DataDir::open(root.path()).unwrap().node_id().unwrap();
        let dir = DataDir::open(root.path()).unwrap();
        assert_eq!(dir.node_id().unwrap(), id);
        assert_eq!(mode(&root.path().join(NODE_ID)), 0o600);
        let other = tempfile::tempdir().unwrap();
        assert_ne!(DataDir::open(other.path()).unwrap().node_id().unwrap(), id);
    }

    #[test]
    fn an_interrupted_first_start_is_begun_again() {
        let root = tempfile::tempdir().unwrap();
        fs::write(root.path().join("node-id.new"), "3f9a").unwrap();
        let dir = DataDir::open(root.path()).unwrap();
        assert_eq!(dir.node_id().unwrap(), dir.node_id().unwrap());
        assert!(!root.path().join("node-id.new").exists());
    }

    #[test]
    fn a_damaged_node_id_stops_the_start_and_is_left_alone() {
        for damaged in [&b""[..], b"not-an-id\n", b"\xff\xfe"] {
            let root = tempfile::tempdir().unwrap();
            let file = root.path().join(NODE_ID);
            fs::write(&file, damaged).unwrap();
            let error = DataDir::open(root.path()).unwrap().node_id().unwrap_err();
            assert!(matches!(error, DataDirError::NoNodeId { .. }), "{error}");
            assert_eq!(fs::read(&file).unwrap(), damaged);
        }
    }

    #[test]
    fn a_file_in_the_place_of_the_directory_is_named() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("file");
        fs::write(&path, "").unwrap();
        let error = DataDir::open(&path).unwrap_err();
        assert!(error.to_string().contains(path.to_str().unwrap()), "{error}");
        let error = DataDir::open(&path.join("below")).unwrap_err();
        assert!(
            matches!(error, DataDirError::Io { action: "create", .. }),
            "{error}"
        );
    }
}
