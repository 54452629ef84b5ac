//! Rules 1 to 5, 9 and 10: from `create` to `commit`.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use bytes::Bytes;
use saccade_store_contract::ErrorKind;

use super::{
    assert_absent, assert_holds, assert_kind, attempt, committed, create, finish, name, pattern, read,
    remove, written,
};
use crate::Harness;

/// Rule 1.
pub async fn create_leaves_nothing<H: Harness>(harness: &mut H) {
    let store = harness.store();
    let (_handle, writer) = create(&*store, name()).await;
    assert!(harness.inventory().await.is_empty());
    drop(writer);
    assert!(harness.inventory().await.is_empty());
}

/// Rule 3.
pub async fn a_blob_is_found_by_its_location_after_a_restart<H: Harness>(harness: &mut H) {
    let (name, bytes) = (name(), pattern(300_000, 1));
    let (handle, location) = committed(&*harness.store(), name, &bytes).await;
    assert_eq!(location, harness.location(name));
    assert_holds(&*harness.store(), &location, &bytes).await;
    harness.restart().await;
    assert_holds(&*harness.store(), &location, &bytes).await;
    finish(&*harness.store(), &handle, &location).await;
}

/// Rule 2.
pub async fn no_location_reads_before_commit<H: Harness>(harness: &mut H) {
    let (store, name) = (harness.store(), name());
    let location = harness.location(name);
    let (handle, mut writer) = create(&*store, name).await;
    assert_absent(&*store, &location).await;
    for seed in 0..4 {
        writer
            .write(pattern(100_000, seed))
            .await
            .expect("the bytes are accepted");
        assert_absent(&*store, &location).await;
        assert_kind(store.size(&location).await, ErrorKind::NotFound);
        assert_kind(store.delete(&location).await, ErrorKind::NotFound);
    }
    drop(writer);
    harness.restart().await;
    assert_absent(&*harness.store(), &location).await;
    harness
        .store()
        .discard(&handle)
        .await
        .expect("the attempt is discarded");
}

/// Rule 3.
pub async fn commit_is_whole_whatever_the_chunks<H: Harness>(harness: &mut H) {
    let store = harness.store();
    let sizes = [1, 2, 511, 4096, 65_537, 0, 1_048_576, 3];
    let (handle, mut writer) = create(&*store, name()).await;
    let mut whole = Vec::new();
    for (seed, size) in sizes.into_iter().enumerate() {
        let chunk = pattern(size, seed as u64);
        whole.extend_from_slice(&chunk);
        writer.write(chunk).await.expect("the bytes are accepted");
    }
    let location = writer.commit().await.expect("the blob is published");
    assert_holds(&*store, &location, &whole).await;
    finish(&*store, &handle, &location).await;
}

/// Rule 3.
pub async fn an_empty_blob_can_be_published<H: Harness>(harness: &mut H) {
    let store = harness.store();
    let (handle, mut writer) = create(&*store, name()).await;
    writer
        .write(Bytes::new())
        .await
        .expect("no bytes are accepted too");
    writer.write_zeroes(0).await.expect("no zeroes are accepted too");
    let location = writer.commit().await.expect("the blob is published");
    assert_holds(&*store, &location, b"").await;
    finish(&*store, &handle, &location).await;
}

/// Rule 3.
pub async fn zeroes_read_as_zeroes<H: Harness>(harness: &mut H) {
    let store = harness.store();
    let (handle, mut writer) = create(&*store, name()).await;
    let head = pattern(1000, 1);
    let mixed = [
        &[0; 70_000][..],
        &pattern(70_000, 2),
        &[0; 200_000],
        &[1],
        &[0; 65_536],
    ]
    .concat();
    let accepted = "it is accepted";
    writer.write_zeroes(5000).await.expect(accepted);
    writer.write(head.clone()).await.expect(accepted);
    writer.write_zeroes(1_000_000).await.expect(accepted);
    writer.write(Bytes::from(mixed.clone())).await.expect(accepted);
    writer.write_zeroes(77).await.expect(accepted);
    let location = writer.commit().await.expect("the blob is published");
    let whole = [&[0; 5000][..], &head, &[0; 1_000_000], &mixed, &[0; 77]].concat();
    assert_holds(&*store, &location, &whole).await;
    finish(&*store, &handle, &location).await;
}

/// Rule 3: the hint is one.
pub async fn a_blob_may_be_longer_or_shorter_than_was_declared<H: Harness>(harness: &mut H) {
    let store = harness.store();
    let bytes = pattern(100_000, 1);
    for hint in [0, 1, 99_999, 100_001, 1_000_000] {
        let (handle, mut writer) = store
            .create(name(), attempt(), Some(hint))
            .await
            .expect("an attempt can be begun");
        writer.write(bytes.clone()).await.expect("the bytes are accepted");
        let location = writer.commit().await.expect("the blob is published");
        assert_holds(&*store, &location, &bytes).await;
        finish(&*store, &handle, &location).await;
    }
}

/// Errors of `create`.
pub async fn a_size_beyond_the_room_is_refused_at_once<H: Harness>(harness: &mut H) {
    let store = harness.store();
    let room = store.capacity().await.expect("the room can be told");
    if let Some(room) = room {
        assert!(room.free <= room.total);
        let created = store.create(name(), attempt(), Some(u64::MAX)).await;
        assert_kind(created.map(drop), ErrorKind::Full);
    }
}

/// Rule 4.
pub async fn commit_never_replaces_a_foreign_blob<H: Harness>(harness: &mut H) {
    let (store, name) = (harness.store(), name());
    let location = harness.location(name);
    // There before, and put there meanwhile.
    for before in [true, false] {
        if before {
            harness.plant(name, b"foreign").await;
        }
        let (handle, writer) = written(&*store, name, &pattern(1000, 1)).await;
        if !before {
            harness.plant(name, b"foreign").await;
        }
        assert_kind(writer.commit().await, ErrorKind::Exists);
        assert_holds(&*store, &location, b"foreign").await;
        store.discard(&handle).await.expect("the attempt is discarded");
        assert_holds(&*store, &location, b"foreign").await;
        remove(&*store, &location).await;
    }
}

/// Rule 4.
pub async fn of_concurrent_attempts_exactly_one_commits<H: Harness>(harness: &mut H) {
    let (store, name) = (harness.store(), name());
    let mut attempts = Vec::new();
    for seed in 0..8 {
        let bytes = pattern(10_000, seed);
        let (handle, writer) = written(&*store, name, &bytes).await;
        let commit = tokio::spawn(writer.commit());
        attempts.push((handle, bytes, commit));
    }
    let mut won = None;
    let mut lost = Vec::new();
    for (handle, bytes, commit) in attempts {
        match commit.await.expect("the commit does not panic") {
            Ok(location) => {
                assert!(
                    won.replace((handle, bytes, location)).is_none(),
                    "two have committed"
                );
            }
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::Exists, "{error:?}");
                lost.push(handle);
            }
        }
    }
    let (handle, bytes, location) = won.expect("one has committed");
    for handle in lost {
        store.discard(&handle).await.expect("the attempt is discarded");
    }
    assert_holds(&*store, &location, &bytes).await;
    finish(&*store, &handle, &location).await;
}

/// Rules 4 and 6.
pub async fn a_late_attempt_neither_overwrites_nor_removes_a_newer_blob<H: Harness>(harness: &mut H) {
    let (store, name) = (harness.store(), name());
    let (late, writer) = written(&*store, name, &pattern(1000, 1)).await;
    let newer = pattern(2000, 2);
    let (handle, location) = committed(&*store, name, &newer).await;
    assert_kind(writer.commit().await, ErrorKind::Exists);
    assert_holds(&*store, &location, &newer).await;
    store.discard(&late).await.expect("the late attempt is discarded");
    assert_holds(&*store, &location, &newer).await;
    store.settle(&handle).await.expect("the blob is settled");
    store
        .discard(&late)
        .await
        .expect("the late attempt is discarded again");
    assert_holds(&*store, &location, &newer).await;
    remove(&*store, &location).await;
}

/// Rule 9.
pub async fn dropping_a_writer_publishes_nothing<H: Harness>(harness: &mut H) {
    let (store, name) = (harness.store(), name());
    let (handle, mut writer) = written(&*store, name, &pattern(500_000, 1)).await;
    // Dropped while bytes are on their way.
    writer
        .write(pattern(500_000, 2))
        .await
        .expect("the bytes are accepted");
    drop(writer);
    assert_absent(&*store, &harness.location(name)).await;
    store.discard(&handle).await.expect("the attempt is discarded");
    assert_absent(&*store, &harness.location(name)).await;
}

/// Rule 10.
pub async fn a_writer_holds_few_chunks<H: Harness>(harness: &mut H) {
    struct Counted(Vec<u8>, Arc<AtomicUsize>);
    impl AsRef<[u8]> for Counted {
        fn as_ref(&self) -> &[u8] {
            &self.0
        }
    }
    impl Drop for Counted {
        fn drop(&mut self) {
            self.1.fetch_sub(1, Ordering::SeqCst);
        }
    }

    let store = harness.store();
    let held = Arc::new(AtomicUsize::new(0));
    let (handle, mut writer) = create(&*store, name()).await;
    for _ in 0..64 {
        held.fetch_add(1, Ordering::SeqCst);
        let chunk = Counted(vec![7; 100_000], Arc::clone(&held));
        writer
            .write(Bytes::from_owner(chunk))
            .await
            .expect("the bytes are accepted");
        let held = held.load(Ordering::SeqCst);
        if let Some(most) = harness.chunks_held() {
            assert!(held <= most, "{held} chunks are held");
        }
    }
    drop(writer);
    store.discard(&handle).await.expect("the attempt is discarded");
    // The write that was under way when the writer was dropped still ends by itself.
    for _ in 0..1000 {
        if held.load(Ordering::SeqCst) == 0 {
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    panic!("a chunk was never let go");
}

/// All of it at once.
pub async fn many_blobs_at_once_do_not_mix<H: Harness>(harness: &mut H) {
    let mut uploads = Vec::new();
    for seed in 0..16u64 {
        let store = harness.store();
        uploads.push(tokio::spawn(async move {
            let (handle, mut writer) = create(&*store, name()).await;
            for part in 0..8 {
                writer
                    .write(pattern(20_000, seed * 8 + part))
                    .await
                    .expect("the bytes are accepted");
                tokio::task::yield_now().await;
            }
            (handle, writer.commit().await.expect("the blob is published"))
        }));
    }
    let store = harness.store();
    for (seed, upload) in (0..).zip(uploads) {
        let (handle, location) = upload.await.expect("the upload does not panic");
        let whole: Vec<_> = (0..8).map(|part| pattern(20_000, seed * 8 + part)).collect();
        let found = read(&*store, &location).await.expect("the blob is readable");
        assert!(found == whole.concat(), "blob {seed} has others' bytes");
        finish(&*store, &handle, &location).await;
    }
}
