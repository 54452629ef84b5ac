//! What the API has to know of the configuration.

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
};

use serde_json::{Value, json};

use crate::{
    config::{
        CacheDriver, CachePipeline, Config, Cors, FileStore, ImportMethod, StoreDriver, StoreNaming, Stores,
    },
    image::Location,
};

/// What the operator has decided.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// Where the API listens: its address for requests that do not say which host they mean.
    pub bind: SocketAddr,
    /// The address in the versions document; `None` takes it from the request.
    pub public_endpoint: Option<String>,
    /// Whether `Forwarded` and `X-Forwarded-*` are believed.
    pub believe_proxy: bool,
    /// What pages of other origins may do.
    pub cors: Cors,
    /// Longer request ids are refused; 0 is no limit. In bytes.
    pub max_request_id_length: usize,
    /// Whether answers are compressed for clients that ask for it; never image data.
    pub gzip_responses: bool,
    /// `/healthcheck` answers 503 while this file exists.
    pub disable_file: Option<PathBuf>,
    /// The import methods that clients may use, by their names in the API.
    pub import_methods: Vec<&'static str>,
    /// How the API speaks of stores.
    pub stores: StoreNames,
    /// How the API speaks of the image cache; `None` says that there is none.
    pub cache: Option<CacheSettings>,
    /// Whether images show `direct_url`.
    pub show_direct_url: bool,
    /// Whether images show `locations`.
    pub show_locations: bool,
    /// For the schema.
    pub disk_formats: Vec<String>,
    /// For the schema.
    pub container_formats: Vec<String>,
}

/// How the API speaks of the image cache.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CacheSettings {
    /// Whether there are the routes of before 2.14, too (`cachemanage`).
    pub legacy: bool,
    /// Whether it can be asked which nodes have an image (`image_cache_driver = centralized_db`).
    pub tells_nodes: bool,
    /// This node, as others reach it (`worker_self_reference_url`).
    pub node_url: Option<String>,
}

/// How the API speaks of stores.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StoreNames {
    /// Not at all.
    Hidden,
    /// By their ids (`enabled_backends`), in the order of the configuration.
    Shown(Vec<StoreInfo>),
}

/// What clients may know of a store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoreInfo {
    /// Its id.
    pub id: String,
    /// What the operator says of it.
    pub description: Option<String>,
    /// Whether data goes there when the client names no store.
    pub is_default: bool,
    /// Whether it holds only what others have put there.
    pub read_only: bool,
    /// The driver, by Glance's name.
    pub driver: &'static str,
    /// Its place among others.
    pub weight: i64,
    /// What administrators may know of it, too: an object.
    pub properties: Value,
}

impl StoreNames {
    /// The ids that clients know.
    pub fn shown(&self) -> Vec<&str> {
        match self {
            Self::Hidden => Vec::new(),
            Self::Shown(stores) => stores.iter().map(|store| store.id.as_str()).collect(),
        }
    }
}

impl Settings {
    /// The locations of an image as its data is looked for: those in the store of the greatest weight first.
    pub(super) fn best_first<'l>(&self, locations: &'l [Location]) -> Vec<&'l Location> {
        let weight = |location: &Location| match (&self.stores, &location.store) {
            (StoreNames::Shown(stores), Some(id)) => {
                let store = stores.iter().find(|store| store.id == id.as_str());
                store.map_or(0, |store| store.weight)
            }
            _ => 0,
        };
        let mut sorted: Vec<&Location> = locations.iter().collect();
        sorted.sort_by_key(|location| std::cmp::Reverse(weight(location)));
        sorted
    }
}

impl From<&Stores> for StoreNames {
    fn from(stores: &Stores) -> Self {
        if stores.naming == StoreNaming::Single {
            return Self::Hidden;
        }
        let info = stores.list.iter().map(|store| {
            let (driver, read_only, properties) = match &store.driver {
                StoreDriver::File(file) => (
                    "file",
                    false,
                    json!({ "data_dir": best(file), "thin_provisioning": file.thin_provisioning }),
                ),
                StoreDriver::Http(_) => ("http", true, json!({})),
                StoreDriver::S3(s3) => (
                    "s3",
                    false,
                    json!({
                        "s3_store_large_object_size": mebibytes(s3.large_object_size),
                        "s3_store_large_object_chunk_size": mebibytes(s3.large_object_chunk_size),
                        "s3_store_thread_pools": s3.thread_pools,
                    }),
                ),
                StoreDriver::Swift(swift) => (
                    "swift",
                    false,
                    json!({
                        "container": swift.container,
                        "large_object_size": swift_megabytes(swift.large_object_size),
                        "large_object_chunk_size": swift_megabytes(swift.large_object_chunk_size),
                    }),
                ),
            };
            StoreInfo {
                id: store.id.clone(),
                description: store.description.clone(),
                is_default: store.id == stores.default,
                read_only,
                driver,
                weight: store.weight,
                properties,
            }
        });
        Self::Shown(info.collect())
    }
}

impl From<&Config> for Settings {
    fn from(config: &Config) -> Self {
        Self {
            bind: config.server.bind,
            public_endpoint: config.server.public_endpoint.clone(),
            believe_proxy: config.server.enable_proxy_headers_parsing,
            cors: config.cors.clone(),
            max_request_id_length: config.server.max_request_id_length,
            gzip_responses: config.server.gzip_responses,
            disable_file: config.server.healthcheck_disable_file.clone(),
            import_methods: (config.api.import_methods.iter())
                .map(|method| name(*method))
                .collect(),
            stores: StoreNames::from(&config.stores),
            cache: config.cache.as_ref().map(|told| CacheSettings {
                legacy: told.pipeline == CachePipeline::CacheManage,
                tells_nodes: told.driver == CacheDriver::CentralizedDb,
                node_url: told.node_url.clone(),
            }),
            show_direct_url: config.api.show_image_direct_url,
            show_locations: config.api.show_multiple_locations,
            disk_formats: config.formats.disk_formats.clone(),
            container_formats: config.formats.container_formats.clone(),
        }
    }
}

/// The directory that is filled first.
fn best(file: &FileStore) -> Option<&Path> {
    let directories = file.datadirs.iter();
    // Of equals, the first.
    let best = directories.rev().max_by_key(|directory| directory.priority);
    best.map(|directory| directory.path.as_path())
}

/// In bytes, as Glance shows it.
const fn mebibytes(count: u64) -> u64 {
    count.saturating_mul(1 << 20)
}

/// In bytes, from the MB of glance_store's Swift driver (`ONE_MB`).
const fn swift_megabytes(count: u64) -> u64 {
    count.saturating_mul(1000 * 1024)
}

const fn name(method: ImportMethod) -> &'static str {
    match method {
        ImportMethod::GlanceDirect => "glance-direct",
        ImportMethod::WebDownload => "web-download",
        ImportMethod::CopyImage => "copy-image",
        ImportMethod::GlanceDownload => "glance-download",
    }
}
