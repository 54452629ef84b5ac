//! Taking an image out of use, and back into it: its data is then for administrators only.

use super::{Catalog, CatalogError, CatalogErrorKind};
use crate::{
    identity::Caller,
    image::{ChangeKind, Image, Status},
};

impl Catalog {
    /// Makes an active image `deactivated`; one that is stays.
    ///
    /// # Errors
    /// `NotFound`, `Denied`, `Activation`, `Contended`; `Unavailable`, `Unknown`, `Broken`.
    pub async fn deactivate(&self, caller: &Caller, id: &str) -> Result<Image, CatalogError> {
        self.commit(id, |current| {
            let permission = self.shared.policy.current().authorize_deactivate(caller, current);
            permission.map_err(|denied| self.denied(denied, id))?;
            let expected = current.revision;
            match current.status {
                Status::Active => Ok(Some(ChangeKind::Deactivate { expected })),
                Status::Deactivated => Ok(None),
                status => Err(CatalogErrorKind::Activation {
                    action: "deactivate",
                    status,
                }
                .into()),
            }
        })
        .await
    }

    /// Makes a deactivated image `active` again; one that is stays.
    ///
    /// # Errors
    /// `NotFound`, `Denied`, `Activation`, `Contended`; `Unavailable`, `Unknown`, `Broken`.
    pub async fn reactivate(&self, caller: &Caller, id: &str) -> Result<Image, CatalogError> {
        self.commit(id, |current| {
            let permission = self.shared.policy.current().authorize_reactivate(caller, current);
            permission.map_err(|denied| self.denied(denied, id))?;
            let expected = current.revision;
            match current.status {
                Status::Deactivated => Ok(Some(ChangeKind::Reactivate { expected })),
                Status::Active => Ok(None),
                status => Err(CatalogErrorKind::Activation {
                    action: "reactivate",
                    status,
                }
                .into()),
            }
        })
        .await
    }
}
