//! A server that speaks as much of Keystone's v3 as a log-in needs, before a real Swift with tempauth: the tokens that it
//! gives are Swift's own. It takes passwords and application credentials, and what it gives can be disturbed.

#![allow(dead_code)] // Not every test uses all of it.

use std::{
    net::{Ipv4Addr, SocketAddr},
    sync::{Arc, Mutex},
};

use serde_json::{Value, json};
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
};

use crate::server::Server;

/// How it answers.
#[derive(Debug, Clone)]
pub(crate) struct Behaviour {
    /// The tokens that it gives, one after another; the last for ever.
    pub(crate) tokens: Vec<String>,
    /// How long tokens live, in seconds.
    pub(crate) life: i64,
    /// Statuses of the first answers, before it begins to do what it is there for.
    pub(crate) refusals: Vec<u16>,
}

/// Listens until it is dropped.
#[derive(Debug)]
pub(crate) struct Keystone {
    address: SocketAddr,
    shared: Arc<Mutex<Shared>>,
    listening: JoinHandle<()>,
}

#[derive(Debug)]
struct Shared {
    behaviour: Behaviour,
    storage: String,
    asked: Vec<Value>,
}

impl Keystone {
    pub(crate) async fn before(server: &Server) -> Self {
        let behaviour = Behaviour {
            tokens: vec![server.token.clone()],
            life: 3600,
            refusals: Vec::new(),
        };
        Self::with(server, behaviour).await
    }

    pub(crate) async fn with(server: &Server, behaviour: Behaviour) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let shared = Arc::new(Mutex::new(Shared {
            behaviour,
            storage: server.storage.clone(),
            asked: Vec::new(),
        }));
        let serving = Arc::clone(&shared);
        let listening = tokio::spawn(async move {
            loop {
                let (client, _) = listener.accept().await.unwrap();
                let shared = Arc::clone(&serving);
                tokio::spawn(async move { drop(serve(client, address, &shared).await) });
            }
        });
        Self {
            address,
            shared,
            listening,
        }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}/v3", self.address)
    }

    /// The log-ins so far.
    pub(crate) fn asked(&self) -> Vec<Value> {
        self.shared.lock().unwrap().asked.clone()
    }
}

impl Drop for Keystone {
    fn drop(&mut self) {
        self.listening.abort();
    }
}

impl Shared {
    fn log_in(&mut self, asked: Value) -> (u16, String, Value) {
        let identity = &asked["auth"]["identity"];
        let is_known = identity["password"]["user"]["password"] == "testing"
            && identity["password"]["user"]["name"] == "tester"
            && asked["auth"]["scope"]["project"]["name"] == "test"
            || identity["application_credential"]["secret"] == "testing";
        self.asked.push(asked);
        if !self.behaviour.refusals.is_empty() {
            return (self.behaviour.refusals.remove(0), String::new(), json!({}));
        }
        if !is_known {
            return (401, String::new(), json!({"error": {"code": 401}}));
        }
        let token = match self.behaviour.tokens.len() {
            1 => self.behaviour.tokens[0].clone(),
            _ => self.behaviour.tokens.remove(0),
        };
        let now = jiff::Timestamp::now();
        let ends = now + jiff::SignedDuration::from_secs(self.behaviour.life);
        let endpoint = |interface: &str, url: &str| json!({"id": interface, "interface": interface, "region": "R1", "region_id": "R1", "url": url});
        let body = json!({"token": {
            "methods": ["password"], "issued_at": now.to_string(), "expires_at": ends.to_string(),
            "user": {"id": "u", "name": "tester", "domain": {"id": "default", "name": "Default"}},
            "project": {"id": "p", "name": "test", "domain": {"id": "default", "name": "Default"}},
            "roles": [{"id": "r", "name": "admin"}],
            "catalog": [
                {"id": "i", "type": "identity", "name": "keystone", "endpoints": []},
                {"id": "o", "type": "object-store", "name": "swift",
                 "endpoints": [endpoint("public", &self.storage), endpoint("internal", "http://127.0.0.1:1/")]},
            ],
        }});
        (201, token, body)
    }
}

async fn serve(client: TcpStream, address: SocketAddr, shared: &Mutex<Shared>) -> std::io::Result<()> {
    let (from, mut to) = client.into_split();
    let mut from = BufReader::new(from);
    loop {
        let (mut head, mut length) = (String::new(), 0);
        while !head.ends_with("\r\n\r\n") {
            let at = head.len();
            if from.read_line(&mut head).await? == 0 {
                return Ok(());
            }
            if let Some(value) = head[at..].to_ascii_lowercase().strip_prefix("content-length:") {
                length = value.trim().parse().unwrap();
            }
        }
        let mut body = vec![0; length];
        from.read_exact(&mut body).await?;
        let (status, token, answer) = if head.starts_with("POST /v3/auth/tokens ") {
            shared
                .lock()
                .unwrap()
                .log_in(serde_json::from_slice(&body).unwrap())
        } else {
            let version = json!({"version": {"id": "v3.14", "status": "stable",
                "links": [{"rel": "self", "href": format!("http://{address}/v3/")}]}});
            (200, String::new(), version)
        };
        let answer = answer.to_string();
        let head = format!(
            "HTTP/1.1 {status} Answer\r\nContent-Type: application/json\r\nX-Subject-Token: {token}\r\n\
             Content-Length: {}\r\n\r\n",
            answer.len()
        );
        to.write_all(head.as_bytes()).await?;
        to.write_all(answer.as_bytes()).await?;
    }
}
