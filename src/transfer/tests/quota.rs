//! Limits on what a project's images take up, as uploads meet them.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use async_trait::async_trait;
use bytes::Bytes;
use http_body::{Body, Frame};
use http_body_util::Full;

use super::rig::{Rig, file_store, noise, slow_body};
use crate::{
    image::{Image, Status},
    quota::{Configured, Limits, LimitsError, ProjectLimits, UnifiedLimits},
    transfer::UploadErrorKind,
};

const MIB: usize = 1 << 20;

fn rig(limits: impl Limits + 'static) -> Rig {
    let disk = Rig::new().disk;
    let store = file_store(&disk);
    Rig::limited(disk, Arc::default(), store, Arc::new(limits))
}

fn storage(bytes: u64) -> Configured {
    Configured { storage: Some(bytes) }
}

/// The same answer for every project.
struct Always(Result<ProjectLimits, LimitsError>);

#[async_trait]
impl Limits for Always {
    async fn of(&self, _: &str) -> Result<ProjectLimits, LimitsError> {
        self.0.clone()
    }

    fn by_resource(&self) -> bool {
        true
    }
}

fn unified(image_size_total: i64, image_count_uploading: i64) -> Always {
    Always(Ok(ProjectLimits::Unified(UnifiedLimits {
        image_size_total,
        image_stage_total: -1,
        image_count_total: -1,
        image_count_uploading,
    })))
}

/// A body that nobody may look at.
struct Untouched;

impl Body for Untouched {
    type Data = Bytes;
    type Error = std::io::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, std::io::Error>>> {
        panic!("the body was polled")
    }
}

async fn is_as_before(rig: &Rig, image: &Image) {
    rig.rest().await;
    let now = rig.read(image.id).await;
    assert_eq!((now.status, now.size()), (Status::Queued, None));
    assert!(
        !rig.blobs()
            .iter()
            .any(|(name, _)| name.contains(&image.id.to_string()))
    );
    assert!(rig.ledger.is_empty());
}

fn explained(kind: &UploadErrorKind) -> &str {
    match kind {
        UploadErrorKind::OverLimit { explanation } => explanation,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn data_whose_declared_size_does_not_fit_is_refused_unread() {
    let rig = rig(storage(1000));
    let first = rig.image().await;
    rig.upload(&first, noise(400)).await.unwrap();
    let second = rig.image().await;
    let error = rig.upload_from(&second, Untouched, Some(601)).await.unwrap_err();
    assert_eq!(
        explained(error.kind()),
        "The size of the data 601 will exceed the limit. 600 bytes remaining."
    );
    is_as_before(&rig, &second).await;
    rig.upload_from(&second, Full::new(Bytes::from(noise(600))), Some(600))
        .await
        .unwrap();
    let third = rig.image().await;
    let error = rig.upload_from(&third, Untouched, None).await.unwrap_err();
    assert_eq!(
        explained(error.kind()),
        "The size of the data None will exceed the limit. 0 bytes remaining."
    );
}

#[tokio::test]
async fn data_of_unknown_size_is_cut_off_where_the_room_ends() {
    let rig = rig(storage(100_000));
    let image = rig.image().await;
    let (sender, body) = slow_body();
    let sending = tokio::spawn(async move {
        let mut sent = 0;
        while sender.send(Ok(Bytes::from(vec![1; 50_000]))).await.is_ok() {
            sent += 1;
        }
        sent
    });
    let error = rig.upload_from(&image, body, None).await.unwrap_err();
    assert!(
        matches!(error.kind(), UploadErrorKind::OverLimit { .. }),
        "{error:?}"
    );
    assert!(sending.await.unwrap() < 50, "an endless body is not taken in");
    is_as_before(&rig, &image).await;
    rig.upload(&image, noise(100_000)).await.unwrap();
}

#[tokio::test]
async fn of_uploads_at_once_no_more_succeed_than_fit() {
    let rig = rig(storage(1_000_000));
    let images = [rig.image().await, rig.image().await, rig.image().await];
    let mut uploads = Vec::new();
    let mut senders = Vec::new();
    for image in &images {
        let (sender, body) = slow_body();
        senders.push(sender);
        uploads.push(rig.upload_from(image, body, None));
    }
    let feed = async {
        // Each has been let in, and fits by itself.
        for sender in &senders {
            sender.send(Ok(Bytes::from(noise(400_000)))).await.unwrap();
        }
        drop(senders);
    };
    let (results, ()) = tokio::join!(futures_util::future::join_all(uploads), feed);
    assert_eq!(results.iter().filter(|result| result.is_ok()).count(), 2);
    for (image, result) in images.iter().zip(&results) {
        match result {
            Ok(()) => assert_eq!(rig.read(image.id).await.status, Status::Active),
            Err(error) => {
                assert!(
                    matches!(error.kind(), UploadErrorKind::OverLimit { .. }),
                    "{error:?}"
                );
                is_as_before(&rig, image).await;
            }
        }
    }
    assert_eq!(rig.blobs().len(), 2);
}

#[tokio::test]
async fn unified_limits_let_one_upload_of_unknown_size_beyond_them_as_in_glance() {
    let rig = rig(unified(1, -1));
    let images = [rig.image().await, rig.image().await, rig.image().await];
    rig.upload(&images[0], noise(MIB)).await.unwrap();
    let declared = rig.upload_from(&images[1], Untouched, Some(MIB as u64)).await;
    assert!(
        explained(declared.unwrap_err().kind()).contains(
            "Project project is over a limit for [Resource image_size_total is over limit of 1 due to current usage 1 \
             and delta 1]"
        )
    );
    rig.upload(&images[1], noise(MIB)).await.unwrap();
    let error = rig.upload_from(&images[2], Untouched, None).await.unwrap_err();
    assert!(explained(error.kind()).contains("due to current usage 2 and delta 0"));
    is_as_before(&rig, &images[2]).await;
}

#[tokio::test]
async fn more_uploads_than_allowed_at_once_are_refused_unread() {
    let rig = rig(unified(-1, 1));
    let (one, other) = (rig.image().await, rig.image().await);
    let (sender, body) = slow_body();
    let first = rig.upload_from(&one, body, None);
    let second = async {
        sender.send(Ok(Bytes::from_static(b"begun"))).await.unwrap();
        // The first one is read, so that it holds its image.
        sender.send(Ok(Bytes::from_static(b"more"))).await.unwrap();
        let error = rig.upload_from(&other, Untouched, None).await.unwrap_err();
        drop(sender);
        error
    };
    let (first, error) = tokio::join!(first, second);
    first.unwrap();
    assert!(explained(error.kind()).contains("image_count_uploading is over limit of 1"));
    is_as_before(&rig, &other).await;
    rig.upload(&other, noise(10)).await.unwrap();
}

#[tokio::test]
async fn without_knowing_the_limits_nothing_is_taken() {
    for (error, kind) in [
        (LimitsError::Unavailable("down".into()), UploadErrorKind::Limits),
        (
            LimitsError::Misconfigured("wrong".into()),
            UploadErrorKind::LimitsMisconfigured,
        ),
    ] {
        let rig = rig(Always(Err(error)));
        let image = rig.image().await;
        let error = rig.upload_from(&image, Untouched, Some(1)).await.unwrap_err();
        assert_eq!(*error.kind(), kind);
        is_as_before(&rig, &image).await;
    }
}
