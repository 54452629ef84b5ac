//! The whole cache against servers that behave, lie, hang and die.

mod entries;
mod liar;
mod peer;
mod replicated;
mod servers;

use std::{path::PathBuf, time::Duration};

use super::super::super::Secret;
use super::super::options::{ClientCertificate, MemcachedTls};
use super::{Entry, Memcached, MemcachedOptions, Protection, Sasl};

const BODY: &[u8] = br#"{"token": {"id": 1}}"#;
const MINUTE: Duration = Duration::from_secs(60);

fn options(servers: &[&str]) -> MemcachedOptions {
    MemcachedOptions {
        servers: servers.iter().map(ToString::to_string).collect(),
        protection: Protection::None,
        socket_timeout: Duration::from_secs(5),
        dead_retry: Duration::from_secs(300),
        pool_maxsize: 10,
        pool_conn_get_timeout: Duration::from_secs(5),
        pool_unused_timeout: MINUTE,
        tls: None,
        sasl: None,
    }
}

fn cache(servers: &[&str]) -> Memcached {
    Memcached::new(&options(servers)).unwrap()
}

/// For servers that keep one waiting.
fn hurried_cache(servers: &[&str]) -> Memcached {
    Memcached::new(&MemcachedOptions {
        socket_timeout: Duration::from_millis(150),
        ..options(servers)
    })
    .unwrap()
}

/// Time passes for timers only, not for those who wait for a test.
async fn time_passes(duration: Duration) {
    tokio::time::pause();
    tokio::time::advance(duration).await;
    tokio::time::resume();
}

fn key(token: &str) -> String {
    Entry::of(token, &Protection::None).unwrap().key().to_owned()
}

fn problem(change: impl FnOnce(&mut MemcachedOptions)) -> String {
    let mut options = options(&["127.0.0.1:1"]);
    change(&mut options);
    Memcached::new(&options).err().unwrap().to_string()
}

#[test]
fn options_that_cannot_be_honoured_are_named() {
    let sasl = |username: &str, password: &str| {
        Some(Sasl {
            username: username.into(),
            password: Secret::new(password.into()),
        })
    };
    let missing: PathBuf = "/nonexistent/file.pem".into();
    let unreadable = MemcachedTls {
        cafile: Some(missing.clone()),
        client: None,
    };
    assert!(problem(|options| options.servers.clear()).contains("memcached_servers"));
    assert!(problem(|options| options.servers.push("a:b".into())).contains("memcached_servers: \"a:b\""));
    assert!(
        problem(|options| options.socket_timeout = Duration::ZERO).contains("memcache_pool_socket_timeout")
    );
    assert!(
        problem(|options| options.protection = Protection::Encrypt(Secret::new(String::new())))
            .contains("memcache_secret_key")
    );
    assert!(problem(|options| options.sasl = sasl("", "password")).contains("memcache_username"));
    assert!(problem(|options| options.sasl = sasl("user", "")).contains("memcache_password"));
    assert!(problem(|options| options.sasl = sasl("user", "a\0b")).contains("memcache_password"));
    let text = problem(|options| options.tls = Some(unreadable.clone()));
    assert!(
        text.contains("memcache_tls_cafile") && text.contains("/nonexistent/file.pem"),
        "{text}"
    );
    let no_pem = tempfile::NamedTempFile::new().unwrap();
    let text = problem(|options| {
        options.tls = Some(MemcachedTls {
            cafile: Some(no_pem.path().to_owned()),
            client: None,
        });
    });
    assert!(text.contains("memcache_tls_cafile"), "{text}");
    let text = problem(|options| {
        options.tls = Some(MemcachedTls {
            cafile: None,
            client: Some(ClientCertificate {
                certfile: missing,
                keyfile: None,
            }),
        });
    });
    assert!(text.contains("memcache_tls_"), "{text}");
}
