//! Rule 8, and reading.

use saccade_store_contract::{ErrorKind, Location, Store};

use super::{assert_absent, assert_holds, assert_kind, committed, finish, name, pattern, remove};
use crate::{Harness, bytes_of};

/// Rule 8.
pub async fn delete_removes_and_then_finds_nothing<H: Harness>(harness: &mut H) {
    let store = harness.store();
    let (handle, location) = committed(&*store, name(), &pattern(1000, 1)).await;
    store.settle(&handle).await.expect("the blob is settled");
    store.delete(&location).await.expect("the blob is deleted");
    assert_absent(&*store, &location).await;
    assert_kind(store.delete(&location).await, ErrorKind::NotFound);
    harness.restart().await;
    assert_absent(&*harness.store(), &location).await;
    assert_kind(harness.store().delete(&location).await, ErrorKind::NotFound);
}

/// Rule 8, for the blobs of a Glance that was here before.
pub async fn delete_works_on_what_the_store_did_not_write<H: Harness>(harness: &mut H) {
    let (store, name) = (harness.store(), name());
    let location = harness.location(name);
    harness.plant(name, b"foreign").await;
    assert_holds(&*store, &location, b"foreign").await;
    store
        .prepare_delete(&location)
        .await
        .expect("the blob may be deleted");
    store.delete(&location).await.expect("the blob is deleted");
    assert_absent(&*store, &location).await;
}

/// `prepare_delete` asks.
pub async fn prepare_delete_changes_nothing<H: Harness>(harness: &mut H) {
    let (store, bytes) = (harness.store(), pattern(1000, 1));
    let (handle, location) = committed(&*store, name(), &bytes).await;
    for _ in 0..2 {
        store
            .prepare_delete(&location)
            .await
            .expect("the blob may be deleted");
        assert_holds(&*store, &location, &bytes).await;
    }
    finish(&*store, &handle, &location).await;
}

/// Rule 8.
pub async fn an_open_reader_outlives_delete<H: Harness>(harness: &mut H) {
    let (store, bytes) = (harness.store(), pattern(3_000_000, 1));
    let (handle, location) = committed(&*store, name(), &bytes).await;
    let blob = store.read(&location, None).await.expect("the blob opens");
    finish(&*store, &handle, &location).await;
    assert_absent(&*store, &location).await;
    let found = bytes_of(blob).await.expect("the bytes come to the end");
    assert!(found == bytes, "the reader was given other bytes");
}

/// `read` of a range.
pub async fn ranges_are_cut_to_the_blob<H: Harness>(harness: &mut H) {
    let (store, bytes) = (harness.store(), pattern(100_000, 1));
    let (handle, location) = committed(&*store, name(), &bytes).await;
    for range in [
        0..0,
        0..1,
        0..100_000,
        0..u64::MAX,
        1..99_999,
        65_535..65_537,
        99_999..100_000,
        99_999..100_001,
        100_000..100_000,
        100_000..200_000,
        200_000..300_000,
        u64::MAX..u64::MAX,
    ] {
        let blob = store
            .read(&location, Some(range.clone()))
            .await
            .expect("the blob opens");
        assert_eq!(blob.size, 100_000);
        let found = bytes_of(blob).await.expect("the range is readable");
        let cut = |at: u64| usize::try_from(at).map_or(bytes.len(), |at| at.min(bytes.len()));
        let expected = bytes.slice(cut(range.start)..cut(range.end));
        assert!(
            found == expected,
            "{range:?} gave {} bytes, or others",
            found.len()
        );
    }
    finish(&*store, &handle, &location).await;
}

/// What is not there.
pub async fn what_is_missing_is_not_found<H: Harness>(harness: &mut H) {
    let store = harness.store();
    let missing = harness.location(name());
    assert_everything_fails(&*store, &missing, ErrorKind::NotFound).await;
}

/// A location that this store has not made opens nothing.
pub async fn foreign_locations_are_invalid<H: Harness>(harness: &mut H) {
    let store = harness.store();
    let locations = harness.foreign_locations();
    assert!(!locations.is_empty());
    for location in locations {
        assert_everything_fails(&*store, &location, ErrorKind::Invalid).await;
    }
}

async fn assert_everything_fails(store: &dyn Store, location: &Location, kind: ErrorKind) {
    assert_kind(store.read(location, None).await, kind);
    assert_kind(store.read(location, Some(0..1)).await, kind);
    assert_kind(store.size(location).await, kind);
    assert_kind(store.prepare_delete(location).await, kind);
    assert_kind(store.delete(location).await, kind);
}

/// A handle that this store has not made undoes nothing.
pub async fn foreign_handles_are_invalid<H: Harness>(harness: &mut H) {
    let (store, name) = (harness.store(), name());
    harness.plant(name, b"foreign").await;
    for handle in harness.foreign_handles() {
        assert_kind(store.discard(&handle).await, ErrorKind::Invalid);
        assert_kind(store.settle(&handle).await, ErrorKind::Invalid);
    }
    let location = harness.location(name);
    assert_holds(&*store, &location, b"foreign").await;
    remove(&*store, &location).await;
}
