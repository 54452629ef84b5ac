//! Logging in: by Keystone's v3 and by Swift's own way; and tokens that end.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

mod keystone;
mod server;

use std::{io::Write, time::Duration};

use bytes::Bytes;
use keystone::{Behaviour, Keystone};
use saccade_store_conformance::proxy::{Fault, Proxy, When};
use saccade_store_contract::{Attempt, BlobName, ErrorKind, Location, Store};
use saccade_store_swift::{OpenError, Secret, SwiftStore, SwiftStoreConfig};
use server::{Container, Kind};
use uuid::Uuid;

fn at_keystone(container: &Container, keystone: &Keystone) -> SwiftStoreConfig {
    let mut config = container.config(None);
    config.swift_store_auth_version = "3".to_owned();
    config.swift_store_auth_address = Some(keystone.url());
    config.swift_store_region = Some("R1".to_owned());
    config
}

/// One upload, read and deleted again.
async fn go_round(store: &SwiftStore, size: usize) -> Location {
    let (name, attempt) = (BlobName(Uuid::new_v4()), Attempt(Uuid::new_v4()));
    let (handle, mut writer) = store.create(name, attempt, None).await.unwrap();
    writer.write(Bytes::from(vec![7; size])).await.unwrap();
    let location = writer.commit().await.unwrap();
    store.settle(&handle).await.unwrap();
    assert_eq!(store.size(&location).await.unwrap(), size as u64);
    store.delete(&location).await.unwrap();
    location
}

#[tokio::test]
async fn a_log_in_lasts_for_many_requests() {
    let container = Container::new(Kind::Swift).await;
    let keystone = Keystone::before(&container.server).await;
    let store = SwiftStore::open(at_keystone(&container, &keystone)).unwrap();
    let uploads = (0..8).map(|_| go_round(&store, 3_000_000));
    futures_util::future::join_all(uploads).await;
    let asked = keystone.asked();
    assert_eq!(asked.len(), 1);
    assert_eq!(asked[0]["auth"]["scope"]["project"]["domain"]["id"], "default");
    assert_eq!(container.inventory().await, [""; 0]);
}

#[tokio::test]
async fn keystone_itself_leads_to_a_swift_that_believes_it() {
    let container = Container::missing(Kind::Swift).await;
    let [address, user, key] = container.server.keystone.clone().expect(
        "a Keystone: run `make keystone`, or `make test`, which does (SACCADE_KEYSTONE names another directory)",
    );
    let mut config = SwiftStoreConfig::new("test");
    config.swift_store_auth_address = Some(address);
    config.swift_store_user = Some(user);
    config.swift_store_key = Some(Secret::new(key));
    config.swift_store_region = Some("RegionOne".to_owned());
    config.swift_store_container = container.name.clone();
    config.swift_store_create_container_on_put = true;
    config.swift_store_large_object_chunk_size = 1;
    let store = SwiftStore::open(config.clone()).unwrap();
    for size in [0, 1000, 3_000_000] {
        go_round(&store, size).await;
    }
    assert_eq!(container.inventory().await, [""; 0], "it is another account");
    config.swift_store_key = Some(Secret::new("wrongsecret"));
    let store = SwiftStore::open(config).unwrap();
    let error = store.size(&container.location(BlobName(Uuid::new_v4()))).await;
    let error = error.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Denied);
    assert!(!format!("{error:?}").contains("wrongsecret"));
}

#[tokio::test]
async fn references_lead_to_their_accounts() {
    let container = Container::new(Kind::Swift).await;
    let keystone = Keystone::before(&container.server).await;
    let mut file = tempfile::NamedTempFile::new().unwrap();
    let (url, auth) = (keystone.url(), &container.server.auth);
    let text = format!(
        "[new]\napplication_credential_id = 1\napplication_credential_secret = testing\nauth_address = {url}\n\
         [old]\nuser = test:tester\nkey = testing\nauth_address = {auth}\nauth_version = 1\n\
         [wrong]\nuser = test:tester\nkey = hidden\nauth_address = {url}\n"
    );
    file.write_all(text.as_bytes()).unwrap();
    let mut config = SwiftStoreConfig::new("test");
    config.swift_store_config_file = Some(file.path().to_owned());
    config.default_swift_reference = "new".to_owned();
    config.swift_store_container = container.name.clone();
    let store = SwiftStore::open(config).unwrap();
    let location = go_round(&store, 1000).await;
    assert!(location.as_str().starts_with("swift+config://new/"));
    let name = BlobName(Uuid::new_v4());
    container.put(&name.to_string(), b"bytes").await;
    let at = |reference: &str| Location::new(format!("swift+config://{reference}/{}/{name}", container.name));
    assert_eq!(store.size(&at("old")).await.unwrap(), 5);
    let error = store.size(&at("wrong")).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Denied);
    assert!(!format!("{error:?}{store:?}").contains("hidden"));
    assert_eq!(
        store.size(&at("none")).await.unwrap_err().kind(),
        ErrorKind::Invalid
    );
    store.delete(&at("old")).await.unwrap();
}

/// A token that Swift does not take any more, in the middle of an upload and of a download.
#[tokio::test]
async fn a_token_that_ends_too_soon_is_replaced_within_a_transfer() {
    let container = Container::new(Kind::Swift).await;
    let proxy = Proxy::before(&container.server.parts().0).await;
    let good = container.server.token.clone();
    let behaviour = Behaviour {
        tokens: vec!["worthless".to_owned(), good.clone()],
        life: 3600,
        refusals: Vec::new(),
    };
    let keystone = Keystone::with(&container.server, behaviour).await;
    let mut config = at_keystone(&container, &keystone);
    let (_, path) = container.server.parts();
    config.swift_store_endpoint = Some(format!("{}{path}", proxy.url()));
    let store = SwiftStore::open(config).unwrap();
    let refused = "HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n";
    let name = BlobName(Uuid::new_v4());
    let (handle, mut writer) = store.create(name, Attempt(Uuid::new_v4()), None).await.unwrap();
    assert_eq!(keystone.asked().len(), 2, "the first one was worthless");
    let bytes = Bytes::from(vec![7; 5 << 20]);
    proxy.disturb(When::all("PUT", "-00003").once(), Fault::Answer(refused));
    writer.write(bytes.clone()).await.unwrap();
    let location = writer.commit().await.unwrap();
    assert_eq!(keystone.asked().len(), 3);
    proxy.disturb(
        When::all("GET", "-").without(".").once(),
        Fault::CutAnswer(2_000_000),
    );
    let blob = store.read(&location, None).await.unwrap();
    // Its continuation is refused once.
    proxy.disturb(When::all("GET", "-").without(".").once(), Fault::Answer(refused));
    let found = saccade_store_conformance::bytes_of(blob).await.unwrap();
    assert!(found == bytes);
    assert_eq!(keystone.asked().len(), 4);
    store.discard(&handle).await.unwrap();
    assert_eq!(container.inventory().await, [""; 0]);
}

#[tokio::test]
async fn a_token_is_replaced_before_it_ends() {
    let container = Container::new(Kind::Swift).await;
    let behaviour = Behaviour {
        tokens: vec![container.server.token.clone()],
        life: 8,
        refusals: Vec::new(),
    };
    let keystone = Keystone::with(&container.server, behaviour).await;
    let mut config = at_keystone(&container, &keystone);
    config.swift_store_expire_soon_interval = 3;
    let store = SwiftStore::open(config).unwrap();
    go_round(&store, 10).await;
    assert_eq!(keystone.asked().len(), 1);
    // Within `swift_store_expire_soon_interval` of its end.
    tokio::time::sleep(Duration::from_millis(5100)).await;
    go_round(&store, 10).await;
    assert!(keystone.asked().len() > 1);
}

#[tokio::test]
async fn a_token_that_always_ends_soon_is_used_for_half_of_its_life() {
    let container = Container::new(Kind::Swift).await;
    let behaviour = Behaviour {
        tokens: vec![container.server.token.clone()],
        life: 8,
        refusals: Vec::new(),
    };
    let keystone = Keystone::with(&container.server, behaviour).await;
    let mut config = at_keystone(&container, &keystone);
    config.swift_store_expire_soon_interval = 3600;
    let store = SwiftStore::open(config).unwrap();
    let location = container.location(BlobName(Uuid::new_v4()));
    for _ in 0..10 {
        store.size(&location).await.unwrap_err();
    }
    assert_eq!(keystone.asked().len(), 1, "it logs in for each request");
    tokio::time::sleep(Duration::from_millis(4100)).await;
    store.size(&location).await.unwrap_err();
    assert_eq!(keystone.asked().len(), 2);
}

#[tokio::test]
async fn a_keystone_that_stumbles_is_asked_again_and_one_that_refuses_is_not() {
    let container = Container::new(Kind::Swift).await;
    let behaviour = |refusals: &[u16]| Behaviour {
        tokens: vec![container.server.token.clone()],
        life: 3600,
        refusals: refusals.to_vec(),
    };
    let keystone = Keystone::with(&container.server, behaviour(&[503, 500])).await;
    let store = SwiftStore::open(at_keystone(&container, &keystone)).unwrap();
    go_round(&store, 10).await;
    assert_eq!(keystone.asked().len(), 3);
    let keystone = Keystone::with(&container.server, behaviour(&[401])).await;
    let store = SwiftStore::open(at_keystone(&container, &keystone)).unwrap();
    let created = store
        .create(BlobName(Uuid::new_v4()), Attempt(Uuid::new_v4()), None)
        .await;
    assert_eq!(created.map(drop).unwrap_err().kind(), ErrorKind::Denied);
    assert_eq!(keystone.asked().len(), 1);
    // Where the catalogue has no such service.
    let keystone = Keystone::before(&container.server).await;
    let mut config = at_keystone(&container, &keystone);
    config.swift_store_region = Some("R2".to_owned());
    let store = SwiftStore::open(config).unwrap();
    let error = store.size(&container.location(BlobName(Uuid::new_v4()))).await;
    assert!(format!("{:?}", error.unwrap_err()).contains("R2"));
}

#[tokio::test]
async fn those_who_wait_for_a_log_in_share_its_failure() {
    let container = Container::new(Kind::Swift).await;
    let behaviour = Behaviour {
        tokens: vec![container.server.token.clone()],
        life: 3600,
        refusals: vec![401; 8],
    };
    let keystone = Keystone::with(&container.server, behaviour).await;
    let store = SwiftStore::open(at_keystone(&container, &keystone)).unwrap();
    let location = container.location(BlobName(Uuid::new_v4()));
    let answers = futures_util::future::join_all((0..8).map(|_| store.size(&location))).await;
    for answer in answers {
        assert_eq!(answer.unwrap_err().kind(), ErrorKind::Denied);
    }
    assert_eq!(keystone.asked().len(), 1);
}

#[test]
fn options_that_cannot_be_used_stop_the_start() {
    let open = |change: &dyn Fn(&mut SwiftStoreConfig)| {
        let mut config = SwiftStoreConfig::new("test");
        config.swift_store_auth_address = Some("https://keystone/v3".to_owned());
        config.swift_store_user = Some("a:b".to_owned());
        config.swift_store_key = Some(Secret::new("hidden"));
        change(&mut config);
        SwiftStore::open(config).map(drop)
    };
    open(&|_| {}).unwrap();
    type Change<'a> = (&'static str, &'a dyn Fn(&mut SwiftStoreConfig));
    let cases: [Change<'_>; 8] = [
        ("swift_store_multi_tenant", &|config| {
            config.swift_store_multi_tenant = true
        }),
        ("swift_store_large_object_chunk_size", &|config| {
            config.swift_store_large_object_chunk_size = 0
        }),
        ("swift_store_container", &|config| {
            config.swift_store_container = "a/b".to_owned()
        }),
        ("swift_store_multiple_containers_seed", &|config| {
            config.swift_store_multiple_containers_seed = 33
        }),
        ("swift_store_endpoint", &|config| {
            config.swift_store_endpoint = Some("swift".to_owned())
        }),
        ("swift_store_key", &|config| config.swift_store_key = None),
        ("default_swift_reference", &|config| {
            config.default_swift_reference = "a/b".to_owned()
        }),
        ("swift_store_config_file", &|config| {
            config.swift_store_config_file = Some("/nonexistent".into())
        }),
    ];
    for (option, change) in cases {
        let error = open(change).unwrap_err().to_string();
        assert!(error.contains(option) && !error.contains("hidden"), "{error}");
    }
    let missing = |config: &mut SwiftStoreConfig| config.swift_store_cacert = Some("/nonexistent".into());
    assert!(matches!(open(&missing), Err(OpenError::Tls { .. })));
}
