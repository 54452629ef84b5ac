//! Removing an image's data from one of its stores (Glance 33, `api/v2/images.py`, `delete_from_store`).

use super::{Catalog, CatalogError, CatalogErrorKind, MAX_TRIES, locations::Draft};
use crate::{identity::Caller, image::Status};

impl Catalog {
    /// Removes the first location of an image that is in the store, with its data if that is the image's own. When it
    /// returns `Ok` the image has the location no more; data that could not be removed is removed later. Dropping the
    /// future does not stop a removal that has begun.
    ///
    /// # Errors
    /// `NotFound`, `Denied`, `StoreFixed`, `OnlyStore`, `NotInStore`, `InUse`, `HasSnapshots`, `Contended`; `Unavailable`;
    /// `Unknown`, after which it may be removed or not, and it will be found out; `Broken`.
    pub async fn delete_from_store(
        &self,
        caller: &Caller,
        store: &str,
        id: &str,
    ) -> Result<(), CatalogError> {
        for _ in 0..MAX_TRIES {
            let current = self.read(id).await?;
            let permission = self
                .shared
                .policy
                .current()
                .authorize_delete_from_store(caller, &current);
            permission.map_err(|denied| self.denied(denied, id))?;
            if current.status != Status::Active {
                return Err(CatalogErrorKind::StoreFixed.into());
            }
            if current.locations.len() <= 1 {
                return Err(CatalogErrorKind::OnlyStore.into());
            }
            let mut draft = Draft::of(&current);
            let mut locations = draft.image.locations.iter();
            let found =
                locations.position(|location| location.store.as_ref().is_some_and(|id| id.as_str() == store));
            let Some(at) = found else {
                let (id, store) = (id.to_owned(), store.to_owned());
                return Err(CatalogErrorKind::NotInStore { id, store }.into());
            };
            draft.image.locations.remove(at);
            if self.commit_draft(id, &current, draft).await?.is_some() {
                return Ok(());
            }
        }
        Err(CatalogErrorKind::Contended.into())
    }
}
