//! A server that is content with every request and takes no long body: what its clients hold for it then is all that they ever hold.

#![allow(clippy::unwrap_used)]

use std::{io, net::Ipv4Addr};

use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::{TcpListener, TcpStream},
    task::{JoinHandle, JoinSet},
};

/// Longer bodies are not read.
const SHORT: u64 = 64 << 10;

/// The server; gone with its connections when it is dropped.
#[derive(Debug)]
pub struct Stalled {
    /// `http://host:port`.
    pub url: String,
    accepting: JoinHandle<()>,
}

impl Stalled {
    /// Starts it on a free port.
    pub async fn start() -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let answer = answer(&url);
        let accepting = tokio::spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((socket, _)) = listener.accept().await {
                let answer = answer.clone();
                connections.spawn(async move { serve(socket, &answer).await });
            }
        });
        Self { url, accepting }
    }
}

impl Drop for Stalled {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

/// What suits any request of S3 and Swift that an upload begins with.
fn answer(url: &str) -> (String, &'static str) {
    let body = "<InitiateMultipartUploadResult><UploadId>1</UploadId></InitiateMultipartUploadResult>";
    let head = format!(
        "HTTP/1.1 200 OK\r\nETag: \"1\"\r\nX-Auth-Token: 1\r\nX-Storage-Url: {url}/v1/AUTH_1\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    (head, body)
}

async fn serve(socket: TcpStream, answer: &(String, &'static str)) -> io::Result<()> {
    let mut stream = BufReader::new(socket);
    loop {
        let (mut length, mut is_head, mut line) = (0, None, String::new());
        loop {
            line.clear();
            if stream.read_line(&mut line).await? == 0 {
                return Ok(());
            }
            let lower = line.trim_end().to_ascii_lowercase();
            is_head.get_or_insert(lower.starts_with("head "));
            if let Some(value) = lower.strip_prefix("content-length:") {
                length = value.trim().parse().unwrap_or(u64::MAX);
            }
            if lower.starts_with("transfer-encoding:") {
                length = u64::MAX;
            }
            if lower.is_empty() {
                break;
            }
        }
        if length > SHORT {
            return std::future::pending().await;
        }
        let mut body = vec![0; usize::try_from(length).unwrap()];
        stream.read_exact(&mut body).await?;
        let (head, body) = answer;
        stream.write_all(head.as_bytes()).await?;
        if is_head != Some(true) {
            stream.write_all(body.as_bytes()).await?;
        }
    }
}
