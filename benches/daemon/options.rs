//! What a run is asked for, in environment variables: `cargo bench` keeps arguments for itself.

use std::{env, path::PathBuf, str::FromStr};

/// The scenarios there are, in the order in which they run.
pub(crate) const SCENARIOS: [&str; 9] = [
    "uploads",
    "downloads",
    "ranges",
    "cold",
    "small",
    "metadata",
    "crowd",
    "memory",
    "syscalls",
];

#[derive(Debug)]
pub(crate) struct Options {
    /// How often each contender takes its turn.
    pub(crate) rounds: usize,
    /// Bytes that each contender moves in one turn of uploads or downloads.
    pub(crate) size: u64,
    pub(crate) quick: bool,
    only: Vec<String>,
    without: Vec<String>,
    /// Where the servers keep their data.
    pub(crate) directory: PathBuf,
    /// Where results go.
    pub(crate) out: PathBuf,
    /// Results to make tables and charts of again, instead of measuring.
    pub(crate) render: Option<PathBuf>,
    /// Processes of Python Glance.
    pub(crate) glance_processes: usize,
}

impl Options {
    pub(crate) fn from_environment() -> Result<Self, String> {
        let quick = variable::<u8>("QUICK")?.unwrap_or(0) != 0;
        let only = list("ONLY");
        if let Some(unknown) = only.iter().find(|name| !SCENARIOS.contains(&name.as_str())) {
            return Err(format!("ONLY={unknown}: there are {}", SCENARIOS.join(", ")));
        }
        let size = match variable::<String>("SIZE")? {
            Some(text) => bytes(&text).ok_or_else(|| format!("SIZE={text}: write 4G or 512M"))?,
            None if quick => 64 << 20,
            None => 4 << 30,
        };
        // Of 32 uploads, each has at least one MiB.
        if size < 32 << 20 {
            return Err("SIZE must be at least 32M".to_owned());
        }
        // What is not a whole run does not take the place of one.
        let whole = !quick && only.is_empty();
        let package = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
        let out = match env::var_os("OUT") {
            Some(path) => path.into(),
            None if whole => package.join("docs/benchmarks"),
            None => package.join("target/benchmarks"),
        };
        Ok(Self {
            rounds: variable("ROUNDS")?.unwrap_or(if quick { 2 } else { 5 }).max(1),
            size,
            quick,
            only,
            without: list("WITHOUT"),
            directory: env::var_os("BENCH_DIR")
                .map_or_else(|| env!("CARGO_TARGET_TMPDIR").into(), PathBuf::from),
            out,
            render: env::var_os("RENDER").map(PathBuf::from),
            glance_processes: variable("GLANCE_PROCESSES")?.unwrap_or_else(|| cores().max(4)),
        })
    }

    pub(crate) fn wants(&self, scenario: &str) -> bool {
        self.only.is_empty() || self.only.iter().any(|name| name == scenario)
    }

    /// Whether a contender is left out.
    pub(crate) fn without(&self, contender: &str) -> bool {
        self.without.iter().any(|name| name == contender)
    }

    /// One value for whole runs, and one for quick ones.
    pub(crate) fn pick<T>(&self, whole: T, quick: T) -> T {
        if self.quick { quick } else { whole }
    }

    /// The command that asks for the same again.
    pub(crate) fn command(&self) -> String {
        const NAMES: [&str; 6] = ["QUICK", "ONLY", "WITHOUT", "ROUNDS", "SIZE", "GLANCE_PROCESSES"];
        let set = NAMES
            .iter()
            .filter_map(|name| Some(format!(" {name}={}", env::var(name).ok()?)));
        format!("make bench-daemon{}", set.collect::<String>())
    }
}

/// Processors that this process may use.
pub(crate) fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

fn variable<T: FromStr>(name: &str) -> Result<Option<T>, String> {
    match env::var(name) {
        Ok(text) if !text.is_empty() => {
            let value = text
                .parse()
                .map_err(|_| format!("{name}={text} is not understood"))?;
            Ok(Some(value))
        }
        _ => Ok(None),
    }
}

fn list(name: &str) -> Vec<String> {
    let text = env::var(name).unwrap_or_default();
    let names = text.split(',').map(str::trim).filter(|name| !name.is_empty());
    names.map(str::to_owned).collect()
}

fn bytes(text: &str) -> Option<u64> {
    let (number, unit) = text.split_at(text.find(|c: char| !c.is_ascii_digit())?);
    let shift = match unit {
        "M" | "MiB" => 20,
        "G" | "GiB" => 30,
        _ => return None,
    };
    number.parse::<u64>().ok()?.checked_shl(shift)
}
