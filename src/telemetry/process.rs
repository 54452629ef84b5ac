//! What the process takes of the machine, under the names that every Prometheus client library uses.

use rustix::process::{Resource, getrlimit};
use std::{fmt::Write as _, fs};

/// In the text format of Prometheus. What the system does not tell is left out.
pub(super) fn render(text: &mut String, started: f64) {
    let ours = fs::read_to_string("/proc/self/statm").ok().and_then(|statm| {
        let pages: u64 = statm.split_whitespace().nth(1)?.parse().ok()?;
        pages.checked_mul(u64::try_from(rustix::param::page_size()).ok()?)
    });
    let samples = [
        (
            "process_resident_memory_bytes",
            "gauge",
            "Resident memory in bytes.",
            ours.map(|bytes| bytes.to_string()),
        ),
        (
            "process_cpu_seconds_total",
            "counter",
            "User and system CPU time spent, in seconds.",
            cpu_seconds().map(|seconds| seconds.to_string()),
        ),
        (
            "process_open_fds",
            "gauge",
            "Open file descriptors.",
            // One of them is the directory being listed.
            fs::read_dir("/proc/self/fd")
                .ok()
                .map(|fds| fds.count().saturating_sub(1).to_string()),
        ),
        (
            "process_max_fds",
            "gauge",
            "File descriptors that may be open at most.",
            getrlimit(Resource::Nofile).current.map(|most| most.to_string()),
        ),
        (
            "process_start_time_seconds",
            "gauge",
            "When the process started, in seconds since the Unix epoch.",
            Some(started.to_string()),
        ),
    ];
    for (name, kind, help, value) in samples {
        if let Some(value) = value {
            // A String takes everything.
            let _ = write!(
                text,
                "# HELP {name} {help}\n# TYPE {name} {kind}\n{name} {value}\n"
            );
        }
    }
}

fn cpu_seconds() -> Option<f64> {
    let stat = fs::read_to_string("/proc/self/stat").ok()?;
    // The second field is a name in parentheses that may hold anything.
    let (_, fields) = stat.rsplit_once(')')?;
    let mut fields = fields.split_whitespace().skip(11);
    let user: u32 = fields.next()?.parse().ok()?;
    let system: u32 = fields.next()?.parse().ok()?;
    let per_second = u32::try_from(rustix::param::clock_ticks_per_second()).ok()?;
    Some((f64::from(user) + f64::from(system)) / f64::from(per_second))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_figure_is_told_and_plausible() {
        let mut text = String::new();
        render(&mut text, 1.5e9);
        let value = |name: &str| -> f64 {
            let line = text
                .lines()
                .find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
            line.unwrap_or_else(|| panic!("{name} in {text}"))
                .parse()
                .unwrap()
        };
        assert!(value("process_resident_memory_bytes") > 1e6);
        assert!(value("process_open_fds") >= 3.0);
        assert!(value("process_max_fds") >= value("process_open_fds"));
        assert!(value("process_cpu_seconds_total") >= 0.0);
        assert!((value("process_start_time_seconds") - 1.5e9).abs() < 1.0);
    }
}
