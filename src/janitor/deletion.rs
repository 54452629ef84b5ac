//! Deleting one image, at once or so that it can be restored for a time, and finishing a deletion that was interrupted.

use tracing::info;

use super::{Cause, Janitor};
use crate::{
    image::{ChangeKind, Image, ImageId, Rejection, Revision},
    ledger::{DeletionEntry, Entry, Held},
    protocol::{Deletion, DeletionEnd, DeletionStep, Outcome},
};

/// Why an image, or a location of it, was not deleted.
#[derive(Debug, thiserror::Error)]
#[error("{kind}")]
pub struct DeleteError {
    /// What the caller does next.
    pub kind: DeleteErrorKind,
    /// The cause, where there is one.
    #[source]
    pub source: Option<Cause>,
}

/// What the caller does next.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum DeleteErrorKind {
    /// The record does not allow it, or was changed meanwhile. Nothing was changed.
    #[error(transparent)]
    Rejected(Rejection),
    /// The store says that the data is in use. Nothing was changed.
    #[error("the image's data is in use and cannot be deleted now")]
    InUse,
    /// The store says that the data has snapshots. Nothing was changed.
    #[error("the image's data has snapshots and cannot be deleted")]
    HasSnapshots,
    /// Something does not work. Nothing was changed.
    #[error("the image cannot be deleted now")]
    Unavailable,
    /// It is not known whether the image is deleted; it will be found out.
    #[error("it is not known whether the image was deleted")]
    Unknown,
}

/// Whether an image can be restored after its deletion.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Finality {
    /// It cannot: its data goes.
    Final,
    /// It can until it is scrubbed: its data stays.
    Deferred,
}

/// One deletion under way.
struct Running {
    image: ImageId,
    entry: DeletionEntry,
    finality: Finality,
    held: Option<Held>,
    failure: Option<DeleteError>,
}

impl Janitor {
    /// Deletes an image as it is at its revision: asks the stores, writes the tombstone, removes the bytes. When it
    /// returns `Ok` the image is deleted; bytes that could not be removed are removed later.
    ///
    /// Dropping the future does not stop the deletion.
    ///
    /// # Errors
    /// See [`DeleteErrorKind`].
    pub async fn delete(&self, image: &Image) -> Result<(), DeleteError> {
        let entry = self.entry_of(image);
        let machine = if entry.locations.is_empty() {
            Deletion::without_bytes()
        } else {
            Deletion::with_bytes()
        };
        self.start(machine, image.id, entry, Finality::Final).await
    }

    /// Deletes an image as it is at its revision, and keeps its data, so that it can be restored until it is scrubbed.
    /// The stores are not asked: they are when it is scrubbed.
    ///
    /// Dropping the future does not stop the deletion.
    ///
    /// # Errors
    /// See [`DeleteErrorKind`].
    pub async fn defer_deletion(&self, image: &Image) -> Result<(), DeleteError> {
        let entry = self.entry_of(image);
        self.start(Deletion::without_bytes(), image.id, entry, Finality::Deferred)
            .await
    }

    async fn start(
        &self,
        machine: Deletion,
        image: ImageId,
        entry: DeletionEntry,
        finality: Finality,
    ) -> Result<(), DeleteError> {
        let running = Running {
            image,
            entry,
            finality,
            held: None,
            failure: None,
        };
        let janitor = self.clone();
        let task = self
            .shared
            .tasks
            .spawn(async move { janitor.drive(machine, running).await });
        match task.await {
            Ok(result) => result,
            Err(panicked) => Err(failed(DeleteErrorKind::Unknown, panicked)),
        }
    }

    /// Finishes a deletion that was interrupted. Afterwards it is forgotten, or an orphan of the ledger still.
    pub(super) async fn finish_deletion(&self, held: Held, entry: DeletionEntry) {
        let image = ImageId::from_bytes(entry.image.into_bytes());
        let running = Running {
            image,
            entry,
            finality: Finality::Final,
            held: Some(held),
            failure: None,
        };
        match self.drive(Deletion::recover(), running).await {
            Ok(()) => info!(%image, "finished an interrupted deletion"),
            Err(error) => {
                info!(%image, reason = %error, "gave an interrupted deletion up: the image is as it was")
            }
        }
    }

    /// The data that goes with the image: its own, and what was removed from it and is not gone yet.
    fn entry_of(&self, image: &Image) -> DeletionEntry {
        let own = image
            .locations
            .iter()
            .filter(|location| location.is_own_of(image.id));
        let retired = image.retired.iter().map(|retired| &retired.location);
        DeletionEntry {
            image: image.id.as_uuid(),
            revision: image.revision.number(),
            locations: own.chain(retired).map(|location| self.stored(location)).collect(),
        }
    }

    async fn drive(&self, mut machine: Deletion, mut running: Running) -> Result<(), DeleteError> {
        let expected = Revision::from_number(running.entry.revision);
        loop {
            let outcome = match machine.step() {
                DeletionStep::Prepare => {
                    let asked = self.prepare_bytes(&running.entry.locations).await;
                    note(&mut running.failure, asked)
                }
                DeletionStep::Begin => self.begin(&mut running).await,
                DeletionStep::Tombstone => {
                    let kind = match running.finality {
                        Finality::Final => ChangeKind::Delete { expected },
                        Finality::Deferred => ChangeKind::Defer { expected },
                    };
                    self.record(&mut running, kind).await
                }
                DeletionStep::Touch => self.record(&mut running, ChangeKind::Touch { expected }).await,
                DeletionStep::Bytes => self.remove_bytes(running.image, &running.entry.locations).await,
                DeletionStep::Forget => match running.held.take() {
                    Some(held) => self.forget(held).await,
                    None => Outcome::Failed,
                },
                DeletionStep::Finished(DeletionEnd::Deleted) => return Ok(()),
                DeletionStep::Finished(DeletionEnd::Unfinished) => {
                    let source = running.failure.and_then(|failure| failure.source);
                    return Err(DeleteError {
                        kind: DeleteErrorKind::Unknown,
                        source,
                    });
                }
                DeletionStep::Finished(DeletionEnd::Refused | DeletionEnd::Failed) => {
                    let unexplained = DeleteError {
                        kind: DeleteErrorKind::Unavailable,
                        source: None,
                    };
                    return Err(running.failure.unwrap_or(unexplained));
                }
            };
            machine.on(outcome);
        }
    }

    async fn begin(&self, running: &mut Running) -> Outcome {
        match self
            .shared
            .ledger
            .begin(Entry::Deletion(running.entry.clone()))
            .await
        {
            Ok(held) => {
                running.held = Some(held);
                Outcome::Done
            }
            Err(error) => {
                running.failure = Some(failed(DeleteErrorKind::Unavailable, error));
                Outcome::Failed
            }
        }
    }

    async fn record(&self, running: &mut Running, kind: ChangeKind) -> Outcome {
        let (outcome, error) = self.change(running.image, kind).await;
        if let Some(error) = error {
            let kind = match outcome {
                Outcome::Refused(rejection) => DeleteErrorKind::Rejected(rejection),
                _ => DeleteErrorKind::Unavailable,
            };
            running.failure = Some(failed(kind, error));
        }
        outcome
    }
}

/// Remembers why something was not done.
pub(super) fn note(failure: &mut Option<DeleteError>, result: Result<(), DeleteError>) -> Outcome {
    match result {
        Ok(()) => Outcome::Done,
        Err(error) => {
            *failure = Some(error);
            Outcome::Failed
        }
    }
}

pub(super) fn failed(kind: DeleteErrorKind, source: impl Into<Cause>) -> DeleteError {
    DeleteError {
        kind,
        source: Some(source.into()),
    }
}
