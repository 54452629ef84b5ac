//! `[keystone_authtoken]`, checked: where Keystone is, who the service is there, and what it believes.

mod credentials;
pub(in crate::config) mod limits;
#[cfg(test)]
mod limits_tests;
mod memcached;
mod read;
#[cfg(test)]
mod tests;

pub(super) use self::read::{SECTION, find_auth_section, read};

use super::value::Secret;
use std::{path::PathBuf, time::Duration};

/// Everything that validating tokens at a real Keystone needs. The names in the docs are those of
/// `[keystone_authtoken]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Keystone {
    /// `auth_url`: where the service logs in, with or without `/v3`; nobody's name or password is in it.
    pub auth_url: String,
    /// Who the service is.
    pub credentials: Credentials,
    /// `www_authenticate_uri`: where clients without a token are sent; `None` is `auth_url`.
    pub www_authenticate_uri: Option<String>,
    /// `interface`: which endpoint of the identity service validates tokens.
    pub interface: Interface,
    /// `region_name`; `None` is the first region of the catalog.
    pub region_name: Option<String>,
    /// How Keystone is known to be Keystone.
    pub tls: Tls,
    /// `http_connect_timeout`: the longest wait for one answer.
    pub request_timeout: Duration,
    /// `http_request_max_retries`: tries after the first.
    pub max_retries: u32,
    /// `include_service_catalog`: whether the catalog is asked for with each token.
    pub include_service_catalog: bool,
    /// `service_token_roles`, in lower case.
    pub service_token_roles: Vec<String>,
    /// `service_token_roles_required`: whether a service token without one of them is refused.
    pub service_token_roles_required: bool,
    /// `service_type`: what this service is in access rules; `None` refuses tokens that have such rules.
    pub service_type: Option<String>,
    /// `enforce_token_bind`.
    pub token_bind: TokenBind,
    /// `token_cache_time`: how long a token is believed without asking again; `None` is not at all.
    pub token_cache_time: Option<Duration>,
    /// `memcached_servers` and `memcache_*`; `None` caches tokens in this process alone.
    pub memcached: Option<Memcached>,
}

/// Where limits of projects are kept (`use_keystone_limits`). The names in the docs are those of `[oslo_limit]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnifiedLimits {
    /// `auth_url`.
    pub auth_url: String,
    /// Who asks for them.
    pub credentials: Credentials,
    /// `valid_interfaces`, the first: which endpoint of the identity service is asked.
    pub interface: Interface,
    /// `region_name`; `None` is the first region of the catalog.
    pub region_name: Option<String>,
    /// How Keystone is known to be Keystone.
    pub tls: Tls,
    /// `timeout`: the longest wait for one answer.
    pub request_timeout: Duration,
    /// `connect_retries`: tries after the first.
    pub max_retries: u32,
    /// Which endpoint the limits belong to.
    pub endpoint: LimitsEndpoint,
}

/// Which endpoint limits belong to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LimitsEndpoint {
    /// `endpoint_id`.
    Id(String),
    /// The only one of a service.
    OfService {
        /// `endpoint_service_type`.
        service_type: Option<String>,
        /// `endpoint_service_name`.
        service_name: Option<String>,
        /// `endpoint_region_name`.
        region: Option<String>,
        /// `endpoint_interface`.
        interface: Interface,
    },
}

/// Proof of who the service is (`auth_type`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Credentials {
    /// `password`, `v3password`.
    Password {
        /// Whose password it is.
        user: UserReference,
        /// `password`.
        password: Secret,
        /// What the service's own token is for.
        scope: LoginScope,
    },
    /// `v3applicationcredential`.
    ApplicationCredential {
        /// Which one.
        credential: ApplicationCredentialReference,
        /// `application_credential_secret`.
        secret: Secret,
    },
}

/// An application credential.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ApplicationCredentialReference {
    /// `application_credential_id`.
    Id(String),
    /// `application_credential_name`, one of a user's.
    Name {
        /// The credential's name.
        name: String,
        /// Whose it is.
        user: UserReference,
    },
}

/// A user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum UserReference {
    /// `user_id`.
    Id(String),
    /// `username` in a domain.
    Name {
        /// The user's name.
        name: String,
        /// `user_domain_id`, `user_domain_name`, else `default_domain_*`.
        domain: DomainReference,
    },
}

/// A domain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DomainReference {
    /// By id.
    Id(String),
    /// By name.
    Name(String),
}

/// What the service's own token is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LoginScope {
    /// `project_id`.
    ProjectId(String),
    /// `project_name` in a domain.
    ProjectName {
        /// The project's name.
        name: String,
        /// `project_domain_id`, `project_domain_name`, else `default_domain_*`.
        domain: DomainReference,
    },
    /// `domain_id`, `domain_name`.
    Domain(DomainReference),
    /// `system_scope = all`.
    System,
    /// `trust_id`.
    Trust(String),
}

/// Endpoint interfaces of a catalog.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Interface {
    /// `public`.
    Public,
    /// `internal`.
    Internal,
    /// `admin`.
    Admin,
}

/// `cafile`, `certfile`, `keyfile`, `insecure`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tls {
    /// Authorities to believe instead of the system's, PEM.
    pub cafile: Option<PathBuf>,
    /// Our own certificate.
    pub client: Option<ClientCertificate>,
    /// Whether the server's certificate is checked.
    pub verification: Verification,
}

/// A certificate with its key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientCertificate {
    /// PEM; may hold the key as well.
    pub certfile: PathBuf,
    /// PEM; `None` is in `certfile`.
    pub keyfile: Option<PathBuf>,
}

/// Whether a server's certificate is checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verification {
    /// Against the authorities.
    Full,
    /// Not at all.
    Off,
}

/// What is done about tokens that are bound to a way of authentication.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TokenBind {
    /// Nothing.
    Disabled,
    /// Unknown kinds of binding are ignored.
    Permissive,
    /// Unknown kinds are refused.
    Strict,
    /// A token must be bound.
    Required,
    /// A token must be bound in this way.
    Named(String),
}

/// A memcached that holds validated tokens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Memcached {
    /// `memcached_servers`, as written and in this order; never empty.
    pub servers: Vec<String>,
    /// `memcache_security_strategy` with `memcache_secret_key`.
    pub protection: Protection,
    /// `memcache_pool_socket_timeout`: for one exchange.
    pub socket_timeout: Duration,
    /// `memcache_pool_dead_retry`: how long a server that failed is left alone.
    pub dead_retry: Duration,
    /// `memcache_pool_maxsize`: connections to one server.
    pub pool_maxsize: usize,
    /// `memcache_pool_conn_get_timeout`: the longest wait for one of them.
    pub pool_conn_get_timeout: Duration,
    /// `memcache_pool_unused_timeout`: an idle connection is closed after it.
    pub pool_unused_timeout: Duration,
    /// `memcache_tls_*`; `None` is without TLS.
    pub tls: Option<MemcachedTls>,
    /// `memcache_sasl_enabled`, `memcache_username`, `memcache_password`.
    pub sasl: Option<Sasl>,
}

/// How cached tokens are protected from whoever can reach memcached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Protection {
    /// Not at all: whoever can write there can make tokens up.
    None,
    /// They cannot be made up, but read.
    Mac(Secret),
    /// Neither.
    Encrypt(Secret),
}

/// TLS to memcached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MemcachedTls {
    /// `memcache_tls_cafile`; `None` is the system's authorities.
    pub cafile: Option<PathBuf>,
    /// `memcache_tls_certfile`, `memcache_tls_keyfile`.
    pub client: Option<ClientCertificate>,
}

/// A memcached user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sasl {
    /// `memcache_username`.
    pub username: String,
    /// `memcache_password`.
    pub password: Secret,
}
