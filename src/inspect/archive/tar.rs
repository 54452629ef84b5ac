//! The header of a tar archive's member (POSIX.1-1988 ustar, and what GNU tar and POSIX.1-2001 pax add).

use crate::inspect::reader::{Reader, Short};

/// Headers are as long as this, and data is padded to a multiple of it.
pub(super) const BLOCK: usize = 512;

/// One header.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Member {
    pub(super) name: String,
    /// Of its data, in bytes.
    pub(super) size: u64,
    pub(super) kind: Kind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    File,
    Directory,
    /// A link of either sort, a device or a pipe.
    Special,
    /// The name of the next member, where it is too long for a header (GNU).
    LongName,
    /// Attributes of the next member (pax).
    Attributes,
    /// Attributes of all members that follow (pax).
    Defaults,
    /// Anything else: readers differ on what it is.
    Other(u8),
}

/// The archive is over: a block of zeros.
pub(super) fn is_end(block: &[u8]) -> bool {
    block.iter().all(|&byte| byte == 0)
}

impl Member {
    /// `None` if it is no header, or one that readers differ on.
    pub(super) fn read(block: &[u8]) -> Option<Self> {
        let fields = Fields::read(block).ok()?;
        if !fields.magic.starts_with(b"ustar") || fields.checksum != Some(checksum(block)) {
            return None;
        }
        let name = text(fields.name);
        // GNU tar keeps times where ustar has the first part of a long name.
        let prefix = if fields.magic == b"ustar\0" {
            text(fields.prefix)
        } else {
            String::new()
        };
        Some(Self {
            name: if prefix.is_empty() {
                name
            } else {
                format!("{prefix}/{name}")
            },
            size: fields.size?,
            kind: match fields.kind {
                b'0' | b'7' | 0 => Kind::File,
                b'1' | b'2' | b'3' | b'4' | b'6' => Kind::Special,
                b'5' => Kind::Directory,
                b'L' => Kind::LongName,
                b'x' => Kind::Attributes,
                b'g' => Kind::Defaults,
                other => Kind::Other(other),
            },
        })
    }
}

struct Fields<'a> {
    name: &'a [u8],
    size: Option<u64>,
    checksum: Option<u64>,
    kind: u8,
    magic: &'a [u8],
    prefix: &'a [u8],
}

impl<'a> Fields<'a> {
    fn read(block: &'a [u8]) -> Result<Self, Short> {
        let mut reader = Reader::new(block);
        let name = reader.take(100)?;
        reader.skip(24)?;
        let size = number(reader.take(12)?);
        reader.skip(12)?;
        let checksum = number(reader.take(8)?);
        let kind = reader.u8()?;
        reader.skip(100)?;
        let magic = reader.take(6)?;
        reader.skip(82)?;
        let prefix = reader.take(155)?;
        Ok(Self {
            name,
            size,
            checksum,
            kind,
            magic,
            prefix,
        })
    }
}

/// Octal digits, or GNU tar's binary number for what they cannot hold.
fn number(field: &[u8]) -> Option<u64> {
    if let [0x80, digits @ ..] = field {
        return digits.iter().try_fold(0_u64, |sum, &digit| {
            sum.checked_mul(256)?.checked_add(digit.into())
        });
    }
    let end = field.iter().rposition(|byte| !matches!(byte, 0 | b' '))?;
    field
        .get(..=end)?
        .trim_ascii_start()
        .iter()
        .try_fold(0_u64, |sum, digit| {
            let digit = digit.checked_sub(b'0').filter(|&digit| digit < 8)?;
            sum.checked_mul(8)?.checked_add(digit.into())
        })
}

/// The sum of the header's bytes, its own field counted as blanks.
fn checksum(block: &[u8]) -> u64 {
    let bytes = block.iter().enumerate();
    bytes
        .map(|(at, &byte)| {
            if (148..156).contains(&at) {
                32
            } else {
                u64::from(byte)
            }
        })
        .sum()
}

/// Text up to its first NUL.
pub(super) fn text(field: &[u8]) -> String {
    let field = field.split(|&byte| byte == 0).next().unwrap_or_default();
    String::from_utf8_lossy(field).into_owned()
}

/// What a member's pax attributes change of what its header says.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Attributes {
    pub(super) name: Option<String>,
    pub(super) size: Option<u64>,
}

impl Attributes {
    /// `None` if a record is malformed, or changes what readers would not all follow.
    pub(super) fn read(mut records: &[u8]) -> Option<Self> {
        let mut attributes = Self::default();
        while !records.is_empty() {
            let blank = records.iter().position(|&byte| byte == b' ')?;
            let length: usize = std::str::from_utf8(records.get(..blank)?).ok()?.parse().ok()?;
            let record = records.get(blank + 1..length)?.strip_suffix(b"\n")?;
            let equals = record.iter().position(|&byte| byte == b'=')?;
            let value = record.get(equals + 1..)?;
            match record.get(..equals)? {
                b"path" => attributes.name = Some(text(value)),
                b"size" => attributes.size = Some(std::str::from_utf8(value).ok()?.parse().ok()?),
                key if key.starts_with(b"GNU.sparse") => return None,
                _ => {}
            }
            records = records.get(length..)?;
        }
        Some(attributes)
    }
}
