//! Servers that close, die, lie and hang.

use std::{
    sync::atomic::Ordering,
    time::{Duration, Instant},
};

use futures_util::future::join_all;
use tokio::net::{TcpListener, TcpStream};

use super::{
    super::{Memcached, MemcachedOptions, placement},
    BODY, MINUTE, cache, hurried_cache, key,
    liar::{Liar, Lie},
    options,
    peer::{Habit, Peer},
    time_passes,
};

#[tokio::test]
async fn a_server_that_closed_idle_connections_is_not_dead() {
    let peer = Peer::start(Habit::Impatient).await;
    let cache = cache(&[&peer.address]);
    cache.set("token", BODY, MINUTE).await;
    for _ in 0..3 {
        assert_eq!(cache.get("token").await.unwrap().body, BODY);
    }
    assert_eq!(peer.connections(), 4);
}

#[tokio::test]
async fn a_restarted_server_is_used_again_at_once() {
    let peer = Peer::start(Habit::Modern).await;
    let address = peer.address.clone();
    let cache = cache(&[&address]);
    cache.set("token", BODY, MINUTE).await;
    drop(peer);
    let peer = loop {
        tokio::task::yield_now().await;
        if TcpListener::bind(&address).await.is_ok() {
            break Peer::start_at(&address, Habit::Modern).await;
        }
    };
    cache.set("token", BODY, MINUTE).await;
    assert_eq!(cache.get("token").await.unwrap().body, BODY);
    assert_eq!(peer.connections(), 1);
}

#[tokio::test]
async fn keys_of_a_dead_server_go_to_the_next_and_come_back() {
    let peers = [Peer::start(Habit::Modern).await, Peer::start(Habit::Modern).await];
    let cache = Memcached::new(&MemcachedOptions {
        dead_retry: MINUTE,
        ..options(&peers.each_ref().map(|peer| peer.address.as_str()))
    })
    .unwrap();
    let token = |server| {
        (0..)
            .map(|number| format!("token{number}"))
            .find(|token| {
                placement::candidates(key(token).as_bytes(), 2)
                    .take(2)
                    .eq([server, 1 - server])
            })
            .unwrap()
    };
    let (first, second) = (token(0), token(1));
    cache.set(&first, BODY, MINUTE).await;
    cache.set(&second, BODY, MINUTE).await;
    let [mut one, other] = peers;
    assert_eq!(
        one.entries.lock().unwrap().keys().collect::<Vec<_>>(),
        [&key(&first)]
    );
    assert_eq!(
        other.entries.lock().unwrap().keys().collect::<Vec<_>>(),
        [&key(&second)]
    );

    let address = one.address.clone();
    drop(one);
    while TcpStream::connect(&address).await.is_ok() {}
    assert_eq!(cache.get(&first).await, None);
    cache.set(&first, BODY, MINUTE).await;
    assert!(other.entries.lock().unwrap().contains_key(&key(&first)));
    assert_eq!(cache.get(&first).await.unwrap().body, BODY);

    one = Peer::start_at(&address, Habit::Modern).await;
    time_passes(Duration::from_secs(61)).await;
    assert_eq!(
        cache.get(&first).await,
        None,
        "the one that is back does not have it"
    );
    assert_eq!(one.commands(), ["mg"]);
}

#[tokio::test]
async fn a_server_that_lies_is_left_alone() {
    let (echo, other) = (key("token"), key("other"));
    let head = |text: String| text.into_bytes();
    // Each is tried with `mg`, then with `get`, whose answer is no better.
    let connections = 2;
    for (what, lie) in [
        ("another protocol", b"HTTP/1.1 400 Bad Request\r\n\r\n".to_vec()),
        ("an endless line", vec![b'A'; 10_000]),
        ("no line end", b"END\n".to_vec()),
        ("an unasked answer", b"STORED\r\n".to_vec()),
        ("two answers", b"END\r\nEND\r\n".to_vec()),
        (
            "another key, get",
            head(format!("VALUE {other} 0 2\r\n{{}}\r\nEND\r\n")),
        ),
        (
            "another key, mg",
            head(format!("VA 2 k{other} f0 t1\r\n{{}}\r\n")),
        ),
        ("no key", b"VA 2 f0 t1\r\n{}\r\n".to_vec()),
        ("a huge value", head(format!("VALUE {echo} 0 1048577\r\n"))),
        ("a negative value", head(format!("VALUE {echo} 0 -1\r\n"))),
        (
            "an unending number",
            head(format!("VALUE {echo} 0 {}\r\n", "9".repeat(99))),
        ),
        (
            "a wrong terminator",
            head(format!("VALUE {echo} 0 2\r\n{{}}xxEND\r\n")),
        ),
        ("bytes", (0..=255).collect()),
        ("it knows nothing", b"ERROR\r\n".to_vec()),
    ] {
        let liar = Liar::start(Lie::Says(lie)).await;
        let cache = cache(&[&liar.address]);
        liar.is_left_alone_after(&cache, connections, what).await;
    }
}

#[tokio::test]
async fn a_server_that_stops_within_an_answer_is_left_alone() {
    let echo = key("token");
    for (what, lie) in [
        ("half a line", b"VALU".to_vec()),
        ("half a value", format!("VA 100 k{echo} f0 t1\r\n{{").into_bytes()),
        ("a promise", format!("VA 1048576 k{echo} f0 t1\r\n").into_bytes()),
        ("silence", Vec::new()),
    ] {
        let liar = Liar::start(Lie::Says(lie)).await;
        let cache = hurried_cache(&[&liar.address]);
        // No answer in time proves nothing about `mg`: it is not asked with `get`.
        liar.is_left_alone_after(&cache, 1, what).await;
    }
}

#[tokio::test]
async fn a_server_that_closes_everything_is_left_alone() {
    let echo = key("token");
    for (what, lie) in [
        ("nothing", Vec::new()),
        ("half a line", b"VALU".to_vec()),
        ("half a value", format!("VALUE {echo} 0 100\r\n{{").into_bytes()),
    ] {
        let liar = Liar::start(Lie::SaysAndCloses(lie)).await;
        let cache = cache(&[&liar.address]);
        liar.is_left_alone_after(&cache, 2, what).await;
    }
}

#[tokio::test]
async fn slow_and_endless_answers_end_when_their_time_is_up() {
    let echo = key("token");
    let slow = format!("VA 100 k{echo} f0 t1\r\n{}", "x".repeat(100)).into_bytes();
    let liar = Liar::start(Lie::Trickles(slow, 10)).await;
    liar.is_left_alone_after(&hurried_cache(&[&liar.address]), 1, "a trickle")
        .await;
    let liar = Liar::start(Lie::Floods(b"VA 10 k".to_vec())).await;
    liar.is_left_alone_after(&cache(&[&liar.address]), 2, "a flood")
        .await;
}

#[tokio::test]
async fn a_server_that_cannot_now_is_not_dead() {
    let liar = Liar::start(Lie::Says(
        b"SERVER_ERROR out of memory storing object\r\n".to_vec(),
    ))
    .await;
    let cache = cache(&[&liar.address]);
    for _ in 0..2 {
        cache.set("token", BODY, MINUTE).await;
        assert_eq!(cache.get("token").await, None);
    }
    assert_eq!(liar.connections.load(Ordering::Relaxed), 4);
}

#[tokio::test]
async fn a_dropped_request_leaves_no_answer_to_the_next() {
    let echo = key("token");
    let answer = format!(
        "VA 20 k{echo} f0 t9\r\n{}\r\n",
        std::str::from_utf8(BODY).unwrap()
    )
    .into_bytes();
    let liar = Liar::start(Lie::Trickles(answer, 1)).await;
    let cache = Memcached::new(&MemcachedOptions {
        pool_maxsize: 1,
        ..options(&[&liar.address])
    })
    .unwrap();
    for pause in [0, 5, 20, 40] {
        let dropped = tokio::time::timeout(Duration::from_millis(pause), cache.get("token")).await;
        assert!(dropped.is_err());
    }
    assert_eq!(cache.get("token").await.unwrap().body, BODY);
    assert_eq!(cache.get("token").await.unwrap().body, BODY);
}

#[tokio::test]
async fn no_more_connections_than_allowed_and_no_longer_wait_for_one() {
    let echo = key("token");
    let answer = format!(
        "VA 20 k{echo} f0 t9\r\n{}\r\n",
        std::str::from_utf8(BODY).unwrap()
    )
    .into_bytes();
    let liar = Liar::start(Lie::Trickles(answer, 1)).await;
    let few = |wait| {
        Memcached::new(&MemcachedOptions {
            pool_maxsize: 2,
            pool_conn_get_timeout: Duration::from_millis(wait),
            ..options(&[&liar.address])
        })
        .unwrap()
    };
    let cache = few(5000);
    let found = join_all((0..6).map(|_| cache.get("token"))).await;
    assert_eq!(found.iter().flatten().count(), 6);
    assert_eq!(liar.connections.load(Ordering::Relaxed), 2);
    let cache = few(10);
    let found = join_all((0..6).map(|_| cache.get("token"))).await;
    assert_eq!(found.iter().flatten().count(), 2, "four should have given up");
}

#[tokio::test]
async fn connections_that_nobody_used_are_closed() {
    let peer = Peer::start(Habit::Modern).await;
    let cache = Memcached::new(&MemcachedOptions {
        pool_unused_timeout: MINUTE,
        ..options(&[&peer.address])
    })
    .unwrap();
    cache.get("token").await;
    cache.get("token").await;
    assert_eq!(peer.connections(), 1);
    time_passes(Duration::from_secs(61)).await;
    cache.get("token").await;
    assert_eq!(peer.connections(), 2);
}

#[tokio::test]
async fn a_crowd_at_a_hung_server_does_not_wait_in_turn() {
    let liar = Liar::start(Lie::Says(Vec::new())).await;
    let cache = Memcached::new(&MemcachedOptions {
        socket_timeout: Duration::from_millis(150),
        pool_maxsize: 2,
        pool_conn_get_timeout: Duration::from_secs(10),
        ..options(&[&liar.address])
    })
    .unwrap();
    let started = Instant::now();
    let found = join_all((0..50).map(|_| {
        let cache = cache.clone();
        tokio::spawn(async move { cache.get("token").await })
    }))
    .await;
    assert_eq!(found.into_iter().filter_map(Result::unwrap).count(), 0);
    assert!(
        started.elapsed() < Duration::from_secs(2),
        "{:?}",
        started.elapsed()
    );
    assert_eq!(liar.connections.load(Ordering::Relaxed), 2);
}
