use std::{io, path::PathBuf};

use tokio_rustls::rustls::{self, pki_types::pem};

/// Why a shared token cache cannot be used as configured.
#[derive(Debug, thiserror::Error)]
pub enum MemcachedError {
    /// `memcached_servers` is empty.
    #[error("memcached_servers names no server")]
    NoServer,
    /// An element of `memcached_servers` is not understood.
    #[error("memcached_servers: {server:?} {problem}")]
    Server {
        /// The element.
        server: String,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// An option has a value that cannot be honoured.
    #[error("{option} {problem}")]
    Unusable {
        /// The option's name.
        option: &'static str,
        /// What is wrong with its value.
        problem: &'static str,
    },
    /// A PEM file cannot be read, or holds nothing of use.
    #[error("{option}: {} cannot be used", path.display())]
    Pem {
        /// The option that names the file.
        option: &'static str,
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: pem::Error,
    },
    /// The system's certificate authorities cannot be read.
    #[error("memcache_tls_cafile is not set, and the system has no certificate authorities to believe")]
    NoAuthorities(#[source] Option<io::Error>),
    /// Certificates are not good for TLS.
    #[error("{option} is not good for TLS")]
    Tls {
        /// The option that names the certificates.
        option: &'static str,
        /// What is wrong with them.
        source: rustls::Error,
    },
}
