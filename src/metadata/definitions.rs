//! The seam of metadata definitions. Rules 1 to 7 of the module hold here, too, with namespaces in the place of images.

use async_trait::async_trait;

use super::{MetadataError, MetadataErrorKind};
use crate::metadefs::{Change, Namespace, NamespacePage, NamespaceQuery, Rejection, ResourceType};

/// Metadata definitions, one namespace the unit of change.
#[async_trait]
pub trait MetadefStore: Send + Sync {
    /// Applies a change, and returns the namespace that follows; `None` when it was deleted.
    ///
    /// # Errors
    /// `Rejected`: a precondition does not hold, and nothing was changed; `Store` as for
    /// [`Metadata::commit`](super::Metadata::commit).
    async fn define(&self, change: Change) -> Result<Option<Namespace>, DefineError>;

    /// The namespace of this name. Sees every change that was acknowledged before the call.
    ///
    /// # Errors
    /// `Unavailable`, `Corrupt`.
    async fn namespace(&self, name: &str) -> Result<Option<Namespace>, MetadataError>;

    /// One page of a list, from one snapshot. Time is linear in the number and size of all namespaces, memory in the limit.
    ///
    /// # Errors
    /// `Unavailable`, `Corrupt`.
    async fn namespaces(&self, query: NamespaceQuery) -> Result<NamespacePage, MetadataError>;

    /// Every resource type that a namespace ever named, in the order they were named first.
    ///
    /// # Errors
    /// `Unavailable`, `Corrupt`.
    async fn resource_types(&self) -> Result<Vec<ResourceType>, MetadataError>;
}

/// Why a change to a namespace was not made.
#[derive(Debug, thiserror::Error)]
pub enum DefineError {
    /// A precondition does not hold. Nothing was changed.
    #[error(transparent)]
    Rejected(#[from] Rejection),
    /// The store did not do it; the kind says what is true afterwards.
    #[error(transparent)]
    Store(#[from] MetadataError),
}

impl From<MetadataErrorKind> for DefineError {
    fn from(kind: MetadataErrorKind) -> Self {
        Self::Store(MetadataError::new(kind))
    }
}

/// In the order they were named first; those of one change by name.
pub(super) fn in_order(mut types: Vec<ResourceType>) -> Vec<ResourceType> {
    types.sort_by(|a, b| (a.created_at, &a.name).cmp(&(b.created_at, &b.name)));
    types
}
