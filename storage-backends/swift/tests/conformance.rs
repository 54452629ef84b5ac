//! The Swift store keeps the contract, at OpenStack's Swift and at Ceph's gateway.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

mod server;

use std::sync::Arc;

use async_trait::async_trait;
use proptest::prelude::*;
use reqwest::Method;
use saccade_store_conformance::{
    Harness, conformance_suite,
    model::{compare, steps},
};
use saccade_store_contract::{BlobName, Location, Store};
use saccade_store_swift::SwiftStore;
use server::{Container, Kind};
use tokio::runtime::Builder;

/// A server, and whether all is sent in segments.
struct InAContainer<const RGW: bool, const SEGMENTS: bool> {
    container: Container,
    store: Arc<SwiftStore>,
}

impl<const RGW: bool, const SEGMENTS: bool> InAContainer<RGW, SEGMENTS> {
    fn open(container: &Container) -> Arc<SwiftStore> {
        let mut config = container.config(None);
        if SEGMENTS {
            config.swift_store_large_object_size = 0;
        } else {
            config.swift_store_large_object_chunk_size = 200;
        }
        Arc::new(SwiftStore::open(config).unwrap())
    }
}

#[async_trait]
impl<const RGW: bool, const SEGMENTS: bool> Harness for InAContainer<RGW, SEGMENTS> {
    async fn start() -> Self {
        let kind = if RGW { Kind::Rgw } else { Kind::Swift };
        let container = Container::new(kind).await;
        let store = Self::open(&container);
        Self { container, store }
    }

    fn store(&self) -> Arc<dyn Store> {
        Arc::clone(&self.store) as Arc<dyn Store>
    }

    async fn restart(&mut self) {
        self.store = Self::open(&self.container);
    }

    async fn inventory(&self) -> Vec<String> {
        let found = self.container.inventory().await;
        let mut prefixes = Vec::new();
        for name in found.iter().filter(|name| !name.contains('.')) {
            let (_, headers, _) = self.container.ask(Method::HEAD, name, &[], b"").await;
            if let Some(manifest) = headers.get("x-object-manifest") {
                prefixes.push(manifest.to_str().unwrap().split_once('/').unwrap().1.to_owned());
            }
        }
        // The segments of a blob that is there are one with it.
        let is_other = |name: &String| !prefixes.iter().any(|prefix| name.starts_with(prefix));
        found.into_iter().filter(is_other).collect()
    }

    async fn plant(&self, name: BlobName, bytes: &[u8]) {
        self.container.put(&name.to_string(), bytes).await;
    }

    fn location(&self, name: BlobName) -> Location {
        self.container.location(name)
    }

    fn foreign_locations(&self) -> Vec<Location> {
        let name = &self.container.name;
        [
            String::new(),
            format!("swift+config://ref1/{name}"),
            format!("swift+config://ref1/{name}/"),
            format!("swift+config://ref1/{name}/.."),
            format!("swift+config://ref1/../{name}"),
            format!("swift+config://ref1/{name}/a?multipart-manifest=get"),
            format!("swift+config://ref1/{name}/.saccade.a.b"),
            format!("swift+config://another/{name}/a"),
            format!("swift+https://test:tester:testing@127.0.0.1:1/auth/{name}/a"),
            format!("s3://127.0.0.1/{name}/a"),
            "file:///etc/passwd".to_owned(),
        ]
        .map(Location::new)
        .into()
    }

    fn chunks_held(&self) -> Option<usize> {
        Some(0)
    }
}

impl<const RGW: bool, const SEGMENTS: bool> Drop for InAContainer<RGW, SEGMENTS> {
    fn drop(&mut self) {
        let container = self.container.clone();
        // What a failed test leaves stays for a look at it.
        tokio::spawn(async move { container.send(Method::DELETE, "", &[], b"").await });
    }
}

mod swift_whole {
    use super::InAContainer;
    super::conformance_suite!(InAContainer<false, false>);
}

mod swift_in_segments {
    use super::InAContainer;
    super::conformance_suite!(InAContainer<false, true>);
}

mod rgw_whole {
    use super::InAContainer;
    super::conformance_suite!(InAContainer<true, false>);
}

mod rgw_in_segments {
    use super::InAContainer;
    super::conformance_suite!(InAContainer<true, true>);
}

/// Short blobs, and such as take several segments of 1,024,000 bytes.
const ZEROES: &[u64] = &[0, 1, 2000, 2_500_000];

proptest! {
    // Each case is some hundred requests.
    #![proptest_config(ProptestConfig { cases: 4, max_shrink_iters: 40, ..ProptestConfig::default() })]

    #[test]
    fn the_swift_store_does_what_the_memory_store_does(steps in steps(25, ZEROES)) {
        let runtime = Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(compare::<InAContainer<false, false>>(steps));
    }

    #[test]
    fn the_swift_store_in_segments_does_what_the_memory_store_does(steps in steps(25, ZEROES)) {
        let runtime = Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(compare::<InAContainer<false, true>>(steps));
    }

    #[test]
    fn the_swift_store_at_rgw_does_what_the_memory_store_does(steps in steps(25, ZEROES)) {
        let runtime = Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(compare::<InAContainer<true, true>>(steps));
    }
}
