//! Several directories: which one a blob goes to, and that it is found and removed wherever it is.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

use std::{
    fs, io,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    sync::Arc,
};

use async_trait::async_trait;
use bytes::Bytes;
use proptest::prelude::*;
use saccade_disk::{Disk, DiskFile, RealDisk, Space, Stat, simulated::SimulatedDisk};
use saccade_store_conformance::{
    Harness, bytes_of,
    model::{compare, steps},
};
use saccade_store_contract::{Attempt, BlobName, ErrorKind, Handle, Location, Store};
use saccade_store_file::{DataDirectory, FileStoreConfig, FileStores, OpenError};
use tempfile::TempDir;
use tokio::runtime::Builder;
use uuid::Uuid;

fn directory(priority: i64, datadir: PathBuf) -> DataDirectory {
    DataDirectory {
        priority,
        config: FileStoreConfig::new("test", datadir),
    }
}

/// The second of three has the greatest priority.
struct Three {
    place: TempDir,
    store: Arc<FileStores>,
}

impl Three {
    fn path(&self, name: &str) -> PathBuf {
        self.place.path().join(name)
    }

    fn open(place: &TempDir) -> Arc<FileStores> {
        let directories = [("a", 1), ("b", 10), ("c", 5)];
        let directories = directories.map(|(name, priority)| directory(priority, place.path().join(name)));
        Arc::new(FileStores::open(directories.into(), Arc::new(RealDisk)).unwrap())
    }

    async fn write(&self, size: Option<u64>) -> Result<Location, ErrorKind> {
        let (handle, location) = self.publish(size).await?;
        self.store.settle(&handle).await.unwrap();
        Ok(location)
    }

    async fn publish(&self, size: Option<u64>) -> Result<(Handle, Location), ErrorKind> {
        let (name, attempt) = (BlobName(Uuid::new_v4()), Attempt(Uuid::new_v4()));
        let created = self.store.create(name, attempt, size).await;
        let (handle, mut writer) = created.map_err(|error| error.kind())?;
        writer.write(Bytes::from_static(b"data")).await.unwrap();
        let location = writer.commit().await.unwrap();
        Ok((handle, location))
    }
}

#[async_trait]
impl Harness for Three {
    async fn start() -> Self {
        let place = TempDir::new().unwrap();
        let store = Self::open(&place);
        Self { place, store }
    }

    fn store(&self) -> Arc<dyn Store> {
        Arc::clone(&self.store) as Arc<dyn Store>
    }

    async fn restart(&mut self) {
        self.store = Self::open(&self.place);
    }

    async fn inventory(&self) -> Vec<String> {
        let names = |directory: &str| {
            fs::read_dir(self.path(directory))
                .unwrap()
                .map(|entry| entry.unwrap().file_name().into_string().unwrap())
                .collect::<Vec<_>>()
        };
        ["a", "b", "c"]
            .iter()
            .flat_map(|directory| names(directory))
            .collect()
    }

    async fn plant(&self, name: BlobName, bytes: &[u8]) {
        // Another file, also where one is.
        let new = self.place.path().join("new");
        fs::write(&new, bytes).unwrap();
        fs::rename(new, self.path("b").join(name.to_string())).unwrap();
    }

    fn location(&self, name: BlobName) -> Location {
        Location::new(format!("file://{}/{name}", self.path("b").display()))
    }

    fn foreign_locations(&self) -> Vec<Location> {
        let place = self.place.path().display();
        [
            String::new(),
            "file:///etc/passwd".to_owned(),
            format!("file://{place}/x"),
            format!("file://{place}/b/../a/x"),
            format!("file://{place}/d/x"),
        ]
        .map(Location::new)
        .into()
    }

    fn chunks_held(&self) -> Option<usize> {
        Some(8)
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, ..ProptestConfig::default() })]

    #[test]
    fn several_directories_do_what_the_memory_store_does(steps in steps(40, &[0, 1, 2000])) {
        let runtime = Builder::new_current_thread().build().unwrap();
        runtime.block_on(compare::<Three>(steps));
    }
}

mod conformance {
    use super::Three;
    saccade_store_conformance::conformance_suite!(Three);
}

fn is_in(three: &Three, location: &Location, directory: &str) -> bool {
    let prefix = format!("file://{}/", three.path(directory).display());
    location.as_str().starts_with(&prefix)
}

#[tokio::test]
async fn the_greatest_priority_with_room_is_filled_first() {
    let three = Three::start().await;
    let location = three.write(Some(4)).await.unwrap();
    assert!(is_in(&three, &location, "b"), "{}", location.as_str());
    let free = three.store.capacity().await.unwrap().unwrap().free;
    let too_large = three.write(Some(free.saturating_mul(2))).await;
    assert_eq!(too_large.unwrap_err(), ErrorKind::Full);
}

#[tokio::test]
async fn a_directory_that_is_gone_is_passed_over_and_nothing_is_taken_for_undone_meanwhile() {
    let three = Three::start().await;
    let (name, attempt) = (BlobName(Uuid::new_v4()), Attempt(Uuid::new_v4()));
    let (handle, mut writer) = three.store.create(name, attempt, None).await.unwrap();
    writer.write(Bytes::from_static(b"data")).await.unwrap();
    writer.commit().await.unwrap();
    let (there, away) = (three.path("b"), three.path("away"));
    fs::rename(&there, &away).unwrap();
    let (other, location) = three.publish(None).await.unwrap();
    assert!(is_in(&three, &location, "c"), "{}", location.as_str());
    // Nobody knows whether the one that is away has something of it.
    let error = three.store.settle(&other).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    let error = three.store.discard(&handle).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    fs::rename(&away, &there).unwrap();
    three.store.discard(&handle).await.unwrap();
    three.store.settle(&other).await.unwrap();
    assert_eq!(three.store.size(&location).await.unwrap(), 4);
    assert!(!there.join(name.to_string()).exists());
}

#[tokio::test]
async fn blobs_are_read_and_deleted_where_their_location_says() {
    let three = Three::start().await;
    let name = BlobName(Uuid::new_v4());
    for (directory, bytes) in [("a", b"in a"), ("c", b"in c")] {
        fs::write(three.path(directory).join(name.to_string()), bytes).unwrap();
    }
    let at = |directory: &str| Location::new(format!("file://{}/{name}", three.path(directory).display()));
    let blob = three.store.read(&at("c"), None).await.unwrap();
    assert_eq!(bytes_of(blob).await.unwrap(), b"in c");
    three.store.delete(&at("c")).await.unwrap();
    assert_eq!(
        three.store.size(&at("c")).await.unwrap_err().kind(),
        ErrorKind::NotFound
    );
    assert_eq!(three.store.size(&at("a")).await.unwrap(), 4);
}

/// The real disk, of which directories have as much room as their names say, in MiB.
#[derive(Debug)]
struct Partitioned;

#[deny(clippy::missing_trait_methods)]
impl Disk for Partitioned {
    fn create_new(&self, path: &Path, mode: u32) -> io::Result<Box<dyn DiskFile>> {
        RealDisk.create_new(path, mode)
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
        let name = path.file_name().unwrap().to_str().unwrap();
        let free = name.parse::<u64>().unwrap() << 20;
        Ok(Space {
            free,
            ..RealDisk.space(path)?
        })
    }

    fn favours_direct_writes(&self, directory: &Path) -> bool {
        RealDisk.favours_direct_writes(directory)
    }
}

#[tokio::test]
async fn a_directory_that_is_as_good_as_full_is_the_last_that_gets_a_blob_of_unknown_length() {
    let place = TempDir::new().unwrap();
    let chosen = async |directories: &[(&str, i64)], size| {
        let directories = directories
            .iter()
            .map(|(name, priority)| directory(*priority, place.path().join(name)));
        let store = FileStores::open(directories.collect(), Arc::new(Partitioned)).unwrap();
        let (name, attempt) = (BlobName(Uuid::new_v4()), Attempt(Uuid::new_v4()));
        let (handle, mut writer) = store.create(name, attempt, size).await.unwrap();
        writer.write(Bytes::from_static(b"data")).await.unwrap();
        let location = writer.commit().await.unwrap();
        store.settle(&handle).await.unwrap();
        let path = PathBuf::from(location.as_str().strip_prefix("file://").unwrap());
        let directory = path.parent().unwrap().file_name().unwrap();
        directory.to_str().unwrap().to_owned()
    };
    let (first_full, all_full) = ([("0", 9), ("5000", 5), ("9000", 1)], [("7", 9), ("70", 1)]);
    assert_eq!(chosen(&first_full, None).await, "5000");
    assert_eq!(chosen(&first_full, Some(4)).await, "5000");
    assert_eq!(chosen(&all_full, None).await, "70");
    // A length that is told has room or has none.
    assert_eq!(chosen(&all_full, Some(4)).await, "7");
}

#[test]
fn one_directory_under_two_names_is_refused_by_both() {
    let place = TempDir::new().unwrap();
    let (there, link, within) = (
        place.path().join("there"),
        place.path().join("link"),
        place.path().join("there/within"),
    );
    fs::create_dir_all(&within).unwrap();
    symlink(&there, &link).unwrap();
    let open = |paths: &[&PathBuf]| {
        let directories = paths.iter().map(|path| directory(1, (*path).clone()));
        FileStores::open(directories.collect(), Arc::new(RealDisk))
    };
    for (path, other) in [(&link, &there), (&there, &link), (&there, &there)] {
        let error = open(&[other, &within, path]).unwrap_err();
        assert!(matches!(error, OpenError::SameDirectory { .. }), "{error}");
        let text = error.to_string();
        for named in [path, other] {
            assert!(text.contains(&named.display().to_string()), "{text}");
        }
    }
    open(&[&there, &within]).unwrap();
}

#[test]
fn a_file_system_without_hard_links_is_refused_by_name_and_so_is_no_directory() {
    let nothing = FileStores::open(Vec::new(), Arc::new(SimulatedDisk::new())).unwrap_err();
    assert!(matches!(nothing, OpenError::NoDirectory));
}
