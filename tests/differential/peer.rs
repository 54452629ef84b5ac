//! One of the two sides, and what it has been asked to remember.

use super::{
    reply::{Normaliser, Reply},
    script::{Group, Step, identity},
    web, wire,
};
use regex::{Captures, Regex};
use std::{
    collections::BTreeMap,
    net::SocketAddr,
    path::Path,
    sync::LazyLock,
    thread,
    time::{Duration, Instant},
};

/// Both are asked under this name, so that neither shows its port.
const HOST: &str = "glance.example:9292";

/// How long something is waited for that happens by itself.
const PATIENCE: Duration = Duration::from_secs(60);

/// A service, and the variables of one run of a script.
pub(super) struct Peer {
    address: SocketAddr,
    normaliser: Normaliser,
    remembered: BTreeMap<String, String>,
}

impl Peer {
    /// `root` is what `@ROOT@` stands for.
    pub(super) fn new(address: SocketAddr, root: &Path, group: &Group) -> Self {
        Self {
            address,
            normaliser: Normaliser::new(address, root, group.own_ids()),
            remembered: BTreeMap::from([("web".to_owned(), format!("http://{}", web::address()))]),
        }
    }

    /// Sends a request, and takes from the answer what the step wants to remember.
    pub(super) fn ask(&mut self, step: &Step) -> Reply {
        if let Some(seconds) = step.pause {
            thread::sleep(Duration::from_secs_f64(seconds));
        }
        let (method, target) = step.ask.split_once(' ').expect("method and target");
        let request = self.request(step, method, target);
        let exchange = || {
            Reply::new(
                &step.ask,
                wire::exchange(self.address, &request, method == "HEAD"),
            )
        };
        let mut reply = exchange();
        let deadline = Instant::now() + PATIENCE;
        while !step.until.iter().all(|(at, value)| reply.has(at, value)) && Instant::now() < deadline {
            thread::sleep(Duration::from_millis(100));
            reply = exchange();
        }
        for (name, pointer) in &step.remember {
            if let Some(value) = reply.text_at(pointer) {
                self.remembered.insert(name.clone(), value);
            }
        }
        self.normaliser.apply(&mut reply, &self.remembered);
        reply
    }

    fn request(&self, step: &Step, method: &str, target: &str) -> Vec<u8> {
        let (content_type, body) = match (&step.json, &step.raw, &step.bytes) {
            (Some(json), None, None) => (Some("application/json"), json.to_string()),
            (None, Some(raw), None) => (Some("application/json"), raw.clone()),
            (None, None, Some(bytes)) => (Some("application/octet-stream"), bytes.clone()),
            (None, None, None) => (None, String::new()),
            _ => panic!("{}: more than one body", step.ask),
        };
        let content_type = content_type.map(|known| match method {
            "PATCH" => "application/openstack-images-v2.1-json-patch",
            _ => known,
        });
        let body = self.filled(&body);
        let mut headers: BTreeMap<&str, Option<String>> = BTreeMap::new();
        let mut set = |name, value: &str| headers.insert(name, Some(value.to_owned()));
        set("Host", HOST);
        set("Accept", "application/json");
        set("Connection", "close");
        for (name, value) in identity(&step.caller) {
            set(name, value);
        }
        if let Some(content_type) = content_type {
            set("Content-Type", content_type);
            match step.chunked {
                true => set("Transfer-Encoding", "chunked"),
                false => set("Content-Length", &body.len().to_string()),
            };
        } else if ["POST", "PUT", "PATCH"].contains(&method) {
            set("Content-Length", "0");
        }
        for (name, value) in &step.headers {
            headers.insert(name, value.as_ref().map(|value| self.filled(value)));
        }
        let mut request = format!("{method} {} HTTP/1.1\r\n", self.filled(target));
        for (name, value) in headers {
            if let Some(value) = value {
                request.push_str(&format!("{name}: {value}\r\n"));
            }
        }
        request.push_str("\r\n");
        match step.chunked {
            true if body.is_empty() => request.push_str("0\r\n\r\n"),
            true => request.push_str(&format!("{:x}\r\n{body}\r\n0\r\n\r\n", body.len())),
            false => request.push_str(&body),
        }
        request.into_bytes()
    }

    /// With variables and repetitions put in.
    fn filled(&self, text: &str) -> String {
        static VARIABLE: LazyLock<Regex> =
            LazyLock::new(|| Regex::new(r"\$\{(?:(.)\*(\d+)|([a-z_0-9]+))\}").unwrap());
        VARIABLE
            .replace_all(text, |found: &Captures<'_>| match found.get(3) {
                // What a failed step should have remembered.
                Some(name) => (self.remembered.get(name.as_str()).cloned())
                    .unwrap_or_else(|| format!("no-{}", name.as_str())),
                None => found[1].repeat(found[2].parse().unwrap()),
            })
            .into_owned()
    }
}
