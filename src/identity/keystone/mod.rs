//! Tokens of a real Keystone, validated as OpenStack's keystonemiddleware does.
//!
//! A request's token is asked for in this process, then in memcached, then at Keystone with the service's own token.
//! Each answer is read with care, and whatever cannot be confirmed is [`Unidentified`]. Identity headers that a client
//! sends (`X-User-Id`, `X-Roles`, …) are never read, so there are none to strip.
//!
//! # Time
//! One exchange takes at most `http_connect_timeout`, and a request waits twice that for everything together: its turn
//! (64 validations run at once), the service's login, tries and pauses. A connection that fails is tried
//! `http_request_max_retries` times more after ¼, ½, 1 … seconds (less up to a half); a timeout, a 5xx and an answer
//! that makes no sense once more. If it is out of reach even so (no connection, a timeout, 502 to 504) and
//! answered nobody else meanwhile, nobody asks for a second, and then one request a second, once each, until Keystone
//! answers: the other requests with tokens that are not remembered get their 503 at once meanwhile.
//!
//! # Where keystonemiddleware differs
//! - Behind Glance's stock pipeline it answers 401 when Keystone cannot be asked; here it is 503, which clients rightly
//!   try again.
//! - A second token header, or one of more than 8 KiB or with other characters than tokens have, is refused unasked.
//! - A service token that proves no service counts as none, as behind Glance's stock pipeline; but there access rules and
//!   bindings of the user's token are waived for it all the same.
//! - A retry after a 401 to the service's own token keeps `allow_expired`; there it is lost.
//! - A refused login is not repeated for 5 seconds, then 10, … up to 60; there, with each request.
//! - `auth_url` and the catalog's endpoint are taken to serve `/v3` below them; version documents are not read.
//! - A token with application-credential access rules is also refused where that fails with an error 500 there, and a
//!   rule's characters mean themselves; see `access_rules.rs`. `service_type = identity` has no exception here.
//! - A server certificate that is its own authority is not taken; see `tls.rs`.

mod access_rules;
mod bind;
mod breaker;
mod catalog;
mod client;
#[cfg(feature = "fuzzing")]
#[doc(hidden)]
pub mod fuzzing;
mod limits;
mod login;
mod memcached;
mod options;
mod server;
mod service_user;
mod shared_cache;
mod single_flight;
mod tls;
mod token;
mod token_cache;
mod trouble;

#[cfg(test)]
mod fake;
#[cfg(test)]
mod tests;

use std::{
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use async_trait::async_trait;
use http::HeaderMap;
use jiff::Timestamp;
use tokio::time::Instant;

use self::{
    access_rules::NotAllowed,
    client::{Client, Network, Transport},
    server::{Expired, Failure, Server, WithCatalog},
    service_user::ServiceUser,
    shared_cache::SharedCache,
    token::Token,
    token_cache::{Memory, Tokens},
};
use super::{
    Caller, Delegation, Identity, RequestHead, Secret, Service, Unidentified,
    headers::{self, MAX_TOKEN_BYTES},
};

pub use self::{
    catalog::BadUrl,
    limits::{KeystoneLimits, LimitsEndpoint, LimitsFailure},
    memcached::MemcachedError,
    options::{
        ApplicationCredentialReference, ClientCertificate, Credentials, DomainReference, Interface,
        KeystoneOptions, LoginScope, MemcachedOptions, MemcachedTls, Protection, Sasl, Tls, TokenBind,
        UserReference, Verification,
    },
};

/// What time it is; a test says so itself.
type WallClock = fn() -> Timestamp;

/// Options that cannot be worked with.
#[derive(Debug, thiserror::Error)]
pub enum KeystoneError {
    /// `auth_url`.
    #[error("auth_url is no URL of Keystone")]
    AuthUrl(#[source] BadUrl),
    /// A file of `cafile`, `certfile` or `keyfile`.
    #[error("{option} {}: {cause}", path.display())]
    File {
        /// The option that names it.
        option: &'static str,
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        cause: String,
    },
    /// TLS cannot be used.
    #[error("TLS to Keystone cannot be set up: {0}")]
    Tls(String),
    /// The HTTP client cannot be made, as with a malformed proxy in the environment.
    #[error("the client for Keystone cannot be set up")]
    Client(#[source] reqwest::Error),
    /// `memcached_servers`, `memcache_*`.
    #[error(transparent)]
    Memcached(#[from] MemcachedError),
}

/// Validates tokens at Keystone.
pub struct Keystone {
    tokens: Tokens,
    rules: Rules,
    challenge: String,
}

/// What a known token must be besides.
struct Rules {
    service_token_roles: Vec<String>,
    service_token_roles_required: bool,
    service_type: Option<String>,
    token_bind: TokenBind,
    now: WallClock,
    told: Told,
}

/// What is logged once, though it goes on.
#[derive(Default)]
struct Told {
    access_rules: AtomicBool,
    service_roles: AtomicBool,
    no_service: AtomicBool,
}

impl Keystone {
    /// Reads the certificates, and asks nobody yet.
    ///
    /// # Errors
    /// [`KeystoneError`]: options that could never work, by their names.
    pub fn new(options: KeystoneOptions) -> Result<Self, KeystoneError> {
        let network = Arc::new(Network::new(&options)?);
        let others = shared_cache::open(options.memcached.as_ref())?;
        Self::over(options, network, others, Timestamp::now)
    }

    fn over(
        options: KeystoneOptions,
        transport: Arc<dyn Transport>,
        others: Option<Arc<dyn SharedCache>>,
        now: WallClock,
    ) -> Result<Self, KeystoneError> {
        let client = Client::new(transport, options.request_timeout, options.max_retries);
        let user = ServiceUser::new(&options, client.clone(), now)?;
        let catalog = match options.include_service_catalog {
            true => WithCatalog::Yes,
            false => WithCatalog::No,
        };
        let server = Server::new(client, user, catalog);
        let memory = options
            .token_cache_time
            .filter(|time| !time.is_zero())
            .map(|time| Memory::new(time, others));
        let uri: String = options
            .www_authenticate_uri
            .as_ref()
            .unwrap_or(&options.auth_url)
            .chars()
            .filter(|c| c.is_ascii_graphic() && *c != '"')
            .collect();
        if !options.service_token_roles_required {
            tracing::warn!(
                "service_token_roles_required is off: any valid token makes a service token and escapes access rules"
            );
        }
        Ok(Self {
            tokens: Tokens::new(server, memory, options.include_service_catalog, now),
            rules: Rules {
                service_token_roles: options.service_token_roles,
                service_token_roles_required: options.service_token_roles_required,
                service_type: options.service_type.filter(|kind| !kind.is_empty()),
                token_bind: options.token_bind,
                now,
                told: Told::default(),
            },
            challenge: format!("Keystone uri=\"{uri}\""),
        })
    }

    /// Logs the service in, so that the operator sees at once in the log whether that works: INFO with user, project
    /// and endpoint, or WARN with the cause. Later requests find the login done, or try again. To be run in a tokio
    /// runtime; ends within twice `http_connect_timeout`.
    pub fn warm_up(&self) -> impl Future<Output = ()> + Send + 'static {
        self.tokens.warm_up()
    }
}

#[async_trait]
impl Identity for Keystone {
    /// keystonemiddleware's `process_request`: the service's token, then the user's in its light.
    async fn identify(&self, request: RequestHead<'_>) -> Result<Caller, Unidentified> {
        let user_token = possible(headers::token(request.headers)?)?.ok_or(Unidentified::Missing)?;
        let service_token = match headers::single(request.headers, "x-service-token")? {
            Some(token) => possible(token)?,
            None => None,
        };
        let deadline = Instant::now() + self.tokens.patience();

        let (service, expired) = match service_token {
            None => (None, Expired::Refused),
            Some(token) => self.service(token, deadline).await?,
        };

        let token = self.tokens.look_up(user_token, expired, deadline).await?;
        self.rules
            .check_user(&token, expired, request, service.is_some())?;
        Ok(Caller {
            service,
            ..token.caller.clone()
        })
    }

    /// Asks Keystone, whatever is remembered: catalogs are too large to be remembered with each token.
    async fn delegation(&self, headers: &HeaderMap) -> Result<Option<Delegation>, Unidentified> {
        let token = possible(headers::token(headers)?)?.ok_or(Unidentified::Missing)?;
        let deadline = Instant::now() + self.tokens.patience();
        let confirmed = self.tokens.with_catalog(token, deadline).await?;
        let endpoints = catalog::endpoints(&confirmed.body);
        Ok(endpoints.map(|endpoints| Delegation::new(Secret::new(token.to_owned()), endpoints)))
    }

    fn challenge(&self) -> &str {
        &self.challenge
    }
}

impl Keystone {
    /// The service that the token proves, and whether the user's token may have expired beside it. A token that proves
    /// none counts as none, as behind Glance's stock pipeline (`delay_auth_decision`): the user acts alone.
    async fn service(
        &self,
        token: &str,
        deadline: Instant,
    ) -> Result<(Option<Service>, Expired), Unidentified> {
        let confirmed = self.tokens.look_up(token, Expired::Refused, deadline).await;
        let proved = confirmed.map_err(Unidentified::from).and_then(|token| {
            let expired = self.rules.check_service(&token)?;
            Ok((Some(service(&token.caller)), expired))
        });
        match proved {
            Err(Unidentified::Invalid) => {
                self.rules.told.no_service();
                Ok((None, Expired::Refused))
            }
            proved => proved,
        }
    }
}

/// Without surrounding white space; `None` without anything else.
fn possible(token: &str) -> Result<Option<&str>, Unidentified> {
    let token = token.trim();
    if token.len() > MAX_TOKEN_BYTES || !token.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(Unidentified::Invalid);
    }
    Ok(Some(token).filter(|token| !token.is_empty()))
}

fn service(caller: &Caller) -> Service {
    Service {
        user_id: Some(caller.user_id.clone()),
        user_domain_id: caller.user_domain_id.clone(),
        project_id: caller.project_id.clone(),
        project_domain_id: caller.project_domain_id.clone(),
        roles: caller.roles.clone(),
    }
}

impl Rules {
    /// Whether the token makes a service; and if so, whether a user's token may have expired beside it.
    fn check_service(&self, token: &Token) -> Result<Expired, Unidentified> {
        self.check_alive(token)?;
        self.check_bind(token)?;
        let known = |role: &String| self.service_token_roles.contains(role);
        if token.caller.roles.iter().any(known) {
            return Ok(Expired::Allowed);
        }
        let user = &token.caller.user_id;
        if self.service_token_roles_required {
            tracing::debug!(user, "a service token without a role of service_token_roles");
            return Err(Unidentified::Invalid);
        }
        if !self.told.service_roles.swap(true, Ordering::Relaxed) {
            tracing::warn!(
                user,
                "a token without a role of service_token_roles was taken as service token, because \
                 service_token_roles_required is off"
            );
        }
        Ok(Expired::Refused)
    }

    fn check_user(
        &self,
        token: &Token,
        expired: Expired,
        request: RequestHead<'_>,
        chained: bool,
    ) -> Result<(), Unidentified> {
        if expired == Expired::Refused {
            self.check_alive(token)?;
        }
        if let Some(rules) = &token.access_rules
            && let Err(cause) = rules.check(request, self.service_type.as_deref(), chained)
        {
            self.told.not_allowed(cause);
            return Err(Unidentified::Invalid);
        }
        if chained { Ok(()) } else { self.check_bind(token) }
    }

    /// Also of what was remembered: it may have expired since.
    fn check_alive(&self, token: &Token) -> Result<(), Unidentified> {
        if token.expires > (self.now)() {
            Ok(())
        } else {
            tracing::debug!(user = token.caller.user_id, "a token has expired");
            Err(Unidentified::Invalid)
        }
    }

    fn check_bind(&self, token: &Token) -> Result<(), Unidentified> {
        if bind::confirmed(&self.token_bind, &token.bind) {
            Ok(())
        } else {
            tracing::debug!(
                user = token.caller.user_id,
                "enforce_token_bind refuses a token by its binding"
            );
            Err(Unidentified::Invalid)
        }
    }
}

impl Told {
    /// Which service it was stands in the line before, when it is known.
    fn no_service(&self) {
        if self.no_service.swap(true, Ordering::Relaxed) {
            tracing::debug!("a service token proves no service");
        } else {
            tracing::warn!(
                "a service token proves no service and was taken for none: it is unknown, has expired, or has no role of \
                 service_token_roles. Later ones are told with debug = true"
            );
        }
    }

    /// What the operator could change is told once aloud; a request that no rule covers is the user's own matter.
    fn not_allowed(&self, cause: NotAllowed) {
        let why = match cause {
            NotAllowed::NoRule => {
                tracing::debug!("no access rule of an application credential covers a request");
                return;
            }
            NotAllowed::NoServiceType => "service_type is not set in [keystone_authtoken]",
            NotAllowed::NoCatalog => "tokens come without a catalog: see include_service_catalog",
            NotAllowed::NotInCatalog => "service_type is not in the catalog of the token",
        };
        if self.access_rules.swap(true, Ordering::Relaxed) {
            tracing::debug!("a token with access rules is refused: {why}");
        } else {
            tracing::warn!("tokens with access rules of application credentials are refused: {why}");
        }
    }
}

impl From<Failure> for Unidentified {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Invalid => Self::Invalid,
            Failure::Unavailable(trouble) => Self::Unavailable(trouble.public().to_owned()),
        }
    }
}
