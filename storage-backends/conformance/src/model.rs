//! Whatever is done in whatever order, a store does what the memory store does.

use std::sync::Arc;

use bytes::Bytes;
use proptest::{collection::vec, prelude::*};
use saccade_store_contract::{Attempt, BlobName, BlobWriter, Error, ErrorKind, Handle, Location, Store};
use saccade_store_memory::{MemoryStore, Shelf};
use uuid::Uuid;

use crate::{Harness, bytes_of};

/// Few, so that attempts meet.
const NAMES: u8 = 2;

/// One thing that is done. Attempts are counted from the latest.
#[derive(Debug, Clone)]
#[allow(missing_docs)] // They are the calls of the contract.
pub enum Step {
    Begin(u8),
    Write(usize, Vec<u8>),
    Zeroes(usize, u64),
    Commit(usize),
    Abort(usize),
    Drop(usize),
    Settle(usize),
    Discard(usize),
    Delete(u8),
    /// Somebody else puts a blob there.
    Plant(u8),
    /// The daemon starts again; what was under way is not any more.
    Restart,
}

/// Up to `most` steps; runs of zeroes are of these lengths.
pub fn steps(most: usize, zeroes: &'static [u64]) -> impl Strategy<Value = Vec<Step>> {
    let name = || 0..NAMES;
    let attempt = || 0..4_usize;
    let step = prop_oneof![
        4 => name().prop_map(Step::Begin),
        4 => (attempt(), vec(any::<u8>(), 0..700)).prop_map(|(at, bytes)| Step::Write(at, bytes)),
        1 => (attempt(), proptest::sample::select(zeroes)).prop_map(|(at, len)| Step::Zeroes(at, len)),
        4 => attempt().prop_map(Step::Commit),
        1 => attempt().prop_map(Step::Abort),
        1 => attempt().prop_map(Step::Drop),
        2 => attempt().prop_map(Step::Settle),
        3 => attempt().prop_map(Step::Discard),
        2 => name().prop_map(Step::Delete),
        1 => name().prop_map(Step::Plant),
        1 => Just(Step::Restart),
    ];
    vec(step, 0..most)
}

/// `None` also for steps that mean nothing now.
type Outcome = Option<Result<(), ErrorKind>>;

fn kind<T>(result: Result<T, Error>) -> Outcome {
    Some(result.map(drop).map_err(|error| error.kind()))
}

fn blob(name: u8) -> BlobName {
    BlobName(Uuid::from_u128(u128::from(name)))
}

/// One backend, and the attempts on it.
#[derive(Default)]
struct Side {
    attempts: Vec<OneAttempt>,
}

struct OneAttempt {
    handle: Handle,
    writer: Option<Box<dyn BlobWriter>>,
    is_committed: bool,
}

impl Side {
    fn attempt(&mut self, at: usize) -> Option<&mut OneAttempt> {
        self.attempts.iter_mut().rev().nth(at)
    }

    /// Makes a step; says how it went, comparably.
    async fn step(
        &mut self,
        store: &dyn Store,
        step: &Step,
        attempt: Attempt,
        locate: &(dyn Fn(BlobName) -> Location + Sync),
    ) -> Outcome {
        match step {
            Step::Begin(name) => {
                let created = store.create(blob(*name), attempt, None).await;
                let (handle, writer) = created.expect("an attempt begins");
                self.attempts.push(OneAttempt {
                    handle,
                    writer: Some(writer),
                    is_committed: false,
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
                drop(writer.write_zeroes(*len).await);
                None
            }
            Step::Commit(at) => {
                let attempt = self.attempt(*at)?;
                let committed = attempt.writer.take()?.commit().await;
                attempt.is_committed = committed.is_ok();
                kind(committed)
            }
            Step::Abort(at) => kind(self.attempt(*at)?.writer.take()?.abort().await),
            Step::Drop(at) => {
                self.attempt(*at)?.writer = None;
                None
            }
            Step::Settle(at) => {
                let attempt = self.attempt(*at)?;
                // Nobody settles what was not committed.
                if !attempt.is_committed {
                    return None;
                }
                kind(store.settle(&attempt.handle).await)
            }
            Step::Discard(at) => kind(store.discard(&self.attempt(*at)?.handle).await),
            Step::Delete(name) => kind(store.delete(&locate(blob(*name))).await),
            Step::Plant(_) | Step::Restart => None,
        }
    }

    fn drop_writers(&mut self) {
        self.attempts.iter_mut().for_each(|attempt| attempt.writer = None);
    }
}

async fn contents(
    store: &dyn Store,
    locate: &(dyn Fn(BlobName) -> Location + Sync),
) -> Vec<Result<Vec<u8>, ErrorKind>> {
    let mut contents = Vec::new();
    for name in 0..NAMES {
        contents.push(match store.read(&locate(blob(name)), None).await {
            Ok(blob) => Ok(bytes_of(blob).await.expect("a blob is read to its end")),
            Err(error) => Err(error.kind()),
        });
    }
    contents
}

/// Makes the steps at a fresh backend and at the memory store, and compares what both say and hold after each. At the end, when
/// every attempt is undone or settled, blobs alone are left.
pub async fn compare<H: Harness + Sync>(steps: Vec<Step>) {
    let mut harness = H::start().await;
    let shelf = Shelf::new();
    let memory: Arc<dyn Store> = Arc::new(MemoryStore::new("model", Arc::clone(&shelf)));
    let (mut subject, mut model) = (Side::default(), Side::default());
    for (number, step) in (0..).zip(&steps) {
        let attempt = Attempt(Uuid::from_u128(number));
        let store = harness.store();
        let locate = |name| harness.location(name);
        let found = subject.step(&*store, step, attempt, &locate).await;
        let expected = model.step(&*memory, step, attempt, &MemoryStore::location).await;
        assert_eq!(found, expected, "step {number}, {step:?}");
        drop(store);
        match step {
            Step::Plant(name) => {
                harness.plant(blob(*name), b"foreign").await;
                shelf.plant(blob(*name), Bytes::from_static(b"foreign"));
            }
            Step::Restart => {
                subject.drop_writers();
                model.drop_writers();
                harness.restart().await;
            }
            _ => (),
        }
        let locate = |name| harness.location(name);
        let found = contents(&*harness.store(), &locate).await;
        let expected = contents(&*memory, &MemoryStore::location).await;
        assert!(
            found == expected,
            "others are there after step {number}, {step:?}"
        );
    }
    subject.drop_writers();
    model.drop_writers();
    for attempt in &subject.attempts {
        let discarded = harness.store().discard(&attempt.handle).await;
        discarded.expect("an attempt is undone");
    }
    for attempt in &model.attempts {
        memory
            .discard(&attempt.handle)
            .await
            .expect("an attempt is undone");
    }
    let locate = |name| harness.location(name);
    let left = contents(&*harness.store(), &locate).await;
    assert!(
        left == contents(&*memory, &MemoryStore::location).await,
        "others are left"
    );
    let blobs = left.iter().filter(|content| content.is_ok()).count();
    let inventory = harness.inventory().await;
    assert_eq!(inventory.len(), blobs, "{inventory:?}");
}
