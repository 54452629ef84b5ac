//! What the store's own token is sent for: nothing by which an object's bytes or length reach anybody.

use std::sync::{Arc, Mutex};

use saccade_store_contract::{Endpoint, ErrorKind, Location, OnBehalf, Result, Store};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

use super::MultiTenantStore;
use crate::{Secret, config::SwiftStoreConfig};

const ID: &str = "6a1c2b3d-0000-4000-8000-000000000001";

/// A server that lets the store's own account do everything and nobody else anything, and writes down who asks for what.
struct Server {
    port: u16,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Server {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let asked = Arc::new(Mutex::new(Vec::new()));
        let kept = Arc::clone(&asked);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, port, Arc::clone(&kept)));
            }
        });
        Self { port, asked }
    }

    fn open(&self) -> MultiTenantStore {
        MultiTenantStore::open(SwiftStoreConfig {
            swift_store_multi_tenant: true,
            swift_store_auth_version: "1".to_owned(),
            swift_store_auth_address: Some(format!("http://127.0.0.1:{}/auth/v1.0", self.port)),
            swift_store_user: Some("service:glance".to_owned()),
            swift_store_key: Some(Secret::new("key".to_owned())),
            ..SwiftStoreConfig::new("s")
        })
        .unwrap()
    }

    fn location(&self) -> Location {
        Location::new(format!(
            "swift+http://127.0.0.1:{}/v1/AUTH_a/glance_{ID}/{ID}",
            self.port
        ))
    }

    fn caller(&self) -> OnBehalf {
        let endpoint = Endpoint {
            service_type: "object-store".to_owned(),
            region: None,
            interface: "public".to_owned(),
            url: format!("http://127.0.0.1:{}/v1/AUTH_a", self.port),
        };
        OnBehalf::new("theirs", vec![endpoint])
    }

    fn asked(&self) -> Vec<String> {
        std::mem::take(&mut self.asked.lock().unwrap())
    }
}

async fn serve(mut stream: TcpStream, port: u16, asked: Arc<Mutex<Vec<String>>>) {
    let mut request = Vec::new();
    while !request.ends_with(b"\r\n\r\n") {
        match stream.read_u8().await {
            Ok(byte) => request.push(byte),
            Err(_) => return,
        }
    }
    let request = String::from_utf8_lossy(&request).into_owned();
    let mut words = request.split(' ');
    let (method, path) = (words.next().unwrap(), words.next().unwrap());
    let token = request
        .lines()
        .find_map(|line| line.strip_prefix("x-auth-token: "));
    let answer = match token {
        _ if path.starts_with("/auth/") => format!(
            "200 OK\r\nx-storage-url: http://127.0.0.1:{port}/v1/AUTH_service\r\nx-auth-token: own\r\ncontent-length: 0"
        ),
        Some("own") => "200 OK\r\ncontent-length: 6\r\netag: x".to_owned(),
        _ => "403 Forbidden\r\ncontent-length: 0".to_owned(),
    };
    if let Some(token) = token {
        asked.lock().unwrap().push(format!("{token}: {method} {path}"));
    }
    let body = if method == "GET" && answer.contains(": 6") {
        "secret"
    } else {
        ""
    };
    let answer = format!("HTTP/1.1 {answer}\r\nconnection: close\r\n\r\n{body}");
    let _ = stream.write_all(answer.as_bytes()).await;
}

fn kind<T>(result: Result<T>) -> ErrorKind {
    result.err().expect("an error").kind()
}

#[tokio::test]
async fn nobody_reads_with_the_stores_own_token() {
    let server = Server::start().await;
    let (alone, location) = (server.open(), server.location());
    let theirs = alone.on_behalf(&server.caller()).unwrap();
    for range in [None, Some(0..3), Some(2..2)] {
        assert_eq!(
            kind(theirs.read(&location, range.clone()).await),
            ErrorKind::Denied
        );
        assert_eq!(kind(alone.read(&location, range).await), ErrorKind::Denied);
    }
    assert_eq!(kind(theirs.size(&location).await), ErrorKind::Denied);
    assert_eq!(kind(theirs.admit(&location).await), ErrorKind::Denied);
    assert_eq!(kind(alone.size(&location).await), ErrorKind::Denied);
    let asked = server.asked();
    assert!(!asked.is_empty(), "they were asked for with the caller's token");
    assert!(
        asked.iter().all(|asked| asked.starts_with("theirs: ")),
        "{asked:?}"
    );
}

#[tokio::test]
async fn what_is_deleted_is_looked_at_itself_and_not_where_it_leads() {
    let server = Server::start().await;
    let (alone, location) = (server.open(), server.location());
    let theirs = alone.on_behalf(&server.caller()).unwrap();
    theirs.prepare_delete(&location).await.unwrap();
    alone.prepare_delete(&location).await.unwrap();
    let asked = server.asked();
    let own: Vec<_> = asked.iter().filter(|asked| asked.starts_with("own: ")).collect();
    assert!(own.len() >= 2, "{asked:?}");
    for asked in own {
        assert!(asked.ends_with("?symlink=get"), "{asked}");
    }
}
