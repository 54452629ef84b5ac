//! Python Glance, from pip: `glance.py` makes and serves it.

use super::script::Group;
use crate::harness::{Service, clean, command, copy, free_address, run};
use std::{
    env, fs,
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::OnceLock,
};
use tempfile::TempDir;

/// One Glance. Dropped, it is killed.
pub(super) struct Glance {
    address: SocketAddr,
    _service: Service,
    directory: TempDir,
}

impl Glance {
    /// Python with Glance, if it is to be asked.
    pub(super) fn python() -> Option<PathBuf> {
        let directory = PathBuf::from(env::var_os("SACCADE_GLANCE")?);
        let path = directory.join("python");
        assert!(path.exists(), "{} is missing: run `make glance`", path.display());
        Some(path)
    }

    /// Starts one that is empty, and waits until it takes connections: it answers when it is ready.
    pub(super) fn start(python: &Path, group: &Group) -> Self {
        let directory = tempfile::Builder::new()
            .prefix("saccade-glance-")
            .tempdir()
            .unwrap();
        let root = root(&directory);
        copy(&template(python), &root);
        fs::create_dir(root.join("images")).unwrap();
        let conf = format!(
            "{}[os_glance_staging_store]\nfilesystem_store_datadir = @ROOT@/staging\n\
             [os_glance_tasks_store]\nfilesystem_store_datadir = @ROOT@/tasks\n",
            group.glance_api_conf()
        );
        let conf = conf.replace("@ROOT@", root.to_str().unwrap());
        fs::write(root.join("glance-api.conf"), conf).unwrap();
        let address = free_address();
        let mut command = command(python);
        command
            .arg(script())
            .arg("serve")
            .arg(&root)
            .arg(address.ip().to_string())
            .arg(address.port().to_string());
        clean(&mut command);
        let mut service = Service::spawn(command, &directory.path().join("log"));
        service.wait_for(address);
        Self {
            address,
            _service: service,
            directory,
        }
    }

    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }

    pub(super) fn root(&self) -> PathBuf {
        root(&self.directory)
    }
}

/// Where `@ROOT@` is.
fn root(directory: &TempDir) -> PathBuf {
    directory.path().join("glance")
}

fn script() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/differential/glance.py")
}

/// An empty database, which takes seconds to make.
fn template(python: &Path) -> PathBuf {
    static TEMPLATE: OnceLock<TempDir> = OnceLock::new();
    let make = || {
        let directory = tempfile::tempdir().unwrap();
        let mut command = command(python);
        command
            .arg(script())
            .arg("prepare")
            .arg(directory.path().join("glance"));
        clean(&mut command);
        run(&mut command).success();
        directory
    };
    TEMPLATE.get_or_init(make).path().join("glance")
}
