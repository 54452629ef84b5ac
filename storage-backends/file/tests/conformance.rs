//! The file store keeps the contract: on the disk of this machine, on it with holes, and on a simulated one.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

use std::{fs, marker::PhantomData, path::PathBuf, sync::Arc};

use async_trait::async_trait;
use saccade_disk::{Disk, RealDisk, WriteMode, simulated::SimulatedDisk};
use saccade_store_conformance::Harness;
use saccade_store_contract::{BlobName, Location, Store};
#[cfg(any(feature = "tokio-uring", feature = "glommio"))]
use saccade_store_file::EngineKind;
use saccade_store_file::{Engine, FileStore, FileStoreConfig, WriteChoice};
use tempfile::TempDir;

fn open(
    datadir: PathBuf,
    thin_provisioning: bool,
    (write, engine): (WriteChoice, Engine),
    disk: Arc<dyn Disk>,
) -> Arc<FileStore> {
    let config = FileStoreConfig {
        file_mode: Some(0o640),
        thin_provisioning,
        write,
        engine,
        ..FileStoreConfig::new("test", datadir)
    };
    Arc::new(FileStore::open(config, disk).unwrap())
}

fn location_in(datadir: &str, name: BlobName) -> Location {
    Location::new(format!("file://{datadir}/{name}"))
}

fn foreign_to(datadir: &str) -> Vec<Location> {
    [
        "".to_owned(),
        "file:///etc/passwd".to_owned(),
        "http://example.org/x".to_owned(),
        format!("file://{datadir}"),
        format!("file://{datadir}/"),
        format!("file://{datadir}/../x"),
        format!("file://{datadir}/a/b"),
        format!("file://{datadir}/.saccade.x.y"),
    ]
    .map(Location::new)
    .into()
}

/// How the files of a harness are written.
trait Way: Send + Sync + 'static {
    const THIN: bool = false;

    fn write() -> (WriteChoice, Engine) {
        (WriteChoice::Auto, Engine::pwrite())
    }
}

struct AsChosen;

impl Way for AsChosen {}

struct WithHoles;

impl Way for WithHoles {
    const THIN: bool = true;
}

struct Buffered;

impl Way for Buffered {
    fn write() -> (WriteChoice, Engine) {
        (WriteChoice::Always(WriteMode::Buffered), Engine::pwrite())
    }
}

#[cfg(feature = "tokio-uring")]
struct ByTokioUring;

#[cfg(feature = "tokio-uring")]
impl Way for ByTokioUring {
    fn write() -> (WriteChoice, Engine) {
        (WriteChoice::Auto, engine(EngineKind::TokioUring))
    }
}

#[cfg(feature = "glommio")]
struct ByGlommio;

#[cfg(feature = "glommio")]
impl Way for ByGlommio {
    fn write() -> (WriteChoice, Engine) {
        (WriteChoice::Auto, engine(EngineKind::Glommio))
    }
}

/// One for all tests, as in the daemon. It must be the one, unless whoever runs the tests says that this machine forbids io_uring.
#[cfg(any(feature = "tokio-uring", feature = "glommio"))]
fn engine(kind: EngineKind) -> Engine {
    static STARTED: std::sync::Mutex<Vec<(EngineKind, Engine)>> = std::sync::Mutex::new(Vec::new());
    let mut started = STARTED.lock().unwrap();
    if let Some((_, engine)) = started.iter().find(|(other, _)| *other == kind) {
        return engine.clone();
    }
    let engine = Engine::start(kind).unwrap();
    let is_forbidden = std::env::var_os("SACCADE_TEST_WITHOUT_IO_URING").is_some();
    assert!(
        is_forbidden || engine.to_string() == kind.name(),
        "{kind:?} has not started"
    );
    started.push((kind, engine.clone()));
    engine
}

struct OnADisk<W> {
    directory: TempDir,
    store: Arc<FileStore>,
    way: PhantomData<W>,
}

impl<W: Way> OnADisk<W> {
    fn datadir(&self) -> PathBuf {
        self.directory.path().join("glance/images")
    }

    fn open(directory: &TempDir) -> Arc<FileStore> {
        let datadir = directory.path().join("glance/images");
        open(datadir, W::THIN, W::write(), Arc::new(RealDisk))
    }
}

#[async_trait]
impl<W: Way> Harness for OnADisk<W> {
    async fn start() -> Self {
        let directory = TempDir::new().unwrap();
        Self {
            store: Self::open(&directory),
            directory,
            way: PhantomData,
        }
    }

    fn store(&self) -> Arc<dyn Store> {
        Arc::clone(&self.store) as Arc<dyn Store>
    }

    async fn restart(&mut self) {
        self.store = Self::open(&self.directory);
    }

    async fn inventory(&self) -> Vec<String> {
        fs::read_dir(self.datadir())
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect()
    }

    async fn plant(&self, name: BlobName, bytes: &[u8]) {
        fs::write(self.datadir().join(name.to_string()), bytes).unwrap();
    }

    fn location(&self, name: BlobName) -> Location {
        location_in(self.datadir().to_str().unwrap(), name)
    }

    fn foreign_locations(&self) -> Vec<Location> {
        foreign_to(self.datadir().to_str().unwrap())
    }

    fn chunks_held(&self) -> Option<usize> {
        Some(8)
    }
}

struct OnASimulatedDisk {
    disk: SimulatedDisk,
    store: Arc<FileStore>,
}

const DATADIR: &str = "/var/lib/glance/images";

#[async_trait]
impl Harness for OnASimulatedDisk {
    async fn start() -> Self {
        let disk = SimulatedDisk::new();
        let store = open(DATADIR.into(), false, AsChosen::write(), Arc::new(disk.clone()));
        Self { disk, store }
    }

    fn store(&self) -> Arc<dyn Store> {
        Arc::clone(&self.store) as Arc<dyn Store>
    }

    async fn restart(&mut self) {
        self.store = open(
            DATADIR.into(),
            false,
            AsChosen::write(),
            Arc::new(self.disk.clone()),
        );
    }

    async fn inventory(&self) -> Vec<String> {
        self.disk
            .files()
            .into_iter()
            .map(|(path, _)| path.display().to_string())
            .collect()
    }

    async fn plant(&self, name: BlobName, bytes: &[u8]) {
        let path = PathBuf::from(DATADIR).join(name.to_string());
        self.disk.plant(&path, bytes).unwrap();
    }

    fn location(&self, name: BlobName) -> Location {
        location_in(DATADIR, name)
    }

    fn foreign_locations(&self) -> Vec<Location> {
        foreign_to(DATADIR)
    }

    fn chunks_held(&self) -> Option<usize> {
        Some(8)
    }
}

mod on_the_disk {
    saccade_store_conformance::conformance_suite!(super::OnADisk<super::AsChosen>);
}

mod on_the_disk_with_holes {
    saccade_store_conformance::conformance_suite!(super::OnADisk<super::WithHoles>);
}

mod through_the_page_cache {
    saccade_store_conformance::conformance_suite!(super::OnADisk<super::Buffered>);
}

#[cfg(feature = "tokio-uring")]
mod by_tokio_uring {
    saccade_store_conformance::conformance_suite!(super::OnADisk<super::ByTokioUring>);
}

#[cfg(feature = "glommio")]
mod by_glommio {
    saccade_store_conformance::conformance_suite!(super::OnADisk<super::ByGlommio>);
}

mod on_a_simulated_disk {
    saccade_store_conformance::conformance_suite!(super::OnASimulatedDisk);
}
