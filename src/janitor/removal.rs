//! Removing locations from one image, with their data, and finishing a removal that was interrupted.

use tracing::{info, warn};

use super::{
    DeleteError, DeleteErrorKind, Janitor, chain,
    deletion::{failed, note},
    outcome_of,
};
use crate::{
    image::{
        Allowance, Change, ChangeKind, Entry as Recorded, Image, ImageId, Location, RemovalId, Revision,
        Timestamp,
    },
    ledger::{Entry, Held, RemovalEntry},
    protocol::{Outcome, Removal, RemovalEnd, RemovalStep},
};

/// One removal under way.
struct Running {
    image: ImageId,
    entry: RemovalEntry,
    /// What retires the locations; nothing when the removal was interrupted.
    change: Option<(ChangeKind, Allowance)>,
    /// The image without the locations.
    after: Option<Image>,
    held: Option<Held>,
    failure: Option<DeleteError>,
}

impl Janitor {
    /// Commits a change to the image, as it is at its revision, that takes from it these locations, whose data is its
    /// own, within what it may add to what the owner's images take up: asks the stores, retires the locations, deletes the data. When it returns `Ok`, the change is done; data
    /// that could not be deleted is deleted later.
    ///
    /// Dropping the future does not stop the removal.
    ///
    /// # Errors
    /// See [`DeleteErrorKind`].
    pub async fn remove_locations(
        &self,
        image: &Image,
        removed: &[Location],
        removal: RemovalId,
        change: (ChangeKind, Allowance),
    ) -> Result<Image, DeleteError> {
        let running = Running {
            image: image.id,
            entry: RemovalEntry {
                image: image.id.as_uuid(),
                revision: image.revision.number(),
                removal: removal.as_uuid(),
                locations: removed.iter().map(|location| self.stored(location)).collect(),
            },
            change: Some(change),
            after: None,
            held: None,
            failure: None,
        };
        let janitor = self.clone();
        let task = self
            .shared
            .tasks
            .spawn(async move { janitor.remove_step_by_step(Removal::new(), running).await });
        let removed = match task.await {
            Ok(result) => result?,
            Err(panicked) => return Err(failed(DeleteErrorKind::Unknown, panicked)),
        };
        removed.ok_or(DeleteError {
            kind: DeleteErrorKind::Unknown,
            source: None,
        })
    }

    /// Finishes a removal that was interrupted. Afterwards it is forgotten, or an orphan of the ledger still.
    pub(super) async fn finish_removal(&self, held: Held, entry: RemovalEntry) {
        let image = ImageId::from_bytes(entry.image.into_bytes());
        let running = Running {
            image,
            entry,
            change: None,
            after: None,
            held: Some(held),
            failure: None,
        };
        match self.remove_step_by_step(Removal::recover(), running).await {
            Ok(_) => info!(%image, "finished an interrupted removal of locations"),
            Err(error) => info!(%image, reason = %error, "gave an interrupted removal of locations up"),
        }
    }

    /// The image without the locations, where this has brought it there.
    async fn remove_step_by_step(
        &self,
        mut machine: Removal,
        mut running: Running,
    ) -> Result<Option<Image>, DeleteError> {
        let expected = Revision::from_number(running.entry.revision);
        let removal = RemovalId::from_bytes(running.entry.removal.into_bytes());
        loop {
            let outcome = match machine.step() {
                RemovalStep::Prepare => {
                    let asked = self.prepare_bytes(&running.entry.locations).await;
                    note(&mut running.failure, asked)
                }
                RemovalStep::Begin => {
                    let begun = self
                        .shared
                        .ledger
                        .begin(Entry::Removal(running.entry.clone()))
                        .await;
                    let begun = begun
                        .map(|held| running.held = Some(held))
                        .map_err(|error| failed(DeleteErrorKind::Unavailable, error));
                    note(&mut running.failure, begun)
                }
                RemovalStep::Retire => match running.change.take() {
                    Some(change) => self.retire(&mut running, change).await,
                    None => Outcome::Failed,
                },
                RemovalStep::Touch => self.change(running.image, ChangeKind::Touch { expected }).await.0,
                RemovalStep::Look => self.look(&mut running, removal).await,
                RemovalStep::Bytes => self.remove_bytes(running.image, &running.entry.locations).await,
                RemovalStep::Erase => {
                    let (outcome, error) = self.change(running.image, ChangeKind::Erase { removal }).await;
                    if let (Outcome::Failed | Outcome::Unknown, Some(error)) = (outcome, error) {
                        let error = chain(&error);
                        warn!(image = %running.image, error, "a location that was removed stays in the record for now");
                    }
                    outcome
                }
                RemovalStep::Forget => match running.held.take() {
                    Some(held) => self.forget(held).await,
                    None => Outcome::Failed,
                },
                RemovalStep::Finished(RemovalEnd::Removed) => return Ok(running.after),
                RemovalStep::Finished(RemovalEnd::Unfinished) => {
                    let source = running.failure.and_then(|failure| failure.source);
                    return Err(DeleteError {
                        kind: DeleteErrorKind::Unknown,
                        source,
                    });
                }
                RemovalStep::Finished(RemovalEnd::Refused | RemovalEnd::Failed) => {
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

    async fn retire(&self, running: &mut Running, (kind, allowance): (ChangeKind, Allowance)) -> Outcome {
        let change = Change {
            id: running.image,
            at: Timestamp::now(),
            kind,
        };
        match self.shared.metadata.commit_within(change, allowance).await {
            Ok(entry) => {
                running.after = entry.live().cloned();
                Outcome::Done
            }
            Err(error) => {
                let outcome = outcome_of(&error);
                let kind = match outcome {
                    Outcome::Refused(rejection) => DeleteErrorKind::Rejected(rejection),
                    _ => DeleteErrorKind::Unavailable,
                };
                running.failure = Some(failed(kind, error));
                outcome
            }
        }
    }

    /// Whether the record has retired the locations.
    async fn look(&self, running: &mut Running, removal: RemovalId) -> Outcome {
        let image = match self.shared.metadata.entry(running.image).await {
            Ok(Some(Recorded::Live(image))) => {
                running.after = Some(image.clone());
                image
            }
            Ok(Some(Recorded::Deleted(tombstone))) => tombstone.image,
            Ok(None) => return Outcome::Refused(crate::image::Rejection::NotFound),
            Err(error) => {
                warn!(image = %running.image, error = chain(&error), "an interrupted removal cannot be finished yet");
                return Outcome::Failed;
            }
        };
        match image.retired.iter().any(|retired| retired.removal == removal) {
            true => Outcome::Done,
            false => Outcome::Refused(crate::image::Rejection::NotRetired),
        }
    }
}
