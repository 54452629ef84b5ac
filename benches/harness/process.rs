//! A server's process with all of its children: started, waited for, looked at, stopped.

use rustix::{
    param::clock_ticks_per_second,
    process::{Pid, Signal, kill_process},
};
use std::{
    collections::BTreeMap,
    fs::{self, File},
    net::{SocketAddr, TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

const START: Duration = Duration::from_secs(120);
const STOP: Duration = Duration::from_secs(30);

/// A port of the loopback that nobody listens on.
pub(crate) fn free_address() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

/// Dropped, it is stopped as an operator stops it.
pub(crate) struct Server {
    child: Child,
    log: PathBuf,
}

impl Server {
    /// Starts it, and waits until something listens. The kernel kills it as soon as the benchmark is gone.
    pub(crate) fn start(command: &Command, log: &Path, address: SocketAddr) -> Self {
        let program = Path::new(command.get_program());
        let file = File::create(log).unwrap();
        let mut child = Command::new("setpriv")
            .args(["--pdeathsig", "KILL", "--"])
            .arg(program)
            .args(command.get_args())
            .envs(
                command
                    .get_envs()
                    .filter_map(|(name, value)| Some((name, value?))),
            )
            .stdin(Stdio::null())
            .stdout(file.try_clone().unwrap())
            .stderr(file)
            .spawn()
            .unwrap_or_else(|error| panic!("cannot run setpriv {}: {error}", program.display()));
        let deadline = Instant::now() + START;
        while TcpStream::connect(address).is_err() {
            let ended = child.try_wait().unwrap();
            assert!(
                ended.is_none() && Instant::now() < deadline,
                "{} does not listen on {address} ({ended:?}):\n{}",
                program.display(),
                fs::read_to_string(log).unwrap_or_default()
            );
            thread::sleep(Duration::from_millis(5));
        }
        Self {
            child,
            log: log.to_owned(),
        }
    }

    /// Stops it: all that it said.
    pub(crate) fn stop(self) -> String {
        let log = self.log.clone();
        drop(self);
        fs::read_to_string(log).unwrap_or_default()
    }

    /// Ends it at once, as a crash does.
    pub(crate) fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// What it said so far.
    pub(crate) fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// It and its descendants.
    pub(crate) fn processes(&self) -> Vec<u32> {
        let mut children: BTreeMap<u32, Vec<u32>> = BTreeMap::new();
        for entry in fs::read_dir("/proc").unwrap().flatten() {
            let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else {
                continue;
            };
            if let Some(stat) = stat(pid) {
                children.entry(stat.parent).or_default().push(pid);
            }
        }
        let mut tree = vec![self.child.id()];
        let mut next = 0;
        while let Some(pid) = tree.get(next) {
            tree.extend(children.get(pid).into_iter().flatten());
            next += 1;
        }
        tree
    }

    /// User and system time so far, with that of children that have ended.
    pub(crate) fn cpu_seconds(&self) -> f64 {
        let ticks: u64 = self
            .processes()
            .into_iter()
            .filter_map(stat)
            .map(|stat| stat.ticks)
            .sum();
        ticks as f64 / clock_ticks_per_second() as f64
    }

    /// A line of `status`, in bytes, of all processes together.
    pub(crate) fn memory(&self, name: &str) -> u64 {
        self.sum("status", name)
    }

    /// Resident memory in bytes, what processes share counted once.
    pub(crate) fn proportional_memory(&self) -> u64 {
        self.sum("smaps_rollup", "Pss:")
    }

    /// `VmHWM` begins anew.
    pub(crate) fn reset_peak(&self) {
        for pid in self.processes() {
            // One that has just ended has no peak.
            let _ = fs::write(format!("/proc/{pid}/clear_refs"), "5");
        }
    }

    fn sum(&self, file: &str, name: &str) -> u64 {
        let of = |pid: u32| {
            let text = fs::read_to_string(format!("/proc/{pid}/{file}")).ok()?;
            let line = text.lines().find(|line| line.starts_with(name))?;
            line.split_whitespace().nth(1)?.parse::<u64>().ok()
        };
        self.processes().into_iter().filter_map(of).sum::<u64>() * 1024
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = kill_process(Pid::from_child(&self.child), Signal::TERM);
        let deadline = Instant::now() + STOP;
        while matches!(self.child.try_wait(), Ok(None)) {
            if Instant::now() > deadline {
                let _ = self.child.kill();
            }
            thread::sleep(Duration::from_millis(10));
        }
    }
}

struct Stat {
    parent: u32,
    ticks: u64,
}

/// `None` when the process is gone.
fn stat(pid: u32) -> Option<Stat> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name may hold anything: spaces and parentheses too.
    let (_, rest) = text.rsplit_once(')')?;
    let fields: Vec<&str> = rest.split_whitespace().collect();
    let times = fields
        .get(11..15)?
        .iter()
        .filter_map(|time| time.parse::<u64>().ok());
    Some(Stat {
        parent: fields.get(1)?.parse().ok()?,
        ticks: times.sum(),
    })
}
