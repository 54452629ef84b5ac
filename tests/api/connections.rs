//! What load balancers, old clients and broken ones send.

use crate::harness::{Body, Connection, Daemon, Setup};
use std::time::Duration;

#[test]
fn http_1_0_without_a_host_is_served() {
    let daemon = Daemon::fresh();
    let mut connection = Connection::open(daemon.address());
    connection.send(b"GET /healthcheck HTTP/1.0\r\n\r\n");
    let answer = String::from_utf8(connection.rest()).unwrap();
    assert!(
        answer.starts_with("HTTP/1.") && answer.contains(" 200 "),
        "{answer}"
    );
    assert!(answer.ends_with("\r\n\r\nOK"), "{answer}");
}

#[test]
fn http_1_1_without_a_host_is_served() {
    let daemon = Daemon::fresh();
    let mut connection = Connection::open(daemon.address());
    connection.send(b"GET /versions HTTP/1.1\r\n\r\n");
    assert_eq!(connection.answer().0.status, 200);
}

#[test]
fn one_connection_serves_many_requests() {
    let daemon = Daemon::fresh();
    let mut connection = Connection::open(daemon.address());
    for _ in 0..3 {
        connection.send(b"GET /healthcheck HTTP/1.1\r\nHost: x\r\n\r\n");
        let (head, body) = connection.answer();
        assert_eq!((head.status, body.as_slice()), (200, &b"OK"[..]));
    }
}

#[test]
fn an_image_is_downloaded_over_http_1_0() {
    let daemon = Daemon::fresh();
    let admin = daemon.admin();
    let id = admin.active("old client", b"all of it");
    let mut connection = Connection::open(daemon.address());
    let request = format!(
        "GET /v2/images/{id}/file HTTP/1.0\r\nX-Auth-Token: {}\r\n\r\n",
        admin.token()
    );
    connection.send(request.as_bytes());
    let answer = String::from_utf8(connection.rest()).unwrap();
    assert!(
        answer.contains(" 200 ") && answer.ends_with("\r\n\r\nall of it"),
        "{answer}"
    );
}

#[test]
fn what_is_not_http_gets_400_and_the_daemon_goes_on() {
    let daemon = Daemon::fresh();
    for nonsense in [
        &b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"[..],
        b"GET\r\n\r\n",
        b"GET / HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
        b"POST /v2/images HTTP/1.1\r\nContent-Length: x\r\n\r\n",
        b"GET / HTTP/1.1\r\nno colon\r\n\r\n",
    ] {
        let mut connection = Connection::open(daemon.address());
        connection.send(nonsense);
        connection.finish_sending();
        let answer = connection.rest();
        assert!(
            answer.is_empty() || answer.starts_with(b"HTTP/1.1 400"),
            "{}",
            String::from_utf8_lossy(&answer)
        );
    }
    daemon.anonymous().get("/healthcheck").expect_status(200);
}

#[test]
fn a_head_that_does_not_arrive_is_not_waited_for() {
    let daemon = Setup::default().option("request_header_timeout = 1s").start();
    let mut connection = Connection::open(daemon.address());
    connection.send(b"GET /healthcheck HTTP/1.1\r\nHost: ");
    let answer = String::from_utf8(connection.rest()).unwrap();
    assert!(answer.is_empty() || answer.contains(" 408 "), "{answer}");
}

#[test]
fn an_idle_connection_is_kept() {
    let daemon = Daemon::fresh();
    let mut connection = Connection::open(daemon.address());
    connection.send(b"GET /healthcheck HTTP/1.1\r\nHost: x\r\n\r\n");
    connection.answer();
    assert!(connection.is_silent(Duration::from_millis(300)));
    connection.send(b"GET /healthcheck HTTP/1.1\r\nHost: x\r\n\r\n");
    assert_eq!(connection.answer().0.status, 200);
}

#[test]
fn wrong_methods_get_405_with_those_allowed() {
    let daemon = Daemon::fresh();
    let admin = daemon.admin();
    let id = admin.queued("one");
    for (method, path, allowed) in [
        ("HEAD", format!("/v2/images/{id}"), "GET"),
        ("PUT", format!("/v2/images/{id}"), "PATCH"),
        ("DELETE", "/v2/images".to_owned(), "POST"),
        ("HEAD", format!("/v2/images/{id}/file"), "PUT"),
        ("POST", format!("/v2/images/{id}/file"), "GET"),
        ("GET", format!("/v2/images/{id}/tags/x"), "DELETE"),
        ("POST", "/v2/schemas/image".to_owned(), "GET"),
    ] {
        let answer = admin.request(method, &path, &[], Body::None).expect_status(405);
        let allow: Vec<&str> = answer.header("Allow").split(", ").collect();
        assert!(allow.contains(&allowed), "{method} {path}: {allow:?}");
        assert!(!allow.contains(&method), "{method} {path}: {allow:?}");
    }
}

#[test]
fn unknown_paths_are_not_found() {
    let daemon = Daemon::fresh();
    let admin = daemon.admin();
    let id = admin.queued("one");
    for path in [
        format!("/v2/images/{id}/"),
        format!("/v2/images/{id}/nothing"),
        "/v2/nothing".to_owned(),
        "/v2/".to_owned(),
        "/v2/images/not-a-uuid".to_owned(),
        "/v2/images/%00".to_owned(),
        "/v2/images/..%2f..%2fetc%2fpasswd".to_owned(),
    ] {
        assert_eq!(admin.get(&path).status, 404, "{path}");
    }
}

#[test]
fn every_answer_of_the_api_has_a_request_id() {
    let daemon = Daemon::fresh();
    let admin = daemon.admin();
    for path in ["/v2/images", "/v2/images/nothing", "/v2/schemas/image"] {
        let answer = admin.get(path);
        assert!(
            answer.header("x-openstack-request-id").starts_with("req-"),
            "{answer:?}"
        );
    }
    let own = [("X-Openstack-Request-Id", "req-of-the-client")];
    let answer = admin.request("GET", "/v2/images", &own, Body::None);
    assert_eq!(answer.header("x-openstack-request-id"), "req-of-the-client");
}

#[test]
fn errors_come_in_the_form_that_was_asked_for() {
    let daemon = Daemon::fresh();
    let admin = daemon.admin();
    let path = "/v2/images/d0000000-0000-4000-8000-000000000000";
    let ask = |accept: &str| {
        admin
            .request("GET", path, &[("Accept", accept)], Body::None)
            .expect_status(404)
    };

    let json = ask("application/json");
    assert!(json.header("Content-Type").starts_with("application/json"));
    let json = json.json();
    assert_eq!(
        (&json["code"], &json["title"]),
        (&"404 Not Found".into(), &"Not Found".into())
    );
    assert!(json["message"].as_str().unwrap().contains("d0000000"), "{json}");

    let html = ask("*/*");
    assert!(html.header("Content-Type").starts_with("text/html"));
    assert!(html.text().contains("<h1>404 Not Found</h1>"), "{}", html.text());

    let text = ask("text/plain");
    assert!(text.header("Content-Type").starts_with("text/plain"));
    assert!(text.text().starts_with("404 Not Found\n\n"), "{}", text.text());
}

#[test]
fn text_of_the_request_is_no_markup_in_the_answer() {
    let daemon = Daemon::fresh();
    let admin = daemon.admin();
    let answer = admin.request("GET", "/v2/images/%3Cscript%3E", &[("Accept", "*/*")], Body::None);
    assert!(!answer.text().contains("<script>"), "{}", answer.text());
}
