//! How much an upload may add to what its owner's images take up.
//!
//! Asked for once, before the first byte; judged three times: then, against what there is; while bytes come, where
//! their number alone decides; and in the commits of the claim and of the content, which alone are certain.

use super::{Parts, UploadError, UploadErrorKind};
use crate::{
    image::{Allowance, Excess, Image, StorageBound},
    quota::{LimitsError, explanation},
};

/// What one upload may add.
#[derive(Debug, Clone, Default)]
pub(super) struct Room {
    project: String,
    beginning: Allowance,
    data: Option<StorageBound>,
    /// Bytes that may come, where a number of them is the limit.
    remaining: Option<u64>,
}

impl Room {
    /// The room for data of the declared size.
    pub(super) async fn find(
        parts: &Parts,
        image: &Image,
        declared: Option<u64>,
    ) -> Result<Self, UploadError> {
        // What nobody owns is charged to nobody.
        let Some(project) = &image.owner else {
            return Ok(Self::default());
        };
        let limits = parts.quota.of(project).await?;
        let mut room = Self {
            project: project.clone(),
            beginning: limits.for_beginning(),
            data: limits.for_data(declared),
            remaining: None,
        };
        if let Some(bound) = room.data {
            let usage = parts.metadata.usage(project).await;
            let stored = usage
                .map_err(|error| UploadError::because(UploadErrorKind::Unavailable, error))?
                .stored;
            bound
                .check(stored, declared)
                .map_err(|excess| room.exceeded(&excess))?;
            if let StorageBound::Bytes(limit) = bound {
                room.remaining = Some(limit.saturating_sub(stored));
            }
        }
        Ok(room)
    }

    /// The room for data of the declared size that is to wait for an import (`image_stage_total`). As in Glance, what is
    /// over the limit already keeps others out, and a declared size has to fit.
    pub(super) async fn find_for_staging(
        parts: &Parts,
        image: &Image,
        declared: Option<u64>,
    ) -> Result<Self, UploadError> {
        let Some(project) = &image.owner else {
            return Ok(Self::default());
        };
        let limits = parts.quota.of(project).await?;
        let room = Self {
            project: project.clone(),
            beginning: limits.for_beginning(),
            data: None,
            remaining: None,
        };
        if limits.has_bound_on_staging() {
            let usage = parts.metadata.usage(project).await;
            let usage = usage.map_err(|error| UploadError::because(UploadErrorKind::Unavailable, error))?;
            limits
                .check_staging(&usage, declared)
                .map_err(|excess| room.exceeded(&excess))?;
        }
        Ok(room)
    }

    /// What the claim may add.
    pub(super) const fn for_claim(&self) -> Allowance {
        self.beginning
    }

    /// What the content may add. An administrator who gives the image to another project meanwhile has it judged by the
    /// limits of the first one.
    pub(super) const fn for_content(&self) -> Allowance {
        Allowance {
            stored: self.data,
            ..Allowance::UNLIMITED
        }
    }

    /// Whether so many bytes may have come.
    pub(super) fn check(&self, received: u64) -> Result<(), UploadErrorKind> {
        match self.remaining {
            Some(remaining) if received > remaining => Err(self.exceeded(&Excess::Storage {
                size: None,
                remaining,
            })),
            _ => Ok(()),
        }
    }

    /// What the client is told.
    pub(super) fn exceeded(&self, excess: &Excess) -> UploadErrorKind {
        UploadErrorKind::OverLimit {
            explanation: explanation(&self.project, excess),
        }
    }
}

impl From<LimitsError> for UploadError {
    fn from(error: LimitsError) -> Self {
        let kind = match error {
            LimitsError::Unavailable(_) => UploadErrorKind::Limits,
            LimitsError::Misconfigured(_) => UploadErrorKind::LimitsMisconfigured,
        };
        Self::because(kind, error)
    }
}
