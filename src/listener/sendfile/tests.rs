use super::{
    frame::{LONGEST, Payload},
    lane::TURN,
    *,
};
use crate::{
    file_answer::FileAnswer,
    lifecycle::{Lifecycle, Phase},
    listener::{Limits, Listener, stall::StallGuard},
};
use axum::{
    Router,
    body::Body,
    extract::{Path, State},
    response::Response,
    routing::get,
};
use bytes::{Buf, Bytes};
use futures_util::FutureExt;
use http_body::{Frame, SizeHint};
use http_body_util::BodyExt;
use hyper::{server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use proptest::prelude::*;
use saccade_store_contract::FileRegion;
use std::{
    collections::HashMap,
    convert::Infallible,
    fs::File,
    future::Future,
    io::Write,
    net::SocketAddr,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
    time::{sleep, timeout},
};

const SOON: Duration = Duration::from_secs(20);

/// Where every byte says which file and which place it is of.
fn content(seed: u64, len: usize) -> Vec<u8> {
    (0..len as u64)
        .map(|at| {
            let mixed = (at ^ (seed << 40)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
            (mixed >> 56) as u8
        })
        .collect()
}

/// Beside the test itself: where that lies is a file system that tells what is cached, more likely than under `/tmp`.
fn file(bytes: &[u8]) -> Arc<File> {
    let beside = std::env::current_exe().unwrap();
    let mut file = tempfile::tempfile_in(beside.parent().unwrap()).unwrap();
    file.write_all(bytes).unwrap();
    Arc::new(file)
}

/// The body that a handler has made and that nobody reads. Counts those that there are.
struct Unread {
    len: u64,
    open: Arc<AtomicUsize>,
}

impl Unread {
    fn new(len: u64, open: &Arc<AtomicUsize>) -> Self {
        open.fetch_add(1, Ordering::SeqCst);
        Self {
            len,
            open: open.clone(),
        }
    }
}

impl Drop for Unread {
    fn drop(&mut self) {
        self.open.fetch_sub(1, Ordering::SeqCst);
    }
}

impl http_body::Body for Unread {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        panic!("the body is read");
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.len)
    }
}

#[derive(Clone)]
struct Files {
    files: Arc<HashMap<&'static str, Arc<File>>>,
    /// Answers that are not over.
    open: Arc<AtomicUsize>,
    sent: Arc<std::sync::Mutex<Vec<FileAnswer>>>,
}

async fn part(State(files): State<Files>, Path((name, from, to)): Path<(String, u64, u64)>) -> Response {
    let region = FileRegion {
        file: files.files[name.as_str()].clone(),
        offset: from,
        len: to - from,
    };
    let answer = FileAnswer::new(region);
    files.sent.lock().unwrap().push(answer.clone());
    let mut response = Response::new(Body::new(Unread::new(to - from, &files.open)));
    response
        .headers_mut()
        .insert("content-length", (to - from).into());
    response.extensions_mut().insert(answer);
    response
}

/// As [`part`], with a body that may be read: the bytes of the file in capitals.
async fn readable(files: State<Files>, path: Path<(String, u64, u64)>) -> Response {
    let answered = part(files, path).await;
    let answer = answered.extensions().get::<FileAnswer>().unwrap();
    let region = answer.region();
    let mut bytes = vec![0; usize::try_from(region.len).unwrap()];
    let read = rustix::io::pread(&region.file, bytes.as_mut_slice(), region.offset).unwrap();
    assert_eq!(read, bytes.len());
    bytes.make_ascii_uppercase();
    answered.map(|_| Body::from(bytes))
}

struct Server {
    address: SocketAddr,
    files: Files,
    lifecycle: Lifecycle,
    task: JoinHandle<()>,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Server {
    async fn start(files: impl IntoIterator<Item = (&'static str, Arc<File>)>) -> Self {
        Self::with_idle_timeout(files, SOON).await
    }

    async fn with_idle_timeout(
        files: impl IntoIterator<Item = (&'static str, Arc<File>)>,
        transfer_idle_timeout: Duration,
    ) -> Self {
        let files = Files {
            files: Arc::new(files.into_iter().collect()),
            open: Arc::default(),
            sent: Arc::default(),
        };
        let router = Router::new()
            .route("/", get(async || "hello"))
            .route("/{name}/{from}/{to}", get(part))
            .route("/readable/{name}/{from}/{to}", get(readable))
            .with_state(files.clone());
        let limits = Limits {
            request_header_timeout: SOON,
            transfer_idle_timeout,
            max_connections: 1000,
        };
        let listener = Listener::bind("127.0.0.1:0".parse().unwrap(), limits)
            .await
            .unwrap();
        let address = listener.local_addr().unwrap();
        let lifecycle = Lifecycle::new();
        let task = tokio::spawn({
            let lifecycle = lifecycle.clone();
            async move { listener.serve(router, &lifecycle).await }
        });
        Self {
            address,
            files,
            lifecycle,
            task,
        }
    }

    async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).await.unwrap()
    }

    async fn none_open(&self) {
        let wait = async {
            while self.files.open.load(Ordering::SeqCst) > 0 {
                sleep(Duration::from_millis(5)).await;
            }
        };
        timeout(SOON, wait).await.expect("every answer is over");
    }
}

async fn ask(stream: &mut TcpStream, path: &str) {
    let request = format!("GET {path} HTTP/1.1\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
}

/// The head of an answer, without a byte of its body.
async fn head(stream: &mut TcpStream) -> String {
    let read = async {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(stream.read_u8().await.unwrap());
        }
        String::from_utf8(head).unwrap()
    };
    timeout(SOON, read).await.expect("an answer comes")
}

async fn body(stream: &mut TcpStream, len: usize) -> Vec<u8> {
    let mut body = vec![0; len];
    timeout(SOON, stream.read_exact(&mut body))
        .await
        .expect("the body comes")
        .unwrap();
    body
}

async fn download(stream: &mut TcpStream, name: &str, from: usize, to: usize) -> Vec<u8> {
    ask(stream, &format!("/{name}/{from}/{to}")).await;
    let head = head(stream).await;
    assert!(head.starts_with("HTTP/1.1 200 OK\r\n"), "{head}");
    let length = format!("content-length: {}\r\n", to - from);
    assert!(head.contains(&length), "{head}");
    body(stream, to - from).await
}

/// What comes until the connection is closed or reset.
async fn rest(stream: &mut TcpStream) -> Vec<u8> {
    let mut rest = Vec::new();
    let _ = timeout(SOON, stream.read_to_end(&mut rest))
        .await
        .expect("the connection closes");
    rest
}

#[tokio::test]
async fn a_kept_connection_serves_one_part_after_the_other() {
    let bytes = content(1, 3 * LONGEST + 17);
    let server = Server::start([("a", file(&bytes))]).await;
    let mut stream = server.connect().await;
    for (from, to) in [
        (0, bytes.len()),
        (0, 1),
        (5, 5),
        (LONGEST - 1, LONGEST + 1),
        (3, LONGEST + 3),
        (4097, 70_000),
        (bytes.len() - 1, bytes.len()),
    ] {
        let got = download(&mut stream, "a", from, to).await;
        assert!(got == bytes[from..to], "{from}..{to}");
        ask(&mut stream, "/").await;
        head(&mut stream).await;
        assert_eq!(body(&mut stream, 5).await, b"hello");
    }
    server.none_open().await;
}

#[tokio::test]
async fn requests_sent_ahead_are_answered_in_order() {
    let bytes = content(2, 2 * LONGEST);
    let server = Server::start([("a", file(&bytes))]).await;
    let mut stream = server.connect().await;
    let mut parts = vec![(0, 2 * LONGEST), (7, 9), (1, LONGEST + 1), (100, 400)];
    parts.extend((0..30).map(|n| (n * 1000, n * 1500 + 1)));
    for (from, to) in &parts {
        ask(&mut stream, &format!("/a/{from}/{to}")).await;
    }
    for (from, to) in parts {
        head(&mut stream).await;
        assert!(
            body(&mut stream, to - from).await == bytes[from..to],
            "{from}..{to}"
        );
    }
}

#[tokio::test]
async fn http_1_0_gets_the_file_and_the_end() {
    let bytes = content(3, LONGEST + 1);
    let server = Server::start([("a", file(&bytes))]).await;
    let mut stream = server.connect().await;
    let request = format!("GET /a/1/{} HTTP/1.0\r\n\r\n", bytes.len());
    stream.write_all(request.as_bytes()).await.unwrap();
    head(&mut stream).await;
    assert!(rest(&mut stream).await == bytes[1..]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_never_get_each_others_bytes() {
    const LEN: usize = 3 * LONGEST;
    let (a, b) = (content(4, LEN), content(5, LEN));
    assert!(a[..64] != b[..64] && a[..64] != a[4096..4160]);
    let server = Server::start([("a", file(&a)), ("b", file(&b))]).await;
    let bytes = Arc::new([("a", a), ("b", b)]);
    let clients: Vec<_> = (0..24_usize)
        .map(|client| {
            let (address, bytes) = (server.address, bytes.clone());
            tokio::spawn(async move {
                let mut stream = TcpStream::connect(address).await.unwrap();
                for turn in 0..12_usize {
                    let (name, whole) = &bytes[(client + turn) % 2];
                    let from = (client * 7919 + turn * 104_729) % LONGEST;
                    let to = from + 1 + (client * 15_485_863 + turn * 32_452_843) % (LEN - from - 1);
                    let got = download(&mut stream, name, from, to).await;
                    assert!(got == whole[from..to], "{client}: {name} {from}..{to}");
                    if turn % 5 == client % 5 {
                        // Leaves in the middle, and comes again.
                        ask(&mut stream, &format!("/{name}/0/{LEN}")).await;
                        body(&mut stream, 10_000).await;
                        stream = TcpStream::connect(address).await.unwrap();
                    }
                }
            })
        })
        .collect();
    for client in clients {
        client.await.unwrap();
    }
    server.none_open().await;
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    #[test]
    fn every_part_of_every_file_arrives_byte_for_byte(
        len in 1..3 * LONGEST + 2,
        parts in prop::collection::vec((any::<prop::sample::Index>(), any::<prop::sample::Index>()), 1..5),
        seed in 0..1000_u64,
        is_cold in any::<bool>(),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let bytes = content(seed, len);
            let file = file(&bytes);
            if is_cold {
                file.sync_all().unwrap();
                rustix::fs::fadvise(&file, 0, None, rustix::fs::Advice::DontNeed).unwrap();
            }
            let server = Server::start([("a", file)]).await;
            let mut stream = server.connect().await;
            for (from, to) in parts {
                let (from, to) = (from.index(len), to.index(len + 1));
                let (from, to) = (from.min(to), from.max(to));
                let got = download(&mut stream, "a", from, to).await;
                prop_assert!(got == bytes[from..to], "{from}..{to} of {len}");
            }
            Ok(())
        })?;
    }
}

#[tokio::test]
async fn a_head_request_gets_no_byte_of_the_file() {
    let bytes = content(6, 100);
    let server = Server::start([("a", file(&bytes))]).await;
    let mut stream = server.connect().await;
    stream.write_all(b"HEAD /a/0/100 HTTP/1.1\r\n\r\n").await.unwrap();
    let head = head(&mut stream).await;
    assert!(head.contains("content-length: 100\r\n"), "{head}");
    // The next answer begins where the last ended.
    assert_eq!(download(&mut stream, "a", 10, 20).await, bytes[10..20]);
}

#[tokio::test]
async fn whoever_goes_away_leaves_nothing_behind() {
    let bytes = content(7, 16 * LONGEST);
    let file = file(&bytes);
    let server = Server::start([("a", file.clone())]).await;
    for _ in 0..5 {
        let mut stream = server.connect().await;
        stream.write_all(b"GET /a/0/10 HTT").await.unwrap();
        drop(stream);
        let mut stream = server.connect().await;
        ask(&mut stream, &format!("/a/0/{}", bytes.len())).await;
        let mut begin = [0; 20];
        stream.read_exact(&mut begin).await.unwrap();
        drop(stream);
        let mut stream = server.connect().await;
        ask(&mut stream, &format!("/a/0/{}", bytes.len())).await;
        body(&mut stream, LONGEST + 7).await;
        drop(stream);
    }
    server.none_open().await;
    for answer in server.files.sent.lock().unwrap().drain(..) {
        assert!(answer.sent() < bytes.len() as u64);
    }
    // The test's and the server's own.
    assert_eq!(Arc::strong_count(&file), 2);
}

#[tokio::test]
async fn the_answer_is_over_with_its_last_byte_and_no_earlier() {
    let bytes = content(8, 16 * LONGEST);
    let server = Server::start([("a", file(&bytes))]).await;
    let mut stream = server.connect().await;
    ask(&mut stream, &format!("/a/0/{}", bytes.len())).await;
    head(&mut stream).await;
    sleep(Duration::from_millis(100)).await;
    let answer = server.files.sent.lock().unwrap()[0].clone();
    assert!(answer.sent() < bytes.len() as u64, "more than sockets hold");
    assert_eq!(server.files.open.load(Ordering::SeqCst), 1);
    assert!(body(&mut stream, bytes.len()).await == bytes);
    server.none_open().await;
    assert_eq!(answer.sent(), bytes.len() as u64);
}

#[tokio::test]
async fn a_file_that_shrinks_on_the_way_breaks_the_connection() {
    let bytes = content(9, 16 * LONGEST);
    let file = file(&bytes);
    let server = Server::start([("a", file.clone())]).await;
    let mut stream = server.connect().await;
    ask(&mut stream, &format!("/a/0/{}", bytes.len())).await;
    let head = head(&mut stream).await;
    assert!(head.contains(&format!("content-length: {}\r\n", bytes.len())));
    let mut got = body(&mut stream, LONGEST).await;
    // Within the frame that is being sent, most likely: sendfile itself finds the end.
    let sent = server.files.sent.lock().unwrap()[0].sent();
    file.set_len(sent + 100).unwrap();
    got.extend(rest(&mut stream).await);
    assert!(got.len() < bytes.len());
    assert!(got == bytes[..got.len()]);
    server.none_open().await;
}

#[tokio::test]
async fn a_file_that_was_too_short_from_the_start_breaks_the_connection() {
    let bytes = content(10, 1000);
    let server = Server::start([("a", file(&bytes))]).await;
    for (from, to) in [(0, 1001), (1000, 1001), (5000, 6000), (0, 3 * LONGEST)] {
        let mut stream = server.connect().await;
        ask(&mut stream, &format!("/a/{from}/{to}")).await;
        let got = rest(&mut stream).await;
        assert!(got.len() < 200, "{from}..{to}");
    }
    server.none_open().await;
    assert_eq!(download(&mut server.connect().await, "a", 0, 1000).await, bytes);
}

#[tokio::test]
async fn a_file_that_is_replaced_on_the_way_arrives_as_it_was() {
    let beside = std::env::current_exe().unwrap();
    let dir = tempfile::tempdir_in(beside.parent().unwrap()).unwrap();
    let path = dir.path().join("image");
    let bytes = content(11, 16 * LONGEST);
    std::fs::write(&path, &bytes).unwrap();
    let server = Server::start([("a", Arc::new(File::open(&path).unwrap()))]).await;
    let mut stream = server.connect().await;
    ask(&mut stream, &format!("/a/0/{}", bytes.len())).await;
    head(&mut stream).await;
    let mut got = body(&mut stream, 1000).await;
    std::fs::write(dir.path().join("new"), content(12, 100)).unwrap();
    std::fs::rename(dir.path().join("new"), &path).unwrap();
    got.extend(body(&mut stream, bytes.len() - 1000).await);
    assert!(got == bytes);
}

#[tokio::test]
async fn whoever_does_not_read_is_broken_off() {
    let bytes = content(13, 32 * LONGEST);
    let server = Server::with_idle_timeout([("a", file(&bytes))], Duration::from_millis(200)).await;
    let mut stream = server.connect().await;
    ask(&mut stream, &format!("/a/0/{}", bytes.len())).await;
    head(&mut stream).await;
    server.none_open().await;
    assert!(rest(&mut stream).await.len() < bytes.len());
}

#[tokio::test]
async fn whoever_reads_slowly_is_waited_for() {
    let bytes = content(14, 8 * LONGEST);
    let server = Server::with_idle_timeout([("a", file(&bytes))], Duration::from_secs(2)).await;
    let mut stream = server.connect().await;
    ask(&mut stream, &format!("/a/0/{}", bytes.len())).await;
    head(&mut stream).await;
    let mut got = Vec::new();
    while got.len() < bytes.len() {
        sleep(Duration::from_millis(100)).await;
        got.extend(body(&mut stream, bytes.len() / 8).await);
    }
    assert!(got == bytes);
}

/// As those of network file systems are.
#[tokio::test]
async fn a_file_of_which_nobody_tells_what_is_cached_is_read_by_its_body() {
    let path = "/proc/self/auxv";
    let bytes = std::fs::read(path).unwrap().to_ascii_uppercase();
    let file = Arc::new(File::open(path).unwrap());
    let server = Server::start([("a", file), ("b", self::file(b"hello, world"))]).await;
    let mut stream = server.connect().await;
    let whole = download(&mut stream, "readable/a", 0, bytes.len()).await;
    assert_eq!(whole, bytes);
    assert_eq!(download(&mut stream, "readable/a", 8, 24).await, bytes[8..24]);
    let by_the_kernel = download(&mut stream, "readable/b", 0, 12).await;
    assert_eq!(by_the_kernel, b"hello, world");
    let answers = server.files.sent.lock().unwrap();
    let sent: Vec<_> = answers.iter().map(FileAnswer::sent).collect();
    assert_eq!(sent, [0, 0, 12]);
}

#[tokio::test]
async fn a_connection_that_is_kept_holds_no_file() {
    let bytes = content(16, 3 * LONGEST);
    let file = file(&bytes);
    let server = Server::start([("a", file.clone())]).await;
    let mut stream = server.connect().await;
    for (from, to) in [(0, bytes.len()), (5, 10), (LONGEST - 1, bytes.len())] {
        assert!(download(&mut stream, "a", from, to).await == bytes[from..to]);
        server.files.sent.lock().unwrap().clear();
        // The test's and the server's own.
        let wait = async {
            while Arc::strong_count(&file) > 2 {
                sleep(Duration::from_millis(5)).await;
            }
        };
        timeout(SOON, wait).await.expect("nobody else holds the file");
    }
    ask(&mut stream, "/").await;
    head(&mut stream).await;
    assert_eq!(body(&mut stream, 5).await, b"hello");
}

#[tokio::test]
async fn a_download_that_is_under_way_when_the_daemon_stops_is_finished() {
    let bytes = content(17, 16 * LONGEST);
    let mut server = Server::start([("a", file(&bytes))]).await;
    let mut stream = server.connect().await;
    ask(&mut stream, &format!("/a/0/{}", bytes.len())).await;
    head(&mut stream).await;
    server.lifecycle.advance(Phase::Closing);
    sleep(Duration::from_millis(50)).await;
    assert!(!server.task.is_finished());
    assert!(rest(&mut stream).await == bytes);
    timeout(SOON, &mut server.task).await.expect("it stops").unwrap();
}

#[tokio::test]
async fn a_download_that_takes_too_long_to_stop_is_broken_off() {
    let bytes = content(18, 16 * LONGEST);
    let mut server = Server::start([("a", file(&bytes))]).await;
    let mut stream = server.connect().await;
    ask(&mut stream, &format!("/a/0/{}", bytes.len())).await;
    head(&mut stream).await;
    server.lifecycle.advance(Phase::Closing);
    server.lifecycle.advance(Phase::Aborting);
    timeout(SOON, &mut server.task).await.expect("it stops").unwrap();
    assert_eq!(server.files.open.load(Ordering::SeqCst), 0);
    let got = rest(&mut stream).await;
    assert!(got.len() < bytes.len() && got == bytes[..got.len()]);
}

#[tokio::test]
async fn many_cold_clients_get_the_whole_file() {
    let bytes = content(19, 5 * LONGEST + 99);
    let file = file(&bytes);
    file.sync_all().unwrap();
    rustix::fs::fadvise(&file, 0, None, rustix::fs::Advice::DontNeed).unwrap();
    let server = Server::start([("a", file)]).await;
    let clients: Vec<_> = (0..12_usize)
        .map(|client| {
            let (address, from, to) = (server.address, client * 1000, bytes.len());
            tokio::spawn(async move {
                let mut stream = TcpStream::connect(address).await.unwrap();
                (from, download(&mut stream, "a", from, to).await)
            })
        })
        .collect();
    for client in clients {
        let (from, got) = client.await.unwrap();
        assert!(got == bytes[from..], "{from}");
    }
}

/// However fast the peer is: here it reads on a thread of its own, as fast as the kernel gives.
#[tokio::test]
async fn other_connections_have_their_turn_after_a_few_frames() {
    const BUFFER: usize = 256 << 10;
    let bytes = content(20, 64 * LONGEST);
    let region = region(&bytes);
    let answer = FileAnswer::new(region.clone());
    let lane = Arc::new(Lane::default());
    let (ours, theirs) = pair().await;
    let mut theirs = theirs.into_std().unwrap();
    theirs.set_nonblocking(false).unwrap();
    let peer = std::thread::spawn(move || {
        let request = b"GET / HTTP/1.1\r\nConnection: close\r\n\r\n";
        theirs.write_all(request).unwrap();
        std::io::copy(&mut theirs, &mut std::io::sink()).unwrap()
    });
    let io = socket(ours, &lane);
    let service = service_fn({
        let answer = answer.clone();
        move |_| {
            let mut response = Response::new(Body::new(Unread::new(region.len, &Arc::default())));
            response.extensions_mut().insert(answer.clone());
            let response = ResponseBody::of(response, &lane);
            async { Ok::<_, Infallible>(response) }
        }
    });
    let mut served = Box::pin(
        http1::Builder::new()
            .max_buf_size(BUFFER)
            .serve_connection(TokioIo::new(io), service),
    );
    let mut most = 0;
    std::future::poll_fn(|cx| {
        let before = answer.sent();
        let polled = served.as_mut().poll(cx);
        most = most.max(answer.sent() - before);
        polled
    })
    .await
    .unwrap();
    drop(served);
    assert!(peer.join().unwrap() > bytes.len() as u64);
    // Twice, as hyper asks again; each time the last frame may begin just before the turn's end. And the rest of one that the peer
    // had kept waiting, when it is so short that hyper takes the next one beside it.
    let bound = 2 * (TURN + LONGEST as u64) + BUFFER as u64;
    assert!(most <= bound, "{most} bytes in one turn");
}

async fn pair() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let theirs = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
    (listener.accept().await.unwrap().0, theirs)
}

fn socket(stream: TcpStream, lane: &Arc<Lane>) -> Socket {
    Socket::new(StallGuard::new(stream, SOON), lane.clone())
}

fn region(bytes: &[u8]) -> FileRegion {
    FileRegion {
        file: file(bytes),
        offset: 0,
        len: bytes.len() as u64,
    }
}

/// One connection, on which hyper copies bodies into one buffer before it writes.
fn copying(
    io: Socket,
    lane: Arc<Lane>,
    region: FileRegion,
    open: Arc<AtomicUsize>,
) -> impl Future<Output = hyper::Result<()>> {
    let service = service_fn(move |_| {
        let mut response = Response::new(Body::new(Unread::new(region.len, &open)));
        response.extensions_mut().insert(FileAnswer::new(region.clone()));
        let response = ResponseBody::of(response, &lane);
        async { Ok::<_, Infallible>(response) }
    });
    http1::Builder::new()
        .writev(false)
        .serve_connection(TokioIo::new(io), service)
}

#[tokio::test]
async fn a_copy_of_what_stands_for_the_file_is_never_sent() {
    for len in [1, 1000, 3 * LONGEST] {
        let lane = Arc::new(Lane::default());
        let (ours, mut theirs) = pair().await;
        let open = Arc::default();
        let served = copying(socket(ours, &lane), lane, region(&vec![7; len]), open);
        let served = tokio::spawn(served);
        ask(&mut theirs, "/").await;
        assert_eq!(rest(&mut theirs).await, b"", "{len}");
        served.await.unwrap().unwrap_err();
    }
}

async fn first_frame(lane: &Arc<Lane>, region: FileRegion) -> Payload {
    let mut response = Response::new(Body::new(Unread::new(region.len, &Arc::default())));
    response.extensions_mut().insert(FileAnswer::new(region));
    let mut body = ResponseBody::of(response, lane).into_body();
    body.frame().await.unwrap().unwrap().into_data().unwrap()
}

#[tokio::test]
async fn a_frame_that_somebody_else_reads_breaks_the_lane() {
    let lane = Arc::new(Lane::default());
    let (ours, _theirs) = pair().await;
    let mut socket = socket(ours, &lane);
    let mut frame = first_frame(&lane, region(b"hello, world")).await;
    assert_eq!(frame.remaining(), 12);
    frame.advance(1);
    socket.write_all(b"anything").await.unwrap_err();
}

#[tokio::test]
async fn a_frame_that_is_left_out_breaks_the_lane() {
    let lane = Arc::new(Lane::default());
    let (ours, _theirs) = pair().await;
    let mut socket = socket(ours, &lane);
    socket.write_all(b"before").await.unwrap();
    drop(first_frame(&lane, region(b"hello, world")).await);
    socket.write_all(b"after").await.unwrap_err();
}

#[tokio::test]
async fn what_no_frame_was_given_out_for_is_not_sent() {
    let (one, other) = (Arc::new(Lane::default()), Arc::new(Lane::default()));
    let (ours, mut theirs) = pair().await;
    let mut socket = socket(ours, &one);
    let foreign = first_frame(&other, region(b"hello, world")).await;
    socket.write_all(foreign.chunk()).await.unwrap_err();
    drop(socket);
    assert_eq!(rest(&mut theirs).await, b"");
}

#[tokio::test]
async fn a_frame_is_sent_as_the_file_and_not_as_it_looks() {
    let lane = Arc::new(Lane::default());
    let (ours, mut theirs) = pair().await;
    let mut socket = socket(ours, &lane);
    let mut frame = first_frame(&lane, region(b"hello, world")).await;
    assert_eq!(frame.chunk(), [0; 12]);
    socket.write_all(b"head ").await.unwrap();
    socket.write_all_buf(&mut frame).await.unwrap();
    assert_eq!(frame.remaining(), 0);
    drop((frame, socket));
    assert_eq!(rest(&mut theirs).await, b"head hello, world");
}

#[tokio::test]
async fn a_connection_that_has_waited_for_its_next_request_has_a_whole_turn_for_it() {
    let lane = Arc::new(Lane::default());
    let (ours, mut theirs) = pair().await;
    let mut socket = socket(ours, &lane);
    let mut asked = [0];
    theirs.write_all(b"q").await.unwrap();
    socket.read_exact(&mut asked).await.unwrap();
    lane.sent(usize::try_from(TURN).unwrap());
    assert!(socket.read_exact(&mut asked).now_or_never().is_none());
    assert!(!lane.ends_turn());
    lane.sent(usize::try_from(TURN).unwrap());
    assert!(lane.ends_turn());
}

#[tokio::test]
async fn another_body_than_the_files_is_sent_itself() {
    let lane = Arc::new(Lane::default());
    let mut response = Response::new(Body::from("refused"));
    let answer = FileAnswer::new(region(b"hello, world"));
    response.extensions_mut().insert(answer);
    let body = ResponseBody::of(response, &lane).into_body();
    assert!(matches!(body, ResponseBody::Plain(_)));
    assert_eq!(body.collect().await.unwrap().to_bytes(), "refused");
}
