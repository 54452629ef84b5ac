//! Rules 6 and 7: discard, abort and settle.

use saccade_store_contract::ErrorKind;

use super::{assert_absent, assert_holds, assert_kind, committed, create, name, pattern, remove, written};
use crate::Harness;

/// Rule 6.
pub async fn discard_before_the_first_write_leaves_nothing<H: Harness>(harness: &mut H) {
    let store = harness.store();
    let (handle, mut writer) = create(&*store, name()).await;
    store.discard(&handle).await.expect("the attempt is discarded");
    // Nor does the writer bring it back.
    let late = async {
        writer.write(pattern(1000, 1)).await?;
        writer.commit().await
    };
    assert!(late.await.is_err());
    assert!(harness.inventory().await.is_empty());
}

/// Rule 6.
pub async fn discard_removes_what_was_written<H: Harness>(harness: &mut H) {
    let store = harness.store();
    let (handle, writer) = written(&*store, name(), &pattern(200_000, 1)).await;
    drop(writer);
    store.discard(&handle).await.expect("the attempt is discarded");
    assert!(harness.inventory().await.is_empty());
}

/// Rule 6: until it is settled.
pub async fn discard_removes_what_was_published<H: Harness>(harness: &mut H) {
    let store = harness.store();
    let (handle, location) = committed(&*store, name(), &pattern(1000, 1)).await;
    store.discard(&handle).await.expect("the attempt is discarded");
    assert_absent(&*store, &location).await;
    assert!(harness.inventory().await.is_empty());
}

/// Rule 6.
pub async fn discard_works_after_a_restart<H: Harness>(harness: &mut H) {
    let (handle, writer) = written(&*harness.store(), name(), &pattern(1000, 1)).await;
    drop(writer);
    harness.restart().await;
    harness
        .store()
        .discard(&handle)
        .await
        .expect("the attempt is discarded");
    assert!(harness.inventory().await.is_empty());
}

/// Rules 5 and 6.
pub async fn discard_of_a_published_blob_works_after_a_restart<H: Harness>(harness: &mut H) {
    let (handle, location) = committed(&*harness.store(), name(), &pattern(1000, 1)).await;
    harness.restart().await;
    let store = harness.store();
    assert_holds(&*store, &location, &pattern(1000, 1)).await;
    store.discard(&handle).await.expect("the attempt is discarded");
    assert_absent(&*store, &location).await;
    assert!(harness.inventory().await.is_empty());
}

/// Rule 6.
pub async fn discard_twice_is_as_once<H: Harness>(harness: &mut H) {
    let store = harness.store();
    let (handle, _) = committed(&*store, name(), &pattern(1000, 1)).await;
    for _ in 0..2 {
        store.discard(&handle).await.expect("the attempt is discarded");
    }
    harness.restart().await;
    harness
        .store()
        .discard(&handle)
        .await
        .expect("the attempt is discarded");
    let (at_once, twice) = (harness.store(), harness.store());
    let (handle, writer) = written(&*at_once, name(), &pattern(1000, 1)).await;
    drop(writer);
    let (one, other) = tokio::join!(at_once.discard(&handle), twice.discard(&handle));
    one.and(other).expect("both succeed");
}

/// Rule 6.
pub async fn discard_leaves_a_foreign_blob<H: Harness>(harness: &mut H) {
    let (store, name) = (harness.store(), name());
    let location = harness.location(name);
    harness.plant(name, b"foreign").await;
    let (unwritten, _) = create(&*store, name).await;
    store.discard(&unwritten).await.expect("the attempt is discarded");
    assert_holds(&*store, &location, b"foreign").await;
    let (handle, writer) = written(&*store, name, &pattern(1000, 1)).await;
    drop(writer);
    store.discard(&handle).await.expect("the attempt is discarded");
    assert_holds(&*store, &location, b"foreign").await;
    remove(&*store, &location).await;
}

/// Rule 6: what is under the name is not always what was published there.
pub async fn discard_leaves_a_foreign_blob_that_came_after_delete<H: Harness>(harness: &mut H) {
    let (store, name) = (harness.store(), name());
    let (handle, location) = committed(&*store, name, &pattern(1000, 1)).await;
    remove(&*store, &location).await;
    harness.plant(name, b"foreign").await;
    store.discard(&handle).await.expect("the attempt is discarded");
    assert_holds(&*store, &location, b"foreign").await;
    remove(&*store, &location).await;
}

/// Rule 6: nothing comes back once `discard` has returned.
pub async fn discard_stops_a_writer_that_is_still_there<H: Harness>(harness: &mut H) {
    let store = harness.store();
    for _ in 0..8 {
        let (handle, mut writer) = create(&*store, name()).await;
        let bytes = pattern(50_000, 1);
        let writing = tokio::spawn(async move {
            // Until it is stopped, and a commit at the end of it.
            for _ in 0..200 {
                if writer.write(bytes.clone()).await.is_err() {
                    break;
                }
            }
            writer.commit().await
        });
        tokio::task::yield_now().await;
        store.discard(&handle).await.expect("the attempt is discarded");
        assert!(
            harness.inventory().await.is_empty(),
            "something is left by an attempt that was discarded"
        );
        let committed = writing.await.expect("the writer does not panic");
        if let Ok(location) = committed {
            assert_absent(&*store, &location).await;
        }
        assert!(harness.inventory().await.is_empty());
    }
}

/// Rule 6.
pub async fn a_name_is_free_again_after_discard<H: Harness>(harness: &mut H) {
    let (store, name) = (harness.store(), name());
    let (first, _) = committed(&*store, name, &pattern(1000, 1)).await;
    store.discard(&first).await.expect("the attempt is discarded");
    let (second, location) = committed(&*store, name, &pattern(500, 2)).await;
    // Nor does the first attempt reach the second.
    store
        .discard(&first)
        .await
        .expect("the attempt is discarded again");
    assert_holds(&*store, &location, &pattern(500, 2)).await;
    store.discard(&second).await.expect("the attempt is discarded");
}

/// `abort` is `discard`.
pub async fn abort_leaves_nothing<H: Harness>(harness: &mut H) {
    let (store, name) = (harness.store(), name());
    harness.plant(name, b"foreign").await;
    let (_, unwritten) = create(&*store, name).await;
    unwritten.abort().await.expect("the attempt is aborted");
    let (handle, writer) = written(&*store, name, &pattern(200_000, 1)).await;
    writer.abort().await.expect("the attempt is aborted");
    store.discard(&handle).await.expect("there is nothing to discard");
    let location = harness.location(name);
    assert_holds(&*store, &location, b"foreign").await;
    remove(&*store, &location).await;
}

/// Rule 7.
pub async fn settle_keeps_the_blob<H: Harness>(harness: &mut H) {
    let (name, bytes) = (name(), pattern(1000, 1));
    let (handle, location) = committed(&*harness.store(), name, &bytes).await;
    harness.restart().await;
    let store = harness.store();
    store.settle(&handle).await.expect("the blob is settled");
    assert_holds(&*store, &location, &bytes).await;
    assert_eq!(harness.inventory().await.len(), 1, "the blob alone is there");
    remove(&*store, &location).await;
}

/// Rule 7.
pub async fn settle_twice_is_as_once<H: Harness>(harness: &mut H) {
    let bytes = pattern(1000, 1);
    let (handle, location) = committed(&*harness.store(), name(), &bytes).await;
    for _ in 0..2 {
        harness
            .store()
            .settle(&handle)
            .await
            .expect("the blob is settled");
        harness.restart().await;
    }
    assert_holds(&*harness.store(), &location, &bytes).await;
    remove(&*harness.store(), &location).await;
}

/// Rules 6 and 7: a settled blob is no attempt's any more.
pub async fn discard_after_settle_keeps_the_blob<H: Harness>(harness: &mut H) {
    let (store, bytes) = (harness.store(), pattern(1000, 1));
    let (handle, location) = committed(&*store, name(), &bytes).await;
    store.settle(&handle).await.expect("the blob is settled");
    store.discard(&handle).await.expect("there is nothing to discard");
    assert_holds(&*store, &location, &bytes).await;
    remove(&*store, &location).await;
}

/// Rule 7, with a delete that overtook it.
pub async fn settle_after_delete_is_quiet<H: Harness>(harness: &mut H) {
    let store = harness.store();
    let (handle, location) = committed(&*store, name(), &pattern(1000, 1)).await;
    store.delete(&location).await.expect("the blob is deleted");
    assert_kind(store.delete(&location).await, ErrorKind::NotFound);
    store.settle(&handle).await.expect("nothing remains to settle");
    assert_absent(&*store, &location).await;
}
