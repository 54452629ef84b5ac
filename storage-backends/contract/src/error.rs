//! What can go wrong at a store.

use std::{error::Error as StdError, fmt};

/// A store's failure: a kind to act on, the context to find it by, and the cause.
#[derive(Debug)]
pub struct Error {
    kind: ErrorKind,
    operation: Operation,
    /// The blob, path or address; never with credentials.
    subject: String,
    source: Option<Box<dyn StdError + Send + Sync>>,
}

/// What the caller can do about a failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ErrorKind {
    /// No room (ENOSPC, EDQUOT, a bucket's quota): upload less or free something. Nothing was published.
    Full,
    /// The store refuses access (EACCES, EROFS, 403): the operator must act.
    Denied,
    /// The blob is in use and cannot be deleted now.
    InUse,
    /// The blob has snapshots and cannot be deleted.
    HasSnapshots,
    /// There is no such blob.
    NotFound,
    /// Something is under the blob's name already, and was left as it is.
    Exists,
    /// The location or handle is not one of this store's.
    Invalid,
    /// What is there is not what was written: another length, an unreadable sector.
    Corrupt,
    /// The store cannot do this at all.
    Unsupported,
    /// Anything else, I/O errors among them: it may work later.
    Unavailable,
}

/// What was being done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[allow(missing_docs)] // They are the calls of the seam.
pub enum Operation {
    Create,
    Write,
    Commit,
    Abort,
    Discard,
    Settle,
    Read,
    Size,
    PrepareDelete,
    Delete,
    SetReaders,
    Capacity,
}

impl Error {
    /// A failure of `operation` on `subject` (a blob, path or address without credentials).
    pub fn new(kind: ErrorKind, operation: Operation, subject: impl Into<String>) -> Self {
        Self {
            kind,
            operation,
            subject: subject.into(),
            source: None,
        }
    }

    /// The same with its cause.
    #[must_use]
    pub fn caused_by(self, source: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        Self {
            source: Some(source.into()),
            ..self
        }
    }

    /// What the caller can do about it.
    pub const fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// What was being done.
    pub const fn operation(&self) -> Operation {
        self.operation
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.source
            .as_ref()
            .map(|source| &**source as &(dyn StdError + 'static))
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}: {}", self.operation, self.subject, self.kind)
    }
}

impl fmt::Display for ErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Full => "there is no room left",
            Self::Denied => "access is denied",
            Self::InUse => "it is in use",
            Self::HasSnapshots => "it has snapshots",
            Self::NotFound => "there is no such blob",
            Self::Exists => "something is there already",
            Self::Invalid => "the address is not one of this store's",
            Self::Corrupt => "what is there is not what was written",
            Self::Unsupported => "this store cannot do that",
            Self::Unavailable => "the store failed",
        })
    }
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Create => "create",
            Self::Write => "write",
            Self::Commit => "commit",
            Self::Abort => "abort",
            Self::Discard => "discard",
            Self::Settle => "settle",
            Self::Read => "read",
            Self::Size => "size of",
            Self::PrepareDelete => "prepare to delete",
            Self::Delete => "delete",
            Self::SetReaders => "say who may read",
            Self::Capacity => "capacity of",
        })
    }
}
