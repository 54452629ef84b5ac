//! Processes of other services, which end with the test that started them, however that ends.

use rustix::process::{Pid, Signal, kill_process};
use std::{
    fs::{File, OpenOptions},
    io,
    net::{SocketAddr, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{LazyLock, Mutex, mpsc},
    thread,
    time::{Duration, Instant},
};

/// Services start in seconds; a busy machine may need more.
const START: Duration = Duration::from_secs(60);

/// The command of a service: the kernel kills it as soon as this process is gone.
pub(crate) fn command(program: impl AsRef<Path>) -> Command {
    let mut command = Command::new("setpriv");
    command
        .args(["--pdeathsig", "KILL", "--"])
        .arg(program.as_ref())
        .stdin(Stdio::null());
    // Where Debian has what is no command of everybody's.
    let path = std::env::var("PATH").unwrap_or_default();
    command.env("PATH", format!("{path}:/usr/sbin:/sbin"));
    command
}

/// A running service. Dropped, it is killed.
pub(crate) struct Service {
    child: Child,
    log: PathBuf,
}

impl Service {
    /// Starts it. What it says goes to the end of a file.
    pub(crate) fn spawn(mut command: Command, log: &Path) -> Self {
        let file = open_log(log);
        command.stdout(file.try_clone().unwrap()).stderr(file);
        let program = format!("{command:?}");
        let child = spawn(command).unwrap_or_else(|error| panic!("cannot run {program}: {error}"));
        Self {
            child,
            log: log.to_owned(),
        }
    }

    /// Waits until it takes connections.
    ///
    /// # Panics
    /// With its log, when it has ended, or does not within a minute.
    pub(crate) fn wait_for(&mut self, address: SocketAddr) {
        let deadline = Instant::now() + START;
        while TcpStream::connect(address).is_err() {
            let ended = self.child.try_wait().unwrap();
            assert!(
                ended.is_none() && Instant::now() < deadline,
                "nothing listens on {address} ({ended:?}):\n{}",
                std::fs::read_to_string(&self.log).unwrap_or_default()
            );
            thread::sleep(Duration::from_millis(20));
        }
    }

    /// Stops it where it is: connections are taken, and nothing is answered.
    pub(crate) fn suspend(&self) {
        kill_process(self.pid(), Signal::STOP).unwrap();
    }

    /// Lets it go on.
    pub(crate) fn resume(&self) {
        kill_process(self.pid(), Signal::CONT).unwrap();
    }

    fn pid(&self) -> Pid {
        Pid::from_child(&self.child)
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

fn open_log(path: &Path) -> File {
    OpenOptions::new().create(true).append(true).open(path).unwrap()
}

/// The kernel takes the end of a *thread* for the parent's death, and a test is a thread of its own: services are the
/// children of one that stays.
fn spawn(command: Command) -> io::Result<Child> {
    type Order = (Command, mpsc::Sender<io::Result<Child>>);
    static KEEPER: LazyLock<Mutex<mpsc::Sender<Order>>> = LazyLock::new(|| {
        let (orders, queue) = mpsc::channel::<Order>();
        thread::spawn(move || {
            for (mut command, answer) in queue {
                answer.send(command.spawn()).unwrap();
            }
        });
        Mutex::new(orders)
    });
    let (answer, child) = mpsc::channel();
    KEEPER.lock().unwrap().send((command, answer)).unwrap();
    child.recv().unwrap()
}
