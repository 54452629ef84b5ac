//! Disk images in an OVA: a tar archive of a description (OVF) and of the disks it names.
//!
//! Each member is inspected as it passes by, as if it had been uploaded by itself, and its hazards are the archive's.
//! Whoever unpacks the archive writes files by the names in it, and opens what the description names: neither may
//! lead out of it. What tar programs read in different ways is refused, since it could hide a member.
//!
//! Memory: one member's inspector, and of a description or an archive's own records at most 1 MiB, at a time.

mod tar;

use self::tar::{Attributes, BLOCK, Kind, Member, is_end, text};
use super::{
    Hazard, HazardKind, Inspector,
    hazard::{FINDINGS_MAX, quoted},
};

/// Longest description, and longest record of the archive's own, that is read.
const TEXT_MAX: u64 = 1 << 20;

/// What passes by at the moment.
#[derive(Debug)]
enum State {
    /// A header, or the zeros that end the archive.
    Header(Vec<u8>),
    /// A member's data.
    Data(Box<Data>),
    /// Nothing but zeros may follow.
    End,
    /// What follows cannot be told apart any more.
    Lost,
}

#[derive(Debug)]
struct Data {
    member: Member,
    start: u64,
    /// Bytes of data to come, and bytes of padding behind them.
    left: u64,
    padding: u64,
    inspector: Inspector,
    /// The data itself, where it is to be read as text.
    text: Option<Vec<u8>>,
}

/// Looks at an archive's bytes as they pass by.
#[derive(Debug)]
pub(super) struct ArchiveInspector {
    state: State,
    received: u64,
    members: u64,
    /// What the archive's own records say of the next member.
    next: Attributes,
    hazards: Vec<Hazard>,
}

impl ArchiveInspector {
    pub(super) fn new() -> Self {
        Self {
            state: State::Header(Vec::new()),
            received: 0,
            members: 0,
            next: Attributes::default(),
            hazards: Vec::new(),
        }
    }

    pub(super) fn push(&mut self, chunk: &[u8]) {
        let mut rest = chunk;
        while !rest.is_empty() {
            let before = rest.len();
            rest = match &mut self.state {
                State::Header(block) => {
                    let (taken, after) = rest.split_at((BLOCK - block.len()).min(rest.len()));
                    block.extend_from_slice(taken);
                    self.received += taken.len() as u64;
                    if block.len() == BLOCK {
                        let block = std::mem::take(block);
                        self.header(&block);
                    }
                    after
                }
                State::Data(data) => {
                    let after = data.push(rest);
                    self.received += (before - after.len()) as u64;
                    if data.left == 0 && data.padding == 0 {
                        self.member_ends();
                    }
                    after
                }
                State::End => {
                    let zeros = rest.iter().position(|&byte| byte != 0);
                    self.received += zeros.unwrap_or(before) as u64;
                    if zeros.is_some() {
                        self.lost("data follows where the archive ends");
                    }
                    &[]
                }
                State::Lost => &[],
            };
        }
    }

    /// The hazards found so far: none of them is taken back.
    pub(super) fn hazards(&self) -> Vec<Hazard> {
        let mut hazards = self.hazards.clone();
        if let State::Data(data) = &self.state {
            hazards.extend(
                data.inspector
                    .hazards_so_far()
                    .iter()
                    .filter_map(|hazard| data.adopt(hazard)),
            );
        }
        hazards
    }

    /// The archive is complete: what is wrong with it.
    pub(super) fn finish(mut self) -> Vec<Hazard> {
        match &self.state {
            State::Header(block) if self.members > 0 && block.is_empty() => {}
            State::End | State::Lost => {}
            State::Header(_) => self.lost("the data is not a whole tar archive, which an OVA is"),
            State::Data(_) => {
                self.member_ends();
                self.lost("the archive ends inside a member");
            }
        }
        self.hazards
    }

    fn header(&mut self, block: &[u8]) {
        if is_end(block) {
            if self.members == 0 {
                return self.lost("the archive is empty");
            }
            self.state = State::End;
            return;
        }
        let Some(mut member) = Member::read(block) else {
            return self.lost("the data is not a tar archive, which an OVA is, or a header in it is damaged");
        };
        if matches!(member.kind, Kind::Other(_)) {
            return self.lost("a member is of a kind that programs read in different ways");
        }
        let own = matches!(member.kind, Kind::LongName | Kind::Attributes | Kind::Defaults);
        if !own {
            let Attributes { name, size } = std::mem::take(&mut self.next);
            member.name = name.unwrap_or(member.name);
            if size.is_some_and(|size| size != member.size) {
                return self.lost("a member has two sizes: programs differ on where the next one begins");
            }
            self.judge(&member);
        }
        // A link has a size in some archives, and data in none.
        if matches!(member.kind, Kind::Special | Kind::Directory) && member.size > 0 {
            return self.lost("a member without data has a size");
        }
        self.members += 1;
        let read = match member.kind {
            _ if own => true,
            Kind::File => member.name.to_ascii_lowercase().ends_with(".ovf"),
            _ => false,
        };
        if read && member.size > TEXT_MAX {
            return self.lost("a description or record is longer than 1 MiB, and is not read");
        }
        let Some(padded) = member.size.checked_next_multiple_of(BLOCK as u64) else {
            return self.lost("a member is longer than any file");
        };
        let padding = padded.saturating_sub(member.size);
        self.state = State::Data(Box::new(Data {
            start: self.received,
            left: member.size,
            padding,
            inspector: Inspector::new(),
            text: read.then(Vec::new),
            member,
        }));
        if matches!(&self.state, State::Data(data) if data.left == 0) {
            self.member_ends();
        }
    }

    /// Judge what a header says.
    fn judge(&mut self, member: &Member) {
        let offset = self.received.saturating_sub(BLOCK as u64);
        if leads_out(&member.name) {
            self.hazard(Hazard {
                kind: HazardKind::ArchivePath,
                offset,
                field: "name",
                value: quoted(member.name.as_bytes()),
                why: "unpacked, the member would be written outside of its directory",
            });
        }
        if member.kind == Kind::Special {
            self.hazard(Hazard {
                kind: HazardKind::ArchiveLink,
                offset,
                field: "typeflag",
                value: quoted(member.name.as_bytes()),
                why: "the member is a link or a device: unpacked, it stands for something outside of the archive",
            });
        }
    }

    fn member_ends(&mut self) {
        let state = std::mem::replace(&mut self.state, State::Header(Vec::new()));
        let State::Data(data) = state else { return };
        match data.member.kind {
            Kind::File => {
                if let Some(text) = &data.text {
                    self.description(&data, text);
                }
                let Data {
                    inspector,
                    member,
                    start,
                    ..
                } = *data;
                for hazard in inspector.finish().hazards {
                    self.hazards_of(&member.name, start, &hazard);
                }
            }
            Kind::LongName => self.next.name = data.text.as_deref().map(text),
            Kind::Attributes => match data.text.as_deref().and_then(Attributes::read) {
                Some(read) => {
                    let Attributes { name, size } = std::mem::take(&mut self.next);
                    self.next = Attributes {
                        name: read.name.or(name),
                        size: read.size.or(size),
                    };
                }
                None => self.lost("a record of the archive's own is damaged, or describes a sparse file"),
            },
            Kind::Defaults => {
                if data.text.as_deref().and_then(Attributes::read) != Some(Attributes::default()) {
                    self.lost("one record gives names or sizes to all members, which programs read in different ways");
                }
            }
            Kind::Directory | Kind::Special | Kind::Other(_) => {}
        }
    }

    fn hazards_of(&mut self, name: &str, start: u64, hazard: &Hazard) {
        if let Some(hazard) = adopted(name, start, hazard) {
            self.hazard(hazard);
        }
    }

    /// Judge the OVF: every file it refers to must be a member.
    fn description(&mut self, data: &Data, text: &[u8]) {
        let mut hazard = |at: usize, kind, field, value: &[u8], why| {
            // Not even made where there are enough: a description may have a hundred thousand of them.
            if self.hazards.len() >= FINDINGS_MAX {
                return;
            }
            self.hazard(Hazard {
                kind,
                offset: data.start + at as u64,
                field,
                value: format!("{}: {}", quoted(data.member.name.as_bytes()), quoted(value)),
                why,
            });
        };
        if text.contains(&0) {
            let why = "the description is not UTF-8 text, and is not read";
            hazard(0, HazardKind::BadArchive, "ovf", b"", why);
        }
        let lower = text.to_ascii_lowercase();
        for mark in [&b"<!doctype"[..], b"<!entity"] {
            if let Some(at) = lower.windows(mark.len()).position(|window| window == mark) {
                let why = "the description declares entities, which may stand for other files";
                hazard(at, HazardKind::BadArchive, "ovf", mark, why);
            }
        }
        for (at, _) in lower
            .windows(4)
            .enumerate()
            .filter(|(_, window)| *window == b"href")
        {
            let value = text.get(at + 4..).and_then(assigned).unwrap_or_default();
            if leads_out(&String::from_utf8_lossy(value))
                || value.contains(&b':')
                || value.starts_with(b"&")
                || refers_to_characters(value)
            {
                let why = "the description refers to a file outside of the archive";
                hazard(at, HazardKind::ArchivePath, "href", value, why);
            }
        }
    }

    fn lost(&mut self, why: &'static str) {
        self.hazard(Hazard {
            kind: HazardKind::BadArchive,
            offset: self.received,
            field: "archive",
            value: String::new(),
            why,
        });
        self.state = State::Lost;
    }

    fn hazard(&mut self, hazard: Hazard) {
        if self.hazards.len() < FINDINGS_MAX {
            self.hazards.push(hazard);
        }
    }
}

/// Whether there are references in the text that may stand for any character, such as `&#46;`: only those do not that
/// every XML document has.
fn refers_to_characters(value: &[u8]) -> bool {
    const HARMLESS: [&[u8]; 5] = [b"amp;", b"lt;", b"gt;", b"quot;", b"apos;"];
    let mut parts = value.split(|byte| *byte == b'&');
    parts.next();
    parts.any(|rest| !HARMLESS.iter().any(|name| rest.starts_with(name)))
}

impl Data {
    /// Takes what belongs to the member, and answers with the rest.
    fn push<'a>(&mut self, chunk: &'a [u8]) -> &'a [u8] {
        let (data, rest) = split(chunk, self.left);
        self.left -= data.len() as u64;
        if self.member.kind == Kind::File {
            self.inspector.push(data);
        }
        if let Some(text) = &mut self.text {
            text.extend_from_slice(data);
        }
        let (padding, rest) = if self.left == 0 {
            split(rest, self.padding)
        } else {
            (&[][..], rest)
        };
        self.padding -= padding.len() as u64;
        rest
    }

    fn adopt(&self, hazard: &Hazard) -> Option<Hazard> {
        adopted(&self.member.name, self.start, hazard)
    }
}

fn split(chunk: &[u8], at: u64) -> (&[u8], &[u8]) {
    chunk.split_at(usize::try_from(at).unwrap_or(usize::MAX).min(chunk.len()))
}

/// A member's hazard as the archive's. A boot record says nothing of members that are no disks, and a disk in an
/// archive is never opened as a partitioned one.
fn adopted(name: &str, start: u64, hazard: &Hazard) -> Option<Hazard> {
    (hazard.kind != HazardKind::Mbr).then(|| Hazard {
        offset: start.saturating_add(hazard.offset),
        value: format!("{}: {}", quoted(name.as_bytes()), hazard.value),
        ..hazard.clone()
    })
}

/// Whether a name could lead out of the directory that the archive is unpacked into.
fn leads_out(name: &str) -> bool {
    name.starts_with('/') || name.contains('\\') || name.split('/').any(|part| part == "..")
}

/// The value in quotes that is assigned at the start of `text`.
fn assigned(text: &[u8]) -> Option<&[u8]> {
    let text = text.trim_ascii_start().strip_prefix(b"=")?.trim_ascii_start();
    let (quote, text) = text
        .split_first()
        .filter(|(quote, _)| matches!(quote, b'"' | b'\''))?;
    text.split(|byte| byte == quote).next()
}

#[cfg(test)]
mod tests;
