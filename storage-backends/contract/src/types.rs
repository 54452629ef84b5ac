//! What goes over the seam.

use std::{fmt, fs::File, sync::Arc};

use bytes::Bytes;
use futures_util::stream::BoxStream;
use uuid::Uuid;

use crate::Result;

/// The name of a blob: the image's id. The layout that a store makes of it is glance_store's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BlobName(pub Uuid);

impl fmt::Display for BlobName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.as_hyphenated().fmt(f)
    }
}

/// One try to write one blob; never used twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Attempt(pub Uuid);

impl fmt::Display for Attempt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.as_hyphenated().fmt(f)
    }
}

/// The address of a committed blob: a URI in glance_store's form. It may carry credentials (old Swift and S3
/// locations do), so it is never logged: `Debug` shows the scheme only.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Location(String);

impl Location {
    /// The location with this URI.
    pub fn new(uri: impl Into<String>) -> Self {
        Self(uri.into())
    }

    /// The URI, credentials included.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The URI, credentials included.
    pub fn into_string(self) -> String {
        self.0
    }
}

impl fmt::Debug for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = self.0.split_once("://").map_or("?", |(scheme, _)| scheme);
        write!(f, "Location({scheme}://…)")
    }
}

/// What a store needs to find an attempt's bytes again after a restart: a temporary name, a multipart id, a segment
/// prefix. Text of at most [`Handle::MAX`] bytes in a form of the store's own, without secrets; kept in the ledger.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Handle(String);

/// The text is too long for a handle.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a store's handle is at most {} bytes", Handle::MAX)]
pub struct InvalidHandle;

impl Handle {
    /// The longest handle, in bytes.
    pub const MAX: usize = 4096;

    /// The handle with this text.
    ///
    /// # Errors
    /// [`InvalidHandle`] when it is longer than [`Handle::MAX`].
    pub fn new(text: impl Into<String>) -> Result<Self, InvalidHandle> {
        let text = text.into();
        if text.len() > Self::MAX {
            Err(InvalidHandle)
        } else {
            Ok(Self(text))
        }
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// A committed blob, opened for reading: it stays readable to its end even when it is deleted meanwhile.
#[derive(Debug)]
pub struct Blob {
    /// Length of the whole blob in bytes, whatever range was asked for.
    pub size: u64,
    /// The bytes of the range.
    pub body: Body,
}

/// The bytes of a blob, or of a range of it.
pub enum Body {
    /// A region of a local file: may leave through `sendfile`.
    File(FileRegion),
    /// Chunks in order. The stream ends with an error if fewer bytes come than the range has.
    Stream(BoxStream<'static, Result<Bytes>>),
}

impl fmt::Debug for Body {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(region) => region.fmt(f),
            Self::Stream(_) => f.write_str("Stream"),
        }
    }
}

/// A region of an open local file.
#[derive(Debug, Clone)]
pub struct FileRegion {
    /// The file, opened for reading. Its position is shared and means nothing: use `pread` or `sendfile` with an offset.
    pub file: Arc<File>,
    /// Where the region begins, in bytes.
    pub offset: u64,
    /// How long it is, in bytes.
    pub len: u64,
}

/// What a store can do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Capabilities {
    /// The kind of store, by the name of glance_store's driver (`file`, `s3`, `swift`…).
    pub kind: &'static str,
    /// Whether ranges cost what they are long, not where they begin.
    pub random_access: bool,
    /// Whether blobs can be written and deleted. A read-only store refuses [`crate::Store::create`],
    /// [`crate::Store::prepare_delete`] and [`crate::Store::delete`] with `Unsupported` and has made no handle; its blobs
    /// are somebody else's, and stay where they are when no record names them any more.
    pub writable: bool,
}

/// Room in a store, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Capacity {
    /// All of it.
    pub total: u64,
    /// What this process can still use.
    pub free: u64,
}
