//! What browsers are told on behalf of pages of other origins.

use serde_json::json;

use super::*;
use crate::config::Cors;

const HORIZON: &str = "https://horizon.example";
const GRANTED: [&str; 4] = [
    "access-control-allow-origin",
    "access-control-allow-methods",
    "access-control-allow-credentials",
    "vary",
];

fn app(origins: &[&str]) -> App {
    App::with(Settings {
        cors: Cors {
            allowed_origins: origins.iter().map(|&origin| origin.to_owned()).collect(),
            ..settings().cors
        },
        ..settings()
    })
}

async fn send(app: &App, method: Method, path: &str, headers: &[(&'static str, &str)]) -> Answer {
    let mut request = request(method, path, MEMBER);
    request.headers_mut().remove("x-auth-token");
    for (name, value) in headers {
        request.headers_mut().insert(*name, value.parse().unwrap());
    }
    app.send(request).await
}

fn granted(answer: &Answer) -> Vec<Option<&str>> {
    GRANTED.iter().map(|name| answer.header(name)).collect()
}

#[tokio::test]
async fn a_preflight_of_horizon_s_upload_is_granted_without_a_token() {
    let app = app(&["https://other.example", HORIZON]);
    let answer = send(
        &app,
        Method::OPTIONS,
        "/v2/images/868a468f-2906-414e-859e-f54a38d10e38/file",
        &[
            ("origin", HORIZON),
            ("access-control-request-method", "PUT"),
            ("access-control-request-headers", "x-auth-token, content-type"),
        ],
    )
    .await;
    assert_eq!((answer.status.as_u16(), answer.body.len()), (200, 0));
    assert_eq!(
        granted(&answer),
        [Some(HORIZON), Some("PUT"), Some("true"), Some("Origin")]
    );
    assert_eq!(answer.header("access-control-max-age"), Some("3600"));
    assert_eq!(
        answer.header("access-control-allow-headers"),
        Some("x-auth-token,content-type")
    );
    assert_eq!(answer.header("content-type"), None);
    assert_eq!(answer.header("www-authenticate"), None);
    assert_eq!(answer.header("x-openstack-request-id"), None);
}

#[tokio::test]
async fn a_preflight_that_asks_for_anything_else_is_told_nothing() {
    let app = app(&[HORIZON]);
    let method = ("access-control-request-method", "PUT");
    for headers in [
        vec![],
        vec![("origin", HORIZON)],
        vec![("origin", "https://evil.example"), method],
        vec![("origin", "https://horizon.example:443"), method],
        vec![("origin", "HTTPS://HORIZON.EXAMPLE"), method],
        vec![("origin", "null"), method],
        vec![("origin", HORIZON), ("access-control-request-method", "put")],
        vec![("origin", HORIZON), ("access-control-request-method", "TRACE")],
        vec![
            ("origin", HORIZON),
            method,
            ("access-control-request-headers", "X-Auth-Token,X-Colour"),
        ],
    ] {
        let answer = send(&app, Method::OPTIONS, "/v2/images", &headers).await;
        assert_eq!(
            (answer.status.as_u16(), answer.body.len()),
            (200, 0),
            "{headers:?}"
        );
        assert_eq!(granted(&answer), [None; 4], "{headers:?}");
    }
}

#[tokio::test]
async fn options_is_200_everywhere_though_no_origin_is_allowed() {
    let app = App::new();
    for path in ["/", "/v2/images", "/v2/nope", "/v2/images/1/file"] {
        let answer = send(&app, Method::OPTIONS, path, &[("origin", HORIZON)]).await;
        assert_eq!((answer.status.as_u16(), answer.body.len()), (200, 0), "{path}");
        assert_eq!(granted(&answer), [None; 4], "{path}");
    }
    let versions = send(&app, Method::OPTIONS, "/versions", &[]).await;
    assert_eq!(versions.json()["versions"][0]["id"], "v2.15");
}

#[tokio::test]
async fn pages_of_allowed_origins_may_read_answers_refusals_included() {
    let app = app(&[HORIZON]);
    let token = ("x-auth-token", MEMBER);
    for (path, headers, status) in [
        ("/v2/images", vec![token, ("origin", HORIZON)], 200),
        ("/v2/images", vec![("origin", HORIZON)], 401),
        ("/v2/images/1", vec![token, ("origin", HORIZON)], 404),
        ("/", vec![("origin", HORIZON)], 300),
    ] {
        let answer = send(&app, Method::GET, path, &headers).await;
        assert_eq!(answer.status, status, "{path}");
        assert_eq!(
            granted(&answer),
            [Some(HORIZON), None, Some("true"), Some("Origin")],
            "{path}"
        );
        assert_eq!(
            answer.header("access-control-expose-headers"),
            Some("X-Image-Meta-Checksum,X-Auth-Token,X-Subject-Token,X-Service-Token,X-OpenStack-Request-ID")
        );
        assert_eq!(answer.header("access-control-max-age"), None);
    }
    for headers in [vec![token], vec![token, ("origin", "https://evil.example")]] {
        let answer = send(&app, Method::GET, "/v2/images", &headers).await;
        assert_eq!(answer.status, 200, "{headers:?}");
        assert_eq!(granted(&answer), [None; 4], "{headers:?}");
    }
}

#[tokio::test]
async fn an_upload_from_a_page_and_its_download_are_answered_with_the_origin() {
    let app = app(&[HORIZON]);
    let image = app
        .create(&json!({"disk_format": "raw", "container_format": "bare"}))
        .await;
    let path = format!("{image}/file");
    let mut upload = request(Method::PUT, &path, MEMBER);
    let headers = upload.headers_mut();
    headers.insert("origin", HORIZON.parse().unwrap());
    headers.insert("content-type", "application/octet-stream".parse().unwrap());
    headers.insert("content-length", 5.into());
    *upload.body_mut() = Body::from("bytes");
    let answer = app.send(upload).await;
    assert_eq!(answer.status, 204, "{answer:?}");
    assert_eq!(answer.header("access-control-allow-origin"), Some(HORIZON));
    let headers = [("origin", HORIZON), ("x-auth-token", MEMBER)];
    let answer = send(&app, Method::GET, &path, &headers).await;
    assert_eq!((answer.status.as_u16(), answer.text()), (200, "bytes"));
    assert_eq!(answer.header("access-control-allow-origin"), Some(HORIZON));
}

#[tokio::test]
async fn any_origin_is_named_by_a_star_unless_it_is_in_the_list() {
    let app = app(&["*", HORIZON]);
    for (origin, named) in [("https://else.example", "*"), (HORIZON, HORIZON)] {
        let answer = send(&app, Method::GET, "/versions", &[("origin", origin)]).await;
        assert_eq!(answer.header("access-control-allow-origin"), Some(named));
    }
}

#[tokio::test]
async fn what_the_operator_takes_away_is_not_said() {
    let app = App::with(Settings {
        cors: Cors {
            allowed_origins: vec![HORIZON.to_owned()],
            allow_credentials: false,
            expose_headers: Vec::new(),
            max_age: 0,
            allow_methods: vec!["GET".to_owned()],
            allow_headers: Vec::new(),
        },
        ..settings()
    });
    let origin = ("origin", HORIZON);
    let answer = send(&app, Method::GET, "/versions", &[origin]).await;
    assert_eq!(granted(&answer), [Some(HORIZON), None, None, Some("Origin")]);
    assert_eq!(answer.header("access-control-expose-headers"), None);
    let asked = [
        origin,
        ("access-control-request-method", "GET"),
        ("access-control-request-headers", "Accept"),
    ];
    let answer = send(&app, Method::OPTIONS, "/v2/images", &asked).await;
    assert_eq!(
        granted(&answer),
        [Some(HORIZON), Some("GET"), None, Some("Origin")]
    );
    assert_eq!(answer.header("access-control-max-age"), None);
}
