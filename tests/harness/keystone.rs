//! Keystone, from pip, on SQLite: `tests/keystone/server.py` makes and serves it.

use super::{
    Client,
    daemon::free_address,
    service::{self, Service},
};
use rustix::fs::{FlockOperation, flock};
use sha2::{Digest, Sha256};
use std::{
    fs::{self, File},
    net::SocketAddr,
    path::{Path, PathBuf},
    process::Command,
    sync::{
        OnceLock,
        atomic::{AtomicU32, Ordering},
    },
};
use tempfile::TempDir;

/// Where `make keystone` has put Python.
///
/// # Panics
/// When it is not there: a test that needs it fails then, and is not skipped.
pub(crate) fn keystone_python() -> PathBuf {
    let directory = std::env::var_os("SACCADE_KEYSTONE").map_or_else(
        || Path::new(env!("CARGO_MANIFEST_DIR")).join(".venv-keystone/bin"),
        PathBuf::from,
    );
    let path = directory.join("python");
    assert!(
        path.exists(),
        "{} is missing: run `make keystone`, or `make test`, which does (SACCADE_KEYSTONE names another directory)",
        path.display()
    );
    path
}

fn script() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/keystone/server.py")
}

/// One Keystone, running or not. Dropped, it is killed.
pub(crate) struct Keystone {
    address: SocketAddr,
    directory: TempDir,
    options: Vec<String>,
    running: Option<Service>,
    regions: AtomicU32,
    pub(super) administrator: OnceLock<Client>,
}

impl Keystone {
    /// The one that every test may use and none may disturb. Users and projects that a test changes, it makes first.
    pub(crate) fn shared() -> &'static Self {
        static SHARED: OnceLock<Keystone> = OnceLock::new();
        SHARED.get_or_init(Self::own)
    }

    /// One of the test's own, to be killed and suspended.
    pub(crate) fn own() -> Self {
        Self::with_options(&[])
    }

    /// One with other options in `keystone.conf`: `token.expiration=60`.
    pub(crate) fn with_options(options: &[&str]) -> Self {
        let directory = run_directory();
        copy(&template(), &directory.path().join("keystone"));
        let mut keystone = Self {
            address: free_address(),
            directory,
            options: options.iter().map(|&option| option.to_owned()).collect(),
            running: None,
            regions: AtomicU32::new(1),
            administrator: OnceLock::new(),
        };
        keystone.start_again();
        keystone
    }

    /// After a kill, on the same port, with what it knew.
    pub(crate) fn start_again(&mut self) {
        assert!(self.running.is_none(), "started twice");
        let mut command = service::command(keystone_python());
        command
            .arg(script())
            .arg("serve")
            .arg(self.directory.path().join("keystone"))
            .arg(self.address.ip().to_string())
            .arg(self.address.port().to_string())
            .args(&self.options);
        clean(&mut command);
        let mut service = Service::spawn(command, &self.directory.path().join("log"));
        service.wait_for(self.address);
        self.running = Some(service);
    }

    /// Where it listens.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// `http://127.0.0.1:PORT`.
    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// SIGKILL: connections are refused.
    pub(crate) fn kill(&mut self) {
        self.running.take().expect("Keystone runs");
    }

    /// SIGSTOP: connections are taken, and nothing is answered.
    pub(crate) fn suspend(&self) {
        self.running.as_ref().expect("Keystone runs").suspend();
    }

    /// SIGCONT.
    pub(crate) fn resume(&self) {
        self.running.as_ref().expect("Keystone runs").resume();
    }

    /// The name of a region that no other test uses.
    pub(super) fn new_region(&self) -> String {
        format!("Region{}", self.regions.fetch_add(1, Ordering::Relaxed) + 1)
    }
}

/// Nothing of whoever runs the tests.
pub(crate) fn clean(command: &mut Command) {
    for (name, _) in std::env::vars_os() {
        let text = name.to_string_lossy().to_uppercase();
        if text.starts_with("OS_") || text.starts_with("PYTHON") || text.ends_with("_PROXY") {
            command.env_remove(name);
        }
    }
}

/// A Keystone that was never started, with its database, keys and users. It takes long to make, so it is kept beside
/// the packages that made it, by the script that did.
fn template() -> PathBuf {
    static TEMPLATE: OnceLock<PathBuf> = OnceLock::new();
    let make = || {
        let python = keystone_python();
        let home = fs::canonicalize(python.parent().unwrap().parent().unwrap()).unwrap();
        let digest = Sha256::digest(fs::read(script()).unwrap());
        let key: String = digest[..8].iter().map(|byte| format!("{byte:02x}")).collect();
        let template = home.join(format!("keystone-{key}"));

        // Other test programs want the same. The lock ends with the file.
        let lock = File::create(home.join("keystone.lock")).unwrap();
        flock(&lock, FlockOperation::LockExclusive).unwrap();
        if !template.exists() {
            // Of this attempt alone: one that was killed may have children that still write.
            let begun = tempfile::tempdir_in(&home).unwrap();
            let made = begun.path().join("keystone");
            let mut command = Command::new(&python);
            command.arg(script()).arg("prepare").arg(&made);
            clean(&mut command);
            super::run(&mut command).success();
            fs::rename(made, &template).unwrap();
        }
        template
    };
    TEMPLATE.get_or_init(make).clone()
}

/// A directory that goes with its owner, or, where that one never goes (a static), before the next run.
fn run_directory() -> TempDir {
    let parent = Path::new(env!("CARGO_TARGET_TMPDIR"));
    for name in super::names(parent) {
        let process = name
            .strip_prefix("keystone-")
            .and_then(|rest| rest.split('-').next());
        if process.is_some_and(|id| !Path::new("/proc").join(id).exists()) {
            // Another test program may be at it, too.
            let _ = fs::remove_dir_all(parent.join(&name));
        }
    }
    tempfile::Builder::new()
        .prefix(&format!("keystone-{}-", std::process::id()))
        .tempdir_in(parent)
        .unwrap()
}

/// A directory and all in it.
pub(crate) fn copy(from: &Path, to: &Path) {
    fs::create_dir(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}
