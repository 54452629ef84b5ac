//! The whole cache against servers that behave, lie, hang and die.

use std::{
    collections::HashMap,
    path::PathBuf,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
};

use super::super::super::Secret;
use super::super::options::{ClientCertificate, MemcachedTls};
use super::*;

const BODY: &[u8] = br#"{"token": {"id": 1}}"#;
const MINUTE: Duration = Duration::from_secs(60);

fn options(servers: &[String]) -> MemcachedOptions {
    MemcachedOptions {
        servers: servers.to_vec(),
        protection: Protection::None,
        socket_timeout: Duration::from_millis(150),
        dead_retry: Duration::from_secs(300),
        pool_maxsize: 10,
        pool_conn_get_timeout: Duration::from_millis(150),
        pool_unused_timeout: MINUTE,
        tls: None,
        sasl: None,
    }
}

fn cache(servers: &[String]) -> Memcached {
    Memcached::new(&options(servers)).unwrap()
}

/// A small memcached of the text protocol.
struct Peer {
    address: String,
    entries: Arc<Mutex<HashMap<String, (u32, u32, Vec<u8>)>>>,
    connections: Arc<AtomicUsize>,
    commands: Arc<Mutex<Vec<String>>>,
    task: JoinHandle<()>,
}

#[derive(Clone, Copy, PartialEq)]
enum Habit {
    /// `mg` is known.
    Modern,
    /// `mg` is an error.
    Old,
    /// Whoever says `mg` is thrown out.
    Proxy,
    /// `mg` is answered as an early version did.
    Early,
    /// One answer per connection.
    Impatient,
}

impl Peer {
    async fn start(habit: Habit) -> Self {
        Self::start_at("127.0.0.1:0", habit).await
    }

    async fn start_at(address: &str, habit: Habit) -> Self {
        let listener = TcpListener::bind(address).await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let entries = Arc::new(Mutex::new(HashMap::new()));
        let connections = Arc::new(AtomicUsize::new(0));
        let commands = Arc::new(Mutex::new(Vec::new()));
        let (all, count, log) = (entries.clone(), connections.clone(), commands.clone());
        let task = tokio::spawn(async move {
            let mut served = tokio::task::JoinSet::new();
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                count.fetch_add(1, Ordering::Relaxed);
                served.spawn(Self::serve(stream, habit, all.clone(), log.clone()));
            }
        });
        Self {
            address,
            entries,
            connections,
            commands,
            task,
        }
    }

    async fn serve(
        stream: TcpStream,
        habit: Habit,
        entries: Arc<Mutex<HashMap<String, (u32, u32, Vec<u8>)>>>,
        commands: Arc<Mutex<Vec<String>>>,
    ) {
        let mut stream = BufReader::new(stream);
        let mut line = String::new();
        while stream.read_line(&mut line).await.unwrap_or(0) > 0 {
            commands.lock().unwrap().push(line.trim_end().to_owned());
            let words: Vec<_> = line.split_whitespace().map(str::to_owned).collect();
            let found = entries.lock().unwrap().get(&words[1]).cloned();
            let mut answer = Vec::new();
            match (words[0].as_str(), habit) {
                ("set", _) => {
                    let mut data = vec![0; words[4].parse::<usize>().unwrap() + 2];
                    stream.read_exact(&mut data).await.unwrap();
                    data.truncate(data.len() - 2);
                    let entry = (words[2].parse().unwrap(), words[3].parse().unwrap(), data);
                    entries.lock().unwrap().insert(words[1].clone(), entry);
                    answer = b"STORED\r\n".to_vec();
                }
                ("mg", Habit::Old) => answer = b"ERROR\r\n".to_vec(),
                ("mg", Habit::Proxy) => return,
                ("mg", Habit::Early) => match found {
                    Some((flags, _, data)) => {
                        answer = format!("VA kvft {flags} 9 {}\r\n", data.len()).into_bytes();
                        answer.extend(data);
                        answer.extend(b"\r\n");
                    }
                    None => answer = b"EN\r\n".to_vec(),
                },
                ("mg", _) => match found {
                    Some((flags, seconds, data)) => {
                        let life = if seconds == 0 { -1 } else { i64::from(seconds) - 1 };
                        answer = format!("VA {} k{} f{flags} t{life}\r\n", data.len(), words[1]).into_bytes();
                        answer.extend(data);
                        answer.extend(b"\r\n");
                    }
                    None => answer = b"EN\r\n".to_vec(),
                },
                ("get", _) => {
                    if let Some((flags, _, data)) = found {
                        answer = format!("VALUE {} {flags} {}\r\n", words[1], data.len()).into_bytes();
                        answer.extend(data);
                        answer.extend(b"\r\n");
                    }
                    answer.extend(b"END\r\n");
                }
                other => panic!("{}", other.0),
            }
            if stream.write_all(&answer).await.is_err() || habit == Habit::Impatient {
                return;
            }
            line.clear();
        }
    }

    fn commands(&self) -> Vec<String> {
        let verb = |line: &String| line.split(' ').next().unwrap().to_owned();
        self.commands.lock().unwrap().iter().map(verb).collect()
    }

    fn connections(&self) -> usize {
        self.connections.load(Ordering::Relaxed)
    }
}

/// Stops at once, connections included.
impl Drop for Peer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// What a liar does with each connection, in turn; the last one again and again.
enum Lie {
    /// Says this, whatever it is asked, and goes on listening.
    Says(Vec<u8>),
    /// Says this and closes the connection.
    SaysAndCloses(Vec<u8>),
    /// Says these bytes one by one, so many milliseconds apart.
    Trickles(Vec<u8>, u64),
    /// Says this again and again without end.
    Floods(Vec<u8>),
}

struct Liar {
    address: String,
    connections: Arc<AtomicUsize>,
    task: JoinHandle<()>,
}

impl Drop for Liar {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Liar {
    async fn start(lie: Lie) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let connections = Arc::new(AtomicUsize::new(0));
        let (count, lie) = (connections.clone(), Arc::new(lie));
        let task = tokio::spawn(async move {
            let mut served = tokio::task::JoinSet::new();
            loop {
                let (mut stream, _) = listener.accept().await.unwrap();
                count.fetch_add(1, Ordering::Relaxed);
                let lie = lie.clone();
                served.spawn(async move {
                    let mut request = [0; 4096];
                    while stream.read(&mut request).await.unwrap_or(0) > 0 {
                        match &*lie {
                            Lie::Says(bytes) => _ = stream.write_all(bytes).await,
                            Lie::SaysAndCloses(bytes) => {
                                _ = stream.write_all(bytes).await;
                                return;
                            }
                            Lie::Trickles(bytes, pause) => {
                                for byte in bytes {
                                    _ = stream.write_all(&[*byte]).await;
                                    tokio::time::sleep(Duration::from_millis(*pause)).await;
                                }
                            }
                            Lie::Floods(bytes) => while stream.write_all(bytes).await.is_ok() {},
                        }
                    }
                });
            }
        });
        Self {
            address,
            connections,
            task,
        }
    }

    async fn is_left_alone_after(&self, cache: &Memcached, connections: usize, what: &str) {
        let started = Instant::now();
        assert_eq!(cache.get("token").await, None, "{what}");
        assert!(started.elapsed() < Duration::from_secs(2), "{what}");
        let made = self.connections.load(Ordering::Relaxed);
        assert_eq!(made, connections, "{what}");
        assert_eq!(cache.get("token").await, None, "{what}");
        assert_eq!(
            self.connections.load(Ordering::Relaxed),
            made,
            "asked again: {what}"
        );
    }
}

fn key(token: &str) -> String {
    Entry::of(token, &Protection::None).unwrap().key().to_owned()
}

#[tokio::test]
async fn what_was_written_is_read_with_the_life_that_is_left() {
    let peer = Peer::start(Habit::Modern).await;
    let cache = cache(&[peer.address.clone()]);
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
async fn an_entry_that_never_expires_has_no_known_life() {
    let peer = Peer::start(Habit::Modern).await;
    peer.entries
        .lock()
        .unwrap()
        .insert(key("token"), (16, 0, BODY.into()));
    assert_eq!(
        cache(&[peer.address.clone()])
            .get("token")
            .await
            .unwrap()
            .remaining,
        None
    );
}

#[tokio::test]
async fn lives_are_cut_to_what_memcached_takes_for_a_length_of_time() {
    let peer = Peer::start(Habit::Modern).await;
    let cache = cache(&[peer.address.clone()]);
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
    let cache = cache(&[peer.address.clone()]);
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
            ..options(&[peer.address.clone()])
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
    let cache = cache(&[peer.address.clone()]);
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
        let cache = cache(&[peer.address.clone()]);
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
async fn a_server_that_closed_idle_connections_is_not_dead() {
    let peer = Peer::start(Habit::Impatient).await;
    let cache = cache(&[peer.address.clone()]);
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
    let cache = cache(&[address.clone()]);
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
    let servers: Vec<_> = peers.iter().map(|peer| peer.address.clone()).collect();
    let cache = Memcached::new(&MemcachedOptions {
        dead_retry: Duration::from_millis(200),
        ..options(&servers)
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
    tokio::time::sleep(Duration::from_millis(250)).await;
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
    for (what, lie, connections) in [
        // Each is tried with `mg`, then with `get`, whose answer is no better.
        (
            "another protocol",
            b"HTTP/1.1 400 Bad Request\r\n\r\n".to_vec(),
            2,
        ),
        ("an endless line", vec![b'A'; 10_000], 2),
        ("no line end", b"END\n".to_vec(), 2),
        ("an unasked answer", b"STORED\r\n".to_vec(), 2),
        ("two answers", b"END\r\nEND\r\n".to_vec(), 2),
        (
            "another key, get",
            head(format!("VALUE {other} 0 2\r\n{{}}\r\nEND\r\n")),
            2,
        ),
        (
            "another key, mg",
            head(format!("VA 2 k{other} f0 t1\r\n{{}}\r\n")),
            2,
        ),
        ("no key", b"VA 2 f0 t1\r\n{}\r\n".to_vec(), 2),
        ("a huge value", head(format!("VALUE {echo} 0 1048577\r\n")), 2),
        ("a negative value", head(format!("VALUE {echo} 0 -1\r\n")), 2),
        (
            "an unending number",
            head(format!("VALUE {echo} 0 {}\r\n", "9".repeat(99))),
            2,
        ),
        (
            "a wrong terminator",
            head(format!("VALUE {echo} 0 2\r\n{{}}xxEND\r\n")),
            2,
        ),
        ("bytes", (0..=255).collect(), 2),
        ("it knows nothing", b"ERROR\r\n".to_vec(), 2),
        // No answer in time proves nothing about `mg`.
        ("half a line", b"VALU".to_vec(), 1),
        ("half a value", head(format!("VA 100 k{echo} f0 t1\r\n{{")), 1),
        ("a promise", head(format!("VA 1048576 k{echo} f0 t1\r\n")), 1),
        ("silence", Vec::new(), 1),
    ] {
        let liar = Liar::start(Lie::Says(lie)).await;
        let cache = cache(&[liar.address.clone()]);
        liar.is_left_alone_after(&cache, connections, what).await;
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
        let cache = cache(&[liar.address.clone()]);
        liar.is_left_alone_after(&cache, 2, what).await;
    }
}

#[tokio::test]
async fn slow_and_endless_answers_end_when_their_time_is_up() {
    let echo = key("token");
    let slow = format!("VA 100 k{echo} f0 t1\r\n{}", "x".repeat(100)).into_bytes();
    let liar = Liar::start(Lie::Trickles(slow, 10)).await;
    liar.is_left_alone_after(&cache(&[liar.address.clone()]), 1, "a trickle")
        .await;
    let liar = Liar::start(Lie::Floods(b"VA 10 k".to_vec())).await;
    liar.is_left_alone_after(&cache(&[liar.address.clone()]), 2, "a flood")
        .await;
}

#[tokio::test]
async fn a_server_that_cannot_now_is_not_dead() {
    let liar = Liar::start(Lie::Says(
        b"SERVER_ERROR out of memory storing object\r\n".to_vec(),
    ))
    .await;
    let cache = cache(&[liar.address.clone()]);
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
        socket_timeout: Duration::from_secs(5),
        pool_maxsize: 1,
        ..options(&[liar.address.clone()])
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
            socket_timeout: Duration::from_secs(5),
            pool_maxsize: 2,
            pool_conn_get_timeout: Duration::from_millis(wait),
            ..options(&[liar.address.clone()])
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
        pool_unused_timeout: Duration::from_millis(20),
        ..options(&[peer.address.clone()])
    })
    .unwrap();
    cache.get("token").await;
    cache.get("token").await;
    assert_eq!(peer.connections(), 1);
    tokio::time::sleep(Duration::from_millis(30)).await;
    cache.get("token").await;
    assert_eq!(peer.connections(), 2);
}

#[tokio::test]
async fn a_crowd_at_a_hung_server_does_not_wait_in_turn() {
    let liar = Liar::start(Lie::Says(Vec::new())).await;
    let cache = Memcached::new(&MemcachedOptions {
        pool_maxsize: 2,
        pool_conn_get_timeout: Duration::from_secs(10),
        ..options(&[liar.address.clone()])
    })
    .unwrap();
    let started = Instant::now();
    let found = join_all((0..50).map(|_| cache.get("token"))).await;
    assert_eq!(found.iter().flatten().count(), 0);
    assert!(
        started.elapsed() < Duration::from_secs(1),
        "{:?}",
        started.elapsed()
    );
    assert_eq!(liar.connections.load(Ordering::Relaxed), 2);
}

fn problem(change: impl FnOnce(&mut MemcachedOptions)) -> String {
    let mut options = options(&["127.0.0.1:1".to_owned()]);
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
