//! memcached, as Debian packages it, on ports of its own.

use super::{
    daemon::free_address,
    service::{self, Service},
};
use std::{
    io::{BufRead, BufReader, Write},
    net::{SocketAddr, TcpStream},
    time::Duration,
};
use tempfile::TempDir;

/// One memcached, running or not. Dropped, it is killed.
pub(crate) struct Memcached {
    address: SocketAddr,
    log: TempDir,
    running: Option<Service>,
}

impl Memcached {
    /// An empty one, serving.
    pub(crate) fn start() -> Self {
        let mut memcached = Self {
            address: free_address(),
            log: tempfile::tempdir().unwrap(),
            running: None,
        };
        memcached.start_again();
        memcached
    }

    /// So many.
    pub(crate) fn several<const N: usize>() -> [Self; N] {
        std::array::from_fn(|_| Self::start())
    }

    /// After a kill, on the same port, empty.
    pub(crate) fn start_again(&mut self) {
        assert!(self.running.is_none(), "started twice");
        let mut command = service::command("memcached");
        command
            .args(["-l", "127.0.0.1", "-U", "0", "-m", "16", "-p"])
            .arg(self.address.port().to_string());
        if rustix::process::geteuid().is_root() {
            // It insists on a name. Root keeps what makes it end with the test; a change of the user would undo that.
            command.args(["-u", "root"]);
        }
        let mut service = Service::spawn(command, &self.log.path().join("log"));
        service.wait_for(self.address);
        self.running = Some(service);
    }

    /// Where it listens.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// SIGKILL: connections are refused.
    pub(crate) fn kill(&mut self) {
        self.running.take().expect("memcached runs");
    }

    /// SIGSTOP: connections are taken, and nothing is answered.
    pub(crate) fn suspend(&self) {
        self.running.as_ref().expect("memcached runs").suspend();
    }

    /// SIGCONT.
    pub(crate) fn resume(&self) {
        self.running.as_ref().expect("memcached runs").resume();
    }

    /// The keys that are there, sorted.
    pub(crate) fn keys(&self) -> Vec<String> {
        let lines = self.ask("lru_crawler metadump all");
        let mut keys: Vec<String> = lines
            .iter()
            .filter_map(|line| line.strip_prefix("key=")?.split(' ').next())
            .map(|key| {
                percent_encoding::percent_decode_str(key)
                    .decode_utf8_lossy()
                    .into_owned()
            })
            .collect();
        keys.sort();
        keys
    }

    /// The value of a key, as text.
    pub(crate) fn value(&self, key: &str) -> Option<String> {
        self.ask(&format!("get {key}")).get(1).cloned()
    }

    /// Stores a value for a minute.
    pub(crate) fn set(&self, key: &str, value: &str) {
        let mut connection = TcpStream::connect(self.address).unwrap();
        write!(connection, "set {key} 0 60 {}\r\n{value}\r\n", value.len()).unwrap();
        let mut answer = String::new();
        BufReader::new(connection).read_line(&mut answer).unwrap();
        assert_eq!(answer, "STORED\r\n");
    }

    /// Forgets everything.
    pub(crate) fn flush(&self) {
        assert_eq!(self.ask("flush_all"), ["OK"]);
    }

    fn ask(&self, command: &str) -> Vec<String> {
        let mut connection = TcpStream::connect(self.address).unwrap();
        connection
            .set_read_timeout(Some(Duration::from_secs(10)))
            .unwrap();
        write!(connection, "{command}\r\n").unwrap();
        let mut lines = Vec::new();
        for line in BufReader::new(connection).lines() {
            let line = line.unwrap();
            if line == "END" {
                break;
            }
            let is_all = ["OK", "ERROR"].contains(&line.as_str());
            lines.push(line);
            if is_all {
                break;
            }
        }
        lines
    }
}

#[test]
fn memcached_keeps_a_value_until_it_is_killed() {
    let mut memcached = Memcached::start();
    memcached.set("tokens/a+b=", "one");
    assert_eq!(memcached.keys(), ["tokens/a+b="]);
    assert_eq!(memcached.value("tokens/a+b=").as_deref(), Some("one"));
    assert_eq!(memcached.value("tokens/other"), None);
    memcached.kill();
    assert!(TcpStream::connect(memcached.address()).is_err());
    memcached.start_again();
    assert_eq!(memcached.keys(), [""; 0]);
    memcached.set("a", "b");
    memcached.flush();
    assert_eq!(memcached.value("a"), None);
}

#[test]
fn memcached_that_is_suspended_takes_connections_and_is_silent() {
    let [one, other] = Memcached::several();
    one.suspend();
    let mut connection = TcpStream::connect(one.address()).unwrap();
    connection
        .set_read_timeout(Some(Duration::from_millis(200)))
        .unwrap();
    connection.write_all(b"version\r\n").unwrap();
    let mut reader = BufReader::new(connection);
    let mut answer = String::new();
    reader.read_line(&mut answer).unwrap_err();
    other.set("a", "b");
    one.resume();
    reader.read_line(&mut answer).unwrap();
    assert!(answer.starts_with("VERSION "), "{answer}");
}
