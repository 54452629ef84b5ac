use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use md5::{Digest, Md5};
use sha2::Sha512;

use super::rig::{Rig, broken_body, noise, slow_body};
use crate::{
    image::{ChangeKind, Image, Status},
    transfer::UploadErrorKind,
};

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[tokio::test]
async fn an_uploaded_image_is_active_with_its_hashes_and_its_bytes() {
    let rig = Rig::new();
    let image = rig.image().await;
    let bytes = noise(700_000);
    rig.upload(&image, bytes.clone()).await.unwrap();
    let stored = rig.read(image.id).await;
    let content = stored.content.clone().unwrap();
    assert_eq!(stored.status, Status::Active);
    assert_eq!((content.size, content.virtual_size), (700_000, Some(700_000)));
    assert_eq!(content.checksum, Some(hex(&Md5::digest(&bytes))));
    assert_eq!(content.hash_value, Some(hex(&Sha512::digest(&bytes))));
    assert_eq!(rig.download(&stored, None).await.unwrap().unwrap(), bytes);
    rig.rest().await;
    assert_eq!(rig.blobs(), [(image.id.to_string(), bytes)]);
    assert!(rig.ledger.is_empty());
}

#[tokio::test]
async fn an_image_without_a_single_byte_is_an_image() {
    let rig = Rig::new();
    let image = rig.image().await;
    rig.upload(&image, Bytes::new()).await.unwrap();
    assert_eq!(rig.read(image.id).await.size(), Some(0));
}

async fn is_as_before(rig: &Rig, image: &Image) {
    rig.rest().await;
    assert_eq!(rig.read(image.id).await.status, Status::Queued);
    assert_eq!(rig.blobs(), []);
    assert!(rig.ledger.is_empty());
}

#[tokio::test]
async fn a_body_that_breaks_off_leaves_the_image_queued_and_no_bytes() {
    let rig = Rig::new();
    let image = rig.image().await;
    let error = rig
        .upload_from(&image, broken_body(b"some bytes"), None)
        .await
        .unwrap_err();
    assert_eq!(*error.kind(), UploadErrorKind::Interrupted);
    is_as_before(&rig, &image).await;
}

#[tokio::test]
async fn a_client_that_fell_silent_is_told_so() {
    let rig = Rig::new();
    let image = rig.image().await;
    let (sender, body) = slow_body();
    let upload = rig.upload_from(&image, body, None);
    let silence = async {
        sender.send(Ok(Bytes::from_static(b"some bytes"))).await.unwrap();
        sender
            .send(Err(std::io::ErrorKind::TimedOut.into()))
            .await
            .unwrap();
    };
    let (uploaded, ()) = tokio::join!(upload, silence);
    assert_eq!(*uploaded.unwrap_err().kind(), UploadErrorKind::Stalled);
    is_as_before(&rig, &image).await;
}

#[tokio::test]
async fn fewer_or_more_bytes_than_declared_are_refused() {
    let rig = Rig::new();
    let image = rig.image().await;
    for (declared, bytes) in [(11, noise(10)), (9, noise(10)), (5, noise(600_000))] {
        let body = Full::new(Bytes::from(bytes));
        let error = rig.upload_from(&image, body, Some(declared)).await.unwrap_err();
        assert!(matches!(error.kind(), UploadErrorKind::SizeMismatch { declared: d, .. } if *d == declared));
        is_as_before(&rig, &image).await;
    }
}

#[tokio::test]
async fn an_image_larger_than_allowed_is_refused_whether_declared_or_not() {
    let rig = Rig::new();
    let image = rig.image().await;
    let too_large = 17 << 20;
    let body = Full::new(Bytes::from(vec![0; too_large]));
    let declared = rig
        .upload_from(&image, body, Some(too_large as u64))
        .await
        .unwrap_err();
    assert_eq!(*declared.kind(), UploadErrorKind::TooLarge { limit: 16 << 20 });
    let undeclared = rig.upload(&image, vec![0; too_large]).await.unwrap_err();
    assert_eq!(*undeclared.kind(), UploadErrorKind::TooLarge { limit: 16 << 20 });
    is_as_before(&rig, &image).await;
}

#[tokio::test]
async fn an_unsafe_header_is_refused_before_the_rest_is_sent_and_the_image_can_be_uploaded_again() {
    let rig = Rig::new();
    let image = rig.image_of("qcow2").await;
    let mut header = vec![0; 64 * 1024];
    header[..8].copy_from_slice(b"QFI\xfb\0\0\0\x03");
    header[15] = 0x70; // A backing file's name at 112.
    header[19] = 4;
    header[23] = 16;
    header[31] = 1;
    header[103] = 104;
    header[112..116].copy_from_slice(b"/etc");
    let (sender, body) = slow_body();
    sender.send(Ok(header.into())).await.unwrap();
    // Nothing more is sent, and the body does not end.
    let error = rig.upload_from(&image, body, None).await.unwrap_err();
    assert!(matches!(error.kind(), UploadErrorKind::Refused(_)), "{error}");
    drop(sender);
    is_as_before(&rig, &image).await;
    let error = rig.upload(&image, noise(100_000)).await.unwrap_err();
    assert!(matches!(error.kind(), UploadErrorKind::Refused(_)), "{error}");
    is_as_before(&rig, &image).await;
}

#[tokio::test]
async fn an_image_deleted_during_its_upload_is_gone_and_so_are_the_bytes() {
    let rig = Rig::new();
    let image = rig.image().await;
    let (sender, body) = slow_body();
    let upload = rig.upload_from(&image, body, None);
    let delete = async {
        sender.send(Ok(Bytes::from_static(b"some"))).await.unwrap();
        sender.send(Ok(Bytes::from_static(b"bytes"))).await.unwrap();
        let saving = rig.read(image.id).await;
        assert_eq!(saving.status, Status::Saving);
        rig.janitor.delete(&saving).await.unwrap();
        drop(sender);
    };
    let (uploaded, ()) = tokio::join!(upload, delete);
    assert_eq!(*uploaded.unwrap_err().kind(), UploadErrorKind::Gone);
    rig.rest().await;
    assert_eq!(rig.blobs(), []);
    assert!(rig.ledger.is_empty());
}

#[tokio::test]
async fn a_change_of_the_record_during_the_upload_stays_and_fails_nothing() {
    let rig = Rig::new();
    let image = rig.image().await;
    let (sender, body) = slow_body();
    let upload = rig.upload_from(&image, body, None);
    let patch = async {
        sender.send(Ok(Bytes::from_static(b"some"))).await.unwrap();
        sender.send(Ok(Bytes::from_static(b"bytes"))).await.unwrap();
        let saving = rig.read(image.id).await;
        let renamed = Image {
            name: Some("renamed".into()),
            ..saving.clone()
        };
        rig.change(
            image.id,
            ChangeKind::Update {
                expected: saving.revision,
                image: Box::new(renamed),
            },
        )
        .await;
        drop(sender);
    };
    let (uploaded, ()) = tokio::join!(upload, patch);
    uploaded.unwrap();
    let stored = rig.read(image.id).await;
    assert_eq!(
        (stored.status, stored.name.as_deref()),
        (Status::Active, Some("renamed"))
    );
}

#[tokio::test]
async fn of_many_uploads_of_one_image_exactly_one_wins() {
    let rig = Rig::new();
    let image = rig.image().await;
    let uploads = (0..8).map(|n| rig.upload(&image, vec![n; 300_000]));
    let results = futures_util::future::join_all(uploads).await;
    rig.rest().await;
    let winners: Vec<_> = (0..8).filter(|n| results[*n].is_ok()).collect();
    assert_eq!(winners.len(), 1, "{results:?}");
    assert_eq!(
        rig.blobs(),
        [(image.id.to_string(), vec![winners[0] as u8; 300_000])]
    );
    assert!(rig.ledger.is_empty());
}

#[tokio::test]
async fn a_client_that_stops_waiting_does_not_stop_an_upload_whose_bytes_have_come() {
    let rig = Rig::new();
    let image = rig.image().await;
    let upload = rig.upload(&image, noise(300_000));
    // Long enough to begin, far too short to finish.
    let _ = tokio::time::timeout(Duration::from_micros(1), upload).await;
    rig.rest().await;
    let status = rig.read(image.id).await.status;
    assert!(matches!(status, Status::Active | Status::Queued), "{status}");
    assert!(rig.ledger.is_empty());
    assert_eq!(rig.blobs().len(), usize::from(status == Status::Active));
}

#[tokio::test]
async fn uploads_share_the_memory_they_are_given() {
    let rig = Rig::new();
    let uploads = (0..24).map(|_| async {
        let image = rig.image().await;
        rig.upload(&image, noise(1 << 20)).await
    });
    let results = futures_util::future::join_all(uploads).await;
    assert!(results.iter().all(Result::is_ok));
    assert!(rig.transfers.shared.chunks.buffers_made() <= (8 << 20) / crate::transfer::chunks::CHUNK);
}
