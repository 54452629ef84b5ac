//! How fast a file is written: `cargo run --release --example write_speed -- DIRECTORY [MIB] [ROUNDS]`.
//!
//! Compares chunks on tokio's blocking pool with a thread of their own, each with and without write-behind. Every figure
//! includes the final sync; the ways alternate, so that a slow moment of the disk does not count against one of them.

use std::{
    env, fs, io,
    path::Path,
    sync::{Arc, Mutex, PoisonError},
    thread,
    time::{Duration, Instant},
};

use bytes::Bytes;
use saccade_disk::{Disk, DiskFile, RealDisk};
use tokio::{
    runtime::Builder,
    sync::mpsc,
    task::{JoinHandle, spawn_blocking},
};

const WINDOW: u64 = 8 << 20;

#[derive(Debug, Clone, Copy)]
enum Engine {
    Pool,
    Thread,
}

struct Sink {
    file: Box<dyn DiskFile>,
    at: u64,
    behind: u64,
    write_behind: bool,
}

impl Sink {
    fn write(&mut self, chunk: &[u8]) -> io::Result<()> {
        self.file.write_all_at(chunk, self.at)?;
        self.at += chunk.len() as u64;
        if self.write_behind && self.at - self.behind >= WINDOW {
            let from = self.behind.saturating_sub(WINDOW);
            self.file.write_behind(from, self.at - from);
            self.behind = self.at;
        }
        Ok(())
    }
}

/// One blocking call for each chunk, one under way at a time, as the store does it.
async fn on_the_pool(sink: &Arc<Mutex<Sink>>, chunk: &Bytes, count: u64) -> io::Result<()> {
    let mut running: Option<JoinHandle<io::Result<()>>> = None;
    for _ in 0..count {
        if let Some(running) = running.take() {
            running.await??;
        }
        let (sink, chunk) = (Arc::clone(sink), chunk.clone());
        running = Some(spawn_blocking(move || {
            sink.lock().unwrap_or_else(PoisonError::into_inner).write(&chunk)
        }));
    }
    match running {
        Some(running) => running.await?,
        None => Ok(()),
    }
}

/// A thread of its own behind a channel of one chunk.
async fn on_a_thread(sink: &Arc<Mutex<Sink>>, chunk: &Bytes, count: u64) -> io::Result<()> {
    let (sender, mut receiver) = mpsc::channel::<Bytes>(1);
    let sink = Arc::clone(sink);
    let writer = thread::spawn(move || {
        let mut sink = sink.lock().unwrap_or_else(PoisonError::into_inner);
        while let Some(chunk) = receiver.blocking_recv() {
            sink.write(&chunk)?;
        }
        Ok(())
    });
    for _ in 0..count {
        if sender.send(chunk.clone()).await.is_err() {
            break;
        }
    }
    drop(sender);
    writer.join().unwrap_or_else(|_| Err(io::ErrorKind::Other.into()))
}

async fn measure(
    path: &Path,
    engine: Engine,
    write_behind: bool,
    chunk: usize,
    len: u64,
) -> io::Result<[Duration; 2]> {
    let file = RealDisk.create_new(path, 0o600)?;
    let sink = Arc::new(Mutex::new(Sink {
        file,
        at: 0,
        behind: 0,
        write_behind,
    }));
    let bytes = Bytes::from(vec![0xA5; chunk]);
    let count = len / chunk as u64;
    let start = Instant::now();
    match engine {
        Engine::Pool => on_the_pool(&sink, &bytes, count).await?,
        Engine::Thread => on_a_thread(&sink, &bytes, count).await?,
    }
    let written = start.elapsed();
    let synced = spawn_blocking(move || {
        sink.lock()
            .unwrap_or_else(PoisonError::into_inner)
            .file
            .sync_data()
    });
    synced.await??;
    let whole = start.elapsed();
    fs::remove_file(path)?;
    Ok([whole, whole.saturating_sub(written)])
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = env::args().skip(1);
    let directory = arguments.next().ok_or("which directory?")?;
    let mib: u64 = arguments.next().map_or(Ok(1024), |text| text.parse())?;
    let rounds: usize = arguments.next().map_or(Ok(3), |text| text.parse())?;
    let path = Path::new(&directory).join("write_speed.tmp");
    let runtime = Builder::new_multi_thread().worker_threads(1).build()?;
    for round in 0..rounds {
        for chunk in [256 << 10, 1 << 20] {
            for (engine, write_behind) in [
                (Engine::Pool, true),
                (Engine::Thread, true),
                (Engine::Pool, false),
                (Engine::Thread, false),
            ] {
                let [whole, sync] =
                    runtime.block_on(measure(&path, engine, write_behind, chunk, mib << 20))?;
                println!(
                    "round {round}  chunk {:4} KiB  {engine:?}  write-behind {write_behind:5}  {:6.0} MB/s  sync {:5.0} ms",
                    chunk >> 10,
                    (mib << 20) as f64 / 1e6 / whole.as_secs_f64(),
                    sync.as_secs_f64() * 1e3,
                );
            }
        }
    }
    Ok(())
}
