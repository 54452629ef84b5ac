//! Each kernel, with each number of streams it has lanes for, in GB/s of all streams together (1e9 bytes per second of
//! the thread's CPU time).
//!
//! `cargo bench -p saccade-digest-kernels`. Rounds are interleaved, so that other load on the machine shifts all rows alike; shown is the median.

use std::hint::black_box;

use rustix::time::{ClockId, clock_gettime};
use saccade_digest_kernels::{
    Job, Kernels, MAX_LANES, Stream, md5, md5_openssl, md5_portable, one_pass, sha512, sha512_portable,
};

const CHUNK: usize = 256 * 1024;
const ROUNDS: usize = 15;

fn main() {
    let data: Vec<Vec<u8>> = (0..MAX_LANES)
        .map(|lane| (0..CHUNK).map(|at| (at * 7 + lane).to_le_bytes()[0]).collect())
        .collect();
    same_bytes(data.first().map_or(&[], Vec::as_slice));
    let mut kernels = md5_portable().each();
    kernels.extend(md5_openssl().each().into_iter().take(1));
    kernels.extend(md5().each());
    table("MD5", &data, &kernels, |kernels| kernels.start());
    let mut kernels = sha512_portable().each();
    kernels.extend(sha512().each());
    table("SHA-512", &data, &kernels, |kernels| kernels.start());
}

fn cpu() -> f64 {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    time.tv_sec as f64 + time.tv_nsec as f64 / 1e9
}

/// Both hashes of one stream, and MD5 of a part of it besides.
fn same_bytes(bytes: &[u8]) {
    let openssl = md5_openssl();
    let (mut whole, mut part) = (md5().start(), md5().start());
    let mut sha = sha512().start();
    let mut figures: [(&str, Vec<f64>); 8] = [
        "OpenSSL md5",
        "OpenSSL sha512",
        "OpenSSL md5, then sha512",
        "md5 in one lane",
        "md5 twice, in two lanes",
        "md5 in one lane, then OpenSSL sha512",
        "md5 and sha512 in one pass",
        "md5 twice and sha512 in one pass",
    ]
    .map(|name| (name, Vec::new()));
    for _ in 0..ROUNDS {
        for (row, (_, figures)) in figures.iter_mut().enumerate() {
            let begun = cpu();
            for _ in 0..32 {
                match row {
                    0 => openssl.update(&mut whole, bytes),
                    1 => sha512().update(&mut sha, bytes),
                    2 => {
                        openssl.update(&mut whole, bytes);
                        sha512().update(&mut sha, bytes);
                    }
                    3 => md5().update(&mut whole, bytes),
                    4 => one_pass().md5([&mut whole, &mut part], bytes),
                    5 => {
                        md5().update(&mut whole, bytes);
                        sha512().update(&mut sha, bytes);
                    }
                    6 => one_pass().both([&mut whole], &mut sha, bytes),
                    _ => one_pass().both([&mut whole, &mut part], &mut sha, bytes),
                }
            }
            figures.push((32 * bytes.len()) as f64 / 1e9 / (cpu() - begun));
        }
    }
    black_box((whole, part, sha));
    for (name, mut figures) in figures {
        figures.sort_by(f64::total_cmp);
        let of = |at: usize| figures.get(at).copied().unwrap_or(f64::NAN);
        println!("{name:36} {:.3} GB/s, best {:.3}", of(ROUNDS / 2), of(ROUNDS - 1));
    }
}

fn table<W: Copy + Default, const R: usize, const B: usize>(
    hash: &str,
    data: &[Vec<u8>],
    kernels: &[Kernels<W, R, B>],
    start: impl Fn(&Kernels<W, R, B>) -> Stream<W, R, B>,
) {
    let counts = [1, 2, 3, 4, 5, 6, 8, 10, 12, 16, 24, 32];
    let rows: Vec<(&Kernels<W, R, B>, usize)> = kernels
        .iter()
        .flat_map(|kernel| counts.map(|count| (kernel, count)))
        .filter(|(kernel, count)| *count <= kernel.most_lanes())
        .collect();
    let mut figures = vec![Vec::new(); rows.len()];
    for _ in 0..ROUNDS {
        for ((kernel, count), figures) in rows.iter().zip(&mut figures) {
            let mut streams: Vec<_> = (0..*count).map(|_| start(kernel)).collect();
            let begun = cpu();
            let turns = 32_usize.div_ceil(*count);
            for _ in 0..turns {
                let mut jobs: Vec<_> = streams
                    .iter_mut()
                    .zip(data)
                    .map(|(stream, data)| Job::new(stream, data))
                    .collect();
                kernel.update_many(&mut jobs);
            }
            figures.push((turns * count * CHUNK) as f64 / 1e9 / (cpu() - begun));
            black_box(streams);
        }
    }
    for ((kernel, count), mut figures) in rows.into_iter().zip(figures) {
        figures.sort_by(f64::total_cmp);
        let median = figures.get(ROUNDS / 2).copied().unwrap_or(f64::NAN);
        println!(
            "{hash:8} {:36} {count:2} streams {median:6.2} GB/s, {:.2} each",
            kernel.name(),
            median / count as f64
        );
    }
}
