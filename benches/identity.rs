//! What a cached Keystone token costs: `GET /v2/images/{id}` with one, beside the same with a proxy's trusted headers and
//! with a token of the local identity, in alternating rounds. `cargo bench --bench identity`; compare figures of one run
//! only. Keystone is played by this process: the daemon asks it once.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

use std::{
    fs,
    io::{BufRead, BufReader, Read, Write},
    net::{TcpListener, TcpStream},
    path::Path,
    process::{Child, Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

const ROUNDS: usize = 7;
const ROUND: Duration = Duration::from_secs(2);
const CONNECTIONS: usize = 8;

fn main() {
    let dir = tempfile::tempdir().unwrap();
    let asked = Arc::new(AtomicU64::new(0));
    let keystone = keystone(asked.clone());
    let daemons = [
        Daemon::start(
            "trusted headers",
            &dir.path().join("headers"),
            &[("IDENTITY", "trusted-headers")],
            "",
        ),
        Daemon::start(
            "cached Keystone token",
            &dir.path().join("keystone"),
            &[("IDENTITY", "keystone")],
            &keystone,
        ),
        Daemon::start(
            "local token",
            &dir.path().join("local"),
            &[("IDENTITY", "local")],
            "",
        ),
    ];
    let mut rates = vec![Vec::new(); daemons.len()];
    for _ in 0..ROUNDS {
        for (daemon, rates) in daemons.iter().zip(&mut rates) {
            rates.push(daemon.round());
        }
    }
    println!("| identity | requests/s, median of {ROUNDS} | of trusted headers |");
    println!("|---|---|---|");
    for (index, daemon) in daemons.iter().enumerate() {
        let ratios = rates[index].iter().zip(&rates[0]).map(|(own, first)| own / first);
        println!(
            "| {} | {:.0} | {:.2} |",
            daemon.name,
            median(rates[index].clone()),
            median(ratios.collect())
        );
    }
    println!("requests to Keystone: {}", asked.load(Ordering::Relaxed));
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

struct Daemon {
    name: &'static str,
    process: Child,
    address: String,
    /// The header lines that say who is calling.
    caller: String,
    image: String,
}

impl Daemon {
    fn start(name: &'static str, dir: &Path, options: &[(&str, &str)], keystone: &str) -> Self {
        let address = TcpListener::bind("127.0.0.1:0")
            .unwrap()
            .local_addr()
            .unwrap()
            .to_string();
        let mut command = Command::new(env!("CARGO_BIN_EXE_saccade"));
        command
            .args(["serve", "--bind", &address, "--data-dir"])
            .arg(dir)
            .env("OS_SACCADE__METRICS_BIND", "none")
            .envs(
                options
                    .iter()
                    .map(|(option, value)| (format!("OS_SACCADE__{option}"), value)),
            );
        if !keystone.is_empty() {
            for (option, value) in [
                ("AUTH_URL", keystone),
                ("WWW_AUTHENTICATE_URI", keystone),
                ("AUTH_TYPE", "password"),
                ("USERNAME", "glance"),
                ("PASSWORD", "secret"),
                ("PROJECT_NAME", "service"),
                ("USER_DOMAIN_NAME", "Default"),
                ("PROJECT_DOMAIN_NAME", "Default"),
            ] {
                command.env(format!("OS_KEYSTONE_AUTHTOKEN__{option}"), value);
            }
        }
        let process = command
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut daemon = Self {
            name,
            process,
            address,
            caller: String::new(),
            image: String::new(),
        };
        while TcpStream::connect(&daemon.address).is_err() {
            assert!(
                daemon.process.try_wait().unwrap().is_none(),
                "{name}: the daemon ended"
            );
            thread::sleep(Duration::from_millis(20));
        }
        // The socket listens before the start is complete; an answer comes after it.
        daemon.once("GET", "/healthcheck", "");
        daemon.caller = match options[0].1 {
            "trusted-headers" => "X-Identity-Status: Confirmed\r\nX-User-Id: u1\r\nX-User-Name: ada\r\n\
                X-User-Domain-Id: default\r\nX-Project-Id: p1\r\nX-Project-Name: demo\r\nX-Project-Domain-Id: default\r\n\
                X-Roles: admin,member,reader\r\n"
                .to_owned(),
            "local" => format!("X-Auth-Token: {}\r\n", daemon.login(dir)),
            _ => format!("X-Auth-Token: gAAAAAB{}\r\n", "token".repeat(40)),
        };
        let body = r#"{"name":"bench","disk_format":"raw","container_format":"bare"}"#;
        let (_, text) = daemon.once("POST", "/v2/images", body);
        let image: serde_json::Value =
            serde_json::from_str(&text).unwrap_or_else(|_| panic!("{name}: {text}"));
        daemon.image = image["id"].as_str().unwrap().to_owned();
        daemon
    }

    fn login(&self, data: &Path) -> String {
        let clouds = fs::read_to_string(data.join("clouds.yaml")).unwrap();
        let password = clouds
            .lines()
            .find_map(|line| line.trim().strip_prefix("password:"))
            .unwrap();
        let password = password.trim().trim_matches(['"', '\'']);
        let domain = r#"{"id":"default"}"#;
        let body = format!(
            r#"{{"auth":{{"identity":{{"methods":["password"],"password":{{"user":{{"name":"admin","domain":{domain},
            "password":"{password}"}}}}}},"scope":{{"project":{{"name":"admin","domain":{domain}}}}}}}}}"#
        );
        let (head, _) = self.once("POST", "/v3/auth/tokens", &body);
        let token = head
            .iter()
            .find_map(|line| line.strip_prefix("x-subject-token: "));
        token.expect("no token").to_owned()
    }

    fn once(&self, method: &str, path: &str, body: &str) -> (Vec<String>, String) {
        let mut stream = BufReader::new(TcpStream::connect(&self.address).unwrap());
        let request = format!(
            "{method} {path} HTTP/1.1\r\nHost: saccade\r\n{}Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
            self.caller,
            body.len()
        );
        stream.get_mut().write_all(request.as_bytes()).unwrap();
        let (head, body) = answer(&mut stream);
        (head, String::from_utf8(body).unwrap())
    }

    /// Requests/s of one round.
    fn round(&self) -> f64 {
        let begun = Instant::now();
        let clients: Vec<_> = (0..CONNECTIONS)
            .map(|_| {
                let address = self.address.clone();
                let request = format!(
                    "GET /v2/images/{} HTTP/1.1\r\nHost: saccade\r\n{}\r\n",
                    self.image, self.caller
                );
                thread::spawn(move || {
                    let mut stream = BufReader::new(TcpStream::connect(address).unwrap());
                    stream.get_ref().set_nodelay(true).unwrap();
                    let mut answered = 0_u64;
                    while begun.elapsed() < ROUND {
                        stream.get_mut().write_all(request.as_bytes()).unwrap();
                        let (head, _) = answer(&mut stream);
                        assert!(head[0].contains("200"), "{}", head[0]);
                        answered += 1;
                    }
                    answered
                })
            })
            .collect();
        let answered: u64 = clients.into_iter().map(|client| client.join().unwrap()).sum();
        answered as f64 / begun.elapsed().as_secs_f64()
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// The lines of a message's head, and its body.
fn answer(stream: &mut BufReader<TcpStream>) -> (Vec<String>, Vec<u8>) {
    let mut head = Vec::new();
    let mut length = 0;
    loop {
        let mut line = String::new();
        stream.read_line(&mut line).unwrap();
        let line = line.trim_end();
        if line.is_empty() {
            break;
        }
        if let Some((name, value)) = line.split_once(": ")
            && name.eq_ignore_ascii_case("content-length")
        {
            length = value.parse().unwrap();
        }
        head.push(line.to_owned());
    }
    let mut body = vec![0; length];
    stream.read_exact(&mut body).unwrap();
    (head, body)
}

/// Issues one kind of token, and says of each that it is an administrator's.
fn keystone(asked: Arc<AtomicU64>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let endpoints: Vec<_> = ["public", "internal", "admin"]
        .map(|interface| serde_json::json!({"interface": interface, "region": "RegionOne", "region_id": "RegionOne", "url": url, "id": interface}))
        .into();
    let token = serde_json::json!({"token": {
        "methods": ["password"],
        "user": {"id": "u1", "name": "ada", "domain": {"id": "default", "name": "Default"}, "password_expires_at": null},
        "project": {"id": "p1", "name": "demo", "domain": {"id": "default", "name": "Default"}},
        "is_domain": false,
        "roles": [{"id": "1", "name": "admin"}, {"id": "2", "name": "member"}, {"id": "3", "name": "reader"}],
        "catalog": [{"type": "identity", "name": "keystone", "id": "i", "endpoints": endpoints}],
        "audit_ids": ["a"],
        "expires_at": "2999-01-01T00:00:00.000000Z",
        "issued_at": "2020-01-01T00:00:00.000000Z",
    }})
    .to_string();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let (token, asked) = (token.clone(), asked.clone());
            thread::spawn(move || {
                let mut stream = BufReader::new(stream.unwrap());
                while stream.fill_buf().is_ok_and(|bytes| !bytes.is_empty()) {
                    answer(&mut stream);
                    asked.fetch_add(1, Ordering::Relaxed);
                    let head = format!(
                        "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nX-Subject-Token: service\r\nContent-Length: {}\r\n\r\n",
                        token.len()
                    );
                    let _ = stream.get_mut().write_all((head + &token).as_bytes());
                }
            });
        }
    });
    url
}
