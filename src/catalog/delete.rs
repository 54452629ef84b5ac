//! Deleting an image.

use super::{Catalog, CatalogError, CatalogErrorKind, MAX_TRIES, error};
use crate::{
    identity::Caller,
    image::Rejection,
    janitor::{DeleteError, DeleteErrorKind},
};

impl Catalog {
    /// Deletes an image and its data. When it returns `Ok` the record is a tombstone; bytes that could not be removed
    /// are removed later. Dropping the future does not stop a deletion that has begun.
    ///
    /// # Errors
    /// `NotFound`, `Denied`, `Protected`, `InUse`, `HasSnapshots`, `Transition`, `Contended`; `Unavailable`;
    /// `Unknown`, after which the image may be deleted or not, and it will be found out; `Broken`.
    pub async fn delete(&self, caller: &Caller, id: &str) -> Result<(), CatalogError> {
        for _ in 0..MAX_TRIES {
            let image = self.read(id).await?;
            let permission = self.shared.policy.current().authorize_delete(caller, &image);
            permission.map_err(|denied| self.denied(denied, id))?;
            if image.protected {
                return Err(CatalogErrorKind::Protected { id: id.to_owned() }.into());
            }
            match self.shared.janitor.delete(&image).await {
                Ok(()) => return Ok(()),
                Err(error) if error.kind == DeleteErrorKind::Rejected(Rejection::Revision) => {}
                Err(error) => return Err(failure(error, id)),
            }
        }
        Err(CatalogErrorKind::Contended.into())
    }
}

fn failure(error: DeleteError, id: &str) -> CatalogError {
    let kind = match error.kind {
        DeleteErrorKind::Rejected(rejection) => error::of_rejection(rejection, id),
        DeleteErrorKind::InUse => CatalogErrorKind::InUse { id: id.to_owned() },
        DeleteErrorKind::HasSnapshots => CatalogErrorKind::HasSnapshots { id: id.to_owned() },
        DeleteErrorKind::Unavailable => CatalogErrorKind::Unavailable,
        DeleteErrorKind::Unknown => CatalogErrorKind::Unknown,
    };
    CatalogError::because(kind, error)
}
