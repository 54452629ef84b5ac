//! Who is calling: a request's headers → a [`Caller`].
//!
//! A provider says who it is, never what they may do: that is policy's. Each fails closed: whatever it cannot
//! confirm is [`Unidentified`].

mod caller;
mod delegation;
pub mod everyone_is_admin;
mod headers;
pub mod keystone;
pub mod local;
mod secret;
pub mod trusted_headers;

use async_trait::async_trait;
use http::{HeaderMap, Method};

pub use self::{
    caller::{Caller, Scope, Service},
    delegation::{CatalogEndpoint, Delegation},
    secret::Secret,
};

/// What of a request can tell who sends it, and whether their credentials are good for it.
#[derive(Debug, Clone, Copy)]
pub struct RequestHead<'r> {
    /// The method.
    pub method: &'r Method,
    /// The path without query as the client sent it, still percent-encoded; a version in it is always `v2`.
    pub path: &'r str,
    /// All headers.
    pub headers: &'r HeaderMap,
}

/// One way of finding out who is calling.
#[async_trait]
pub trait Identity: Send + Sync {
    /// The caller that the request proves.
    ///
    /// Reads only the headers that this provider trusts; identity headers that a client could forge mean nothing to a
    /// provider that did not ask for them. Asked once, when a request begins: credentials that expire during a long
    /// upload do not end it. Cancel safe.
    ///
    /// # Errors
    /// [`Unidentified`]: answered with 401 or 503, never with fewer rights silently.
    async fn identify(&self, request: RequestHead<'_>) -> Result<Caller, Unidentified>;

    /// What of a request that was identified lets the daemon act elsewhere in the caller's name: the token, and the catalog
    /// that belongs to it. Asked only when that is wanted; may ask whoever knows the catalog. Cancel safe.
    ///
    /// `None` where callers have no token, or no catalog.
    ///
    /// # Errors
    /// As [`Identity::identify`].
    async fn delegation(&self, _headers: &HeaderMap) -> Result<Option<Delegation>, Unidentified> {
        Ok(None)
    }

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
