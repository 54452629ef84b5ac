//! Who is calling: a request's headers → a [`Caller`].
//!
//! A provider says who it is, never what they may do: that is policy's. Each fails closed: whatever it cannot
//! confirm is [`Unidentified`].

mod caller;
mod headers;
pub mod local;
pub mod trusted_headers;

use async_trait::async_trait;
use http::HeaderMap;

pub use self::caller::{Caller, Scope};

/// One way of finding out who is calling.
#[async_trait]
pub trait Identity: Send + Sync {
    /// The caller that the request's headers prove.
    ///
    /// Reads only the headers that this provider trusts; identity headers that a client could forge mean nothing to a
    /// provider that did not ask for them. Cancel safe.
    ///
    /// # Errors
    /// [`Unidentified`]: answered with 401 or 503, never with fewer rights silently.
    async fn identify(&self, headers: &HeaderMap) -> Result<Caller, Unidentified>;

    /// The value of `WWW-Authenticate` that goes with every 401, without line breaks.
    fn challenge(&self) -> &str;
}

/// Why a request has no caller.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unidentified {
    /// No credentials came with the request.
    #[error("the request carries no credentials: send a token in X-Auth-Token")]
    Missing,
    /// The credentials are unknown, expired or malformed.
    #[error("the credentials are not valid, or not any more")]
    Invalid,
    /// Whoever could tell does not answer.
    #[error("credentials cannot be checked now: {0}")]
    Unavailable(String),
}
