//! What glance_store's own driver has written is read, and the other way round.
//!
//! Needs `pip install glance_store boto3`; then `SACCADE_GLANCE_STORE=/path/to/venv/bin/python cargo test -p
//! saccade-store-s3 --test glance_store -- --ignored`.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

mod rgw;

use std::{fs, path::Path, process::Command};

use bytes::Bytes;
use rgw::Bucket;
use saccade_store_conformance::bytes_of;
use saccade_store_contract::{Attempt, BlobName, Location, Store};
use tempfile::TempDir;
use uuid::Uuid;

fn glance_store(verb: &str, bucket: &Bucket, name: BlobName, file: &Path) -> String {
    let python = std::env::var("SACCADE_GLANCE_STORE").expect("a Python with glance_store");
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/glance_driver.py");
    let output = Command::new(python)
        .arg(script)
        .args([verb, &bucket.rgw.host, &bucket.name, &name.to_string()])
        .arg(file)
        .env("ACCESS_KEY", &bucket.rgw.access_key)
        .env("SECRET_KEY", &bucket.rgw.secret_key)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{verb}: {said}");
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

#[tokio::test]
#[ignore = "needs a Python with glance_store and boto3"]
async fn each_reads_and_deletes_what_the_other_has_written() {
    let bucket = Bucket::new().await;
    let (store, files) = (bucket.store(), TempDir::new().unwrap());
    let file = files.path().join("image");
    for size in [0, 100_000, 12 << 20] {
        let bytes: Vec<_> = (0..size)
            .map(|at: usize| u8::try_from(at * at % 251).unwrap())
            .collect();

        let name = BlobName(Uuid::new_v4());
        fs::write(&file, &bytes).unwrap();
        let location = glance_store("write", &bucket, name, &file);
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
        glance_store("read", &bucket, name, &file);
        assert!(fs::read(&file).unwrap() == bytes);
        glance_store("delete", &bucket, name, &file);
        assert!(store.size(&location).await.is_err());
        assert_eq!(bucket.inventory().await, [""; 0]);
    }
}
