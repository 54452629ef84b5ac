//! Deleting one image, and finishing a deletion that was interrupted.

use std::sync::Arc;

use saccade_store_contract::{ErrorKind, Location, Store, StoreExt};
use tracing::{info, warn};

use super::{Janitor, chain};
use crate::{
    image::{ChangeKind, Image, ImageId, Rejection, Revision},
    ledger::{DeletionEntry, Entry, Held, StoredLocation},
    protocol::{Deletion, DeletionEnd, DeletionStep, Outcome},
};

type Cause = Box<dyn std::error::Error + Send + Sync>;

/// Why an image was not deleted.
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

/// One deletion under way.
struct Running {
    image: ImageId,
    entry: DeletionEntry,
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
        let machine = if image.locations.is_empty() {
            Deletion::without_bytes()
        } else {
            Deletion::with_bytes()
        };
        let running = Running {
            image: image.id,
            entry: self.entry_of(image),
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

    fn entry_of(&self, image: &Image) -> DeletionEntry {
        let locations = image.locations.iter().map(|location| StoredLocation {
            store: match &location.store {
                Some(store) => store.as_str().to_owned(),
                None => self.shared.stores.default_id().to_owned(),
            },
            url: location.url.clone(),
        });
        DeletionEntry {
            image: image.id.as_uuid(),
            revision: image.revision.number(),
            locations: locations.collect(),
        }
    }

    async fn drive(&self, mut machine: Deletion, mut running: Running) -> Result<(), DeleteError> {
        let expected = Revision::from_number(running.entry.revision);
        loop {
            let outcome = match machine.step() {
                DeletionStep::Prepare => self.prepare(&mut running).await,
                DeletionStep::Begin => self.begin(&mut running).await,
                DeletionStep::Tombstone => self.record(&mut running, ChangeKind::Delete { expected }).await,
                DeletionStep::Touch => self.record(&mut running, ChangeKind::Touch { expected }).await,
                DeletionStep::Bytes => self.remove_bytes(&running).await,
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

    async fn prepare(&self, running: &mut Running) -> Outcome {
        for location in &running.entry.locations {
            let store = match self.shared.stores.store(&location.store) {
                Ok(store) => store,
                Err(error) => {
                    running.failure = Some(failed(DeleteErrorKind::Unavailable, error));
                    return Outcome::Failed;
                }
            };
            if let Err(error) = store.prepare_delete(&Location::new(location.url.as_str())).await {
                let kind = match error.kind() {
                    ErrorKind::NotFound => continue,
                    ErrorKind::InUse => DeleteErrorKind::InUse,
                    ErrorKind::HasSnapshots => DeleteErrorKind::HasSnapshots,
                    _ => DeleteErrorKind::Unavailable,
                };
                running.failure = Some(failed(kind, error));
                return Outcome::Failed;
            }
        }
        Outcome::Done
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

    async fn remove_bytes(&self, running: &Running) -> Outcome {
        let mut outcome = Outcome::Done;
        for location in &running.entry.locations {
            if let Err(error) = self.remove(location).await {
                warn!(
                    image = %running.image, store = location.store, error = chain(&*error),
                    "the bytes of a deleted image cannot be removed yet"
                );
                outcome = Outcome::Unknown;
            }
        }
        outcome
    }

    async fn remove(&self, location: &StoredLocation) -> Result<(), Cause> {
        let store: &Arc<dyn Store> = self.shared.stores.store(&location.store)?;
        store
            .ensure_deleted(&Location::new(location.url.as_str()))
            .await?;
        Ok(())
    }
}

fn failed(kind: DeleteErrorKind, source: impl Into<Cause>) -> DeleteError {
    DeleteError {
        kind,
        source: Some(source.into()),
    }
}
