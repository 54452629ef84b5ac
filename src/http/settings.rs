//! What the API has to know of the configuration.

use std::{net::SocketAddr, path::PathBuf};

use crate::config::{Config, ImportMethod, StoreNaming};

/// What the operator has decided.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// Where the API listens: its address for requests that do not say which host they mean.
    pub bind: SocketAddr,
    /// The address in the versions document; `None` takes it from the request.
    pub public_endpoint: Option<String>,
    /// Whether `Forwarded` and `X-Forwarded-*` are believed.
    pub believe_proxy: bool,
    /// Longer request ids are refused; 0 is no limit. In bytes.
    pub max_request_id_length: usize,
    /// `/healthcheck` answers 503 while this file exists.
    pub disable_file: Option<PathBuf>,
    /// The import methods, by their names in the API.
    pub import_methods: Vec<&'static str>,
    /// How the API speaks of stores.
    pub stores: StoreNames,
    /// Whether images show `direct_url`.
    pub show_direct_url: bool,
    /// Whether images show `locations`.
    pub show_locations: bool,
    /// For the schema.
    pub disk_formats: Vec<String>,
    /// For the schema.
    pub container_formats: Vec<String>,
}

/// How the API speaks of stores.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StoreNames {
    /// Not at all.
    Hidden,
    /// By these ids (`enabled_backends`).
    Shown(Vec<String>),
}

impl StoreNames {
    /// The ids that clients know.
    pub fn shown(&self) -> &[String] {
        match self {
            Self::Hidden => &[],
            Self::Shown(ids) => ids,
        }
    }
}

impl From<&Config> for Settings {
    fn from(config: &Config) -> Self {
        Self {
            bind: config.server.bind,
            public_endpoint: config.server.public_endpoint.clone(),
            believe_proxy: config.server.enable_proxy_headers_parsing,
            max_request_id_length: config.server.max_request_id_length,
            disable_file: config.server.healthcheck_disable_file.clone(),
            import_methods: config.api.import_methods.iter().copied().map(name).collect(),
            stores: match &config.store.naming {
                StoreNaming::Single => StoreNames::Hidden,
                StoreNaming::Backend { id } => StoreNames::Shown(vec![id.clone()]),
            },
            show_direct_url: config.api.show_image_direct_url,
            show_locations: config.api.show_multiple_locations,
            disk_formats: config.formats.disk_formats.clone(),
            container_formats: config.formats.container_formats.clone(),
        }
    }
}

const fn name(method: ImportMethod) -> &'static str {
    match method {
        ImportMethod::GlanceDirect => "glance-direct",
        ImportMethod::WebDownload => "web-download",
        ImportMethod::CopyImage => "copy-image",
        ImportMethod::GlanceDownload => "glance-download",
    }
}
