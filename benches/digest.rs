//! Kernels and pipeline of `digest`, in GB/s (1e9 bytes per second).
//!
//! `cargo bench --bench digest`. Kernels are timed in thread CPU time, interleaved, so that other load on the machine
//! shifts all of them alike; the median and best of the rounds are shown. The pipeline is timed in wall time and in CPU
//! time of the whole process.

use std::hint::black_box;
use std::time::Instant;

use bytes::Bytes;
use openssl::hash::{Hasher, MessageDigest};
use rustix::time::{ClockId, clock_gettime};
use saccade::digest::{Algorithm, DigestPool};
use sha2::Digest;

const CHUNK: usize = 256 * 1024;
const ROUNDS: usize = 9;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let chunk: Bytes = (0..CHUNK)
        .map(|index| (index * 7 + (index >> 8)).to_le_bytes()[0])
        .collect();
    kernels(&chunk);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .build()?;
    for parts in [None, Some(204_800_000)] {
        for streams in [1, 2, 4, 8, 16, 32, 64] {
            runtime.block_on(pipeline(&chunk, streams, parts))?;
        }
    }
    Ok(())
}

/// Seconds of CPU time.
fn cpu(clock: ClockId) -> f64 {
    let time = clock_gettime(clock);
    time.tv_sec as f64 + time.tv_nsec as f64 / 1e9
}

fn portable<D: Digest>(chunks: &[Bytes]) {
    let mut hash = D::new();
    chunks.iter().for_each(|chunk| hash.update(chunk));
    black_box(hash.finalize());
}

fn openssl(message: MessageDigest, chunks: &[Bytes]) {
    // A library without the algorithm shows as an absurd figure rather than ending the run.
    let Ok(mut hash) = Hasher::new(message) else {
        return;
    };
    for chunk in chunks {
        let _ = hash.update(chunk);
    }
    let _ = black_box(hash.finish());
}

fn kernels(chunk: &Bytes) {
    type Kernel = fn(&[Bytes]);
    let kernels: [(&str, Kernel); 9] = [
        ("md5, md-5", portable::<md5::Md5>),
        ("md5, OpenSSL", |chunks| openssl(MessageDigest::md5(), chunks)),
        ("sha512, sha2", portable::<sha2::Sha512>),
        ("sha512, OpenSSL", |chunks| {
            openssl(MessageDigest::sha512(), chunks)
        }),
        ("sha256, sha2", portable::<sha2::Sha256>),
        ("sha256, OpenSSL", |chunks| {
            openssl(MessageDigest::sha256(), chunks)
        }),
        ("sha1, sha1", portable::<sha1::Sha1>),
        ("sha1, OpenSSL", |chunks| openssl(MessageDigest::sha1(), chunks)),
        ("blake3, blake3", |chunks| {
            let mut hash = blake3::Hasher::new();
            for chunk in chunks {
                hash.update(chunk);
            }
            black_box(hash.finalize());
        }),
    ];
    let chunks = vec![chunk.clone(); 128];
    let gigabytes = (chunks.len() * CHUNK) as f64 / 1e9;
    let mut figures = kernels.map(|(name, kernel)| (name, kernel, Vec::new()));
    for _ in 0..ROUNDS {
        for (_, kernel, seconds) in &mut figures {
            let start = cpu(ClockId::ThreadCPUTime);
            kernel(&chunks);
            seconds.push(cpu(ClockId::ThreadCPUTime) - start);
        }
    }
    for (name, _, seconds) in figures {
        println!("{name:16} {}", rates(gigabytes, seconds));
    }
}

/// With the MD5 of parts of this length, or without.
async fn pipeline(
    chunk: &Bytes,
    streams: usize,
    parts: Option<u64>,
) -> Result<(), Box<dyn std::error::Error>> {
    let pool = DigestPool::new(DigestPool::default_threads())?;
    let chunks = 2048 / streams;
    let gigabytes = (streams * chunks * CHUNK) as f64 / 1e9;
    let (mut walls, mut cpus) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        let (wall, start) = (Instant::now(), cpu(ClockId::ProcessCPUTime));
        let running: Vec<_> = (0..streams)
            .map(|_| {
                let algorithms = [Algorithm::Md5, Algorithm::Sha512];
                let mut stream = match parts {
                    None => pool.start(&algorithms),
                    Some(length) => {
                        pool.start_with_parts(&algorithms, Box::new(move |_| Some(length)))
                            .0
                    }
                };
                let chunk = chunk.clone();
                tokio::spawn(async move {
                    for _ in 0..chunks {
                        stream.push(chunk.clone()).await?;
                    }
                    stream.finish().await
                })
            })
            .collect();
        for stream in running {
            black_box(stream.await??);
        }
        walls.push(wall.elapsed().as_secs_f64());
        cpus.push((cpu(ClockId::ProcessCPUTime) - start) / gigabytes);
    }
    cpus.sort_by(f64::total_cmp);
    let cpu = cpus.get(cpus.len() / 2).copied().unwrap_or(f64::NAN);
    println!(
        "md5{} + sha512, {streams:2} streams, wall: {}, {cpu:.2} cpu-s/GB",
        if parts.is_some() { " + md5 of parts" } else { "" },
        rates(gigabytes, walls)
    );
    Ok(())
}

fn rates(gigabytes: f64, mut seconds: Vec<f64>) -> String {
    seconds.sort_by(f64::total_cmp);
    let rate = |seconds: Option<&f64>| gigabytes / seconds.copied().unwrap_or(f64::NAN);
    format!(
        "median {:.3}, best {:.3} GB/s",
        rate(seconds.get(seconds.len() / 2)),
        rate(seconds.first())
    )
}
