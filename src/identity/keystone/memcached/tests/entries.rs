//! What is read and written, by a server that does its work.

use std::time::Duration;

use super::{
    super::{Cached, MAX_VALUE, Memcached, MemcachedOptions, Protection},
    BODY, MINUTE, Secret, cache, key, options,
    peer::{Habit, Peer},
};

#[tokio::test]
async fn what_was_written_is_read_with_the_life_that_is_left() {
    let peer = Peer::start(Habit::Modern).await;
    let cache = cache(&[&peer.address]);
    assert_eq!(cache.get("token").await, None);
    cache.set("token", BODY, Duration::from_millis(299_999)).await;
    let expected = Cached {
        body: BODY.into(),
        remaining: Some(Duration::from_secs(298)),
    };
    assert_eq!(cache.get("token").await, Some(expected.clone()));
    assert_eq!(cache.clone().get("token").await, Some(expected));
    assert_eq!(cache.get("other").await, None);
    assert_eq!(cache.get("").await, None);
    assert_eq!(peer.commands(), ["mg", "set", "mg", "mg", "mg"]);
    assert_eq!(peer.connections(), 1, "connections are kept");
    let entry = peer.entries.lock().unwrap().get(&key("token")).cloned();
    assert_eq!(entry, Some((0, 299, BODY.to_vec())));
}

#[tokio::test]
async fn an_entry_that_never_expires_outlives_every_limit() {
    let peer = Peer::start(Habit::Modern).await;
    peer.entries
        .lock()
        .unwrap()
        .insert(key("token"), (16, 0, BODY.into()));
    assert_eq!(
        cache(&[&peer.address]).get("token").await.unwrap().remaining,
        Some(Duration::MAX)
    );
}

#[tokio::test]
async fn lives_are_cut_to_what_memcached_takes_for_a_length_of_time() {
    let peer = Peer::start(Habit::Modern).await;
    let cache = cache(&[&peer.address]);
    for (ttl, seconds) in [
        (Duration::ZERO, None),
        (Duration::from_millis(999), None),
        (Duration::from_secs(1), Some(1)),
        (Duration::from_secs(30 * 86400), Some(2_592_000)),
        (Duration::MAX, Some(2_592_000)),
    ] {
        peer.entries.lock().unwrap().clear();
        cache.set("token", BODY, ttl).await;
        let entry = peer
            .entries
            .lock()
            .unwrap()
            .get(&key("token"))
            .map(|entry| entry.1);
        assert_eq!(entry, seconds, "{ttl:?}");
    }
}

#[tokio::test]
async fn a_value_that_memcached_would_not_keep_is_not_sent() {
    let peer = Peer::start(Habit::Modern).await;
    let cache = cache(&[&peer.address]);
    let body = |length| format!("{{\"token\": \"{}\"}}", "x".repeat(length - 13)).into_bytes();
    cache.set("token", &body(MAX_VALUE), MINUTE).await;
    assert_eq!(cache.get("token").await.unwrap().body.len(), MAX_VALUE);
    cache.set("large", &body(MAX_VALUE + 1), MINUTE).await;
    assert_eq!(peer.commands(), ["set", "mg"]);
}

#[tokio::test]
async fn signed_and_encrypted_entries_come_back_and_forged_ones_do_not() {
    let peer = Peer::start(Habit::Modern).await;
    let secret = || Secret::new("key".into());
    for protection in [Protection::Mac(secret()), Protection::Encrypt(secret())] {
        let cache = Memcached::new(&MemcachedOptions {
            protection,
            ..options(&[&peer.address])
        })
        .unwrap();
        peer.entries.lock().unwrap().clear();
        cache.set("token", BODY, MINUTE).await;
        assert_eq!(cache.get("token").await.unwrap().body, BODY);
        for entry in peer.entries.lock().unwrap().values_mut() {
            entry.2[70] ^= 1;
        }
        assert_eq!(cache.get("token").await, None);
        // An entry of no use is no fault of the server.
        cache.set("token", BODY, MINUTE).await;
        assert_eq!(cache.get("token").await.unwrap().body, BODY);
    }
}

#[tokio::test]
async fn entries_that_are_no_tokens_are_misses() {
    let peer = Peer::start(Habit::Modern).await;
    let cache = cache(&[&peer.address]);
    for (flags, data) in [
        (0, &b"[]"[..]),
        (1, BODY),
        (2, b"1"),
        (8, BODY),
        (0, b"\xff"),
        (0, b""),
    ] {
        peer.entries
            .lock()
            .unwrap()
            .insert(key("token"), (flags, 9, data.into()));
        assert_eq!(cache.get("token").await, None, "{flags} {data:?}");
    }
    peer.entries.lock().unwrap().insert(
        key("token"),
        (16, 9, br#"[{"token": {"id": 1}}, "2013"]"#.to_vec()),
    );
    assert_eq!(cache.get("token").await.unwrap().body, BODY);
    assert_eq!(peer.connections(), 1);
}

#[tokio::test]
async fn servers_without_mg_are_asked_with_get_ever_after() {
    for habit in [Habit::Old, Habit::Proxy, Habit::Early] {
        let peer = Peer::start(habit).await;
        peer.entries
            .lock()
            .unwrap()
            .insert(key("token"), (0, 9, BODY.into()));
        let cache = cache(&[&peer.address]);
        for _ in 0..3 {
            let expected = Cached {
                body: BODY.into(),
                remaining: None,
            };
            assert_eq!(cache.get("token").await, Some(expected));
        }
        assert_eq!(peer.commands(), ["mg", "get", "get", "get"]);
    }
}

#[tokio::test]
async fn hits_misses_errors_and_writes_are_counted() {
    let recorder = metrics_exporter_prometheus::PrometheusBuilder::new().build_recorder();
    let handle = recorder.handle();
    let _guard = metrics::set_default_local_recorder(&recorder);
    let peer = Peer::start(Habit::Modern).await;
    let cache = cache(&[&peer.address]);
    cache.set("token", BODY, MINUTE).await;
    cache.set("token", &vec![b' '; MAX_VALUE + 1], MINUTE).await;
    cache.get("token").await;
    cache.get("other").await;
    peer.entries
        .lock()
        .unwrap()
        .insert(key("token"), (1, 9, BODY.into()));
    cache.get("token").await;
    let text = handle.render();
    for line in [
        r#"saccade_token_cache_requests_total{tier="memcached",result="hit"} 1"#,
        r#"saccade_token_cache_requests_total{tier="memcached",result="miss"} 1"#,
        r#"saccade_token_cache_requests_total{tier="memcached",result="error"} 1"#,
        r#"saccade_token_cache_writes_total{tier="memcached",result="stored"} 1"#,
        r#"saccade_token_cache_writes_total{tier="memcached",result="too_large"} 1"#,
    ] {
        assert!(text.lines().any(|found| found == line), "{line}\n{text}");
    }
}
