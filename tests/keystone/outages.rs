//! Keystone is gone, silent, slow or talks nonsense: who is known is let in, who is not is told to try again, and nobody
//! waits for another.

use super::{KEYSTONE_FAILS, is_logged, timed, url};
use crate::harness::{Body, Client, Cloud, CloudSetup, Fault, Keystone, Login, Proxy, eventually};
use std::{thread, time::Duration};

/// Who need not wait is served in this time, on a busy machine.
const AT_ONCE: Duration = Duration::from_millis(2500);
/// Twice the configured three seconds, and the same again for what surrounds it on a busy machine.
const BOUND: Duration = Duration::from_secs(12);

fn setup(keystone: &Keystone) -> CloudSetup<'_> {
    CloudSetup::new(keystone)
        .authtoken("http_connect_timeout = 3")
        .authtoken("http_request_max_retries = 0")
        .expect_log(KEYSTONE_FAILS)
}

fn fresh(cloud: &Cloud<'_>) -> Client {
    cloud.login(&Login::of("demo", "demo"))
}

/// A caller who is known is let in at once, and so is who needs no token.
fn others_are_served(cloud: &Cloud<'_>, known: &Client) {
    let (answer, time) = timed(|| known.get("/v2/images"));
    assert!(
        answer.status == 200 && time < AT_ONCE,
        "{} {time:?}",
        answer.text()
    );
    let (answer, time) = timed(|| cloud.anonymous().get("/healthcheck"));
    assert!(
        answer.status == 200 && time < AT_ONCE,
        "{} {time:?}",
        answer.text()
    );
    let (answer, time) = timed(|| cloud.anonymous().get("/v2/images"));
    assert!(
        answer.status == 401 && time < AT_ONCE,
        "{} {time:?}",
        answer.text()
    );
}

/// A caller whom nobody knows is told to come again, in time.
fn is_told_to_come_again(stranger: &Client) {
    let (answer, time) = timed(|| stranger.get("/v2/images"));
    assert_eq!(answer.status, 503, "{}", answer.text());
    assert!(time < BOUND, "{time:?}");
}

#[test]
fn whatever_keystone_does_known_callers_are_served() {
    let keystone = Keystone::shared();
    let proxy = Proxy::http(keystone.address());
    let cloud = setup(keystone).keystone_at(&url(&proxy)).start();
    let known = fresh(&cloud);
    known.get("/v2/images").expect_status(200);
    for fault in [
        Fault::Refuse,
        Fault::Hang,
        Fault::Close,
        Fault::status(500),
        Fault::status(503),
        Fault::garbage(),
        Fault::broken_json(),
        Fault::Answer(b"HTTP/1.1 200 OK\r\nContent-Length: 100000000000\r\n\r\n".to_vec()),
        Fault::Slow(Duration::from_secs(20)),
    ] {
        let stranger = fresh(&cloud);
        proxy.set(fault);
        is_told_to_come_again(&stranger);
        others_are_served(&cloud, &known);
        proxy.set(Fault::None);
        eventually("strangers are let in again", || {
            stranger.get("/v2/images").status == 200
        });
    }
    is_logged(&cloud, KEYSTONE_FAILS);
}

#[test]
fn a_hung_validation_holds_nobody_up() {
    let keystone = Keystone::shared();
    let proxy = Proxy::http(keystone.address());
    let cloud = setup(keystone).keystone_at(&url(&proxy)).start();
    let known = fresh(&cloud);
    known.get("/v2/images").expect_status(200);
    let strangers: Vec<Client> = (0..24).map(|_| fresh(&cloud)).collect();
    proxy.set(Fault::Hang);
    thread::scope(|scope| {
        let waiting: Vec<_> = strangers
            .iter()
            .map(|stranger| scope.spawn(|| is_told_to_come_again(stranger)))
            .collect();
        while waiting.iter().any(|thread| !thread.is_finished()) {
            others_are_served(&cloud, &known);
            thread::sleep(Duration::from_millis(20));
        }
    });
}

/// As the slowest Keystone that is still one.
#[test]
fn a_slow_keystone_makes_only_strangers_wait() {
    let keystone = Keystone::shared();
    let proxy = Proxy::http(keystone.address());
    let cloud = CloudSetup::new(keystone).keystone_at(&url(&proxy)).start();
    let known = fresh(&cloud);
    known.get("/v2/images").expect_status(200);
    let stranger = fresh(&cloud);
    proxy.set(Fault::Slow(Duration::from_secs(4)));
    thread::scope(|scope| {
        let waiting = scope.spawn(|| timed(|| stranger.get("/v2/images").status));
        while !waiting.is_finished() {
            others_are_served(&cloud, &known);
            thread::sleep(Duration::from_millis(20));
        }
        let (status, time) = waiting.join().unwrap();
        assert!(
            status == 200 && time >= Duration::from_secs(4),
            "{status} {time:?}"
        );
    });
}

/// One token, many callers: Keystone is asked once.
#[test]
fn callers_with_the_same_token_wait_for_one_answer() {
    let keystone = Keystone::shared();
    let proxy = Proxy::http(keystone.address());
    let cloud = CloudSetup::new(keystone).keystone_at(&url(&proxy)).start();
    fresh(&cloud).get("/v2/images").expect_status(200);
    proxy.forget();
    proxy.set(Fault::Slow(Duration::from_millis(500)));
    let stranger = fresh(&cloud);
    thread::scope(|scope| {
        for _ in 0..16 {
            scope.spawn(|| stranger.get("/v2/images").expect_status(200));
        }
    });
    assert_eq!(proxy.count(super::VALIDATION), 1);
}

#[test]
fn keystone_may_be_killed_suspended_and_come_back() {
    let mut keystone = Keystone::own();
    let strangers: [_; 2] = [(); 2].map(|()| keystone.token(&Login::of("demo", "demo")));
    let address = keystone.address();
    let known = keystone.token(&Login::of("demo", "demo"));
    let (daemon, known) = {
        let cloud = setup(&keystone).start();
        let known = cloud.anonymous().with_token(&known);
        known.get("/v2/images").expect_status(200);
        (cloud.into_daemon(), known)
    };
    let ask = |token: &String| {
        let api = daemon.anonymous().with_token(token);
        timed(|| api.request("GET", "/v2/images", &[], Body::None).status)
    };
    keystone.suspend();
    let (status, time) = ask(&strangers[0]);
    assert!(status == 503 && time < BOUND, "{status} {time:?}");
    known.get("/v2/images").expect_status(200);
    keystone.resume();
    eventually("strangers are let in again", || ask(&strangers[0]).0 == 200);

    keystone.kill();
    let (status, time) = ask(&strangers[1]);
    assert!(status == 503 && time < BOUND, "{status} {time:?}");
    known.get("/v2/images").expect_status(200);
    keystone.start_again();
    assert_eq!(keystone.address(), address);
    eventually("strangers are let in again", || ask(&strangers[1]).0 == 200);
}

/// The daemon starts before Keystone does, as after a power cut.
#[test]
fn the_daemon_starts_without_keystone() {
    let keystone = Keystone::shared();
    let proxy = Proxy::http(keystone.address());
    proxy.set(Fault::Refuse);
    let cloud = setup(keystone).keystone_at(&url(&proxy)).start();
    let stranger = fresh(&cloud);
    is_told_to_come_again(&stranger);
    cloud.anonymous().get("/healthcheck").expect_status(200);
    proxy.set(Fault::None);
    eventually("strangers are let in", || {
        stranger.get("/v2/images").status == 200
    });
}

/// The service's own password is wrong: nobody is let in, and the log says why without telling it.
#[test]
fn a_wrong_password_of_the_service_is_told_in_the_log() {
    let keystone = Keystone::shared();
    let cloud = setup(keystone).authtoken("password = not-the-password").start();
    is_told_to_come_again(&fresh(&cloud));
    is_logged(&cloud, KEYSTONE_FAILS);
    let log = cloud.log().join("\n");
    assert!(!log.contains("not-the-password"), "{log}");
}

/// Its own token ends before its time: it gets another one, and nobody notices.
#[test]
fn the_service_logs_in_again_when_its_token_has_ended() {
    let keystone = Keystone::own();
    let proxy = Proxy::http(keystone.address());
    let cloud = CloudSetup::new(&keystone).keystone_at(&url(&proxy)).start();
    fresh(&cloud).get("/v2/images").expect_status(200);
    let head = proxy
        .requests()
        .into_iter()
        .rfind(|head| head.starts_with(super::VALIDATION))
        .unwrap();
    let own = head
        .lines()
        .find_map(|line| {
            let (name, value) = line.split_once(':')?;
            name.eq_ignore_ascii_case("x-auth-token")
                .then(|| value.trim().to_owned())
        })
        .unwrap();
    keystone.revoke(&own);
    fresh(&cloud).get("/v2/images").expect_status(200);
    assert_eq!(proxy.count("POST /v3/auth/tokens"), 2);
}
