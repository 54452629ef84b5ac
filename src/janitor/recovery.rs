//! Finishing one attempt that no uploader will finish.

use saccade_store_contract::{Handle, Store};
use tracing::{debug, info, warn};

use super::{Janitor, chain};
use crate::{
    image::{AttemptId, ChangeKind, ImageId},
    ledger::{AdoptionEntry, Held, UploadEntry},
    protocol::{Outcome, Recovery, RecoveryEnd, RecoveryStep},
};

/// What an attempt may have left.
struct Attempted<'a> {
    image: uuid::Uuid,
    attempt: uuid::Uuid,
    /// Where its bytes are, if it writes any.
    blob: Option<&'a UploadEntry>,
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
        };
        self.finish_attempt(recovery, held, attempt).await
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
        };
        self.finish_attempt(recovery, held, attempt).await
    }

    async fn finish_attempt(&self, mut recovery: Recovery, held: Held, entry: Attempted<'_>) -> RecoveryEnd {
        let mut held = Some(held);
        loop {
            let outcome = match (recovery.step(), entry.blob) {
                (RecoveryStep::Fence, _) => self.hold_step(&entry, Self::fence).await,
                (RecoveryStep::Release, _) => self.hold_step(&entry, Self::release).await,
                (step @ (RecoveryStep::Discard | RecoveryStep::Settle), Some(blob)) => {
                    self.blob_step(blob, step).await
                }
                (RecoveryStep::Discard | RecoveryStep::Settle, None) => Outcome::Done,
                (RecoveryStep::Forget, _) => match held.take() {
                    Some(held) => self.forget(held).await,
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
            Ok(()) => Outcome::Done,
            Err(error) => {
                warn!(
                    image = %entry.image, attempt = %entry.attempt, store = entry.store, error = chain(&*error),
                    "the store cannot clear up after an upload yet"
                );
                Outcome::Unknown
            }
        }
    }

    async fn at_store(
        &self,
        entry: &UploadEntry,
        step: RecoveryStep,
    ) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
        let store: &dyn Store = &**self.shared.stores.store(&entry.store)?;
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
