//! One attempt's file: the blocking side of a writer.

use std::{
    io,
    path::Path,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
};

use bytes::Bytes;
use saccade_disk::{Disk, DiskFile, WriteMode, refuses_mode};
use saccade_store_contract::{Error, ErrorKind, Location, Operation};

use crate::{
    engine::{EngineFile, Submitted},
    errors::{failed, refused},
    extent,
    layout::AttemptNames,
    locks::unpoisoned,
    mode::FallBack,
    store::Inner,
};

/// Written pages are handed to the disk in windows of this many bytes, so that the page cache keeps about two windows
/// of an upload and the final sync has as much left to do.
const WRITE_BEHIND: u64 = 8 << 20;

/// The permission to write a file that one has made (`S_IWUSR`).
const OWNER_WRITES: u32 = 0o200;

/// Where every byte is zero, and the first at a whole block.
#[repr(align(4096))]
struct Zeroes([u8; 256 << 10]);

static ZEROES: Zeroes = Zeroes([0; 256 << 10]);

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
    file: Arc<dyn DiskFile>,
    /// Writes to it.
    engine: Box<dyn EngineFile>,
    /// How, until the file refuses.
    mode: WriteMode,
    fell_back: Arc<FallBack>,
    /// How many bytes were asked for with `reserve`.
    reserved: u64,
    /// Up to where the pages were handed to the disk.
    behind: u64,
    /// How many bytes went into the page cache since then, which keeps them.
    cached: u64,
}

/// What to append.
#[derive(Debug)]
pub(crate) enum Piece {
    /// One behind the other.
    Bytes(Vec<Bytes>),
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
        piece: &Piece,
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
        piece: &Piece,
    ) -> io::Result<()> {
        let end = match piece {
            Piece::Bytes(pieces) if thin_provisioning => writing.write_sparse(pieces, offset)?,
            Piece::Bytes(pieces) => writing.write(pieces, offset)?,
            Piece::Zeroes(len) => {
                let end = offset.checked_add(*len).ok_or(io::ErrorKind::FileTooLarge)?;
                if thin_provisioning {
                    writing.file.set_len(end)?;
                } else {
                    self.write_zeroes(writing, offset, end)?;
                }
                end
            }
        };
        writing.hand_over(end);
        Ok(())
    }

    fn write_zeroes(&self, writing: &mut Writing, from: u64, end: u64) -> io::Result<()> {
        let mut at = from;
        while at < end {
            if self.given_up.load(Ordering::Relaxed) {
                return Err(io::Error::other("the attempt was given up"));
            }
            let left = usize::try_from(end.saturating_sub(at)).unwrap_or(usize::MAX);
            let zeroes = ZEROES.0.get(..left).unwrap_or(&ZEROES.0);
            at = writing.write(&[Bytes::from_static(zeroes)], at)?;
            writing.hand_over(at);
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

impl Writing {
    /// Writes pieces one behind the other; returns where they end.
    fn write(&mut self, pieces: &[Bytes], offset: u64) -> io::Result<u64> {
        let end = advance(offset, pieces)?;
        match self.write_in(self.mode, pieces, offset) {
            // Not every refusal shows when a store is opened: other options of a mount, a larger block.
            Err(error) if self.mode != WriteMode::Buffered && refuses_mode(&error) => {
                self.fell_back.note(self.mode, &error);
                self.mode = WriteMode::Buffered;
                self.write_in(self.mode, pieces, offset)?;
            }
            done => done?,
        }
        Ok(end)
    }

    fn write_in(&mut self, mode: WriteMode, pieces: &[Bytes], offset: u64) -> io::Result<()> {
        let mut under_way = Vec::new();
        for write in extent::writes(pieces, offset, mode) {
            if write.mode == WriteMode::Buffered {
                self.cached = advance(self.cached, &write.pieces)?;
            }
            under_way.push(self.engine.submit(write));
        }
        // All have ended before anything is said, so that none is under way when the file is removed or published.
        let ended: Vec<io::Result<()>> = under_way.into_iter().map(Submitted::wait).collect();
        ended.into_iter().collect()
    }

    /// Writes pieces and leaves out what is zero in them; returns where they end.
    fn write_sparse(&mut self, pieces: &[Bytes], offset: u64) -> io::Result<u64> {
        let end = advance(offset, pieces)?;
        let mut ends_in_hole = false;
        for run in extent::runs(pieces, offset) {
            ends_in_hole = run.pieces.is_none();
            if let Some(pieces) = run.pieces {
                self.write(&pieces, run.offset)?;
            }
        }
        if ends_in_hole {
            self.file.set_len(end)?;
        }
        Ok(end)
    }

    /// Hands what is in the page cache to the disk, when it has become much.
    fn hand_over(&mut self, end: u64) {
        if end.saturating_sub(self.behind) < WRITE_BEHIND {
            return;
        }
        if self.cached > 0 {
            // From one window before: its pages have been written meanwhile and leave the cache now.
            let from = self.behind.saturating_sub(WRITE_BEHIND);
            self.file.write_behind(from, end.saturating_sub(from));
            self.cached = 0;
        }
        self.behind = end;
    }
}

fn begin(inner: &Inner, names: &AttemptNames, size_hint: Option<u64>) -> io::Result<Writing> {
    // It may have been unmounted since the attempt was created.
    inner.same_directory()?;
    let file: Arc<dyn DiskFile> = inner
        .disk
        .create_new(
            &names.temporary,
            inner.file_mode.map_or(0o666, |mode| mode | OWNER_WRITES),
        )?
        .into();
    if let Some(mode) = inner.file_mode {
        if inner.write_mode == WriteMode::Direct {
            // It has a descriptor of its own, which is opened while the permissions let us. A refusal shows at the first write.
            drop(file.writable(WriteMode::Direct));
        }
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
        engine: inner.engine.attach(&file),
        file,
        mode: inner.write_mode,
        fell_back: Arc::clone(&inner.fell_back),
        reserved,
        behind: 0,
        cached: 0,
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
    writing.engine.sync_data().map_err(fail)
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

/// Where pieces end that begin at `offset`.
fn advance(offset: u64, pieces: &[Bytes]) -> io::Result<u64> {
    let mut end = offset;
    for piece in pieces {
        let len = u64::try_from(piece.len()).ok();
        end = len
            .and_then(|len| end.checked_add(len))
            .ok_or(io::ErrorKind::FileTooLarge)?;
    }
    Ok(end)
}
