//! Rule 8, and reading.

use saccade_store_contract::{ErrorKind, Location, Store};

use super::{
    assert_absent, assert_holds, assert_kind, attempt, committed, finish, name, pattern, planted, remove,
};
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
    let location = planted(harness, &bytes).await;
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
    remove(&*store, &location).await;
}

/// Ranges of nothing.
pub async fn an_empty_blob_has_empty_ranges<H: Harness>(harness: &mut H) {
    let store = harness.store();
    let location = planted(harness, b"").await;
    for range in [None, Some(0..0), Some(0..1), Some(5..u64::MAX)] {
        let blob = store.read(&location, range).await.expect("the blob opens");
        assert_eq!(blob.size, 0);
        assert!(bytes_of(blob).await.expect("it is readable").is_empty());
    }
    assert_holds(&*store, &location, b"").await;
    remove(&*store, &location).await;
}

/// Whoever has written it, and whenever.
pub async fn what_others_wrote_is_read<H: Harness>(harness: &mut H) {
    let bytes = pattern(3_000_000, 1);
    let location = planted(harness, &bytes).await;
    assert_holds(&*harness.store(), &location, &bytes).await;
    harness.restart().await;
    assert_holds(&*harness.store(), &location, &bytes).await;
    remove(&*harness.store(), &location).await;
}

/// Readers do not get in each other's way.
pub async fn many_readers_at_once_do_not_mix<H: Harness>(harness: &mut H) {
    let mut locations = Vec::new();
    let mut readers = Vec::new();
    for seed in 0..8 {
        let bytes = pattern(300_000, seed);
        let location = planted(harness, &bytes).await;
        locations.push(location.clone());
        for start in [0, 100_001] {
            let (store, location, bytes) = (harness.store(), location.clone(), bytes.clone());
            readers.push(tokio::spawn(async move {
                let range = u64::try_from(start).expect("a small number")..u64::MAX;
                let blob = store.read(&location, Some(range)).await.expect("the blob opens");
                let found = bytes_of(blob).await.expect("the range is readable");
                assert!(found == bytes.slice(start..), "blob {seed} has others' bytes");
            }));
        }
    }
    for reader in readers {
        reader.await.expect("the reader does not panic");
    }
    for location in locations {
        remove(&*harness.store(), &location).await;
    }
}

/// Rule 8 and `create`, where the store is read-only.
pub async fn a_read_only_store_changes_nothing<H: Harness>(harness: &mut H) {
    let (store, bytes) = (harness.store(), pattern(1000, 1));
    assert!(!store.capabilities().writable);
    let location = planted(harness, &bytes).await;
    let before = harness.inventory().await;
    for hint in [None, Some(0), Some(1000)] {
        let created = store.create(name(), attempt(), hint).await;
        assert_kind(created.map(drop), ErrorKind::Unsupported);
    }
    // Also where there is nothing: it is not asked.
    for location in [&location, &harness.location(name())] {
        assert_kind(store.prepare_delete(location).await, ErrorKind::Unsupported);
        assert_kind(store.delete(location).await, ErrorKind::Unsupported);
    }
    assert_eq!(harness.inventory().await, before);
    assert_holds(&*store, &location, &bytes).await;
}

/// What is not there.
pub async fn what_is_missing_is_not_found<H: Harness>(harness: &mut H) {
    let store = harness.store();
    let missing = harness.location(name());
    assert_reading_fails(&*store, &missing, ErrorKind::NotFound).await;
    if store.capabilities().writable {
        assert_deleting_fails(&*store, &missing, ErrorKind::NotFound).await;
    }
}

/// A location that this store has not made opens nothing.
pub async fn foreign_locations_are_invalid<H: Harness>(harness: &mut H) {
    let store = harness.store();
    let locations = harness.foreign_locations();
    assert!(!locations.is_empty());
    for location in locations {
        assert_reading_fails(&*store, &location, ErrorKind::Invalid).await;
        assert_deleting_fails(&*store, &location, ErrorKind::Invalid).await;
    }
}

async fn assert_reading_fails(store: &dyn Store, location: &Location, kind: ErrorKind) {
    assert_kind(store.read(location, None).await, kind);
    assert_kind(store.read(location, Some(0..1)).await, kind);
    assert_kind(store.read(location, Some(0..0)).await, kind);
    assert_kind(store.size(location).await, kind);
}

async fn assert_deleting_fails(store: &dyn Store, location: &Location, kind: ErrorKind) {
    assert_kind(store.prepare_delete(location).await, kind);
    assert_kind(store.delete(location).await, kind);
}

/// What a store has written it knows by its location, and what is elsewhere it does not take for its own.
pub async fn a_location_has_one_spelling<H: Harness>(harness: &mut H) {
    let store = harness.store();
    let location = harness.location(name());
    let canonical = store.canonical(&location).expect("its own location");
    assert_eq!(store.canonical(&canonical), Some(canonical.clone()));
    assert_ne!(store.canonical(&harness.location(name())), Some(canonical));
    for foreign in harness.foreign_locations() {
        assert_eq!(store.canonical(&foreign), None, "{}", foreign.as_str());
    }
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
