//! Unified limits, kept in Keystone.

use async_trait::async_trait;

use super::{Limits, LimitsError, ProjectLimits, UnifiedLimits};
use crate::{
    identity::keystone::{KeystoneLimits, LimitsFailure},
    image::Resource,
};

/// Asks Keystone.
pub struct Unified(KeystoneLimits);

impl Unified {
    /// Limits of this Keystone.
    pub const fn new(keystone: KeystoneLimits) -> Self {
        Self(keystone)
    }
}

#[async_trait]
impl Limits for Unified {
    /// A resource without a limit of the project has the registered one. One that is not registered either may not be
    /// used at all, as in oslo.limit; the log says so.
    async fn of(&self, project: &str) -> Result<ProjectLimits, LimitsError> {
        let limits = self
            .0
            .of_project(project, &Resource::ALL.map(Resource::name))
            .await
            .map_err(|failure| match failure {
                LimitsFailure::Unavailable(cause) => LimitsError::Unavailable(cause),
                LimitsFailure::Misconfigured(cause) => LimitsError::Misconfigured(cause),
            })?;
        let of = |resource: Resource| limits.get(resource.name()).copied().unwrap_or(0);
        Ok(ProjectLimits::Unified(UnifiedLimits {
            image_size_total: of(Resource::ImageSizeTotal),
            image_stage_total: of(Resource::ImageStageTotal),
            image_count_total: of(Resource::ImageCountTotal),
            image_count_uploading: of(Resource::ImageCountUploading),
        }))
    }

    fn by_resource(&self) -> bool {
        true
    }
}
