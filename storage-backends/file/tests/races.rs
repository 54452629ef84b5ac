//! Calls that overtake each other, held where they do harm.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

use std::{
    io,
    path::Path,
    sync::{
        Arc, Mutex,
        mpsc::{Receiver, Sender, channel},
    },
    time::Duration,
};

use bytes::Bytes;
use saccade_disk::{Disk, DiskFile, Space, Stat, simulated::SimulatedDisk};
use saccade_store_contract::{Attempt, BlobName, BlobWriter, ErrorKind, Handle, Store};
use saccade_store_file::{FileStore, FileStoreConfig};
use uuid::Uuid;

/// A disk that holds each `create_new` and each `link` of an attempt until the test lets it go on.
#[derive(Debug)]
struct HeldDisk {
    disk: SimulatedDisk,
    reached: Mutex<Sender<&'static str>>,
    go_on: Mutex<Receiver<()>>,
}

impl HeldDisk {
    fn hold(&self, call: &'static str, path: &Path) {
        if !path.to_string_lossy().contains("probe") {
            self.reached.lock().unwrap().send(call).unwrap();
            // The test has ended when there is nobody to let it go on.
            let _ = self.go_on.lock().unwrap().recv();
        }
    }
}

#[deny(clippy::missing_trait_methods)]
impl Disk for HeldDisk {
    fn create_new(&self, path: &Path, mode: u32) -> io::Result<Box<dyn DiskFile>> {
        self.hold("create_new", path);
        self.disk.create_new(path, mode)
    }

    fn open(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        self.disk.open(path)
    }

    fn open_writable(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        self.disk.open_writable(path)
    }

    fn stat(&self, path: &Path) -> io::Result<Stat> {
        self.disk.stat(path)
    }

    fn link(&self, existing: &Path, new: &Path) -> io::Result<()> {
        self.hold("link", existing);
        self.disk.link(existing, new)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.disk.rename(from, to)
    }

    fn unlink(&self, path: &Path) -> io::Result<()> {
        self.disk.unlink(path)
    }

    fn create_dir(&self, path: &Path) -> io::Result<()> {
        self.disk.create_dir(path)
    }

    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        self.disk.sync_dir(path)
    }

    fn check_writable(&self, directory: &Path) -> io::Result<()> {
        self.disk.check_writable(directory)
    }

    fn space(&self, path: &Path) -> io::Result<Space> {
        self.disk.space(path)
    }

    fn favours_direct_writes(&self, directory: &Path) -> bool {
        self.disk.favours_direct_writes(directory)
    }
}

struct Held {
    disk: SimulatedDisk,
    store: FileStore,
    reached: Receiver<&'static str>,
    go_on: Sender<()>,
}

impl Held {
    fn new() -> Self {
        let disk = SimulatedDisk::new();
        let (reached_sender, reached) = channel();
        let (go_on, go_on_receiver) = channel();
        let held = HeldDisk {
            disk: disk.clone(),
            reached: Mutex::new(reached_sender),
            go_on: Mutex::new(go_on_receiver),
        };
        let config = FileStoreConfig::new("test", "/d");
        let store = FileStore::open(config, Arc::new(held)).unwrap();
        Self {
            disk,
            store,
            reached,
            go_on,
        }
    }

    async fn begin(&self) -> (Handle, Box<dyn BlobWriter>) {
        let name = BlobName(Uuid::new_v4());
        let attempt = Attempt(Uuid::new_v4());
        self.store.create(name, attempt, None).await.unwrap()
    }

    /// Waits for a held call.
    fn wait_for(&self, call: &str) {
        let reached = self.reached.recv_timeout(Duration::from_secs(20)).unwrap();
        assert_eq!(reached, call);
    }

    /// Discards while a call is held, and checks that this waits for the call and removes what it has made.
    async fn discard_waits_and_leaves_nothing(&self, handle: Handle) {
        let store = self.store.clone();
        let discard = tokio::spawn(async move { store.discard(&handle).await });
        tokio::time::sleep(Duration::from_millis(50)).await;
        assert!(
            !discard.is_finished(),
            "discard did not wait for the running call"
        );
        self.go_on.send(()).unwrap();
        discard.await.unwrap().unwrap();
        assert_eq!(self.disk.files(), []);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_first_write_that_is_overtaken_by_discard_leaves_nothing() {
    let held = Held::new();
    let (handle, mut writer) = held.begin().await;
    writer.write(Bytes::from_static(b"late")).await.unwrap();
    held.wait_for("create_new");
    // Nobody waits for it any more, and it still runs.
    drop(writer);
    held.discard_waits_and_leaves_nothing(handle).await;
}

#[tokio::test]
async fn a_commit_that_is_cancelled_and_overtaken_by_discard_leaves_nothing() {
    let held = Held::new();
    let (handle, writer) = held.begin().await;
    let commit = tokio::spawn(writer.commit());
    held.go_on.send(()).unwrap();
    tokio::task::yield_now().await;
    held.wait_for("create_new");
    held.wait_for("link");
    commit.abort();
    assert!(commit.await.unwrap_err().is_cancelled());
    held.discard_waits_and_leaves_nothing(handle).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cancelled_write_leaves_the_writer_as_after_an_error() {
    let held = Held::new();
    let (handle, mut writer) = held.begin().await;
    writer.write(Bytes::from_static(b"one")).await.unwrap();
    held.wait_for("create_new");
    for _ in 0..4 {
        // These wait behind it.
        writer.write(Bytes::from_static(b"and")).await.unwrap();
    }
    let waits = tokio::time::timeout(
        Duration::from_millis(20),
        writer.write(Bytes::from_static(b"two")),
    );
    assert!(waits.await.is_err());
    let error = writer.write(Bytes::from_static(b"three")).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    assert_eq!(writer.commit().await.unwrap_err().kind(), ErrorKind::Unavailable);
    held.go_on.send(()).unwrap();
    held.store.discard(&handle).await.unwrap();
    assert_eq!(held.disk.files(), []);
}
