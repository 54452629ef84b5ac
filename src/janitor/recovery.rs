//! Finishing one attempt that no uploader will finish.

use saccade_store_contract::{Handle, Location as Address, Store};
use tracing::{debug, info, warn};

use super::{Janitor, chain};
use crate::{
    image::{AttemptId, ChangeKind, Entry, Image, ImageId},
    ledger::{AdoptionEntry, Entry as LedgerEntry, Held, UploadEntry},
    protocol::{Brings, Outcome, Recovery, RecoveryEnd, RecoveryStep},
};

/// What an attempt may have left.
struct Attempted<'a> {
    image: uuid::Uuid,
    attempt: uuid::Uuid,
    /// Where its bytes are, if it writes any.
    blob: Option<&'a UploadEntry>,
    /// What becomes of bytes that the record has.
    kept: Kept,
}

/// What becomes of bytes that the record has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kept {
    /// They are the image's for good.
    Settled,
    /// They wait for an import, and stay in the ledger.
    Waiting,
    /// They are one more copy of what the image had before: the record names the place, and not the attempt.
    Copied,
}

impl Janitor {
    /// Finishes an attempt: keeps its blob if the record has it, else removes every trace of it. After
    /// `KeptUnsettled` and `Unfinished` the operation is an orphan of the ledger, which is tried again.
    ///
    /// Not cancel safe in the sense that it may then be unfinished; nothing is lost by that.
    pub async fn finish(&self, recovery: Recovery, held: Held, entry: &UploadEntry) -> RecoveryEnd {
        let attempt = Attempted {
            image: entry.image,
            attempt: entry.attempt,
            blob: Some(entry),
            kept: Kept::Settled,
        };
        self.finish_attempt(recovery, held, attempt).await
    }

    /// Looks at data that was brought for an import, or is being brought no more: keeps it while the record says that
    /// it waits or is being imported, and removes it otherwise. While it is kept the operation is an orphan of the ledger,
    /// which is looked at again.
    pub async fn finish_staging(&self, held: Held, entry: &UploadEntry) -> RecoveryEnd {
        let attempt = Attempted {
            image: entry.image,
            attempt: entry.attempt,
            blob: Some(entry),
            kept: Kept::Waiting,
        };
        self.finish_attempt(Recovery::FENCE, held, attempt).await
    }

    /// The same for all data that was brought for imports of this image.
    pub async fn finish_stagings_of(&self, image: ImageId) {
        for (id, entry) in self.shared.ledger.orphans() {
            if let LedgerEntry::Staging(staging) = entry
                && staging.image == image.as_uuid()
                && let Some(held) = self.shared.ledger.adopt(id)
            {
                self.finish_staging(held, &staging).await;
            }
        }
    }

    /// Finishes an attempt to give an image data that was there before: it has left no bytes, and those that it was
    /// about stay where they are. As [`Self::finish`].
    pub async fn finish_adoption(
        &self,
        recovery: Recovery,
        held: Held,
        entry: &AdoptionEntry,
    ) -> RecoveryEnd {
        let attempt = Attempted {
            image: entry.image,
            attempt: entry.attempt,
            blob: None,
            kept: Kept::Settled,
        };
        self.finish_attempt(recovery, held, attempt).await
    }

    /// Finishes an attempt to bring an image's data into one more store. As [`Self::finish`].
    pub async fn finish_copy(&self, recovery: Recovery, held: Held, entry: &UploadEntry) -> RecoveryEnd {
        let attempt = Attempted {
            image: entry.image,
            attempt: entry.attempt,
            blob: Some(entry),
            kept: Kept::Copied,
        };
        self.finish_attempt(recovery, held, attempt).await
    }

    async fn finish_attempt(&self, mut recovery: Recovery, held: Held, entry: Attempted<'_>) -> RecoveryEnd {
        // Whoever was cut off may not have said who may read it.
        let is_interrupted = recovery != Recovery::SETTLE;
        let mut held = Some(held);
        let mut left_to_others = false;
        loop {
            let outcome = match (recovery.step(), entry.blob) {
                (RecoveryStep::Fence, _) => self.fence_step(&entry).await,
                (RecoveryStep::Release, _) if self.is_shared(held.as_ref(), &entry) => {
                    // Its bytes in another store are still to go; whoever removes them releases the image.
                    left_to_others = true;
                    Outcome::Done
                }
                (RecoveryStep::Release, _) => self.hold_step(&entry, Self::release).await,
                (RecoveryStep::Settle, Some(_)) if entry.kept == Kept::Waiting => {
                    return RecoveryEnd::KeptUnsettled;
                }
                (RecoveryStep::Settle, Some(blob)) if is_interrupted => {
                    let settled = self.blob_step(blob, RecoveryStep::Settle).await;
                    if settled == Outcome::Done {
                        self.share_current(ImageId::from_bytes(entry.image.into_bytes()))
                            .await;
                    }
                    settled
                }
                (step @ (RecoveryStep::Discard | RecoveryStep::Settle), Some(blob)) => {
                    self.blob_step(blob, step).await
                }
                (RecoveryStep::Discard | RecoveryStep::Settle, None) => Outcome::Done,
                (RecoveryStep::Forget, _) => match held.take() {
                    Some(held) => {
                        let forgotten = self.forget(held).await;
                        // Two that end side by side have each left it to the other.
                        if left_to_others && !self.shared.ledger.knows_attempt(entry.attempt) {
                            self.hold_step(&entry, Self::release).await;
                        }
                        forgotten
                    }
                    None => Outcome::Failed,
                },
                (RecoveryStep::Finished(end), _) => {
                    debug!(image = %entry.image, attempt = %entry.attempt, ?end, "attempt finished");
                    return end;
                }
            };
            recovery.on(outcome);
        }
    }

    fn is_shared(&self, held: Option<&Held>, entry: &Attempted<'_>) -> bool {
        held.is_some_and(|held| self.shared.ledger.shares_attempt(held, entry.attempt))
    }

    /// An import may have brought its data to some stores and not to others: what has committed has a location in this
    /// entry's store, or nothing there is the image's. So it is with a copy that does not hold the image any more: from
    /// its claim to its end nobody else could add a location there, and after it only its own recovery, which is
    /// this, makes way for another.
    async fn fence_step(&self, entry: &Attempted<'_>) -> Outcome {
        let outcome = self.hold_step(entry, Self::fence).await;
        let brings = match entry.kept {
            Kept::Settled => Brings::NewData,
            Kept::Copied => Brings::Copy,
            Kept::Waiting => return outcome,
        };
        let Some(blob) = entry.blob.filter(|_| brings.needs_look(outcome)) else {
            return outcome;
        };
        let id = ImageId::from_bytes(entry.image.into_bytes());
        let image = match self.shared.metadata.entry(id).await {
            Ok(Some(Entry::Live(image))) => image,
            Ok(Some(Entry::Deleted(tombstone))) => tombstone.image,
            Ok(None) => return outcome,
            Err(error) => {
                warn!(image = %id, error = chain(&error), "an interrupted import cannot be finished yet");
                return Outcome::Failed;
            }
        };
        // Without a name it is the only store of old records; copies always name theirs.
        let unnamed = entry.kept == Kept::Settled;
        Brings::looked(self.has_data_in(&image, &blob.store, unnamed))
    }

    /// Whether a location of the image is in the store, by whatever name the record knows the store: an operator may have
    /// given it another. Of a store that is not there nothing can be told, so that it is taken to have data.
    fn has_data_in(&self, image: &Image, id: &str, unnamed: bool) -> bool {
        let Ok(store) = self.stores.store(id) else {
            return true;
        };
        image.locations.iter().any(|location| {
            let is_known = || store.canonical(&Address::new(location.url.as_str())).is_some();
            let is_named = match &location.store {
                Some(there) => there.as_str() == id,
                None => unnamed,
            };
            // Two stores may know an address by its form: then what is nobody's may stay, but what is somebody's is not removed.
            is_named || is_known()
        })
    }

    const fn fence(attempt: AttemptId) -> ChangeKind {
        ChangeKind::Fence { attempt }
    }

    const fn release(attempt: AttemptId) -> ChangeKind {
        ChangeKind::Release { attempt }
    }

    async fn hold_step(&self, entry: &Attempted<'_>, kind: impl Fn(AttemptId) -> ChangeKind) -> Outcome {
        let image = ImageId::from_bytes(entry.image.into_bytes());
        let kind = kind(AttemptId::from_bytes(entry.attempt.into_bytes()));
        let (outcome, error) = self.change(image, kind).await;
        if let (Outcome::Failed | Outcome::Unknown, Some(error)) = (outcome, error) {
            warn!(%image, attempt = %entry.attempt, error = chain(&error), "an interrupted upload cannot be undone yet");
        }
        outcome
    }

    async fn blob_step(&self, entry: &UploadEntry, step: RecoveryStep) -> Outcome {
        match self.at_store(entry, step).await {
            Ok(()) => {
                self.has_gone_well(entry.image, &entry.store, "clear up");
                Outcome::Done
            }
            Err(error) => {
                if self.was_said(entry.image, &entry.store, "clear up", &*error) {
                    debug!(image = %entry.image, store = entry.store, "the store still refuses to clear up");
                } else {
                    warn!(
                        image = %entry.image, attempt = %entry.attempt, store = entry.store, error = chain(&*error),
                        "the store cannot clear up after an upload yet"
                    );
                }
                Outcome::Unknown
            }
        }
    }

    async fn at_store(
        &self,
        entry: &UploadEntry,
        step: RecoveryStep,
    ) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
        let store: &dyn Store = &**self.stores.store(&entry.store)?;
        let handle = Handle::new(entry.handle.clone())?;
        match step {
            RecoveryStep::Settle => store.settle(&handle).await?,
            _ => store.discard(&handle).await?,
        }
        Ok(())
    }

    pub(super) async fn forget(&self, held: Held) -> Outcome {
        match held.forget().await {
            Ok(()) => Outcome::Done,
            Err(error) => {
                warn!(
                    error = chain(&error),
                    "an operation that is finished stays in the ledger for now"
                );
                Outcome::Failed
            }
        }
    }

    /// Brings an image out of a transient status whose claim nobody will finish and of whose attempt this node's ledger
    /// knows nothing: there are no bytes that this node could remove.
    pub(super) async fn reclaim(&self, image: ImageId, attempt: AttemptId) {
        let unstage = ChangeKind::Unstage { attempt };
        let (unstaged, _) = self.change(image, unstage).await;
        if unstaged == Outcome::Done {
            warn!(%image, %attempt, "what had been uploaded for an import is lost: the image is queued again");
            return;
        }
        for kind in [Self::fence(attempt), Self::release(attempt)] {
            let (outcome, error) = self.change(image, kind).await;
            if let (Outcome::Failed | Outcome::Unknown, Some(error)) = (outcome, error) {
                warn!(%image, %attempt, error = chain(&error), "an abandoned claim cannot be released yet");
            }
            if outcome != Outcome::Done {
                return;
            }
        }
        info!(%image, %attempt, "released a claim that nobody holds any more");
    }
}
