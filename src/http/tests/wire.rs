//! Over a real connection: what only a socket shows.

use std::net::SocketAddr;

use hyper::{server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use serde_json::json;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

use super::*;

/// Serves the app; where it listens.
async fn serve(app: &App) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let router = app.router.clone();
    tokio::spawn(async move {
        while let Ok((socket, _)) = listener.accept().await {
            let router = router.clone();
            let service = service_fn(move |request: Request<hyper::body::Incoming>| {
                router.clone().oneshot(request.map(Body::new))
            });
            tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(socket), service));
        }
    });
    address
}

/// Sends the text and reads until the server closes the connection.
async fn talk(address: SocketAddr, text: &str) -> String {
    let mut socket = TcpStream::connect(address).await.unwrap();
    socket.write_all(text.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    // A reset after the answer is as good as a close.
    let _ = socket.read_to_end(&mut answer).await;
    String::from_utf8(answer).unwrap()
}

#[tokio::test]
async fn a_request_of_http_1_0_without_host_is_answered() {
    let app = App::new();
    let address = serve(&app).await;
    let body = "{}";
    let answer = talk(
        address,
        &format!(
            "POST /v2/images HTTP/1.0\r\nX-Auth-Token: {MEMBER}\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        ),
    )
    .await;
    assert!(answer.starts_with("HTTP/1.0 201 Created\r\n"), "{answer}");
    assert!(
        answer.contains("location: http://127.0.0.1:9292/v2/images/"),
        "{answer}"
    );
}

#[tokio::test]
async fn continue_is_not_said_to_an_upload_that_is_refused() {
    let app = App::new();
    let address = serve(&app).await;
    let path = app.create(&json!({})).await;
    let answer = talk(
        address,
        &format!(
            "PUT {path}/file HTTP/1.1\r\nHost: x\r\nX-Auth-Token: {MEMBER}\r\nExpect: 100-continue\r\n\
             Content-Type: application/octet-stream\r\nContent-Length: 4\r\n\r\n"
        ),
    )
    .await;
    assert!(answer.starts_with("HTTP/1.1 400 Bad Request\r\n"), "{answer}");
    assert!(!answer.contains("100 Continue"), "{answer}");
}

#[tokio::test]
async fn continue_is_said_to_an_upload_that_may_go_on() {
    let app = App::new();
    let address = serve(&app).await;
    let path = app
        .create(&json!({"disk_format": "raw", "container_format": "bare"}))
        .await;
    let mut socket = TcpStream::connect(address).await.unwrap();
    let head = format!(
        "PUT {path}/file HTTP/1.1\r\nHost: x\r\nX-Auth-Token: {MEMBER}\r\nExpect: 100-continue\r\nConnection: close\r\n\
         Content-Type: application/octet-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
    );
    socket.write_all(head.as_bytes()).await.unwrap();
    let mut interim = [0; 25];
    socket.read_exact(&mut interim).await.unwrap();
    assert_eq!(&interim, b"HTTP/1.1 100 Continue\r\n\r\n");
    socket.write_all(b"4\r\ndata\r\n0\r\n\r\n").await.unwrap();
    let mut answer = String::new();
    socket.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 204 No Content\r\n"), "{answer}");
    assert_eq!(app.get(&path).await.json()["size"], 4);
}

#[tokio::test]
async fn an_upload_that_breaks_off_leaves_the_image_queued() {
    let app = App::new();
    let address = serve(&app).await;
    let path = app
        .create(&json!({"disk_format": "raw", "container_format": "bare"}))
        .await;
    let mut socket = TcpStream::connect(address).await.unwrap();
    let head = format!(
        "PUT {path}/file HTTP/1.1\r\nHost: x\r\nX-Auth-Token: {MEMBER}\r\nContent-Length: 100\r\n\
         Content-Type: application/octet-stream\r\n\r\npart"
    );
    socket.write_all(head.as_bytes()).await.unwrap();
    let status = async || app.get(&path).await.json()["status"].clone();
    while status().await != "saving" {
        tokio::task::yield_now().await;
    }
    drop(socket);
    while status().await == "saving" {
        tokio::task::yield_now().await;
    }
    assert_eq!(status().await, "queued");
}

#[tokio::test]
async fn a_download_of_a_file_that_was_cut_breaks_the_connection() {
    let app = App::new();
    let address = serve(&app).await;
    let path = app
        .create(&json!({"disk_format": "raw", "container_format": "bare"}))
        .await;
    let mut upload = request(Method::PUT, &format!("{path}/file"), MEMBER);
    upload
        .headers_mut()
        .insert("content-type", "application/octet-stream".parse().unwrap());
    *upload.body_mut() = Body::from(vec![b'x'; 4 * 1024 * 1024]);
    assert_eq!(app.send(upload).await.status, 204);
    let id = path.rsplit('/').next().unwrap();
    let blob = app.fixture.datadir().join(id);
    std::fs::OpenOptions::new()
        .write(true)
        .open(blob)
        .unwrap()
        .set_len(2_500_000)
        .unwrap();

    let get =
        format!("GET {path}/file HTTP/1.1\r\nHost: x\r\nX-Auth-Token: {MEMBER}\r\nConnection: close\r\n\r\n");
    let answer = talk(address, &get).await;
    let received = answer.split_once("\r\n\r\n").map_or(0, |(_, body)| body.len());
    assert!(received < 4 * 1024 * 1024, "{received} bytes");
}
