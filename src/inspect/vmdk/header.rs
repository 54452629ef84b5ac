//! The binary header of a sparse extent, and the footer that repeats it.

use super::{DESCRIPTOR_MAX, DESCRIPTOR_OFFSET, PARENT_REACH, SECTOR, SPARSE};
use crate::inspect::{
    HazardKind,
    hazard::Findings,
    reader::{Reader, Short},
};

/// A grain directory offset that means: in the footer.
pub(super) const GD_AT_END: u64 = u64::MAX;

const MARKER_END_OF_STREAM: u32 = 0;
const MARKER_FOOTER: u32 = 3;

/// The fields of a sparse extent's header that the verdict depends on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Header {
    magic: [u8; 4],
    version: u32,
    /// In sectors.
    pub(super) capacity: u64,
    /// In sectors from the start.
    descriptor_sector: u64,
    descriptor_sectors: u64,
    /// In sectors from the start.
    pub(super) grain_directory: u64,
}

impl Header {
    /// Read from the start of a header; only the first 64 bytes are looked at.
    pub(super) fn read(bytes: &[u8]) -> Result<Self, Short> {
        Self::parse(&mut Reader::new(bytes))
    }

    fn parse(reader: &mut Reader<'_>) -> Result<Self, Short> {
        let magic = reader.take(4)?.try_into().map_err(|_| Short)?;
        let version = reader.le_u32()?;
        let _flags = reader.le_u32()?;
        let capacity = reader.le_u64()?;
        let _grain_sectors = reader.le_u64()?;
        let descriptor_sector = reader.le_u64()?;
        let descriptor_sectors = reader.le_u64()?;
        let _entries_per_table = reader.le_u32()?;
        let _redundant_directory = reader.le_u64()?;
        let grain_directory = reader.le_u64()?;
        Ok(Self {
            magic,
            version,
            capacity,
            descriptor_sector,
            descriptor_sectors,
            grain_directory,
        })
    }

    /// Whether there is a descriptor where one is accepted.
    pub(super) fn has_descriptor(&self) -> bool {
        self.descriptor_sector.checked_mul(SECTOR) == Some(DESCRIPTOR_OFFSET) && self.descriptor_sectors > 0
    }

    /// The descriptor's length in bytes, cut to the longest that anybody reads.
    pub(super) fn descriptor_length(&self) -> u64 {
        self.descriptor_sectors.saturating_mul(SECTOR).min(DESCRIPTOR_MAX)
    }

    /// How much of the image must be kept, from its start, to judge it.
    pub(super) fn reach(&self) -> u64 {
        if self.has_descriptor() {
            DESCRIPTOR_OFFSET + self.descriptor_length().max(PARENT_REACH)
        } else {
            0
        }
    }

    /// The hazards that the header alone shows.
    pub(super) fn judge(&self, findings: &mut Findings) {
        if !(1..=3).contains(&self.version) {
            findings.hazard(
                HazardKind::Version,
                4,
                "version",
                self.version,
                "only versions 1 to 3 are accepted",
            );
        }
        if self.capacity == 0 {
            findings.hazard(
                HazardKind::ZeroCapacity,
                12,
                "capacity",
                0,
                "without a capacity, the image is a mere description of data in other files",
            );
        }
        if !self.has_descriptor() {
            findings.hazard(
                HazardKind::BadDescriptor,
                28,
                "descriptorOffset, descriptorSize",
                format_args!("{}, {}", self.descriptor_sector, self.descriptor_sectors),
                "the descriptor must follow the header at sector 1",
            );
        }
    }

    /// The first field in which a footer differs that must not, with the header's value and the footer's.
    pub(super) fn difference(&self, footer: &Self) -> Option<(&'static str, u64, u64)> {
        [
            (
                "magicNumber",
                u32::from_le_bytes(self.magic).into(),
                u32::from_le_bytes(footer.magic).into(),
            ),
            ("version", self.version.into(), footer.version.into()),
            ("capacity", self.capacity, footer.capacity),
            (
                "descriptorOffset",
                self.descriptor_sector,
                footer.descriptor_sector,
            ),
            (
                "descriptorSize",
                self.descriptor_sectors,
                footer.descriptor_sectors,
            ),
        ]
        .into_iter()
        .find(|(_, ours, theirs)| ours != theirs)
    }
}

/// The last three sectors of a stream-optimized image.
#[derive(Debug)]
pub(super) struct Footer {
    pub(super) header: Header,
}

impl Footer {
    /// Read the footer's marker, the footer and the end-of-stream marker; `None` if they are not that.
    pub(super) fn read(reader: &mut Reader<'_>) -> Option<Self> {
        let (_, kind) = marker(reader)?;
        let header = Header::read(reader.take(SECTOR as usize).ok()?).ok()?;
        let (value, end) = marker(reader)?;
        let whole = kind == MARKER_FOOTER
            && header.magic.as_slice() == SPARSE
            && value == 0
            && end == MARKER_END_OF_STREAM;
        whole.then_some(Self { header })
    }
}

/// A metadata marker's value and type, if it has no size and is padded with zeros.
fn marker(reader: &mut Reader<'_>) -> Option<(u64, u32)> {
    let value = reader.le_u64().ok()?;
    let size = reader.le_u32().ok()?;
    let kind = reader.le_u32().ok()?;
    let padding = reader.take(SECTOR as usize - 16).ok()?;
    (size == 0 && padding.iter().all(|&byte| byte == 0)).then_some((value, kind))
}
