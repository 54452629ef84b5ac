//! Whether files are still what they were, without reading them.

use std::{
    fs, io,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use super::files::{PolicyFiles, entries};

/// Two changes this close to each other may bear the same time: kernels count in ticks, some file systems in whole
/// seconds. What changed more recently is read, whatever its stamp.
const COARSEST_CLOCK: Duration = Duration::from_secs(2);

/// One file or directory, symbolic links followed. Every change of a file's content changes its stamp, also one that
/// puts back an older file with its times, and so does another file behind the same link.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stamp {
    Absent,
    /// It cannot be looked at.
    Hidden(io::ErrorKind),
    Present {
        device: u64,
        inode: u64,
        size: u64,
        modified: (i64, i64),
        /// Of content, name or rights: cannot be set to a time of choice.
        changed: (i64, i64),
    },
}

impl Stamp {
    fn of(path: &Path) -> Self {
        match fs::metadata(path) {
            Ok(metadata) => Self::Present {
                device: metadata.dev(),
                inode: metadata.ino(),
                size: metadata.size(),
                modified: (metadata.mtime(), metadata.mtime_nsec()),
                changed: (metadata.ctime(), metadata.ctime_nsec()),
            },
            Err(error) if error.kind() == io::ErrorKind::NotFound => Self::Absent,
            Err(error) => Self::Hidden(error.kind()),
        }
    }

    fn is_older_than(&self, limit: Duration) -> bool {
        match self {
            Self::Absent | Self::Hidden(_) => true,
            Self::Present {
                changed: (seconds, _),
                ..
            } => u64::try_from(*seconds).is_ok_and(|seconds| Duration::from_secs(seconds) < limit),
        }
    }
}

/// All that decides what the policy files say.
#[derive(Debug, Clone)]
pub(super) struct Stamps {
    stamps: Vec<(PathBuf, Stamp)>,
    settled: bool,
}

impl Stamps {
    /// To be taken before the files are read: what changes meanwhile is then noticed afterwards.
    pub(super) fn take(files: &PolicyFiles) -> Self {
        let mut paths = Vec::new();
        for source in files.sources() {
            let found = source.found();
            paths.extend_from_slice(source.decisive(found));
            let directory = found
                .filter(|_| source.is_directory())
                .and_then(|index| source.place(index));
            if let Some(directory) = directory {
                // A directory that cannot be listed is reported by whoever reads it.
                paths.extend(entries(directory).unwrap_or_default());
            }
        }
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let limit = now.saturating_sub(COARSEST_CLOCK);
        let stamps: Vec<_> = paths
            .into_iter()
            .map(|path| {
                let stamp = Stamp::of(&path);
                (path, stamp)
            })
            .collect();
        Self {
            settled: stamps.iter().all(|(_, stamp)| stamp.is_older_than(limit)),
            stamps,
        }
    }

    /// Whether everything is certainly as it was. One system call for each file, directory and place where one could
    /// appear.
    pub(super) fn hold(&self) -> bool {
        self.settled && self.stamps.iter().all(|(path, stamp)| Stamp::of(path) == *stamp)
    }

    /// From now on nothing is certain.
    pub(super) fn distrust(&mut self) {
        self.settled = false;
    }
}
