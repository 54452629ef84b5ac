//! The store that fails on demand: as the one beneath it until told otherwise, and then as told.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use saccade_store_conformance::{Fault, FaultyStore, Harness, bytes_of, conformance_suite};
use saccade_store_contract::{
    Attempt, BlobName, BlobWriter, Error, ErrorKind, Handle, Location, Operation, Store,
};
use saccade_store_memory::{MemoryStore, Shelf};
use uuid::Uuid;

struct Faultless(Arc<Shelf>);

#[async_trait]
impl Harness for Faultless {
    async fn start() -> Self {
        Self(Shelf::new())
    }

    fn store(&self) -> Arc<dyn Store> {
        Arc::new(faulty(&self.0))
    }

    async fn restart(&mut self) {}

    async fn inventory(&self) -> Vec<String> {
        self.0.inventory()
    }

    async fn plant(&self, name: BlobName, bytes: &[u8]) {
        self.0.plant(name, bytes.to_vec().into());
    }

    fn location(&self, name: BlobName) -> Location {
        MemoryStore::location(name)
    }

    fn foreign_locations(&self) -> Vec<Location> {
        vec![Location::new("file:///x")]
    }

    fn chunks_held(&self) -> Option<usize> {
        None
    }
}

mod without_faults {
    use super::Faultless;
    super::conformance_suite!(Faultless);
}

fn faulty(shelf: &Arc<Shelf>) -> FaultyStore {
    FaultyStore::new(Arc::new(MemoryStore::new("test", Arc::clone(shelf))))
}

async fn begin(store: &FaultyStore) -> (Handle, Box<dyn BlobWriter>) {
    let name = BlobName(Uuid::new_v4());
    store.create(name, Attempt(Uuid::new_v4()), None).await.unwrap()
}

fn kind<T>(result: Result<T, Error>) -> Option<ErrorKind> {
    result.err().map(|error| error.kind())
}

#[tokio::test]
async fn the_nth_call_fails_and_no_other() {
    let store = faulty(&Shelf::new());
    store.fail(Operation::Write, 2, Fault::Fail(ErrorKind::Full));
    let (_, mut writer) = begin(&store).await;
    assert_eq!(kind(writer.write(Bytes::from_static(b"a")).await), None);
    assert_eq!(kind(writer.write_zeroes(1).await), Some(ErrorKind::Full));
    assert_eq!(kind(writer.write(Bytes::from_static(b"b")).await), None);
    let location = writer.commit().await.unwrap();
    let bytes = bytes_of(store.read(&location, None).await.unwrap())
        .await
        .unwrap();
    assert_eq!(bytes, b"ab");
    assert_eq!(store.calls(Operation::Write), 3);
}

#[tokio::test]
async fn a_partial_write_leaves_half() {
    let store = faulty(&Shelf::new());
    store.fail(Operation::Write, 1, Fault::Partial(ErrorKind::Unavailable));
    let (_, mut writer) = begin(&store).await;
    let error = writer.write(Bytes::from_static(b"half and half")).await;
    assert_eq!(kind(error), Some(ErrorKind::Unavailable));
    let location = writer.commit().await.unwrap();
    assert_eq!(store.size(&location).await.unwrap(), 6);
}

#[tokio::test]
async fn a_commit_of_unknown_outcome_may_have_happened_or_not() {
    for (fault, left) in [
        (Fault::DoneButFail(ErrorKind::Unavailable), 1),
        (Fault::Fail(ErrorKind::Unavailable), 0),
    ] {
        let shelf = Shelf::new();
        let store = faulty(&shelf);
        store.fail(Operation::Commit, 1, fault);
        let (handle, writer) = begin(&store).await;
        assert_eq!(kind(writer.commit().await), Some(ErrorKind::Unavailable));
        assert_eq!(shelf.inventory().len(), left);
        store.discard(&handle).await.unwrap();
        assert!(shelf.inventory().is_empty());
    }
}

#[tokio::test]
async fn a_stream_can_be_made_to_fail_halfway() {
    let store = faulty(&Shelf::new());
    let (_, mut writer) = begin(&store).await;
    writer.write(Bytes::from_static(b"0123456789")).await.unwrap();
    let location = writer.commit().await.unwrap();
    for range in [None, Some(2..8), Some(20..30)] {
        store.fail(Operation::Read, 1, Fault::Partial(ErrorKind::Corrupt));
        let blob = store.read(&location, range).await.unwrap();
        assert_eq!(kind(bytes_of(blob).await), Some(ErrorKind::Corrupt));
    }
}

#[tokio::test]
async fn a_held_call_waits_for_its_release() {
    let shelf = Shelf::new();
    let store = Arc::new(faulty(&shelf));
    let before = store.hold_before(Operation::Commit, 1);
    let after = store.hold_after(Operation::Commit, 2);
    let (first, second) = (begin(&store).await, begin(&store).await);
    let first = tokio::spawn(first.1.commit());
    before.reached().await;
    assert!(shelf.inventory().is_empty(), "not done before its release");
    let second = tokio::spawn(second.1.commit());
    after.reached().await;
    assert_eq!(shelf.inventory().len(), 1, "done before its release");
    assert!(!first.is_finished() && !second.is_finished());
    before.release();
    after.release();
    first.await.unwrap().unwrap();
    second.await.unwrap().unwrap();
    assert_eq!(shelf.inventory().len(), 2);
}
