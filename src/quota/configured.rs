//! Limits of the configuration.

use async_trait::async_trait;

use super::{Limits, LimitsError, ProjectLimits};

/// The same limits for every project.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Configured {
    /// `user_storage_quota`, in bytes; `None` is no limit.
    pub storage: Option<u64>,
}

#[async_trait]
impl Limits for Configured {
    async fn of(&self, _: &str) -> Result<ProjectLimits, LimitsError> {
        Ok(ProjectLimits::Configured {
            storage: self.storage,
        })
    }

    fn by_resource(&self) -> bool {
        false
    }
}
