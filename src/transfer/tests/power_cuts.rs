//! The power is cut after every call to the disk that an upload, or a deletion, makes; then with everything that was not
//! synced forgotten, nothing of it, or parts of it, the daemon starts again.

use saccade_disk::simulated::Loss;

use super::rig::{Rig, noise};
use crate::image::{Entry, Image, Status};
use crate::metadata::Metadata;

fn losses() -> impl Iterator<Item = Loss> {
    [Loss::Everything, Loss::Nothing]
        .into_iter()
        .chain((0..16).map(Loss::Seeded))
}

/// Starts again after the cut, and holds what the promises say.
async fn starts_again(rig: Rig, image: &Image, bytes: &[u8], acknowledged: bool, loss: Loss) {
    let disk = rig.disk.after_crash(loss);
    let metadata = rig.metadata.clone();
    drop(rig);
    let rig = Rig::start(disk, metadata);
    rig.janitor.sweep().await;
    assert!(rig.ledger.is_empty(), "something was not finished");
    match rig.metadata.entry(image.id).await.unwrap().unwrap() {
        Entry::Live(now) if now.status == Status::Active => {
            assert_eq!(rig.blobs(), [(image.id.to_string(), bytes.to_vec())]);
            assert_eq!(rig.download(&now, None).await.unwrap().unwrap(), bytes);
        }
        Entry::Live(now) => {
            assert!(!acknowledged, "an acknowledged upload was lost");
            assert_eq!(now.status, Status::Queued);
            assert_eq!(rig.blobs(), []);
            rig.upload(&now, bytes.to_vec()).await.unwrap();
        }
        Entry::Deleted(_) => assert_eq!(rig.blobs(), []),
    }
}

#[tokio::test]
async fn an_acknowledged_upload_survives_a_power_cut_after_any_call_and_any_other_leaves_nothing() {
    let bytes = noise(300_000);
    let (mut cuts, mut acknowledged_cuts) = (0, 0);
    for loss in losses() {
        for calls in 0.. {
            let rig = Rig::new();
            let image = rig.image().await;
            rig.disk.crash_after(calls);
            let acknowledged = rig.upload(&image, bytes.clone()).await.is_ok();
            rig.rest().await;
            let was_cut = rig.disk.has_crashed();
            starts_again(rig, &image, &bytes, acknowledged, loss).await;
            if !was_cut {
                break;
            }
            cuts += 1;
            acknowledged_cuts += u32::from(acknowledged);
        }
    }
    println!("{cuts} power cuts, {acknowledged_cuts} of them after the acknowledgement");
    assert!(cuts > 150 && acknowledged_cuts > 0);
}

#[tokio::test]
async fn a_deletion_is_whole_or_not_at_all_after_a_power_cut_after_any_call() {
    let bytes = noise(1000);
    let mut cuts = 0;
    for loss in losses() {
        for calls in 0.. {
            let rig = Rig::new();
            let image = rig.image().await;
            rig.upload(&image, bytes.clone()).await.unwrap();
            rig.rest().await;
            let stored = rig.read(image.id).await;
            rig.disk.crash_after(calls);
            let acknowledged = rig.janitor.delete(&stored).await.is_ok();
            let was_cut = rig.disk.has_crashed();
            let is_deleted = matches!(
                rig.metadata.entry(image.id).await.unwrap(),
                Some(Entry::Deleted(_))
            );
            assert!(is_deleted || !acknowledged);
            starts_again(rig, &image, &bytes, true, loss).await;
            if !was_cut {
                break;
            }
            cuts += 1;
        }
    }
    assert!(cuts > 30);
}
