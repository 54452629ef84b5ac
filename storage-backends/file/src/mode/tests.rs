use std::{
    fs::{self, File},
    os::unix::fs::PermissionsExt,
    sync::Arc,
    thread,
};

use bytes::Bytes;
use rustix::{
    io::Errno,
    thread::{CapabilitySet, CapabilitySets, set_capabilities},
};
use saccade_disk::{RealDisk, simulated::SimulatedDisk};
use saccade_store_contract::{Attempt, BlobName, Location, Store};
use tempfile::TempDir;
use uuid::Uuid;

use super::*;
use crate::{FileStore, FileStoreConfig};

/// A file whose writes all fail in one way.
#[derive(Debug)]
struct Failing(Errno);

impl DiskFile for Failing {
    fn write_all_at(&self, _: &[u8], _: u64) -> io::Result<()> {
        Err(self.0.into())
    }

    fn write_pieces_at(&self, _: &[&[u8]], _: u64, _: WriteMode) -> io::Result<()> {
        Err(self.0.into())
    }

    fn writable(&self, _: WriteMode) -> Option<io::Result<Arc<File>>> {
        None
    }

    fn read_at(&self, _: &mut [u8], _: u64) -> io::Result<usize> {
        Ok(0)
    }

    fn set_len(&self, _: u64) -> io::Result<()> {
        Ok(())
    }

    fn set_mode(&self, _: u32) -> io::Result<()> {
        Ok(())
    }

    fn size(&self) -> io::Result<u64> {
        Ok(0)
    }

    fn sync_data(&self) -> io::Result<()> {
        Ok(())
    }

    fn reserve(&self, _: u64) -> io::Result<()> {
        Ok(())
    }

    fn write_behind(&self, _: u64, _: u64) {}

    fn as_file(&self) -> io::Result<Arc<File>> {
        Err(io::ErrorKind::Unsupported.into())
    }
}

#[test]
fn only_a_refusal_decides_against_a_mode() {
    let directory = Path::new("/images");
    let disk = SimulatedDisk::new();
    let chosen = |errno, wanted| choose(&disk, directory, &Failing(errno), wanted);
    let best = [WriteMode::DontCache, WriteMode::Direct][usize::from(disk.favours_direct_writes(directory))];
    for errno in [Errno::NOSPC, Errno::DQUOT, Errno::IO] {
        for mode in [WriteMode::Direct, WriteMode::DontCache, WriteMode::Buffered] {
            assert_eq!(chosen(errno, WriteChoice::Always(mode)).unwrap(), mode, "{errno}");
        }
        assert_eq!(chosen(errno, WriteChoice::Auto).unwrap(), best, "{errno}");
    }
    for errno in [Errno::INVAL, Errno::OPNOTSUPP] {
        chosen(errno, WriteChoice::Always(WriteMode::Direct)).unwrap_err();
        assert_eq!(chosen(errno, WriteChoice::Auto).unwrap(), WriteMode::Buffered);
    }
}

/// Runs on a thread without privileges, as the daemon: permissions hold there also when a test is run by root.
fn unprivileged(run: impl FnOnce() + Send + 'static) {
    let run = move || {
        let none = CapabilitySet::empty();
        let none = CapabilitySets {
            effective: none,
            permitted: none,
            inheritable: none,
        };
        set_capabilities(None, none).unwrap();
        run();
    };
    thread::spawn(run).join().unwrap();
}

async fn publish(store: &FileStore, bytes: Bytes) -> Location {
    let (name, attempt) = (BlobName(Uuid::new_v4()), Attempt(Uuid::new_v4()));
    let (_, mut writer) = store.create(name, attempt, None).await.unwrap();
    writer.write(bytes).await.unwrap();
    writer.commit().await.unwrap()
}

fn config(directory: &TempDir, file_mode: u32) -> FileStoreConfig {
    FileStoreConfig {
        file_mode: Some(file_mode),
        ..FileStoreConfig::new("test", directory.path())
    }
}

#[test]
fn files_that_nobody_may_write_to_later_are_written_directly_all_the_same() {
    unprivileged(|| {
        let directory = TempDir::new().unwrap();
        let store = FileStore::open(config(&directory, 0o440), Arc::new(RealDisk)).unwrap();
        if RealDisk.favours_direct_writes(directory.path()) {
            assert_eq!(store.write_mode(), WriteMode::Direct);
        }
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let location = runtime.block_on(publish(&store, Bytes::from_static(&BLOCK_OF_ZEROES.0)));
        assert!(!store.fell_back());
        let path = location.as_str().strip_prefix("file://").unwrap();
        let found = fs::metadata(path).unwrap();
        assert_eq!(
            (found.permissions().mode() & 0o777, found.len()),
            (0o440, BLOCK as u64)
        );
    });
}

#[test]
fn a_file_of_an_earlier_try_that_nobody_may_write_to_does_not_refuse_the_start() {
    unprivileged(|| {
        let directory = TempDir::new().unwrap();
        let left = directory.path().join(".saccade.probe");
        fs::write(&left, "").unwrap();
        fs::set_permissions(&left, fs::Permissions::from_mode(0o440)).unwrap();
        FileStore::open(config(&directory, 0o440), Arc::new(RealDisk)).unwrap();
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 0);
    });
}

#[tokio::test]
async fn a_file_that_refuses_its_mode_is_noted() {
    let disk = SimulatedDisk::new();
    let choice = FileStoreConfig {
        write: WriteChoice::Always(WriteMode::DontCache),
        ..FileStoreConfig::new("test", "/images")
    };
    let store = FileStore::open(choice, Arc::new(disk.clone())).unwrap();
    publish(&store, Bytes::from_static(b"bytes")).await;
    assert!(!store.fell_back());
    disk.refuse_mode(WriteMode::DontCache);
    publish(&store, Bytes::from_static(b"bytes")).await;
    assert!(store.fell_back());
}
