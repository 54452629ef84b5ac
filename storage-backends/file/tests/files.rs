//! What the file store does to the files of this machine.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

use std::{
    fs,
    os::unix::fs::{MetadataExt, PermissionsExt, symlink},
    path::Path,
    sync::Arc,
};

use bytes::Bytes;
use saccade_disk::{BLOCK, RealDisk, WriteMode};
use saccade_store_conformance::{Fault, FaultyStore, bytes_of};
use saccade_store_contract::{
    Attempt, BlobName, BlobWriter, Body, Error, ErrorKind, Handle, Location, Operation, Store,
};
use saccade_store_file::{FileStore, FileStoreConfig, OpenError, WriteChoice};
use tempfile::TempDir;
use uuid::Uuid;

fn config(directory: &Path) -> FileStoreConfig {
    FileStoreConfig::new("fast", directory)
}

fn open(config: FileStoreConfig) -> FileStore {
    FileStore::open(config, Arc::new(RealDisk)).unwrap()
}

async fn begin(store: &FileStore, size_hint: Option<u64>) -> (BlobName, Handle, Box<dyn BlobWriter>) {
    let name = BlobName(Uuid::new_v4());
    let attempt = Attempt(Uuid::new_v4());
    let (handle, writer) = store.create(name, attempt, size_hint).await.unwrap();
    (name, handle, writer)
}

async fn publish(store: &FileStore, bytes: &[u8]) -> (BlobName, Handle, Location) {
    let (name, handle, mut writer) = begin(store, None).await;
    writer.write(Bytes::copy_from_slice(bytes)).await.unwrap();
    (name, handle, writer.commit().await.unwrap())
}

fn kind<T>(result: Result<T, Error>) -> Option<ErrorKind> {
    result.err().map(|error| error.kind())
}

#[tokio::test]
async fn files_are_where_glance_store_puts_them_with_the_configured_permissions() {
    let directory = TempDir::new().unwrap();
    let images = directory.path().join("images");
    for mode in [0o600, 0o666, 0o440] {
        let store = open(FileStoreConfig {
            file_mode: Some(mode),
            ..config(&images)
        });
        let (name, handle, location) = publish(&store, b"bytes").await;
        store.settle(&handle).await.unwrap();
        let path = images.join(name.to_string());
        assert_eq!(location.as_str(), format!("file://{}", path.display()));
        assert_eq!(fs::read(&path).unwrap(), b"bytes");
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o7777, mode);
    }
}

#[tokio::test]
async fn without_configured_permissions_the_umask_decides() {
    let directory = TempDir::new().unwrap();
    let store = open(config(directory.path()));
    let (name, _, _) = publish(&store, b"").await;
    let plain = directory.path().join("plain");
    fs::write(&plain, b"").unwrap();
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode();
    assert_eq!(mode(&directory.path().join(name.to_string())), mode(&plain));
}

#[tokio::test]
async fn blobs_of_glance_store_are_read_under_both_schemes() {
    let directory = TempDir::new().unwrap();
    let store = open(config(directory.path()));
    fs::write(directory.path().join("an-old-id"), b"old").unwrap();
    for scheme in ["file", "filesystem"] {
        let location = Location::new(format!("{scheme}://{}/an-old-id", directory.path().display()));
        let blob = store.read(&location, None).await.unwrap();
        assert!(matches!(blob.body, Body::File(_)));
        assert_eq!(bytes_of(blob).await.unwrap(), b"old");
    }
}

#[tokio::test]
async fn links_and_directories_under_a_blobs_name_are_neither_opened_nor_removed() {
    let directory = TempDir::new().unwrap();
    let images = directory.path().join("images");
    let store = open(config(&images));
    let secret = directory.path().join("secret");
    fs::write(&secret, b"secret").unwrap();
    symlink(&secret, images.join("link")).unwrap();
    fs::create_dir(images.join("directory")).unwrap();
    for name in ["link", "directory"] {
        let location = Location::new(format!("file://{}/{name}", images.display()));
        let invalid = Some(ErrorKind::Invalid);
        assert_eq!(kind(store.read(&location, None).await), invalid, "{name}");
        assert_eq!(kind(store.size(&location).await), invalid);
        assert_eq!(kind(store.prepare_delete(&location).await), invalid);
        assert_eq!(kind(store.delete(&location).await), invalid);
        assert!(images.join(name).exists());
    }
}

#[tokio::test]
async fn a_symbolic_link_to_the_directory_will_do() {
    let directory = TempDir::new().unwrap();
    fs::create_dir(directory.path().join("real")).unwrap();
    symlink(directory.path().join("real"), directory.path().join("link")).unwrap();
    let store = open(config(&directory.path().join("link")));
    let (name, handle, location) = publish(&store, b"x").await;
    store.settle(&handle).await.unwrap();
    assert!(location.as_str().contains("/link/"));
    assert!(directory.path().join("real").join(name.to_string()).exists());
}

#[tokio::test]
async fn zeroes_take_no_room_where_thin_provisioning_is_on() {
    let directory = TempDir::new().unwrap();
    for thin in [true, false] {
        let store = open(FileStoreConfig {
            thin_provisioning: thin,
            ..config(directory.path())
        });
        let (name, _, mut writer) = begin(&store, Some(12 << 20)).await;
        writer.write_zeroes(8 << 20).await.unwrap();
        let mut chunk = vec![0; 4 << 20];
        chunk[1 << 20] = 1;
        writer.write(chunk.into()).await.unwrap();
        writer.commit().await.unwrap();
        let found = fs::metadata(directory.path().join(name.to_string())).unwrap();
        assert_eq!(found.len(), 12 << 20);
        let allocated = found.blocks() * 512;
        if thin {
            assert!(allocated < 1 << 20, "{allocated} bytes are allocated");
        } else {
            assert!(allocated >= 12 << 20, "{allocated} bytes are allocated");
        }
    }
}

/// As the pool of uploads makes them: at a whole block in memory.
fn aligned(seed: u8, len: usize) -> Bytes {
    let mut memory = vec![0; len + BLOCK];
    let start = memory.as_ptr().align_offset(BLOCK);
    for (at, byte) in memory[start..].iter_mut().enumerate() {
        *byte = (at % 253) as u8 ^ seed;
    }
    Bytes::from(memory).slice(start..start + len)
}

#[tokio::test]
async fn every_way_of_writing_makes_the_same_file() {
    let directory = TempDir::new().unwrap();
    let modes = [WriteMode::Buffered, WriteMode::DontCache, WriteMode::Direct];
    let ways = modes
        .map(WriteChoice::Always)
        .into_iter()
        .chain([WriteChoice::Auto]);
    let mut tried = 0;
    for (write, thin_provisioning) in ways.flat_map(|way| [(way, false), (way, true)]) {
        let config = FileStoreConfig {
            write,
            thin_provisioning,
            ..config(directory.path())
        };
        let store = match FileStore::open(config, Arc::new(RealDisk)) {
            Ok(store) => store,
            // This file system does not have it.
            Err(OpenError::WriteMode { .. }) => continue,
            Err(error) => panic!("{error}"),
        };
        tried += 1;
        let mut pieces: Vec<Bytes> = (0..9).map(|seed| aligned(seed, 256 << 10)).collect();
        // What is no whole block in the midst of it, and from then on lies otherwise in memory than in the file; whole
        // blocks again; zeroes; an end within a block.
        pieces.extend([aligned(20, 70_001), aligned(21, 256 << 10)]);
        pieces.push(aligned(22, 8192 - 70_001 % 4096));
        pieces.extend([
            aligned(23, 1 << 20),
            Bytes::from(vec![0; 300_000]),
            aligned(24, 4097),
        ]);
        let (name, handle, mut writer) = begin(&store, Some(64 << 20)).await;
        let mut whole = Vec::new();
        for piece in pieces {
            whole.extend_from_slice(&piece);
            writer.write(piece).await.unwrap();
        }
        writer.write_zeroes(600_000).await.unwrap();
        whole.resize(whole.len() + 600_000, 0);
        writer.commit().await.unwrap();
        store.settle(&handle).await.unwrap();
        let path = directory.path().join(name.to_string());
        assert!(
            fs::read(&path).unwrap() == whole,
            "{write:?}, thin {thin_provisioning}"
        );
        let allocated = fs::metadata(&path).unwrap().blocks() * 512;
        assert!(
            allocated < whole.len() as u64 + (1 << 20),
            "what was reserved is given back"
        );
        if thin_provisioning {
            assert!(
                allocated < whole.len() as u64 - 700_000,
                "{allocated} bytes are allocated"
            );
        }
    }
    assert!(
        tried >= 4,
        "through the cache and as chosen, both with holes and without"
    );
}

#[tokio::test]
async fn direct_writes_leave_the_page_cache_as_it_was() {
    let directory = TempDir::new().unwrap();
    let store = open(config(directory.path()));
    if store.write_mode() != WriteMode::Direct {
        return;
    }
    let (name, _, mut writer) = begin(&store, None).await;
    for seed in 0..32 {
        writer.write(aligned(seed, 256 << 10)).await.unwrap();
    }
    writer.commit().await.unwrap();
    // What is in the cache is there at once, and the rest is refused.
    let file = fs::File::open(directory.path().join(name.to_string())).unwrap();
    let mut buffer = vec![0; 1 << 20];
    let mut cached = 0;
    for at in 0..8 {
        let slices = &mut [std::io::IoSliceMut::new(&mut buffer)];
        let flags = rustix::io::ReadWriteFlags::NOWAIT;
        cached += rustix::io::preadv2(&file, slices, at << 20, flags).unwrap_or(0);
    }
    assert!(cached < 2 << 20, "{cached} of 8 MiB are in the page cache");
}

#[tokio::test]
async fn room_that_was_reserved_for_too_large_a_hint_is_given_back() {
    let directory = TempDir::new().unwrap();
    let store = open(config(directory.path()));
    let (name, handle, mut writer) = begin(&store, Some(64 << 20)).await;
    writer.write(Bytes::from_static(b"short")).await.unwrap();
    writer.commit().await.unwrap();
    store.settle(&handle).await.unwrap();
    let found = fs::metadata(directory.path().join(name.to_string())).unwrap();
    assert_eq!(found.len(), 5);
    assert!(found.blocks() * 512 < 1 << 20);
}

#[tokio::test]
async fn a_file_that_somebody_else_has_shortened_is_corrupt_and_not_published() {
    let directory = TempDir::new().unwrap();
    let store = open(config(directory.path()));
    let (name, handle, mut writer) = begin(&store, None).await;
    writer.write(Bytes::from_static(b"some")).await.unwrap();
    writer.write(Bytes::from_static(b"thing")).await.unwrap();
    let temporary = loop {
        let found = fs::read_dir(directory.path()).unwrap().next();
        match found.map(Result::unwrap) {
            Some(found) if found.metadata().unwrap().len() == 9 => break found.path(),
            _ => tokio::task::yield_now().await,
        }
    };
    fs::File::options()
        .write(true)
        .open(temporary)
        .unwrap()
        .set_len(3)
        .unwrap();
    assert_eq!(kind(writer.commit().await), Some(ErrorKind::Corrupt));
    assert!(!directory.path().join(name.to_string()).exists());
    store.discard(&handle).await.unwrap();
    assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 0);
}

#[tokio::test]
async fn an_unmounted_directory_is_not_an_empty_store() {
    let directory = TempDir::new().unwrap();
    let images = directory.path().join("images");
    let store = open(config(&images));
    let (_, handle, location) = publish(&store, b"x").await;
    fs::rename(&images, directory.path().join("unmounted")).unwrap();
    for replaced in [false, true] {
        if replaced {
            fs::create_dir(&images).unwrap();
        }
        let unavailable = Some(ErrorKind::Unavailable);
        assert_eq!(kind(store.read(&location, None).await), unavailable);
        assert_eq!(kind(store.size(&location).await), unavailable);
        assert_eq!(kind(store.delete(&location).await), unavailable);
        assert_eq!(kind(store.discard(&handle).await), unavailable);
        assert_eq!(kind(store.settle(&handle).await), unavailable);
    }
    fs::remove_dir(&images).unwrap();
    fs::rename(directory.path().join("unmounted"), &images).unwrap();
    assert_eq!(store.size(&location).await.unwrap(), 1);
}

#[tokio::test]
async fn nothing_is_written_into_the_bare_mount_point_of_a_store_that_was_unmounted() {
    let directory = TempDir::new().unwrap();
    let images = directory.path().join("images");
    let store = open(config(&images));
    let (name, attempt) = (BlobName(Uuid::new_v4()), Attempt(Uuid::new_v4()));
    let (_, mut writer) = store.create(name, attempt, None).await.unwrap();
    writer.write(Bytes::from_static(b"x")).await.unwrap();
    fs::rename(&images, directory.path().join("unmounted")).unwrap();
    fs::create_dir(&images).unwrap();
    assert!(writer.commit().await.is_err());
    let again = store.create(name, Attempt(Uuid::new_v4()), None).await;
    assert_eq!(
        again.map(drop).map_err(|error| error.kind()),
        Err(ErrorKind::Unavailable)
    );
    assert_eq!(fs::read_dir(&images).unwrap().count(), 0);
}

#[tokio::test]
async fn opening_makes_the_directory_and_touches_nothing_in_it() {
    let directory = TempDir::new().unwrap();
    let images = directory.path().join("a/b/images");
    let store = open(config(&images));
    assert_eq!(fs::read_dir(&images).unwrap().count(), 0);
    assert_eq!(
        store.to_string(),
        format!("file store fast at {}", images.display())
    );
    for name in ["an-image", ".saccade.x.y", ".hidden"] {
        fs::write(images.join(name), name).unwrap();
    }
    open(config(&images));
    for name in ["an-image", ".saccade.x.y", ".hidden"] {
        assert_eq!(fs::read(images.join(name)).unwrap(), name.as_bytes());
    }
}

#[test]
fn many_daemons_may_open_one_directory_at_the_same_moment() {
    let directory = TempDir::new().unwrap();
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                for _ in 0..50 {
                    open(config(directory.path()));
                }
            });
        }
    });
    assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 0);
}

#[test]
fn what_cannot_hold_a_store_is_refused() {
    let directory = TempDir::new().unwrap();
    let file = directory.path().join("file");
    fs::write(&file, b"mine").unwrap();
    let refused = |path: &Path| FileStore::open(config(path), Arc::new(RealDisk)).unwrap_err();
    assert!(matches!(refused(&file), OpenError::NotWritable { .. }));
    assert!(matches!(refused(&file.join("below")), OpenError::Create { .. }));
    assert!(matches!(refused(Path::new("relative")), OpenError::Path { .. }));
    assert_eq!(fs::read(&file).unwrap(), b"mine");
}

#[tokio::test]
async fn a_file_body_can_be_made_to_fail_halfway() {
    let directory = TempDir::new().unwrap();
    let store = open(config(directory.path()));
    let bytes: Vec<u8> = (0..200_000u32).map(|at| at as u8).collect();
    let (_, _, location) = publish(&store, &bytes).await;
    let faulty = FaultyStore::new(Arc::new(store));
    faulty.fail(Operation::Read, 1, Fault::Partial(ErrorKind::Unavailable));
    let blob = faulty.read(&location, Some(1000..1_000_000)).await.unwrap();
    let Body::Stream(mut stream) = blob.body else {
        panic!("a body that fails is a stream");
    };
    let mut seen = Vec::new();
    let error = loop {
        use futures_util::StreamExt as _;
        match stream.next().await.unwrap() {
            Ok(chunk) => seen.extend_from_slice(&chunk),
            Err(error) => break error,
        }
    };
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    assert_eq!(seen, bytes[1000..1000 + 199_000 / 2]);
}
