//! Tokens that are not, are not any more, or are not for this.

use super::{NO_CACHE, VALIDATION, url};
use crate::harness::{
    Account, Client, Cloud, CloudSetup, Connection, Keystone, Login, Payload, Proxy, eventually,
};
use std::{
    fs,
    io::Read,
    thread,
    time::{Duration, Instant},
};

fn ask(cloud: &Cloud<'_>, token: &str) -> u16 {
    cloud.anonymous().with_token(token).get("/v2/images").status
}

/// Both at a time when they are good.
fn accepted(keystone: &Keystone, cloud: &Cloud<'_>) -> (Account, Client) {
    let account = keystone.account(&["member"]);
    let api = cloud.login(&account.login());
    api.get("/v2/images").expect_status(200);
    (account, api)
}

#[test]
fn without_a_cache_what_keystone_ends_has_ended() {
    let keystone = Keystone::shared();
    let cloud = CloudSetup::new(keystone).authtoken(NO_CACHE).start();
    let (_, revoked) = accepted(keystone, &cloud);
    keystone.revoke(revoked.token());
    revoked.get("/v2/images").expect_status(401);

    let (account, disabled) = accepted(keystone, &cloud);
    keystone.disable_user(&account.user_id);
    disabled.get("/v2/images").expect_status(401);

    let (account, homeless) = accepted(keystone, &cloud);
    keystone.delete_project(&account.project_id);
    homeless.get("/v2/images").expect_status(401);

    let (account, expiring) = (keystone.account(&["member"]), 6);
    let expiring = keystone.token_for_seconds(&account, expiring);
    assert_eq!(ask(&cloud, &expiring), 200);
    eventually("it expires", || ask(&cloud, &expiring) == 401);
}

#[test]
fn with_a_cache_a_revoked_token_ends_with_its_time_there() {
    let keystone = Keystone::shared();
    let cloud = CloudSetup::new(keystone)
        .authtoken("token_cache_time = 3")
        .start();
    let begun = Instant::now();
    let (_, api) = accepted(keystone, &cloud);
    keystone.revoke(api.token());
    let status = api.get("/v2/images").status;
    if begun.elapsed() < Duration::from_secs(2) {
        assert_eq!(status, 200, "it is believed for the time that was configured");
    }
    eventually("it is not believed any more", || {
        api.get("/v2/images").status == 401
    });
    assert!(begun.elapsed() > Duration::from_secs(2), "it was not cached");
}

/// Keystone is not asked again, and the token has ended all the same.
#[test]
fn a_cached_token_expires_when_it_says() {
    let keystone = Keystone::shared();
    let proxy = Proxy::http(keystone.address());
    let cloud = CloudSetup::new(keystone).keystone_at(&url(&proxy)).start();
    let account = keystone.account(&["member"]);
    let begun = Instant::now();
    let token = keystone.token_for_seconds(&account, 6);
    assert_eq!(ask(&cloud, &token), 200);
    assert_eq!(ask(&cloud, &token), 200);
    assert_eq!(proxy.count(VALIDATION), 1);
    eventually("it expires", || ask(&cloud, &token) == 401);
    assert!(begun.elapsed() > Duration::from_secs(4));
}

#[test]
fn tokens_of_another_scope_are_valid_and_may_do_nothing() {
    let keystone = Keystone::shared();
    let cloud = CloudSetup::new(keystone).start();
    let account = keystone.account(&["member"]);
    keystone.grant_on_domain(&account.user_id, "member");
    keystone.grant_on_system(&account.user_id, "reader");
    for (scope, login) in [
        ("none", account.login().unscoped()),
        ("domain", account.login().on_domain()),
        ("system", account.login().on_system()),
    ] {
        let api = cloud.login(&login);
        let answers = [
            api.get("/v2/images"),
            api.post("/v2/images", &serde_json::json!({"name": "one"})),
        ];
        for answer in answers {
            assert_eq!(answer.status, 403, "{scope}: {}", answer.text());
        }
    }
    // No role, no rights: Keystone gives no such token.
    let stranger = keystone.account(&[]);
    keystone.try_login(&stranger.login()).expect_status(401);
}

#[test]
fn forged_tokens_are_refused() {
    let keystone = Keystone::shared();
    let cloud = CloudSetup::new(keystone).start();
    let token = keystone.token(&Login::of("demo", "demo"));
    assert_eq!(ask(&cloud, &token), 200);
    let mut forged: Vec<String> = (0..token.len() - 2)
        .step_by(9)
        .map(|position| {
            let mut bytes = token.clone().into_bytes();
            bytes[position] = if bytes[position] == b'A' { b'B' } else { b'A' };
            String::from_utf8(bytes).unwrap()
        })
        .collect();
    forged.extend([1, 10, 90, token.len() - 4].map(|length| token[..length].to_owned()));
    forged.push(format!("{token}{token}"));
    forged.push(token.to_uppercase());
    forged.push(format!("{token}?nocatalog"));
    forged.push("../tokens".to_owned());
    forged.push("gAAAAA".to_owned());
    for token in &forged {
        assert_eq!(ask(&cloud, token), 401, "{token}");
    }
    assert_eq!(ask(&cloud, &token), 200);
}

/// The status of one request with exactly these bytes for a token.
fn status_of(connection: &mut Connection, token: &[u8]) -> u16 {
    let mut request = b"GET /v2/images HTTP/1.1\r\nHost: a\r\nX-Auth-Token: ".to_vec();
    request.extend(token);
    request.extend(b"\r\n\r\n");
    connection.send(&request);
    connection.answer().0.status
}

#[test]
fn what_cannot_be_a_token_is_refused_here() {
    let keystone = Keystone::shared();
    let proxy = Proxy::http(keystone.address());
    let cloud = CloudSetup::new(keystone).keystone_at(&url(&proxy)).start();
    for token in [
        &b""[..],
        b" ",
        b"   \t  ",
        b"a b",
        b"a\tb",
        b"\xff\xfe\xfd",
        "schl\u{fc}ssel".as_bytes(),
        &[b'a'; 20_000],
    ] {
        let status = status_of(&mut Connection::open(cloud.address()), token);
        assert_eq!(status, 401, "{:?}", String::from_utf8_lossy(token));
    }
    assert_eq!(proxy.count(VALIDATION), 0);

    // More than any server reads of a head.
    let mut connection = Connection::open(cloud.address());
    connection.send(b"GET /v2/images HTTP/1.1\r\nHost: a\r\nX-Auth-Token: ");
    connection.send_what_is_taken(&vec![b'a'; 1 << 20]);
    connection.send_what_is_taken(b"\r\n\r\n");
    let answer = connection.rest();
    let is_refused = answer.is_empty()
        || [&b"HTTP/1.1 400"[..], b"HTTP/1.1 401", b"HTTP/1.1 431"]
            .iter()
            .any(|status| answer.starts_with(status));
    assert!(is_refused, "{}", String::from_utf8_lossy(&answer));
    assert_eq!(proxy.count(VALIDATION), 0);
    assert_eq!(ask(&cloud, &keystone.token(&Login::of("demo", "demo"))), 200);
}

fn resident_kib(cloud: &Cloud<'_>) -> u64 {
    let path = format!("/proc/{}/status", cloud.pid().as_raw_nonzero());
    let status = fs::read_to_string(path).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

/// `RANDOM_TOKENS=100000 make test` sends more of them.
#[test]
fn random_tokens_are_refused_and_leave_nothing_behind() {
    let wanted: usize = std::env::var("RANDOM_TOKENS").map_or(2000, |text| text.parse().unwrap());
    let keystone = Keystone::shared();
    let proxy = Proxy::http(keystone.address());
    let cloud = CloudSetup::new(keystone).keystone_at(&url(&proxy)).start();
    let good = keystone.token(&Login::of("demo", "demo"));
    assert_eq!(ask(&cloud, &good), 200);
    proxy.forget();

    // Bytes that a header may have, one at least that no token has.
    let mut random = Payload::new(3, usize::MAX);
    let mut token = || {
        let mut bytes = [0; 2];
        random.read_exact(&mut bytes).unwrap();
        let length = 1 + usize::from(u16::from_le_bytes(bytes)) % 1024;
        let mut token = vec![0; length];
        random.read_exact(&mut token).unwrap();
        for byte in &mut token {
            if byte.is_ascii_control() {
                *byte |= 0x40;
            }
            if *byte == 0x7f {
                *byte = b'x';
            }
        }
        token[length / 2] |= 0x80;
        token
    };
    let mut connection = Connection::open(cloud.address());
    for _ in 0..500 {
        assert_eq!(status_of(&mut connection, &token()), 401);
    }
    let before = resident_kib(&cloud);
    for _ in 0..wanted {
        assert_eq!(status_of(&mut connection, &token()), 401);
    }
    let after = resident_kib(&cloud);
    assert!(
        after < before + 8 * 1024,
        "{before} KiB before, {after} KiB after"
    );
    assert_eq!(proxy.count(VALIDATION), 0);

    // These could be, and Keystone says that they are not.
    for n in 0..50 {
        let token = format!("gAAAAA{}", crate::harness::sha512(&[n]));
        assert_eq!(ask(&cloud, &token), 401);
    }
    assert_eq!(ask(&cloud, &good), 200);
}

/// A good token is not told apart from a bad one by what a cache says about another.
#[test]
fn many_callers_at_once_each_get_their_own_answer() {
    let keystone = Keystone::shared();
    let cloud = CloudSetup::new(keystone).authtoken(NO_CACHE).start();
    let good = keystone.token(&Login::of("demo", "demo"));
    let revoked = keystone.token(&Login::of("demo", "demo"));
    keystone.revoke(&revoked);
    thread::scope(|scope| {
        for n in 0..8 {
            let (token, status) = if n % 2 == 0 { (&good, 200) } else { (&revoked, 401) };
            let cloud = &cloud;
            scope.spawn(move || {
                for _ in 0..10 {
                    assert_eq!(ask(cloud, token), status);
                }
            });
        }
    });
}
