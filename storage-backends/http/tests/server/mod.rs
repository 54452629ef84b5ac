//! A web server that does what a test says, byte by byte; and stores that ask it.

use std::{
    collections::HashMap,
    io,
    net::{IpAddr, Ipv4Addr},
    sync::{Arc, Mutex},
    time::Duration,
};

use async_trait::async_trait;
use saccade_outgoing::{
    Client, ClientOptions, Filter, FilterOptions, Limits, Proxies, Resolver, Verification,
};
use saccade_store_http::HttpStore;
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::TcpListener,
    task::JoinHandle,
};
use tokio_rustls::TlsAcceptor;

/// What a server does with a connection, one after the other; then it closes it.
#[derive(Debug, Clone)]
pub(crate) enum Do {
    Send(Vec<u8>),
    Wait(Duration),
    /// One byte at a time, with this pause.
    Drip(Vec<u8>, Duration),
}

pub(crate) struct Server {
    pub(crate) port: u16,
    asked: Arc<Mutex<Vec<String>>>,
    task: JoinHandle<()>,
}

trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}
impl<S: AsyncRead + AsyncWrite + Unpin + Send> Stream for S {}

impl Server {
    /// Answers by the number of the request, from 0, and its head.
    pub(crate) async fn start(answer: impl Fn(usize, &str) -> Vec<Do> + Send + Sync + 'static) -> Self {
        Self::over(None, answer).await
    }

    /// The same over TLS.
    pub(crate) async fn over(
        tls: Option<TlsAcceptor>,
        answer: impl Fn(usize, &str) -> Vec<Do> + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let asked = Arc::new(Mutex::new(Vec::new()));
        let heads = Arc::clone(&asked);
        let answer = Arc::new(answer);
        let task = tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let (tls, heads, answer) = (tls.clone(), Arc::clone(&heads), Arc::clone(&answer));
                tokio::spawn(async move {
                    let mut stream: Box<dyn Stream> = match tls {
                        Some(tls) => Box::new(tls.accept(stream).await.ok()?),
                        None => Box::new(stream),
                    };
                    let head = head(&mut stream).await?;
                    let number = {
                        let mut heads = heads.lock().unwrap();
                        heads.push(head.clone());
                        heads.len() - 1
                    };
                    // A client that goes away ends it.
                    act(&mut stream, answer(number, &head)).await.ok()
                });
            }
        });
        Self { port, asked, task }
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.port)
    }

    /// The heads of all requests.
    pub(crate) fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn head(stream: &mut (impl AsyncRead + Unpin)) -> Option<String> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.ok()?);
    }
    String::from_utf8(head).ok()
}

async fn act(stream: &mut (impl AsyncWrite + Unpin), script: Vec<Do>) -> io::Result<()> {
    for step in script {
        match step {
            Do::Send(bytes) => stream.write_all(&bytes).await?,
            Do::Wait(time) => tokio::time::sleep(time).await,
            Do::Drip(bytes, pause) => {
                for byte in bytes {
                    stream.write_all(&[byte]).await?;
                    stream.flush().await?;
                    tokio::time::sleep(pause).await;
                }
            }
        }
        stream.flush().await?;
    }
    stream.shutdown().await
}

/// An answer: status and header fields, one a line, and the body; the length is not told unless a field says so.
pub(crate) fn answer(header: &str, body: &[u8]) -> Vec<Do> {
    let header = header.replace('\n', "\r\n");
    let head = format!("HTTP/1.1 {header}\r\nConnection: close\r\n\r\n");
    vec![Do::Send([head.as_bytes(), body].concat())]
}

/// 200, with a length.
pub(crate) fn whole(body: &[u8]) -> Vec<Do> {
    answer(&format!("200 OK\nContent-Length: {}", body.len()), body)
}

/// Names of a test; each may be asked often, and the last answer stays.
#[derive(Debug, Default)]
pub(crate) struct Names(pub(crate) Mutex<HashMap<String, Vec<IpAddr>>>);

impl Names {
    pub(crate) fn of<const N: usize>(names: [(&str, IpAddr); N]) -> Arc<Self> {
        let names = names.map(|(name, address)| (name.to_owned(), vec![address]));
        Arc::new(Self(Mutex::new(names.into())))
    }
}

#[async_trait]
impl Resolver for Names {
    async fn resolve(&self, name: &str) -> io::Result<Vec<IpAddr>> {
        let mut names = self.0.lock().unwrap();
        let addresses = names.get_mut(name).ok_or(io::ErrorKind::NotFound)?;
        Ok(match addresses.len() {
            1 => addresses.clone(),
            _ => vec![addresses.remove(0)],
        })
    }
}

pub(crate) fn limits() -> Limits {
    Limits {
        connect: Duration::from_millis(500),
        answer: Duration::from_secs(2),
        opening: Duration::from_secs(10),
        between_reads: Duration::from_millis(500),
        slowest: 1000,
        ..Limits::default()
    }
}

/// Options with which these hosts alone may be asked, whatever their addresses; all hosts where there are none.
pub(crate) fn options(allowed_hosts: &[&str]) -> ClientOptions {
    let filter = FilterOptions {
        allowed_hosts: allowed_hosts.iter().map(|host| (*host).to_owned()).collect(),
        allowed_ports: Vec::new(),
        ..FilterOptions::default()
    };
    ClientOptions {
        filter: Filter::new(filter).unwrap(),
        verification: Verification::Off,
        proxies: Proxies::default(),
        limits: limits(),
        resolver: Names::of([]),
    }
}

pub(crate) fn store(options: ClientOptions) -> HttpStore {
    HttpStore::with_client("test", Client::new(options).unwrap())
}

/// A store for servers on this machine.
pub(crate) fn local() -> HttpStore {
    store(options(&["127.0.0.1"]))
}
