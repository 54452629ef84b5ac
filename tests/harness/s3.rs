//! A real S3 server, Ceph's gateway, started by `tests/services/ceph` and shared by all tests; and a bucket of a test's own.

use super::servers;
use rusty_s3::{Method, signing::sign};
use std::{
    net::SocketAddr,
    sync::OnceLock,
    thread,
    time::{Duration, Instant},
};
use ureq::{Agent, http};

/// How long a server that has just been started may take to its first bucket.
const FIRST_BUCKET: Duration = Duration::from_secs(60);

/// Where the server is, and who may use it.
#[derive(Clone, Debug)]
struct Server {
    /// `http://127.0.0.1:PORT`.
    host: String,
    access_key: String,
    secret_key: String,
}

impl Server {
    /// Starts it, or finds it running.
    fn up() -> Self {
        static UP: OnceLock<Server> = OnceLock::new();
        UP.get_or_init(|| {
            let said = servers::up("ceph");
            Self {
                host: said["S3_HOST"].clone(),
                access_key: said["S3_ACCESS_KEY"].clone(),
                secret_key: said["S3_SECRET_KEY"].clone(),
            }
        })
        .clone()
    }
}

/// A bucket, seen by another client than the daemon's.
#[derive(Clone)]
pub(crate) struct Bucket {
    server: Server,
    name: String,
}

impl Bucket {
    /// An empty one.
    pub(crate) fn new() -> Self {
        // Without a hyphen, which only keys have.
        let name = format!("test{}", uuid::Uuid::new_v4().simple());
        let bucket = Self {
            server: Server::up(),
            name,
        };
        // A gateway that has just come up makes its pools with the first bucket, and refuses meanwhile.
        let deadline = Instant::now() + FIRST_BUCKET;
        loop {
            match bucket.try_send(Method::Put, "", &[], &[]) {
                Ok((200, _)) => return bucket,
                Ok((status, said)) if status < 500 || Instant::now() > deadline => {
                    panic!("no bucket: {status} {}", String::from_utf8_lossy(&said))
                }
                Err(error) if Instant::now() > deadline => panic!("no bucket: {error}"),
                _ => thread::sleep(Duration::from_millis(200)),
            }
        }
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// The server's address.
    pub(crate) fn address(&self) -> SocketAddr {
        let host = self.server.host.strip_prefix("http://").unwrap();
        host.parse().unwrap()
    }

    /// The keys of whoever may use it.
    pub(crate) fn keys(&self) -> (&str, &str) {
        (&self.server.access_key, &self.server.secret_key)
    }

    /// The options of a store in it, with the shortest parts, at this address: the server's or a proxy's.
    pub(crate) fn options(&self, address: SocketAddr) -> String {
        let (access_key, secret_key) = self.keys();
        format!(
            "s3_store_host = http://{address}\ns3_store_bucket = {}\ns3_store_access_key = {access_key}\n\
             s3_store_secret_key = {secret_key}\ns3_store_large_object_size = 5\n\
             s3_store_large_object_chunk_size = 5\n",
            self.name
        )
    }

    /// Every key in it, those of marks and open uploads too.
    pub(crate) fn inventory(&self) -> Vec<String> {
        let (status, objects) = self.send(Method::Get, "", &[("list-type", "2")], &[]);
        let objects = String::from_utf8(objects).unwrap();
        assert_eq!(status, 200, "{objects}");
        assert!(objects.contains("<IsTruncated>false<"), "more than one page");
        let (status, uploads) = self.send(Method::Get, "", &[("uploads", "")], &[]);
        let uploads = String::from_utf8(uploads).unwrap();
        assert_eq!(status, 200, "{uploads}");
        let uploads = elements(&uploads, "Key")
            .into_iter()
            .zip(elements(&uploads, "UploadId"));
        elements(&objects, "Key")
            .into_iter()
            .chain(uploads.map(|(key, upload)| {
                let (_, parts) = self.send(Method::Get, &key, &[("uploadId", &upload)], &[]);
                match elements(&String::from_utf8(parts).unwrap(), "PartNumber").is_empty() {
                    true => format!("{key}{NO_PARTS}"),
                    false => format!("{key} (an upload)"),
                }
            }))
            .collect()
    }

    /// Puts somebody else's object there.
    pub(crate) fn plant(&self, key: &str) {
        self.put(key, &[]);
    }

    /// The same, with these bytes.
    pub(crate) fn put(&self, key: &str, bytes: &[u8]) {
        assert_eq!(self.send(Method::Put, key, &[], bytes).0, 200);
    }

    /// The bytes of an object.
    pub(crate) fn read(&self, key: &str) -> Vec<u8> {
        let (status, bytes) = self.send(Method::Get, key, &[], &[]);
        assert_eq!(status, 200, "{key}");
        bytes
    }

    /// Begins somebody else's upload, and sends a part of it.
    pub(crate) fn begin_upload(&self, key: &str) {
        let (status, said) = self.send(Method::Post, key, &[("uploads", "")], &[]);
        assert_eq!(status, 200);
        let upload = elements(&String::from_utf8(said).unwrap(), "UploadId").remove(0);
        let query = [("partNumber", "1"), ("uploadId", &*upload)];
        assert_eq!(self.send(Method::Put, key, &query, b"theirs").0, 200);
    }

    fn send(&self, method: Method, key: &str, query: &[(&str, &str)], body: &[u8]) -> (u16, Vec<u8>) {
        self.try_send(method, key, query, body).unwrap()
    }

    fn try_send(
        &self,
        method: Method,
        key: &str,
        query: &[(&str, &str)],
        body: &[u8],
    ) -> Result<(u16, Vec<u8>), ureq::Error> {
        let path = match key {
            "" => String::new(),
            key => format!("/{key}"),
        };
        let url = sign(
            &jiff::Timestamp::now(),
            method,
            format!("{}/{}{path}", self.server.host, self.name)
                .parse()
                .unwrap(),
            &self.server.access_key,
            &self.server.secret_key,
            None,
            "us-east-1",
            600,
            query.iter().copied(),
            std::iter::empty(),
        );
        let agent: Agent = Agent::config_builder().http_status_as_error(false).build().into();
        let request = http::Request::builder().method(method.to_str()).uri(url.as_str());
        let response = match method {
            Method::Put | Method::Post => agent.run(request.body(body).unwrap()),
            _ => agent.run(request.body(()).unwrap()),
        };
        let mut response = response?;
        let bytes = response.body_mut().with_config().limit(1 << 30).read_to_vec()?;
        Ok((response.status().as_u16(), bytes))
    }
}

/// What follows the key of an upload that was begun and no more: one whose id its writer never knew, for example.
pub(crate) const NO_PARTS: &str = " (an upload without parts)";

/// The texts of all elements with a name.
fn elements(xml: &str, name: &str) -> Vec<String> {
    let (open, close) = (format!("<{name}>"), format!("</{name}>"));
    let rest = xml.split(&open).skip(1);
    rest.filter_map(|text| Some(text.split_once(&close)?.0.to_owned()))
        .collect()
}
