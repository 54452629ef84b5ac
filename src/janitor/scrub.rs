//! Deleting for good what was deleted some time ago, and kept for as long in case that it is restored.

use std::time::Duration;

use futures_util::{StreamExt, stream};
use tracing::{debug, info, warn};

use super::{DeleteErrorKind, Janitor, chain};
use crate::image::{Image, ImageId, Rejection, Timestamp};

/// Images that are read at once.
const BATCH: usize = 64;

/// The shortest and the longest wait between two passes.
const WAIT: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(60));

/// When images that were deleted are deleted for good.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Scrubbing {
    /// How long they can be restored.
    pub after: Duration,
    /// How many are deleted side by side.
    pub side_by_side: usize,
}

impl Janitor {
    /// Deletes for good the images whose time has come, each at most a minute late, for ever. One that cannot be deleted (its
    /// store does not answer, its data is in use) can be restored for so much longer. Dropping the future at any point
    /// stops no deletion that has begun.
    pub async fn run_scrubber(self, scrubbing: Scrubbing) {
        let wait = scrubbing.after.clamp(WAIT.0, WAIT.1);
        loop {
            self.scrub(scrubbing).await;
            tokio::time::sleep(wait).await;
        }
    }

    /// One pass over the images whose time has come.
    pub async fn scrub(&self, scrubbing: Scrubbing) {
        let until = Timestamp::now().before(scrubbing.after);
        let mut after: Option<(Timestamp, ImageId)> = None;
        loop {
            let page = match self.shared.metadata.pending(until, after, BATCH).await {
                Ok(page) => page,
                Err(error) => {
                    warn!(error = chain(&error), "deleted images cannot be read");
                    return;
                }
            };
            let Some(last) = page.last() else { return };
            after = Some((last.deleted_at, last.image.id));
            stream::iter(page)
                .for_each_concurrent(scrubbing.side_by_side, |tombstone| async move {
                    self.scrub_one(&tombstone.image).await;
                })
                .await;
        }
    }

    async fn scrub_one(&self, image: &Image) {
        let id = image.id;
        match self.delete(image).await {
            Ok(()) => {
                self.has_gone_well(id.as_uuid(), "", "scrub");
                info!(image = %id, "deleted image scrubbed");
            }
            Err(error) => match error.kind {
                DeleteErrorKind::Rejected(Rejection::Revision | Rejection::Deleted | Rejection::Pending) => {
                    debug!(image = %id, "the image was restored, or scrubbed by another");
                }
                _ if self.was_said(id.as_uuid(), "", "scrub", &error) => {
                    debug!(image = %id, "a store still refuses to delete what a deleted image had");
                }
                _ => warn!(image = %id, error = chain(&error), "a deleted image cannot be scrubbed yet"),
            },
        }
    }
}
