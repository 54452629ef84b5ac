//! The ledger's file.
//!
//! ```text
//!  <dir>/ledger          the journal
//!  <dir>/ledger.new      its successor while it is written; renamed over it
//!  <dir>/ledger.damaged  a journal of which lines could not be read, kept for a person to look at
//! ```
//!
//! One line for each fact, `<crc32 of the rest, 8 hex digits> <json>\n`, either `{"v":1,"begin":…,"entry":…}` or
//! `{"v":1,"forget":…}`. Lines are appended; a line counts only when its sum is right, so that a torn tail, which was
//! never acknowledged, reads as nothing. After a failed write or sync the file is never written again: its successor
//! holds what is known to be in the ledger.

use std::{
    collections::BTreeMap,
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

use saccade_disk::{Disk, DiskFile};
use serde::{Deserialize, Serialize};

use super::{Entry, LedgerError, OperationId};

/// Permission bits of the file: it may hold credentials of old locations.
const MODE: u32 = 0o600;

/// A journal is rewritten once it is this long and mostly of the past, in bytes.
const REWRITE_ABOVE: u64 = 1 << 20;

/// A journal longer than this was not written by us, in bytes.
const LONGEST: u64 = 1 << 30;

const VERSION: u32 = 1;

/// The open journal.
#[derive(Debug)]
pub(super) struct Journal {
    disk: Arc<dyn Disk>,
    dir: PathBuf,
    file: Option<Box<dyn DiskFile>>,
    len: u64,
    /// What is in the ledger by the lines of this file, with each entry's own line.
    lines: BTreeMap<OperationId, String>,
}

/// What a journal held when it was opened.
#[derive(Debug, Default)]
pub(super) struct Found {
    pub(super) entries: BTreeMap<OperationId, Entry>,
    pub(super) unreadable_lines: usize,
}

#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum Line {
    Begin {
        v: u32,
        begin: OperationId,
        entry: Entry,
    },
    Forget {
        v: u32,
        forget: OperationId,
    },
}

/// One fact to be written.
#[derive(Debug)]
pub(super) enum Fact {
    Begin(OperationId, Entry),
    Forget(OperationId),
}

/// Whether facts must be on stable storage before anybody goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Durability {
    Synced,
    Written,
}

impl Journal {
    /// Reads the journal in `dir`, and begins a new one with what it holds.
    pub(super) fn open(dir: &Path, disk: Arc<dyn Disk>) -> Result<(Self, Found), LedgerError> {
        let path = dir.join("ledger");
        let text = match read(&*disk, &path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
            Err(error) => return Err(LedgerError::new("read", &path, error)),
        };
        let found = parse(&text);
        let lines = found
            .entries
            .iter()
            .map(|(id, entry)| (*id, begin_line(*id, entry.clone())))
            .collect();
        let mut journal = Self {
            disk,
            dir: dir.to_owned(),
            file: None,
            len: 0,
            lines,
        };
        if found.unreadable_lines > 0 {
            journal
                .keep_damaged()
                .map_err(|error| LedgerError::new("kept", &path, error))?;
        }
        journal
            .rewrite()
            .map_err(|error| LedgerError::new("written", &path, error))?;
        Ok((journal, found))
    }

    /// Appends facts, in order, all or, after an error, an unknown part of them.
    pub(super) fn append(&mut self, facts: &[Fact], durability: Durability) -> Result<(), LedgerError> {
        let result = self.append_lines(facts, durability);
        if result.is_err() {
            // Whatever the file holds now, the next line goes into its successor.
            self.file = None;
        }
        result.map_err(|error| LedgerError::new("written", &self.dir.join("ledger"), error))
    }

    fn append_lines(&mut self, facts: &[Fact], durability: Durability) -> io::Result<()> {
        if self.file.is_none() {
            self.rewrite()?;
        }
        let mut text = String::new();
        for fact in facts {
            text.push_str(&match fact {
                Fact::Begin(id, entry) => begin_line(*id, entry.clone()),
                Fact::Forget(id) => line(&Line::Forget {
                    v: VERSION,
                    forget: *id,
                }),
            });
        }
        let Some(file) = &self.file else {
            return Err(io::ErrorKind::Other.into());
        };
        file.write_all_at(text.as_bytes(), self.len)?;
        if durability == Durability::Synced {
            file.sync_data()?;
        }
        self.len += text.len() as u64;
        for fact in facts {
            match fact {
                Fact::Begin(id, entry) => {
                    self.lines.insert(*id, begin_line(*id, entry.clone()));
                }
                Fact::Forget(id) => {
                    self.lines.remove(id);
                }
            }
        }
        let live: usize = self.lines.values().map(String::len).sum();
        if self.len > REWRITE_ABOVE && (live as u64) < self.len / 2 {
            self.rewrite()?;
        }
        Ok(())
    }

    /// Writes the successor, durably, and puts it in the journal's place.
    fn rewrite(&mut self) -> io::Result<()> {
        let (new, path) = (self.dir.join("ledger.new"), self.dir.join("ledger"));
        match self.disk.unlink(&new) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let file = self.disk.create_new(&new, MODE)?;
        let text: String = self.lines.values().map(String::as_str).collect();
        file.write_all_at(text.as_bytes(), 0)?;
        file.sync_data()?;
        self.disk.rename(&new, &path)?;
        self.disk.sync_dir(&self.dir)?;
        self.file = Some(file);
        self.len = text.len() as u64;
        Ok(())
    }

    fn keep_damaged(&self) -> io::Result<()> {
        let (path, kept) = (self.dir.join("ledger"), self.dir.join("ledger.damaged"));
        match self.disk.link(&path, &kept) {
            // The first damage is the one to look at.
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
            _ => Ok(()),
        }
    }
}

pub(super) fn begin_line(id: OperationId, entry: Entry) -> String {
    line(&Line::Begin {
        v: VERSION,
        begin: id,
        entry,
    })
}

fn line(fact: &Line) -> String {
    // Maps with string keys and no floats: there is nothing that JSON could not hold.
    let json = serde_json::to_string(fact).unwrap_or_default();
    format!("{:08x} {json}\n", crc32fast::hash(json.as_bytes()))
}

fn read(disk: &dyn Disk, path: &Path) -> io::Result<Vec<u8>> {
    let file = disk.open(path)?;
    let size = file.size()?;
    if size > LONGEST {
        return Err(io::Error::new(
            io::ErrorKind::InvalidData,
            "the file is far too long for a ledger",
        ));
    }
    let mut text = Vec::new();
    let mut buffer = vec![0; 64 * 1024];
    loop {
        let read = file.read_at(&mut buffer, text.len() as u64)?;
        match buffer.get(..read) {
            Some([]) | None => return Ok(text),
            Some(bytes) => text.extend_from_slice(bytes),
        }
    }
}

/// What the lines say. Total: any bytes are a journal, if an unreadable one.
pub(super) fn parse(text: &[u8]) -> Found {
    let mut found = Found::default();
    let mut lines = text.split(|byte| *byte == b'\n').peekable();
    while let Some(line) = lines.next() {
        match parse_line(line) {
            Some(Line::Begin { begin, entry, .. }) => {
                found.entries.insert(begin, entry);
            }
            Some(Line::Forget { forget, .. }) => {
                found.entries.remove(&forget);
            }
            // What follows the last line end is empty, or a tail that was torn before it was acknowledged.
            None if lines.peek().is_none() => {}
            None => found.unreadable_lines += 1,
        }
    }
    found
}

fn parse_line(line: &[u8]) -> Option<Line> {
    let (sum, json) = line.split_at_checked(8)?;
    let json = json.strip_prefix(b" ")?;
    let sum = u32::from_str_radix(std::str::from_utf8(sum).ok()?, 16).ok()?;
    if sum != crc32fast::hash(json) {
        return None;
    }
    let line: Line = serde_json::from_slice(json).ok()?;
    let (Line::Begin { v, .. } | Line::Forget { v, .. }) = &line;
    (*v == VERSION).then_some(line)
}
