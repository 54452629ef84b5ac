//! How fast a store of files takes blobs: every engine that is compiled in, every way to the disk, one writer and several.
//!
//! `cargo bench -p saccade-store-file --bench engines --features tokio-uring,glommio`. `BENCH_DIR` says where, `BENCH_MIB` how
//! much all writers write together, `BENCH_ROUNDS` how often. A blob is chunks of the size that uploads have, and its commit:
//! the final sync is part of every figure. All ways take turns, so that a slow moment of the machine does not count against
//! one of them; medians are printed, and what they are to the first line's. Ratios say more than figures.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

use std::{env, fs, sync::Arc, time::Instant};

use bytes::Bytes;
use saccade_disk::{BLOCK, RealDisk, WriteMode};
use saccade_store_contract::{Attempt, BlobName, Store};
use saccade_store_file::{Engine, EngineKind, FileStore, FileStoreConfig, OpenError, WriteChoice};
use tokio::{runtime::Builder, task::JoinSet};
use uuid::Uuid;

const CHUNK: usize = 256 << 10;
const WRITERS: [u64; 3] = [1, 4, 8];
const MODES: [WriteMode; 3] = [WriteMode::Buffered, WriteMode::DontCache, WriteMode::Direct];

struct Way {
    name: String,
    store: FileStore,
    /// For each number of writers: MB/s and CPU seconds per GB.
    measured: [Vec<(f64, f64)>; WRITERS.len()],
}

fn main() {
    let number = |name: &str, default: u64| env::var(name).map_or(default, |text| text.parse().unwrap());
    let (mib, rounds) = (number("BENCH_MIB", 512), number("BENCH_ROUNDS", 5));
    let place = tempfile::tempdir_in(env::var_os("BENCH_DIR").unwrap_or_else(|| "/tmp".into())).unwrap();
    let runtime = Builder::new_multi_thread().worker_threads(1).build().unwrap();
    let mut ways = ways(place.path());
    let chunks = chunks();
    for _ in 0..rounds {
        for (at, writers) in WRITERS.into_iter().enumerate() {
            for way in &mut ways {
                let bytes = (mib << 20) / writers;
                let before = cpu_seconds();
                let begun = Instant::now();
                runtime.block_on(write(&way.store, &chunks, writers, bytes));
                let seconds = begun.elapsed().as_secs_f64();
                let gigabytes = (bytes * writers) as f64 / 1e9;
                let cpu = (cpu_seconds() - before) / gigabytes;
                way.measured[at].push((gigabytes * 1e3 / seconds, cpu));
                // Not this one's to pay for.
                fs::read_dir(place.path())
                    .unwrap()
                    .for_each(|entry| drop(fs::remove_file(entry.unwrap().path())));
            }
        }
    }
    println!("{mib} MiB, {rounds} rounds; each: MB/s, times the first line's, CPU seconds per GB");
    println!("| engine and mode | 1 writer | 4 writers | 8 writers |");
    println!("|---|---|---|---|");
    let first = medians(&ways[0]);
    for way in &ways {
        let cells = medians(way).map(|(rate, cpu)| (rate, cpu));
        let cells: Vec<String> = cells
            .iter()
            .zip(first)
            .map(|((rate, cpu), (of_first, _))| format!("{rate:.0}, {:.2}, {cpu:.2}", rate / of_first))
            .collect();
        println!("| {} | {} |", way.name, cells.join(" | "));
    }
}

fn medians(way: &Way) -> [(f64, f64); WRITERS.len()] {
    let median = |mut values: Vec<f64>| {
        values.sort_by(f64::total_cmp);
        values[values.len() / 2]
    };
    [0, 1, 2].map(|at| {
        let (rates, cpu) = way.measured[at].iter().copied().unzip();
        (median(rates), median(cpu))
    })
}

fn ways(directory: &std::path::Path) -> Vec<Way> {
    let mut ways = Vec::new();
    for kind in [EngineKind::Pwrite, EngineKind::TokioUring, EngineKind::Glommio] {
        let Ok(engine) = Engine::start(kind) else {
            println!("{} is not compiled in", kind.name());
            continue;
        };
        if engine.to_string() != kind.name() {
            println!("{} cannot be used here", kind.name());
            continue;
        }
        for mode in MODES {
            // What the rings do not have, they leave to `pwritev2`.
            if kind != EngineKind::Pwrite && mode == WriteMode::DontCache {
                continue;
            }
            let config = FileStoreConfig {
                write: WriteChoice::Always(mode),
                engine: engine.clone(),
                ..FileStoreConfig::new("bench", directory)
            };
            match FileStore::open(config, Arc::new(RealDisk)) {
                Ok(store) => ways.push(Way {
                    name: format!("{engine}, {mode}"),
                    store,
                    measured: Default::default(),
                }),
                Err(error @ OpenError::WriteMode { .. }) => println!("{error}"),
                Err(error) => panic!("{error}"),
            }
        }
    }
    ways
}

/// As the pool of uploads makes them: each at a whole block in memory.
fn chunks() -> Vec<Bytes> {
    let count = 8;
    let mut memory = vec![0; count * CHUNK + BLOCK];
    let start = memory.as_ptr().align_offset(BLOCK);
    for (at, byte) in memory.iter_mut().enumerate() {
        *byte = ((at as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 56) as u8;
    }
    let memory = Bytes::from(memory);
    (0..count)
        .map(|at| memory.slice(start + at * CHUNK..start + (at + 1) * CHUNK))
        .collect()
}

async fn write(store: &FileStore, chunks: &[Bytes], writers: u64, bytes: u64) {
    let mut blobs = JoinSet::new();
    for _ in 0..writers {
        let (store, chunks) = (store.clone(), chunks.to_vec());
        blobs.spawn(async move {
            let (name, attempt) = (BlobName(Uuid::new_v4()), Attempt(Uuid::new_v4()));
            let (_, mut writer) = store.create(name, attempt, Some(bytes)).await.unwrap();
            for at in 0..bytes / CHUNK as u64 {
                let chunk = chunks[at as usize % chunks.len()].clone();
                writer.write(chunk).await.unwrap();
            }
            writer.commit().await.unwrap();
        });
    }
    while let Some(done) = blobs.join_next().await {
        done.unwrap();
    }
}

/// User and system time of this process so far.
fn cpu_seconds() -> f64 {
    let stat = fs::read_to_string("/proc/self/stat").unwrap();
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
    (fields[11].parse::<f64>().unwrap() + fields[12].parse::<f64>().unwrap()) / 100.0
}
