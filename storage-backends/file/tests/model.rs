//! Whatever is done in whatever order, the file store does what the memory store does.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

use std::{path::PathBuf, sync::Arc};

use bytes::Bytes;
use proptest::{collection::vec, prelude::*};
use saccade_disk::simulated::{Loss, SimulatedDisk};
use saccade_store_conformance::bytes_of;
use saccade_store_contract::{Attempt, BlobName, BlobWriter, Error, ErrorKind, Handle, Location, Store};
use saccade_store_file::{FileStore, FileStoreConfig};
use saccade_store_memory::{MemoryStore, Shelf};
use tokio::runtime::Builder;
use uuid::Uuid;

const DATADIR: &str = "/srv/images";
const NAMES: u8 = 2;

#[derive(Debug, Clone)]
enum Step {
    Begin(u8),
    Write(usize, Vec<u8>),
    Zeroes(usize, u16),
    Commit(usize),
    Abort(usize),
    Drop(usize),
    Settle(usize),
    Discard(usize),
    Delete(u8),
    Plant(u8),
    /// The power is cut with nothing under way; what is acknowledged must be durable.
    PowerCut(u64),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let name = || 0..NAMES;
    let attempt = || 0..4usize;
    let step = prop_oneof![
        4 => name().prop_map(Step::Begin),
        4 => (attempt(), vec(any::<u8>(), 0..700)).prop_map(|(at, bytes)| Step::Write(at, bytes)),
        1 => (attempt(), 0..2000u16).prop_map(|(at, len)| Step::Zeroes(at, len)),
        4 => attempt().prop_map(Step::Commit),
        1 => attempt().prop_map(Step::Abort),
        1 => attempt().prop_map(Step::Drop),
        2 => attempt().prop_map(Step::Settle),
        3 => attempt().prop_map(Step::Discard),
        2 => name().prop_map(Step::Delete),
        1 => name().prop_map(Step::Plant),
        1 => any::<u64>().prop_map(Step::PowerCut),
    ];
    vec(step, 0..40)
}

/// One backend, and the attempts on it.
struct Side {
    store: Arc<dyn Store>,
    attempts: Vec<OneAttempt>,
}

struct OneAttempt {
    handle: Handle,
    writer: Option<Box<dyn BlobWriter>>,
    committed: bool,
}

impl Side {
    /// The attempt that a step means, counted from the latest.
    fn attempt(&mut self, at: usize) -> Option<&mut OneAttempt> {
        self.attempts.iter_mut().rev().nth(at)
    }

    /// Makes a step; says how it went, comparably.
    async fn step(&mut self, step: &Step, attempt: Attempt, locate: fn(BlobName) -> Location) -> Outcome {
        match step {
            Step::Begin(name) => {
                let (handle, writer) = self.store.create(blob(*name), attempt, None).await.unwrap();
                self.attempts.push(OneAttempt {
                    handle,
                    writer: Some(writer),
                    committed: false,
                });
                None
            }
            // An error may show now or at the commit, which is compared.
            Step::Write(at, bytes) => {
                let writer = self.attempt(*at)?.writer.as_mut()?;
                drop(writer.write(Bytes::from(bytes.clone())).await);
                None
            }
            Step::Zeroes(at, len) => {
                let writer = self.attempt(*at)?.writer.as_mut()?;
                drop(writer.write_zeroes(u64::from(*len)).await);
                None
            }
            Step::Commit(at) => {
                let attempt = self.attempt(*at)?;
                let committed = attempt.writer.take()?.commit().await;
                attempt.committed = committed.is_ok();
                kind(committed)
            }
            Step::Abort(at) => kind(self.attempt(*at)?.writer.take()?.abort().await),
            Step::Drop(at) => {
                self.attempt(*at)?.writer = None;
                None
            }
            Step::Settle(at) => {
                let store = Arc::clone(&self.store);
                let attempt = self.attempt(*at)?;
                if !attempt.committed {
                    return None;
                }
                kind(store.settle(&attempt.handle).await)
            }
            Step::Discard(at) => {
                let store = Arc::clone(&self.store);
                kind(store.discard(&self.attempt(*at)?.handle).await)
            }
            Step::Delete(name) => kind(self.store.delete(&locate(blob(*name))).await),
            Step::Plant(_) | Step::PowerCut(_) => None,
        }
    }

    async fn contents(&self, locate: fn(BlobName) -> Location) -> Vec<Result<Vec<u8>, ErrorKind>> {
        let mut contents = Vec::new();
        for name in 0..NAMES {
            contents.push(match self.store.read(&locate(blob(name)), None).await {
                Ok(blob) => Ok(bytes_of(blob).await.unwrap()),
                Err(error) => Err(error.kind()),
            });
        }
        contents
    }
}

/// `None` also for steps that mean nothing now.
type Outcome = Option<Result<(), ErrorKind>>;

fn kind<T>(result: Result<T, Error>) -> Outcome {
    Some(result.map(drop).map_err(|error| error.kind()))
}

fn blob(name: u8) -> BlobName {
    BlobName(Uuid::from_u128(u128::from(name)))
}

fn in_files(name: BlobName) -> Location {
    Location::new(format!("file://{DATADIR}/{name}"))
}

fn open(disk: &SimulatedDisk, thin_provisioning: bool) -> Arc<dyn Store> {
    let config = FileStoreConfig {
        thin_provisioning,
        ..FileStoreConfig::new("test", DATADIR)
    };
    Arc::new(FileStore::open(config, Arc::new(disk.clone())).unwrap())
}

async fn compare(steps: Vec<Step>, thin: bool) {
    let mut disk = SimulatedDisk::new();
    let shelf = Shelf::new();
    let on_shelf = || Arc::new(MemoryStore::new("test", Arc::clone(&shelf)));
    let mut files = Side {
        store: open(&disk, thin),
        attempts: Vec::new(),
    };
    let mut memory = Side {
        store: on_shelf(),
        attempts: Vec::new(),
    };
    for (number, step) in (0..).zip(&steps) {
        let attempt = Attempt(Uuid::from_u128(number));
        let of_files = files.step(step, attempt, in_files).await;
        let of_memory = memory.step(step, attempt, MemoryStore::location).await;
        assert_eq!(of_files, of_memory, "step {number}, {step:?}");
        match step {
            Step::Plant(name) => {
                let path = PathBuf::from(DATADIR).join(blob(*name).to_string());
                disk.plant(&path, b"foreign").unwrap();
                shelf.plant(blob(*name), Bytes::from_static(b"foreign"));
            }
            Step::PowerCut(seed) => {
                for side in [&mut files, &mut memory] {
                    side.attempts.iter_mut().for_each(|attempt| attempt.writer = None);
                }
                disk = disk.after_crash(Loss::Seeded(*seed));
                files.store = open(&disk, thin);
                memory.store = on_shelf();
            }
            _ => (),
        }
        assert_eq!(
            files.contents(in_files).await,
            memory.contents(MemoryStore::location).await,
            "after step {number}, {step:?}"
        );
    }
    // When every attempt is undone or settled, blobs alone are left.
    for side in [&mut files, &mut memory] {
        for attempt in &mut side.attempts {
            attempt.writer = None;
            side.store.discard(&attempt.handle).await.unwrap();
        }
    }
    let contents = files.contents(in_files).await;
    assert_eq!(contents, memory.contents(MemoryStore::location).await);
    let blobs = contents.iter().filter(|content| content.is_ok()).count();
    assert_eq!(disk.files().len(), blobs);
    assert_eq!(shelf.inventory().len(), blobs);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    #[test]
    fn the_file_store_does_what_the_memory_store_does(steps in steps(), thin: bool) {
        let runtime = Builder::new_current_thread().build().unwrap();
        runtime.block_on(compare(steps, thin));
    }
}
