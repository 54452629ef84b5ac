//! The real program: how it starts, tells, and stops.

use std::{
    fs,
    io::{BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpStream},
    os::unix::net::UnixDatagram,
    path::Path,
    process::{Child, ChildStderr, Command, ExitStatus, Stdio},
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process};

const SOON: Duration = Duration::from_secs(30);

struct Daemon {
    process: Child,
    log: BufReader<ChildStderr>,
    seen: String,
    api: SocketAddr,
    metrics: SocketAddr,
}

fn saccade() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_saccade"));
    // Nothing of the environment of whoever runs the tests.
    command.env_clear().stdin(Stdio::null());
    command
}

/// With a data directory that the daemon makes itself, below `dir`.
fn serve(dir: &Path) -> Command {
    let mut command = saccade();
    command
        .args(["serve", "--bind", "127.0.0.1:0", "--data-dir"])
        .arg(dir.join("data"))
        .env("OS_SACCADE__METRICS_BIND", "127.0.0.1:0");
    command
}

impl Daemon {
    fn start(mut command: Command) -> Self {
        let mut process = command.stderr(Stdio::piped()).spawn().unwrap();
        let log = BufReader::new(process.stderr.take().unwrap());
        let nowhere = SocketAddr::from(([0, 0, 0, 0], 0));
        let mut daemon = Self {
            process,
            log,
            seen: String::new(),
            api: nowhere,
            metrics: nowhere,
        };
        daemon.metrics = address(&daemon.wait_for("serving metrics"));
        daemon.api = address(&daemon.wait_for(" serving address"));
        daemon
    }

    /// The next line of the log with that text.
    fn wait_for(&mut self, text: &str) -> String {
        loop {
            let mut line = String::new();
            assert!(
                self.log.read_line(&mut line).unwrap() > 0,
                "{text:?} is not in the log:\n{}",
                self.seen
            );
            self.seen.push_str(&line);
            if line.contains(text) {
                return line;
            }
        }
    }

    fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.process), signal).unwrap();
    }

    /// The exit status and the whole log.
    fn end(mut self) -> (ExitStatus, String) {
        let begin = Instant::now();
        let status = loop {
            if let Some(status) = self.process.try_wait().unwrap() {
                break status;
            }
            assert!(begin.elapsed() < SOON, "it does not end:\n{}", self.seen);
            std::thread::sleep(Duration::from_millis(10));
        };
        self.log.read_to_string(&mut self.seen).unwrap();
        (status, std::mem::take(&mut self.seen))
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn address(line: &str) -> SocketAddr {
    let (_, address) = line.trim_end().rsplit_once("address=").unwrap();
    address.parse().unwrap()
}

fn ask(address: SocketAddr, path: &str) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(SOON)).unwrap();
    write!(stream, "GET {path} HTTP/1.1\r\nConnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

/// A request that stays open: its head never ends.
fn begin_request(address: SocketAddr) -> TcpStream {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.write_all(b"GET / HTTP/1.1\r\nX-").unwrap();
    stream
}

#[test]
fn it_starts_answers_and_stops_on_sigterm() {
    let dir = tempfile::tempdir().unwrap();
    let daemon = Daemon::start(serve(dir.path()));
    assert!(ask(daemon.api, "/").starts_with("HTTP/1.1 "));
    daemon.signal(Signal::TERM);
    let (status, log) = daemon.end();
    assert_eq!(status.code(), Some(0), "{log}");
    let steps = [
        "saccade starts",
        "data directory locked",
        " node=",
        "identity: local users",
        "metadata opened",
        "stores opened",
        "ledger opened",
        "serving metrics",
        " serving address",
        "stopping on SIGTERM",
        "closed to new connections",
        "stopped: every request was answered",
    ];
    let mut rest = log.as_str();
    for step in steps {
        let (_, after) = rest
            .split_once(step)
            .unwrap_or_else(|| panic!("{step} in its place in:\n{log}"));
        rest = after;
    }
    assert!(
        !log.contains("WARN") && !log.contains("ERROR") && !log.contains('\x1b'),
        "{log}"
    );
}

#[test]
fn a_taken_default_address_of_metrics_does_not_keep_a_second_daemon_from_starting() {
    // Taken by this test, or by whatever has taken it already.
    let _taken = std::net::TcpListener::bind("127.0.0.1:9299");
    let dir = tempfile::tempdir().unwrap();
    let mut command = serve(dir.path());
    command
        .env_remove("OS_SACCADE__METRICS_BIND")
        .stderr(Stdio::piped());
    let mut process = command.spawn().unwrap();
    let lines = BufReader::new(process.stderr.take().unwrap())
        .lines()
        .map(Result::unwrap);
    let log: Vec<String> = lines
        .take_while(|line| !line.contains(" serving address"))
        .collect();
    let is_running = process.try_wait().unwrap().is_none();
    process.kill().unwrap();
    process.wait().unwrap();
    assert!(
        is_running && log.iter().any(|line| line.contains("metrics are not served")),
        "{log:?}"
    );
}

#[test]
fn metrics_have_a_listener_of_their_own() {
    let dir = tempfile::tempdir().unwrap();
    let daemon = Daemon::start(serve(dir.path()));
    ask(daemon.api, "/");
    let metrics = ask(daemon.metrics, "/metrics");
    assert!(metrics.starts_with("HTTP/1.1 200 OK\r\n"), "{metrics}");
    for line in [
        "# TYPE saccade_connections_total counter",
        "process_resident_memory_bytes ",
        "process_open_fds ",
    ] {
        assert!(metrics.contains(line), "{line} in {metrics}");
    }
    assert!(ask(daemon.metrics, "/").starts_with("HTTP/1.1 404 "));
    assert!(!ask(daemon.api, "/metrics").contains("process_open_fds"));
}

#[test]
fn a_second_signal_stops_at_once() {
    let dir = tempfile::tempdir().unwrap();
    let mut command = serve(dir.path());
    command.env("OS_SACCADE__DRAIN_DELAY", "1h");
    let mut daemon = Daemon::start(command);
    daemon.signal(Signal::INT);
    daemon.wait_for("stopping on SIGINT");
    assert!(ask(daemon.api, "/").starts_with("HTTP/1.1 "), "it still serves");
    daemon.signal(Signal::INT);
    let (status, log) = daemon.end();
    assert_eq!(status.code(), Some(0), "{log}");
    assert!(log.contains("open requests were broken off"), "{log}");
}

#[test]
fn open_requests_have_graceful_timeout_to_finish() {
    let dir = tempfile::tempdir().unwrap();
    let mut command = serve(dir.path());
    command.env("OS_SACCADE__GRACEFUL_TIMEOUT", "200ms");
    let daemon = Daemon::start(command);
    let mut open = begin_request(daemon.api);
    ask(daemon.api, "/");
    daemon.signal(Signal::TERM);
    let (status, log) = daemon.end();
    assert_eq!(status.code(), Some(0), "{log}");
    assert!(log.contains("graceful_timeout is over"), "{log}");
    let mut answer = String::new();
    let _ = open.read_to_string(&mut answer);
    assert_eq!(answer, "");
}

#[test]
fn two_daemons_do_not_share_a_data_directory() {
    let dir = tempfile::tempdir().unwrap();
    let first = Daemon::start(serve(dir.path()));
    let second = serve(dir.path()).output().unwrap();
    let told = String::from_utf8(second.stderr).unwrap();
    assert_eq!(second.status.code(), Some(1), "{told}");
    let last = told.lines().last().unwrap();
    assert!(
        last.starts_with("saccade: cannot start: data directory")
            && last.contains(&format!("(process {})", first.process.id())),
        "{told}"
    );
}

#[test]
fn a_killed_daemon_leaves_no_lock_and_keeps_its_name() {
    let dir = tempfile::tempdir().unwrap();
    let daemon = Daemon::start(serve(dir.path()));
    let id = fs::read_to_string(dir.path().join("data/node-id")).unwrap();
    daemon.signal(Signal::KILL);
    daemon.end();
    let daemon = Daemon::start(serve(dir.path()));
    assert!(daemon.seen.contains(id.trim()), "{}", daemon.seen);
}

#[test]
fn the_log_can_be_json() {
    let dir = tempfile::tempdir().unwrap();
    let mut command = serve(dir.path());
    command
        .env("OS_SACCADE__LOG_FORMAT", "json")
        .env("OS_SACCADE__METRICS_BIND", "256.0.0.1:1");
    let output = command.output().unwrap();
    assert_eq!(
        output.status.code(),
        Some(78),
        "it never starts with a wrong address"
    );
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    command.env(
        "OS_SACCADE__METRICS_BIND",
        taken.local_addr().unwrap().to_string(),
    );
    let output = command.output().unwrap();
    let text = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{text}");
    let lines: Vec<_> = text.lines().collect();
    let (last, log) = lines.split_last().unwrap();
    assert!(log.len() >= 3, "{text}");
    for line in log {
        let event: serde_json::Value = serde_json::from_str(line).unwrap();
        assert_eq!(event["level"], "INFO", "{line}");
    }
    assert!(
        last.starts_with(&format!(
            "saccade: cannot start: cannot listen on {}: ",
            taken.local_addr().unwrap()
        )),
        "{text}"
    );
}

#[test]
fn a_malformed_log_filter_stops_the_start() {
    let dir = tempfile::tempdir().unwrap();
    let output = serve(dir.path())
        .env("SACCADE_LOG", "saccade=loud")
        .output()
        .unwrap();
    let text = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{text}");
    assert!(text.contains("SACCADE_LOG"), "{text}");
}

#[test]
fn the_service_manager_is_told() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("notify");
    let manager = UnixDatagram::bind(&path).unwrap();
    manager.set_read_timeout(Some(SOON)).unwrap();
    let told = || {
        let mut buffer = [0; 1024];
        let length = manager.recv(&mut buffer).unwrap();
        String::from_utf8_lossy(&buffer[..length]).into_owned()
    };
    let mut command = serve(dir.path());
    command.env("NOTIFY_SOCKET", &path);
    let daemon = Daemon::start(command);
    let ready = told();
    assert!(
        ready.contains("READY=1") && ready.contains(&format!("STATUS=serving on {}", daemon.api)),
        "{ready}"
    );
    daemon.signal(Signal::TERM);
    assert!(told().contains("STOPPING=1"));
    daemon.end();
}
