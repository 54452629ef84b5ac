//! A real gateway, started by `tests/services/ceph` and shared by all tests, and another client to see what is there.

#![allow(dead_code)] // Not every test uses all of it.

use std::{collections::HashMap, path::PathBuf, process::Command, sync::Arc, time::Duration};

use rusty_s3::{Method, signing::sign};
use saccade_store_contract::{BlobName, Location};
use saccade_store_s3::{S3Store, S3StoreConfig, Secret};
use tokio::sync::OnceCell;
use uuid::Uuid;

/// Where the gateway is, and who may use it.
#[derive(Debug, Clone)]
pub(crate) struct Rgw {
    pub(crate) host: String,
    pub(crate) access_key: String,
    pub(crate) secret_key: String,
}

impl Rgw {
    /// Starts it, or finds it running.
    pub(crate) async fn up() -> Self {
        static UP: OnceCell<Rgw> = OnceCell::const_new();
        UP.get_or_init(|| async { tokio::task::spawn_blocking(start).await.unwrap() })
            .await
            .clone()
    }
}

fn start() -> Rgw {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../..");
    let home = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("../services/ceph");
    let output = Command::new(root.join("tests/services/ceph"))
        .arg("up")
        .arg(&home)
        .output()
        .unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    let why = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "no Ceph: {why}");
    let said: HashMap<_, _> = said.lines().filter_map(|line| line.split_once('=')).collect();
    Rgw {
        host: said["S3_HOST"].to_owned(),
        access_key: said["S3_ACCESS_KEY"].to_owned(),
        secret_key: said["S3_SECRET_KEY"].to_owned(),
    }
}

/// A bucket of a test's own. Its requests are made by another client than the store's, straight to the gateway.
#[derive(Debug, Clone)]
pub(crate) struct Bucket {
    pub(crate) rgw: Rgw,
    pub(crate) name: String,
    http: reqwest::Client,
}

impl Bucket {
    /// An empty one.
    pub(crate) async fn new() -> Self {
        let bucket = Self::missing().await;
        assert_eq!(bucket.send(Method::Put, "", &[], b"").await.0, 200);
        bucket
    }

    /// One that is not there.
    pub(crate) async fn missing() -> Self {
        // The store's own client has made its choice of TLS; this one speaks none.
        let tls = saccade_outgoing::tls_client(&saccade_outgoing::Verification::Off).unwrap();
        Self {
            rgw: Rgw::up().await,
            // Without a hyphen, which only keys have.
            name: format!("test{}", Uuid::new_v4().simple()),
            http: reqwest::Client::builder()
                .tls_backend_preconfigured(tls)
                .no_proxy()
                .timeout(Duration::from_secs(60))
                .build()
                .unwrap(),
        }
    }

    /// A request of a key, or of the bucket.
    pub(crate) async fn send(
        &self,
        method: Method,
        key: &str,
        query: &[(&str, &str)],
        body: &[u8],
    ) -> (u16, String) {
        let path = if key.is_empty() {
            String::new()
        } else {
            format!("/{key}")
        };
        let url = format!("{}/{}{path}", self.rgw.host, self.name).parse().unwrap();
        let url = sign(
            &jiff::Timestamp::now(),
            method,
            url,
            &self.rgw.access_key,
            &self.rgw.secret_key,
            None,
            "us-east-1",
            600,
            query.iter().copied(),
            std::iter::empty(),
        );
        let method: reqwest::Method = method.to_str().parse().unwrap();
        let request = self.http.request(method, url).body(body.to_vec());
        let request = request.header("content-length", body.len());
        let response = request.send().await.unwrap();
        (response.status().as_u16(), response.text().await.unwrap())
    }

    pub(crate) async fn put(&self, key: &str, bytes: &[u8]) {
        let (status, said) = self.send(Method::Put, key, &[], bytes).await;
        assert_eq!(status, 200, "{said}");
    }

    pub(crate) async fn get(&self, key: &str) -> Option<String> {
        let (status, said) = self.send(Method::Get, key, &[], b"").await;
        (status == 200).then_some(said)
    }

    /// Keys, and open uploads with the number of their parts.
    pub(crate) async fn inventory(&self) -> Vec<String> {
        let (status, objects) = self.send(Method::Get, "", &[("list-type", "2")], b"").await;
        if status == 404 {
            return Vec::new();
        }
        assert_eq!(status, 200, "{objects}");
        assert!(objects.contains("<IsTruncated>false<"), "{objects}");
        let mut found: Vec<_> = elements(&objects, "Key").map(str::to_owned).collect();
        for (key, upload) in self.uploads().await {
            let query = [("uploadId", upload.as_str())];
            let (_, parts) = self.send(Method::Get, &key, &query, b"").await;
            let parts = elements(&parts, "PartNumber").count();
            found.push(format!("{key}?uploadId={upload} ({parts} parts)"));
        }
        found
    }

    async fn uploads(&self) -> Vec<(String, String)> {
        let (status, uploads) = self.send(Method::Get, "", &[("uploads", "")], b"").await;
        assert_eq!(status, 200, "{uploads}");
        elements(&uploads, "Key")
            .zip(elements(&uploads, "UploadId"))
            .map(|(key, upload)| (key.to_owned(), upload.to_owned()))
            .collect()
    }

    /// Begins an upload of somebody else's.
    pub(crate) async fn begin_upload(&self, key: &str) -> String {
        let (status, said) = self.send(Method::Post, key, &[("uploads", "")], b"").await;
        assert_eq!(status, 200, "{said}");
        elements(&said, "UploadId").next().unwrap().to_owned()
    }

    /// Glance's defaults, but for parts as short as they may be.
    pub(crate) fn config(&self, host: &str) -> S3StoreConfig {
        let secret = |text: &str| Secret::new(text);
        let (key, secret) = (secret(&self.rgw.access_key), secret(&self.rgw.secret_key));
        S3StoreConfig {
            s3_store_large_object_chunk_size: 5,
            s3_store_thread_pools: 3,
            ..S3StoreConfig::new("test", host, key, secret, &self.name)
        }
    }

    pub(crate) fn store(&self) -> Arc<S3Store> {
        Arc::new(S3Store::open(self.config(&self.rgw.host)).unwrap())
    }

    pub(crate) fn location(&self, name: BlobName) -> Location {
        let host = self.rgw.host.strip_prefix("http://").unwrap();
        Location::new(format!("s3://{host}/{}/{name}", self.name))
    }
}

fn elements<'a>(xml: &'a str, name: &str) -> impl Iterator<Item = &'a str> + use<'a> {
    let (open, close) = (format!("<{name}>"), format!("</{name}>"));
    let mut rest = xml;
    std::iter::from_fn(move || {
        let (_, after) = rest.split_once(&open)?;
        let (value, after) = after.split_once(&close)?;
        rest = after;
        Some(value)
    })
}
