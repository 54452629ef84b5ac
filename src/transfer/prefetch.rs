//! Filling the image cache ahead of its readers, and keeping out of it what no record has any more.

use std::{collections::HashSet, time::Duration};

use tracing::{info, warn};

use super::Transfers;
use crate::{
    cache::{Cache, Fetched, Key},
    image::{Entry, ImageId, Status},
};

/// How often the records of cached images are looked at, and images are tried again that could not be cached.
const SWEEP: Duration = Duration::from_secs(300);

/// How long an image waits whose turn came while too many others were on their way.
const PAUSE: Duration = Duration::from_secs(1);

/// What is to be done about an image that was in the queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Next {
    /// Nothing: it is there no more.
    Done,
    /// It is tried again.
    Later,
}

impl Transfers {
    /// Works the cache's queue off, one image after the other, and evicts what is not an image's data any more. Runs until dropped;
    /// returns at once where there is no cache.
    pub async fn run_cache(self) {
        let Some(cache) = self.cache().cloned() else {
            return;
        };
        loop {
            self.sweep(&cache).await;
            let next = tokio::time::sleep(SWEEP);
            tokio::pin!(next);
            // What could not be cached is tried again after the next sweep.
            let mut tried = HashSet::new();
            loop {
                while let Some(id) = cache.queue().into_iter().find(|id| !tried.contains(id)) {
                    if self.prefetch(&cache, id).await == Next::Later {
                        tried.insert(id);
                    }
                }
                tokio::select! {
                    () = &mut next => break,
                    () = cache.something_queued() => {
                        // One that was taken out and put in again is tried again.
                        let queue: HashSet<ImageId> = cache.queue().into_iter().collect();
                        tried.retain(|id| queue.contains(id));
                    }
                }
            }
        }
    }

    /// Caches an image that was queued. What can be no more is taken from the queue (Glance 33, `image_cache/prefetcher.py`,
    /// leaves it there for good); what cannot be now stays.
    async fn prefetch(&self, cache: &Cache, id: ImageId) -> Next {
        let image = match self.shared.parts.metadata.entry(id).await {
            Ok(Some(Entry::Live(image))) => Some(image),
            Ok(_) => None,
            Err(error) => {
                info!(image = %id, %error, "an image that is to be cached has to wait");
                return Next::Later;
            }
        };
        let image = image.filter(|image| image.status == Status::Active && !image.locations.is_empty());
        let Some((image, key)) = image.and_then(|image| Key::of(&image).map(|key| (image, key))) else {
            info!(image = %id, "an image that was to be cached is not active: it is not cached");
            cache.dequeue(id);
            return Next::Done;
        };
        let origin = self.whole(&image);
        loop {
            match cache.fetch(&key, &origin).await {
                Fetched::Busy => tokio::time::sleep(PAUSE).await,
                Fetched::Cached => return Next::Done,
                Fetched::NoRoom => {
                    let size = key.size();
                    warn!(image = %id, size, "an image that was to be cached does not fit (image_cache_max_size): it is not cached");
                    cache.dequeue(id);
                    return Next::Done;
                }
                Fetched::Failed => {
                    if cache.queue().contains(&id) {
                        warn!(image = %id, "an image that is to be cached could not be read: it will be tried again");
                    }
                    return Next::Later;
                }
            }
        }
    }

    /// Evicts what the records say is gone: deletions evict by themselves, but other ways lead out of a catalogue.
    async fn sweep(&self, cache: &Cache) {
        for cached in cache.cached() {
            match self.shared.parts.metadata.entry(cached.image).await {
                Ok(Some(Entry::Live(image))) if image.status.keeps_data() => {
                    cache.keep_only(image.id, Key::of(&image).as_ref());
                }
                Ok(_) => cache.keep_only(cached.image, None),
                Err(_) => {}
            }
        }
    }
}
