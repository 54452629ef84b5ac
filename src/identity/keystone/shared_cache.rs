//! The cache that this service shares with others.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;

pub(super) use super::memcached::Cached;
use super::{KeystoneError, MemcachedOptions, memcached::Memcached};

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
    let Some(options) = options else { return Ok(None) };
    Ok(Some(Arc::new(Memcached::new(options)?)))
}

#[async_trait]
impl SharedCache for Memcached {
    async fn get(&self, token: &str) -> Option<Cached> {
        Memcached::get(self, token).await
    }

    async fn set(&self, token: &str, body: &[u8], ttl: Duration) {
        Memcached::set(self, token, body, ttl).await;
    }
}
