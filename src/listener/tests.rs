use super::*;
use axum::{
    body::Body,
    extract::Request,
    response::IntoResponse,
    routing::{get, post},
};
use bytes::Bytes;
use futures_util::stream;
use http_body_util::BodyExt;
use std::{
    convert::Infallible,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    sync::Notify,
    task::JoinHandle,
    time::timeout,
};

const SOON: Duration = Duration::from_secs(10);

fn limits() -> Limits {
    Limits {
        request_header_timeout: Duration::from_secs(30),
        transfer_idle_timeout: Duration::from_secs(30),
        max_connections: 100,
    }
}

struct Server {
    address: SocketAddr,
    lifecycle: Lifecycle,
    task: JoinHandle<()>,
    /// What became of the bodies sent to `/upload`.
    uploads: Arc<Mutex<Vec<String>>>,
    /// Requests of `/slow` and `/upload` that have begun.
    begun: Arc<AtomicUsize>,
    /// Lets a request of `/slow` finish.
    finish: Arc<Notify>,
}

impl Server {
    async fn start(limits: Limits) -> Self {
        let uploads = Arc::new(Mutex::new(Vec::new()));
        let begun = Arc::new(AtomicUsize::new(0));
        let finish = Arc::new(Notify::new());
        let router = Router::new()
            .route("/", get(async || "hello"))
            .route("/panic", get(panics))
            .route(
                "/peer",
                get(async |request: Request| request.extensions().get::<SocketAddr>().unwrap().to_string()),
            )
            .route("/endless", get(async || Body::from_stream(endless())))
            .route(
                "/slow",
                get({
                    let (begun, finish) = (begun.clone(), finish.clone());
                    async move || {
                        begun.fetch_add(1, Ordering::SeqCst);
                        finish.notified().await;
                        "done"
                    }
                }),
            )
            .route(
                "/upload",
                post({
                    let (begun, uploads) = (begun.clone(), uploads.clone());
                    // As an upload past its point of no return: on a task of its own.
                    async move |request: Request| {
                        begun.fetch_add(1, Ordering::SeqCst);
                        let received = tokio::spawn(async move {
                            let told = match request.into_body().collect().await {
                                Ok(body) => format!("{} bytes", body.to_bytes().len()),
                                Err(error) => format!("interrupted: {error}"),
                            };
                            uploads.lock().unwrap().push(told.clone());
                            told
                        });
                        received.await.unwrap()
                    }
                }),
            );
        let lifecycle = Lifecycle::new();
        let listener = Listener::bind("127.0.0.1:0".parse().unwrap(), limits)
            .await
            .unwrap();
        let address = listener.local_addr().unwrap();
        let task = tokio::spawn({
            let lifecycle = lifecycle.clone();
            async move { listener.serve(router, &lifecycle).await }
        });
        Self {
            address,
            lifecycle,
            task,
            uploads,
            begun,
            finish,
        }
    }

    async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).await.unwrap()
    }

    /// Sends `request` on a connection of its own and reads until that closes.
    async fn exchange(&self, request: &str) -> String {
        let mut stream = self.connect().await;
        stream.write_all(request.as_bytes()).await.unwrap();
        rest(&mut stream).await
    }

    async fn begun(&self, requests: usize) {
        until(|| self.begun.load(Ordering::SeqCst) == requests).await;
    }

    async fn upload_result(&self) -> String {
        until(|| !self.uploads.lock().unwrap().is_empty()).await;
        self.uploads.lock().unwrap().remove(0)
    }

    async fn stopped(self) {
        timeout(SOON, self.task).await.expect("it stops").unwrap();
    }
}

fn endless() -> impl futures_util::Stream<Item = Result<Bytes, Infallible>> {
    stream::repeat_with(|| Ok(Bytes::from_static(&[0; 65536])))
}

#[allow(clippy::unused_async, reason = "a handler is one")]
async fn panics() -> axum::response::Response {
    if std::hint::black_box(true) {
        panic!("as expected");
    }
    ().into_response()
}

async fn until(condition: impl Fn() -> bool) {
    let wait = async {
        while !condition() {
            sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(SOON, wait).await.expect("it happens soon");
}

/// Everything until the connection is closed; a reset counts as the end.
async fn rest(stream: &mut TcpStream) -> String {
    let mut answer = Vec::new();
    let _ = timeout(SOON, stream.read_to_end(&mut answer))
        .await
        .expect("the connection closes");
    String::from_utf8_lossy(&answer).into_owned()
}

/// The head and a body of that length.
async fn answer(stream: &mut TcpStream, ending: &str) -> String {
    let mut answer = String::new();
    let read = async {
        while !answer.ends_with(ending) {
            answer.push(char::from(stream.read_u8().await.unwrap()));
        }
    };
    timeout(SOON, read).await.expect("an answer comes");
    answer
}

#[tokio::test]
async fn connections_are_kept_alive_from_request_to_request() {
    let server = Server::start(limits()).await;
    let mut stream = server.connect().await;
    for _ in 0..3 {
        stream
            .write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
            .await
            .unwrap();
        let answer = answer(&mut stream, "hello").await;
        assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
    }
}

#[tokio::test]
async fn pipelined_requests_are_answered_in_order() {
    let server = Server::start(limits()).await;
    let answer = server
        .exchange("GET / HTTP/1.1\r\n\r\nGET /none HTTP/1.1\r\nConnection: close\r\n\r\n")
        .await;
    let (first, second) = (answer.find("200 OK").unwrap(), answer.find("404").unwrap());
    assert!(first < second, "{answer}");
}

#[tokio::test]
async fn http_1_0_is_answered_and_closed() {
    let server = Server::start(limits()).await;
    let answer = server.exchange("GET / HTTP/1.0\r\n\r\n").await;
    assert!(answer.starts_with("HTTP/1.0 200 OK\r\n"), "{answer}");
    assert!(answer.ends_with("hello"), "{answer}");
}

#[tokio::test]
async fn a_request_without_host_is_answered() {
    let server = Server::start(limits()).await;
    let answer = server
        .exchange("GET / HTTP/1.1\r\nConnection: close\r\n\r\n")
        .await;
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
}

#[tokio::test]
async fn the_http_2_preface_is_not_served() {
    let server = Server::start(limits()).await;
    let answer = server
        .exchange("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0")
        .await;
    assert!(answer.starts_with("HTTP/1.1 505 "), "{answer}");
    assert!(
        answer.ends_with("\n\nThis server speaks HTTP/1.1 only.\n"),
        "{answer}"
    );
}

#[tokio::test]
async fn an_upgrade_to_http_2_is_not_taken_up() {
    let server = Server::start(limits()).await;
    let answer = server
        .exchange(
            "GET / HTTP/1.1\r\nConnection: Upgrade, HTTP2-Settings, close\r\nUpgrade: h2c\r\n\
             HTTP2-Settings: AAMAAABkAAQAAP__\r\n\r\n",
        )
        .await;
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
    assert!(answer.ends_with("hello"), "{answer}");
}

#[tokio::test]
async fn a_head_that_is_too_long_is_refused() {
    let server = Server::start(limits()).await;
    let request = format!("GET / HTTP/1.1\r\nX-Auth-Token: {}\r\n\r\n", "x".repeat(200_000));
    let answer = server.exchange(&request).await;
    assert!(answer.starts_with("HTTP/1.1 431 "), "{answer}");
}

#[tokio::test]
async fn a_long_token_passes() {
    let server = Server::start(limits()).await;
    let token = "x".repeat(64_000);
    let answer = server
        .exchange(&format!(
            "GET / HTTP/1.1\r\nConnection: close\r\nX-Auth-Token: {token}\r\n\r\n"
        ))
        .await;
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
}

#[tokio::test]
async fn handlers_know_the_peer() {
    let server = Server::start(limits()).await;
    let mut stream = server.connect().await;
    stream.write_all(b"GET /peer HTTP/1.0\r\n\r\n").await.unwrap();
    let answer = rest(&mut stream).await;
    assert!(
        answer.ends_with(&stream.local_addr().unwrap().to_string()),
        "{answer}"
    );
}

#[tokio::test]
async fn a_panicking_handler_is_a_500_and_the_connection_goes_on() {
    let server = Server::start(limits()).await;
    let answer = server
        .exchange("GET /panic HTTP/1.1\r\n\r\nGET / HTTP/1.1\r\nConnection: close\r\n\r\n")
        .await;
    assert!(
        answer.starts_with("HTTP/1.1 500 Internal Server Error\r\n"),
        "{answer}"
    );
    assert!(answer.ends_with("hello"), "{answer}");
}

#[tokio::test]
async fn further_connections_wait_for_room() {
    let limits = Limits {
        max_connections: 2,
        ..limits()
    };
    let server = Server::start(limits).await;
    let mut open = Vec::new();
    for _ in 0..2 {
        let mut stream = server.connect().await;
        stream.write_all(b"GET / HTTP/1.1\r\n\r\n").await.unwrap();
        answer(&mut stream, "hello").await;
        open.push(stream);
    }
    let mut waiting = server.connect().await;
    waiting.write_all(b"GET / HTTP/1.0\r\n\r\n").await.unwrap();
    timeout(Duration::from_millis(200), waiting.readable())
        .await
        .expect_err("it is not answered while two others are open");
    open.pop();
    assert!(rest(&mut waiting).await.ends_with("hello"));
}

#[tokio::test]
async fn a_head_that_does_not_come_closes_the_connection() {
    let limits = Limits {
        request_header_timeout: Duration::from_millis(100),
        ..limits()
    };
    let server = Server::start(limits).await;
    server.exchange("GET / HTTP/1.1\r\nX-Slow").await;
    server.exchange("").await;
    let kept_alive = server.exchange("GET / HTTP/1.1\r\n\r\n").await;
    assert!(kept_alive.ends_with("hello"), "{kept_alive}");
}

#[tokio::test]
async fn an_upload_that_falls_silent_is_interrupted() {
    let limits = Limits {
        transfer_idle_timeout: Duration::from_millis(100),
        ..limits()
    };
    let server = Server::start(limits).await;
    let answer = server
        .exchange("POST /upload HTTP/1.1\r\nContent-Length: 10\r\n\r\nhalf")
        .await;
    assert!(
        answer.ends_with("interrupted: the client sent no data for 0.1 s"),
        "{answer}"
    );
}

#[tokio::test]
async fn a_download_that_nobody_reads_is_broken_off() {
    let limits = Limits {
        transfer_idle_timeout: Duration::from_millis(200),
        ..limits()
    };
    let server = Server::start(limits).await;
    let mut stream = server.connect().await;
    stream.write_all(b"GET /endless HTTP/1.1\r\n\r\n").await.unwrap();
    sleep(Duration::from_millis(600)).await;
    // What the kernel had taken is still delivered; then the endless body ends.
    let mut buffer = vec![0; 1 << 20];
    let drained = async { while stream.read(&mut buffer).await.is_ok_and(|n| n > 0) {} };
    timeout(SOON, drained).await.expect("the connection closes");
}

#[tokio::test]
async fn a_client_that_goes_away_interrupts_its_upload() {
    let server = Server::start(limits()).await;
    let mut stream = server.connect().await;
    stream
        .write_all(b"POST /upload HTTP/1.1\r\nContent-Length: 10\r\n\r\nhalf")
        .await
        .unwrap();
    drop(stream);
    assert!(server.upload_result().await.starts_with("interrupted: "));
}

#[tokio::test]
async fn while_draining_everything_still_works() {
    let server = Server::start(limits()).await;
    server.lifecycle.advance(Phase::Draining);
    let answer = server.exchange("GET / HTTP/1.0\r\n\r\n").await;
    assert!(answer.ends_with("hello"), "{answer}");
}

#[tokio::test]
async fn closing_ends_idle_connections_and_refuses_new_ones() {
    let server = Server::start(limits()).await;
    let mut kept_alive = server.connect().await;
    kept_alive.write_all(b"GET / HTTP/1.1\r\n\r\n").await.unwrap();
    answer(&mut kept_alive, "hello").await;
    let mut fresh = server.connect().await;
    // Once a later connection has been served, this one has been accepted.
    server.exchange("GET / HTTP/1.0\r\n\r\n").await;
    server.lifecycle.advance(Phase::Closing);
    assert_eq!(rest(&mut kept_alive).await, "");
    assert_eq!(rest(&mut fresh).await, "");
    let address = server.address;
    server.stopped().await;
    TcpStream::connect(address)
        .await
        .expect_err("nobody listens any more");
}

#[tokio::test]
async fn an_open_request_finishes_after_closing_and_its_connection_ends() {
    let server = Server::start(limits()).await;
    let mut stream = server.connect().await;
    stream.write_all(b"GET /slow HTTP/1.1\r\n\r\n").await.unwrap();
    server.begun(1).await;
    server.lifecycle.advance(Phase::Closing);
    sleep(Duration::from_millis(50)).await;
    assert!(!server.task.is_finished());
    server.finish.notify_one();
    let answer = rest(&mut stream).await;
    assert!(
        answer.starts_with("HTTP/1.1 200 OK\r\n") && answer.ends_with("done"),
        "{answer}"
    );
    assert!(
        answer.to_ascii_lowercase().contains("connection: close"),
        "{answer}"
    );
    server.stopped().await;
}

#[tokio::test]
async fn aborting_breaks_off_open_requests() {
    let server = Server::start(limits()).await;
    let mut download = server.connect().await;
    download.write_all(b"GET /slow HTTP/1.1\r\n\r\n").await.unwrap();
    let mut upload = server.connect().await;
    upload
        .write_all(b"POST /upload HTTP/1.1\r\nContent-Length: 10\r\n\r\nhalf")
        .await
        .unwrap();
    server.begun(2).await;
    server.lifecycle.advance(Phase::Closing);
    server.lifecycle.advance(Phase::Aborting);
    assert_eq!(rest(&mut download).await, "");
    assert_eq!(rest(&mut upload).await, "");
    assert!(server.upload_result().await.starts_with("interrupted: "));
    server.stopped().await;
}

#[tokio::test]
async fn an_address_in_use_is_named() {
    let server = Server::start(limits()).await;
    let error = Listener::bind(server.address, limits()).await.unwrap_err();
    assert_eq!(error.to_string(), format!("cannot listen on {}", server.address));
    assert!(std::error::Error::source(&error).is_some());
}
