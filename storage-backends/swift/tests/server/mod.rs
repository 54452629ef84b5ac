//! Real servers, started by `tests/services` and shared by all tests, and another client to see what is there.

#![allow(dead_code)] // Not every test uses all of it.

use std::{collections::HashMap, path::PathBuf, process::Command, sync::Arc, time::Duration};

use reqwest::{Method, header::HeaderMap};
use saccade_store_contract::{BlobName, Location};
use saccade_store_swift::{Secret, SwiftStore, SwiftStoreConfig};
use tokio::sync::OnceCell;
use uuid::Uuid;

/// Which server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// OpenStack's own.
    Swift,
    /// Ceph's gateway.
    Rgw,
}

/// Where a server is, and who may use it.
#[derive(Debug, Clone)]
pub(crate) struct Server {
    pub(crate) kind: Kind,
    pub(crate) auth: String,
    pub(crate) user: String,
    pub(crate) key: String,
    /// The account's URL.
    pub(crate) storage: String,
    pub(crate) token: String,
    /// Keystone's address, a user and his key, where there is one.
    pub(crate) keystone: Option<[String; 3]>,
    http: reqwest::Client,
}

impl Server {
    /// Starts it, or finds it running.
    pub(crate) async fn up(kind: Kind) -> Self {
        static SWIFT: OnceCell<HashMap<String, String>> = OnceCell::const_new();
        static RGW: OnceCell<HashMap<String, String>> = OnceCell::const_new();
        let (said, name) = match kind {
            Kind::Swift => (&SWIFT, "swift"),
            Kind::Rgw => (&RGW, "ceph"),
        };
        let said = said
            .get_or_init(|| async move { tokio::task::spawn_blocking(move || start(name)).await.unwrap() })
            .await;
        let http = http();
        let (user, key) = (&said["SWIFT_USER"], &said["SWIFT_KEY"]);
        let log_in = http.get(&said["SWIFT_AUTH"]).header("x-auth-user", user);
        let answer = log_in.header("x-auth-key", key).send().await.unwrap();
        let text = |name: &str| answer.headers()[name].to_str().unwrap().to_owned();
        Self {
            kind,
            auth: said["SWIFT_AUTH"].clone(),
            user: user.clone(),
            key: key.clone(),
            storage: text("x-storage-url"),
            token: text("x-auth-token"),
            keystone: said
                .get("KEYSTONE")
                .map(|address| [address, &said["KEYSTONE_USER"], &said["KEYSTONE_KEY"]].map(String::clone)),
            http,
        }
    }

    /// `http://host:port`, and the path of the account.
    pub(crate) fn parts(&self) -> (String, String) {
        let url = reqwest::Url::parse(&self.storage).unwrap();
        let port = url.port().unwrap();
        (
            format!("http://{}:{port}", url.host_str().unwrap()),
            url.path().to_owned(),
        )
    }
}

/// Straight to the server, without TLS.
pub(crate) fn http() -> reqwest::Client {
    // The store's own client has made its choice of TLS; this one speaks none.
    let tls = saccade_outgoing::tls_client(&saccade_outgoing::Verification::Off).unwrap();
    reqwest::Client::builder()
        .tls_backend_preconfigured(tls)
        .no_proxy()
        .timeout(Duration::from_secs(60))
        .build()
        .unwrap()
}

fn start(name: &str) -> HashMap<String, String> {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../..");
    let home = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("../services");
    let output = Command::new(root.join("tests/services").join(name))
        .arg("up")
        .arg(home.join(name))
        .output()
        .unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    let why = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "no {name}: {why}");
    said.lines()
        .filter_map(|line| line.split_once('='))
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect()
}

/// A container of a test's own. Its requests are made by another client than the store's, straight to the server.
#[derive(Debug, Clone)]
pub(crate) struct Container {
    pub(crate) server: Server,
    pub(crate) name: String,
}

impl Container {
    /// An empty one.
    pub(crate) async fn new(kind: Kind) -> Self {
        let container = Self::missing(kind).await;
        let (status, said) = container.send(Method::PUT, "", &[], b"").await;
        assert_eq!(status, 201, "{said}");
        container
    }

    /// One that is not there.
    pub(crate) async fn missing(kind: Kind) -> Self {
        Self {
            server: Server::up(kind).await,
            // Without a hyphen, which only objects have.
            name: format!("test{}", Uuid::new_v4().simple()),
        }
    }

    /// A request of an object, or of the container.
    pub(crate) async fn send(
        &self,
        method: Method,
        object: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> (u16, String) {
        let (status, _, body) = self.ask(method, object, headers, body).await;
        (status, String::from_utf8_lossy(&body).into_owned())
    }

    pub(crate) async fn ask(
        &self,
        method: Method,
        object: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> (u16, HeaderMap, Vec<u8>) {
        let separator = if object.is_empty() || object.starts_with('?') {
            ""
        } else {
            "/"
        };
        let url = format!("{}/{}{separator}{object}", self.server.storage, self.name);
        let mut request = self
            .server
            .http
            .request(method, url)
            .header("x-auth-token", &self.server.token)
            .header("content-length", body.len())
            .body(body.to_vec());
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let response = request.send().await.unwrap();
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        (status, headers, response.bytes().await.unwrap().to_vec())
    }

    pub(crate) async fn put(&self, object: &str, bytes: &[u8]) {
        let (status, said) = self.send(Method::PUT, object, &[], bytes).await;
        assert_eq!(status, 201, "{said}");
    }

    pub(crate) async fn get(&self, object: &str) -> Option<String> {
        let (status, said) = self.send(Method::GET, object, &[], b"").await;
        (status == 200).then_some(said)
    }

    pub(crate) async fn delete(&self, object: &str) {
        self.send(Method::DELETE, object, &[], b"").await;
    }

    /// Names of the objects.
    pub(crate) async fn inventory(&self) -> Vec<String> {
        let (status, said) = self.send(Method::GET, "?format=plain", &[], b"").await;
        if status == 404 {
            return Vec::new();
        }
        assert!(status == 200 || status == 204, "{said}");
        said.lines().map(str::to_owned).collect()
    }

    /// Glance's defaults, but for segments as short as they may be; with requests by way of an address.
    pub(crate) fn config(&self, by_way_of: Option<&str>) -> SwiftStoreConfig {
        let (_, path) = self.server.parts();
        SwiftStoreConfig {
            swift_store_auth_address: Some(self.server.auth.clone()),
            swift_store_auth_version: "1".to_owned(),
            swift_store_user: Some(self.server.user.clone()),
            swift_store_key: Some(Secret::new(self.server.key.clone())),
            swift_store_endpoint: by_way_of.map(|host| format!("{host}{path}")),
            swift_store_container: self.name.clone(),
            swift_store_large_object_chunk_size: 1,
            ..SwiftStoreConfig::new("test")
        }
    }

    pub(crate) fn store(&self) -> Arc<SwiftStore> {
        Arc::new(SwiftStore::open(self.config(None)).unwrap())
    }

    pub(crate) fn location(&self, name: BlobName) -> Location {
        Location::new(format!("swift+config://ref1/{}/{name}", self.name))
    }
}
