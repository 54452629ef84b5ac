//! What is done to the data of an import on its way to the stores.

use std::{error::Error, fmt, sync::Arc};

use async_trait::async_trait;
use futures_util::StreamExt;
use saccade_store_contract::FileRegion;

use super::{Limits, UploadError, UploadErrorKind, adopt::region_chunks, import::Incoming, room::Room};
use crate::{image::Amendments, inspect::Rules};

/// Something that is done to the data of an import before the stores get it.
#[async_trait]
pub trait Plugin: fmt::Debug + Send + Sync {
    /// Takes the data as it comes, and says what goes on. It may take the data whole, and it may leave that to whoever reads
    /// what it returns: an error in that stream which is a [`PluginError`] is told as such.
    ///
    /// Dropping the future, or what it returned, stops it, and leaves nothing behind.
    ///
    /// # Errors
    /// The import fails.
    async fn apply(&self, passing: Passing, bounds: &Bounds<'_>) -> Result<Passing, UploadErrorKind>;
}

/// What an import does beside bringing data to stores.
#[derive(Debug, Clone, Default)]
pub struct Treatment {
    /// What is done to the data, in this order.
    pub plugins: Vec<Arc<dyn Plugin>>,
    /// What the image gets with its data; the formats that plugins change come to it.
    pub amendments: Amendments,
}

/// Data between two plugins.
pub struct Passing {
    /// The bytes.
    pub data: Data,
    /// What they are by now, by Glance's names.
    pub disk_format: String,
    /// What is around them.
    pub container_format: String,
}

/// Bytes of an import.
pub enum Data {
    /// As they come.
    Stream(Incoming),
    /// All of them, in a file.
    File(FileRegion),
}

impl Data {
    /// How many there are, if that is known.
    pub fn size(&self) -> Option<u64> {
        match self {
            Self::Stream(incoming) => incoming.size,
            Self::File(region) => Some(region.len),
        }
    }

    /// As they come.
    pub fn into_incoming(self) -> Incoming {
        match self {
            Self::Stream(incoming) => incoming,
            Self::File(region) => Incoming {
                size: Some(region.len),
                chunks: region_chunks(region).boxed(),
            },
        }
    }
}

/// How much data there may be.
pub struct Bounds<'a> {
    pub(super) limits: &'a Limits,
    pub(super) room: &'a Room,
}

impl Bounds<'_> {
    /// Whether an image may have so many bytes (`image_size_cap`, the owner's limits), and the node has room.
    ///
    /// # Errors
    /// `TooLarge`, `OverLimit`, `StoreFull`.
    pub fn check(&self, bytes: u64) -> Result<(), UploadErrorKind> {
        if bytes > self.limits.size_cap {
            return Err(UploadErrorKind::TooLarge {
                limit: self.limits.size_cap,
            });
        }
        self.room.check(bytes)
    }

    /// The bytes that may still be written to the node's disk, for whoever asks often and from another thread; `None` where
    /// the file system does not say how full it is.
    pub fn spare(&self) -> impl Fn() -> Option<u64> + Send + use<> {
        let reserve = self.limits.reserve.clone();
        move || reserve.spare()
    }

    /// The most bytes that any image may have.
    pub fn size_cap(&self) -> u64 {
        self.limits.size_cap
    }

    /// What is checked of image formats.
    pub fn rules(&self) -> &Rules {
        &self.limits.rules
    }
}

/// A plugin has failed, with the data on its way.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{plugin}: {explanation}")]
pub struct PluginError {
    /// Its name in the configuration.
    pub plugin: &'static str,
    /// Why, for the person who asked.
    pub explanation: String,
}

impl From<PluginError> for UploadErrorKind {
    fn from(error: PluginError) -> Self {
        Self::Plugin {
            plugin: error.plugin,
            explanation: error.explanation,
        }
    }
}

/// What a stream has broken off for: a plugin, or where its bytes come from.
pub fn broken_off(error: &(dyn Error + 'static)) -> UploadErrorKind {
    let mut causes = std::iter::successors(Some(error), |&error| error.source());
    if let Some(failed) = causes.find_map(|cause| cause.downcast_ref::<PluginError>()) {
        return failed.clone().into();
    }
    let causes = std::iter::successors(Some(error), |&error| error.source());
    let causes = causes.map(ToString::to_string).collect::<Vec<_>>().join(": ");
    UploadErrorKind::Origin {
        explanation: format!("the data broke off: {causes}"),
    }
}

/// It was not a client that went away.
pub(super) fn not_the_client(error: UploadError) -> UploadError {
    match (error.kind(), error.source()) {
        (UploadErrorKind::Interrupted | UploadErrorKind::Stalled, Some(source)) => {
            UploadError::because(broken_off(source), error)
        }
        _ => error,
    }
}
