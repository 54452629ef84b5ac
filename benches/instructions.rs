//! What work costs in instructions, counted by callgrind: figures that no other load on the machine changes, to see small
//! regressions by. `make bench-instructions` (needs valgrind, which knows no AVX-512: what is counted is the code for AVX2).
//!
//! Everything is done twice, the second time more of it: the difference is the work, without start and stop.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

#[allow(dead_code, reason = "what this benchmark needs no part of")]
mod harness;

use bytes::Bytes;
use harness::{
    http::{Connection, Framing, Payload, Receive},
    saccade::{Identity, Saccade},
};
use saccade::{
    digest::{Algorithm, DigestPool},
    inspect::{Declared, Inspection, Rules},
};
use std::{env, hint::black_box, num::NonZeroUsize, process::Command};

const CALLGRIND: [&str; 3] = ["valgrind", "--tool=callgrind", "--callgrind-out-file=/dev/null"];
const CHUNK: usize = 256 << 10;
/// Chunks of the shorter run of pure work; the longer one has twice as many.
const CHUNKS: usize = 128;
const WARM_UP: usize = 50;
const REQUESTS: usize = 300;
const IMAGE: u64 = 32 << 20;

fn main() {
    let words: Vec<String> = env::args().collect();
    // What this program runs itself as, under callgrind.
    if let [_, flag, work, chunks] = words.as_slice()
        && flag == "--work"
    {
        return pure(work, chunks.parse().unwrap());
    }
    if Command::new("valgrind").arg("--version").output().is_err() {
        eprintln!("valgrind is not installed");
        std::process::exit(1);
    }
    println!("| work | instructions |");
    println!("|---|---:|");
    for (work, name) in [
        ("digest-1", "MD5 and SHA-512, 1 stream, for each byte"),
        ("digest-8", "MD5 and SHA-512, 8 streams, for each byte"),
        ("inspect", "inspection of a raw image, for each byte"),
    ] {
        let more = child(work, CHUNKS * 2).saturating_sub(child(work, CHUNKS));
        println!("| {name} | {:.3} |", more as f64 / (CHUNKS * CHUNK) as f64);
    }
    let nothing = daemon(|_, _| {}, 0);
    for (name, request) in REQUEST_KINDS {
        let more = daemon(request, REQUESTS).saturating_sub(nothing);
        println!("| {name}, for each request | {} |", more / REQUESTS as u64);
    }
    let payload = Payload::new();
    let upload = |connection: &mut Connection, _: &str| {
        let id = create(connection);
        connection
            .upload(
                &format!("/v2/images/{id}/file"),
                &payload.content(1, IMAGE),
                Framing::Sized,
            )
            .unwrap();
        id
    };
    let uploaded = daemon(|connection, id| drop(upload(connection, id)), 1);
    println!(
        "| upload, for each byte | {:.3} |",
        uploaded.saturating_sub(nothing) as f64 / IMAGE as f64
    );
    let downloaded = daemon(
        |connection, id| {
            let path = format!("/v2/images/{}/file", upload(connection, id));
            connection.download(&path, None, Receive::Discard).unwrap();
        },
        1,
    );
    println!(
        "| download, for each byte | {:.3} |",
        downloaded.saturating_sub(uploaded) as f64 / IMAGE as f64
    );
}

type Request = fn(&mut Connection, &str);

const REQUEST_KINDS: [(&str, Request); 4] = [
    ("show", |connection, id| {
        connection
            .expect(200, "GET", &format!("/v2/images/{id}"), None, b"")
            .unwrap();
    }),
    ("list of 20", |connection, _| {
        connection
            .expect(200, "GET", "/v2/images?limit=20", None, b"")
            .unwrap();
    }),
    ("patch", |connection, id| {
        let kind = "application/openstack-images-v2.1-json-patch";
        let body = br#"[{"op":"replace","path":"/name","value":"another"}]"#;
        connection
            .expect(200, "PATCH", &format!("/v2/images/{id}"), Some(kind), body)
            .unwrap();
    }),
    ("create", |connection, _| drop(create(connection))),
];

fn create(connection: &mut Connection) -> String {
    let body = br#"{"name":"benchmark","disk_format":"raw","container_format":"bare"}"#;
    let answer = connection.expect(201, "POST", "/v2/images", Some("application/json"), body);
    let image: serde_json::Value = serde_json::from_slice(&answer.unwrap()).unwrap();
    image["id"].as_str().unwrap().to_owned()
}

/// Instructions of a daemon that starts, is warmed up, does this so many times, and stops.
fn daemon(request: impl Fn(&mut Connection, &str), times: usize) -> u64 {
    let directory = tempfile::tempdir().unwrap();
    let data = directory.path().join("data");
    let daemon = Saccade::start_under(&CALLGRIND, &data, Identity::TrustedHeaders);
    let mut connection = daemon.connect();
    // As many images as a page of a list has, and every kind of request once or more.
    let ids: Vec<String> = (0..WARM_UP).map(|_| create(&mut connection)).collect();
    for (at, id) in ids.iter().enumerate() {
        REQUEST_KINDS[at % 3].1(&mut connection, id);
    }
    for time in 0..times {
        request(&mut connection, &ids[time % ids.len()]);
    }
    drop(connection);
    collected(&daemon.server.stop())
}

/// Instructions of this program doing pure work.
fn child(work: &str, chunks: usize) -> u64 {
    let [valgrind, options @ ..] = CALLGRIND;
    let output = Command::new(valgrind)
        .args(options)
        .arg(env::current_exe().unwrap())
        .args(["--work", work, &chunks.to_string()])
        .output()
        .unwrap();
    collected(&String::from_utf8_lossy(&output.stderr))
}

/// `==123== Collected : 456`.
fn collected(log: &str) -> u64 {
    let line = log.lines().rev().find(|line| line.contains("Collected :"));
    let number = line.and_then(|line| line.rsplit(' ').next()?.parse().ok());
    number.unwrap_or_else(|| panic!("callgrind counted nothing:\n{log}"))
}

fn pure(work: &str, chunks: usize) {
    let chunk: Bytes = (0..CHUNK)
        .map(|index| (index * 7 + (index >> 8)).to_le_bytes()[0] | 1)
        .collect();
    match work {
        "digest-1" => digest(&chunk, 1, chunks),
        "digest-8" => digest(&chunk, 8, chunks),
        _ => {
            let mut inspection = Inspection::new(Declared::new("raw", "bare", Rules::default()));
            for _ in 0..chunks {
                inspection.push(black_box(&chunk));
                assert!(black_box(inspection.early_refusal()).is_none());
            }
            black_box(inspection.verdict()).unwrap();
        }
    }
}

fn digest(chunk: &Bytes, streams: usize, chunks: usize) {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let pool = DigestPool::new(NonZeroUsize::MIN).unwrap();
    runtime.block_on(async {
        let mut open: Vec<_> = (0..streams)
            .map(|_| pool.start(&[Algorithm::Md5, Algorithm::Sha512]))
            .collect();
        for number in 0..chunks {
            open[number % streams].push(chunk.clone()).await.unwrap();
        }
        for stream in open {
            black_box(stream.finish().await.unwrap());
        }
    });
}
