//! What the servers are asked to do.

mod cold;
mod crowd;
mod downloads;
mod memory;
mod metadata;
mod ranges;
mod small;
mod syscalls;
mod uploads;

use crate::{bench::Bench, case::Scenario};
use std::io;

/// Runs one by its name.
pub(crate) fn run(bench: &Bench, name: &str) -> io::Result<Scenario> {
    match name {
        "uploads" => uploads::run(bench),
        "downloads" => downloads::run(bench),
        "ranges" => ranges::run(bench),
        "cold" => cold::run(bench),
        "small" => small::run(bench),
        "metadata" => metadata::run(bench),
        "crowd" => crowd::run(bench),
        "memory" => memory::run(bench),
        "syscalls" => syscalls::run(bench),
        unknown => Err(io::Error::other(format!("no scenario is called {unknown}"))),
    }
}

fn scenario(name: &str, about: impl Into<String>) -> Scenario {
    Scenario {
        name: name.to_owned(),
        about: about.into(),
        cases: Vec::new(),
        facts: Vec::new(),
    }
}

fn mebibytes(bytes: u64) -> String {
    if bytes >= 1 << 30 && bytes.is_multiple_of(1 << 30) {
        format!("{} GiB", bytes >> 30)
    } else {
        format!("{} MiB", bytes >> 20)
    }
}
