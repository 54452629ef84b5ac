//! Deleting an image.

use super::{Catalog, CatalogError, CatalogErrorKind, MAX_TRIES, error};
use crate::{
    identity::Caller,
    image::{Entry, Image, ImageId, Rejection, Status},
    janitor::{DeleteError, DeleteErrorKind},
};

impl Catalog {
    /// An image that the caller may delete.
    ///
    /// # Errors
    /// `NotFound`, `Denied`, `Protected`; `Unavailable`, `Broken`.
    pub async fn deletable(&self, caller: &Caller, id: &str) -> Result<Image, CatalogError> {
        let image = self.read(id).await?;
        let permission = self.shared.policy.current().authorize_delete(caller, &image);
        permission.map_err(|denied| self.denied(denied, id))?;
        match image.protected {
            true => Err(CatalogErrorKind::Protected { id: id.to_owned() }.into()),
            false => Ok(image),
        }
    }

    /// Deletes an image and its data, or keeps the data for a time (`delayed_delete`). When it returns `Ok` the record is a tombstone; bytes that could not be removed
    /// are removed later. Dropping the future does not stop a deletion that has begun.
    ///
    /// # Errors
    /// `NotFound`, `Denied`, `Protected`, `InUse`, `HasSnapshots`, `Transition`, `Contended`; `Unavailable`;
    /// `Unknown`, after which the image may be deleted or not, and it will be found out; `Broken`.
    pub async fn delete(&self, caller: &Caller, id: &str) -> Result<(), CatalogError> {
        for _ in 0..MAX_TRIES {
            let image = match self.deletable(caller, id).await {
                Err(error) if matches!(error.kind(), CatalogErrorKind::NotFound { .. }) => {
                    self.finish_deleted(caller, id).await;
                    return Err(error);
                }
                other => other?,
            };
            // Without data there is nothing to keep. An image whose upload is under way is as good as without.
            let is_kept = self.rules().deferred_deletion
                && !image.locations.is_empty()
                && image.status.may_become(Status::PendingDelete);
            let deleted = match is_kept {
                true => self.janitor.defer_deletion(&image).await,
                false => self.janitor.delete(&image).await,
            };
            match deleted {
                Ok(()) => {
                    if let Some(cache) = &self.shared.cache {
                        cache.evict(image.id);
                        cache.dequeue(image.id);
                    }
                    if self.acts_for_callers() {
                        // What could not be finished without its owner.
                        self.janitor.finish_orphans_of(image.id).await;
                    } else if image.staged().is_some() {
                        // The janitor's next look may be a minute away, and large data may wait for it.
                        self.janitor.finish_stagings_of(image.id).await;
                    }
                    return Ok(());
                }
                Err(error) if error.kind == DeleteErrorKind::Rejected(Rejection::Revision) => {}
                Err(error) => return Err(failure(error, id)),
            }
        }
        Err(CatalogErrorKind::Contended.into())
    }
}

impl Catalog {
    /// What could not be finished without the owner of an image that is deleted: a deletion is asked for once more.
    async fn finish_deleted(&self, caller: &Caller, id: &str) {
        let (true, Ok(id)) = (self.acts_for_callers(), id.parse::<ImageId>()) else {
            return;
        };
        let Ok(Some(Entry::Deleted(tombstone))) = self.shared.metadata.entry(id).await else {
            return;
        };
        let policy = self.shared.policy.current();
        if policy.authorize_delete(caller, &tombstone.image).is_ok() {
            self.janitor.finish_orphans_of(id).await;
        }
    }
}

pub(super) fn failure(error: DeleteError, id: &str) -> CatalogError {
    let kind = match error.kind {
        DeleteErrorKind::Rejected(rejection) => error::of_rejection(rejection, id),
        DeleteErrorKind::InUse => CatalogErrorKind::InUse { id: id.to_owned() },
        DeleteErrorKind::HasSnapshots => CatalogErrorKind::HasSnapshots { id: id.to_owned() },
        DeleteErrorKind::Unavailable => CatalogErrorKind::Unavailable,
        DeleteErrorKind::Unknown => CatalogErrorKind::Unknown,
    };
    CatalogError::because(kind, error)
}
