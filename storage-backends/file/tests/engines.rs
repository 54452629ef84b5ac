//! What becomes of a blob when writing or syncing its file fails, by each engine that is compiled in.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

use std::{
    fs::{self, File},
    io,
    os::unix::fs::FileExt,
    path::Path,
    sync::Arc,
};

use bytes::Bytes;
use saccade_disk::{BLOCK, Disk, DiskFile, RealDisk, Space, Stat, WriteMode};
use saccade_store_contract::{Attempt, BlobName, ErrorKind, Store};
use saccade_store_file::{Engine, EngineKind, FileStore, FileStoreConfig};
use tempfile::TempDir;
use uuid::Uuid;

/// The disk of this machine, on which what goes through the page cache goes to a device instead: writes and syncs.
#[derive(Debug)]
struct Diverted(&'static str);

#[derive(Debug)]
struct DivertedFile {
    file: Box<dyn DiskFile>,
    device: Arc<File>,
}

impl Diverted {
    /// Files of attempts are diverted, and no others.
    fn file(&self, path: &Path, file: Box<dyn DiskFile>) -> Box<dyn DiskFile> {
        if path.to_string_lossy().contains("probe") {
            return file;
        }
        let device = File::options().write(true).open(self.0).unwrap();
        Box::new(DivertedFile {
            file,
            device: Arc::new(device),
        })
    }
}

#[deny(clippy::missing_trait_methods)]
impl Disk for Diverted {
    fn create_new(&self, path: &Path, mode: u32) -> io::Result<Box<dyn DiskFile>> {
        Ok(self.file(path, RealDisk.create_new(path, mode)?))
    }

    fn open(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
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

    fn favours_direct_writes(&self, directory: &Path) -> bool {
        RealDisk.favours_direct_writes(directory)
    }
}

#[deny(clippy::missing_trait_methods)]
impl DiskFile for DivertedFile {
    fn write_all_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.device.write_all_at(bytes, offset)
    }

    fn write_pieces_at(&self, pieces: &[&[u8]], offset: u64, mode: WriteMode) -> io::Result<()> {
        match mode {
            WriteMode::Direct => self.file.write_pieces_at(pieces, offset, mode),
            _ => self.write_all_at(&pieces.concat(), offset),
        }
    }

    fn writable(&self, mode: WriteMode) -> Option<io::Result<Arc<File>>> {
        match mode {
            WriteMode::Direct => self.file.writable(mode),
            _ => Some(Ok(Arc::clone(&self.device))),
        }
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        self.file.read_at(buffer, offset)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.file.set_len(len)
    }

    fn set_mode(&self, mode: u32) -> io::Result<()> {
        self.file.set_mode(mode)
    }

    fn size(&self) -> io::Result<u64> {
        self.file.size()
    }

    fn sync_data(&self) -> io::Result<()> {
        self.device.sync_data()
    }

    fn reserve(&self, len: u64) -> io::Result<()> {
        self.file.reserve(len)
    }

    fn write_behind(&self, offset: u64, len: u64) {
        self.file.write_behind(offset, len);
    }

    fn as_file(&self) -> io::Result<Arc<File>> {
        self.file.as_file()
    }
}

fn engines() -> impl Iterator<Item = Engine> {
    [EngineKind::Pwrite, EngineKind::TokioUring, EngineKind::Glommio]
        .into_iter()
        .filter_map(|kind| {
            let engine = Engine::start(kind).ok()?;
            let is_forbidden = std::env::var_os("SACCADE_TEST_WITHOUT_IO_URING").is_some();
            assert!(
                is_forbidden || engine.to_string() == kind.name(),
                "{kind:?} has not started"
            );
            Some(engine)
        })
}

fn open(directory: &TempDir, device: &'static str, engine: Engine) -> FileStore {
    let config = FileStoreConfig {
        engine,
        ..FileStoreConfig::new("test", directory.path())
    };
    FileStore::open(config, Arc::new(Diverted(device))).unwrap()
}

/// At a whole block in memory.
fn aligned(len: usize) -> Bytes {
    let memory = Bytes::from(vec![7; len + BLOCK]);
    let start = memory.as_ptr().align_offset(BLOCK);
    memory.slice(start..start + len)
}

/// Writes these bytes and commits them; what became of it, and that nothing is left of it.
async fn fails_with(store: &FileStore, directory: &TempDir, bytes: Bytes) -> ErrorKind {
    let (name, attempt) = (BlobName(Uuid::new_v4()), Attempt(Uuid::new_v4()));
    let (handle, mut writer) = store.create(name, attempt, None).await.unwrap();
    writer.write(bytes).await.unwrap();
    let error = writer.commit().await.unwrap_err();
    assert!(
        !directory.path().join(name.to_string()).exists(),
        "it is published"
    );
    store.discard(&handle).await.unwrap();
    assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 0);
    error.kind()
}

#[tokio::test]
async fn a_full_disk_is_told_as_such_and_nothing_is_left() {
    for engine in engines() {
        let directory = TempDir::new().unwrap();
        let store = open(&directory, "/dev/full", engine);
        // The end of it goes through the page cache.
        let kind = fails_with(&store, &directory, aligned(3 * BLOCK + 5)).await;
        assert_eq!(kind, ErrorKind::Full);
    }
}

#[tokio::test]
async fn a_blob_whose_sync_fails_is_not_published() {
    for engine in engines() {
        let directory = TempDir::new().unwrap();
        let store = open(&directory, "/dev/null", engine);
        if store.write_mode() != WriteMode::Direct {
            return;
        }
        // All of it is in the file; the device has nothing to sync.
        let kind = fails_with(&store, &directory, aligned(3 * BLOCK)).await;
        assert!(matches!(kind, ErrorKind::Unavailable), "{kind:?}");
    }
}
