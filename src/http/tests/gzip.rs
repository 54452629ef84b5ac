use super::*;
use axum::body::Body;
use http::header::ACCEPT_ENCODING;
use serde_json::json;

fn compressing() -> Settings {
    Settings {
        gzip_responses: true,
        ..settings()
    }
}

fn accepting(path: &str, encodings: &'static str) -> Request<Body> {
    let mut request = request(Method::GET, path, MEMBER);
    let headers = request.headers_mut();
    headers.insert(ACCEPT_ENCODING, encodings.parse().unwrap());
    request
}

/// The content of a gzip member without optional fields (RFC 1952).
fn unpacked(packed: &[u8]) -> Vec<u8> {
    assert_eq!(packed[..4], [0x1f, 0x8b, 8, 0], "no gzip member");
    let deflated = &packed[10..packed.len() - 8];
    miniz_oxide::inflate::decompress_to_vec(deflated).unwrap()
}

#[tokio::test]
async fn an_answer_is_compressed_for_a_client_that_asks_for_it() {
    let app = App::with(compressing());
    let plain = app.get("/v2/schemas/image").await;
    assert_eq!(plain.header("content-encoding"), None);
    assert_eq!(plain.header("vary"), Some("accept-encoding"));

    for encodings in ["gzip", "gzip, deflate", "deflate;q=0.9, gzip;q=0.5"] {
        let packed = app.send(accepting("/v2/schemas/image", encodings)).await;
        assert_eq!(packed.status, 200);
        assert_eq!(packed.header("content-encoding"), Some("gzip"), "{encodings}");
        assert_eq!(packed.header("content-type"), plain.header("content-type"));
        assert!(packed.body.len() < plain.body.len() / 2);
        assert_eq!(unpacked(&packed.body), plain.body);
    }
}

#[tokio::test]
async fn a_client_that_refuses_gzip_gets_none() {
    let app = App::with(compressing());
    for encodings in ["identity", "gzip;q=0", "br"] {
        let answer = app.send(accepting("/v2/schemas/image", encodings)).await;
        assert_eq!(answer.header("content-encoding"), None, "{encodings}");
        assert!(answer.json()["properties"].is_object());
    }
}

#[tokio::test]
async fn nothing_is_compressed_unless_the_operator_says_so() {
    let answer = App::new().send(accepting("/v2/schemas/image", "gzip")).await;
    assert_eq!(answer.header("content-encoding"), None);
    assert!(answer.json()["properties"].is_object());
}

#[tokio::test]
async fn image_data_and_short_answers_stay_as_they_are() {
    let app = App::with(compressing());
    let path = app
        .create(&json!({"disk_format": "raw", "container_format": "bare"}))
        .await;
    let mut upload = request(Method::PUT, &format!("{path}/file"), MEMBER);
    let headers = upload.headers_mut();
    headers.insert("content-type", "application/octet-stream".parse().unwrap());
    *upload.body_mut() = Body::from(vec![0; 100_000]);
    assert_eq!(app.send(upload).await.status, 204);

    let data = app.send(accepting(&format!("{path}/file"), "gzip")).await;
    assert_eq!(data.header("content-encoding"), None);
    assert_eq!(data.header("content-length"), Some("100000"));
    assert_eq!(data.body, vec![0; 100_000]);

    let short = app.send(accepting("/v2/info/import", "gzip")).await;
    assert_eq!(short.header("content-encoding"), None);
}

#[tokio::test]
async fn long_errors_are_compressed_too() {
    let app = App::with(compressing());
    let path = format!("/v2/images/{}", "x".repeat(2_000));
    let plain = app.get(&path).await;
    let packed = app.send(accepting(&path, "gzip")).await;
    assert_eq!(packed.status, plain.status);
    assert_eq!(packed.header("content-encoding"), Some("gzip"));
    assert_eq!(unpacked(&packed.body), plain.body);
}
