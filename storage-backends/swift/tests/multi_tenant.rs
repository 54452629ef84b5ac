//! Images in projects' accounts, at a real Swift that believes a real Keystone; and the contract there.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

mod server;

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use bytes::Bytes;
use reqwest::{Client, Method};
use saccade_store_conformance::{Harness, bytes_of, conformance_suite};
use saccade_store_contract::{
    Attempt, BlobName, Endpoint, Error, ErrorKind, Handle, Location, OnBehalf, Readers, Store,
};
use saccade_store_swift::{MultiTenantStore, Secret, SwiftStoreConfig};
use serde_json::{Value, json};
use server::{Kind, Server};
use tokio::net::TcpListener;
use uuid::Uuid;

/// Somebody who has logged in.
#[derive(Clone)]
struct User {
    caller: OnBehalf,
    token: String,
    project: String,
    /// The project's account.
    storage: String,
    http: Client,
}

impl User {
    /// By Keystone; passwords are as `tests/keystone/server.py` makes them.
    async fn log_in(name: &str, project: &str) -> Self {
        let server = Server::up(Kind::Swift).await;
        let [address, ..] = server.keystone.clone().expect(
            "a Keystone: run `make keystone`, or `make test`, which does (SACCADE_KEYSTONE names another directory)",
        );
        let domain = json!({"id": "default"});
        let asked = json!({"auth": {
            "identity": {"methods": ["password"], "password": {"user": {
                "name": name, "domain": domain, "password": format!("{name}-password")}}},
            "scope": {"project": {"name": project, "domain": domain}}}});
        let http = server::http();
        let request = http
            .post(format!("{address}/auth/tokens"))
            .body(asked.to_string());
        let answer = request
            .header("content-type", "application/json")
            .send()
            .await
            .unwrap();
        let token = answer.headers()["x-subject-token"].to_str().unwrap().to_owned();
        let said: Value = serde_json::from_slice(&answer.bytes().await.unwrap()).unwrap();
        let mut endpoints = Vec::new();
        for service in said["token"]["catalog"].as_array().unwrap() {
            for endpoint in service["endpoints"].as_array().unwrap() {
                let text = |name: &str| endpoint[name].as_str().unwrap().to_owned();
                endpoints.push(Endpoint {
                    service_type: service["type"].as_str().unwrap().to_owned(),
                    region: Some(text("region")),
                    interface: text("interface"),
                    url: text("url"),
                });
            }
        }
        let of_objects = |endpoint: &&Endpoint| endpoint.service_type == "object-store";
        let storage = endpoints.iter().find(of_objects).unwrap().url.clone();
        Self {
            caller: OnBehalf::new(token.clone(), endpoints),
            project: said["token"]["project"]["id"].as_str().unwrap().to_owned(),
            token,
            storage,
            http,
        }
    }

    /// By Swift's own way: the only user there is.
    async fn of_tempauth() -> Self {
        let server = Server::up(Kind::Swift).await;
        Self {
            caller: OnBehalf::new(server.token.clone(), Vec::new()),
            token: server.token.clone(),
            project: "test".to_owned(),
            storage: server.storage.clone(),
            http: server::http(),
        }
    }

    fn store(&self, store: &MultiTenantStore) -> Arc<dyn Store> {
        store.on_behalf(&self.caller).unwrap()
    }

    async fn send(&self, method: Method, url: &str, body: &[u8]) -> (u16, String) {
        let request = self.http.request(method, url).header("x-auth-token", &self.token);
        let request = request.header("content-length", body.len()).body(body.to_vec());
        let answer = request.send().await.unwrap();
        (answer.status().as_u16(), answer.text().await.unwrap())
    }

    /// What is in the account under containers whose names begin so: containers, and objects behind a slash.
    async fn inventory(&self, prefix: &str) -> Vec<String> {
        let (status, said) = self
            .send(
                Method::GET,
                &format!("{}?format=plain&prefix={prefix}", self.storage),
                b"",
            )
            .await;
        assert!(status == 200 || status == 204, "{status} {said}");
        let mut found = Vec::new();
        for container in said.lines() {
            found.push(container.to_owned());
            let url = format!("{}/{container}?format=plain", self.storage);
            let (_, said) = self.send(Method::GET, &url, b"").await;
            found.extend(said.lines().map(|object| format!("{container}/{object}")));
        }
        found
    }
}

/// A prefix of a test's own. Segments are as short as they may be.
fn options() -> SwiftStoreConfig {
    SwiftStoreConfig {
        swift_store_multi_tenant: true,
        swift_store_container: format!("test{}", Uuid::new_v4().simple()),
        swift_store_large_object_chunk_size: 1,
        swift_store_region: Some("RegionOne".to_owned()),
        ..SwiftStoreConfig::new("test")
    }
}

/// The same with an account of the store's own, of this user.
async fn with_account(name: &str, project: &str) -> SwiftStoreConfig {
    let server = Server::up(Kind::Swift).await;
    let [address, ..] = server.keystone.unwrap();
    SwiftStoreConfig {
        swift_store_auth_address: Some(address),
        swift_store_user: Some(format!("{project}:{name}")),
        swift_store_key: Some(Secret::new(format!("{name}-password"))),
        ..options()
    }
}

fn open(config: &SwiftStoreConfig) -> MultiTenantStore {
    MultiTenantStore::open(config.clone()).unwrap()
}

async fn upload(store: &dyn Store, name: BlobName, size: usize) -> Result<(Handle, Location), Error> {
    let attempt = Attempt(Uuid::new_v4());
    let (handle, mut writer) = store.create(name, attempt, None).await?;
    let bytes = Bytes::from(pattern(size));
    for start in (0..size).step_by(100_000) {
        writer
            .write(bytes.slice(start..size.min(start + 100_000)))
            .await?;
    }
    Ok((handle, writer.commit().await?))
}

async fn download(store: &dyn Store, location: &Location) -> Result<Vec<u8>, Error> {
    bytes_of(store.read(location, None).await?).await
}

/// Other bytes in every segment.
fn pattern(length: usize) -> Vec<u8> {
    (0..length).map(|at| (at % 251) as u8).collect()
}

fn image() -> BlobName {
    BlobName(Uuid::new_v4())
}

fn kind<T>(result: Result<T, Error>) -> ErrorKind {
    result.map(drop).unwrap_err().kind()
}

#[tokio::test]
async fn an_image_goes_into_its_bringers_account_and_leaves_nothing_there() {
    let (user, config) = (User::log_in("demo", "demo").await, options());
    let prefix = &config.swift_store_container;
    for (size, objects) in [(0, 1), (1000, 1), (3_000_000, 4)] {
        let (store, name) = (user.store(&open(&config)), image());
        let (handle, location) = upload(&*store, name, size).await.unwrap();
        let address = user.storage.replace("http://", "swift+http://");
        assert_eq!(location.as_str(), format!("{address}/{prefix}_{name}/{name}"));
        assert!(handle.as_str().contains(&user.project), "it names the account");
        for text in [handle.as_str(), location.as_str()] {
            assert!(!text.contains(&user.token));
        }
        store.settle(&handle).await.unwrap();
        assert_eq!(user.inventory(prefix).await.len(), 1 + objects);
        assert_eq!(store.canonical(&location), Some(location.clone()));
        assert_eq!(store.size(&location).await.unwrap(), size as u64);
        assert!(download(&*store, &location).await.unwrap() == pattern(size));
        store.prepare_delete(&location).await.unwrap();
        store.delete(&location).await.unwrap();
        assert_eq!(user.inventory(prefix).await, [""; 0]);
        assert_eq!(kind(store.delete(&location).await), ErrorKind::NotFound);
        assert_eq!(kind(store.read(&location, None).await), ErrorKind::NotFound);
    }
}

#[tokio::test]
async fn without_a_caller_nothing_is_written_and_without_an_account_nothing_read() {
    let (user, config) = (User::log_in("demo", "demo").await, options());
    let alone = open(&config);
    assert_eq!(kind(upload(&alone, image(), 10).await), ErrorKind::Denied);
    let (_, location) = upload(&*user.store(&alone), image(), 10).await.unwrap();
    assert_eq!(kind(alone.read(&location, None).await), ErrorKind::Denied);
    assert_eq!(kind(alone.delete(&location).await), ErrorKind::Denied);
    user.store(&alone).delete(&location).await.unwrap();
}

#[tokio::test]
async fn what_a_crash_leaves_goes_by_the_stores_own_account_or_by_the_owners_next_request() {
    let user = User::log_in("demo", "demo").await;
    let service = with_account("glance", "service").await;
    for config in [service, options()] {
        for commits in [false, true] {
            let (store, name) = (user.store(&open(&config)), image());
            let (handle, mut writer) = store.create(name, Attempt(Uuid::new_v4()), None).await.unwrap();
            assert_eq!(user.inventory(&config.swift_store_container).await, [""; 0]);
            writer.write(Bytes::from(pattern(3_000_000))).await.unwrap();
            match commits {
                true => drop(writer.commit().await.unwrap()),
                false => drop(writer),
            }
            assert_ne!(user.inventory(&config.swift_store_container).await, [""; 0]);
            // Another process, whose store knows nobody.
            let later = open(&config);
            match config.swift_store_user {
                Some(_) => later.discard(&handle).await.unwrap(),
                None => {
                    assert_eq!(kind(later.discard(&handle).await), ErrorKind::Denied);
                    user.store(&later).discard(&handle).await.unwrap();
                }
            }
            assert_eq!(user.inventory(&config.swift_store_container).await, [""; 0]);
            // Once more; and where nothing has ever been.
            user.store(&later).discard(&handle).await.unwrap();
        }
    }
}

#[tokio::test]
async fn a_store_whose_account_has_no_rights_keeps_its_hands_off() {
    let user = User::log_in("demo", "demo").await;
    let config = with_account("alt_demo", "alt_demo").await;
    let store = open(&config);
    let (handle, location) = upload(&*user.store(&store), image(), 10).await.unwrap();
    assert_eq!(kind(store.discard(&handle).await), ErrorKind::Denied);
    assert_eq!(kind(store.delete(&location).await), ErrorKind::Denied);
    assert_eq!(user.inventory(&config.swift_store_container).await.len(), 3);
    user.store(&store).settle(&handle).await.unwrap();
    user.store(&store).delete(&location).await.unwrap();
    assert_eq!(user.inventory(&config.swift_store_container).await, [""; 0]);
}

#[tokio::test]
async fn readers_are_who_the_record_says() {
    let (owner, other) = (
        User::log_in("demo", "demo").await,
        User::log_in("alt_demo", "alt_demo").await,
    );
    let mut config = options();
    config.swift_store_admin_tenants = vec!["operators".to_owned()];
    let store = open(&config);
    let (own, others) = (owner.store(&store), other.store(&store));
    // Segments are read by way of a listing, which is another right.
    let (handle, location) = upload(&*own, image(), 3_000_000).await.unwrap();
    own.settle(&handle).await.unwrap();
    let may_read = async || download(&*others, &location).await.map(|bytes| bytes.len());
    assert_eq!(kind(may_read().await), ErrorKind::Denied);
    for (readers, may) in [
        (Readers::Everyone, true),
        (Readers::Projects(Vec::new()), false),
        (
            Readers::Projects(vec!["x".to_owned(), other.project.clone()]),
            true,
        ),
        (Readers::Projects(vec!["x".to_owned()]), false),
        // What could be more than a project.
        (Readers::Projects(vec!["*:*,x".to_owned()]), false),
    ] {
        own.set_readers(&location, &readers).await.unwrap();
        match may {
            true => assert_eq!(may_read().await.unwrap(), 3_000_000),
            false => assert_eq!(kind(may_read().await), ErrorKind::Denied),
        }
        assert_eq!(kind(others.delete(&location).await), ErrorKind::Denied);
        assert_eq!(
            kind(others.set_readers(&location, &Readers::Everyone).await),
            ErrorKind::Denied
        );
    }
    let container = location
        .as_str()
        .rsplit_once('/')
        .unwrap()
        .0
        .replace("swift+http:", "http:");
    let head = owner.http.head(&container).header("x-auth-token", &owner.token);
    let head = head.send().await.unwrap();
    assert_eq!(head.headers()["x-container-write"], "operators:*");
    own.delete(&location).await.unwrap();
    assert_eq!(
        kind(own.set_readers(&location, &Readers::Everyone).await),
        ErrorKind::NotFound
    );
}

#[tokio::test]
async fn the_stores_own_account_stands_in_where_swift_refuses_a_caller() {
    let (owner, other) = (
        User::log_in("demo", "demo").await,
        User::log_in("alt_demo", "alt_demo").await,
    );
    let store = open(&with_account("glance", "service").await);
    let (_, location) = upload(&*owner.store(&store), image(), 1000).await.unwrap();
    // But shows it nothing: it may be the owner's link to what nobody else may see.
    assert_eq!(
        kind(download(&*other.store(&store), &location).await),
        ErrorKind::Denied
    );
    assert_eq!(kind(other.store(&store).size(&location).await), ErrorKind::Denied);
    other.store(&store).delete(&location).await.unwrap();
    assert_eq!(
        kind(owner.store(&store).size(&location).await),
        ErrorKind::NotFound
    );
}

#[tokio::test]
async fn an_upload_outlives_its_token_but_no_right_is_lent() {
    let user = User::log_in("demo", "demo").await;
    let ended = OnBehalf::new("gAAAAAended", user.caller.endpoints().to_vec());
    let service = open(&with_account("glance", "service").await);
    let store = service.on_behalf(&ended).unwrap();
    let (_, location) = upload(&*store, image(), 3_000_000).await.unwrap();
    user.store(&service).delete(&location).await.unwrap();
    let alone = open(&options());
    let error = upload(&*alone.on_behalf(&ended).unwrap(), image(), 10)
        .await
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Denied);
    assert!(!format!("{error:?}").contains("gAAAAAended"));
    // Swift lets readers write nothing; nor does the store.
    let reader = User::log_in("demo_reader", "demo").await;
    assert_eq!(
        kind(upload(&*reader.store(&service), image(), 10).await),
        ErrorKind::Denied
    );
}

#[tokio::test]
async fn tokens_go_to_no_other_server() {
    let user = User::log_in("demo", "demo").await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let service = open(&with_account("glance", "service").await);
    for store in [service, open(&options())] {
        let (name, container) = (image(), "c");
        let location = Location::new(format!("swift+http://{address}/v1/AUTH_x/{container}/{name}"));
        let mine = user.store(&store);
        assert_eq!(kind(mine.read(&location, None).await), ErrorKind::Denied);
        assert_eq!(kind(mine.size(&location).await), ErrorKind::Denied);
        assert_eq!(kind(mine.delete(&location).await), ErrorKind::Denied);
        assert_eq!(kind(mine.admit(&location).await), ErrorKind::Denied);
        assert_eq!(kind(store.read(&location, None).await), ErrorKind::Denied);
    }
    let asked = tokio::time::timeout(Duration::from_millis(300), listener.accept()).await;
    assert!(asked.is_err(), "somebody has connected");
}

#[tokio::test]
async fn clients_may_name_what_is_in_their_own_account_and_nothing_else() {
    let (owner, other) = (
        User::log_in("demo", "demo").await,
        User::log_in("alt_demo", "alt_demo").await,
    );
    let store = open(&with_account("glance", "service").await);
    let (_, location) = upload(&*owner.store(&store), image(), 1000).await.unwrap();
    owner
        .store(&store)
        .set_readers(&location, &Readers::Everyone)
        .await
        .unwrap();
    owner.store(&store).admit(&location).await.unwrap();
    // It could be read, but not deleted.
    assert_eq!(
        kind(other.store(&store).admit(&location).await),
        ErrorKind::Denied
    );
    assert_eq!(kind(store.admit(&location).await), ErrorKind::Denied);
    owner.store(&store).delete(&location).await.unwrap();
}

#[tokio::test]
async fn a_container_of_the_users_own_is_neither_shared_nor_removed() {
    let user = User::log_in("demo", "demo").await;
    let config = options();
    let (store, name) = (user.store(&open(&config)), image());
    let container = format!("{}/{}", user.storage, config.swift_store_container);
    assert_eq!(user.send(Method::PUT, &container, b"").await.0, 201);
    let object = format!("{container}/{name}");
    assert_eq!(user.send(Method::PUT, &object, b"theirs").await.0, 201);
    let location = Location::new(object.replace("http://", "swift+http://"));
    store.set_readers(&location, &Readers::Everyone).await.unwrap();
    let head = user
        .http
        .head(&container)
        .header("x-auth-token", &user.token)
        .send()
        .await
        .unwrap();
    assert!(!head.headers().contains_key("x-container-read"));
    store.delete(&location).await.unwrap();
    assert_eq!(
        user.inventory(&config.swift_store_container).await,
        [config.swift_store_container.as_str()]
    );
    assert_eq!(user.send(Method::DELETE, &container, b"").await.0, 204);
}

#[tokio::test]
async fn images_from_before_are_still_in_the_stores_own_account() {
    let config = with_account("glance", "service").await;
    let single = SwiftStoreConfig {
        swift_store_multi_tenant: false,
        swift_store_create_container_on_put: true,
        ..config.clone()
    };
    let single = saccade_store_swift::SwiftStore::open(single).unwrap();
    let (handle, location) = upload(&single, image(), 1000).await.unwrap();
    let (user, store) = (User::log_in("demo", "demo").await, open(&config));
    let store = user.store(&store);
    store.settle(&handle).await.unwrap();
    assert_eq!(store.canonical(&location), Some(location.clone()));
    assert_eq!(download(&*store, &location).await.unwrap().len(), 1000);
    assert_eq!(kind(store.admit(&location).await), ErrorKind::Denied);
    store.set_readers(&location, &Readers::Everyone).await.unwrap();
    store.delete(&location).await.unwrap();
    assert_eq!(kind(single.size(&location).await), ErrorKind::NotFound);
}

/// In an account of tempauth's, whose address is configured.
struct InAnAccount<const SEGMENTS: bool> {
    user: User,
    config: SwiftStoreConfig,
    store: Arc<dyn Store>,
}

#[async_trait]
impl<const SEGMENTS: bool> Harness for InAnAccount<SEGMENTS> {
    async fn start() -> Self {
        let user = User::of_tempauth().await;
        let mut config = options();
        config.swift_store_endpoint = Some(user.storage.clone());
        match SEGMENTS {
            true => config.swift_store_large_object_size = 0,
            false => config.swift_store_large_object_chunk_size = 200,
        }
        let store = user.store(&open(&config));
        Self { user, config, store }
    }

    fn store(&self) -> Arc<dyn Store> {
        Arc::clone(&self.store)
    }

    async fn restart(&mut self) {
        self.store = self.user.store(&open(&self.config));
    }

    async fn inventory(&self) -> Vec<String> {
        let found = self.user.inventory(&self.config.swift_store_container).await;
        let names: Vec<&str> = found
            .iter()
            .filter_map(|name| Some(name.split_once('/')?.1))
            .collect();
        let mut shown = Vec::new();
        for path in &found {
            match path.split_once('/') {
                // The segments of a blob that is there are one with it.
                Some((_, object)) => {
                    let blob = object
                        .split_once('.')
                        .map(|(blob, _)| blob)
                        .filter(|blob| !blob.is_empty());
                    if !blob.is_some_and(|blob| names.contains(&blob)) {
                        shown.push(object.to_owned());
                    }
                }
                // An empty container would be something left.
                None if !found.iter().any(|other| other.starts_with(&format!("{path}/"))) => {
                    shown.push(path.clone());
                }
                None => {}
            }
        }
        shown
    }

    async fn plant(&self, name: BlobName, bytes: &[u8]) {
        let container = format!(
            "{}/{}_{name}",
            self.user.storage, self.config.swift_store_container
        );
        assert!(matches!(
            self.user.send(Method::PUT, &container, b"").await.0,
            201 | 202
        ));
        assert_eq!(
            self.user
                .send(Method::PUT, &format!("{container}/{name}"), bytes)
                .await
                .0,
            201
        );
    }

    fn location(&self, name: BlobName) -> Location {
        let address = self.user.storage.replace("http://", "swift+http://");
        Location::new(format!(
            "{address}/{}_{name}/{name}",
            self.config.swift_store_container
        ))
    }

    fn foreign_locations(&self) -> Vec<Location> {
        let (address, container) = (
            self.user.storage.replace("http://", "swift+http://"),
            &self.config.swift_store_container,
        );
        [
            String::new(),
            address.clone(),
            format!("{address}/{container}/"),
            format!("{address}/{container}/.."),
            format!("{address}/{container}/a?multipart-manifest=get"),
            format!("{address}/{container}/.saccade.a.b"),
            format!("swift+config://ref1/{container}/a"),
            format!("swift+https://test:tester:testing@127.0.0.1:1/auth/{container}/a"),
            format!("s3://127.0.0.1/{container}/a"),
            "file:///etc/passwd".to_owned(),
        ]
        .map(Location::new)
        .into()
    }

    fn chunks_held(&self) -> Option<usize> {
        Some(0)
    }
}

mod whole {
    use super::InAnAccount;
    super::conformance_suite!(InAnAccount<false>);
}

mod in_segments {
    use super::InAnAccount;
    super::conformance_suite!(InAnAccount<true>);
}
