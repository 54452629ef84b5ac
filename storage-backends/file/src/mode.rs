//! Which way bytes get to the disk.

use std::{
    io,
    path::Path,
    sync::atomic::{AtomicBool, Ordering},
};

use saccade_disk::{BLOCK, Disk, DiskFile, WriteMode, refuses_mode};

/// What the operator wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum WriteChoice {
    /// What the file system does best: directly on a disk of this machine, elsewhere through the page cache.
    #[default]
    Auto,
    /// This way, or none.
    Always(WriteMode),
}

/// Whether a store's files were found to refuse how they should be written, which its log says once.
#[derive(Debug)]
pub(crate) struct FallBack {
    store: String,
    is_noted: AtomicBool,
}

impl FallBack {
    pub(crate) fn new(store: impl Into<String>) -> Self {
        Self {
            store: store.into(),
            is_noted: AtomicBool::new(false),
        }
    }

    /// A file has refused this mode, and is written through the page cache.
    pub(crate) fn note(&self, mode: WriteMode, error: &io::Error) {
        if !self.is_noted.swap(true, Ordering::Relaxed) {
            tracing::warn!(
                store = self.store,
                mode = %mode,
                error = error as &dyn std::error::Error,
                "a file does not take writes of the store's mode: it is written through the page cache, and so are others \
                 that do not; this is said once"
            );
        }
    }

    /// Whether there was one.
    #[cfg(test)]
    pub(crate) fn is_noted(&self) -> bool {
        self.is_noted.load(Ordering::Relaxed)
    }
}

/// Where every byte is zero, and the first at a whole block.
#[repr(align(4096))]
struct Block([u8; BLOCK]);

static BLOCK_OF_ZEROES: Block = Block([0; BLOCK]);

/// Chooses by writing to an empty file in the directory. An error that says nothing of the mode (the file system is full, or out
/// of reach for a moment) decides nothing: it is logged, and the mode is as if it had been taken.
///
/// # Errors
/// When the mode that is wanted is refused.
pub(crate) fn choose(
    disk: &dyn Disk,
    directory: &Path,
    file: &dyn DiskFile,
    wanted: WriteChoice,
) -> io::Result<WriteMode> {
    let is_taken = |mode| match file.write_pieces_at(&[&BLOCK_OF_ZEROES.0], 0, mode) {
        Err(error) if !refuses_mode(&error) => {
            tracing::warn!(
                directory = %directory.display(),
                mode = %mode,
                error = &error as &dyn std::error::Error,
                "the file store's way of writing could not be tried; it is used untried"
            );
            Ok(())
        }
        tried => tried,
    };
    match wanted {
        WriteChoice::Always(WriteMode::Buffered) => Ok(WriteMode::Buffered),
        WriteChoice::Always(mode) => is_taken(mode).map(|()| mode),
        WriteChoice::Auto => {
            let modes = [WriteMode::Direct, WriteMode::DontCache];
            let may_be =
                |mode: &WriteMode| *mode != WriteMode::Direct || disk.favours_direct_writes(directory);
            let mut taken = modes.into_iter().filter(may_be);
            Ok(taken
                .find(|mode| is_taken(*mode).is_ok())
                .unwrap_or(WriteMode::Buffered))
        }
    }
}

#[cfg(test)]
#[allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]
mod tests;
