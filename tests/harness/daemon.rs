//! One daemon with a data directory of its own.

use super::{
    Answer, Client, cli,
    log::{Log, unexpected},
};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use std::{
    ffi::OsString,
    fs,
    net::{Ipv4Addr, SocketAddr, TcpListener},
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    sync::atomic::{AtomicU16, Ordering},
    time::{Duration, Instant},
};
use tempfile::TempDir;

/// A start takes well under a second; a machine that is busy starting a Ceph as well may need very much more.
const START: Duration = Duration::from_secs(60);
/// A stop waits for transfers; tests set `graceful_timeout` to less.
const STOP: Duration = Duration::from_secs(60);

/// How to start a daemon. By default as a newcomer would: no configuration but for the log and the metrics.
#[derive(Clone, Default)]
pub(crate) struct Setup {
    saccade: String,
    rest: String,
    glance_api: Option<String>,
    wrapper: Vec<OsString>,
    expected: Vec<String>,
    data_dir: DataDir,
    address: Option<SocketAddr>,
}

/// Who says where the data directory is.
#[derive(Clone, Copy, Default)]
enum DataDir {
    #[default]
    OfTheTest,
    Configured,
}

impl Setup {
    /// A line of `[saccade]`.
    pub(crate) fn option(mut self, line: &str) -> Self {
        self.saccade.push_str(line);
        self.saccade.push('\n');
        self
    }

    /// Lines with other sections: a Glance configuration.
    pub(crate) fn glance(mut self, text: &str) -> Self {
        self.rest.push_str(text);
        self.rest.push('\n');
        self
    }

    /// A file `glance-api.conf` before the test's own. `@ROOT@` stands for the directory of this daemon.
    pub(crate) fn glance_api(mut self, text: &str) -> Self {
        self.glance_api = Some(text.to_owned());
        self
    }

    /// Warnings and errors that contain this are no failure of the test.
    pub(crate) fn expect_log(mut self, text: &str) -> Self {
        self.expected.push(text.to_owned());
        self
    }

    /// A program and its arguments that then becomes the daemon.
    pub(crate) fn through(mut self, wrapper: impl IntoIterator<Item = OsString>) -> Self {
        self.wrapper = wrapper.into_iter().collect();
        self
    }

    /// The configuration names the data directory, which the test may not be able to see.
    pub(crate) fn on_its_configured_directory(mut self) -> Self {
        self.data_dir = DataDir::Configured;
        self
    }

    /// It listens there, and not wherever there is room.
    pub(crate) fn at(mut self, address: SocketAddr) -> Self {
        self.address = Some(address);
        self
    }

    /// Starts it on an empty data directory, and waits until it serves.
    pub(crate) fn start(self) -> Daemon {
        self.start_with(|_| {})
    }

    /// The same on a data directory that somebody makes at this path.
    pub(crate) fn start_with(self, make: impl FnOnce(&Path)) -> Daemon {
        let root = tempfile::Builder::new()
            .prefix("saccade-test-")
            .tempdir()
            .unwrap();
        let mut daemon = Daemon {
            address: self.address.unwrap_or_else(free_address),
            setup: self,
            root,
            running: None,
        };
        make(&daemon.data_dir());
        daemon.start();
        daemon
    }
}

/// A daemon, running or not. Dropped, it is killed, and its log judged.
pub(crate) struct Daemon {
    address: SocketAddr,
    setup: Setup,
    root: TempDir,
    running: Option<Running>,
}

struct Running {
    child: Child,
    log: Log,
    output: Log,
}

impl Daemon {
    /// With nothing special, serving.
    pub(crate) fn fresh() -> Self {
        Setup::default().start()
    }

    /// Starts it, on what is in the data directory, and waits until it serves.
    pub(crate) fn start(&mut self) {
        if let Err(lines) = self.try_start() {
            panic!("the daemon did not start:\n{}", lines.join("\n"));
        }
    }

    /// The same, or what it said before it ended.
    pub(crate) fn try_start(&mut self) -> Result<(), Vec<String>> {
        assert!(self.running.is_none(), "started twice");
        let mut child = self.command().spawn().unwrap();
        let mut log = Log::of(child.stderr.take().unwrap());
        let output = Log::of(child.stdout.take().unwrap());
        let deadline = Instant::now() + START;
        while !is_serving(&log.lines()) {
            if child.try_wait().unwrap().is_some() {
                return Err(log.finish());
            }
            if Instant::now() > deadline {
                child.kill().unwrap();
                child.wait().unwrap();
                panic!(
                    "the daemon does not serve after {START:?}:\n{}",
                    log.finish().join("\n")
                );
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        self.running = Some(Running { child, log, output });
        Ok(())
    }

    fn command(&self) -> Command {
        let text = format!(
            "[saccade]\nlog_format = json\nmetrics_bind = none\n{}{}",
            self.setup.saccade, self.setup.rest
        );
        let file = self.root.path().join("saccade.conf");
        // Into the file that has Glance's options: others are named after it.
        let (of_glance, own) = match self.setup.glance_api {
            Some(_) => (self.own_store(), String::new()),
            None => (String::new(), self.own_store()),
        };
        fs::write(&file, text + &own).unwrap();

        let mut words = self.setup.wrapper.clone();
        words.push(cli::BINARY.into());
        let mut command = Command::new(&words[0]);
        command.args(&words[1..]).arg("serve");
        if let Some(text) = &self.setup.glance_api {
            let file = self.root.path().join("glance-api.conf");
            let text = text.replace("@ROOT@", self.root.path().to_str().unwrap());
            fs::write(&file, text + &of_glance).unwrap();
            command.arg("--config-file").arg(file);
        }
        command
            .arg("--config-file")
            .arg(file)
            .arg("--bind")
            .arg(self.address.to_string())
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        if let DataDir::OfTheTest = self.setup.data_dir {
            command.arg("--data-dir").arg(self.data_dir());
        }
        command
    }

    /// With Glance's options and no store among them the daemon would keep images where Glance does, outside of the test.
    fn own_store(&self) -> String {
        let given = [
            &self.setup.rest,
            self.setup.glance_api.as_deref().unwrap_or_default(),
        ]
        .concat();
        let is_of_glance = given
            .lines()
            .any(|line| line.starts_with('[') && line != "[saccade]");
        if !is_of_glance
            || ["filesystem_store_datadir", "enabled_backends", "default_store"]
                .iter()
                .any(|name| given.contains(name))
        {
            return String::new();
        }
        let images = self.root.path().join("images-of-glance");
        fs::create_dir_all(&images).unwrap();
        format!(
            "\n[glance_store]\nfilesystem_store_datadir = {}\n",
            images.display()
        )
    }

    /// Where the daemon keeps everything.
    pub(crate) fn data_dir(&self) -> PathBuf {
        self.root.path().join("data")
    }

    /// Where the daemon keeps images, unless it was told otherwise.
    pub(crate) fn images_dir(&self) -> PathBuf {
        self.data_dir().join("images")
    }

    /// A directory of the test's own, gone with the daemon.
    pub(crate) fn scratch(&self) -> PathBuf {
        let path = self.root.path().join("scratch");
        fs::create_dir_all(&path).unwrap();
        path
    }

    /// Where it listens.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Its process.
    pub(crate) fn pid(&self) -> Pid {
        Pid::from_child(&self.running.as_ref().expect("the daemon runs").child)
    }

    /// The log until now.
    pub(crate) fn log(&self) -> Vec<String> {
        self.running.as_ref().expect("the daemon runs").log.lines()
    }

    /// What it printed until now, apart from the log.
    pub(crate) fn printed(&self) -> Vec<String> {
        self.running.as_ref().expect("the daemon runs").output.lines()
    }

    /// Whether the process is still there.
    pub(crate) fn is_running(&mut self) -> bool {
        let running = self.running.as_mut().expect("the daemon was started");
        running.child.try_wait().unwrap().is_none()
    }

    /// SIGTERM, without waiting.
    pub(crate) fn terminate(&self) {
        kill_process(self.pid(), Signal::TERM).unwrap();
    }

    /// Waits until it has ended by itself.
    pub(crate) fn wait(&mut self) -> ExitStatus {
        let running = self.running.as_mut().expect("the daemon was started");
        let deadline = Instant::now() + STOP;
        let status = loop {
            if let Some(status) = running.child.try_wait().unwrap() {
                break status;
            }
            assert!(Instant::now() < deadline, "the daemon does not stop");
            std::thread::sleep(Duration::from_millis(5));
        };
        self.judge();
        status
    }

    /// SIGTERM, and the end.
    pub(crate) fn stop(&mut self) {
        self.terminate();
        let status = self.wait();
        assert!(status.success(), "the daemon ended with {status}");
    }

    /// SIGKILL, and the end.
    pub(crate) fn kill(&mut self) {
        let running = self.running.as_mut().expect("the daemon runs");
        running.child.kill().unwrap();
        running.child.wait().unwrap();
        self.judge();
    }

    fn judge(&mut self) {
        if let Some(mut running) = self.running.take() {
            let lines = running.log.finish();
            let unexpected = unexpected(&lines, &self.setup.expected);
            if std::thread::panicking() {
                eprintln!("log of the daemon:\n{}", lines.join("\n"));
            } else {
                assert!(
                    unexpected.is_empty(),
                    "unexpected in the log:\n{}",
                    unexpected.join("\n")
                );
            }
        }
    }

    /// The API, without a token.
    pub(crate) fn anonymous(&self) -> Client {
        Client::new(&format!("http://{}", self.address))
    }

    /// The API, as the administrator of `clouds.yaml`.
    pub(crate) fn admin(&self) -> Client {
        self.admin_of(&self.data_dir())
    }

    /// The same, for a data directory that is somewhere else.
    pub(crate) fn admin_of(&self, data_dir: &Path) -> Client {
        let cloud = cloud(data_dir);
        let word = |name: &str| cloud["auth"][name].as_str().unwrap().to_owned();
        assert_eq!(word("auth_url"), format!("http://{}/v3", self.address));
        self.login(&word("username"), &word("password"), &word("project_name"))
    }

    /// The API, as a user of a project. Panics when they are not let in.
    pub(crate) fn login(&self, user: &str, password: &str, project: &str) -> Client {
        let answer = self.try_login(user, password, project).expect_status(201);
        self.anonymous().with_token(answer.header("X-Subject-Token"))
    }

    /// What the daemon answers to a password.
    pub(crate) fn try_login(&self, user: &str, password: &str, project: &str) -> Answer {
        let domain = serde_json::json!({"id": "default"});
        let body = serde_json::json!({"auth": {
            "identity": {"methods": ["password"], "password": {
                "user": {"name": user, "password": password, "domain": domain}}},
            "scope": {"project": {"name": project, "domain": domain}},
        }});
        self.anonymous().post("/v3/auth/tokens", &body)
    }

    /// The entry of `clouds.yaml`.
    pub(crate) fn cloud(&self) -> Value {
        cloud(&self.data_dir())
    }

    /// `saccade ARGUMENTS --data-dir …` beside it.
    pub(crate) fn saccade(&self, arguments: &[&str]) -> cli::Output {
        let data_dir = self.data_dir();
        let mut all = arguments.to_vec();
        all.extend(["--data-dir", data_dir.to_str().unwrap()]);
        cli::saccade(&all)
    }

    /// Names in the directory of images, sorted.
    pub(crate) fn stored(&self) -> Vec<String> {
        names(&self.images_dir())
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        if self.running.is_some() {
            self.kill();
        }
    }
}

fn cloud(data_dir: &Path) -> Value {
    let text = fs::read_to_string(data_dir.join("clouds.yaml")).unwrap();
    let clouds: Value = serde_saphyr::from_str(&text).unwrap();
    clouds["clouds"]["saccade"].clone()
}

/// Names in a directory, sorted; none when it is missing.
pub(crate) fn names(directory: &Path) -> Vec<String> {
    let Ok(entries) = fs::read_dir(directory) else {
        return Vec::new();
    };
    let mut names: Vec<String> = entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

fn is_serving(lines: &[String]) -> bool {
    lines
        .iter()
        .any(|line| serde_json::from_str::<Value>(line).is_ok_and(|event| event["message"] == "serving"))
}

/// Below the ports that the system gives to outgoing connections, so that none of those takes it between here and
/// the daemon's start.
pub(crate) fn free_address() -> SocketAddr {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let start = u16::try_from(std::process::id() % 10_000).unwrap();
    loop {
        let offset = NEXT.fetch_add(1, Ordering::Relaxed);
        let port = 20_000 + (start.wrapping_add(offset)) % 12_000;
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        if TcpListener::bind(address).is_ok() {
            return address;
        }
    }
}
