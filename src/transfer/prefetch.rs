//! Filling the image cache ahead of its readers, and keeping out of it what no record has any more.

use std::{
    collections::{HashMap, HashSet},
    time::Duration,
};

use tokio::time::Instant;
use tracing::{error, info, warn};

use super::Transfers;
use crate::{
    cache::{Cache, Fetched, Key},
    image::{Entry, ImageId, Status},
};

/// How often the records of cached images are looked at.
const SWEEP: Duration = Duration::from_secs(300);

/// How long an image waits at first that could not be cached.
const RETRY: Duration = Duration::from_secs(300);

/// How long it waits at most that has failed again and again within its data.
const LONGEST_RETRY: Duration = Duration::from_secs(86_400);

/// How long an image waits whose turn came while too many others were on their way.
const PAUSE: Duration = Duration::from_secs(1);

/// What is to be done about an image that was in the queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Next {
    /// Nothing: it is there no more.
    Done,
    /// It is tried in a moment, if it is still queued.
    Soon,
    /// It is tried again.
    Later,
    /// It is tried again, later each time: a try may cost as much as a success.
    LaterAndLater,
}

/// When what could not be cached is tried again. Memory: an entry for each image in the queue at most.
#[derive(Debug, Default)]
struct Waiting(HashMap<ImageId, Wait>);

#[derive(Debug, Clone, Copy)]
struct Wait {
    until: Instant,
    /// How long the next one is, if it fails as this one has.
    next: Duration,
}

impl Waiting {
    /// The first of the queue whose time has come; else when that of the first comes.
    fn first_ready(&self, queue: &[ImageId], now: Instant) -> Result<ImageId, Option<Instant>> {
        let mut earliest = None;
        for id in queue {
            match self.0.get(id) {
                Some(wait) if wait.until > now => {
                    earliest = Some(earliest.map_or(wait.until, |other: Instant| other.min(wait.until)));
                }
                _ => return Ok(*id),
            }
        }
        Err(earliest)
    }

    fn later(&mut self, id: ImageId, now: Instant) {
        let next = self.0.get(&id).map_or(RETRY, |wait| wait.next);
        let until = now.checked_add(RETRY).unwrap_or(now);
        self.0.insert(id, Wait { until, next });
    }

    fn later_and_later(&mut self, id: ImageId, now: Instant) {
        let pause = self.0.get(&id).map_or(RETRY, |wait| wait.next);
        let until = now.checked_add(pause).unwrap_or(now);
        let next = pause.saturating_mul(2).min(LONGEST_RETRY);
        self.0.insert(id, Wait { until, next });
    }

    /// What is not queued any more, or was queued anew, has not failed.
    fn forget_others(&mut self, queue: &[ImageId], anew: &HashSet<ImageId>) {
        if self.0.is_empty() {
            return;
        }
        let queue: HashSet<&ImageId> = queue.iter().collect();
        self.0.retain(|id, _| queue.contains(id) && !anew.contains(id));
    }
}

impl Transfers {
    /// Works the cache's queue off, one image after the other, and, beside that, evicts what is not an image's data any more. Runs until
    /// dropped; returns at once where there is no cache.
    pub async fn run_cache(self) {
        let Some(cache) = self.cache().cloned() else {
            return;
        };
        tokio::join!(self.keep_prefetching(&cache), self.keep_sweeping(&cache));
    }

    async fn keep_sweeping(&self, cache: &Cache) {
        loop {
            self.sweep(cache).await;
            tokio::time::sleep(SWEEP).await;
        }
    }

    async fn keep_prefetching(&self, cache: &Cache) {
        let mut waiting = Waiting::default();
        loop {
            // Asked first: what is queued between the two is in both, or in the next.
            let anew = cache.newly_queued();
            let queue = cache.queue();
            waiting.forget_others(&queue, &anew);
            match waiting.first_ready(&queue, Instant::now()) {
                Ok(id) => match self.prefetch(cache, id).await {
                    Next::Done => {}
                    Next::Soon => tokio::time::sleep(PAUSE).await,
                    Next::Later => waiting.later(id, Instant::now()),
                    Next::LaterAndLater => waiting.later_and_later(id, Instant::now()),
                },
                Err(Some(until)) => {
                    tokio::select! {
                        () = tokio::time::sleep_until(until) => {}
                        () = cache.something_queued() => {}
                    }
                }
                Err(None) => cache.something_queued().await,
            }
        }
    }

    /// Caches an image that is queued. What can be no more is taken from the queue (Glance 33, `image_cache/prefetcher.py`,
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
        let size = key.size();
        match cache.fetch(&key, &self.whole(&image)).await {
            Fetched::Busy => Next::Soon,
            Fetched::Cached => Next::Done,
            Fetched::TooLarge => {
                warn!(image = %id, size, "an image that was to be cached does not fit (image_cache_max_size): it is not cached");
                cache.dequeue(id);
                Next::Done
            }
            Fetched::Wrong => {
                error!(image = %id, "the data of an image that was to be cached is not what it was: it is taken from the queue");
                cache.dequeue(id);
                Next::Done
            }
            Fetched::NoRoom => {
                warn!(image = %id, size, "an image that is to be cached finds no room now: it will be tried again");
                Next::LaterAndLater
            }
            Fetched::Broken => {
                warn!(image = %id, "an image that is to be cached could not be read to its end: it will be tried again");
                Next::LaterAndLater
            }
            Fetched::Failed => {
                if cache.queue().contains(&id) {
                    warn!(image = %id, "an image that is to be cached could not be read: it will be tried again");
                }
                Next::Later
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_fails_within_its_data_is_tried_later_each_time_and_once_a_day_in_the_end() {
        let (id, start) = (ImageId::from_bytes([1; 16]), Instant::now());
        let mut waiting = Waiting::default();
        assert_eq!(waiting.first_ready(&[id], start), Ok(id));
        let mut pauses = Vec::new();
        for _ in 0..11 {
            waiting.later_and_later(id, start);
            let until = waiting.first_ready(&[id], start).unwrap_err().unwrap();
            assert_eq!(waiting.first_ready(&[id], until), Ok(id));
            pauses.push(until.duration_since(start).as_secs());
        }
        assert_eq!(pauses[..3], [300, 600, 1200]);
        assert_eq!(pauses[9..], [86_400, 86_400]);
        // A store that does not answer at all is asked as often as ever, and nothing is forgotten.
        waiting.later(id, start);
        let until = waiting.first_ready(&[id], start).unwrap_err().unwrap();
        assert_eq!(until.duration_since(start), RETRY);
        waiting.later_and_later(id, start);
        let until = waiting.first_ready(&[id], start).unwrap_err().unwrap();
        assert_eq!(until.duration_since(start), LONGEST_RETRY);
    }

    #[test]
    fn what_waits_holds_nothing_up_and_is_forgotten_when_it_is_queued_anew() {
        let [first, second] = [1, 2].map(|number| ImageId::from_bytes([number; 16]));
        let now = Instant::now();
        let mut waiting = Waiting::default();
        waiting.later(first, now);
        assert_eq!(waiting.first_ready(&[first, second], now), Ok(second));
        waiting.forget_others(&[first, second], &HashSet::new());
        assert!(waiting.first_ready(&[first], now).is_err());
        waiting.forget_others(&[first, second], &HashSet::from([first]));
        assert_eq!(waiting.first_ready(&[first], now), Ok(first));
        waiting.later(first, now);
        waiting.forget_others(&[second], &HashSet::new());
        assert_eq!(waiting.first_ready(&[first], now), Ok(first));
        assert_eq!(waiting.first_ready(&[], now), Err(None));
    }
}
