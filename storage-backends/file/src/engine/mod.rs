//! Who makes the system calls that write a blob's bytes and sync them. All other calls are made by the store itself.

use std::{fmt, io, sync::Arc};

use bytes::Bytes;
use saccade_disk::{DiskFile, WriteMode};

#[cfg(feature = "glommio")]
mod glommio;
mod pwrite;
#[cfg(any(feature = "glommio", feature = "tokio-uring"))]
mod remote;
#[cfg(test)]
#[allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]
mod tests;
#[cfg(feature = "tokio-uring")]
mod tokio_uring;

/// The ways to write files that there are; not all need be compiled in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum EngineKind {
    /// `pwritev` on the thread that has the bytes.
    #[default]
    Pwrite,
    /// io_uring by way of tokio-uring (feature `tokio-uring`).
    TokioUring,
    /// io_uring by way of glommio (feature `glommio`).
    Glommio,
}

impl EngineKind {
    /// As in the configuration.
    pub fn name(self) -> &'static str {
        match self {
            Self::Pwrite => "pwrite",
            Self::TokioUring => "tokio-uring",
            Self::Glommio => "glommio",
        }
    }
}

/// An engine that this program was built without.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("the file engine {name} is not compiled in: build with the cargo feature {name}", name = .0.name())]
pub struct NotCompiledIn(pub EngineKind);

/// A way to write files. One serves all stores of a process; clones are the same one.
#[derive(Debug, Clone)]
pub struct Engine(Arc<dyn FileEngine>);

impl Engine {
    /// `pwritev` on the thread that has the bytes.
    pub fn pwrite() -> Self {
        Self(Arc::new(pwrite::Pwrite))
    }

    /// Starts an engine. Where the system does not let it (io_uring is forbidden in many containers, and unknown to old
    /// kernels), that is logged, and it is [`Engine::pwrite`].
    ///
    /// # Errors
    /// [`NotCompiledIn`].
    pub fn start(kind: EngineKind) -> Result<Self, NotCompiledIn> {
        let started: io::Result<Self> = match kind {
            EngineKind::Pwrite => Ok(Self::pwrite()),
            #[cfg(feature = "tokio-uring")]
            EngineKind::TokioUring => tokio_uring::start().map(|engine| Self(Arc::new(engine))),
            #[cfg(feature = "glommio")]
            EngineKind::Glommio => glommio::start().map(|engine| Self(Arc::new(engine))),
            #[cfg(not(all(feature = "glommio", feature = "tokio-uring")))]
            other => return Err(NotCompiledIn(other)),
        };
        Ok(started.unwrap_or_else(|error| {
            tracing::warn!(
                engine = kind.name(),
                error = &error as &dyn std::error::Error,
                "the file engine cannot be used here; files are written with pwrite"
            );
            Self::pwrite()
        }))
    }

    pub(crate) fn attach(&self, file: &Arc<dyn DiskFile>) -> Box<dyn EngineFile> {
        self.0.attach(file)
    }
}

impl fmt::Display for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.name())
    }
}

impl Default for Engine {
    fn default() -> Self {
        Self::pwrite()
    }
}

/// A way to write files.
trait FileEngine: fmt::Debug + Send + Sync {
    /// As in the configuration.
    fn name(&self) -> &'static str;

    /// What writes to this file from now on.
    fn attach(&self, file: &Arc<dyn DiskFile>) -> Box<dyn EngineFile>;
}

/// A file that an engine writes to.
pub(crate) trait EngineFile: fmt::Debug + Send + Sync {
    /// Begins a write, whose bytes are kept until it has ended. Several may be under way, which must not overlap. May block.
    fn submit(&self, write: Write) -> Submitted;

    /// Makes what was written durable; every write must have ended. Blocks.
    ///
    /// # Errors
    /// As [`DiskFile::sync_data`]: final.
    fn sync_data(&self) -> io::Result<()>;
}

/// A write at one place.
#[derive(Debug, Clone)]
pub(crate) struct Write {
    /// One behind the other.
    pub(crate) pieces: Vec<Bytes>,
    pub(crate) offset: u64,
    pub(crate) mode: WriteMode,
}

/// A write that has begun. It goes on when this is dropped.
#[must_use = "whether it has succeeded is known when it has ended"]
#[derive(Debug)]
pub(crate) enum Submitted {
    Ended(io::Result<()>),
    /// On another thread.
    #[cfg(any(feature = "glommio", feature = "tokio-uring"))]
    UnderWay(remote::UnderWay),
}

impl Submitted {
    /// Waits for the end. Blocks.
    ///
    /// # Errors
    /// As [`DiskFile::write_pieces_at`].
    pub(crate) fn wait(self) -> io::Result<()> {
        match self {
            Self::Ended(result) => result,
            #[cfg(any(feature = "glommio", feature = "tokio-uring"))]
            Self::UnderWay(write) => write.wait(),
        }
    }
}
