//! Why an import is not begun.

use super::StageHostError;
use crate::{
    catalog::CatalogError,
    metadata::{MetadataError, MetadataErrorKind},
    transfer::UploadError,
};

/// Why an import is not begun, or a task not found. The image is as it was.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// The image cannot be read or may not be touched.
    #[error(transparent)]
    Catalog(#[from] CatalogError),
    /// The data cannot be taken.
    #[error(transparent)]
    Transfer(#[from] UploadError),
    /// What is asked for makes no sense.
    #[error("{0}")]
    Invalid(String),
    /// The image's state does not allow it.
    #[error("{0}")]
    Conflict(String),
    /// There is no such thing here.
    #[error("{0}")]
    NotFound(String),
    /// It is another node's to do, which does not.
    #[error(transparent)]
    StageHost(#[from] StageHostError),
    /// Tasks cannot be read or written now.
    #[error("tasks cannot be kept now: nothing was begun, try again in a moment")]
    Unavailable(#[source] MetadataError),
    /// There is no room for a task.
    #[error("there is no room to keep a task")]
    Full(#[source] MetadataError),
}

impl ImportError {
    /// Whoever was to answer is gone: a fault of the service. Whether anything was begun is to be read from the image.
    pub(super) fn fault() -> Self {
        Self::Unavailable(MetadataError::new(MetadataErrorKind::OutcomeUnknown))
    }
}

impl From<MetadataError> for ImportError {
    fn from(error: MetadataError) -> Self {
        match error.kind {
            MetadataErrorKind::Full => Self::Full(error),
            _ => Self::Unavailable(error),
        }
    }
}
