use std::sync::Arc;

use saccade_disk::simulated::{Fault, IO_ERROR, NO_SPACE, SimulatedDisk};
use saccade_store_conformance::{Fault as StoreFault, FaultyStore};
use saccade_store_contract::{ErrorKind, Operation};

use super::rig::{Rig, file_store, noise};
use crate::{image::Status, transfer::UploadErrorKind};

fn with_faulty_store() -> (Rig, Arc<FaultyStore>) {
    let disk = SimulatedDisk::new();
    disk.plant(std::path::Path::new("/saccade/images/foreign"), b"not ours")
        .unwrap();
    let store = Arc::new(FaultyStore::new(file_store(&disk)));
    (Rig::over(disk, Arc::default(), store.clone()), store)
}

#[tokio::test]
async fn whatever_call_to_the_disk_fails_the_image_is_whole_or_queued_and_nothing_is_left() {
    let bytes = noise(300_000);
    for errno in [NO_SPACE, IO_ERROR] {
        for fault in [Fault::Fail(errno), Fault::Partial(errno), Fault::Unknown(errno)] {
            for nth in 1.. {
                let rig = Rig::new();
                let image = rig.image().await;
                let before = rig.disk.calls();
                rig.disk.fail(nth, fault);
                let result = rig.upload(&image, bytes.clone()).await;
                rig.rest().await;
                let made = rig.disk.calls() - before;
                rig.disk.heal();
                rig.janitor.sweep().await;
                let status = rig.read(image.id).await.status;
                assert_eq!(
                    status == Status::Active,
                    result.is_ok(),
                    "{fault:?} at call {nth}"
                );
                assert!(
                    matches!(status, Status::Active | Status::Queued),
                    "{fault:?} at call {nth}: {status}"
                );
                assert_eq!(
                    rig.blobs().len(),
                    usize::from(result.is_ok()),
                    "{fault:?} at call {nth}"
                );
                assert!(rig.ledger.is_empty(), "{fault:?} at call {nth}");
                if made < nth {
                    break;
                }
            }
        }
    }
}

#[tokio::test]
async fn a_full_store_says_so() {
    let (rig, store) = with_faulty_store();
    let image = rig.image().await;
    store.fail(Operation::Write, 1, StoreFault::Fail(ErrorKind::Full));
    let error = rig.upload(&image, noise(300_000)).await.unwrap_err();
    assert_eq!(*error.kind(), UploadErrorKind::StoreFull);
    rig.upload(&image, noise(300_000)).await.unwrap();
}

#[tokio::test]
async fn while_the_store_cannot_clear_up_the_image_stays_in_saving_and_is_queued_once_it_can() {
    let (rig, store) = with_faulty_store();
    let image = rig.image().await;
    store.fail(Operation::Commit, 1, StoreFault::Fail(ErrorKind::Unavailable));
    store.fail(Operation::Discard, 1, StoreFault::Fail(ErrorKind::Unavailable));
    rig.upload(&image, noise(1000)).await.unwrap_err();
    assert_eq!(rig.read(image.id).await.status, Status::Saving);
    rig.janitor.sweep().await;
    assert_eq!(rig.read(image.id).await.status, Status::Queued);
    assert_eq!(rig.blobs(), []);
}

#[tokio::test]
async fn the_bytes_of_a_deleted_image_are_removed_once_the_store_answers() {
    let (rig, store) = with_faulty_store();
    let image = rig.image().await;
    rig.upload(&image, noise(1000)).await.unwrap();
    rig.rest().await;
    store.fail(Operation::Delete, 1, StoreFault::Fail(ErrorKind::Unavailable));
    rig.janitor.delete(&rig.read(image.id).await).await.unwrap();
    assert_eq!(rig.blobs().len(), 1);
    rig.janitor.sweep().await;
    assert_eq!(rig.blobs(), []);
    assert!(rig.ledger.is_empty());
}

#[tokio::test]
async fn an_image_in_use_is_not_deleted() {
    let (rig, store) = with_faulty_store();
    let image = rig.image().await;
    rig.upload(&image, noise(1000)).await.unwrap();
    store.fail(Operation::PrepareDelete, 1, StoreFault::Fail(ErrorKind::InUse));
    let error = rig.janitor.delete(&rig.read(image.id).await).await.unwrap_err();
    assert_eq!(error.kind, crate::janitor::DeleteErrorKind::InUse);
    assert_eq!(rig.read(image.id).await.status, Status::Active);
    rig.rest().await;
    assert!(rig.ledger.is_empty());
}
