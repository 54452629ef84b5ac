//! Which way bytes get to the disk.

use std::{io, path::Path};

use saccade_disk::{BLOCK, Disk, DiskFile, WriteMode};

/// What the operator wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum WriteChoice {
    /// What the file system does best: directly on a disk of this machine, elsewhere through the page cache.
    #[default]
    Auto,
    /// This way, or none.
    Always(WriteMode),
}

/// Where every byte is zero, and the first at a whole block.
#[repr(align(4096))]
struct Block([u8; BLOCK]);

static BLOCK_OF_ZEROES: Block = Block([0; BLOCK]);

/// Chooses by writing to an empty file in the directory.
///
/// # Errors
/// When the mode that is wanted is refused.
pub(crate) fn choose(
    disk: &dyn Disk,
    directory: &Path,
    file: &dyn DiskFile,
    wanted: WriteChoice,
) -> io::Result<WriteMode> {
    let is_taken = |mode| file.write_pieces_at(&[&BLOCK_OF_ZEROES.0], 0, mode);
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
