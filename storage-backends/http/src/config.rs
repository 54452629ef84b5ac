//! What an HTTP store is made of.

use std::{path::PathBuf, sync::Arc};

use saccade_outgoing::{
    Client, ClientOptions, Filter, Limits, Lookup, Proxies, SystemResolver, Verification,
};

/// What an HTTP store is made of: glance_store's options by their names.
#[derive(Debug, Clone)]
pub struct HttpStoreConfig {
    /// Its name in the configuration; for errors and logs.
    pub id: String,
    /// The authorities (PEM) that https is verified by; then `https_insecure` does not count.
    pub https_ca_certificates_file: Option<PathBuf>,
    /// Whether https is not verified without such a file. Glance's default is `true`.
    pub https_insecure: bool,
    /// Proxies. Those of the environment, which Glance uses as well, are not used.
    pub http_proxy_information: Proxies,
    /// `[import_filtering_opts]`: whole for redirects, its rules for addresses for what is recorded.
    pub filter: Filter,
}

/// Why a store cannot be opened.
#[derive(Debug, thiserror::Error)]
#[error("the http store {id} cannot be used")]
pub struct OpenError {
    pub(crate) id: String,
    #[source]
    pub(crate) source: saccade_outgoing::OpenError,
}

impl HttpStoreConfig {
    /// Reads the authorities; blocks.
    pub(crate) fn client(self) -> Result<Client, saccade_outgoing::OpenError> {
        let verification = match self.https_ca_certificates_file {
            Some(path) => Verification::Authorities(path),
            None if self.https_insecure => Verification::Off,
            None => Verification::System,
        };
        Client::new(ClientOptions {
            filter: self.filter,
            verification,
            proxies: self.http_proxy_information,
            limits: Limits::default(),
            // Recorded names were resolved by Glance's store as the machine does.
            resolver: Arc::new(SystemResolver::new(Lookup::Machine)),
        })
    }
}
