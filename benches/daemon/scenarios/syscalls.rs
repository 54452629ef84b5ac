//! How often a transfer goes into the kernel: `strace` counts.

use super::{
    downloads::{delete, images, of},
    mebibytes, scenario,
};
use crate::{
    bench::Bench,
    case::{Fact, Scenario},
    contender::Contender,
    harness::http::{Framing, Receive},
};
use rustix::process::{Pid, Signal, kill_process};
use std::{
    fs, io,
    process::{Child, Command, Stdio},
    thread,
    time::Duration,
};

/// The calls that are named one by one; the others are in the sum.
const NAMED: usize = 6;

pub(super) fn run(bench: &Bench) -> io::Result<Scenario> {
    let len = bench.options.pick(1 << 30, 64 << 20);
    let mut result = scenario(
        "syscalls",
        format!(
            "System calls of a server during one transfer of {}, for each GiB: `strace -f -c`.",
            mebibytes(len)
        ),
    );
    if Command::new("strace").arg("--version").output().is_err() {
        result.about.push_str(" Not measured: strace is not installed.");
        return Ok(result);
    }
    let images = images(bench, len)?;
    for contender in &bench.contenders {
        let mut fact = |name: &str, counts: io::Result<Counts>| {
            eprintln!("  {:14} {name}", contender.kind.name());
            result.facts.push(Fact {
                contender: contender.kind.name().to_owned(),
                name: format!("{name}, system calls for each GiB"),
                value: counts.map_or_else(|error| format!("failed: {error}"), |counts| counts.text(len)),
            });
        };
        if let Some(image) = of(&images, contender) {
            let path = contender.data_path(&image.id);
            fact(
                "download",
                traced(contender, || {
                    contender
                        .connect()
                        .download(&path, None, Receive::Discard)
                        .map(drop)
                }),
            );
        }
        if contender.kind.has_api() {
            let id = contender.create(&mut contender.connect())?;
            let content = bench.content(len);
            fact(
                "upload",
                traced(contender, || {
                    contender
                        .connect()
                        .upload(&contender.data_path(&id), &content, Framing::Sized)
                }),
            );
            contender.delete(&id)?;
        }
    }
    delete(&images)?;
    Ok(result)
}

/// Calls by name, the most frequent first.
struct Counts(Vec<(String, u64)>);

impl Counts {
    /// Reads what `strace -c` writes.
    fn parse(text: &str) -> Self {
        let line = |line: &str| {
            let words: Vec<&str> = line.split_whitespace().collect();
            let name = words.last().filter(|name| **name != "total")?;
            Some(((*name).to_owned(), words.get(3)?.parse().ok()?))
        };
        let mut counts: Vec<(String, u64)> = text.lines().filter_map(line).collect();
        counts.sort_by_key(|(_, calls)| std::cmp::Reverse(*calls));
        Self(counts)
    }

    fn text(&self, len: u64) -> String {
        let scaled = |calls: u64| (calls as f64 * f64::from(1 << 30) / len as f64).round();
        let named = self
            .0
            .iter()
            .take(NAMED)
            .map(|(name, calls)| format!("{name} {}", scaled(*calls)));
        let total: u64 = self.0.iter().map(|(_, calls)| calls).sum();
        format!("**{}**: {}", scaled(total), named.collect::<Vec<_>>().join(", "))
    }
}

fn traced(contender: &Contender, work: impl FnOnce() -> io::Result<()>) -> io::Result<Counts> {
    let file = tempfile::NamedTempFile::new()?;
    let mut command = Command::new("strace");
    command.args(["-f", "-c", "-o"]).arg(file.path());
    for pid in contender.processes() {
        command.args(["-p", &pid.to_string()]);
    }
    let mut strace: Child = command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()?;
    // It says on no channel that it has attached itself to every thread.
    thread::sleep(Duration::from_secs(1));
    let worked = work();
    let ended = strace.try_wait()?;
    if ended.is_none() {
        kill_process(Pid::from_child(&strace), Signal::INT)?;
        strace.wait()?;
    }
    worked?;
    if ended.is_some() {
        return Err(io::Error::other("strace may not attach itself here"));
    }
    Ok(Counts::parse(&fs::read_to_string(file.path())?))
}
