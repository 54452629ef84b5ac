//! Disks with a master boot record, which stands in front of a GUID partition table as well (UEFI 2.10,
//! section 5.2). As in Glance, only the record is judged, and a disk without a GUID table has this name too.

use super::{
    Format, HazardKind,
    hazard::Findings,
    probe::Probe,
    reader::{Reader, Short},
    window::{Evidence, Recognition},
};

/// The format.
pub(super) struct Gpt;

const SIGNATURE: u64 = 510;
const ENTRIES: u64 = 446;
const ENTRY: u64 = 16;
/// The partition type that protects a GUID partition table from tools that do not know it.
const PROTECTIVE: u8 = 0xee;

impl Probe for Gpt {
    fn format(&self) -> Format {
        Format::Gpt
    }

    fn recognise(&self, evidence: &Evidence) -> Recognition {
        match (evidence.magic(SIGNATURE, &[0x55, 0xaa]), is_fat_volume(evidence)) {
            (Recognition::No, _) | (_, Recognition::Yes) => Recognition::No,
            (Recognition::Yes, Recognition::No) => Recognition::Yes,
            _ => Recognition::Undecided,
        }
    }

    fn examine(&self, evidence: &Evidence, findings: &mut Findings) {
        findings.size(Some(evidence.received()));
        let entries: Result<Vec<_>, Short> = (0..4)
            .map(|slot| Entry::read(evidence.head(), ENTRIES + slot * ENTRY))
            .collect();
        if let Ok(entries) = entries {
            judge(&entries, findings);
        }
    }
}

/// A FAT volume's boot sector bears the same signature: two tables, and the media byte of a fixed disk.
fn is_fat_volume(evidence: &Evidence) -> Recognition {
    match (evidence.magic(16, &[2]), evidence.magic(21, &[0xf8])) {
        (Recognition::Yes, fixed) => fixed,
        (other, _) => other,
    }
}

/// A slot of the partition table.
struct Entry {
    offset: u64,
    boot: u8,
    start_chs: [u8; 3],
    kind: u8,
    start_lba: u32,
}

impl Entry {
    fn read(sector: &[u8], offset: u64) -> Result<Self, Short> {
        let mut reader = Reader::at(sector, offset);
        let boot = reader.u8()?;
        let start_chs = [reader.u8()?, reader.u8()?, reader.u8()?];
        let kind = reader.u8()?;
        reader.skip(3)?;
        let start_lba = reader.le_u32()?;
        Ok(Self {
            offset,
            boot,
            start_chs,
            kind,
            start_lba,
        })
    }
}

fn judge(entries: &[Entry], findings: &mut Findings) {
    let mut hazard = |offset, field, value: String, why| {
        findings.hazard(HazardKind::Mbr, offset, field, value, why);
    };
    for entry in entries {
        if !matches!(entry.boot, 0x00 | 0x80) {
            let why = "the boot indicator must be 00 or 80: this is no partition table";
            hazard(entry.offset, "BootIndicator", format!("{:#04x}", entry.boot), why);
        }
        if entry.kind == PROTECTIVE && entry.start_chs != [0, 2, 0] {
            let why = "a protective record must start at cylinder 0, head 0, sector 2";
            hazard(
                entry.offset + 1,
                "StartingCHS",
                format!("{:02x?}", entry.start_chs),
                why,
            );
        }
        if entry.kind == PROTECTIVE && entry.start_lba != 1 {
            let why = "a protective record must start at block 1";
            hazard(entry.offset + 8, "StartingLBA", entry.start_lba.to_string(), why);
        }
    }
    let used: Vec<_> = entries
        .iter()
        .enumerate()
        .filter(|(_, entry)| entry.kind != 0)
        .collect();
    if used.is_empty() {
        hazard(
            ENTRIES,
            "OSType",
            String::new(),
            "the record defines no partition",
        );
    }
    let protective = used.iter().any(|(_, entry)| entry.kind == PROTECTIVE);
    if protective && !matches!(used.as_slice(), [(0, _)]) {
        let why = "beside a GUID partition table there must be no other partitions";
        hazard(ENTRIES, "OSType", format!("{} partitions", used.len()), why);
    }
}

#[cfg(test)]
mod tests {
    use super::{
        super::test_images::{declared, early, hazards, inspect},
        *,
    };

    fn disk(entries: &[(usize, [u8; 12])]) -> Vec<u8> {
        let mut data = vec![0; 40_960];
        data[510..512].copy_from_slice(&[0x55, 0xaa]);
        for (slot, entry) in entries {
            let at = 446 + slot * 16;
            data[at..at + 12].copy_from_slice(entry);
        }
        data
    }

    const PROTECTIVE_ENTRY: [u8; 12] = [0, 0, 2, 0, 0xee, 0xff, 0xff, 0xff, 1, 0, 0, 0];
    const LINUX: [u8; 12] = [0x80, 0x20, 0x21, 0, 0x83, 0, 0, 0, 0, 8, 0, 0];

    #[test]
    fn accepts_a_protective_record_and_a_plain_partition_table() {
        for entries in [&[(0, PROTECTIVE_ENTRY)][..], &[(0, LINUX), (3, LINUX)]] {
            let report = inspect(&disk(entries));
            assert!(report.is_safe(), "{report}");
            assert_eq!(
                report.verdict(&declared("gpt")).unwrap().virtual_size,
                Some(40_960)
            );
        }
    }

    #[test]
    fn refuses_records_that_contradict_themselves() {
        let changed = |at: usize, value| {
            let mut entry = PROTECTIVE_ENTRY;
            entry[at] = value;
            entry
        };
        let bad: [&[(usize, [u8; 12])]; 7] = [
            &[],
            &[(1, PROTECTIVE_ENTRY)],
            &[(0, PROTECTIVE_ENTRY), (1, LINUX)],
            &[(0, changed(0, 1))],
            &[(0, changed(1, 1))],
            &[(0, changed(8, 2))],
            &[(0, LINUX), (2, changed(4, 0x83)), (3, changed(0, 0x7f))],
        ];
        for entries in bad {
            let data = disk(entries);
            let report = inspect(&data);
            assert!(!report.is_safe() && hazards(&report).iter().all(|kind| *kind == HazardKind::Mbr));
            // Not before an ISO volume behind it is ruled out.
            assert_eq!(early(&data, 32_769, "raw"), None);
            assert!(early(&data, 40_000, "raw").is_some());
        }
    }

    #[test]
    fn does_not_see_a_boot_record_in_a_fat_volume() {
        let mut data = disk(&[]);
        data[16] = 2;
        assert_eq!(inspect(&data).format, Format::Gpt);
        data[21] = 0xf8;
        assert_eq!(inspect(&data).format, Format::Raw);
    }
}
