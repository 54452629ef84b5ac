//! How transfers fail.

use super::turns::Busy;
use crate::{image::Status, inspect::Refusal};

type Cause = Box<dyn std::error::Error + Send + Sync>;

/// Why an upload did not succeed. Unless it says otherwise, the image is `queued` again and nothing of the data is left.
#[derive(Debug, thiserror::Error)]
#[error("{kind}")]
pub struct UploadError {
    kind: UploadErrorKind,
    #[source]
    source: Option<Cause>,
}

/// What went wrong, in the client's terms.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum UploadErrorKind {
    /// There is no such image.
    #[error("there is no such image")]
    NotFound,
    /// It was deleted while its data was being uploaded.
    #[error("the image was deleted during the upload")]
    Gone,
    /// It has data, or somebody is uploading some.
    #[error("the image is {status}: data can be uploaded only while it is queued")]
    NotQueued {
        /// The status it has.
        status: Status,
    },
    /// Another upload took the image, or this one was given up for dead.
    #[error("another upload of this image was faster")]
    Lost,
    /// What an earlier import has left in a store is still being removed.
    #[error(
        "what an earlier import has left in the store {store} is still being removed: try again in a moment"
    )]
    ClearingUp {
        /// The store.
        store: String,
    },
    /// A format is not set.
    #[error("disk_format and container_format must be set before data is uploaded")]
    FormatMissing,
    /// Not as many bytes as declared.
    #[error("the upload has {received} bytes, but {declared} were declared")]
    SizeMismatch {
        /// What the client declared, in bytes.
        declared: u64,
        /// What came, in bytes; where more came than declared, one chunk more at most was counted.
        received: u64,
    },
    /// Larger than images may be.
    #[error("the image is larger than {limit} bytes, the largest allowed (image_size_cap)")]
    TooLarge {
        /// The largest size, in bytes.
        limit: u64,
    },
    /// The data is not what the image says it is, or not safe.
    #[error(transparent)]
    Refused(Refusal),
    /// More than the owner's limits allow.
    #[error("{explanation}")]
    OverLimit {
        /// Which limit, in Glance's words.
        explanation: String,
    },
    /// The owner's limits are not known now.
    #[error("the limits of the project cannot be asked for now: nothing was changed, try again in a moment")]
    Limits,
    /// The owner's limits cannot be known before the operator has changed something.
    #[error("the limits of the project are not set up: the operator has to look at the log")]
    LimitsMisconfigured,
    /// Too many others are under way.
    #[error("{0}")]
    Busy(Busy),
    /// There is no room for it.
    #[error("there is no room for the image's data")]
    StoreFull,
    /// The store may not be written.
    #[error("the store refuses to be written")]
    StoreDenied,
    /// The place that an import takes its data from does not give it.
    #[error("{explanation}")]
    Origin {
        /// Why, for the person who asked.
        explanation: String,
    },
    /// An import plugin cannot do its work on the data.
    #[error("the import plugin {plugin} has failed: {explanation}")]
    Plugin {
        /// Its name in the configuration.
        plugin: &'static str,
        /// Why, for the person who asked.
        explanation: String,
    },
    /// The client went away.
    #[error("the upload broke off before its end")]
    Interrupted,
    /// The client sent nothing for too long.
    #[error("the client sent nothing for too long: the upload was broken off")]
    Stalled,
    /// Something does not work. Whether the image became active is to be read from the image.
    #[error("the image's data cannot be stored now")]
    Unavailable,
}

impl UploadError {
    pub(super) fn because(kind: UploadErrorKind, source: impl Into<Cause>) -> Self {
        Self {
            kind,
            source: Some(source.into()),
        }
    }

    /// What went wrong, in the client's terms.
    pub const fn kind(&self) -> &UploadErrorKind {
        &self.kind
    }
}

impl From<UploadErrorKind> for UploadError {
    fn from(kind: UploadErrorKind) -> Self {
        Self { kind, source: None }
    }
}

/// Why data cannot be read.
#[derive(Debug, thiserror::Error)]
#[error("{kind}")]
pub struct DownloadError {
    kind: DownloadErrorKind,
    #[source]
    source: Option<Cause>,
}

/// What went wrong, in the client's terms.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum DownloadErrorKind {
    /// The image is gone, or its data is.
    #[error("the image has no data any more")]
    NotFound,
    /// The range begins after the end.
    #[error("the range begins after the end of the image's {size} bytes")]
    Unsatisfiable {
        /// The image's size in bytes.
        size: u64,
    },
    /// The store reads whole images only.
    #[error("the store of this image cannot read ranges")]
    Unsupported,
    /// Too many others are under way.
    #[error("{0}")]
    Busy(Busy),
    /// The store may not be read.
    #[error("the store refuses to be read")]
    Denied,
    /// Something does not work.
    #[error("the image's data cannot be read now")]
    Unavailable,
}

impl DownloadError {
    pub(super) fn because(kind: DownloadErrorKind, source: impl Into<Cause>) -> Self {
        Self {
            kind,
            source: Some(source.into()),
        }
    }

    /// What went wrong, in the client's terms.
    pub const fn kind(&self) -> DownloadErrorKind {
        self.kind
    }
}

impl From<DownloadErrorKind> for DownloadError {
    fn from(kind: DownloadErrorKind) -> Self {
        Self { kind, source: None }
    }
}
