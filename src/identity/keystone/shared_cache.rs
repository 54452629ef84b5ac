//! The cache that this service shares with others.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;

use super::{KeystoneError, MemcachedOptions};

/// What another process, or this one, has found out.
pub(super) struct Cached {
    /// `{"token": {...}}`.
    pub(super) body: Vec<u8>,
    /// How long it may be believed; `None`: nobody knows.
    pub(super) remaining: Option<Duration>,
}

/// Bodies by token. Never fails: what cannot be read is not there, what cannot be written is not written.
#[async_trait]
pub(super) trait SharedCache: Send + Sync {
    async fn get(&self, token: &str) -> Option<Cached>;
    async fn set(&self, token: &str, body: &[u8], ttl: Duration);
}

/// The configured one.
pub(super) fn open(
    options: Option<&MemcachedOptions>,
) -> Result<Option<Arc<dyn SharedCache>>, KeystoneError> {
    match options {
        None => Ok(None),
        Some(_) => Err(KeystoneError::NoMemcached),
    }
}
