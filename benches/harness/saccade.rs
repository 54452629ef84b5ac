//! The daemon, with a data directory of its own.

use super::{
    http::Connection,
    process::{Server, free_address},
};
use std::{
    env,
    ffi::OsStr,
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
    process::Command,
};

/// How callers say who they are.
#[derive(Clone, Copy)]
pub(crate) enum Identity {
    /// With a token of the local identity.
    Local,
    /// In headers, as behind a proxy.
    TrustedHeaders,
}

/// A running daemon.
pub(crate) struct Saccade {
    pub(crate) server: Server,
    pub(crate) address: SocketAddr,
    /// What every request of an administrator carries.
    pub(crate) headers: String,
}

/// The program that is measured: the one built with the benchmark, unless `SACCADE_BIN` names another.
pub(crate) fn binary() -> PathBuf {
    env::var_os("SACCADE_BIN").map_or_else(|| env!("CARGO_BIN_EXE_saccade").into(), PathBuf::from)
}

impl Saccade {
    /// Starts it on `data`, and waits until it answers.
    pub(crate) fn start(data: &Path, identity: Identity) -> Self {
        Self::start_under(&[], data, identity)
    }

    /// The same under a program, whose arguments end where the daemon's command begins.
    pub(crate) fn start_under(wrapper: &[&str], data: &Path, identity: Identity) -> Self {
        let address = free_address();
        let (bind, directory) = (address.to_string(), data.to_str().unwrap());
        let mut arguments = vec!["serve", "--bind", &bind, "--data-dir", directory];
        let file = data.with_extension("conf");
        if let Identity::TrustedHeaders = identity {
            fs::write(&file, "[saccade]\nidentity = trusted-headers\n").unwrap();
            arguments.extend(["--config-file", file.to_str().unwrap()]);
        }
        let program = binary();
        let words = wrapper.iter().map(OsStr::new).chain([program.as_os_str()]);
        let words: Vec<&OsStr> = words.chain(arguments.into_iter().map(OsStr::new)).collect();
        let mut command = Command::new(words[0]);
        command.args(&words[1..]).env("OS_SACCADE__METRICS_BIND", "none");
        let server = Server::start(&command, &data.with_extension("log"), address);
        // The socket listens before the start is complete; an answer comes after it.
        let mut anonymous = Connection::new(address, "");
        anonymous.request("GET", "/healthcheck", None, b"").unwrap();
        let headers = match identity {
            Identity::Local => format!("X-Auth-Token: {}\r\n", login(&mut anonymous, data)),
            Identity::TrustedHeaders => super::http::TRUSTED.to_owned(),
        };
        Self {
            server,
            address,
            headers,
        }
    }

    /// A new connection of an administrator.
    pub(crate) fn connect(&self) -> Connection {
        Connection::new(self.address, &self.headers)
    }
}

fn login(connection: &mut Connection, data: &Path) -> String {
    let clouds = fs::read_to_string(data.join("clouds.yaml")).unwrap();
    let password = clouds
        .lines()
        .find_map(|line| line.trim().strip_prefix("password:"));
    let password = password.unwrap().trim().trim_matches(['"', '\'']);
    let body = serde_json::json!({"auth": {
        "identity": {"methods": ["password"], "password": {"user": {
            "name": "admin", "domain": {"id": "default"}, "password": password,
        }}},
        "scope": {"project": {"name": "admin", "domain": {"id": "default"}}},
    }});
    let body = body.to_string();
    let answer = connection
        .request(
            "POST",
            "/v3/auth/tokens",
            Some("application/json"),
            body.as_bytes(),
        )
        .unwrap();
    answer.header("X-Subject-Token").expect("no token").to_owned()
}
