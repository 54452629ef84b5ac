//! The metadata store that keeps nothing: the model that the others are compared with, and a store for tests.
//!
//! One lock, one map; a list looks at every image and sorts them all.

mod definitions;
mod tasks;

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use async_trait::async_trait;

use super::{Metadata, MetadataError, MetadataErrorKind, Page, Query};
use crate::image::{Allowance, Change, Claim, Entry, ImageId, Timestamp, Tombstone, Usage};

/// Images in memory. Clones are handles to the same images.
#[derive(Debug, Clone, Default)]
pub struct MemoryMetadata {
    entries: Arc<Mutex<BTreeMap<ImageId, Entry>>>,
    definitions: Arc<Mutex<definitions::Definitions>>,
    tasks: tasks::Tasks,
}

impl MemoryMetadata {
    /// An empty store.
    pub fn new() -> Self {
        Self::default()
    }

    fn entries(&self) -> MutexGuard<'_, BTreeMap<ImageId, Entry>> {
        // Whoever panicked did so before its one insertion or after it: the map is whole.
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl Metadata for MemoryMetadata {
    async fn commit_within(&self, change: Change, allowance: Allowance) -> Result<Entry, MetadataError> {
        let mut entries = self.entries();
        let next = change.apply(entries.get(&change.id))?;
        if allowance != Allowance::UNLIMITED
            && let Some((owner, _)) = next.live().and_then(Usage::of)
        {
            let before = usage(&entries, owner);
            let mut after = entries.clone();
            after.insert(change.id, next.clone());
            allowance.check(&before, &usage(&after, owner))?;
        }
        entries.insert(change.id, next.clone());
        Ok(next)
    }

    async fn entry(&self, id: ImageId) -> Result<Option<Entry>, MetadataError> {
        Ok(self.entries().get(&id).cloned())
    }

    async fn usage(&self, project: &str) -> Result<Usage, MetadataError> {
        Ok(usage(&self.entries(), project))
    }

    async fn list(&self, query: Query) -> Result<Page, MetadataError> {
        let entries = self.entries();
        let after = match query.marker {
            None => None,
            Some(marker) => {
                let entry = entries.get(&marker).cloned();
                let entry = entry.ok_or(MetadataError::new(MetadataErrorKind::UnknownMarker))?;
                Some(entry.last_listed())
            }
        };
        let mut images: Vec<_> = entries
            .values()
            .filter_map(Entry::live)
            .filter(|image| query.holds(image))
            .filter(|image| {
                after
                    .as_ref()
                    .is_none_or(|after| query.order.compare(after, image).is_lt())
            })
            .cloned()
            .collect();
        images.sort_by(|a, b| query.order.compare(a, b));
        images.truncate(query.limit);
        Ok(Page::of(images, query.limit))
    }

    async fn claims(&self) -> Result<Vec<(ImageId, Claim)>, MetadataError> {
        let entries = self.entries();
        let live = entries.values().filter_map(Entry::live);
        Ok(live.filter_map(|image| Some((image.id, image.claim?))).collect())
    }

    async fn pending(
        &self,
        until: Timestamp,
        after: Option<(Timestamp, ImageId)>,
        limit: usize,
    ) -> Result<Vec<Tombstone>, MetadataError> {
        let entries = self.entries();
        let tombstones = entries.values().filter_map(|entry| match entry {
            Entry::Deleted(tombstone) => Some(tombstone),
            Entry::Live(_) => None,
        });
        let place = |tombstone: &Tombstone| (tombstone.deleted_at, tombstone.image.id);
        let mut found: Vec<Tombstone> = tombstones
            .filter(|tombstone| tombstone.is_pending() && tombstone.deleted_at <= until)
            .filter(|tombstone| after.is_none_or(|after| place(tombstone) > after))
            .cloned()
            .collect();
        found.sort_by_key(place);
        found.truncate(limit);
        Ok(found)
    }
}

/// Counted anew each time: what the others keep up to date has to come to the same.
fn usage(entries: &BTreeMap<ImageId, Entry>, project: &str) -> Usage {
    entries
        .values()
        .filter_map(Entry::live)
        .filter_map(Usage::of)
        .filter(|(owner, _)| *owner == project)
        .fold(Usage::NONE, |sum, (_, usage)| sum.plus(usage))
}
