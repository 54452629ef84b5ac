//! What glance_store's own driver has written is read and deleted, and the other way round.
//!
//! glance_store is in a virtual environment that `make glance-store` makes, and `make test`.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

mod keystone;
mod server;

use std::{fs, path::Path};

use bytes::Bytes;
use keystone::Keystone;
use saccade_store_conformance::{
    bytes_of,
    glance_store::{GlanceStore, Word},
};
use saccade_store_contract::{Attempt, BlobName, Location, Store};
use server::{Container, Kind};
use tempfile::TempDir;
use uuid::Uuid;

const MB: usize = 1_024_000;

/// The driver knows Keystone alone, so one stands before the server.
fn glance_store(keystone: &Keystone, container: &Container) -> GlanceStore {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/glance_driver.py");
    let key = [("KEY", &*container.server.key)];
    GlanceStore::start(&script, [&*keystone.url(), &container.name], key)
}

#[tokio::test]
async fn each_reads_and_deletes_what_the_other_has_written() {
    for kind in [Kind::Swift, Kind::Rgw] {
        let container = Container::new(kind).await;
        let keystone = Keystone::before(&container.server).await;
        let (store, files) = (container.store(), TempDir::new().unwrap());
        let file = files.path().join("image");
        let path = Word::Text(file.to_str().unwrap());
        let mut driver = glance_store(&keystone, &container);
        // Of known size and not; a plain object, one segment, several.
        for (size, told) in [
            (100_000, 100_000),
            (100_000, 0),
            (MB, 0),
            // The driver (5.7) announces a whole segment for the last one of a known size: a shorter one times out.
            (3 * MB, 3 * MB),
            (5 * MB / 2, 0),
            (4 * MB, 0),
        ] {
            let bytes: Vec<_> = (0..size)
                .map(|at: usize| u8::try_from(at * at % 251).unwrap())
                .collect();

            let name = BlobName(Uuid::new_v4());
            fs::write(&file, &bytes).unwrap();
            let id = name.to_string();
            let operation = [Word::Text("write"), Word::Text(&id), path, Word::Number(told)];
            let location = driver.ask(&operation).await;
            assert_eq!(location, container.location(name).as_str());
            let location = Location::new(location);
            let found = bytes_of(store.read(&location, None).await.unwrap())
                .await
                .unwrap();
            assert!(found == bytes);
            // Old rows have the log-in's address and the user in them.
            let host = keystone.url().replace("http://", "");
            let old = format!(
                "swift+http://test%3Atester:testing@{host}/{}/{name}",
                container.name
            );
            let mut config = container.config(None);
            config.swift_store_auth_version = "3".to_owned();
            config.swift_store_auth_address = Some(keystone.url());
            let by_keystone = saccade_store_swift::SwiftStore::open(config).unwrap();
            let range = Some(10..size as u64 - 10);
            let blob = by_keystone.read(&Location::new(old), range).await.unwrap();
            assert!(bytes_of(blob).await.unwrap() == bytes[10..size - 10]);
            store.delete(&location).await.unwrap();
            assert_eq!(container.inventory().await, [""; 0], "{kind:?} {size}");

            let (name, attempt) = (BlobName(Uuid::new_v4()), Attempt(Uuid::new_v4()));
            let (handle, mut writer) = store.create(name, attempt, None).await.unwrap();
            writer.write(Bytes::from(bytes.clone())).await.unwrap();
            let location = writer.commit().await.unwrap();
            store.settle(&handle).await.unwrap();
            let uri = Word::Text(location.as_str());
            driver.ask(&[Word::Text("read"), uri, path]).await;
            assert!(fs::read(&file).unwrap() == bytes);
            driver.ask(&[Word::Text("delete"), uri]).await;
            assert!(store.size(&location).await.is_err());
            assert_eq!(container.inventory().await, [""; 0], "{kind:?} {size}");
        }
    }
}
