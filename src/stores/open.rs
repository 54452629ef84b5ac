//! From what configuration says of a store to the store: the one place that names the crates.

use std::{error::Error, path::Path, sync::Arc};

use saccade_disk::{Disk, RealDisk, WriteMode};
use saccade_outgoing as outgoing;
use saccade_store_contract::Store;
use saccade_store_file::{
    DataDirectory, Engine, EngineKind, FileStore, FileStoreConfig, FileStores, NotCompiledIn, WriteChoice,
};
use saccade_store_http::{HttpStore, HttpStoreConfig};
use saccade_store_s3::{self as s3, BucketUrlFormat, Checksums, S3Store, S3StoreConfig};
use saccade_store_swift::{self as swift, EndpointType, MultiTenantStore, SwiftStore, SwiftStoreConfig};

use super::{mountpoints::Mountpoints, outgoing_filter};
use crate::config::{
    self, FileWriteMode, S3BucketUrlFormat, S3Checksums, StoreDriver, SwiftAccounts, SwiftAuthentication,
    SwiftEndpointType, UrlFilter,
};

type Cause = Box<dyn Error + Send + Sync>;

/// A store, and what its locations carry.
pub(super) struct Opened {
    pub(super) store: Arc<dyn Store>,
    pub(super) mountpoints: Option<Mountpoints>,
    pub(super) place: Option<Place>,
    /// What the addresses of what it writes begin with, if it knows others for its own, too.
    pub(super) home: Option<String>,
}

/// Where a store writes, where only the store knows: no two may share one.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Place(String);

impl Opened {
    fn plain(store: impl Store + 'static) -> Self {
        Self {
            store: Arc::new(store),
            mountpoints: None,
            place: None,
            home: None,
        }
    }
}

/// What writes the files of all stores. Started once: it may have a thread.
pub(super) fn engine(engine: config::FileEngine) -> Result<Engine, NotCompiledIn> {
    Engine::start(match engine {
        config::FileEngine::Pwrite => EngineKind::Pwrite,
        config::FileEngine::TokioUring => EngineKind::TokioUring,
        config::FileEngine::Glommio => EngineKind::Glommio,
    })
}

pub(super) fn store(store: &config::Store, filter: &UrlFilter, engine: &Engine) -> Result<Opened, Cause> {
    Ok(match &store.driver {
        StoreDriver::File(file) => {
            let mountpoints = file.metadata_file.as_deref().map(Mountpoints::read).transpose()?;
            Opened {
                mountpoints,
                ..Opened::plain(FileStores::open(file_config(&store.id, file, engine), disk())?)
            }
        }
        StoreDriver::Http(http) => Opened::plain(HttpStore::open(http_config(&store.id, http, filter)?)?),
        StoreDriver::S3(s3) => Opened::plain(S3Store::open(s3_config(&store.id, s3))?),
        StoreDriver::Swift(swift) if swift.accounts != SwiftAccounts::Own => {
            let opened = MultiTenantStore::open(swift_config(&store.id, swift))?;
            Opened {
                place: Some(Place(opened.place())),
                ..Opened::plain(opened)
            }
        }
        StoreDriver::Swift(swift) => {
            let opened = SwiftStore::open(swift_config(&store.id, swift))?;
            Opened {
                place: Some(Place(opened.place())),
                home: swift.location_prefix(),
                ..Opened::plain(opened)
            }
        }
    })
}

/// As [`store`], without what would leave something behind: a file store makes its directories.
pub(super) fn check(store: &config::Store, filter: &UrlFilter) -> Result<Option<Place>, Cause> {
    match &store.driver {
        StoreDriver::File(file) => {
            file.metadata_file.as_deref().map(Mountpoints::read).transpose()?;
            Ok(None)
        }
        // No other has files.
        _ => Ok(self::store(store, filter, &Engine::pwrite())?.place),
    }
}

/// A store of files in this directory alone.
pub(super) fn staging(id: &str, directory: &Path) -> Result<Arc<dyn Store>, Cause> {
    Ok(Arc::new(FileStore::open(
        FileStoreConfig::new(id, directory),
        disk(),
    )?))
}

fn disk() -> Arc<dyn Disk> {
    Arc::new(RealDisk)
}

/// One for each directory.
fn file_config(id: &str, file: &config::FileStore, engine: &Engine) -> Vec<DataDirectory> {
    let write = match file.write_mode {
        FileWriteMode::Auto => WriteChoice::Auto,
        FileWriteMode::Buffered => WriteChoice::Always(WriteMode::Buffered),
        FileWriteMode::DontCache => WriteChoice::Always(WriteMode::DontCache),
        FileWriteMode::Direct => WriteChoice::Always(WriteMode::Direct),
    };
    let one = |directory: &config::DataDirectory| DataDirectory {
        priority: directory.priority,
        config: FileStoreConfig {
            file_mode: file.file_mode.map(|mode| mode.bits()),
            thin_provisioning: file.thin_provisioning,
            write,
            engine: engine.clone(),
            ..FileStoreConfig::new(id, &directory.path)
        },
    };
    file.datadirs.iter().map(one).collect()
}

fn http_config(id: &str, http: &config::HttpStore, filter: &UrlFilter) -> Result<HttpStoreConfig, Cause> {
    let proxies = http
        .proxies
        .iter()
        .map(|(scheme, proxy)| (scheme.as_str(), proxy.as_str()));
    Ok(HttpStoreConfig {
        id: id.to_owned(),
        https_ca_certificates_file: http.ca_certificates_file.clone(),
        https_insecure: http.insecure,
        http_proxy_information: outgoing::Proxies::parse(proxies)?,
        filter: outgoing_filter(filter)?,
    })
}

fn s3_config(id: &str, store: &config::S3Store) -> S3StoreConfig {
    let checksums = |when| match when {
        S3Checksums::WhenRequired => Checksums::WhenRequired,
        S3Checksums::WhenSupported => Checksums::WhenSupported,
    };
    S3StoreConfig {
        id: id.to_owned(),
        s3_store_host: store.host.clone(),
        s3_store_region_name: store.region_name.clone(),
        s3_store_access_key: s3::Secret::new(store.access_key.expose()),
        s3_store_secret_key: s3::Secret::new(store.secret_key.expose()),
        s3_store_bucket: store.bucket.clone(),
        s3_store_create_bucket_on_put: store.create_bucket_on_put,
        s3_store_bucket_url_format: match store.bucket_url_format {
            S3BucketUrlFormat::Auto => BucketUrlFormat::Auto,
            S3BucketUrlFormat::Virtual => BucketUrlFormat::Virtual,
            S3BucketUrlFormat::Path => BucketUrlFormat::Path,
        },
        s3_store_large_object_size: store.large_object_size,
        s3_store_large_object_chunk_size: store.large_object_chunk_size,
        s3_store_thread_pools: store.thread_pools,
        s3_store_cacert: store.cacert.clone(),
        s3_store_enable_data_integrity_protection: store.enable_data_integrity_protection,
        s3_store_request_checksum_calculation: checksums(store.request_checksum_calculation),
        s3_store_response_checksum_validation: checksums(store.response_checksum_validation),
    }
}

fn swift_config(id: &str, store: &config::SwiftStore) -> SwiftStoreConfig {
    let secret =
        |secret: &Option<config::Secret>| secret.as_ref().map(|secret| swift::Secret::new(secret.expose()));
    let text = |secret: &Option<config::Secret>| secret.as_ref().map(|text| text.expose().to_owned());
    SwiftStoreConfig {
        swift_store_config_file: store.config_file.clone(),
        default_swift_reference: store.default_reference.clone(),
        swift_store_auth_address: store.auth_address.clone(),
        swift_store_user: text(&store.user),
        swift_store_key: secret(&store.key),
        swift_store_application_credential_id: text(&store.application_credential_id),
        swift_store_application_credential_secret: secret(&store.application_credential_secret),
        swift_store_auth_version: match store.authentication {
            SwiftAuthentication::Keystone => "3".to_owned(),
            SwiftAuthentication::OfTheServer => "1".to_owned(),
        },
        swift_store_endpoint: store.endpoint.clone(),
        swift_store_endpoint_type: match store.endpoint_type {
            SwiftEndpointType::Public => EndpointType::Public,
            SwiftEndpointType::Internal => EndpointType::Internal,
            SwiftEndpointType::Admin => EndpointType::Admin,
        },
        swift_store_service_type: store.service_type.clone(),
        swift_store_region: store.region.clone(),
        swift_store_container: store.container.clone(),
        swift_store_multiple_containers_seed: store.multiple_containers_seed,
        swift_store_create_container_on_put: store.create_container_on_put,
        swift_store_large_object_size: store.large_object_size,
        swift_store_large_object_chunk_size: store.large_object_chunk_size,
        swift_store_cacert: store.cacert.clone(),
        swift_store_auth_insecure: store.auth_insecure,
        swift_store_retry_get_count: store.retry_get_count,
        swift_store_expire_soon_interval: store.expire_soon_interval,
        swift_store_multi_tenant: store.accounts != SwiftAccounts::Own,
        swift_store_admin_tenants: match &store.accounts {
            SwiftAccounts::Own => Vec::new(),
            SwiftAccounts::OfProjects { admins } => admins.clone(),
        },
        // What is left is without effect.
        ..SwiftStoreConfig::new(id)
    }
}
