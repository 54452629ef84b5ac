//! The bytes behind locations that are no image's any more.

use std::sync::Arc;

use saccade_store_contract::{ErrorKind, Location as Address, Store};
use tracing::{debug, warn};

use super::{Cause, DeleteError, DeleteErrorKind, Janitor, chain, deletion::failed};
use crate::{
    image::{ImageId, Location},
    ledger::StoredLocation,
    protocol::Outcome,
};

impl Janitor {
    /// The location as the ledger keeps it.
    pub(super) fn stored(&self, location: &Location) -> StoredLocation {
        let stores = &self.stores;
        let named = location.store.as_ref().map(|store| store.as_str());
        let store = match stores.resolve(named, &location.url) {
            Ok((id, _)) => id,
            // Whoever wants to do something there is told.
            Err(_) => named.unwrap_or_else(|| stores.default_id()),
        };
        StoredLocation {
            store: store.to_owned(),
            url: location.url.clone(),
        }
    }

    /// Asks the stores whether the blobs may be deleted. What a store cannot delete at all stays where it is, and
    /// is no obstacle.
    pub(super) async fn prepare_bytes(&self, locations: &[StoredLocation]) -> Result<(), DeleteError> {
        for location in locations {
            let store = self.stores.store(&location.store);
            let store = store.map_err(|error| failed(DeleteErrorKind::Unavailable, error))?;
            if let Err(error) = store.prepare_delete(&Address::new(location.url.as_str())).await {
                let kind = match error.kind() {
                    ErrorKind::NotFound | ErrorKind::Unsupported => continue,
                    ErrorKind::InUse => DeleteErrorKind::InUse,
                    ErrorKind::HasSnapshots => DeleteErrorKind::HasSnapshots,
                    _ => DeleteErrorKind::Unavailable,
                };
                return Err(failed(kind, error));
            }
        }
        Ok(())
    }

    /// Deletes the blobs; all that can be, when not all can.
    pub(super) async fn remove_bytes(&self, image: ImageId, locations: &[StoredLocation]) -> Outcome {
        let mut outcome = Outcome::Done;
        for location in locations {
            let removed = self.remove(image, location).await;
            if removed.is_ok() {
                self.has_gone_well(image.as_uuid(), &location.store, "remove");
            }
            if let Err(error) = removed {
                if self.was_said(image.as_uuid(), &location.store, "remove", &*error) {
                    debug!(%image, store = location.store, "the store still refuses to remove bytes");
                } else {
                    warn!(
                        %image, store = location.store, error = chain(&*error),
                        "the bytes of a deleted image cannot be removed yet"
                    );
                }
                outcome = Outcome::Unknown;
            }
        }
        outcome
    }

    async fn remove(&self, image: ImageId, location: &StoredLocation) -> Result<(), Cause> {
        let store: &Arc<dyn Store> = self.stores.store(&location.store)?;
        match store.delete(&Address::new(location.url.as_str())).await {
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
            Err(error) if error.kind() == ErrorKind::Unsupported => {
                debug!(%image, store = location.store, "the store deletes nothing: the data stays");
                Ok(())
            }
            other => Ok(other?),
        }
    }
}
