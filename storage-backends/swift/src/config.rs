//! What a Swift store is made of.

use std::{fmt, path::PathBuf};

use zeroize::Zeroizing;

/// What a Swift store is made of: glance_store's options by their names.
#[derive(Debug, Clone)]
pub struct SwiftStoreConfig {
    /// Its name in the configuration; for errors and logs.
    pub id: String,
    /// The file of references to accounts. `None`: the one account of the options `swift_store_auth_address` to
    /// `swift_store_application_credential_secret`, by the name in `default_swift_reference`.
    pub swift_store_config_file: Option<PathBuf>,
    /// The reference to the account that is written to.
    pub default_swift_reference: String,
    /// Where to log in; without `http://` or `https://` before it, https.
    pub swift_store_auth_address: Option<String>,
    /// `tenant:user`.
    pub swift_store_user: Option<String>,
    /// The user's password.
    pub swift_store_key: Option<Secret>,
    /// Instead of user and key.
    pub swift_store_application_credential_id: Option<String>,
    /// Its secret.
    pub swift_store_application_credential_secret: Option<Secret>,
    /// `1` is tempauth and RGW's own log-in; anything else is Keystone's v3, as in glance_store. It counts for accounts
    /// whose `auth_version` the file does not tell.
    pub swift_store_auth_version: String,
    /// Instead of the storage URL that the log-in tells: up to the container, without it.
    pub swift_store_endpoint: Option<String>,
    /// Which of the catalogue's addresses.
    pub swift_store_endpoint_type: EndpointType,
    /// Which of the catalogue's services.
    pub swift_store_service_type: String,
    /// Which of the catalogue's regions; `None`: the first.
    pub swift_store_region: Option<String>,
    /// The container, or what the names of several begin with.
    pub swift_store_container: String,
    /// How many digits of an image's id choose its container: 0 to 32.
    pub swift_store_multiple_containers_seed: u64,
    /// Whether an upload makes the container where there is none.
    pub swift_store_create_container_on_put: bool,
    /// In MB of 1,024,000 bytes: from here on an image is sent in segments; at the latest when it does not fit into the
    /// memory that is its own.
    pub swift_store_large_object_size: u64,
    /// In MB of 1,024,000 bytes, at least 1: the length of a segment.
    pub swift_store_large_object_chunk_size: u64,
    /// Images in the accounts of those who bring them: [`crate::MultiTenantStore`].
    pub swift_store_multi_tenant: bool,
    /// The projects, by their ids, that may write to the containers of `swift_store_multi_tenant`; otherwise without effect.
    pub swift_store_admin_tenants: Vec<String>,
    /// The authorities (PEM) that https is verified by; `None`: the system's.
    pub swift_store_cacert: Option<PathBuf>,
    /// Whether https believes whoever answers.
    pub swift_store_auth_insecure: bool,
    /// How often a download that breaks off is continued without a byte in between; at least 3 times.
    pub swift_store_retry_get_count: u64,
    /// In seconds: a token that ends so soon is replaced before it is used.
    pub swift_store_expire_soon_interval: u64,
    /// Without effect: the store logs in anew by itself, and its own account stands in for users' tokens.
    pub swift_store_use_trusts: bool,
    /// Without effect: rustls has no compression (CRIME).
    pub swift_store_ssl_compression: bool,
    /// Without effect: the beginning of a segment is kept in memory to be sent again, and nothing on disk.
    pub swift_buffer_on_upload: bool,
}

impl SwiftStoreConfig {
    /// Glance's defaults.
    pub fn new(id: &str) -> Self {
        Self {
            id: id.to_owned(),
            swift_store_config_file: None,
            default_swift_reference: "ref1".to_owned(),
            swift_store_auth_address: None,
            swift_store_user: None,
            swift_store_key: None,
            swift_store_application_credential_id: None,
            swift_store_application_credential_secret: None,
            swift_store_auth_version: "3".to_owned(),
            swift_store_endpoint: None,
            swift_store_endpoint_type: EndpointType::Public,
            swift_store_service_type: "object-store".to_owned(),
            swift_store_region: None,
            swift_store_container: "glance".to_owned(),
            swift_store_multiple_containers_seed: 0,
            swift_store_create_container_on_put: false,
            swift_store_large_object_size: 5120,
            swift_store_large_object_chunk_size: 200,
            swift_store_multi_tenant: false,
            swift_store_admin_tenants: Vec::new(),
            swift_store_cacert: None,
            swift_store_auth_insecure: false,
            swift_store_retry_get_count: 0,
            swift_store_expire_soon_interval: 60,
            swift_store_use_trusts: true,
            swift_store_ssl_compression: true,
            swift_buffer_on_upload: false,
        }
    }
}

/// `swift_store_endpoint_type`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum EndpointType {
    /// `publicURL`.
    #[default]
    Public,
    /// `internalURL`.
    Internal,
    /// `adminURL`.
    Admin,
}

impl EndpointType {
    /// As a catalogue names it.
    pub(crate) const fn interface(self) -> &'static str {
        match self {
            Self::Public => "public",
            Self::Internal => "internal",
            Self::Admin => "admin",
        }
    }
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
    #[error("the swift store {id} cannot be used: {option} {reason}")]
    Option {
        /// The store.
        id: String,
        /// The option's name.
        option: &'static str,
        /// What is wrong with its value, which is not repeated.
        reason: &'static str,
    },
    /// The file of references cannot be read.
    #[error("the swift store {id} cannot be used: swift_store_config_file cannot be read")]
    File {
        /// The store.
        id: String,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// A reference has something that cannot be used.
    #[error("the swift store {id} cannot be used: reference {reference} of swift_store_config_file {reason}")]
    Reference {
        /// The store.
        id: String,
        /// The name of the reference.
        reference: String,
        /// What is wrong, without values.
        reason: String,
    },
    /// The authorities cannot be read.
    #[error("the swift store {id} cannot be used")]
    Tls {
        /// The store.
        id: String,
        /// Why.
        #[source]
        source: saccade_outgoing::OpenError,
    },
    /// There is no HTTP client.
    #[error("the swift store {id} cannot be used")]
    Client {
        /// The store.
        id: String,
        /// Why.
        #[source]
        source: reqwest::Error,
    },
}
