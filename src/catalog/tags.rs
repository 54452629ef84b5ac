//! Adding and removing one tag.

use super::{Attribute, Catalog, CatalogError, CatalogErrorKind};
use crate::{identity::Caller, image::Image};

impl Catalog {
    /// Adds a tag; one that is there stays.
    ///
    /// # Errors
    /// `Invalid` (too long), `NotFound`, `Denied`, `TooManyTags`, `Contended`; `Unavailable`, `Unknown`, `Broken`.
    pub async fn add_tag(&self, caller: &Caller, id: &str, tag: &str) -> Result<Image, CatalogError> {
        let tag = Attribute::tag(tag)?;
        self.change(id, |current| {
            let permission = self.shared.policy.current().authorize_modify(caller, current);
            permission.map_err(|denied| self.denied(denied, id))?;
            let mut wanted = current.clone();
            wanted.tags.insert(tag.clone());
            self.rules().check_tags(&wanted)?;
            Ok(Some(wanted))
        })
        .await
    }

    /// Removes a tag.
    ///
    /// # Errors
    /// `TagNotFound`, `NotFound`, `Denied`, `Contended`; `Unavailable`, `Unknown`, `Broken`.
    pub async fn remove_tag(&self, caller: &Caller, id: &str, tag: &str) -> Result<Image, CatalogError> {
        self.change(id, |current| {
            let permission = self.shared.policy.current().authorize_modify(caller, current);
            permission.map_err(|denied| self.denied(denied, id))?;
            let mut wanted = current.clone();
            if !wanted.tags.remove(tag) {
                return Err(CatalogErrorKind::TagNotFound { tag: tag.to_owned() }.into());
            }
            Ok(Some(wanted))
        })
        .await
    }
}
