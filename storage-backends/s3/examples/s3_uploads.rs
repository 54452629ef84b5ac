//! How fast so many uploads at once are, and how much memory they take:
//! `S3_HOST=http://… S3_ACCESS_KEY=… S3_SECRET_KEY=… S3_BUCKET=… cargo run --release --example s3_uploads -- 16 256`
//! (uploads, MiB of each). The bytes are not read from anywhere, and the objects are removed.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::{env, fs, time::Instant};

use bytes::Bytes;
use saccade_store_contract::{Attempt, BlobName, Store};
use saccade_store_s3::{S3Store, S3StoreConfig, Secret};
use uuid::Uuid;

fn number(nth: usize, default: u64) -> u64 {
    env::args()
        .nth(nth)
        .map_or(default, |text| text.parse().expect("a number"))
}

/// The most memory that was in use, in MiB.
fn most_memory() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))
        .unwrap();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() / 1024
}

#[tokio::main(flavor = "multi_thread")]
async fn main() {
    let var = |name: &str| env::var(name).unwrap_or_else(|_| panic!("{name} is not set"));
    let mut config = S3StoreConfig::new(
        "s3",
        &var("S3_HOST"),
        Secret::new(var("S3_ACCESS_KEY")),
        Secret::new(var("S3_SECRET_KEY")),
        &var("S3_BUCKET"),
    );
    config.s3_store_create_bucket_on_put = true;
    let store = S3Store::open(config).unwrap();
    let (uploads, mib) = (number(1, 16), number(2, 256));
    let begun = Instant::now();
    let tasks: Vec<_> = (0..uploads)
        .map(|_| {
            let store = store.clone();
            tokio::spawn(async move {
                let (name, attempt) = (BlobName(Uuid::new_v4()), Attempt(Uuid::new_v4()));
                let (handle, mut writer) = store.create(name, attempt, None).await.unwrap();
                let chunk = Bytes::from(vec![1; 256 << 10]);
                for _ in 0..mib * 4 {
                    writer.write(chunk.clone()).await.unwrap();
                }
                writer.commit().await.unwrap();
                handle
            })
        })
        .collect();
    let mut handles = Vec::new();
    for task in tasks {
        handles.push(task.await.unwrap());
    }
    let seconds = begun.elapsed().as_secs_f64();
    println!(
        "{:.0} MiB/s, {} MiB at most",
        (uploads * mib) as f64 / seconds,
        most_memory()
    );
    for handle in handles {
        store.discard(&handle).await.unwrap();
    }
}
