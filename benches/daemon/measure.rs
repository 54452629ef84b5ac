//! One turn of one server: what it moved, in what time, and what that took from the machine.

use crate::contender::Contender;
use serde::{Deserialize, Serialize};
use std::{
    fs, io,
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::{Duration, Instant},
};

/// What a turn did, as its client saw it.
#[derive(Default)]
pub(crate) struct Outcome {
    pub(crate) bytes: u64,
    pub(crate) requests: u64,
    /// Of each request, if they are of interest.
    pub(crate) latencies: Vec<Duration>,
}

impl Outcome {
    pub(crate) fn bytes(bytes: u64) -> Self {
        Self {
            bytes,
            ..Self::default()
        }
    }
}

/// One turn.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
pub(crate) struct Sample {
    /// Wall time.
    pub(crate) seconds: f64,
    pub(crate) bytes: u64,
    pub(crate) requests: u64,
    /// User and system time of the server's processes, with the children that ended.
    pub(crate) cpu_seconds: f64,
    /// Time in which any processor did anything: the client, the kernel's own threads and other programs too.
    pub(crate) machine_cpu_seconds: f64,
    /// Sum of the processes' peaks, in bytes.
    pub(crate) resident_peak: u64,
    /// The part of resident memory that is no file's, as the turn ended, in bytes.
    pub(crate) anonymous: u64,
    /// Most that all TCP sockets of the machine held, in bytes.
    pub(crate) socket_peak: u64,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub(crate) p50_ms: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub(crate) p99_ms: Option<f64>,
}

impl Sample {
    /// MB (10⁶ bytes) in a second.
    pub(crate) fn megabytes_per_second(&self) -> f64 {
        self.bytes as f64 / 1e6 / self.seconds
    }

    pub(crate) fn requests_per_second(&self) -> f64 {
        self.requests as f64 / self.seconds
    }

    /// The server's CPU seconds for 10⁹ bytes.
    pub(crate) fn cpu_per_gigabyte(&self) -> f64 {
        self.cpu_seconds / (self.bytes as f64 / 1e9)
    }

    /// The server's CPU milliseconds for a request.
    pub(crate) fn cpu_per_request(&self) -> f64 {
        self.cpu_seconds * 1000.0 / self.requests as f64
    }
}

/// Measures the work of one turn.
pub(crate) fn measure(
    contender: &Contender,
    work: impl FnOnce() -> io::Result<Outcome>,
) -> io::Result<Sample> {
    // What others have written is not on the disk's list any more.
    rustix::fs::sync();
    contender.reset_peak();
    let (busy, cpu) = (machine_cpu_seconds(), contender.cpu_seconds());
    let (outcome, seconds, socket_peak) = with_socket_peak(|| {
        let begun = Instant::now();
        let outcome = work();
        (outcome, begun.elapsed().as_secs_f64())
    });
    let mut outcome = outcome?;
    outcome.latencies.sort_unstable();
    let percentile = |percent: usize| {
        let at = (outcome.latencies.len() * percent / 100).min(outcome.latencies.len().saturating_sub(1));
        outcome.latencies.get(at).map(|time| time.as_secs_f64() * 1000.0)
    };
    Ok(Sample {
        seconds,
        bytes: outcome.bytes,
        requests: outcome.requests,
        cpu_seconds: contender.cpu_seconds() - cpu,
        machine_cpu_seconds: machine_cpu_seconds() - busy,
        resident_peak: contender.sum(|server| server.memory("VmHWM")),
        anonymous: contender.sum(|server| server.memory("RssAnon")),
        socket_peak,
        p50_ms: percentile(50),
        p99_ms: percentile(99),
    })
}

fn with_socket_peak<T>(work: impl FnOnce() -> (T, f64)) -> (T, f64, u64) {
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        let sampler = scope.spawn(|| {
            let mut peak = 0;
            while !done.load(Ordering::Relaxed) {
                peak = peak.max(socket_memory());
                thread::sleep(Duration::from_millis(20));
            }
            peak
        });
        let (result, seconds) = work();
        done.store(true, Ordering::Relaxed);
        (result, seconds, sampler.join().unwrap())
    })
}

/// Bytes that the TCP sockets of this machine hold.
fn socket_memory() -> u64 {
    let text = fs::read_to_string("/proc/net/sockstat").unwrap_or_default();
    let line = text
        .lines()
        .find(|line| line.starts_with("TCP:"))
        .unwrap_or_default();
    let mut words = line.split_whitespace().skip_while(|word| *word != "mem");
    let pages: u64 = words.nth(1).and_then(|pages| pages.parse().ok()).unwrap_or(0);
    pages * rustix::param::page_size() as u64
}

fn machine_cpu_seconds() -> f64 {
    let text = fs::read_to_string("/proc/stat").unwrap_or_default();
    let fields = text.lines().next().unwrap_or_default().split_whitespace().skip(1);
    let times: Vec<u64> = fields.map(|field| field.parse().unwrap_or(0)).collect();
    // user nice system idle iowait irq softirq
    let busy: u64 = [0, 1, 2, 5, 6].iter().filter_map(|at| times.get(*at)).sum();
    busy as f64 / rustix::param::clock_ticks_per_second() as f64
}
