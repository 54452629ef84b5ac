//! Image data over HTTP.

use std::{
    pin::Pin,
    sync::atomic::{AtomicBool, Ordering},
    task::{Context, Poll},
};

use crate::file_answer::FileAnswer;
use http_body::Frame;
use serde_json::json;

use super::*;

async fn queued(app: &App) -> String {
    app.create(&json!({"disk_format": "raw", "container_format": "bare"}))
        .await
}

fn upload(path: &str, token: &str, data: impl Into<Body>) -> Request<Body> {
    let mut request = request(Method::PUT, &format!("{path}/file"), token);
    request
        .headers_mut()
        .insert("content-type", "application/octet-stream".parse().unwrap());
    *request.body_mut() = data.into();
    request
}

fn with(mut request: Request<Body>, name: &'static str, value: &str) -> Request<Body> {
    request.headers_mut().insert(name, value.parse().unwrap());
    request
}

async fn active(app: &App, data: &'static [u8]) -> String {
    let path = queued(app).await;
    let answer = app.send(upload(&path, MEMBER, data)).await;
    assert_eq!(
        (answer.status.as_u16(), answer.body.len()),
        (204, 0),
        "{answer:?}"
    );
    path
}

/// A body that remembers whether anybody wanted it.
struct Watched(Arc<AtomicBool>);

impl http_body::Body for Watched {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        self.0.store(true, Ordering::SeqCst);
        Poll::Ready(None)
    }
}

#[tokio::test]
async fn what_was_uploaded_is_downloaded() {
    let app = App::new();
    let path = active(&app, b"hello, world").await;
    let image = app.get(&path).await.json();
    assert_eq!((&image["status"], &image["size"]), (&json!("active"), &json!(12)));
    assert_eq!(image["checksum"], "e4d7f1b4ed2e42d15898f4b27b019da4");
    assert_eq!(image["os_hash_algo"], "sha512");

    let answer = app.get(&format!("{path}/file")).await;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.text(), "hello, world");
    assert_eq!(answer.header("content-type"), Some("application/octet-stream"));
    assert_eq!(answer.header("content-length"), Some("12"));
    assert_eq!(
        answer.header("content-md5"),
        Some("e4d7f1b4ed2e42d15898f4b27b019da4")
    );
    for absent in ["etag", "last-modified", "accept-ranges", "content-range"] {
        assert_eq!(answer.header(absent), None, "{absent}");
    }
}

#[tokio::test]
async fn the_connection_gets_the_region_of_the_file() {
    let app = App::new();
    let path = active(&app, b"hello, world").await;
    let whole = request(Method::GET, &format!("{path}/file"), MEMBER);
    let response = app.respond(with(whole, "range", "bytes=7-")).await;
    let region = response.extensions().get::<FileAnswer>().unwrap().region();
    assert_eq!((region.offset, region.len), (7, 5));
}

#[tokio::test]
async fn ranges_are_answered_in_part() {
    let app = App::new();
    let path = active(&app, b"0123456789").await;
    let get = async |name: &'static str, range: &str| {
        app.send(with(
            request(Method::GET, &format!("{path}/file"), MEMBER),
            name,
            range,
        ))
        .await
    };
    for (range, expected, content_range) in [
        ("bytes=0-3", "0123", "bytes 0-3/10"),
        ("bytes=8-", "89", "bytes 8-9/10"),
        ("bytes=8-100", "89", "bytes 8-9/10"),
        ("bytes=-3", "789", "bytes 7-9/10"),
        ("bytes=-100", "0123456789", "bytes 0-9/10"),
    ] {
        let answer = get("range", range).await;
        assert_eq!(answer.status, 206, "{range}");
        assert_eq!(answer.text(), expected, "{range}");
        assert_eq!(answer.header("content-range"), Some(content_range));
        assert_eq!(
            answer.header("content-length").unwrap(),
            expected.len().to_string()
        );
        assert_eq!(
            answer.header("content-md5"),
            Some("781e5e245d69b566979b86e28d23f2c7")
        );
    }
    assert_eq!(get("content-range", "bytes 2-3/*").await.text(), "23");
    assert_eq!(get("range", "bytes=0-1,3-4").await.status, 400);
    for range in ["bytes=10-", "bytes=x", "lines=1-2"] {
        let answer = get("range", range).await;
        assert_eq!(answer.status, 416, "{range}");
        assert_eq!(answer.header("content-range"), None);
    }
}

#[tokio::test]
async fn an_image_without_data_has_no_content() {
    let app = App::new();
    let path = queued(&app).await;
    assert_eq!(app.get(&format!("{path}/file")).await.status, 204);
    let ranged = with(
        request(Method::GET, &format!("{path}/file"), MEMBER),
        "range",
        "bytes=0-1",
    );
    assert_eq!(app.send(ranged).await.status, 204);
}

#[tokio::test]
async fn an_empty_image_is_empty() {
    let app = App::new();
    let path = active(&app, b"").await;
    let answer = app.get(&format!("{path}/file")).await;
    assert_eq!(
        (answer.status.as_u16(), answer.header("content-length")),
        (200, Some("0"))
    );
}

#[tokio::test]
async fn who_may_not_download_is_refused() {
    let app = App::new();
    let path = active(&app, b"data").await;
    let file = format!("{path}/file");
    let status = async |token: &str| app.send(request(Method::GET, &file, token)).await.status.as_u16();
    assert_eq!(status(READER).await, 403);
    assert_eq!(status(STRANGER).await, 404);
    assert_eq!(status(ADMIN).await, 200);
}

#[tokio::test]
async fn what_can_be_refused_without_the_data_is_refused_before_it_is_asked_for() {
    let app = App::new();
    let path = queued(&app).await;
    let formatless = app.create(&json!({})).await;
    let taken = active(&app, b"data").await;
    let asked = Arc::new(AtomicBool::new(false));
    let body = || Body::new(Watched(asked.clone()));
    let refused = |path: &str, token: &str| upload(path, token, body());
    let missing = "/v2/images/868a468f-2906-414e-859e-f54a38d10e38";
    for (expected, request) in [
        (401, refused(&path, "junk")),
        (403, refused(&path, READER)),
        (404, refused(&path, STRANGER)),
        (404, refused(missing, MEMBER)),
        (
            415,
            with(refused(&path, MEMBER), "content-type", "application/json"),
        ),
        (
            400,
            with(refused(&path, MEMBER), "x-openstack-image-size", "many"),
        ),
        (
            413,
            with(refused(&path, MEMBER), "x-openstack-image-size", "9000000000000"),
        ),
        (400, refused(&formatless, MEMBER)),
        (409, refused(&taken, MEMBER)),
    ] {
        let answer = app.send(request).await;
        assert_eq!(answer.status.as_u16(), expected, "{answer:?}");
    }
    assert!(!asked.load(Ordering::SeqCst), "a body was polled");
    let mut typeless = refused(&path, MEMBER);
    typeless.headers_mut().remove("content-type");
    assert_eq!(app.send(typeless).await.status, 415);
}

#[tokio::test]
async fn the_size_that_is_declared_has_to_be_the_size_that_comes() {
    let app = App::new();
    let path = queued(&app).await;
    for size in ["3", "5"] {
        let answer = app
            .send(with(
                upload(&path, MEMBER, "data"),
                "x-openstack-image-size",
                size,
            ))
            .await;
        assert_eq!(answer.status, 400, "{size}: {answer:?}");
        assert_eq!(app.get(&path).await.json()["status"], "queued");
    }
    // The header beats the length of the body, which a proxy may have changed; 0 says nothing.
    let request = with(upload(&path, MEMBER, "data"), "content-length", "9");
    let answer = app.send(with(request, "x-openstack-image-size", "4")).await;
    assert_eq!(answer.status, 204, "{answer:?}");
    let second = queued(&app).await;
    let unsaid = with(upload(&second, MEMBER, "data"), "x-openstack-image-size", "0");
    assert_eq!(app.send(unsaid).await.status, 204);
}

#[tokio::test]
async fn data_that_is_not_what_the_image_says_is_415_with_the_reason() {
    let app = App::new();
    let path = app
        .create(&json!({"disk_format": "qcow2", "container_format": "bare"}))
        .await;
    let answer = app.send(upload(&path, MEMBER, vec![0; 4096])).await;
    assert_eq!(answer.status, 415);
    assert!(answer.text().contains("disk_format"), "{answer:?}");
    assert_eq!(app.get(&path).await.json()["status"], "queued");
}

#[tokio::test]
async fn stores_are_named_only_where_the_operator_named_them() {
    let named = App::with(Settings {
        stores: store("fast"),
        ..settings()
    });
    let created = named.json(Method::POST, "/v2/images", MEMBER, &json!({})).await;
    assert_eq!(created.header("openstack-image-store-ids"), Some("fast"));
    let path = queued(&named).await;
    let elsewhere = with(upload(&path, MEMBER, "data"), "x-image-meta-store", "slow");
    assert_eq!(named.send(elsewhere).await.status, 400);
    let there = with(upload(&path, MEMBER, "data"), "x-image-meta-store", "fast");
    assert_eq!(named.send(there).await.status, 204);
    assert_eq!(named.get(&path).await.json()["stores"], "fast");
    assert_eq!(named.get(&format!("{path}/file?prefer=slow")).await.status, 400);
    assert_eq!(named.get(&format!("{path}/file?prefer=fast")).await.status, 200);

    let single = App::new();
    let path = queued(&single).await;
    let request = with(upload(&path, MEMBER, "data"), "x-image-meta-store", "slow");
    assert_eq!(single.send(request).await.status, 204);
    assert_eq!(single.get(&path).await.json().get("stores"), None);
    assert_eq!(single.get(&format!("{path}/file?prefer=fast")).await.status, 400);
}

#[tokio::test]
async fn addresses_of_data_are_shown_only_where_the_operator_says_so() {
    let shown = App::with(Settings {
        show_direct_url: true,
        show_locations: true,
        ..settings()
    });
    let path = queued(&shown).await;
    let image = shown.get(&path).await.json();
    assert_eq!((&image["locations"], image.get("direct_url")), (&json!([]), None));
    shown.send(upload(&path, MEMBER, "data")).await;
    let image = shown.get(&path).await.json();
    assert!(
        image["direct_url"].as_str().unwrap().starts_with("file://"),
        "{image}"
    );
    assert_eq!(image["locations"][0]["url"], image["direct_url"]);

    let hidden = App::new();
    let path = active(&hidden, b"data").await;
    let image = hidden.get(&path).await.json();
    assert_eq!((image.get("locations"), image.get("direct_url")), (None, None));
}

#[tokio::test]
async fn an_image_that_was_deactivated_while_a_download_waited_for_its_turn_is_not_served() {
    const LEN: usize = (1 << 20) + 1;
    let app = App::new();
    let path = queued(&app).await;
    let uploaded = app.send(upload(&path, MEMBER, vec![7; LEN])).await;
    assert_eq!(uploaded.status, 204);
    let file = format!("{path}/file");
    let until_it_waits = std::time::Duration::from_millis(300);

    for is_deactivated in [false, true] {
        let first = app.respond(request(Method::GET, &file, MEMBER)).await;
        assert_eq!(first.status(), 200);
        let mut second = std::pin::pin!(app.send(request(Method::GET, &file, MEMBER)));
        tokio::time::timeout(until_it_waits, &mut second)
            .await
            .expect_err("there is no turn for it");
        if is_deactivated {
            let deactivated = format!("{path}/actions/deactivate");
            let deactivated = app.send(request(Method::POST, &deactivated, ADMIN)).await;
            assert_eq!(deactivated.status, 204);
        }
        drop(first);
        let second = second.await;
        let expected = if is_deactivated { 403 } else { 200 };
        assert_eq!(second.status, expected);
        assert_eq!(second.body.len() == LEN, !is_deactivated);
    }
}
