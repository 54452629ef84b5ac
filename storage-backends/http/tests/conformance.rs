//! The http store keeps the contract of stores that read, over a web server that others have written.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

use std::{fs, net::Ipv4Addr, sync::Arc};

use async_trait::async_trait;
use hyper_util::{rt::TokioIo, service::TowerToHyperService};
use saccade_outgoing::{Filter, FilterOptions, Proxies};
use saccade_store_conformance::{Harness, conformance_suite};
use saccade_store_contract::{BlobName, Location, Store};
use saccade_store_http::{HttpStore, HttpStoreConfig};
use tempfile::TempDir;
use tokio::{net::TcpListener, task::JoinHandle};
use tower_http::services::ServeDir;

struct OverAWebServer {
    files: TempDir,
    port: u16,
    server: JoinHandle<()>,
    store: Arc<HttpStore>,
}

fn open() -> Arc<HttpStore> {
    let options = FilterOptions {
        allowed_hosts: vec!["127.0.0.1".to_owned()],
        ..FilterOptions::default()
    };
    let config = HttpStoreConfig {
        id: "test".to_owned(),
        https_ca_certificates_file: None,
        https_insecure: true,
        http_proxy_information: Proxies::default(),
        filter: Filter::new(options).unwrap(),
    };
    Arc::new(HttpStore::open(config).unwrap())
}

#[async_trait]
impl Harness for OverAWebServer {
    async fn start() -> Self {
        let files = TempDir::new().unwrap();
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let service = ServeDir::new(files.path());
        let server = tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let service = TowerToHyperService::new(service.clone());
                tokio::spawn(
                    hyper::server::conn::http1::Builder::new()
                        .serve_connection(TokioIo::new(stream), service),
                );
            }
        });
        Self {
            files,
            port,
            server,
            store: open(),
        }
    }

    fn store(&self) -> Arc<dyn Store> {
        Arc::clone(&self.store) as Arc<dyn Store>
    }

    async fn restart(&mut self) {
        self.store = open();
    }

    async fn inventory(&self) -> Vec<String> {
        let mut names: Vec<_> = fs::read_dir(self.files.path())
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    async fn plant(&self, name: BlobName, bytes: &[u8]) {
        fs::write(self.files.path().join(name.to_string()), bytes).unwrap();
    }

    fn location(&self, name: BlobName) -> Location {
        Location::new(format!("http://127.0.0.1:{}/{name}", self.port))
    }

    fn foreign_locations(&self) -> Vec<Location> {
        [
            "",
            "http://",
            "http:///x",
            "file:///etc/passwd",
            "ftp://127.0.0.1/x",
            "swift+http://127.0.0.1/x",
            "http://2130706433/x",
            "http://127.1/x",
            "http://0x7f000001/x",
            "http://127.0.0.1:0/x",
            "http://127.0.0.1\\@h/x",
            "http://127.0.0.1/x\r\nHost: h",
        ]
        .map(Location::new)
        .into()
    }

    fn chunks_held(&self) -> Option<usize> {
        None
    }
}

impl Drop for OverAWebServer {
    fn drop(&mut self) {
        self.server.abort();
    }
}

conformance_suite!(read_only OverAWebServer);
