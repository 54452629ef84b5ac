//! The loop over everything that was interrupted.

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

use futures_util::{StreamExt, stream};
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};

use super::{Janitor, chain};
use crate::{
    image::{ImageId, Timestamp},
    ledger::{Entry, OperationId},
    protocol::Recovery,
};

/// Operations that are finished side by side: a store that does not answer holds up only so many.
const SIDE_BY_SIDE: usize = 8;

/// How often claims are looked at, and the longest wait before an operation is tried again.
const INTERVAL: Duration = Duration::from_secs(60);

/// The first wait before an operation is tried again; it doubles each time.
const FIRST_WAIT: Duration = Duration::from_secs(1);

/// When an operation that could not be finished is tried again.
#[derive(Default)]
struct Waits(HashMap<OperationId, (Duration, Instant)>);

impl Waits {
    fn is_due(&self, id: OperationId, now: Instant) -> bool {
        self.0.get(&id).is_none_or(|(_, due)| *due <= now)
    }

    fn tried(&mut self, id: OperationId, now: Instant) {
        let wait = self
            .0
            .get(&id)
            .map_or(FIRST_WAIT, |(wait, _)| (*wait * 2).min(INTERVAL));
        self.0.insert(id, (wait, now + wait));
    }

    fn next(&self, now: Instant) -> Duration {
        let due = self.0.values().map(|(_, due)| due.saturating_duration_since(now));
        due.min().unwrap_or(INTERVAL).max(Duration::from_millis(100))
    }
}

impl Janitor {
    /// Finishes what was interrupted before this start, then whatever becomes an orphan, until told to stop. What is under
    /// way then is left for the next start.
    pub async fn run(self, stop: CancellationToken) {
        let found = self.shared.ledger.orphans().len();
        if found > 0 {
            info!(operations = found, "finishing what was interrupted");
        }
        stop.run_until_cancelled(self.sweep_for_ever()).await;
    }

    /// One pass over everything there is to finish.
    pub async fn sweep(&self) {
        self.finish_orphans(&mut Waits::default()).await;
        self.release_abandoned_claims().await;
    }

    async fn sweep_for_ever(&self) {
        let mut waits = Waits::default();
        let mut claims_due = Instant::now();
        loop {
            self.finish_orphans(&mut waits).await;
            if claims_due <= Instant::now() {
                self.release_abandoned_claims().await;
                claims_due = Instant::now() + INTERVAL;
            }
            let now = Instant::now();
            let wait = waits.next(now).min(claims_due.saturating_duration_since(now));
            // The wait is over early when something becomes an orphan.
            let _ = tokio::time::timeout(wait, self.shared.ledger.orphaned()).await;
        }
    }

    async fn finish_orphans(&self, waits: &mut Waits) {
        let now = Instant::now();
        let orphans = self.shared.ledger.orphans();
        waits
            .0
            .retain(|id, _| orphans.iter().any(|(orphan, _)| orphan == id));
        let due: Vec<(OperationId, Entry)> = orphans
            .into_iter()
            .filter(|(id, _)| waits.is_due(*id, now))
            .collect();
        for (id, _) in &due {
            waits.tried(*id, now);
        }
        stream::iter(due)
            .for_each_concurrent(SIDE_BY_SIDE, |(id, entry)| self.finish_orphan(id, entry))
            .await;
    }

    /// Tries to finish what was interrupted of one image, without waiting until it is due: whoever asks may use the stores
    /// in another way than the daemon itself.
    pub async fn finish_orphans_of(&self, image: ImageId) {
        for (id, entry) in self.shared.ledger.orphans() {
            if entry.image() == image.as_uuid() {
                self.finish_orphan(id, entry).await;
            }
        }
    }

    async fn finish_orphan(&self, id: OperationId, entry: Entry) {
        let Some(held) = self.shared.ledger.adopt(id) else {
            return;
        };
        match entry {
            Entry::Upload(upload) => {
                let end = self.finish(Recovery::FENCE, held, &upload).await;
                debug!(image = %upload.image, ?end, "looked at an interrupted upload");
            }
            Entry::Staging(staging) => {
                let end = self.finish_staging(held, &staging).await;
                debug!(image = %staging.image, ?end, "looked at data that waits for an import");
            }
            Entry::Copy(copy) => {
                let end = self.finish_copy(Recovery::FENCE, held, &copy).await;
                debug!(image = %copy.image, ?end, "looked at an interrupted copy");
            }
            Entry::Deletion(deletion) => self.finish_deletion(held, deletion).await,
            Entry::Removal(removal) => self.finish_removal(held, removal).await,
            Entry::Adoption(adoption) => {
                let end = self.finish_adoption(Recovery::FENCE, held, &adoption).await;
                debug!(image = %adoption.image, ?end, "looked at an interrupted adoption of data");
            }
        }
    }

    /// Claims of this node whose attempt the ledger does not know (it was lost, or the claim came late), and
    /// claims of other nodes whose lease has run out.
    async fn release_abandoned_claims(&self) {
        let claims = match self.shared.metadata.claims().await {
            Ok(claims) => claims,
            Err(error) => {
                warn!(error = chain(&error), "claims cannot be read");
                return;
            }
        };
        let now = Timestamp::now();
        for (image, claim) in claims {
            let is_ours = claim.node == self.shared.node;
            let is_known = self.shared.ledger.knows_attempt(claim.attempt.as_uuid());
            if (is_ours && !is_known) || (!is_ours && claim.expires_at < now) {
                self.reclaim(image, claim.attempt).await;
            }
        }
    }
}
