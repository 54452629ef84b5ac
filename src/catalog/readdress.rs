//! Locations in the one spelling that their stores have for them.
//!
//! Records may say where data is in words of before: without a store, with the id of a store that has another now, with
//! credentials that nobody needs. Two spellings of one blob would be two blobs to whoever compares them, and the data of one
//! would be deleted while the other is still an image's. So a record is put right when it is read, once, before anything
//! is computed from it (Glance 33 does so when an image is shown: `update_store_in_locations`).

use tracing::{debug, info};

use super::{Catalog, CatalogError, not_found};
use crate::{
    image::{Change, ChangeKind, Entry, Image, Location, Rejection, StoreId, Timestamp},
    metadata::MetadataErrorKind,
};

impl Catalog {
    /// The image, with its locations as they are to be. Where that cannot be recorded now, it is as it was.
    pub(super) async fn readdressed(&self, image: Image) -> Result<Image, CatalogError> {
        let respelled = |location: &Location| self.spelled(location);
        let mut locations: Vec<Location> = Vec::with_capacity(image.locations.len());
        for location in image.locations.iter().map(respelled) {
            // Two spellings of one location were one all along.
            if !locations.contains(&location) {
                locations.push(location);
            }
        }
        let retired: Vec<Location> = image
            .retired
            .iter()
            .map(|retired| respelled(&retired.location))
            .collect();
        let are_right = retired
            .iter()
            .eq(image.retired.iter().map(|retired| &retired.location));
        if locations == image.locations && are_right {
            return Ok(image);
        }
        let change = Change {
            id: image.id,
            at: Timestamp::now(),
            kind: ChangeKind::Readdress {
                expected: image.revision,
                locations,
                retired,
            },
        };
        let id = image.id;
        match self.shared.metadata.commit(change).await {
            Ok(Entry::Live(readdressed)) => {
                info!(image = %id, "the image's locations are recorded as its stores have them now");
                Ok(readdressed)
            }
            Ok(Entry::Deleted(_)) => Err(not_found(&id.to_string())),
            Err(error) if error.kind == MetadataErrorKind::Rejected(Rejection::Revision) => {
                match self.shared.metadata.entry(id).await? {
                    Some(Entry::Live(newer)) => Ok(newer),
                    _ => Err(not_found(&id.to_string())),
                }
            }
            Err(error) => {
                debug!(image = %id, %error, "the image's locations stay as they were for now");
                Ok(image)
            }
        }
    }

    /// The location as it is to be recorded.
    pub(super) fn spelled(&self, location: &Location) -> Location {
        let named = location.store.as_ref().map(StoreId::as_str);
        let (store, url) = self.stores.spelled(named, &location.url);
        Location {
            store: store.map(StoreId::new),
            url,
            metadata: location.metadata.clone(),
        }
    }

    /// Whether two locations are of one blob, and say the same of it.
    pub(super) fn is_same(&self, one: &Location, other: &Location) -> bool {
        let identity = |location: &Location| {
            let named = location.store.as_ref().map(StoreId::as_str);
            self.stores.identity(named, &location.url)
        };
        one.metadata == other.metadata && (one.url == other.url || identity(one) == identity(other))
    }
}
