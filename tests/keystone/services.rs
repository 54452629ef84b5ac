//! The services by themselves: what the other tests stand on.

use crate::harness::{
    Authority, Body, Certificate, Client, ClientCertificate, Fault, HaProxy, Keystone, Login, Proxy,
    eventually,
};
use openssl::ssl::{SslConnector, SslFiletype, SslMethod};
use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    thread,
    time::{Duration, Instant},
};

/// What Keystone answers to a service that asks about a token.
fn validate_as_glance(keystone: &Keystone, token: &str, query: &str, access_rules: &str) -> (u16, String) {
    let glance = keystone.token(&Login::of("glance", "service"));
    let answer = keystone.anonymous().with_token(&glance).request(
        "GET",
        &format!("/v3/auth/tokens{query}"),
        &[
            ("X-Subject-Token", token),
            ("OpenStack-Identity-Access-Rules", access_rules),
        ],
        Body::None,
    );
    (answer.status, String::from_utf8(answer.body).unwrap())
}

#[test]
fn keystone_issues_validates_and_revokes_tokens() {
    let keystone = Keystone::shared();
    let token = keystone.token(&Login::of("demo", "demo"));
    let answer = keystone.validate(&token).expect_status(200).json();
    assert_eq!(answer["token"]["user"]["name"], "demo");
    assert_eq!(answer["token"]["project"]["name"], "demo");
    keystone.revoke(&token);
    keystone.validate(&token).expect_status(404);
    keystone
        .try_login(&Login::password("demo", "wrong"))
        .expect_status(401);
}

#[test]
fn keystone_forgets_the_tokens_of_disabled_users_and_deleted_projects() {
    let keystone = Keystone::shared();
    let (one, other) = (keystone.account(&["member"]), keystone.account(&["member"]));
    let tokens = [keystone.token(&one.login()), keystone.token(&other.login())];
    for token in &tokens {
        keystone.validate(token).expect_status(200);
    }
    keystone.disable_user(&one.user_id);
    keystone.delete_project(&other.project_id);
    for token in &tokens {
        keystone.validate(token).expect_status(404);
    }
}

#[test]
fn keystone_scopes_tokens() {
    let keystone = Keystone::shared();
    let account = keystone.account(&["member"]);
    keystone.grant_on_domain(&account.user_id, "reader");
    keystone.grant_on_system(&account.user_id, "reader");
    for (login, scope) in [
        (account.login(), "project"),
        (account.login().on_domain(), "domain"),
        (account.login().on_system(), "system"),
    ] {
        let token = keystone.token(&login);
        let answer = keystone.validate(&token).expect_status(200).json();
        assert!(!answer["token"][scope].is_null(), "{answer}");
    }
    let token = keystone.token(&account.login().unscoped());
    let answer = keystone.validate(&token).expect_status(200).json();
    assert!(answer["token"]["roles"].is_null(), "{answer}");
}

#[test]
fn an_expired_token_is_valid_only_to_a_service_that_asks_for_it() {
    let keystone = Keystone::shared();
    let token = keystone.token_for_seconds(&keystone.account(&["member"]), 5);
    keystone.validate(&token).expect_status(200);
    eventually("it expires", || keystone.validate(&token).status == 404);
    assert_eq!(validate_as_glance(keystone, &token, "", "1").0, 404);
    assert_eq!(
        validate_as_glance(keystone, &token, "?allow_expired=1", "1").0,
        200
    );
}

#[test]
fn access_rules_are_told_to_a_service_that_knows_them() {
    let keystone = Keystone::shared();
    let account = keystone.account(&["member"]);
    let credential = keystone.application_credential(&account, Some(&[("GET", "/v2/images", "image")]));
    let token = keystone.token(&Login::application_credential(&credential));
    let (status, text) = validate_as_glance(keystone, &token, "", "1");
    assert_eq!(status, 200, "{text}");
    assert!(text.contains("access_rules"), "{text}");
    assert_eq!(validate_as_glance(keystone, &token, "", "").0, 404);
    let free = keystone.application_credential(&account, None);
    keystone
        .validate(&keystone.token(&Login::application_credential(&free)))
        .expect_status(200);
}

#[test]
fn keystone_is_killed_suspended_and_started_again() {
    let mut keystone = Keystone::own();
    let token = keystone.token(&Login::of("demo", "demo"));
    keystone.suspend();
    let mut connection = TcpStream::connect(keystone.address()).unwrap();
    connection
        .set_read_timeout(Some(Duration::from_millis(300)))
        .unwrap();
    connection
        .write_all(b"GET /v3 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        .unwrap();
    connection.read_exact(&mut [0]).unwrap_err();
    keystone.resume();
    connection.set_read_timeout(None).unwrap();
    let mut answer = String::new();
    connection.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");

    keystone.kill();
    assert!(TcpStream::connect(keystone.address()).is_err());
    keystone.start_again();
    keystone.validate(&token).expect_status(200);
}

#[test]
fn the_proxy_passes_counts_and_disturbs() {
    let keystone = Keystone::shared();
    let proxy = Proxy::http(keystone.address());
    let api = Client::new(&format!("http://{}", proxy.address()));
    let ask = || {
        let begun = Instant::now();
        let answer = api.try_request("GET", "/v3", &[], Body::None);
        (answer.map(|answer| answer.status).ok(), begun.elapsed())
    };
    assert_eq!(ask().0, Some(200));
    assert_eq!(ask().0, Some(200));
    assert_eq!(
        (proxy.count("GET /v3 "), proxy.count("GET /")),
        (2, 2),
        "{:?}",
        proxy.requests()
    );
    proxy.forget();
    assert_eq!(proxy.count(""), 0);

    proxy.set(Fault::Slow(Duration::from_millis(300)));
    let (status, time) = ask();
    assert!(
        status == Some(200) && time >= Duration::from_millis(300),
        "{time:?}"
    );
    proxy.set(Fault::status(500));
    assert_eq!(ask().0, Some(500));
    proxy.set(Fault::Close);
    assert_eq!(ask().0, None);
    proxy.set(Fault::garbage());
    assert_eq!(ask().0, None);
    proxy.set(Fault::broken_json());
    assert_eq!(ask().0, Some(200));
    proxy.set(Fault::Refuse);
    assert!(TcpStream::connect(proxy.address()).is_err());
    proxy.set(Fault::None);
    assert_eq!(ask().0, Some(200));

    proxy.set(Fault::Hang);
    let mut connection = TcpStream::connect(proxy.address()).unwrap();
    connection
        .set_read_timeout(Some(Duration::from_millis(300)))
        .unwrap();
    connection
        .write_all(b"GET /v3 HTTP/1.1\r\nHost: a\r\n\r\n")
        .unwrap();
    connection.read_exact(&mut [0]).unwrap_err();
    proxy.set(Fault::None);
    assert_eq!(connection.read(&mut [0]).unwrap_or(0), 0, "closed");
    assert_eq!(ask().0, Some(200));
}

/// The head and the body of a GET over TLS, or why there is none.
pub(super) fn get(
    address: SocketAddr,
    authority: &Authority,
    certificate: Option<&Certificate>,
) -> Result<String, String> {
    let mut builder = SslConnector::builder(SslMethod::tls()).unwrap();
    builder.set_ca_file(authority.file()).unwrap();
    if let Some(certificate) = certificate {
        builder
            .set_certificate_file(&certificate.certificate, SslFiletype::PEM)
            .unwrap();
        builder
            .set_private_key_file(&certificate.key, SslFiletype::PEM)
            .unwrap();
    }
    let plain = TcpStream::connect(address).unwrap();
    let mut connection = builder
        .build()
        .connect("127.0.0.1", plain)
        .map_err(|error| error.to_string())?;
    connection
        .write_all(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        .map_err(|error| error.to_string())?;
    let mut answer = String::new();
    connection
        .read_to_string(&mut answer)
        .map_err(|error| error.to_string())?;
    Ok(answer)
}

/// A server that answers with what it was asked.
fn echo() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for connection in listener.incoming() {
            let mut connection = connection.unwrap();
            let mut head = Vec::new();
            let mut byte = [0];
            while !head.ends_with(b"\r\n\r\n") && connection.read(&mut byte).is_ok_and(|length| length == 1) {
                head.push(byte[0]);
            }
            let answer = format!(
                "HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
                head.len()
            );
            let _ = connection.write_all(&[answer.as_bytes(), &head].concat());
        }
    });
    address
}

#[test]
fn haproxy_ends_tls_and_says_so() {
    let proxy = HaProxy::before(echo());
    let answer = get(proxy.address(), proxy.authority(), None).unwrap();
    assert!(
        answer.to_lowercase().contains("x-forwarded-proto: https"),
        "{answer}"
    );
    let refused = get(proxy.address(), &proxy.stranger(), None).unwrap_err();
    assert!(refused.contains("certificate verify failed"), "{refused}");
}

#[test]
fn haproxy_lets_in_whom_its_authority_has_signed() {
    let proxy = HaProxy::new(echo(), ClientCertificate::Required);
    let authority = proxy.authority();
    let (known, unknown) = (authority.issue("client"), proxy.stranger().issue("client"));
    get(proxy.address(), authority, Some(&known)).unwrap();
    get(proxy.address(), authority, Some(&unknown)).unwrap_err();
    get(proxy.address(), authority, None).unwrap_err();
}
