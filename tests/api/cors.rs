use crate::harness::{Body, Setup};

const HORIZON: &str = "https://horizon.example";

#[test]
fn a_page_of_an_allowed_origin_may_upload() {
    let daemon = Setup::default()
        .option("identity = local")
        .glance("[cors]\nallowed_origin = https://other.example, https://horizon.example\nmax_age = 60")
        .start();
    let path = format!("/v2/images/{}/file", daemon.admin().queued("x"));
    let asked = [
        ("Origin", HORIZON),
        ("Access-Control-Request-Method", "PUT"),
        ("Access-Control-Request-Headers", "x-auth-token,content-type"),
    ];
    let preflight = (daemon.anonymous()).request("OPTIONS", &path, &asked, Body::None);
    let preflight = preflight.expect_status(200);
    assert_eq!(preflight.header("Access-Control-Allow-Origin"), HORIZON);
    assert_eq!(preflight.header("Access-Control-Allow-Methods"), "PUT");
    assert_eq!(preflight.header("Access-Control-Max-Age"), "60");
    let bytes = Body::Sized("application/octet-stream", b"bytes");
    let upload = (daemon.admin()).request("PUT", &path, &[("Origin", HORIZON)], bytes);
    let upload = upload.expect_status(204);
    assert_eq!(upload.header("Access-Control-Allow-Origin"), HORIZON);
}
