//! The structures of [MS-VHDX] 2.2 to 2.6, as far as they are judged.

use std::fmt;

use crc::{CRC_32_ISCSI, Crc, Table};

use super::{FILE_PARAMETERS, KIB_64, LOCATOR_MAX, PARENT_LOCATOR, TABLE, VIRTUAL_SIZE, utf_16};
use crate::inspect::{partitions::guid, reader::Reader};

/// Entries of a table; 32 bytes each, after a heading of up to as much.
const ENTRIES_MAX: usize = TABLE / 32 - 1;
/// Entries of a parent locator.
const KEYS_MAX: u16 = 64;

/// A name as it is stored, its first three fields with the lowest byte first.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Guid([u8; 16]);

impl Guid {
    pub(super) const fn new(first: u32, second: u16, third: u16, last: u64) -> Self {
        let [a, b, c, d] = first.to_le_bytes();
        let [e, f] = second.to_le_bytes();
        let [g, h] = third.to_le_bytes();
        let [i, j, k, l, m, n, o, p] = last.to_be_bytes();
        Self([a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p])
    }

    fn read(reader: &mut Reader<'_>) -> Option<Self> {
        reader.take(16).ok()?.try_into().ok().map(Self)
    }

    #[cfg(test)]
    pub(super) const fn bytes(&self) -> [u8; 16] {
        self.0
    }
}

impl fmt::Display for Guid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&guid(&self.0))
    }
}

impl fmt::Debug for Guid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// One of the two headers, of which the newer holds.
pub(super) struct Header {
    pub(super) sequence: u64,
    pub(super) has_log: bool,
    /// Whether the checksum is right.
    pub(super) sound: bool,
}

impl Header {
    pub(super) const LENGTH: usize = 4096;

    pub(super) fn read(bytes: &[u8]) -> Option<Self> {
        let mut reader = Reader::new(bytes);
        if reader.take(4).ok()? != b"head" {
            return None;
        }
        let checksum = reader.le_u32().ok()?;
        let sequence = reader.le_u64().ok()?;
        reader.skip(32).ok()?;
        let has_log = reader.take(16).ok()?.iter().any(|&byte| byte != 0);
        Some(Self {
            sequence,
            has_log,
            sound: crc32c_without_its_field(bytes) == checksum,
        })
    }
}

/// One of the two region tables, which must be alike.
pub(super) struct RegionTable {
    pub(super) entries: Vec<Region>,
    checksum: u32,
}

#[derive(PartialEq, Eq)]
pub(super) struct Region {
    pub(super) guid: Guid,
    offset: u64,
    length: u32,
    pub(super) required: bool,
}

impl RegionTable {
    /// `None` if it is none, or lists more than there is room for.
    pub(super) fn read(bytes: &[u8]) -> Option<Self> {
        let mut reader = Reader::new(bytes);
        if reader.take(4).ok()? != b"regi" {
            return None;
        }
        let checksum = reader.le_u32().ok()?;
        let count = usize::try_from(reader.le_u32().ok()?).ok()?;
        reader.skip(4).ok()?;
        let mut entries = Vec::new();
        for _ in 0..Some(count).filter(|&count| count <= ENTRIES_MAX)? {
            entries.push(Region {
                guid: Guid::read(&mut reader)?,
                offset: reader.le_u64().ok()?,
                length: reader.le_u32().ok()?,
                required: reader.le_u32().ok()? & 1 != 0,
            });
        }
        Some(Self { entries, checksum })
    }

    /// Whether the checksum is that of `bytes`, of which the table was read. It costs more than the reading.
    pub(super) fn is_sound(&self, bytes: &[u8]) -> bool {
        crc32c_without_its_field(bytes) == self.checksum
    }

    /// Where the first region of that name begins.
    pub(super) fn find(&self, guid: &Guid) -> Option<u64> {
        let entry = self.entries.iter().find(|entry| entry.guid == *guid)?;
        Some(entry.offset)
    }
}

/// What the metadata region begins with.
pub(super) struct MetadataTable {
    pub(super) items: Vec<Item>,
}

pub(super) struct Item {
    /// Where its entry is, from the start of the table.
    pub(super) entry: u64,
    pub(super) guid: Guid,
    offset: u32,
    pub(super) length: u32,
    pub(super) required: bool,
}

impl MetadataTable {
    /// `None` if it is none, or lists more than there is room for.
    pub(super) fn read(bytes: &[u8]) -> Option<Self> {
        let mut reader = Reader::new(bytes);
        if reader.take(8).ok()? != b"metadata" {
            return None;
        }
        reader.skip(2).ok()?;
        let count = usize::from(reader.le_u16().ok()?);
        reader.skip(20).ok()?;
        let mut items = Vec::new();
        for _ in 0..Some(count).filter(|&count| count <= ENTRIES_MAX)? {
            items.push(Item {
                entry: reader.position(),
                guid: Guid::read(&mut reader)?,
                offset: reader.le_u32().ok()?,
                length: reader.le_u32().ok()?,
                required: reader.le_u32().ok()? & 4 != 0,
            });
            reader.skip(4).ok()?;
        }
        Some(Self { items })
    }

    /// The first item of that name.
    pub(super) fn find(&self, guid: &Guid) -> Option<&Item> {
        self.items.iter().find(|item| item.guid == *guid)
    }
}

impl Item {
    /// Where the item's data is in the image and how long, if the verdict or the report depends on it.
    pub(super) fn judged(&self, region: u64) -> Option<(u64, usize)> {
        let longest = if self.guid == PARENT_LOCATOR {
            LOCATOR_MAX
        } else if [FILE_PARAMETERS, VIRTUAL_SIZE].contains(&self.guid) {
            8
        } else {
            return None;
        };
        let fits = u64::from(self.offset) >= KIB_64 && (1..=longest).contains(&self.length);
        fits.then_some((region.checked_add(self.offset.into())?, self.length as usize))
    }
}

/// The name that a parent locator gives first: a relative path before others, as readers try them.
pub(super) fn parent_name(locator: &[u8]) -> Option<String> {
    let mut reader = Reader::at(locator, 18);
    let count = reader.le_u16().ok()?.min(KEYS_MAX);
    let mut found: Vec<(String, String)> = Vec::new();
    for _ in 0..count {
        let (key, value) = (reader.le_u32().ok()?, reader.le_u32().ok()?);
        let (key_length, value_length) = (reader.le_u16().ok()?, reader.le_u16().ok()?);
        let text = |offset: u32, length: u16| {
            let bytes = Reader::at(locator, offset.into()).take(length.into()).ok()?;
            Some(utf_16(bytes, u16::from_le_bytes))
        };
        if let (Some(key), Some(value)) = (text(key, key_length), text(value, value_length)) {
            found.push((key, value));
        }
    }
    ["relative_path", "volume_path", "absolute_win32_path"]
        .iter()
        .find_map(|name| found.iter().find(|(key, _)| key == name))
        .map(|(_, value)| value.clone())
}

/// CRC-32C (Castagnoli).
static CRC_32C: Crc<u32, Table<16>> = Crc::<u32, Table<16>>::new(&CRC_32_ISCSI);

/// The CRC-32C of a structure, counting its own field, at 4, as zero.
pub(super) fn crc32c_without_its_field(bytes: &[u8]) -> u32 {
    let (before, rest) = bytes.split_at(bytes.len().min(4));
    let (field, after) = rest.split_at(rest.len().min(4));
    let mut digest = CRC_32C.digest();
    digest.update(before);
    digest.update([0; 4].get(..field.len()).unwrap_or_default());
    digest.update(after);
    digest.finalize()
}
