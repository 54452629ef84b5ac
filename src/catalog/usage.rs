//! What a project's images take up, and how much they may.

use std::sync::Arc;

use super::{Catalog, CatalogError, CatalogErrorKind};
use crate::{
    identity::Caller,
    image::{Allowance, Excess, Resource},
    quota::{LimitsError, ProjectLimits, explanation},
};

/// What the caller's project uses of one resource.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ResourceUsage {
    /// Of what.
    pub resource: Resource,
    /// How much, in the resource's unit.
    pub usage: u64,
    /// How much it may; negative is no limit.
    pub limit: i64,
}

impl Catalog {
    /// What the caller's project uses, where limits are kept by resource; otherwise nothing, as in Glance.
    ///
    /// # Errors
    /// `Limits`, `LimitsMisconfigured`; `Unavailable`, `Broken`.
    pub async fn usage(&self, caller: &Caller) -> Result<Vec<ResourceUsage>, CatalogError> {
        let limits = Arc::clone(&self.shared.limits);
        let Some(project) = caller.project_id.as_deref().filter(|_| limits.by_resource()) else {
            return Ok(Vec::new());
        };
        let ProjectLimits::Unified(limits) = limits.of(project).await? else {
            return Ok(Vec::new());
        };
        let usage = self.shared.metadata.usage(project).await?;
        let of = |resource| ResourceUsage {
            resource,
            usage: usage.of_resource(resource),
            limit: limits.of(resource),
        };
        Ok(Resource::ALL.map(of).into())
    }

    /// What locations of so many bytes, given to an image of this owner, may add.
    pub(super) async fn allowance_for_locations(
        &self,
        owner: Option<&str>,
        size: Option<u64>,
    ) -> Result<Allowance, CatalogError> {
        match owner {
            Some(project) => Ok(Allowance {
                stored: self.shared.limits.of(project).await?.for_data(size),
                ..Allowance::UNLIMITED
            }),
            None => Ok(Allowance::UNLIMITED),
        }
    }

    /// What making an image of this owner may add.
    pub(super) async fn allowance_for_creation(
        &self,
        owner: Option<&str>,
    ) -> Result<Allowance, CatalogError> {
        match owner {
            Some(project) => Ok(self.shared.limits.of(project).await?.for_creation()),
            None => Ok(Allowance::UNLIMITED),
        }
    }
}

/// What it means to the client that a change would exceed a limit of the owner's.
pub(super) fn over_limit(owner: Option<&str>, excess: &Excess) -> CatalogError {
    CatalogErrorKind::OverLimit {
        explanation: explanation(owner.unwrap_or_default(), excess),
    }
    .into()
}

impl From<LimitsError> for CatalogError {
    fn from(error: LimitsError) -> Self {
        let kind = match error {
            LimitsError::Unavailable(_) => CatalogErrorKind::Limits,
            LimitsError::Misconfigured(_) => CatalogErrorKind::LimitsMisconfigured,
        };
        Self::because(kind, error)
    }
}
