//! One attempt's file: the blocking side of a writer.

use std::{
    io,
    path::Path,
    sync::{
        Mutex,
        atomic::{AtomicBool, Ordering},
    },
};

use saccade_disk::{Disk, DiskFile};
use saccade_store_contract::{Error, ErrorKind, Location, Operation};

use crate::{
    errors::{failed, refused},
    layout::AttemptNames,
    locks::unpoisoned,
    store::Inner,
};

/// Written pages are handed to the disk in windows of this many bytes, so that the page cache keeps about two windows
/// of an upload and the final sync has as much left to do.
const WRITE_BEHIND: u64 = 8 << 20;

/// Finest hole that thin provisioning makes; glance_store's chunk.
const HOLE: usize = 64 << 10;

static ZEROES: [u8; 256 << 10] = [0; 256 << 10];

/// What an attempt has on the disk, and whether it may still have more.
#[derive(Debug)]
pub(crate) struct AttemptState {
    stage: Mutex<Stage>,
    /// Set before `stage` can be had: stops a call that takes long.
    given_up: AtomicBool,
}

#[derive(Debug)]
enum Stage {
    /// Nothing is on the disk.
    Created,
    Writing(Writing),
    /// Committed, failed or discarded: nothing more may be written.
    Ended,
}

#[derive(Debug)]
struct Writing {
    file: Box<dyn DiskFile>,
    /// How many bytes were asked for with `reserve`.
    reserved: u64,
    /// Up to where the pages were handed to the disk.
    behind: u64,
}

/// What to append.
#[derive(Debug)]
pub(crate) enum Piece<'a> {
    Bytes(&'a [u8]),
    Zeroes(u64),
}

impl AttemptState {
    pub(crate) fn new() -> Self {
        Self {
            stage: Mutex::new(Stage::Created),
            given_up: AtomicBool::new(false),
        }
    }

    /// Tells a running call to stop early. Does not block.
    pub(crate) fn give_up(&self) {
        self.given_up.store(true, Ordering::Relaxed);
    }

    /// Waits for a running call, and lets none follow. Blocks.
    pub(crate) fn end(&self) {
        self.give_up();
        *unpoisoned(&self.stage) = Stage::Ended;
    }

    /// Appends at `offset`, which is what was appended before. Blocks.
    pub(crate) fn append(
        &self,
        inner: &Inner,
        names: &AttemptNames,
        size_hint: Option<u64>,
        offset: u64,
        piece: &Piece<'_>,
    ) -> Result<(), Error> {
        let mut stage = unpoisoned(&self.stage);
        let done = match self.writing(&mut stage, inner, names, size_hint, Operation::Write) {
            Ok(writing) => self
                .append_to(writing, inner.thin_provisioning, offset, piece)
                .map_err(|source| failed(Operation::Write, names.blob.to_string(), source)),
            Err(error) => Err(error),
        };
        if done.is_err() {
            *stage = Stage::Ended;
        }
        done
    }

    fn append_to(
        &self,
        writing: &mut Writing,
        thin_provisioning: bool,
        offset: u64,
        piece: &Piece<'_>,
    ) -> io::Result<()> {
        let file = &*writing.file;
        let end = match piece {
            Piece::Bytes(bytes) if thin_provisioning => write_sparse(file, bytes, offset)?,
            Piece::Bytes(bytes) => {
                file.write_all_at(bytes, offset)?;
                advance(offset, bytes.len())?
            }
            Piece::Zeroes(len) => {
                let end = offset.checked_add(*len).ok_or(io::ErrorKind::FileTooLarge)?;
                if thin_provisioning {
                    file.set_len(end)?;
                } else {
                    self.write_zeroes(file, offset, end)?;
                }
                end
            }
        };
        if end.saturating_sub(writing.behind) >= WRITE_BEHIND {
            // From one window before: its pages have been written meanwhile and leave the cache now.
            let from = writing.behind.saturating_sub(WRITE_BEHIND);
            file.write_behind(from, end.saturating_sub(from));
            writing.behind = end;
        }
        Ok(())
    }

    fn write_zeroes(&self, file: &dyn DiskFile, from: u64, end: u64) -> io::Result<()> {
        let mut at = from;
        while at < end {
            if self.given_up.load(Ordering::Relaxed) {
                return Err(io::Error::other("the attempt was given up"));
            }
            let left = usize::try_from(end.saturating_sub(at)).unwrap_or(usize::MAX);
            let zeroes = ZEROES.get(..left).unwrap_or(&ZEROES);
            file.write_all_at(zeroes, at)?;
            at = advance(at, zeroes.len())?;
        }
        Ok(())
    }

    /// Publishes the file, which must be `written` bytes long. Blocks.
    pub(crate) fn commit(
        &self,
        inner: &Inner,
        names: &AttemptNames,
        written: u64,
    ) -> Result<Location, Error> {
        let mut stage = unpoisoned(&self.stage);
        let synced = self
            .writing(&mut stage, inner, names, None, Operation::Commit)
            .and_then(|writing| finish(writing, names, written));
        // Whatever follows, no byte does.
        *stage = Stage::Ended;
        synced?;
        inner
            .names
            .hold(&names.published, || {
                inner.same_directory()?;
                publish(&*inner.disk, names)
            })
            .and_then(|()| inner.disk.sync_dir(inner.layout.directory()))
            .map_err(|source| match source.kind() {
                io::ErrorKind::AlreadyExists => {
                    Error::new(ErrorKind::Exists, Operation::Commit, names.blob.to_string()).caused_by(source)
                }
                _ => failed(Operation::Commit, names.blob.to_string(), source),
            })?;
        Ok(inner.layout.location(names.blob))
    }

    /// The open file; made now, if this is the first byte.
    fn writing<'stage>(
        &self,
        stage: &'stage mut Stage,
        inner: &Inner,
        names: &AttemptNames,
        size_hint: Option<u64>,
        operation: Operation,
    ) -> Result<&'stage mut Writing, Error> {
        if self.given_up.load(Ordering::Relaxed) {
            *stage = Stage::Ended;
        }
        if matches!(stage, Stage::Created) {
            let writing = begin(inner, names, size_hint)
                .map_err(|source| failed(operation, names.blob.to_string(), source))?;
            *stage = Stage::Writing(writing);
        }
        match stage {
            Stage::Writing(writing) => Ok(writing),
            Stage::Created | Stage::Ended => Err(refused(
                ErrorKind::Unavailable,
                operation,
                names.blob.to_string(),
                "the attempt has failed or was given up",
            )),
        }
    }
}

fn begin(inner: &Inner, names: &AttemptNames, size_hint: Option<u64>) -> io::Result<Writing> {
    // It may have been unmounted since the attempt was created.
    inner.same_directory()?;
    let file = inner
        .disk
        .create_new(&names.temporary, inner.file_mode.unwrap_or(0o666))?;
    if let Some(mode) = inner.file_mode {
        file.set_mode(mode)?;
    }
    // This name is what `discard` finds a published file by. If it could be lost while the published name is kept, the
    // file would be nobody's; so it is durable before there is anything to publish.
    inner.disk.sync_dir(inner.layout.directory())?;
    // Room that is reserved would fill the holes.
    let reserved = size_hint.filter(|_| !inner.thin_provisioning).unwrap_or_default();
    if reserved > 0 {
        file.reserve(reserved)?;
    }
    Ok(Writing {
        file,
        reserved,
        behind: 0,
    })
}

/// Checks the length and makes the bytes durable. A failed sync is final: the system may have dropped the bytes, and a
/// second sync would succeed without them.
fn finish(writing: &Writing, names: &AttemptNames, written: u64) -> Result<(), Error> {
    let fail = |source| failed(Operation::Commit, names.blob.to_string(), source);
    if writing.file.size().map_err(fail)? != written {
        return Err(refused(
            ErrorKind::Corrupt,
            Operation::Commit,
            names.blob.to_string(),
            "the file is not as long as what was written to it",
        ));
    }
    if writing.reserved > written {
        // The room that was reserved for nothing.
        writing.file.set_len(written).map_err(fail)?;
    }
    writing.file.sync_data().map_err(fail)
}

/// Gives the file the blob's name.
fn publish(disk: &dyn Disk, names: &AttemptNames) -> io::Result<()> {
    match disk.link(&names.temporary, &names.published) {
        // A network file system may lose the reply and report the repetition as a failure.
        Err(_) if same_file(disk, &names.temporary, &names.published).unwrap_or(false) => Ok(()),
        done => done,
    }
}

/// Whether two names are one file; not if either is not there.
pub(crate) fn same_file(disk: &dyn Disk, one: &Path, other: &Path) -> io::Result<bool> {
    let identity = |path| match disk.stat(path) {
        Ok(stat) => Ok(Some(stat.identity)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    };
    Ok(match identity(one)? {
        Some(this) => identity(other)? == Some(this),
        None => false,
    })
}

/// Writes a chunk and leaves out what is zero in it; returns where it ends.
fn write_sparse(file: &dyn DiskFile, bytes: &[u8], offset: u64) -> io::Result<u64> {
    let end = advance(offset, bytes.len())?;
    let mut rest = bytes;
    let mut at = offset;
    let mut ends_in_hole = false;
    while !rest.is_empty() {
        // Runs of pieces of one kind are one write, or none.
        let zero = first_piece(rest).is_some_and(is_zero);
        let mut run = 0usize;
        for piece in rest.chunks(HOLE) {
            if is_zero(piece) != zero {
                break;
            }
            run = run.saturating_add(piece.len());
        }
        let (head, tail) = rest.split_at_checked(run).unwrap_or((rest, &[]));
        if !zero {
            file.write_all_at(head, at)?;
        }
        ends_in_hole = zero;
        at = advance(at, head.len())?;
        rest = tail;
    }
    if ends_in_hole {
        file.set_len(end)?;
    }
    Ok(end)
}

fn first_piece(bytes: &[u8]) -> Option<&[u8]> {
    bytes.chunks(HOLE).next()
}

fn is_zero(piece: &[u8]) -> bool {
    // Without an early exit inside a block, which lets the compiler use wide instructions.
    piece
        .chunks(4096)
        .all(|block| block.iter().fold(0, |seen, byte| seen | byte) == 0)
}

fn advance(offset: u64, len: usize) -> io::Result<u64> {
    u64::try_from(len)
        .ok()
        .and_then(|len| offset.checked_add(len))
        .ok_or_else(|| io::ErrorKind::FileTooLarge.into())
}
