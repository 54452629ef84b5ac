//! The partitions of a disk, for the report: what the master boot record lists, or the GUID partition table behind it
//! (UEFI 2.10, sections 5.2 and 5.3). Decides nothing.

use std::fmt;

use super::{
    hazard::Findings,
    reader::{Reader, Short},
    vhd::utf_16,
    window::Evidence,
};

/// Entries that are read of a GUID partition table: as many as there are in all but the oddest.
const ENTRIES_MAX: u32 = 128;
const RECORD: u64 = 446;
const PROTECTIVE: u8 = 0xee;
const MBR_SECTOR: u64 = 512;
/// Lengths of a disk's sectors, by which the table's header is found in the second one.
const SECTORS: [u64; 2] = [512, 4096];

/// A part of a disk that its partition table lists.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Partition {
    /// From 1 on.
    pub number: u32,
    /// In bytes from the start of the disk.
    pub start: u64,
    /// In bytes.
    pub length: u64,
    /// What it is for, by name where that is well known, or else the type's number.
    pub kind: String,
    /// What the table calls it, where the table has names.
    pub name: Option<String>,
}

impl fmt::Display for Partition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} at {}, {} bytes, {}",
            self.number, self.start, self.length, self.kind
        )?;
        match &self.name {
            Some(name) => write!(f, " \"{}\"", name.escape_debug()),
            None => Ok(()),
        }
    }
}

/// Add the disk's partitions to the findings.
pub(super) fn read(evidence: &Evidence, findings: &mut Findings) {
    // A table that is cut short is listed as far as it goes.
    let _: Result<(), Short> = record(evidence, findings);
}

fn record(evidence: &Evidence, findings: &mut Findings) -> Result<(), Short> {
    let mut reader = Reader::at(evidence.head(), RECORD);
    let mut protected = false;
    let mut partitions = Vec::new();
    for number in 1..=4 {
        reader.skip(4)?;
        let kind = reader.u8()?;
        reader.skip(3)?;
        let (start, length) = (reader.le_u32()?, reader.le_u32()?);
        protected |= kind == PROTECTIVE;
        if kind != 0 {
            partitions.push(Partition {
                number,
                start: u64::from(start) * MBR_SECTOR,
                length: u64::from(length) * MBR_SECTOR,
                kind: record_kind(kind),
                name: None,
            });
        }
    }
    let sector = SECTORS
        .into_iter()
        .find(|&sector| evidence.bytes(sector, 8) == b"EFI PART");
    match sector {
        Some(sector) if protected => {
            findings.detail("partition_table", "GPT");
            guid_table(evidence, sector, findings)
        }
        _ => {
            if protected && evidence.received() > 2 * MBR_SECTOR {
                findings.warn("the record announces a GUID partition table, but none follows");
            }
            findings.detail("partition_table", "MBR");
            findings.partitions = partitions;
            Ok(())
        }
    }
}

fn guid_table(evidence: &Evidence, sector: u64, findings: &mut Findings) -> Result<(), Short> {
    let mut header = Reader::at(evidence.head(), sector);
    header.skip(72)?;
    let table = header.le_u64()?.saturating_mul(sector);
    let count = header.le_u32()?;
    let entry = u64::from(header.le_u32()?);
    if entry < 128 {
        findings.warn("the entries of the GUID partition table are too short to be read");
        return Ok(());
    }
    for index in 0..count.min(ENTRIES_MAX) {
        let offset = table.saturating_add(u64::from(index) * entry);
        let mut reader = Reader::at(evidence.head(), offset);
        let kind = reader.take(16)?;
        if kind.iter().all(|&byte| byte == 0) {
            continue;
        }
        reader.skip(16)?;
        let (first, last) = (reader.le_u64()?, reader.le_u64()?);
        reader.skip(8)?;
        let name = utf_16(reader.take(72)?, u16::from_le_bytes);
        findings.partitions.push(Partition {
            number: index + 1,
            start: first.saturating_mul(sector),
            length: last
                .saturating_sub(first)
                .saturating_add(1)
                .saturating_mul(sector),
            kind: guid_kind(kind),
            name: Some(name).filter(|name| !name.is_empty()),
        });
    }
    Ok(())
}

fn record_kind(kind: u8) -> String {
    let name = match kind {
        0x01 | 0x04 | 0x06 | 0x0b | 0x0c | 0x0e => "FAT",
        0x05 | 0x0f | 0x85 => "extended",
        0x07 => "NTFS or exFAT",
        0x82 => "Linux swap",
        0x83 => "Linux",
        0x8e => "Linux LVM",
        0xa5 => "FreeBSD",
        0xee => "GPT",
        0xef => "EFI system",
        0xfd => "Linux RAID",
        other => return format!("type {other:#04x}"),
    };
    name.to_owned()
}

/// The name of a partition type; GUIDs are written with their first three fields in reverse byte order.
fn guid_kind(bytes: &[u8]) -> String {
    let guid = guid(bytes);
    let name = match guid.as_str() {
        "C12A7328-F81F-11D2-BA4B-00A0C93EC93B" => "EFI system",
        "21686148-6449-6E6F-744E-656564454649" => "BIOS boot",
        "0FC63DAF-8483-4772-8E79-3D69D8477DE4" => "Linux",
        "4F68BCE3-E8CD-4DB1-96E7-FBCAF984B709" => "Linux root (x86-64)",
        "BC13C2FF-59E6-4262-A352-B275FD6F7172" => "Linux extended boot",
        "0657FD6D-A4AB-43C4-84E5-0933C84B4F4F" => "Linux swap",
        "E6D6D379-F507-44C2-A23C-238F2A3DF928" => "Linux LVM",
        "EBD0A0A2-B9E5-4433-87C0-68B6B72699C7" => "Microsoft basic data",
        "E3C9E316-0B5C-4DB8-817D-F92DF00215AE" => "Microsoft reserved",
        _ => return guid,
    };
    name.to_owned()
}

/// A GUID's usual spelling.
pub(super) fn guid(bytes: &[u8]) -> String {
    const ORDER: [usize; 16] = [3, 2, 1, 0, 5, 4, 7, 6, 8, 9, 10, 11, 12, 13, 14, 15];
    let mut text = String::with_capacity(36);
    for (position, index) in ORDER.into_iter().enumerate() {
        if matches!(position, 4 | 6 | 8 | 10) {
            text.push('-');
        }
        text.push_str(&format!("{:02X}", bytes.get(index).copied().unwrap_or_default()));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::inspect::test_images::inspect;

    fn with_record(kind: u8, start: u32, length: u32) -> Vec<u8> {
        let mut data = vec![0; 64 * 1024];
        data[510..512].copy_from_slice(&[0x55, 0xaa]);
        data[446..462].copy_from_slice(&[0, 0, 2, 0, kind, 0xff, 0xff, 0xff, 0, 0, 0, 0, 0, 0, 0, 0]);
        data[454..458].copy_from_slice(&start.to_le_bytes());
        data[458..462].copy_from_slice(&length.to_le_bytes());
        data
    }

    #[test]
    fn lists_what_a_master_boot_record_lists() {
        let report = inspect(&with_record(0x83, 2048, 100));
        let partition = &report.partitions[0];
        assert_eq!((partition.start, partition.length), (2048 * 512, 51_200));
        assert!(report.to_string().contains("1 at 1048576, 51200 bytes, Linux"));
        assert_eq!(report.to_json()["partitions"][0]["kind"], "Linux");
    }

    #[test]
    fn lists_a_guid_partition_table_in_sectors_of_either_length() {
        for sector in [512_usize, 4096] {
            let mut data = with_record(0xee, 1, u32::MAX);
            data[sector..sector + 8].copy_from_slice(b"EFI PART");
            data[sector + 72] = 2;
            data[sector + 80] = 128;
            data[sector + 84] = 128;
            let entry = 2 * sector + 128;
            let linux = [
                0xaf, 0x3d, 0xc6, 0x0f, 0x83, 0x84, 0x72, 0x47, 0x8e, 0x79, 0x3d, 0x69, 0xd8, 0x47, 0x7d,
                0xe4,
            ];
            data[entry..entry + 16].copy_from_slice(&linux);
            data[entry + 32] = 34;
            data[entry + 40] = 39;
            data[entry + 56..entry + 62].copy_from_slice(b"a\0b\0c\0");
            let report = inspect(&data);
            assert!(report.is_safe(), "{report}");
            assert_eq!(
                report.partitions,
                [Partition {
                    number: 2,
                    start: 34 * sector as u64,
                    length: 6 * sector as u64,
                    kind: "Linux".to_owned(),
                    name: Some("abc".to_owned()),
                }]
            );
        }
    }

    #[test]
    fn a_table_of_nonsense_is_listed_as_far_as_it_goes() {
        let mut data = with_record(0xee, 1, u32::MAX);
        assert!(inspect(&data).warnings[0].contains("none follows"));
        data[512..520].copy_from_slice(b"EFI PART");
        data[520..].fill(0xff);
        assert!(inspect(&data).partitions.is_empty());
        data[584..592].copy_from_slice(&2_u64.to_le_bytes());
        data[596..600].copy_from_slice(&128_u32.to_le_bytes());
        let report = inspect(&data);
        assert_eq!(report.partitions.len(), ENTRIES_MAX as usize);
        assert!(inspect(&data[..2000]).partitions.len() < 10);
    }
}
