//! Power cuts and failing calls, at every call that the file store makes to its disk.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use bytes::Bytes;
use saccade_disk::{
    BLOCK, Disk, WriteMode,
    simulated::{ACCESS_DENIED, Fault, IO_ERROR, Loss, NO_SPACE, NOT_PERMITTED, SimulatedDisk},
};
use saccade_store_conformance::bytes_of;
use saccade_store_contract::{Attempt, BlobName, ErrorKind, Handle, Location, Result, Store};
use saccade_store_file::{FileStore, FileStoreConfig, OpenError, WriteChoice};
use tokio::runtime::{Builder, Runtime};
use uuid::Uuid;

const DATADIR: &str = "/srv/images";
const NAME: BlobName = BlobName(Uuid::from_u128(1));
const FIRST: Attempt = Attempt(Uuid::from_u128(2));
const SECOND: Attempt = Attempt(Uuid::from_u128(3));
/// A file that is not ours, beside the blobs.
const NEIGHBOUR: &str = "/srv/images/.saccade.somebody-else";
const ERRORS: [(i32, ErrorKind); 3] = [
    (NO_SPACE, ErrorKind::Full),
    (IO_ERROR, ErrorKind::Unavailable),
    (ACCESS_DENIED, ErrorKind::Denied),
];
/// More calls than anything here makes.
const PLENTY: u64 = 64;

fn losses() -> impl Iterator<Item = Loss> {
    [Loss::Everything, Loss::Nothing]
        .into_iter()
        .chain((0..60).map(Loss::Seeded))
}

fn faults(errno: i32) -> [Fault; 3] {
    [Fault::Fail(errno), Fault::Partial(errno), Fault::Unknown(errno)]
}

fn runtime() -> Runtime {
    Builder::new_current_thread().enable_time().build().unwrap()
}

fn config() -> FileStoreConfig {
    FileStoreConfig::new("test", DATADIR)
}

fn open(disk: &SimulatedDisk) -> FileStore {
    FileStore::open(config(), Arc::new(disk.clone())).unwrap()
}

/// An opened store with somebody else's file beside it.
fn fresh() -> (SimulatedDisk, FileStore) {
    let disk = SimulatedDisk::new();
    let store = open(&disk);
    disk.plant(Path::new(NEIGHBOUR), b"not ours").unwrap();
    (disk, store)
}

/// A whole block, which goes to the disk directly, and what goes through the page cache behind it.
fn chunk() -> Bytes {
    let mut memory = vec![0; 3 * BLOCK];
    let start = memory.as_ptr().align_offset(BLOCK);
    for (at, byte) in memory[start..].iter_mut().enumerate() {
        *byte = (at % 251) as u8 + 1;
    }
    Bytes::from(memory).slice(start..start + BLOCK + 3000)
}

/// What the first attempt writes.
fn content() -> Vec<u8> {
    [&chunk()[..], &[0; 1000], &chunk()].concat()
}

fn temporary() -> PathBuf {
    Path::new(DATADIR).join(format!(".saccade.{NAME}.{FIRST}"))
}

fn published() -> PathBuf {
    Path::new(DATADIR).join(NAME.to_string())
}

/// How far an upload came before its first error.
#[derive(Debug, Default)]
struct Progress {
    handle: Option<Handle>,
    committed: Option<Location>,
    settled: bool,
    error: Option<ErrorKind>,
}

async fn upload(store: &FileStore) -> Progress {
    let mut progress = Progress::default();
    if let Err(error) = try_upload(store, &mut progress).await {
        progress.error = Some(error.kind());
    }
    progress
}

async fn try_upload(store: &FileStore, progress: &mut Progress) -> Result<()> {
    let (handle, mut writer) = store.create(NAME, FIRST, Some(20_000)).await?;
    let handle = progress.handle.insert(handle);
    writer.write(chunk()).await?;
    writer.write_zeroes(1000).await?;
    writer.write(chunk()).await?;
    progress.committed = Some(writer.commit().await?);
    store.settle(handle).await?;
    progress.settled = true;
    Ok(())
}

/// A store with the first attempt written, or published too.
async fn unfinished(publish: bool) -> (SimulatedDisk, FileStore, Handle) {
    let (disk, store) = fresh();
    let (handle, mut writer) = store.create(NAME, FIRST, None).await.unwrap();
    writer.write(Bytes::from(content())).await.unwrap();
    writer.write(Bytes::from_static(b"more")).await.unwrap();
    let len = content().len() + 4;
    while !disk
        .files()
        .iter()
        .any(|(path, bytes)| *path == temporary() && bytes.len() == len)
    {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    if publish {
        writer.commit().await.unwrap();
    }
    (disk, store, handle)
}

async fn read(store: &FileStore, location: &Location) -> Option<Vec<u8>> {
    match store.read(location, None).await {
        Ok(blob) => Some(bytes_of(blob).await.unwrap()),
        Err(error) => {
            assert_eq!(error.kind(), ErrorKind::NotFound, "{error:?}");
            None
        }
    }
}

fn location() -> Location {
    Location::new(format!("file://{}", published().display()))
}

/// Names of all files, without the neighbour, whose bytes are checked.
#[track_caller]
fn names(disk: &SimulatedDisk) -> BTreeSet<PathBuf> {
    let mut files = disk.files();
    let neighbour = files
        .iter()
        .position(|(path, _)| path == Path::new(NEIGHBOUR))
        .expect("a foreign file is gone");
    assert_eq!(files.remove(neighbour).1, b"not ours");
    files.into_iter().map(|(path, _)| path).collect()
}

/// Nothing of ours is there, now or after a power cut.
#[track_caller]
fn assert_clean(disk: &SimulatedDisk, context: &str) {
    assert_eq!(names(disk), BTreeSet::new(), "{context}");
    for loss in [Loss::Everything, Loss::Seeded(7), Loss::Seeded(8)] {
        let after = disk.after_crash(loss);
        assert_eq!(names(&after), BTreeSet::new(), "not durably: {context}");
    }
}

/// A later attempt under the same name works, and the first one's discard does not reach it.
async fn assert_name_is_free(store: &FileStore, first: &Handle, context: &str) {
    let (_, mut writer) = store.create(NAME, SECOND, None).await.unwrap();
    writer.write(Bytes::from_static(b"second")).await.unwrap();
    let location = writer.commit().await.expect(context);
    store.discard(first).await.unwrap();
    assert_eq!(
        read(store, &location).await.as_deref(),
        Some(&b"second"[..]),
        "{context}"
    );
}

#[test]
fn after_a_power_cut_at_any_call_of_an_upload_its_promises_hold() {
    promises_hold_after_a_power_cut_at_any_call(&config());
}

#[test]
fn after_a_power_cut_at_any_call_of_an_upload_with_holes_its_promises_hold() {
    promises_hold_after_a_power_cut_at_any_call(&FileStoreConfig {
        thin_provisioning: true,
        ..config()
    });
}

#[test]
fn after_a_power_cut_at_any_call_of_an_upload_through_the_page_cache_its_promises_hold() {
    promises_hold_after_a_power_cut_at_any_call(&FileStoreConfig {
        write: WriteChoice::Always(WriteMode::Buffered),
        ..config()
    });
}

fn promises_hold_after_a_power_cut_at_any_call(config: &FileStoreConfig) {
    runtime().block_on(async {
        let mut saw_committed_but_not_settled = false;
        for calls in 0..PLENTY {
            let (disk, _) = fresh();
            let store = FileStore::open(config.clone(), Arc::new(disk.clone())).unwrap();
            disk.crash_after(calls);
            let progress = upload(&store).await;
            assert_eq!(progress.error.is_some(), disk.has_crashed());
            drop(store);
            saw_committed_but_not_settled |= progress.committed.is_some() && !progress.settled;
            for loss in losses() {
                let context = format!("after {calls} calls, {loss:?}, {progress:?}");
                check_promises(&disk, loss, &progress, &context).await;
            }
            if progress.settled {
                assert!(saw_committed_but_not_settled);
                return;
            }
        }
        panic!("the upload never came to its end");
    });
}

async fn check_promises(disk: &SimulatedDisk, loss: Loss, progress: &Progress, context: &str) {
    let after = disk.after_crash(loss);
    let store = open(&after);
    let handle = progress.handle.as_ref().expect("create changes nothing");
    // Never a part of it, whatever the outcome.
    let found = read(&store, &location()).await;
    assert!(
        found.is_none() || found == Some(content()),
        "a reader sees something unfinished: {context}"
    );
    if let Some(location) = &progress.committed {
        assert!(found.is_some(), "an acknowledged blob is lost: {context}");
        if progress.settled {
            assert_eq!(names(&after), BTreeSet::from([published()]), "{context}");
        }
        // In the catalogue: it is settled, and that is repeated.
        for _ in 0..2 {
            store.settle(handle).await.unwrap();
            assert_eq!(names(&after), BTreeSet::from([published()]), "{context}");
        }
        store.discard(handle).await.unwrap();
        assert_eq!(read(&store, location).await, Some(content()), "{context}");
        let again = after.after_crash(Loss::Everything);
        assert_eq!(names(&again), BTreeSet::from([published()]), "{context}");
        assert_eq!(read(&open(&again), location).await, Some(content()), "{context}");
    }
    let settle_has_begun = progress.committed.is_some() && !names(disk).contains(&temporary());
    if !settle_has_begun {
        // Not in the catalogue: it is discarded.
        let after = disk.after_crash(loss);
        let store = open(&after);
        store.discard(handle).await.unwrap();
        assert_clean(&after, context);
        assert_name_is_free(&store, handle, context).await;
    }
}

#[test]
fn a_foreign_file_that_took_the_name_after_the_crash_is_left() {
    runtime().block_on(async {
        let mut checked = 0;
        for calls in 0..PLENTY {
            let (disk, store) = fresh();
            disk.crash_after(calls);
            let progress = upload(&store).await;
            for loss in losses() {
                let after = disk.after_crash(loss);
                if after.files().iter().any(|(path, _)| *path == published()) {
                    continue;
                }
                after.plant(&published(), b"foreign").unwrap();
                let store = open(&after);
                store.discard(progress.handle.as_ref().unwrap()).await.unwrap();
                assert_eq!(names(&after), BTreeSet::from([published()]));
                assert_eq!(read(&store, &location()).await.as_deref(), Some(&b"foreign"[..]));
                checked += 1;
            }
        }
        assert!(checked > 100);
    });
}

#[test]
fn a_discard_that_is_cut_off_at_any_call_can_be_repeated() {
    runtime().block_on(async {
        for publish in [false, true] {
            let mut finished = false;
            for calls in 0..PLENTY {
                let (disk, store, handle) = unfinished(publish).await;
                disk.crash_after(calls);
                finished = store.discard(&handle).await.is_ok();
                for loss in losses() {
                    let context = format!("published {publish}, after {calls} calls, {loss:?}");
                    if finished {
                        assert_clean(&disk.after_crash(loss), &context);
                    }
                    repeat_discard(&disk, loss, &handle, &context).await;
                }
                if finished {
                    break;
                }
            }
            assert!(finished);
        }
    });
}

/// The next start discards too, and is cut off at any call as well.
async fn repeat_discard(disk: &SimulatedDisk, loss: Loss, handle: &Handle, context: &str) {
    for calls in 0..PLENTY {
        let after = disk.after_crash(loss);
        let store = open(&after);
        after.crash_after(calls);
        let done = store.discard(handle).await.is_ok();
        for loss in [Loss::Everything, Loss::Nothing, Loss::Seeded(calls)] {
            let last = after.after_crash(loss);
            let store = open(&last);
            store.discard(handle).await.unwrap();
            assert_clean(&last, context);
            assert_name_is_free(&store, handle, context).await;
        }
        if done {
            return;
        }
    }
    panic!("the discard never came to its end: {context}");
}

#[test]
fn a_call_that_fails_during_an_upload_gives_its_kind_and_leaves_nothing_after_discard() {
    runtime().block_on(async {
        for (errno, kind) in ERRORS {
            for nth in 1..PLENTY {
                let mut all_passed = true;
                for fault in faults(errno) {
                    let context = format!("{fault:?} at call {nth}");
                    let (disk, store) = fresh();
                    disk.fail(nth, fault);
                    let progress = upload(&store).await;
                    disk.heal();
                    let handle = progress.handle.as_ref().unwrap();
                    if let Some(error) = progress.error {
                        assert_eq!(error, kind, "{context}");
                        all_passed = false;
                    }
                    if let Some(location) = &progress.committed {
                        assert_eq!(read(&store, location).await, Some(content()), "{context}");
                        store.settle(handle).await.unwrap();
                        assert_eq!(names(&disk), BTreeSet::from([published()]), "{context}");
                        let after = disk.after_crash(Loss::Everything);
                        assert_eq!(names(&after), BTreeSet::from([published()]), "{context}");
                    } else {
                        for loss in losses() {
                            let after = disk.after_crash(loss);
                            let store = open(&after);
                            let found = read(&store, &location()).await;
                            assert!(found.is_none() || found == Some(content()), "{context}");
                            store.discard(handle).await.unwrap();
                            assert_clean(&after, &context);
                        }
                        store.discard(handle).await.unwrap();
                        assert_clean(&disk, &context);
                        assert_name_is_free(&store, handle, &context).await;
                    }
                }
                if all_passed {
                    assert!(nth > 8, "the upload makes more calls than {nth}");
                    break;
                }
            }
        }
    });
}

#[test]
fn a_discard_whose_call_fails_can_be_repeated_also_after_a_crash() {
    runtime().block_on(async {
        for (errno, kind) in ERRORS {
            for publish in [false, true] {
                for nth in 1..PLENTY {
                    let mut all_passed = true;
                    for fault in faults(errno) {
                        let context = format!("published {publish}, {fault:?} at call {nth}");
                        let (disk, store, handle) = unfinished(publish).await;
                        disk.fail(nth, fault);
                        let discarded = store.discard(&handle).await;
                        disk.heal();
                        if let Err(error) = discarded {
                            assert_eq!(error.kind(), kind, "{context}");
                            all_passed = false;
                        }
                        for loss in losses() {
                            let after = disk.after_crash(loss);
                            open(&after).discard(&handle).await.unwrap();
                            assert_clean(&after, &context);
                        }
                        store.discard(&handle).await.unwrap();
                        assert_clean(&disk, &context);
                        assert_name_is_free(&store, &handle, &context).await;
                    }
                    if all_passed {
                        break;
                    }
                }
            }
        }
    });
}

#[test]
fn what_delete_says_is_gone_is_gone_after_a_power_cut() {
    runtime().block_on(async {
        let mut finished = false;
        for calls in 0..PLENTY {
            let (disk, store) = fresh();
            assert!(upload(&store).await.settled);
            disk.crash_after(calls);
            finished = store.delete(&location()).await.is_ok();
            for loss in losses() {
                let after = disk.after_crash(loss);
                if finished {
                    assert_clean(&after, "deleted");
                }
                let again = open(&after).delete(&location()).await;
                assert!(again.is_ok() || again.unwrap_err().kind() == ErrorKind::NotFound);
                assert_clean(&after, "deleted again");
            }
            if finished {
                break;
            }
        }
        assert!(finished);
    });
}

#[test]
fn a_blob_is_not_called_gone_until_that_is_durable() {
    runtime().block_on(async {
        let (disk, store) = fresh();
        assert!(upload(&store).await.settled);
        // The removal succeeds and its sync does not.
        disk.fail(2, Fault::Fail(IO_ERROR));
        let first = store.delete(&location()).await.unwrap_err();
        assert_eq!(first.kind(), ErrorKind::Unavailable);
        let second = store.delete(&location()).await.unwrap_err();
        assert_eq!(second.kind(), ErrorKind::NotFound);
        assert_clean(&disk, "deleted twice");
    });
}

#[test]
fn bytes_whose_sync_failed_are_never_published() {
    runtime().block_on(async {
        let (disk, store) = fresh();
        let (handle, mut writer) = store.create(NAME, FIRST, None).await.unwrap();
        // create_new, sync_dir, write_all_at, sync_data.
        disk.fail(4, Fault::Fail(IO_ERROR));
        writer.write(Bytes::from_static(b"lost")).await.unwrap();
        let error = writer.commit().await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unavailable);
        assert_eq!(read(&store, &location()).await, None);
        store.discard(&handle).await.unwrap();
    });
}

#[test]
fn a_link_whose_reply_was_lost_is_a_link() {
    runtime().block_on(async {
        let (disk, store) = fresh();
        let (_, writer) = store.create(NAME, FIRST, None).await.unwrap();
        // create_new, sync_dir, sync_data, link.
        disk.fail(4, Fault::Unknown(IO_ERROR));
        let location = writer.commit().await.unwrap();
        assert_eq!(read(&store, &location).await, Some(Vec::new()));
    });
}

#[test]
fn an_opening_that_is_cut_off_at_any_call_can_be_repeated() {
    for calls in 0..PLENTY {
        let disk = SimulatedDisk::new();
        disk.crash_after(calls);
        let opened = FileStore::open(config(), Arc::new(disk.clone())).is_ok();
        for loss in losses() {
            let after = disk.after_crash(loss);
            drop(open(&after));
            assert_eq!(after.files(), []);
            // The directory is durable: a blob in it could not be lost with it.
            let last = after.after_crash(Loss::Everything);
            assert!(last.stat(Path::new(DATADIR)).is_ok());
        }
        if opened {
            return;
        }
    }
    panic!("it was never opened");
}

#[test]
fn a_directory_whose_making_was_killed_before_its_sync_is_made_durable() {
    let disk = SimulatedDisk::new();
    disk.create_dir(Path::new("/srv")).unwrap();
    disk.sync_dir(Path::new("/")).unwrap();
    disk.create_dir(Path::new(DATADIR)).unwrap();
    drop(open(&disk));
    let after = disk.after_crash(Loss::Everything);
    assert!(after.stat(Path::new(DATADIR)).is_ok());
}

#[test]
fn a_file_system_without_hard_links_is_refused_and_left_clean() {
    let disk = SimulatedDisk::new();
    disk.plant(Path::new(NEIGHBOUR), b"not ours").unwrap();
    disk.refuse_links(NOT_PERMITTED);
    let error = FileStore::open(config(), Arc::new(disk.clone())).unwrap_err();
    assert!(matches!(error, OpenError::NoHardLinks { .. }), "{error:?}");
    assert_clean(&disk, "refused");
}

#[test]
fn what_no_file_takes_is_not_chosen_and_refused_where_it_is_configured() {
    let disk = SimulatedDisk::new();
    let modes = [WriteMode::Direct, WriteMode::DontCache, WriteMode::Buffered];
    for mode in modes {
        assert_eq!(open(&disk).write_mode(), mode);
        disk.refuse_mode(mode);
    }
    for mode in modes {
        let config = FileStoreConfig {
            write: WriteChoice::Always(mode),
            ..config()
        };
        let opened = FileStore::open(config, Arc::new(disk.clone()));
        if mode == WriteMode::Buffered {
            assert_eq!(opened.unwrap().write_mode(), mode, "there is nothing else");
        } else {
            let error = opened.unwrap_err();
            assert!(matches!(error, OpenError::WriteMode { .. }), "{error:?}");
            assert!(error.to_string().contains(&mode.to_string()), "{error}");
        }
        assert_eq!(disk.files(), [], "the directory is left clean");
    }
}

#[test]
fn whole_blocks_are_written_directly_and_the_rest_through_the_page_cache() {
    runtime().block_on(async {
        let (disk, store) = fresh();
        let written = |mode| disk.written_in(mode);
        let probe = written(WriteMode::Direct);
        assert!(upload(&store).await.settled);
        // Two chunks; the second does not lie in memory as in the file.
        assert_eq!(written(WriteMode::Direct) - probe, BLOCK as u64);
        assert_eq!(
            written(WriteMode::Buffered),
            content().len() as u64 - BLOCK as u64
        );
        assert_eq!(read(&store, &location()).await, Some(content()));
    });
}

#[test]
fn an_upload_whose_file_refuses_direct_writes_after_all_goes_through_the_page_cache() {
    runtime().block_on(async {
        let (disk, store) = fresh();
        let probe = disk.written_in(WriteMode::Direct);
        disk.refuse_mode(WriteMode::Direct);
        assert!(upload(&store).await.settled);
        assert_eq!(disk.written_in(WriteMode::Direct), probe);
        assert_eq!(read(&store, &location()).await, Some(content()));
    });
}

#[test]
fn a_directory_that_is_not_writable_is_refused() {
    let disk = SimulatedDisk::new();
    drop(open(&disk));
    disk.set_writable(false);
    let error = FileStore::open(config(), Arc::new(disk.clone())).unwrap_err();
    assert!(matches!(error, OpenError::NotWritable { .. }), "{error:?}");
    assert!(error.to_string().contains(DATADIR));
}

#[test]
fn a_directory_that_became_read_only_denies_writes_and_deletes_and_still_reads() {
    runtime().block_on(async {
        let (disk, store) = fresh();
        assert!(upload(&store).await.settled);
        disk.set_writable(false);
        let created = store.create(NAME, SECOND, None).await.map(drop).unwrap_err();
        assert_eq!(created.kind(), ErrorKind::Denied);
        let prepared = store.prepare_delete(&location()).await.unwrap_err();
        assert_eq!(prepared.kind(), ErrorKind::Denied);
        assert_eq!(read(&store, &location()).await, Some(content()));
    });
}
