//! A server that takes its turns: how it is talked to, and looked at.

use crate::harness::{
    http::{Connection, Content, Framing, Payload},
    process::Server,
};
use std::{
    error::Error,
    fs::{self, File},
    io::{self, Write},
    net::SocketAddr,
    path::{Path, PathBuf},
    thread,
    time::{Duration, Instant},
};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Saccade,
    Nginx,
    Glance,
}

impl Kind {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Saccade => "Saccade",
            Self::Nginx => "nginx",
            Self::Glance => "Python Glance",
        }
    }

    /// Takes uploads and keeps records.
    pub(crate) fn has_api(self) -> bool {
        self != Self::Nginx
    }
}

/// A running server, and how to talk to it.
pub(crate) struct Contender {
    pub(crate) kind: Kind,
    pub(crate) version: String,
    /// Bytes resident before there was any work.
    pub(crate) idle: u64,
    /// With those that it cannot do without.
    pub(crate) servers: Vec<Server>,
    pub(crate) address: SocketAddr,
    pub(crate) headers: String,
    pub(crate) images: PathBuf,
}

/// An image that a contender has.
#[derive(Clone)]
pub(crate) struct Stored {
    pub(crate) id: String,
    pub(crate) len: u64,
}

impl Contender {
    /// A new connection of an administrator.
    pub(crate) fn connect(&self) -> Connection {
        Connection::new(self.address, &self.headers)
    }

    pub(crate) fn processes(&self) -> Vec<u32> {
        self.servers.iter().flat_map(Server::processes).collect()
    }

    pub(crate) fn cpu_seconds(&self) -> f64 {
        self.servers.iter().map(Server::cpu_seconds).sum()
    }

    /// Adds up a figure of all its servers.
    pub(crate) fn sum(&self, figure: impl Fn(&Server) -> u64) -> u64 {
        self.servers.iter().map(figure).sum()
    }

    pub(crate) fn reset_peak(&self) {
        self.servers.iter().for_each(Server::reset_peak);
    }

    /// Waits until it does nothing any more: what it clears away is no part of another's turn.
    pub(crate) fn settle(&self) {
        const QUIET: Duration = Duration::from_millis(300);
        let deadline = Instant::now() + Duration::from_secs(120);
        let mut before = self.cpu_seconds();
        while Instant::now() < deadline {
            thread::sleep(QUIET);
            let now = self.cpu_seconds();
            if now - before < QUIET.as_secs_f64() / 10.0 {
                return;
            }
            before = now;
        }
    }

    pub(crate) fn first_path(&self) -> &str {
        if self.kind.has_api() { "/v2/images" } else { "/" }
    }

    /// Where an image's data is asked for.
    pub(crate) fn data_path(&self, id: &str) -> String {
        if self.kind.has_api() {
            format!("/v2/images/{id}/file")
        } else {
            format!("/{id}")
        }
    }

    /// The file that has an image's data.
    pub(crate) fn file(&self, id: &str) -> PathBuf {
        self.images.join(id)
    }

    /// A record without data.
    pub(crate) fn create(&self, connection: &mut Connection) -> io::Result<String> {
        let body = br#"{"name":"benchmark","disk_format":"raw","container_format":"bare"}"#;
        let answer = connection.expect(201, "POST", "/v2/images", Some("application/json"), body)?;
        let image: serde_json::Value = serde_json::from_slice(&answer)?;
        let id = image["id"]
            .as_str()
            .ok_or_else(|| io::Error::other("an image without id"))?;
        Ok(id.to_owned())
    }

    /// An image with data, however it comes there: not for measuring.
    pub(crate) fn store(&self, payload: &Payload, number: u64, len: u64) -> io::Result<Stored> {
        let content = payload.content(number, len);
        let id = if self.kind.has_api() {
            let mut connection = self.connect();
            let id = self.create(&mut connection)?;
            connection.upload(&self.data_path(&id), &content, Framing::Sized)?;
            id
        } else {
            let id = format!("image-{number}");
            write(&self.file(&id), &content)?;
            id
        };
        Ok(Stored { id, len })
    }

    pub(crate) fn delete(&self, id: &str) -> io::Result<()> {
        if self.kind.has_api() {
            let path = format!("/v2/images/{id}");
            self.connect().expect(204, "DELETE", &path, None, b"").map(drop)
        } else {
            fs::remove_file(self.file(id))
        }
    }

    /// Waits until all it has written is on the disk.
    pub(crate) fn sync(&self) -> io::Result<()> {
        Ok(rustix::fs::syncfs(File::open(&self.images)?)?)
    }
}

fn write(path: &Path, content: &Content) -> io::Result<()> {
    let mut file = File::create(path)?;
    content.pieces(|piece| file.write_all(piece))?;
    file.sync_all()
}

/// Ends the benchmark with what the servers said, as they may know why.
pub(crate) fn with_logs(contenders: &[Contender], error: &dyn Error) -> String {
    let servers = contenders
        .iter()
        .flat_map(|contender| contender.servers.iter().map(move |one| (contender, one)));
    let logs = servers.map(|(contender, server)| {
        let log = server.log();
        let lines: Vec<&str> = log.lines().rev().take(10).collect();
        let lines: Vec<&str> = lines.into_iter().rev().collect();
        format!("\n--- {}\n{}", contender.kind.name(), lines.join("\n"))
    });
    format!("{error}{}", logs.collect::<String>())
}
