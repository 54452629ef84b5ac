//! The whole daemon beside nginx and Python Glance: all run at the same time and take turns. `make bench-daemon`;
//! `docs/benchmarks/README.md` says what is measured and how to read it.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

mod bench;
mod case;
mod chart;
mod contender;
#[path = "../harness/mod.rs"]
#[allow(dead_code, reason = "what this benchmark needs no part of")]
mod harness;
mod measure;
mod options;
mod report;
mod scenarios;
mod servers;
mod statistics;

use crate::{
    bench::Bench,
    options::{Options, SCENARIOS},
    report::Report,
};
use rustix::process::{Resource, getrlimit, setrlimit};
use std::{process::ExitCode, time::Instant};

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<(), String> {
    let options = Options::from_environment()?;
    let text = |error: std::io::Error| error.to_string();
    if let Some(path) = &options.render {
        return Report::read(path)
            .and_then(|report| report.write(&options.out))
            .map_err(text);
    }
    allow_many_files();
    let directory = tempfile::Builder::new()
        .prefix("saccade-bench-")
        .tempdir_in(&options.directory)
        .map_err(text)?;
    let (contenders, notes) = servers::start(&options, directory.path());
    let mut report = Report::begin(&options, &contenders, notes);
    let bench = Bench::new(options, contenders);
    for name in SCENARIOS.into_iter().filter(|name| bench.options.wants(name)) {
        let begun = Instant::now();
        eprintln!("{name}");
        let scenario = scenarios::run(&bench, name);
        let scenario = scenario.map_err(|error| contender::with_logs(&bench.contenders, &error))?;
        eprintln!("{name}: {:.0} s", begun.elapsed().as_secs_f64());
        report.scenarios.push(scenario);
        // What is measured is kept, whatever comes next.
        report.write(&bench.options.out).map_err(text)?;
    }
    eprintln!("written to {}", bench.options.out.display());
    Ok(())
}

/// Thousands of connections need as many descriptors, here and in the servers that inherit the limit.
fn allow_many_files() {
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    if let Err(error) = setrlimit(Resource::Nofile, limit) {
        eprintln!("the number of open files stays what it is: {error}");
    }
}
