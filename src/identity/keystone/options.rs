//! How the service logs in at Keystone and what it believes: `[keystone_authtoken]`, checked.

use std::{path::PathBuf, time::Duration};

use super::super::Secret;

/// Everything that [`Keystone`](super::Keystone) is told. The names in the docs are those of `[keystone_authtoken]`.
#[derive(Debug, Clone)]
pub struct KeystoneOptions {
    /// `auth_url`: where the service logs in, with or without `/v3`.
    pub auth_url: String,
    /// Who the service is.
    pub credentials: Credentials,
    /// `www_authenticate_uri`: where clients without a token are sent. `None`: to `auth_url`.
    pub www_authenticate_uri: Option<String>,
    /// `interface`, `region_name`: which endpoint of the identity service validates tokens.
    pub interface: Interface,
    /// See [`interface`](Self::interface). `None`: the first region of the catalog.
    pub region_name: Option<String>,
    /// How Keystone is known to be Keystone.
    pub tls: Tls,
    /// `http_connect_timeout`: the longest wait for the answer to one request.
    pub request_timeout: Duration,
    /// `http_request_max_retries`: tries after the first when Keystone cannot be reached.
    pub max_retries: u32,
    /// `include_service_catalog`: whether Keystone is asked for the catalog with each token. Access rules of
    /// application credentials need it.
    pub include_service_catalog: bool,
    /// `service_token_roles`: one of them makes a service token of a token. In lower case.
    pub service_token_roles: Vec<String>,
    /// `service_token_roles_required`: whether a token without them is refused as service token.
    pub service_token_roles_required: bool,
    /// `service_type`: what this service is in access rules; `None` refuses every token that has such rules.
    pub service_type: Option<String>,
    /// `enforce_token_bind`.
    pub token_bind: TokenBind,
    /// `token_cache_time`: how long a token is believed without asking again. `None` (-1 in the file): not at all.
    pub token_cache_time: Option<Duration>,
    /// `memcached_servers` and `memcache_*`; `None`: tokens are cached in this process alone.
    pub memcached: Option<MemcachedOptions>,
}

/// Proof of who the service is (`auth_type`).
#[derive(Debug, Clone)]
pub enum Credentials {
    /// `password`, `v3password`.
    Password {
        /// `username` or `user_id`, with `user_domain_id` or `user_domain_name`.
        user: UserReference,
        /// `password`.
        password: Secret,
        /// `project_*`, `domain_*`, `system_scope`, `trust_id`.
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
#[derive(Debug, Clone)]
pub enum ApplicationCredentialReference {
    /// `application_credential_id`.
    Id(String),
    /// `application_credential_name` of a user.
    Name {
        /// The credential's name.
        name: String,
        /// Whose it is.
        user: UserReference,
    },
}

/// A user.
#[derive(Debug, Clone)]
pub enum UserReference {
    /// By id.
    Id(String),
    /// By name in a domain.
    Name {
        /// The user's name.
        name: String,
        /// Where.
        domain: DomainReference,
    },
}

/// A domain.
#[derive(Debug, Clone)]
pub enum DomainReference {
    /// By id.
    Id(String),
    /// By name.
    Name(String),
}

/// What the service's own token is for.
#[derive(Debug, Clone)]
pub enum LoginScope {
    /// `project_id`.
    ProjectId(String),
    /// `project_name` in a domain.
    ProjectName {
        /// The project's name.
        name: String,
        /// Where.
        domain: DomainReference,
    },
    /// `domain_id`, `domain_name`.
    Domain(DomainReference),
    /// `system_scope = all`.
    System,
    /// `trust_id`.
    Trust(String),
    /// Nothing in particular: the user's default project, if there is one.
    Unscoped,
}

/// Endpoint interfaces of a catalog.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Interface {
    /// `public`.
    Public,
    /// `internal`, the default.
    Internal,
    /// `admin`.
    Admin,
}

/// `cafile`, `certfile`, `keyfile`, `insecure`.
#[derive(Debug, Clone, Default)]
pub struct Tls {
    /// PEM file of the authorities to believe instead of the system's.
    pub cafile: Option<PathBuf>,
    /// Our own certificate.
    pub client: Option<ClientCertificate>,
    /// Whether the server's certificate is believed.
    pub verification: Verification,
}

/// A certificate with its key.
#[derive(Debug, Clone)]
pub struct ClientCertificate {
    /// PEM file; may hold the key as well.
    pub certfile: PathBuf,
    /// PEM file; `None`: in `certfile`.
    pub keyfile: Option<PathBuf>,
}

/// Whether a server's certificate is checked.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Verification {
    /// Against the authorities.
    #[default]
    Full,
    /// Not at all (`insecure`).
    Off,
}

/// What is done about tokens bound to a way of authentication (`enforce_token_bind`).
#[derive(Debug, Clone, PartialEq, Eq)]
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

/// A memcached shared with keystonemiddleware of other services.
#[derive(Debug, Clone)]
pub struct MemcachedOptions {
    /// `memcached_servers`: `host:port`, `[v6]:port`, `inet6:[v6]:port` or `unix:/path`. The order counts: keys are
    /// spread by it.
    pub servers: Vec<String>,
    /// `memcache_security_strategy`, `memcache_secret_key`.
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
    /// `memcache_tls_*`; `None`: without TLS.
    pub tls: Option<MemcachedTls>,
    /// `memcache_sasl_enabled`, `memcache_username`, `memcache_password`.
    pub sasl: Option<Sasl>,
}

/// How cached tokens are protected from whoever can reach memcached.
#[derive(Debug, Clone)]
pub enum Protection {
    /// Not at all: whoever can write there can make tokens up.
    None,
    /// They cannot be made up, but read.
    Mac(Secret),
    /// Neither.
    Encrypt(Secret),
}

/// TLS to memcached.
#[derive(Debug, Clone)]
pub struct MemcachedTls {
    /// `memcache_tls_cafile`; `None`: the system's authorities.
    pub cafile: Option<PathBuf>,
    /// `memcache_tls_certfile`, `memcache_tls_keyfile`.
    pub client: Option<ClientCertificate>,
}

/// A memcached user.
#[derive(Debug, Clone)]
pub struct Sasl {
    /// The user's name.
    pub username: String,
    /// The user's password.
    pub password: Secret,
}
