//! The data path over loopback, beside what a single hash costs: one upload and one download of 1 GiB, then many uploads
//! at once with the memory they take. `cargo bench --bench transfer`; compare figures of one run only.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

use std::{
    fs,
    io::{self, BufRead, BufReader, Read, Write},
    net::{TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

const GIB: u64 = 1 << 30;
const MANY: usize = 64;
const SIZE_OF_MANY: u64 = 256 << 20;

fn main() {
    let dir = tempfile::tempdir_in(std::env::var_os("BENCH_DIR").unwrap_or_else(|| "/tmp".into())).unwrap();
    let source = dir.path().join("source");
    fill(&source, GIB);
    let daemon = Daemon::start(dir.path());
    println!("| what | MB/s | daemon's CPU seconds per GB |");
    println!("|---|---|---|");
    for _ in 0..3 {
        let (rate, _) = timed(GIB, || openssl(&source));
        println!("| openssl dgst -md5 | {rate:.0} | |");
        let image = daemon.create();
        row("upload", &daemon, || daemon.upload(&image, &source, GIB));
        row("download", &daemon, || daemon.download(&image));
        daemon.delete(&image);
    }
    let before = daemon.memory("VmRSS");
    let images: Vec<String> = (0..MANY).map(|_| daemon.create()).collect();
    let (daemon, source) = (Arc::new(daemon), Arc::new(source));
    let (rate, seconds) = timed(MANY as u64 * SIZE_OF_MANY, || {
        let uploads: Vec<_> = images
            .iter()
            .map(|image| {
                let (daemon, source, image) = (daemon.clone(), source.clone(), image.clone());
                thread::spawn(move || daemon.upload(&image, &source, SIZE_OF_MANY))
            })
            .collect();
        for upload in uploads {
            upload.join().unwrap();
        }
    });
    let peak = daemon.memory("VmHWM");
    println!(
        "{MANY} uploads of {} MiB at once: {rate:.0} MB/s together, {seconds:.0} s",
        SIZE_OF_MANY >> 20
    );
    println!(
        "resident: {} MiB before, {} MiB at the peak",
        before >> 20,
        peak >> 20
    );
    let hashes: Vec<String> = images.iter().map(|image| daemon.checksum(image)).collect();
    assert!(
        hashes.iter().all(|hash| *hash == hashes[0]),
        "not all hashes are alike"
    );
    println!("all {MANY} checksums are {}", hashes[0]);
}

fn row(what: &str, daemon: &Daemon, work: impl FnOnce()) {
    let before = daemon.cpu_seconds();
    let (rate, _) = timed(GIB, work);
    let cpu = (daemon.cpu_seconds() - before) / (GIB as f64 / 1e9);
    println!("| {what} | {rate:.0} | {cpu:.2} |");
}

/// MB/s and seconds of moving so many bytes.
fn timed(bytes: u64, work: impl FnOnce()) -> (f64, f64) {
    let begun = Instant::now();
    work();
    let seconds = begun.elapsed().as_secs_f64();
    (bytes as f64 / seconds / 1e6, seconds)
}

/// Bytes that no store could make a hole of.
fn fill(path: &Path, len: u64) {
    let block: Vec<u8> = (0..1_u64 << 20)
        .map(|at| (at.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 56) as u8)
        .collect();
    let mut file = fs::File::create(path).unwrap();
    for _ in 0..len >> 20 {
        file.write_all(&block).unwrap();
    }
}

fn openssl(path: &Path) {
    let done = Command::new("openssl")
        .args(["dgst", "-md5"])
        .arg(path)
        .stdout(Stdio::null())
        .status();
    assert!(done.unwrap().success());
}

struct Daemon {
    process: Child,
    address: String,
    token: String,
}

impl Daemon {
    fn start(dir: &Path) -> Self {
        let address = TcpListener::bind("127.0.0.1:0")
            .unwrap()
            .local_addr()
            .unwrap()
            .to_string();
        let data: PathBuf = dir.join("data");
        let process = Command::new(env!("CARGO_BIN_EXE_saccade"))
            .args(["serve", "--bind", &address, "--data-dir"])
            .arg(&data)
            .env("OS_SACCADE__METRICS_BIND", "none")
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut daemon = Self {
            process,
            address,
            token: String::new(),
        };
        while TcpStream::connect(&daemon.address).is_err() {
            thread::sleep(Duration::from_millis(20));
        }
        // The socket listens before the start is complete; an answer comes after it.
        daemon.request("GET", "/healthcheck", "text/plain", "");
        daemon.token = daemon.login(&data);
        daemon
    }

    fn login(&self, data: &Path) -> String {
        let clouds = fs::read_to_string(data.join("clouds.yaml")).unwrap();
        let password = clouds
            .lines()
            .find_map(|line| line.trim().strip_prefix("password:"))
            .unwrap();
        let password = password.trim().trim_matches(['"', '\'']);
        let body = format!(
            r#"{{"auth":{{"identity":{{"methods":["password"],"password":{{"user":{{"name":"admin","domain":{{"id":"default"}},
            "password":"{password}"}}}}}},"scope":{{"project":{{"name":"admin","domain":{{"id":"default"}}}}}}}}}}"#
        );
        let (head, _) = self.request("POST", "/v3/auth/tokens", "application/json", &body);
        let token = head.iter().find_map(|line| {
            line.to_lowercase()
                .starts_with("x-subject-token:")
                .then_some(line)
        });
        token
            .expect("no token")
            .split_once(':')
            .unwrap()
            .1
            .trim()
            .to_owned()
    }

    fn send_head(&self, method: &str, path: &str, media_type: &str, len: u64) -> TcpStream {
        let mut stream = TcpStream::connect(&self.address).unwrap();
        write!(
            stream,
            "{method} {path} HTTP/1.1\r\nHost: {}\r\nX-Auth-Token: {}\r\nContent-Type: {media_type}\r\n\
             Content-Length: {len}\r\nConnection: close\r\n\r\n",
            self.address, self.token
        )
        .unwrap();
        stream
    }

    fn request(&self, method: &str, path: &str, media_type: &str, body: &str) -> (Vec<String>, String) {
        let mut stream = self.send_head(method, path, media_type, body.len() as u64);
        stream.write_all(body.as_bytes()).unwrap();
        let (head, mut rest) = answer(stream);
        let mut text = String::new();
        rest.read_to_string(&mut text).unwrap();
        (head, text)
    }

    fn create(&self) -> String {
        let body = r#"{"disk_format":"raw","container_format":"bare"}"#;
        let (_, text) = self.request("POST", "/v2/images", "application/json", body);
        let image: serde_json::Value = serde_json::from_str(&text).unwrap();
        image["id"].as_str().unwrap().to_owned()
    }

    fn upload(&self, image: &str, source: &Path, len: u64) {
        let path = format!("/v2/images/{image}/file");
        let mut stream = self.send_head("PUT", &path, "application/octet-stream", len);
        let mut source = fs::File::open(source).unwrap().take(len);
        io::copy(&mut source, &mut stream).unwrap();
        let (head, _) = answer(stream);
        assert!(head[0].contains("204"), "{}", head[0]);
    }

    fn download(&self, image: &str) {
        let stream = self.send_head(
            "GET",
            &format!("/v2/images/{image}/file"),
            "application/octet-stream",
            0,
        );
        let (head, mut rest) = answer(stream);
        assert!(head[0].contains("200"), "{}", head[0]);
        let mut buffer = vec![0; 1 << 20];
        let mut received = 0;
        loop {
            match rest.read(&mut buffer).unwrap() {
                0 => break,
                read => received += read as u64,
            }
        }
        assert_eq!(received, GIB);
    }

    fn checksum(&self, image: &str) -> String {
        let (_, text) = self.request("GET", &format!("/v2/images/{image}"), "application/json", "");
        let image: serde_json::Value = serde_json::from_str(&text).unwrap();
        image["checksum"].as_str().unwrap().to_owned()
    }

    fn delete(&self, image: &str) {
        self.request("DELETE", &format!("/v2/images/{image}"), "application/json", "");
    }

    fn proc(&self, file: &str) -> String {
        fs::read_to_string(format!("/proc/{}/{file}", self.process.id())).unwrap()
    }

    /// User and system time so far.
    fn cpu_seconds(&self) -> f64 {
        let stat = self.proc("stat");
        let fields: Vec<&str> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
        let ticks: f64 = fields[11].parse::<f64>().unwrap() + fields[12].parse::<f64>().unwrap();
        ticks / 100.0
    }

    /// A line of `status`, in bytes.
    fn memory(&self, name: &str) -> u64 {
        let status = self.proc("status");
        let line = status.lines().find(|line| line.starts_with(name)).unwrap();
        line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() * 1024
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// The lines of an answer's head, and its body.
fn answer(stream: TcpStream) -> (Vec<String>, BufReader<TcpStream>) {
    let mut reader = BufReader::with_capacity(1 << 20, stream);
    let mut head = Vec::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).unwrap();
        let line = line.trim_end();
        if line.is_empty() {
            return (head, reader);
        }
        head.push(line.to_owned());
    }
}
