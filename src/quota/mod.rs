//! How much a project's images may take up: what the operator has configured, or what Keystone keeps.
//!
//! * [`Limits`]: asks for a project's limits
//! * [`ProjectLimits`]: what they allow each operation; the metadata store judges that in the commit itself, so that
//!   requests at once cannot exceed them together
//! * [`Configured`]: the same for every project (`user_storage_quota`)
//! * [`Unified`]: unified limits, kept in Keystone (`use_keystone_limits`)
//!
//! The project is the one that owns the image, whose usage grows. (Glance looks at the caller's, which is another only
//! when an administrator acts for somebody.)

mod configured;
mod unified;

use async_trait::async_trait;

pub use self::{configured::Configured, unified::Unified};
use crate::image::{Allowance, Excess, Resource, StorageBound, Usage};

const MEBIBYTE: u64 = 1 << 20;

/// Says how much a project's images may take up.
#[async_trait]
pub trait Limits: Send + Sync {
    /// The project's limits as they are now. May ask another service, in bounded time.
    ///
    /// # Errors
    /// They cannot be known: nothing may be added then.
    async fn of(&self, project: &str) -> Result<ProjectLimits, LimitsError>;

    /// Whether there are limits by resource, which clients can ask for.
    fn by_resource(&self) -> bool;
}

/// Why a project's limits are not known.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LimitsError {
    /// Whoever keeps them does not answer.
    #[error("the limits of the project cannot be asked for now: {0}")]
    Unavailable(String),
    /// The operator has to change something.
    #[error("the limits of the project cannot be asked for: {0}")]
    Misconfigured(String),
}

/// The limits of one project.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProjectLimits {
    /// By configuration.
    Configured {
        /// The most data, in bytes; `None` is no limit.
        storage: Option<u64>,
    },
    /// By Keystone.
    Unified(UnifiedLimits),
}

/// Limits by resource, in Keystone's numbers: negative is no limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UnifiedLimits {
    /// MiB in stores.
    pub image_size_total: i64,
    /// MiB that wait for an import.
    pub image_stage_total: i64,
    /// Images.
    pub image_count_total: i64,
    /// Images whose data is on its way.
    pub image_count_uploading: i64,
}

impl ProjectLimits {
    /// What making an image may add.
    pub fn for_creation(&self) -> Allowance {
        Allowance {
            images: self.most(Resource::ImageCountTotal),
            ..Allowance::UNLIMITED
        }
    }

    /// What beginning an upload may add.
    pub fn for_beginning(&self) -> Allowance {
        Allowance {
            uploading: self.most(Resource::ImageCountUploading),
            ..Allowance::UNLIMITED
        }
    }

    /// How much data an upload may add, whose declared size is this.
    pub fn for_data(&self, declared: Option<u64>) -> Option<StorageBound> {
        match self {
            Self::Configured { storage } => storage.map(StorageBound::Bytes),
            Self::Unified(_) => self
                .most(Resource::ImageSizeTotal)
                .map(|limit| StorageBound::Mebibytes {
                    limit,
                    declared: declared.is_some(),
                }),
        }
    }

    /// Whether data that waits for an import is bounded.
    pub fn has_bound_on_staging(&self) -> bool {
        self.most(Resource::ImageStageTotal).is_some()
    }

    /// Whether data of the declared size may be kept for an import, beside what there is.
    ///
    /// # Errors
    /// What would be too much.
    pub fn check_staging(&self, usage: &Usage, declared: Option<u64>) -> Result<(), Excess> {
        let resource = Resource::ImageStageTotal;
        let usage = usage.of_resource(resource);
        let delta = declared.unwrap_or(0) / MEBIBYTE;
        match self.most(resource) {
            Some(limit) if usage.saturating_add(delta) > limit => Err(Excess::Resource {
                resource,
                limit,
                usage,
                delta,
            }),
            _ => Ok(()),
        }
    }

    /// `None` where there is no limit, or none of this kind.
    fn most(&self, resource: Resource) -> Option<u64> {
        match self {
            Self::Configured { .. } => None,
            Self::Unified(limits) => u64::try_from(limits.of(resource)).ok(),
        }
    }
}

impl UnifiedLimits {
    /// The limit of one resource; negative is none.
    pub const fn of(&self, resource: Resource) -> i64 {
        match resource {
            Resource::ImageSizeTotal => self.image_size_total,
            Resource::ImageStageTotal => self.image_stage_total,
            Resource::ImageCountTotal => self.image_count_total,
            Resource::ImageCountUploading => self.image_count_uploading,
        }
    }
}

/// What a client is told who wanted too much, in Glance's words.
pub fn explanation(project: &str, excess: &Excess) -> String {
    match excess {
        Excess::Storage { .. } => excess.to_string(),
        Excess::Resource { .. } => format!(
            "The request returned a 413 Request Entity Too Large. This generally means that rate limiting or a quota \
             threshold was breached.\n\nThe response body:\nProject {project} is over a limit for [{excess}]"
        ),
    }
}
