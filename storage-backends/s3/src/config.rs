//! What an S3 store is made of.

use std::{fmt, path::PathBuf};

use zeroize::Zeroizing;

/// What an S3 store is made of: glance_store's options by their names.
#[derive(Debug, Clone)]
pub struct S3StoreConfig {
    /// Its name in the configuration; for errors and logs.
    pub id: String,
    /// `host[:port][/path]`, with `http://` or `https://` before it; without either it is http.
    pub s3_store_host: String,
    /// Empty: from the host where that is Amazon's, else `us-east-1`.
    pub s3_store_region_name: String,
    /// The access key's id.
    pub s3_store_access_key: Secret,
    /// The access key's secret.
    pub s3_store_secret_key: Secret,
    /// The bucket.
    pub s3_store_bucket: String,
    /// Whether an upload makes the bucket where there is none.
    pub s3_store_create_bucket_on_put: bool,
    /// How the bucket is named in requests.
    pub s3_store_bucket_url_format: BucketUrlFormat,
    /// In MiB: from here on an image is sent in parts; at the latest when it fills one part.
    pub s3_store_large_object_size: u64,
    /// In MiB, at least 5: the length of a part. Parts of large images are longer.
    pub s3_store_large_object_chunk_size: u64,
    /// How many parts of one image are sent at once, at most.
    pub s3_store_thread_pools: u64,
    /// The authorities (PEM) that https is verified by; `None`: the system's.
    pub s3_store_cacert: Option<PathBuf>,
    /// Whether the two following count.
    pub s3_store_enable_data_integrity_protection: bool,
    /// When the server gets a hash of each body to check it by. Over http it always does.
    pub s3_store_request_checksum_calculation: Checksums,
    /// Without effect: servers have checksums of whole objects only for those that came in one piece.
    pub s3_store_response_checksum_validation: Checksums,
}

impl S3StoreConfig {
    /// Glance's defaults for what has one.
    pub fn new(id: &str, host: &str, access_key: Secret, secret_key: Secret, bucket: &str) -> Self {
        Self {
            id: id.to_owned(),
            s3_store_host: host.to_owned(),
            s3_store_region_name: String::new(),
            s3_store_access_key: access_key,
            s3_store_secret_key: secret_key,
            s3_store_bucket: bucket.to_owned(),
            s3_store_create_bucket_on_put: false,
            s3_store_bucket_url_format: BucketUrlFormat::Auto,
            s3_store_large_object_size: 100,
            s3_store_large_object_chunk_size: 10,
            s3_store_thread_pools: 10,
            s3_store_cacert: None,
            s3_store_enable_data_integrity_protection: false,
            s3_store_request_checksum_calculation: Checksums::WhenRequired,
            s3_store_response_checksum_validation: Checksums::WhenRequired,
        }
    }
}

/// `s3_store_bucket_url_format`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum BucketUrlFormat {
    /// `virtual` at Amazon, else `path`, as boto has it.
    #[default]
    Auto,
    /// `https://bucket.host/key`; `path` where the host is an address.
    Virtual,
    /// `https://host/bucket/key`.
    Path,
}

/// When checksums are made or checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Checksums {
    /// `when_required`.
    #[default]
    WhenRequired,
    /// `when_supported`.
    WhenSupported,
}

/// What nobody may see. Wiped when it is dropped; `Debug` shows nothing.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Zeroizing<String>);

impl Secret {
    /// The secret with this text.
    pub fn new(text: impl Into<String>) -> Self {
        Self(Zeroizing::new(text.into()))
    }

    pub(crate) fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

/// Why a store cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// An option has a value that cannot be used.
    #[error("the s3 store {id} cannot be used: {option} {reason}")]
    Option {
        /// The store.
        id: String,
        /// The option's name.
        option: &'static str,
        /// What is wrong with its value, which is not repeated.
        reason: &'static str,
    },
    /// The authorities cannot be read.
    #[error("the s3 store {id} cannot be used")]
    Tls {
        /// The store.
        id: String,
        /// Why.
        #[source]
        source: saccade_outgoing::OpenError,
    },
    /// There is no HTTP client.
    #[error("the s3 store {id} cannot be used")]
    Client {
        /// The store.
        id: String,
        /// Why.
        #[source]
        source: reqwest::Error,
    },
}
