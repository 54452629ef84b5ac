//! Tokens that other services have validated: the cache in memcached that they share through keystonemiddleware,
//! compatible with it byte by byte.
//!
//! Nothing that a server says is believed further than the operator's `memcache_security_strategy` allows, takes
//! longer than the `memcache_pool_*` options allow, or takes more memory than the largest value. Whatever goes wrong
//! is a miss: the token is then validated at Keystone.
//!
//! Where it differs from keystonemiddleware, on purpose, and without a difference in what is stored where:
//! - A connection that a server closed while nobody used it is opened again; there, the server counts as dead.
//! - A server that was dead is tried by one caller at a time.
//! - `memcache_pool_*` hold with TLS and SASL as well; there, they are ignored.
//! - Strategies are `MAC` and `ENCRYPT` however the file spells them; there, `encrypt` encrypts nothing.
//! - Lives of more than 30 days are 30 days; there, such an entry has expired when it is written.
//! - TLS without SASL is spoken in the text protocol, for the sake of `mg`; a server that was told to speak
//!   nothing but binary (`-B binary`) is of no use then.
//!
//! Source: keystonemiddleware 13.0.1, python-memcached 1.62, python-binary-memcached 0.33.

mod address;
mod binary;
mod body;
mod connection;
mod error;
#[cfg(feature = "fuzzing")]
pub(super) mod fuzzing;
mod health;
mod placement;
mod protection;
mod server;
#[cfg(test)]
mod tests;
mod text;
mod tls;
mod value;
mod warnings;
mod wire;

use std::{sync::Arc, time::Duration};

use futures_util::future::join_all;

pub use self::error::MemcachedError;
use self::{
    connection::Endpoint,
    placement::Placement,
    protection::{Entry, ProtectionError},
    server::{Failure, Limits, Server, Speech},
    value::UnknownKind,
    warnings::Warnings,
    wire::{Answer, Command, MAX_VALUE, Value},
};
use super::options::{MemcachedOptions, Protection, Sasl};

/// memcached takes anything longer for a point in time.
const MAX_SECONDS: u64 = 30 * 24 * 3600;

/// The shared token cache. Clones share connections.
#[derive(Clone)]
pub(super) struct Memcached(Arc<Shared>);

struct Shared {
    servers: Vec<Server>,
    placement: Placement,
    protection: Protection,
    warnings: Warnings,
}

/// A token as the cache knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Cached {
    /// JSON text of `{"token": {…}}`: UTF-8, an object, at most 1 MiB, and no more is known of it.
    pub(super) body: Vec<u8>,
    /// How long the entry would have stayed, where the server tells it.
    pub(super) remaining: Option<Duration>,
}

/// Why there is neither a hit nor a miss.
#[derive(Debug, Clone, Copy, thiserror::Error)]
enum Trouble {
    #[error("no memcached can be asked")]
    Server(Failure),
    #[error(transparent)]
    Protection(#[from] ProtectionError),
    #[error(transparent)]
    Kind(#[from] UnknownKind),
    #[error("it holds no token")]
    NoToken,
}

impl Memcached {
    /// Reads the certificates that `options` name, if any; connects to nothing.
    ///
    /// # Errors
    /// [`MemcachedError`]: an option cannot be honoured.
    pub(super) fn new(options: &MemcachedOptions) -> Result<Self, MemcachedError> {
        let refuse = |option, problem| Err(MemcachedError::Unusable { option, problem });
        if options.servers.is_empty() {
            return Err(MemcachedError::NoServer);
        }
        if options.socket_timeout.is_zero() {
            return refuse("memcache_pool_socket_timeout", "must be more than 0");
        }
        if let Protection::Mac(secret) | Protection::Encrypt(secret) = &options.protection
            && secret.expose().is_empty()
        {
            return refuse(
                "memcache_secret_key",
                "must be set, memcache_security_strategy needs it",
            );
        }
        if let Some(Sasl { username, password }) = &options.sasl {
            for (option, text) in [
                ("memcache_username", username.as_str()),
                ("memcache_password", password.expose()),
            ] {
                if text.is_empty() || text.contains('\0') {
                    return refuse(
                        option,
                        "must be set and hold no NUL, memcache_sasl_enabled needs it",
                    );
                }
            }
        }
        let tls = options.tls.as_ref().map(tls::client_config).transpose()?;
        let limits = Limits {
            connections: options.pool_maxsize,
            connection_wait: options.pool_conn_get_timeout,
            exchange: options.socket_timeout,
            unused: options.pool_unused_timeout,
            dead_retry: options.dead_retry,
        };
        let servers = options.servers.iter().map(|name| {
            let endpoint = Endpoint::new(name, tls.as_ref(), options.sasl.as_ref())?;
            // The text protocol has no SASL.
            let speech = if options.sasl.is_some() {
                Speech::binary()
            } else {
                Speech::text()
            };
            Ok(Server::new(name.clone(), endpoint, speech, limits))
        });
        Ok(Self(Arc::new(Shared {
            servers: servers.collect::<Result<_, MemcachedError>>()?,
            placement: if options.tls.is_some() || options.sasl.is_some() {
                Placement::Replicated
            } else {
                Placement::Hashed
            },
            protection: options.protection.clone(),
            warnings: Warnings::default(),
        })))
    }

    /// What is known of `token`. `None` when nothing is, or nothing that could be believed: never an error.
    ///
    /// Takes no longer than `pool_conn_get_timeout` and `socket_timeout` for each server, and a server that used them
    /// up is not asked again for `dead_retry`. Cancel safe.
    pub(super) async fn get(&self, token: &str) -> Option<Cached> {
        if token.is_empty() {
            return None;
        }
        let outcome = self.0.read(token).await;
        let result = match &outcome {
            Ok(Some(_)) => "hit",
            Ok(None) => "miss",
            Err(_) => "error",
        };
        metrics::counter!("saccade_token_cache_requests_total", "tier" => "memcached", "result" => result)
            .increment(1);
        outcome
            .inspect_err(|trouble| {
                self.0
                    .warn(trouble, "an entry of the shared token cache is not used")
            })
            .ok()
            .flatten()
    }

    /// Tells those who share the cache that `token` is what `body` says, a JSON text `{"token": {…}}`, for `ttl` in
    /// whole seconds, 30 days at most. Less than a second: does nothing.
    ///
    /// Best effort; as bounded as [`get`](Self::get), and as cancel safe.
    pub(super) async fn set(&self, token: &str, body: &[u8], ttl: Duration) {
        let Ok(seconds @ 1..) = u32::try_from(ttl.as_secs().min(MAX_SECONDS)) else {
            return;
        };
        if token.is_empty() {
            return;
        }
        let outcome = self.0.write(token, body, seconds).await;
        let result = match &outcome {
            Ok(Written::Stored) => "stored",
            Ok(Written::TooLarge) => "too_large",
            Err(_) => "error",
        };
        metrics::counter!("saccade_token_cache_writes_total", "tier" => "memcached", "result" => result)
            .increment(1);
        if let Err(trouble) = outcome {
            self.0
                .warn(&trouble, "a token cannot be written to the shared token cache");
        }
    }
}

enum Written {
    Stored,
    TooLarge,
}

impl Shared {
    async fn read(&self, token: &str) -> Result<Option<Cached>, Trouble> {
        let entry = Entry::of(token, &self.protection)?;
        let Some(value) = self.fetch(entry.key()).await.map_err(Trouble::Server)? else {
            return Ok(None);
        };
        let remaining = value.remaining;
        let body = entry.unprotect(value::bytes(value, self.placement)?)?;
        let body = body::token_body(body).ok_or(Trouble::NoToken)?;
        Ok(Some(Cached { body, remaining }))
    }

    async fn fetch(&self, key: &str) -> Result<Option<Value>, Failure> {
        let command = Command::Get { key };
        let value = |answer| match answer {
            Answer::Hit(value) => Some(value),
            _ => None,
        };
        match self.placement {
            Placement::Hashed => self.ask_one(key, &command).await.map(value),
            Placement::Replicated => {
                let mut outcome = Err(Failure::Unreachable);
                for server in &self.servers {
                    match server.ask(&command).await.map(value) {
                        Ok(None) => outcome = Ok(None),
                        Ok(found) => return Ok(found),
                        Err(failure) => outcome = outcome.map_err(|_| failure),
                    }
                }
                outcome
            }
        }
    }

    async fn write(&self, token: &str, body: &[u8], seconds: u32) -> Result<Written, Trouble> {
        let entry = Entry::of(token, &self.protection)?;
        let value = entry.protect(body)?;
        if value.len() > MAX_VALUE {
            return Ok(Written::TooLarge);
        }
        let command = Command::Set {
            key: entry.key(),
            value: &value,
            flags: value::flags(self.placement),
            seconds,
        };
        let outcome = match self.placement {
            Placement::Hashed => self.ask_one(entry.key(), &command).await,
            Placement::Replicated => join_all(self.servers.iter().map(|server| server.ask(&command)))
                .await
                .into_iter()
                .reduce(Result::or)
                .unwrap_or(Err(Failure::Unreachable)),
        };
        outcome.map(|_| Written::Stored).map_err(Trouble::Server)
    }

    /// Asks the first living server of those that `key` may be at.
    async fn ask_one(&self, key: &str, command: &Command<'_>) -> Result<Answer, Failure> {
        let mut dead = vec![false; self.servers.len()];
        for index in placement::candidates(key.as_bytes(), self.servers.len()) {
            let (Some(server), Some(dead)) = (self.servers.get(index), dead.get_mut(index)) else {
                continue;
            };
            if *dead {
                continue;
            }
            match server.ask(command).await {
                Err(Failure::Unreachable) => *dead = true,
                outcome => return outcome,
            }
        }
        Err(Failure::Unreachable)
    }

    fn warn(&self, trouble: &Trouble, what: &'static str) {
        let reason: &dyn std::fmt::Display = match trouble {
            // Said when it died.
            Trouble::Server(Failure::Unreachable | Failure::Broken) => return,
            Trouble::Server(Failure::Exhausted) => {
                &"all connections are in use (memcache_pool_maxsize, memcache_pool_conn_get_timeout)"
            }
            Trouble::Server(Failure::Refused) => &"the server answers that it cannot",
            other => other,
        };
        if let Some(unsaid) = self.warnings.due() {
            tracing::warn!(reason = %reason, unsaid, "{what}");
        }
    }
}
