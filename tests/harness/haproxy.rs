//! HAProxy, as it stands before the API in every cloud: it ends TLS.

use super::{
    certificates::Authority,
    daemon::free_address,
    service::{self, Service},
};
use std::{fmt::Write, fs, net::SocketAddr};
use tempfile::TempDir;

/// An HAProxy before one server, with a certificate of an authority of its own. Dropped, it is killed.
pub(crate) struct HaProxy {
    address: SocketAddr,
    directory: TempDir,
    authority: Authority,
    _service: Service,
}

/// Who may connect.
#[derive(Clone, Copy)]
pub(crate) enum ClientCertificate {
    NotAsked,
    /// One of the authority's.
    Required,
}

impl HaProxy {
    /// Ends TLS before a server.
    pub(crate) fn before(server: SocketAddr) -> Self {
        Self::new(server, ClientCertificate::NotAsked)
    }

    /// The same, but for who may connect.
    pub(crate) fn new(server: SocketAddr, client: ClientCertificate) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let authority = Authority::new(directory.path(), "authority");
        let address = free_address();
        let mut bind = format!(
            "bind {address} ssl crt {}",
            authority.issue("server").both.display()
        );
        if let ClientCertificate::Required = client {
            write!(bind, " ca-file {} verify required", authority.file().display()).unwrap();
        }
        let file = directory.path().join("haproxy.cfg");
        fs::write(&file, configuration(&bind, server)).unwrap();

        let mut command = service::command("haproxy");
        command.arg("-db").arg("-f").arg(&file);
        let mut service = Service::spawn(command, &directory.path().join("log"));
        service.wait_for(address);
        Self {
            address,
            directory,
            authority,
            _service: service,
        }
    }

    /// Where it listens.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// `https://127.0.0.1:PORT`.
    pub(crate) fn url(&self) -> String {
        format!("https://{}", self.address)
    }

    /// Signs the certificate, and those of clients.
    pub(crate) fn authority(&self) -> &Authority {
        &self.authority
    }

    /// Another one, that nobody here trusts.
    pub(crate) fn stranger(&self) -> Authority {
        Authority::new(self.directory.path(), "stranger")
    }
}

/// As the documentation of OpenStack's deployment tools has it, but for their numbers.
fn configuration(bind: &str, server: SocketAddr) -> String {
    format!(
        "global
    maxconn 500
defaults
    mode http
    timeout connect 5s
    timeout client 60s
    timeout server 60s
frontend public
    {bind}
    http-request del-header X-Forwarded-Proto
    http-request set-header X-Forwarded-Proto https
    default_backend api
backend api
    server api {server}
"
    )
}
