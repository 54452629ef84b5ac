//! The rules, one function each. Every test removes what it has made; what is left fails it.

mod publish;
mod read;
mod undo;

use bytes::Bytes;
use saccade_store_contract::{
    Attempt, BlobName, BlobWriter, ErrorKind, Handle, Location, Result, Store, StoreExt,
};
use uuid::Uuid;

use crate::Harness;

pub use self::{
    publish::{
        a_blob_is_found_by_its_location_after_a_restart, a_blob_may_be_longer_or_shorter_than_was_declared,
        a_late_attempt_neither_overwrites_nor_removes_a_newer_blob,
        a_size_beyond_the_room_is_refused_at_once, a_writer_holds_few_chunks, an_empty_blob_can_be_published,
        commit_is_whole_whatever_the_chunks, commit_never_replaces_a_foreign_blob, create_leaves_nothing,
        dropping_a_writer_publishes_nothing, many_blobs_at_once_do_not_mix, no_location_reads_before_commit,
        of_concurrent_attempts_exactly_one_commits, zeroes_read_as_zeroes,
    },
    read::{
        a_location_has_one_spelling, a_read_only_store_changes_nothing, an_empty_blob_has_empty_ranges,
        an_open_reader_outlives_delete, delete_removes_and_then_finds_nothing,
        delete_works_on_what_the_store_did_not_write, foreign_handles_are_invalid,
        foreign_locations_are_invalid, many_readers_at_once_do_not_mix, prepare_delete_changes_nothing,
        ranges_are_cut_to_the_blob, what_is_missing_is_not_found, what_others_wrote_is_read,
    },
    undo::{
        a_name_is_free_again_after_discard, abort_leaves_nothing, discard_after_settle_keeps_the_blob,
        discard_before_the_first_write_leaves_nothing, discard_leaves_a_foreign_blob,
        discard_leaves_a_foreign_blob_that_came_after_delete,
        discard_of_a_published_blob_works_after_a_restart, discard_removes_what_was_published,
        discard_removes_what_was_written, discard_stops_a_writer_that_is_still_there,
        discard_twice_is_as_once, discard_works_after_a_restart, settle_after_delete_is_quiet,
        settle_keeps_the_blob, settle_twice_is_as_once,
    },
};

/// How many rules there are for a store that writes, to see that a list of them is whole.
pub const COUNT: usize = 41;

/// How many rules there are for a store that only reads.
pub const READ_ONLY_COUNT: usize = 9;

fn name() -> BlobName {
    BlobName(Uuid::new_v4())
}

fn attempt() -> Attempt {
    Attempt(Uuid::new_v4())
}

/// Bytes that are nowhere the same for long.
fn pattern(len: usize, seed: u64) -> Bytes {
    let mut state = seed | 1;
    (0..len)
        .map(|_| {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            state.to_be_bytes().first().copied().unwrap_or_default()
        })
        .collect()
}

async fn create(store: &dyn Store, name: BlobName) -> (Handle, Box<dyn BlobWriter>) {
    store
        .create(name, attempt(), None)
        .await
        .expect("an attempt can be begun")
}

/// Begins an attempt and writes.
async fn written(store: &dyn Store, name: BlobName, bytes: &Bytes) -> (Handle, Box<dyn BlobWriter>) {
    let (handle, mut writer) = create(store, name).await;
    writer.write(bytes.clone()).await.expect("the bytes are accepted");
    (handle, writer)
}

/// Begins an attempt, writes and commits; does not settle.
async fn committed(store: &dyn Store, name: BlobName, bytes: &Bytes) -> (Handle, Location) {
    let (handle, writer) = written(store, name, bytes).await;
    let location = writer.commit().await.expect("the blob is published");
    (handle, location)
}

/// A blob that somebody else has put there.
async fn planted<H: Harness>(harness: &H, bytes: &[u8]) -> Location {
    let name = name();
    harness.plant(name, bytes).await;
    harness.location(name)
}

async fn read(store: &dyn Store, location: &Location) -> Result<Vec<u8>> {
    crate::bytes_of(store.read(location, None).await?).await
}

async fn assert_holds(store: &dyn Store, location: &Location, bytes: &[u8]) {
    let found = read(store, location).await.expect("the blob is readable");
    assert!(
        found == bytes,
        "the blob has other bytes: {} instead of {}",
        found.len(),
        bytes.len()
    );
    let size = store.size(location).await.expect("the blob has a size");
    assert_eq!(usize::try_from(size), Ok(bytes.len()));
}

async fn assert_absent(store: &dyn Store, location: &Location) {
    let found = store.read(location, None).await.map(drop);
    assert_kind(found, ErrorKind::NotFound);
}

fn assert_kind<T>(result: Result<T>, kind: ErrorKind) {
    match result {
        Ok(_) => panic!("it succeeded; {kind:?} was expected"),
        Err(error) => assert_eq!(error.kind(), kind, "{error:?}"),
    }
}

/// Settles and deletes a published blob.
async fn finish(store: &dyn Store, handle: &Handle, location: &Location) {
    store.settle(handle).await.expect("the blob is settled");
    remove(store, location).await;
}

/// What is planted at a read-only store goes with its place.
async fn remove(store: &dyn Store, location: &Location) {
    if store.capabilities().writable {
        store.ensure_deleted(location).await.expect("the blob is deleted");
    }
}
