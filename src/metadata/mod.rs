//! The catalogue's memory: which images there are. A trait in domain terms, and its implementations.
//!
//! One operation is one atomic, durable commit of one [`Change`] to one image. The rules, each with a named test that
//! every implementation passes:
//!
//! 1. A commit that returned `Ok` is on stable storage, with every index entry that follows from it.
//! 2. [`Change::apply`] decides, against the newest state: commits to one image are linear, whatever handle they come
//!    through.
//! 3. A rejected commit changes nothing.
//! 4. After [`MetadataErrorKind::OutcomeUnknown`] the change may have been applied, may not, or may still come: only a
//!    later change that excludes it (a fence, a touch) makes the question go away.
//! 5. Dropping the future of a commit does not stop it: it is as an unknown outcome.
//! 6. A page is one snapshot. Images that do not change during a walk appear in it exactly once, whatever
//!    else is added, changed or deleted; a marker that was deleted still says where to go on.
//! 7. What a project's images take up ([`Usage`]) follows from the records: it changes in the same commit, and an
//!    [`Allowance`] is judged against it there. However many commits come at once, none exceeds it.
//! 8. Nothing here decides who may do what.

#[cfg(test)]
mod conformance;
mod definitions;
pub mod memory;
mod query;
pub mod rocksdb;
mod tasks;

use async_trait::async_trait;

pub use self::definitions::{DefineError, MetadefStore};
pub use self::query::{
    Comparison, Condition, Direction, Filter, Flag, Number, Order, Page, Query, SortKey, Text, TimeField,
};
pub use self::tasks::TaskStore;
use crate::image::{Allowance, Change, Claim, Entry, ImageId, Rejection, Timestamp, Tombstone, Usage};

/// The images of the catalogue. The numbered rules are in the module's documentation.
#[async_trait]
pub trait Metadata: Send + Sync {
    /// Applies a change and returns the entry that follows; for what it costs see the implementation.
    ///
    /// # Errors
    /// `Rejected` when a precondition does not hold: nothing was changed; `Full`, `Unavailable`: nothing was changed;
    /// `OutcomeUnknown`: rule 4; `Corrupt`: the stored record cannot be read, and was left as it is.
    async fn commit(&self, change: Change) -> Result<Entry, MetadataError> {
        self.commit_within(change, Allowance::UNLIMITED).await
    }

    /// The same, if what the images of the new entry's owner take up stays within the allowance.
    ///
    /// # Errors
    /// As [`Self::commit`]; `Rejected` with [`Rejection::OverLimit`] as well.
    async fn commit_within(&self, change: Change, allowance: Allowance) -> Result<Entry, MetadataError>;

    /// What a project's images take up. Sees every commit that was acknowledged before the call.
    ///
    /// # Errors
    /// `Unavailable`, `Corrupt`.
    async fn usage(&self, project: &str) -> Result<Usage, MetadataError>;

    /// What is under an id, tombstones included; `None` when the id was never used. Sees every commit that was
    /// acknowledged before the call.
    ///
    /// # Errors
    /// `Unavailable`, `Corrupt`.
    async fn entry(&self, id: ImageId) -> Result<Option<Entry>, MetadataError>;

    /// One page of a list. Memory is bounded by the page's length; time depends on the query:
    ///
    /// * without conditions but visibility, in the order of one key: by the page's length, wherever in the list it is
    /// * by id, name, tag, custom property, checksum or hash, in any order: by the number of images that have it, up to a
    ///   few thousand; what more of them have is found by the walk below, soon, since they are many
    /// * by owner, where the caller may see all of its images: as the rest, among that owner's images only
    /// * any other condition, in the order of one key: by the images that are passed over until the page is full
    /// * several sort keys, or one and its tie-breakers in the other direction: by the images that the listing holds
    ///
    /// # Errors
    /// `UnknownMarker` when the query's marker was never an image; `Unavailable`, `Corrupt`.
    async fn list(&self, query: Query) -> Result<Page, MetadataError>;

    /// Every image that an attempt holds, with its claim, whichever node holds it. Work is bounded by their number.
    ///
    /// # Errors
    /// `Unavailable`, `Corrupt`.
    async fn claims(&self) -> Result<Vec<(ImageId, Claim)>, MetadataError>;

    /// Images that were deleted and can be restored, whichever node deleted them: those deleted up to `until`, by that
    /// instant and id, from behind `after`, `limit` of them at most. Work and memory are bounded by `limit`.
    ///
    /// # Errors
    /// `Unavailable`, `Corrupt`.
    async fn pending(
        &self,
        until: Timestamp,
        after: Option<(Timestamp, ImageId)>,
        limit: usize,
    ) -> Result<Vec<Tombstone>, MetadataError>;
}

/// Why an operation did not succeed, and what is true afterwards.
#[derive(Debug, thiserror::Error)]
#[error("{kind}")]
pub struct MetadataError {
    /// What the caller does next.
    pub kind: MetadataErrorKind,
    /// The cause, where there is one.
    #[source]
    pub source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

/// What the caller does next.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum MetadataErrorKind {
    /// A precondition does not hold. Nothing was changed.
    #[error(transparent)]
    Rejected(#[from] Rejection),
    /// The marker was never an image.
    #[error("the marker is not an image")]
    UnknownMarker,
    /// There is no room for another record. Nothing was changed.
    #[error("the metadata store is full")]
    Full,
    /// The store does not answer. Nothing was changed.
    #[error("the metadata store is not available")]
    Unavailable,
    /// It is not known whether the change was applied.
    #[error("it is not known whether the change was applied")]
    OutcomeUnknown,
    /// A stored record cannot be read.
    #[error("a stored record cannot be read")]
    Corrupt,
}

impl MetadataError {
    /// The error of this kind, without cause.
    pub const fn new(kind: MetadataErrorKind) -> Self {
        Self { kind, source: None }
    }

    /// The error of this kind with its cause.
    pub fn caused_by(
        kind: MetadataErrorKind,
        source: impl Into<Box<dyn std::error::Error + Send + Sync>>,
    ) -> Self {
        Self {
            kind,
            source: Some(source.into()),
        }
    }
}

impl From<Rejection> for MetadataError {
    fn from(rejection: Rejection) -> Self {
        Self::new(rejection.into())
    }
}
