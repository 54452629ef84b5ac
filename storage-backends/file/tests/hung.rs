//! A file system that does not answer keeps its own store waiting, and nobody else.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

use std::{
    fs::File,
    io,
    path::Path,
    sync::{Arc, Condvar, Mutex},
    time::Duration,
};

use bytes::Bytes;
use saccade_disk::{Disk, DiskFile, RealDisk, Space, Stat, WriteMode};
use saccade_store_contract::{Attempt, BlobName, BlobWriter, Location, Store};
use saccade_store_file::{FileStore, FileStoreConfig};
use tempfile::TempDir;
use tokio::{
    runtime::Builder,
    task::{JoinSet, spawn_blocking},
    time::timeout,
};
use uuid::Uuid;

/// As many as the daemon has.
const THREADS: usize = 64;
const WRITERS: usize = THREADS;
const SOON: Duration = Duration::from_secs(20);

/// Calls wait while it is shut.
#[derive(Debug, Default)]
struct Gate {
    is_shut: Mutex<bool>,
    opened: Condvar,
}

impl Gate {
    fn pass(&self) {
        let is_shut = self.is_shut.lock().unwrap();
        drop(self.opened.wait_while(is_shut, |is_shut| *is_shut).unwrap());
    }

    fn set(&self, is_shut: bool) {
        *self.is_shut.lock().unwrap() = is_shut;
        self.opened.notify_all();
    }
}

/// The disk of this machine, on which writes and opening for reading hang while the gate is shut.
#[derive(Debug)]
struct Hanging(Arc<Gate>);

#[derive(Debug)]
struct HangingFile(Box<dyn DiskFile>, Arc<Gate>);

#[deny(clippy::missing_trait_methods)]
impl Disk for Hanging {
    fn create_new(&self, path: &Path, mode: u32) -> io::Result<Box<dyn DiskFile>> {
        let file = RealDisk.create_new(path, mode)?;
        Ok(Box::new(HangingFile(file, Arc::clone(&self.0))))
    }

    fn open(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        self.0.pass();
        RealDisk.open(path)
    }

    fn open_writable(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        RealDisk.open_writable(path)
    }

    fn stat(&self, path: &Path) -> io::Result<Stat> {
        RealDisk.stat(path)
    }

    fn link(&self, existing: &Path, new: &Path) -> io::Result<()> {
        RealDisk.link(existing, new)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        RealDisk.rename(from, to)
    }

    fn unlink(&self, path: &Path) -> io::Result<()> {
        RealDisk.unlink(path)
    }

    fn create_dir(&self, path: &Path) -> io::Result<()> {
        RealDisk.create_dir(path)
    }

    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        RealDisk.sync_dir(path)
    }

    fn check_writable(&self, directory: &Path) -> io::Result<()> {
        RealDisk.check_writable(directory)
    }

    fn space(&self, path: &Path) -> io::Result<Space> {
        RealDisk.space(path)
    }

    fn favours_direct_writes(&self, _: &Path) -> bool {
        false
    }
}

#[deny(clippy::missing_trait_methods)]
impl DiskFile for HangingFile {
    fn write_all_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.1.pass();
        self.0.write_all_at(bytes, offset)
    }

    fn write_pieces_at(&self, pieces: &[&[u8]], offset: u64, mode: WriteMode) -> io::Result<()> {
        self.1.pass();
        self.0.write_pieces_at(pieces, offset, mode)
    }

    fn writable(&self, _: WriteMode) -> Option<io::Result<Arc<File>>> {
        None
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        self.0.read_at(buffer, offset)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.0.set_len(len)
    }

    fn set_mode(&self, mode: u32) -> io::Result<()> {
        self.0.set_mode(mode)
    }

    fn size(&self) -> io::Result<u64> {
        self.0.size()
    }

    fn sync_data(&self) -> io::Result<()> {
        self.0.sync_data()
    }

    fn reserve(&self, len: u64) -> io::Result<()> {
        self.0.reserve(len)
    }

    fn write_behind(&self, offset: u64, len: u64) {
        self.0.write_behind(offset, len);
    }

    fn as_file(&self) -> io::Result<Arc<File>> {
        self.0.as_file()
    }
}

async fn begin(store: &FileStore) -> Box<dyn BlobWriter> {
    let (name, attempt) = (BlobName(Uuid::new_v4()), Attempt(Uuid::new_v4()));
    store.create(name, attempt, None).await.unwrap().1
}

/// More than may wait in a writer, so that one that writes it needs several turns.
async fn write(mut writer: Box<dyn BlobWriter>) -> Location {
    for piece in 0..16 {
        writer.write(vec![piece; 300_000].into()).await.unwrap();
    }
    writer.commit().await.unwrap()
}

fn others_go_on(while_hung: impl Fn(&FileStore, &Location, &mut JoinSet<()>)) {
    let (slow, fast) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    let gate = Arc::new(Gate::default());
    let disk = Arc::new(Hanging(Arc::clone(&gate)));
    let slow = FileStore::open(FileStoreConfig::new("slow", slow.path()), disk).unwrap();
    let fast = FileStore::open(FileStoreConfig::new("fast", fast.path()), Arc::new(RealDisk)).unwrap();
    let runtime = Builder::new_multi_thread()
        .worker_threads(2)
        .max_blocking_threads(THREADS)
        .enable_time()
        .build()
        .unwrap();
    let outcome = runtime.block_on(async {
        let there = write(begin(&slow).await).await;
        gate.set(true);
        let mut hung = JoinSet::new();
        while_hung(&slow, &there, &mut hung);
        // Long enough for all of them to be where they hang.
        let early = timeout(Duration::from_millis(500), hung.join_next()).await;
        let others = timeout(SOON, async {
            spawn_blocking(|| ()).await.unwrap();
            let mut writer = begin(&fast).await;
            writer.write(Bytes::from_static(b"bytes")).await.unwrap();
            let location = writer.commit().await.unwrap();
            fast.size(&location).await.unwrap()
        });
        let others = others.await;
        // Before anything is said, or the runtime would wait for threads that hang.
        gate.set(false);
        let after = timeout(SOON, async {
            let mut ended = 0;
            while let Some(one) = hung.join_next().await {
                one.unwrap();
                ended += 1;
            }
            ended
        });
        (early.is_err(), others.ok(), after.await.ok())
    });
    assert_eq!(outcome, (true, Some(5), Some(WRITERS)));
}

#[test]
fn uploads_to_a_store_that_hangs_leave_threads_to_others_and_all_end_when_it_comes_back() {
    others_go_on(|slow, _, hung| {
        for _ in 0..WRITERS {
            let slow = slow.clone();
            hung.spawn(async move {
                let location = write(begin(&slow).await).await;
                assert_eq!(slow.size(&location).await.unwrap(), 16 * 300_000);
            });
        }
    });
}

#[test]
fn calls_to_a_store_that_hangs_leave_threads_to_others() {
    others_go_on(|slow, there, hung| {
        for _ in 0..WRITERS {
            let (slow, there) = (slow.clone(), there.clone());
            hung.spawn(async move {
                slow.size(&there).await.unwrap();
            });
        }
    });
}
