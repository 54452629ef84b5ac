//! From what configuration says of a store to the store: the one place that names the crates.

use std::{error::Error, path::Path, sync::Arc};

use saccade_disk::{Disk, RealDisk};
use saccade_outgoing as outgoing;
use saccade_store_contract::Store;
use saccade_store_file::{DataDirectory, FileStore, FileStoreConfig, FileStores};
use saccade_store_http::{HttpStore, HttpStoreConfig};
use saccade_store_s3::{BucketUrlFormat, Checksums, S3Store, S3StoreConfig, Secret};

use super::{mountpoints::Mountpoints, outgoing_filter};
use crate::config::{self, S3BucketUrlFormat, S3Checksums, StoreDriver, UrlFilter};

type Cause = Box<dyn Error + Send + Sync>;

/// A store, and what its locations carry.
pub(super) struct Opened {
    pub(super) store: Arc<dyn Store>,
    pub(super) mountpoints: Option<Mountpoints>,
}

impl Opened {
    fn plain(store: impl Store + 'static) -> Self {
        Self {
            store: Arc::new(store),
            mountpoints: None,
        }
    }
}

pub(super) fn store(store: &config::Store, filter: &UrlFilter) -> Result<Opened, Cause> {
    Ok(match &store.driver {
        StoreDriver::File(file) => {
            let mountpoints = file.metadata_file.as_deref().map(Mountpoints::read).transpose()?;
            Opened {
                mountpoints,
                ..Opened::plain(FileStores::open(file_config(&store.id, file), disk())?)
            }
        }
        StoreDriver::Http(http) => Opened::plain(HttpStore::open(http_config(&store.id, http, filter)?)?),
        StoreDriver::S3(s3) => Opened::plain(S3Store::open(s3_config(&store.id, s3))?),
    })
}

/// As [`store`], without what would leave something behind: a file store makes its directories.
pub(super) fn check(store: &config::Store, filter: &UrlFilter) -> Result<(), Cause> {
    match &store.driver {
        StoreDriver::File(file) => {
            file.metadata_file.as_deref().map(Mountpoints::read).transpose()?;
        }
        _ => drop(self::store(store, filter)?),
    }
    Ok(())
}

/// A store of files in this directory alone.
pub(super) fn staging(id: &str, directory: &Path) -> Result<Arc<dyn Store>, Cause> {
    let config = FileStoreConfig {
        id: id.to_owned(),
        datadir: directory.to_owned(),
        file_mode: None,
        thin_provisioning: false,
    };
    Ok(Arc::new(FileStore::open(config, disk())?))
}

fn disk() -> Arc<dyn Disk> {
    Arc::new(RealDisk)
}

/// One for each directory.
fn file_config(id: &str, file: &config::FileStore) -> Vec<DataDirectory> {
    let one = |directory: &config::DataDirectory| DataDirectory {
        priority: directory.priority,
        config: FileStoreConfig {
            id: id.to_owned(),
            datadir: directory.path.clone(),
            file_mode: file.file_mode.map(|mode| mode.bits()),
            thin_provisioning: file.thin_provisioning,
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

fn s3_config(id: &str, s3: &config::S3Store) -> S3StoreConfig {
    let checksums = |when| match when {
        S3Checksums::WhenRequired => Checksums::WhenRequired,
        S3Checksums::WhenSupported => Checksums::WhenSupported,
    };
    S3StoreConfig {
        id: id.to_owned(),
        s3_store_host: s3.host.clone(),
        s3_store_region_name: s3.region_name.clone(),
        s3_store_access_key: Secret::new(s3.access_key.expose()),
        s3_store_secret_key: Secret::new(s3.secret_key.expose()),
        s3_store_bucket: s3.bucket.clone(),
        s3_store_create_bucket_on_put: s3.create_bucket_on_put,
        s3_store_bucket_url_format: match s3.bucket_url_format {
            S3BucketUrlFormat::Auto => BucketUrlFormat::Auto,
            S3BucketUrlFormat::Virtual => BucketUrlFormat::Virtual,
            S3BucketUrlFormat::Path => BucketUrlFormat::Path,
        },
        s3_store_large_object_size: s3.large_object_size,
        s3_store_large_object_chunk_size: s3.large_object_chunk_size,
        s3_store_thread_pools: s3.thread_pools,
        s3_store_cacert: s3.cacert.clone(),
        s3_store_enable_data_integrity_protection: s3.enable_data_integrity_protection,
        s3_store_request_checksum_calculation: checksums(s3.request_checksum_calculation),
        s3_store_response_checksum_validation: checksums(s3.response_checksum_validation),
    }
}
