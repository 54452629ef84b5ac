//! Virtual PC disks (Microsoft *Virtual Hard Disk Image Format Specification*, 2006).
//!
//! A dynamic or differencing disk begins with a copy of its footer. A fixed one is plain data with a footer behind
//! it, seen by nobody who does not look for it: it counts only where the image is declared `vhd`.

use std::ops::Range;

use super::{
    Format, HazardKind, Reference,
    hazard::Findings,
    probe::Probe,
    reader::{Reader, Short},
    window::{Evidence, Part, Recognition},
};

/// The format.
pub(super) struct Vhd;

const COOKIE: &[u8] = b"conectix";
const FOOTER: usize = 512;
/// Old versions of Virtual PC cut the footer's last byte, which is zero.
const SHORT_FOOTER: usize = 511;
/// The header of a dynamic or differencing disk.
const HEADER: usize = 1024;
const HEADER_COOKIE: &[u8] = b"cxsparse";
const SECTOR: u64 = 512;

const FIXED: u32 = 2;
const DYNAMIC: u32 = 3;
const DIFFERENCING: u32 = 4;

/// The creators whose disks QEMU measures by their size; all others by their geometry.
const MEASURED_BY_SIZE: [&[u8]; 6] = [b"win ", b"qem2", b"d2v ", b"tap\0", b"CTXS", b"wa\0\0"];
/// The largest geometry there is, with which every reader takes the size: 65535 cylinders, 16 heads, 255 sectors.
const GEOMETRY_MAX: u64 = 65_535 * 16 * 255;

impl Probe for Vhd {
    fn format(&self) -> Format {
        Format::Vhd
    }

    fn recognise(&self, evidence: &Evidence) -> Recognition {
        evidence.magic(0, COOKIE)
    }

    fn wants(&self, evidence: &Evidence) -> Option<Range<u64>> {
        if !evidence.head().starts_with(COOKIE) {
            return None;
        }
        let footer = Footer::read(evidence.bytes(0, FOOTER)).ok()?;
        let end = footer.data_offset.checked_add(HEADER as u64)?;
        (evidence.part(footer.data_offset, HEADER) == Part::Pending).then_some(footer.data_offset..end)
    }

    fn examine(&self, evidence: &Evidence, findings: &mut Findings) {
        let footer = match evidence.part(0, FOOTER) {
            Part::Whole(bytes) => Footer::read(bytes),
            Part::Pending => return,
            Part::Lost => Err(Short),
        };
        let Ok(footer) = footer else {
            return findings.truncated(evidence.received());
        };
        footer.describe(findings);
        let header = match evidence.part(footer.data_offset, HEADER) {
            Part::Whole(bytes) => Header::read(bytes).ok(),
            Part::Pending | Part::Lost => None,
        };
        let named = header.as_ref().and_then(|header| header.parent.as_deref());
        match (footer.kind, named) {
            (DIFFERENCING, _) => {
                let at = footer.data_offset.saturating_add(64);
                let reference = named.map_or_else(
                    || Reference::unnamed(60),
                    |name| Reference::named(name.as_bytes(), at),
                );
                findings.parent(60, "diskType", reference);
            }
            (_, Some(name)) => findings.warn(format!(
                "the header names a parent, \"{}\", which the disk's type says it does not have",
                name.escape_debug()
            )),
            (DYNAMIC, None) if header.is_none() && evidence.has_ended() => {
                findings.warn("there is no header where the footer says: QEMU will not open the image");
            }
            _ => {}
        }
        if let Some((offset, last)) = trailing(evidence) {
            compare(&footer, &last, offset, findings);
        } else if evidence.has_ended() {
            findings.warn("there is no footer at the end: the upload may be incomplete");
        }
    }
}

/// A footer, or its copy in front.
#[derive(Debug)]
struct Footer {
    data_offset: u64,
    creator: [u8; 4],
    /// In bytes. Its original size stands beside it, and is out of date once the disk was resized.
    size: u64,
    /// In sectors, by the geometry.
    geometry: u64,
    kind: u32,
    sound: bool,
}

impl Footer {
    fn read(bytes: &[u8]) -> Result<Self, Short> {
        let mut reader = Reader::at(bytes, 16);
        let data_offset = reader.be_u64()?;
        reader.skip(4)?;
        let creator = reader.take(4)?.try_into().map_err(|_| Short)?;
        reader.skip(16)?;
        let size = reader.be_u64()?;
        let cylinders = u64::from(reader.be_u16()?);
        let geometry = cylinders * u64::from(reader.u8()?) * u64::from(reader.u8()?);
        let kind = reader.be_u32()?;
        let checksum = reader.be_u32()?;
        let sum: u32 = bytes.iter().map(|&byte| u32::from(byte)).sum();
        let own: u32 = checksum.to_be_bytes().map(u32::from).iter().sum();
        Ok(Self {
            data_offset,
            creator,
            size,
            geometry,
            kind,
            sound: bytes.starts_with(COOKIE) && !(sum - own) == checksum,
        })
    }

    fn describe(&self, findings: &mut Findings) {
        findings.size(Some(self.size));
        findings.subformat = Some(match self.kind {
            FIXED => "fixed".to_owned(),
            DYNAMIC => "dynamic".to_owned(),
            DIFFERENCING => "differencing".to_owned(),
            other => format!("type {other}"),
        });
        if !matches!(self.kind, DYNAMIC | DIFFERENCING) {
            findings.warn(format!(
                "the disk is of type {}, and yet has a footer in front",
                self.kind
            ));
        }
        findings.detail(
            "creator",
            String::from_utf8_lossy(&self.creator).trim_end_matches([' ', '\0']),
        );
        if !self.sound {
            findings.warn("the footer's checksum is wrong");
        }
        let by_geometry = self.geometry * SECTOR;
        if !MEASURED_BY_SIZE.contains(&self.creator.as_slice())
            && self.geometry != GEOMETRY_MAX
            && by_geometry != self.size
        {
            findings.warn(format!(
                "QEMU takes the size from the geometry, for this creator: {by_geometry} bytes"
            ));
        }
    }
}

/// The part of a dynamic disk's header that matters here.
struct Header {
    parent: Option<String>,
}

impl Header {
    fn read(bytes: &[u8]) -> Result<Self, Short> {
        let mut reader = Reader::new(bytes);
        if reader.take(HEADER_COOKIE.len())? != HEADER_COOKIE {
            return Err(Short);
        }
        let mut reader = Reader::at(bytes, 64);
        let name = utf_16(reader.take(512)?, u16::from_be_bytes);
        let locators = reader.take(8 * 24)?;
        let located = locators
            .chunks(24)
            .any(|locator| locator.iter().take(4).any(|&byte| byte != 0));
        let parent = if name.is_empty() && located {
            Some("(a locator)".to_owned())
        } else {
            Some(name).filter(|name| !name.is_empty())
        };
        Ok(Self { parent })
    }
}

/// UTF-16 text up to its first NUL.
pub(super) fn utf_16(bytes: &[u8], unit: fn([u8; 2]) -> u16) -> String {
    let units = bytes.chunks_exact(2).filter_map(|pair| pair.try_into().ok());
    let units = units.map(unit).take_while(|&unit| unit != 0);
    char::decode_utf16(units)
        .map(|char| char.unwrap_or(char::REPLACEMENT_CHARACTER))
        .collect()
}

/// The footer in the stream's last sector, and where it begins.
fn trailing(evidence: &Evidence) -> Option<(u64, Footer)> {
    let tail = evidence.tail()?;
    [FOOTER, SHORT_FOOTER].into_iter().find_map(|length| {
        let bytes = tail.get(tail.len().checked_sub(length)?..)?;
        let footer = Footer::read(bytes).ok().filter(|_| bytes.starts_with(COOKIE))?;
        Some((evidence.received() - length as u64, footer))
    })
}

/// Hold the footer at the end, which some readers take, against its copy in front, which others take.
fn compare(front: &Footer, last: &Footer, offset: u64, findings: &mut Findings) {
    let fields = [
        ("diskType", 60, u64::from(front.kind), u64::from(last.kind)),
        ("currentSize", 48, front.size, last.size),
        ("dataOffset", 16, front.data_offset, last.data_offset),
    ];
    if let Some((field, at, ours, theirs)) = fields.into_iter().find(|(.., a, b)| a != b) {
        findings.hazard(
            HazardKind::CopiesDiffer,
            offset + at,
            field,
            format_args!("{theirs}, but {ours} in front"),
            "the footer and its copy in front contradict each other",
        );
    }
}

/// Whether data that looks like `format` may be the contents of a fixed disk: what a guest has written, not an
/// image within an image.
pub(super) fn may_be_fixed(format: Format) -> bool {
    matches!(format, Format::Raw | Format::Gpt)
}

/// Note the footer of a fixed disk, if a sound one ends the stream.
pub(super) fn fixed(evidence: &Evidence, findings: &mut Findings) {
    let Some((offset, footer)) = trailing(evidence) else {
        return;
    };
    if footer.kind == FIXED && footer.sound && (1..=offset).contains(&footer.size) {
        findings.fixed_vhd = Some(footer.size);
    } else {
        findings.warn(
            "the data ends in the footer of a VHD that is not a sound, fixed disk: it does not count as one",
        );
    }
}

#[cfg(test)]
pub(super) mod tests;
