//! A file system that fills up: a tmpfs that only the daemon sees, gone with it.

use super::{Daemon, Setup};
use std::{ffi::OsString, path::PathBuf};
use tempfile::TempDir;

/// A directory that is a small file system of its own, for a daemon started [`through`](Setup::through) it.
pub(crate) struct SmallDisk {
    mount: TempDir,
    options: String,
}

impl SmallDisk {
    /// Of so many MiB.
    pub(crate) fn of_mib(mib: u32) -> Self {
        Self {
            mount: tempfile::Builder::new()
                .prefix("saccade-disk-")
                .tempdir()
                .unwrap(),
            options: format!("size={mib}m,mode=700"),
        }
    }

    /// As the daemon sees it.
    pub(crate) fn path(&self) -> PathBuf {
        self.mount.path().to_owned()
    }

    /// As the test sees it, while the daemon runs.
    pub(crate) fn seen_from_outside(&self, daemon: &Daemon) -> PathBuf {
        let root = format!("/proc/{}/root", daemon.pid().as_raw_nonzero());
        PathBuf::from(root).join(self.mount.path().strip_prefix("/").unwrap())
    }

    /// A setup whose daemon sees it. Needs either root or user namespaces; without them the daemon does not start, and
    /// the test fails.
    pub(crate) fn setup(&self, setup: Setup) -> Setup {
        let mut words: Vec<OsString> = vec!["unshare".into()];
        if !rustix::process::geteuid().is_root() {
            words.extend(["--user".into(), "--map-root-user".into()]);
        }
        let mount = r#"mount -t tmpfs -o "$1" tmpfs "$2" && shift 2 && exec "$@""#;
        words.extend(["--mount", "sh", "-c", mount, "sh", &self.options].map(OsString::from));
        words.push(self.path().into());
        setup.through(words)
    }
}
