//! What glance_store's own driver has written is read, and the other way round.
//!
//! glance_store is in a virtual environment that `make glance-store` makes, and `make test`.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

mod rgw;

use std::{fs, path::Path};

use bytes::Bytes;
use rgw::Bucket;
use saccade_store_conformance::{
    bytes_of,
    glance_store::{GlanceStore, Word},
};
use saccade_store_contract::{Attempt, BlobName, Location, Store};
use tempfile::TempDir;
use uuid::Uuid;

fn glance_store(bucket: &Bucket) -> GlanceStore {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/glance_driver.py");
    let keys = [
        ("ACCESS_KEY", &*bucket.rgw.access_key),
        ("SECRET_KEY", &bucket.rgw.secret_key),
    ];
    GlanceStore::start(&script, [&*bucket.rgw.host, &bucket.name], keys)
}

#[tokio::test]
async fn each_reads_and_deletes_what_the_other_has_written() {
    let bucket = Bucket::new().await;
    let (store, files) = (bucket.store(), TempDir::new().unwrap());
    let file = files.path().join("image");
    let path = Word::Text(file.to_str().unwrap());
    let mut driver = glance_store(&bucket);
    for size in [0, 100_000, 12 << 20] {
        let bytes: Vec<_> = (0..size)
            .map(|at: usize| u8::try_from(at * at % 251).unwrap())
            .collect();

        let name = BlobName(Uuid::new_v4());
        fs::write(&file, &bytes).unwrap();
        let id = name.to_string();
        let location = driver.ask(&[Word::Text("write"), Word::Text(&id), path]).await;
        assert_eq!(location, bucket.location(name).as_str());
        let location = Location::new(location);
        let found = bytes_of(store.read(&location, None).await.unwrap())
            .await
            .unwrap();
        assert!(found == bytes);
        store.delete(&location).await.unwrap();

        let name = BlobName(Uuid::new_v4());
        let attempt = Attempt(Uuid::new_v4());
        let (handle, mut writer) = store.create(name, attempt, None).await.unwrap();
        writer.write(Bytes::from(bytes.clone())).await.unwrap();
        let location = writer.commit().await.unwrap();
        store.settle(&handle).await.unwrap();
        let id = name.to_string();
        driver.ask(&[Word::Text("read"), Word::Text(&id), path]).await;
        assert!(fs::read(&file).unwrap() == bytes);
        driver.ask(&[Word::Text("delete"), Word::Text(&id)]).await;
        assert!(store.size(&location).await.is_err());
        assert_eq!(bucket.inventory().await, [""; 0]);
    }
}
