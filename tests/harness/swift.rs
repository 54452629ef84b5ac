//! Real Swift servers, OpenStack's own and Ceph's gateway; a container of a test's own; and the accounts of a cloud's projects.

use super::{Body, Client, servers};
use serde_json::json;
use std::{net::SocketAddr, sync::OnceLock};
use ureq::{Agent, http};

/// Which server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SwiftServer {
    /// OpenStack's own.
    OpenStack,
    /// Ceph's gateway.
    Rgw,
}

/// Where a server is, and who may use it.
#[derive(Clone, Debug)]
struct Access {
    /// `http://127.0.0.1:PORT/auth/v1.0`.
    auth: String,
    user: String,
    key: String,
    /// The account's URL, at the same address.
    storage: String,
    token: String,
}

impl Access {
    /// Starts the server, or finds it running.
    fn to(server: SwiftServer) -> Self {
        static OPENSTACK: OnceLock<Access> = OnceLock::new();
        static RGW: OnceLock<Access> = OnceLock::new();
        let (access, service) = match server {
            SwiftServer::OpenStack => (&OPENSTACK, "swift"),
            SwiftServer::Rgw => (&RGW, "ceph"),
        };
        access.get_or_init(|| Self::log_in(service)).clone()
    }

    fn log_in(service: &str) -> Self {
        let said = servers::up(service);
        let [auth, user, key] = ["SWIFT_AUTH", "SWIFT_USER", "SWIFT_KEY"].map(|name| said[name].clone());
        let request = http::Request::get(&auth)
            .header("X-Auth-User", &user)
            .header("X-Auth-Key", &key);
        let answer = agent().run(request.body(()).unwrap()).unwrap();
        let header = |name: &str| answer.headers()[name].to_str().unwrap().to_owned();
        Self {
            storage: header("X-Storage-Url"),
            token: header("X-Auth-Token"),
            auth,
            user,
            key,
        }
    }
}

fn agent() -> Agent {
    Agent::config_builder().http_status_as_error(false).build().into()
}

/// What stands behind `http://host:port`.
fn path(url: &str) -> &str {
    let (_, rest) = url.split_once("://").unwrap();
    &rest[rest.find('/').unwrap()..]
}

/// A container, seen by another client than the daemon's.
#[derive(Clone)]
pub(crate) struct Container {
    access: Access,
    name: String,
}

impl Container {
    /// An empty one.
    pub(crate) fn new(server: SwiftServer) -> Self {
        let container = Self::missing(server);
        assert_eq!(container.send("PUT", "", None, &[]).0, 201);
        container
    }

    /// One that is not there.
    pub(crate) fn missing(server: SwiftServer) -> Self {
        Self {
            access: Access::to(server),
            // Without a hyphen, which only objects have.
            name: format!("test{}", uuid::Uuid::new_v4().simple()),
        }
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// The server's address.
    pub(crate) fn address(&self) -> SocketAddr {
        let (_, rest) = self.access.auth.split_once("://").unwrap();
        rest.split('/').next().unwrap().parse().unwrap()
    }

    /// Who may use it, and the key.
    pub(crate) fn credentials(&self) -> (&str, &str) {
        (&self.access.user, &self.access.key)
    }

    /// What stands behind the address in the URLs of the log-in, and of the account.
    pub(crate) fn paths(&self) -> [&str; 2] {
        [path(&self.access.auth), path(&self.access.storage)]
    }

    /// Where tokens are given: at the server's address, or a proxy's.
    pub(crate) fn auth(&self, address: SocketAddr) -> String {
        format!("http://{address}{}", path(&self.access.auth))
    }

    /// The options of a store in it, with the shortest segments, at this address: the server's or a proxy's.
    pub(crate) fn options(&self, address: SocketAddr) -> String {
        let (user, key) = self.credentials();
        format!(
            "swift_store_auth_version = 1\nswift_store_auth_address = {}\nswift_store_user = {user}\n\
             swift_store_key = {key}\nswift_store_endpoint = http://{address}{}\nswift_store_container = {}\n\
             swift_store_large_object_size = 1\nswift_store_large_object_chunk_size = 1\n",
            self.auth(address),
            path(&self.access.storage),
            self.name
        )
    }

    /// The name of every object in it, those of segments and marks too, sorted.
    pub(crate) fn inventory(&self) -> Vec<String> {
        let (status, names) = self.send("GET", "?format=plain", None, &[]);
        let names = String::from_utf8(names).unwrap();
        assert!(matches!(status, 200 | 204), "{status} {names}");
        names.lines().map(str::to_owned).collect()
    }

    /// Puts somebody else's object there, with a few bytes.
    pub(crate) fn plant(&self, name: &str) {
        self.put(name, b"planted");
    }

    /// The same, with these bytes.
    pub(crate) fn put(&self, name: &str, bytes: &[u8]) {
        assert_eq!(self.send("PUT", &format!("/{name}"), None, bytes).0, 201);
    }

    /// Makes all objects whose names begin so one object.
    pub(crate) fn put_manifest(&self, name: &str, prefix: &str) {
        let manifest = format!("{}/{prefix}", self.name);
        assert_eq!(self.send("PUT", &format!("/{name}"), Some(&manifest), &[]).0, 201);
    }

    /// The bytes of an object.
    pub(crate) fn read(&self, name: &str) -> Vec<u8> {
        let (status, bytes) = self.send("GET", &format!("/{name}"), None, &[]);
        assert_eq!(status, 200, "{name}");
        bytes
    }

    fn send(&self, method: &str, rest: &str, manifest: Option<&str>, body: &[u8]) -> (u16, Vec<u8>) {
        let mut request = http::Request::builder()
            .method(method)
            .uri(format!("{}/{}{rest}", self.access.storage, self.name))
            .header("X-Auth-Token", &self.access.token);
        if let Some(manifest) = manifest {
            request = request.header("X-Object-Manifest", manifest);
        }
        let response = match method {
            "PUT" => agent().run(request.body(body).unwrap()),
            _ => agent().run(request.body(()).unwrap()),
        };
        let mut response = response.unwrap();
        let bytes = response
            .body_mut()
            .with_config()
            .limit(1 << 30)
            .read_to_vec()
            .unwrap();
        (response.status().as_u16(), bytes)
    }
}

/// OpenStack's Swift as it believes a real Keystone, which is its own.
pub(crate) struct SwiftCloud {
    /// `http://127.0.0.1:PORT/v3`.
    keystone: String,
}

/// Somebody in a project, whose account is seen by another client than the daemon's.
pub(crate) struct SwiftUser {
    token: String,
    project: String,
    /// The URL of the project's account.
    storage: String,
}

impl SwiftCloud {
    /// Starts both, or finds them running.
    pub(crate) fn up() -> Self {
        let said = servers::up("swift");
        let keystone = said.get("KEYSTONE").expect(
            "a Keystone: run `make keystone`, or `make test`, which does (SACCADE_KEYSTONE names another directory)",
        );
        Self {
            keystone: keystone.clone(),
        }
    }

    /// Where people log in.
    pub(crate) fn keystone(&self) -> &str {
        &self.keystone
    }

    /// One of those whom `tests/keystone/server.py` lists.
    pub(crate) fn log_in(&self, user: &str, project: &str) -> SwiftUser {
        let domain = json!({"id": "default"});
        let asked = json!({"auth": {
            "identity": {"methods": ["password"], "password": {"user": {
                "name": user, "domain": domain, "password": format!("{user}-password")}}},
            "scope": {"project": {"name": project, "domain": domain}}}});
        let answer = Client::new(&self.keystone)
            .post("/auth/tokens", &asked)
            .expect_status(201);
        let said = answer.json();
        let services = said["token"]["catalog"].as_array().unwrap();
        let objects = services.iter().find(|service| service["type"] == "object-store");
        let word = |value: &serde_json::Value| value.as_str().unwrap().to_owned();
        SwiftUser {
            token: answer.header("X-Subject-Token").to_owned(),
            project: word(&said["token"]["project"]["id"]),
            storage: word(&objects.unwrap()["endpoints"][0]["url"]),
        }
    }
}

impl SwiftUser {
    pub(crate) fn project(&self) -> &str {
        &self.project
    }

    /// What is in the project's account under containers whose names begin so: containers, and objects behind a slash.
    pub(crate) fn inventory(&self, prefix: &str) -> Vec<String> {
        let api = Client::new(&self.storage).with_token(&self.token);
        let list = |path: &str| {
            let answer = api.request("GET", path, &[], Body::None);
            assert!(matches!(answer.status, 200 | 204), "{path}: {}", answer.status);
            let text = String::from_utf8(answer.body).unwrap();
            text.lines().map(str::to_owned).collect::<Vec<_>>()
        };
        let mut found = Vec::new();
        for container in list(&format!("?format=plain&prefix={prefix}")) {
            let objects = list(&format!("/{container}?format=plain"));
            found.push(container.clone());
            found.extend(objects.iter().map(|object| format!("{container}/{object}")));
        }
        found
    }

    /// What Swift answers to a request for an object of another's account.
    pub(crate) fn reads(&self, owner: &Self, object: &str) -> u16 {
        let api = Client::new(&owner.storage).with_token(&self.token);
        api.request("GET", &format!("/{object}"), &[], Body::None).status
    }
}
