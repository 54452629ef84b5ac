use super::rig::{Rig, noise};
use crate::{
    image::Image,
    transfer::{DownloadErrorKind, RangeRequest},
};

async fn stored(rig: &Rig, bytes: &[u8]) -> Image {
    let image = rig.image().await;
    rig.upload(&image, bytes.to_vec()).await.unwrap();
    rig.read(image.id).await
}

#[tokio::test]
async fn ranges_give_the_bytes_they_name() {
    let rig = Rig::new();
    let bytes = noise(1000);
    let image = stored(&rig, &bytes).await;
    let from = |first, last| RangeRequest::From { first, last };
    let table = [
        (from(0, Some(0)), &bytes[0..1]),
        (from(10, Some(19)), &bytes[10..20]),
        (from(990, Some(5000)), &bytes[990..]),
        (from(999, None), &bytes[999..]),
        (from(0, Some(u64::MAX)), &bytes[..]),
        (RangeRequest::Suffix(1), &bytes[999..]),
        (RangeRequest::Suffix(5000), &bytes[..]),
    ];
    for (range, expected) in table {
        assert_eq!(
            rig.download(&image, Some(range)).await.unwrap().unwrap(),
            expected,
            "{range:?}"
        );
    }
}

#[tokio::test]
async fn ranges_without_a_byte_are_not_satisfiable() {
    let rig = Rig::new();
    let image = stored(&rig, &noise(1000)).await;
    let from = |first, last| RangeRequest::From { first, last };
    for range in [
        from(1000, None),
        from(u64::MAX, None),
        from(20, Some(10)),
        RangeRequest::Suffix(0),
    ] {
        let error = rig.download(&image, Some(range)).await.unwrap_err();
        assert_eq!(
            error.kind(),
            DownloadErrorKind::Unsatisfiable { size: 1000 },
            "{range:?}"
        );
    }
}

#[tokio::test]
async fn an_image_without_data_has_none() {
    let rig = Rig::new();
    let image = rig.image().await;
    assert_eq!(rig.download(&image, None).await.unwrap(), None);
}

#[tokio::test]
async fn an_image_that_was_deleted_a_moment_ago_is_not_found() {
    let rig = Rig::new();
    let image = stored(&rig, &noise(1000)).await;
    rig.janitor.delete(&image).await.unwrap();
    let error = rig.download(&image, None).await.unwrap_err();
    assert_eq!(error.kind(), DownloadErrorKind::NotFound);
    rig.rest().await;
    assert_eq!(rig.blobs(), []);
}
