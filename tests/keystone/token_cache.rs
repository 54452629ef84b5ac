//! memcacheds that every service of a cloud shares: what keystonemiddleware has put there, the daemon takes, and the
//! other way round.

use super::{VALIDATION, timed, url};
use crate::harness::{
    Cloud, CloudSetup, Fault, Keystone, Login, Memcached, Proxy, eventually, keystone_python,
};
use serde_json::{Value, json};
use std::{
    io::Write,
    net::SocketAddr,
    path::Path,
    process::{Command, Stdio},
    time::Duration,
};

const SECRET: &str = "a secret of all services";

/// Ways to protect what is cached, as both sides are told.
const STRATEGIES: [Option<&str>; 3] = [None, Some("MAC"), Some("ENCRYPT")];

fn protected(setup: CloudSetup<'static>, strategy: Option<&str>) -> CloudSetup<'static> {
    match strategy {
        None => setup,
        Some(strategy) => setup
            .authtoken(&format!("memcache_security_strategy = {strategy}"))
            .authtoken(&format!("memcache_secret_key = {SECRET}")),
    }
}

/// What keystonemiddleware answers to each token.
fn keystonemiddleware(
    keystone_url: &str,
    servers: &[SocketAddr],
    strategy: Option<&str>,
    tokens: &[String],
) -> Vec<Value> {
    let servers: Vec<String> = servers.iter().map(ToString::to_string).collect();
    let mut options = json!({
        "auth_url": keystone_url, "www_authenticate_uri": keystone_url, "auth_type": "password",
        "username": "nova", "password": "nova-password", "user_domain_name": "Default",
        "project_name": "service", "project_domain_name": "Default",
        "region_name": "RegionOne", "memcached_servers": servers.join(","),
    });
    if let Some(strategy) = strategy {
        options["memcache_security_strategy"] = json!(strategy);
        options["memcache_secret_key"] = json!(SECRET);
    }
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/keystone/middleware.py");
    let mut child = Command::new(keystone_python())
        .arg(script)
        .env_remove("PYTHONPATH")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let asked = json!({"options": options, "tokens": tokens}).to_string();
    child.stdin.take().unwrap().write_all(asked.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(&output.stderr)))
}

fn all_are(status: u16, answers: &[Value]) -> bool {
    !answers.is_empty() && answers.iter().all(|answer| answer["status"] == status)
}

fn tokens(count: usize) -> Vec<String> {
    let keystone = Keystone::shared();
    let token = |_| keystone.token(&Login::of("demo", "demo"));
    (0..count).map(token).collect()
}

fn ask(cloud: &Cloud<'_>, token: &str) -> u16 {
    cloud.anonymous().with_token(token).get("/v2/images").status
}

fn addresses(servers: &[Memcached]) -> Vec<SocketAddr> {
    servers.iter().map(Memcached::address).collect()
}

/// Nobody listens there.
fn unreachable() -> String {
    let proxy = Proxy::http(Keystone::shared().address());
    proxy.set(Fault::Refuse);
    url(&proxy)
}

#[test]
fn what_keystonemiddleware_has_cached_is_taken() {
    let keystone = Keystone::shared();
    for strategy in STRATEGIES {
        let servers: [Memcached; 3] = Memcached::several();
        let proxy = Proxy::http(keystone.address());
        let setup = CloudSetup::new(keystone)
            .keystone_at(&url(&proxy))
            .memcached(&servers);
        let cloud = protected(setup, strategy).start();
        let tokens = tokens(12);
        let answers = keystonemiddleware(&keystone.url(), &addresses(&servers), strategy, &tokens);
        assert!(all_are(200, &answers), "{answers:?}");
        for token in &tokens {
            assert_eq!(ask(&cloud, token), 200);
        }
        assert_eq!(proxy.count(VALIDATION), 0, "{strategy:?}");
        let account = keystone.account(&["member"]);
        assert_eq!(ask(&cloud, &keystone.token(&account.login())), 200);
        assert_eq!(proxy.count(VALIDATION), 1, "{strategy:?}");
    }
}

#[test]
fn what_is_cached_here_is_taken_by_keystonemiddleware() {
    let keystone = Keystone::shared();
    for strategy in STRATEGIES {
        let servers: [Memcached; 3] = Memcached::several();
        let setup = CloudSetup::new(keystone).memcached(&servers);
        let cloud = protected(setup, strategy).start();
        let tokens = tokens(12);
        for token in &tokens {
            assert_eq!(ask(&cloud, token), 200);
        }
        eventually("every token is cached", || {
            servers.iter().map(|server| server.keys().len()).sum::<usize>() == tokens.len()
        });
        assert!(
            servers.iter().filter(|server| !server.keys().is_empty()).count() > 1,
            "they are spread"
        );
        let answers = keystonemiddleware(&unreachable(), &addresses(&servers), strategy, &tokens);
        assert!(all_are(200, &answers), "{strategy:?}: {answers:?}");
        assert!(answers[0]["roles"].as_str().unwrap().contains("member"));
        assert_eq!(answers[0]["user"], answers[11]["user"]);
    }
}

#[test]
fn two_daemons_share_what_they_know() {
    let keystone = Keystone::shared();
    let servers: [Memcached; 2] = Memcached::several();
    let proxies = [(); 2].map(|()| Proxy::http(keystone.address()));
    let clouds = [0, 1].map(|n| {
        CloudSetup::new(keystone)
            .keystone_at(&url(&proxies[n]))
            .memcached(&servers)
            .start()
    });
    let tokens = tokens(5);
    for token in &tokens {
        assert_eq!(ask(&clouds[0], token), 200);
    }
    eventually("every token is cached", || {
        servers.iter().map(|server| server.keys().len()).sum::<usize>() == tokens.len()
    });
    for token in &tokens {
        assert_eq!(ask(&clouds[1], token), 200);
    }
    assert_eq!(
        (proxies[0].count(VALIDATION), proxies[1].count(VALIDATION)),
        (5, 0)
    );
}

/// Whatever a memcached does, answers are right, and soon there.
#[test]
fn a_memcached_that_fails_costs_time_but_no_answer() {
    let keystone = Keystone::shared();
    let servers: [Memcached; 3] = Memcached::several();
    let disturbed = Proxy::plain(servers[1].address());
    let listed = format!(
        "memcached_servers = {},{},{}",
        servers[0].address(),
        disturbed.address(),
        servers[2].address()
    );
    let cloud = CloudSetup::new(keystone)
        .authtoken(&listed)
        .authtoken("memcache_pool_socket_timeout = 1")
        .authtoken("memcache_pool_dead_retry = 1")
        .expect_log("memcached")
        .start();
    let revoked = keystone.token(&Login::of("demo", "demo"));
    keystone.revoke(&revoked);
    for fault in [
        Fault::None,
        Fault::Refuse,
        Fault::Close,
        Fault::Hang,
        Fault::garbage(),
        Fault::Answer(b"VALUE tokens/a 0 99999999999\r\nxxx\r\nEND\r\n".to_vec()),
        Fault::Answer(b"SERVER_ERROR out of memory\r\n".to_vec()),
        Fault::Slow(Duration::from_millis(300)),
        Fault::None,
    ] {
        disturbed.set(fault.clone());
        for token in tokens(8) {
            for _ in 0..2 {
                let (status, time) = timed(|| ask(&cloud, &token));
                assert_eq!(status, 200, "{fault:?}");
                // A second for each of reading and writing, and Keystone's own time.
                assert!(time < Duration::from_secs(5), "{fault:?}: {time:?}");
            }
        }
        assert_eq!(ask(&cloud, &revoked), 401, "{fault:?}");
    }
}

#[test]
fn memcacheds_may_be_killed_suspended_and_come_back() {
    let keystone = Keystone::shared();
    let mut servers: [Memcached; 3] = Memcached::several();
    let cloud = CloudSetup::new(keystone)
        .memcached(&servers)
        .authtoken("memcache_pool_socket_timeout = 1")
        .authtoken("memcache_pool_dead_retry = 1")
        .expect_log("memcached")
        .start();
    let known = tokens(6);
    let all_are_let_in = |tokens: &[String]| {
        for token in tokens {
            let (status, time) = timed(|| ask(&cloud, token));
            assert_eq!(status, 200);
            assert!(time < Duration::from_secs(5), "{time:?}");
        }
    };
    all_are_let_in(&known);
    servers[0].kill();
    servers[1].suspend();
    all_are_let_in(&known);
    all_are_let_in(&tokens(6));
    servers[2].kill();
    all_are_let_in(&tokens(3));
    servers[0].start_again();
    servers[1].resume();
    servers[2].start_again();
    eventually("tokens are cached again", || {
        all_are_let_in(&tokens(6));
        servers.iter().all(|server| !server.keys().is_empty())
    });
}

/// One daemon has cached the tokens, someone else has written over them, and another daemon reads that.
#[test]
fn what_is_forged_in_memcached_is_no_token() {
    let keystone = Keystone::shared();
    for strategy in STRATEGIES {
        let server = Memcached::start();
        let proxy = Proxy::http(keystone.address());
        let setup = || protected(CloudSetup::new(keystone).memcached([&server]), strategy);
        let writer = setup().start();
        let reader = setup().keystone_at(&url(&proxy)).expect_log("memcached").start();
        // The key and the value of a token that the first daemon caches.
        let cached = |token: &str| {
            server.flush();
            assert_eq!(ask(&writer, token), 200);
            eventually("it is cached", || server.keys().len() == 1);
            let key = server.keys().remove(0);
            let value = server.value(&key).unwrap();
            (key, value)
        };
        let (_, of_another) = cached(&keystone.token(&Login::of("admin", "admin")));
        let mut forged = 0;
        for text in [
            "",
            "null",
            "[]",
            "{}",
            "{\"token\": {}}",
            "garbage",
            "half",
            "another's",
        ] {
            let token = keystone.token(&Login::of("demo", "demo"));
            let (key, value) = cached(&token);
            assert!(!key.contains(&token) && !value.contains(&token));
            // With what follows it in JSON: four letters alone stand in long texts of random ones now and then.
            let is_plain = value.contains("demo\"") || value.contains("demo\\");
            assert_eq!(is_plain, strategy.is_none());
            match (text, strategy) {
                ("half", _) => server.set(&key, &value[..value.len() / 2]),
                // Without protection whoever can write there is whoever they like, as with keystonemiddleware.
                ("another's", None) => continue,
                ("another's", Some(_)) => server.set(&key, &of_another),
                _ => server.set(&key, text),
            }
            let api = reader.anonymous().with_token(&token);
            let answer = api.post("/v2/images", &json!({"name": "one", "visibility": "public"}));
            assert_eq!(answer.status, 403, "{strategy:?} {text}: {}", answer.text());
            forged += 1;
        }
        assert_eq!(proxy.count(VALIDATION), forged, "{strategy:?}");
    }
}
