//! What uploads hold when the server takes nothing, by a count of all bytes that the process has allocated.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use peak_alloc::PeakAlloc;
use saccade_store_conformance::stalled::Stalled;
use saccade_store_contract::{Attempt, BlobName, Store};
use saccade_store_swift::{Secret, SwiftStore, SwiftStoreConfig};
use tokio::{task::JoinSet, time::sleep};
use uuid::Uuid;

#[global_allocator]
static HEAP: PeakAlloc = PeakAlloc;

const MIB: usize = 1 << 20;
/// Of a segment of each, and the block that is being filled.
const OWN: usize = 8 * MIB + (256 << 10);
/// Further segments, of all of them together.
const AHEAD: usize = 48 * MIB;
/// Connections, and what else the store and the test are made of.
const REST: usize = 12 * MIB;

/// One test alone in its process: it counts all of it.
#[tokio::test]
async fn sixteen_uploads_hold_at_most_a_window_each_and_what_they_share_and_then_nothing() {
    let server = Stalled::start().await;
    let mut config = SwiftStoreConfig::new("s");
    config.swift_store_auth_version = "1".to_owned();
    config.swift_store_auth_address = Some(format!("{}/auth/v1.0", server.url));
    config.swift_store_user = Some("a:b".to_owned());
    config.swift_store_key = Some(Secret::new("a"));
    let store = Arc::new(SwiftStore::open(config).unwrap());
    let chunk = Bytes::from(vec![7; MIB]);
    let before = HEAP.current_usage();
    HEAP.reset_peak_usage();
    let mut uploads = JoinSet::new();
    for _ in 0..16 {
        let (store, chunk) = (Arc::clone(&store), chunk.clone());
        uploads.spawn(async move {
            let (name, attempt) = (BlobName(Uuid::new_v4()), Attempt(Uuid::new_v4()));
            let (_, mut writer) = store.create(name, attempt, None).await.unwrap();
            for _ in 0..200 {
                writer.write(chunk.clone()).await.unwrap();
            }
        });
    }
    let held = || HEAP.current_usage().saturating_sub(before);
    eventually("each has a window full", || held() >= 16 * 8 * MIB).await;
    // Whoever would take more has the time to.
    sleep(Duration::from_secs(1)).await;
    let most = HEAP.peak_usage().saturating_sub(before);
    assert!(most <= 16 * OWN + AHEAD + REST, "{} MiB", most / MIB);
    uploads.shutdown().await;
    drop(server);
    eventually("nothing is left of uploads that have ended", || held() < REST).await;
}

async fn eventually(what: &str, is_so: impl Fn() -> bool) {
    for _ in 0..600 {
        if is_so() {
            return;
        }
        sleep(Duration::from_millis(100)).await;
    }
    panic!(
        "it does not come about: {what}; {} MiB",
        HEAP.current_usage() / MIB
    );
}
