//! The S3 store keeps the contract, at a real gateway.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

mod rgw;

use std::sync::Arc;

use async_trait::async_trait;
use proptest::prelude::*;
use rgw::Bucket;
use rusty_s3::Method;
use saccade_store_conformance::{
    Harness, conformance_suite,
    model::{compare, steps},
};
use saccade_store_contract::{BlobName, Location, Store};
use saccade_store_s3::S3Store;
use tokio::runtime::Builder;

/// The store as it is by default, or one that sends everything in parts.
struct InABucket<const PARTS: bool> {
    bucket: Bucket,
    store: Arc<S3Store>,
}

impl<const PARTS: bool> InABucket<PARTS> {
    fn open(bucket: &Bucket) -> Arc<S3Store> {
        let mut config = bucket.config(&bucket.rgw.host);
        if PARTS {
            config.s3_store_large_object_size = 0;
        }
        Arc::new(S3Store::open(config).unwrap())
    }
}

#[async_trait]
impl<const PARTS: bool> Harness for InABucket<PARTS> {
    async fn start() -> Self {
        let bucket = Bucket::new().await;
        let store = Self::open(&bucket);
        Self { bucket, store }
    }

    fn store(&self) -> Arc<dyn Store> {
        Arc::clone(&self.store) as Arc<dyn Store>
    }

    async fn restart(&mut self) {
        self.store = Self::open(&self.bucket);
    }

    async fn inventory(&self) -> Vec<String> {
        self.bucket.inventory().await
    }

    async fn plant(&self, name: BlobName, bytes: &[u8]) {
        self.bucket.put(&name.to_string(), bytes).await;
    }

    fn location(&self, name: BlobName) -> Location {
        self.bucket.location(name)
    }

    fn foreign_locations(&self) -> Vec<Location> {
        let host = self.bucket.rgw.host.strip_prefix("http://").unwrap();
        let bucket = &self.bucket.name;
        [
            String::new(),
            format!("s3://{host}/{bucket}"),
            format!("s3://{host}/{bucket}/"),
            format!("s3://{host}/{bucket}/.."),
            format!("s3://{host}/{bucket}/a?uploads"),
            format!("s3://{host}/{bucket}/.saccade.a.b"),
            format!("s3://{host}/another/a"),
            format!("s3://127.0.0.1:1/{bucket}/a"),
            format!("s3://AK:SK@another/{bucket}/a"),
            format!("swift://{host}/{bucket}/a"),
            "file:///etc/passwd".to_owned(),
        ]
        .map(Location::new)
        .into()
    }

    fn chunks_held(&self) -> Option<usize> {
        Some(0)
    }
}

impl<const PARTS: bool> Drop for InABucket<PARTS> {
    fn drop(&mut self) {
        let bucket = self.bucket.clone();
        // What a failed test leaves stays for a look at it.
        tokio::spawn(async move { bucket.send(Method::Delete, "", &[], b"").await });
    }
}

mod whole {
    use super::InABucket;
    super::conformance_suite!(InABucket<false>);
}

mod in_parts {
    use super::InABucket;
    super::conformance_suite!(InABucket<true>);
}

/// Short blobs, and such as take two parts.
const ZEROES: &[u64] = &[0, 1, 2000, 6_000_000];

proptest! {
    // Each case is some hundred requests.
    #![proptest_config(ProptestConfig { cases: 8, max_shrink_iters: 40, ..ProptestConfig::default() })]

    #[test]
    fn the_s3_store_does_what_the_memory_store_does(steps in steps(25, ZEROES)) {
        let runtime = Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(compare::<InABucket<false>>(steps));
    }

    #[test]
    fn the_s3_store_in_parts_does_what_the_memory_store_does(steps in steps(25, ZEROES)) {
        let runtime = Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(compare::<InABucket<true>>(steps));
    }
}
