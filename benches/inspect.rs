//! The whole inspector beside MD5, which every upload is hashed with: GB/s (1e9 bytes per second) of one core.
//!
//! `cargo bench --bench inspect`. Both are given the same chunks, as long as those of an upload, in turns, and timed in
//! thread CPU time, so that other load on the machine shifts both alike; the best of the rounds is shown. Fails if
//! the inspector is not at least 20 times as fast as MD5: it must never be what an upload waits for.

use std::hint::black_box;

use openssl::hash::{Hasher, MessageDigest};
use rustix::time::{ClockId, clock_gettime};
use saccade::inspect::{Declared, Format, Inspection, Inspector, Rules};

const CHUNK: usize = 256 * 1024;
const IMAGE: usize = 1 << 30;
const ROUNDS: usize = 5;
const FASTER: f64 = 20.0;

type Failure = Box<dyn std::error::Error>;

fn main() -> Result<(), Failure> {
    let raw: Vec<u8> = (0..CHUNK)
        .map(|index| (index * 7 + (index >> 8)).to_le_bytes()[0] | 1)
        .collect();
    let first: [(Format, Vec<u8>); 2] = [(Format::Raw, raw.clone()), (Format::Qcow2, with_header(&raw)?)];
    let mut slowest = f64::INFINITY;
    println!(
        "{:<8} {:>10} {:>10} {:>8}",
        "format", "inspector", "MD5", "faster"
    );
    for (format, first) in &first {
        let (mut inspected, mut hashed) = (f64::INFINITY, f64::INFINITY);
        for _ in 0..ROUNDS {
            inspected = inspected.min(inspect(*format, first, &raw)?);
            hashed = hashed.min(md5(first, &raw)?);
        }
        let speed = |seconds: f64| IMAGE as f64 / 1e9 / seconds;
        let faster = hashed / inspected;
        slowest = slowest.min(faster);
        println!(
            "{:<8} {:>10.1} {:>10.2} {:>7.0}x",
            format.name(),
            speed(inspected),
            speed(hashed),
            faster
        );
    }
    if slowest < FASTER {
        return Err(format!("the inspector is only {slowest:.1} times as fast as MD5").into());
    }
    Ok(())
}

/// A chunk that begins with the header of a qcow2 image, version 3, of 1 TiB.
fn with_header(chunk: &[u8]) -> Result<Vec<u8>, Failure> {
    let mut header = b"QFI\xfb\0\0\0\x03".to_vec();
    header.extend([0; 12]);
    header.extend(16_u32.to_be_bytes());
    header.extend((1_u64 << 40).to_be_bytes());
    header.extend(0_u32.to_be_bytes());
    header.extend(2048_u32.to_be_bytes());
    header.resize(96, 0);
    header.extend([0, 0, 0, 4, 0, 0, 0, 104]);
    header.resize(112, 0);
    let rest = chunk
        .get(header.len()..)
        .ok_or("the chunk is longer than a header")?;
    Ok([&header, rest].concat())
}

/// Seconds of this thread's CPU time that `work` takes.
fn timed<T>(work: impl FnOnce() -> T) -> (f64, T) {
    let now = || {
        let time = clock_gettime(ClockId::ThreadCPUTime);
        time.tv_sec as f64 + time.tv_nsec as f64 / 1e9
    };
    let begun = now();
    let result = work();
    (now() - begun, result)
}

fn chunks<'a>(first: &'a [u8], rest: &'a [u8]) -> impl Iterator<Item = &'a [u8]> {
    std::iter::once(first).chain(std::iter::repeat_n(rest, IMAGE / CHUNK - 1))
}

/// As an upload does it: each chunk, and whether it is refused, and the verdict at the end.
fn inspect(format: Format, first: &[u8], rest: &[u8]) -> Result<f64, Failure> {
    let declared = Declared::new(format.name(), "bare", Rules::default());
    let (seconds, verdict) = timed(|| {
        let mut inspection = Inspection::new(declared);
        for chunk in chunks(first, rest) {
            inspection.push(black_box(chunk));
            if let Some(refusal) = black_box(inspection.early_refusal()) {
                return Err(refusal);
            }
        }
        inspection.verdict()
    });
    verdict?;
    // What was timed is what it is said to be.
    let mut inspector = Inspector::new();
    inspector.push(first);
    let seen = inspector.finish().format;
    if seen != format {
        return Err(format!("the {format} image is taken for {seen}").into());
    }
    Ok(seconds)
}

fn md5(first: &[u8], rest: &[u8]) -> Result<f64, Failure> {
    let (seconds, digest) = timed(|| {
        let mut hasher = Hasher::new(MessageDigest::md5())?;
        for chunk in chunks(first, rest) {
            hasher.update(chunk)?;
        }
        hasher.finish()
    });
    black_box(digest?);
    Ok(seconds)
}
