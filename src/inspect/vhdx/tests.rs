use proptest::prelude::*;

use super::{structures::crc32c_without_its_field, *};
use crate::inspect::{
    Inspector,
    test_images::{declared, early, hazards, inspect, inspect_in, qemu_img},
};

const LOG: [u8; 16] = [3; 16];

/// What a disk is made of; small enough to be made often.
#[derive(Clone)]
struct Disk {
    /// Sequence number and log of each header.
    headers: [(u64, [u8; 16]); 2],
    regions: Vec<(Guid, u64, u32)>,
    /// Where the metadata is written.
    metadata: u64,
    /// Name, place from the region's start, data, flags.
    items: Vec<(Guid, u32, Vec<u8>, u32)>,
}

impl Default for Disk {
    fn default() -> Self {
        Self {
            headers: [(4, LOG), (5, [0; 16])],
            regions: vec![(BLOCK_ALLOCATION, 3 << 20, 1), (METADATA, 2 << 20, 1)],
            metadata: 2 << 20,
            items: vec![
                (FILE_PARAMETERS, 65_536, vec![0, 0, 0, 2, 0, 0, 0, 0], 4),
                (VIRTUAL_SIZE, 65_544, (3_u64 << 30).to_le_bytes().to_vec(), 6),
                (HARMLESS[1], 65_552, vec![0, 2, 0, 0], 6),
            ],
        }
    }
}

impl Disk {
    fn bytes(&self) -> Vec<u8> {
        let mut data = vec![0; 3 << 20];
        data[..8].copy_from_slice(MARK);
        for (at, (sequence, log)) in HEADERS.into_iter().zip(self.headers) {
            let header = &mut data[at as usize..at as usize + Header::LENGTH];
            header[..4].copy_from_slice(b"head");
            header[8..16].copy_from_slice(&sequence.to_le_bytes());
            header[48..64].copy_from_slice(&log);
            seal(header);
        }
        for at in REGION_TABLES {
            let table = &mut data[at as usize..at as usize + TABLE];
            table[..4].copy_from_slice(b"regi");
            table[8..12].copy_from_slice(&(self.regions.len() as u32).to_le_bytes());
            for (index, (guid, offset, required)) in self.regions.iter().enumerate() {
                let entry = &mut table[16 + index * 32..48 + index * 32];
                entry[..16].copy_from_slice(&guid.bytes());
                entry[16..24].copy_from_slice(&offset.to_le_bytes());
                entry[24..28].copy_from_slice(&(1_u32 << 20).to_le_bytes());
                entry[28..32].copy_from_slice(&required.to_le_bytes());
            }
            seal(table);
        }
        let region = self.metadata as usize;
        let end = self.items.iter().map(|item| item.1 as usize + item.2.len()).max();
        data.resize(data.len().max(region + end.unwrap_or(0).max(TABLE)), 0);
        data[region..region + 8].copy_from_slice(b"metadata");
        data[region + 10..region + 12].copy_from_slice(&(self.items.len() as u16).to_le_bytes());
        for (index, (guid, offset, value, flags)) in self.items.iter().enumerate() {
            let entry = &mut data[region + 32 + index * 32..region + 64 + index * 32];
            entry[..16].copy_from_slice(&guid.bytes());
            entry[16..20].copy_from_slice(&offset.to_le_bytes());
            entry[20..24].copy_from_slice(&(value.len() as u32).to_le_bytes());
            entry[24..28].copy_from_slice(&flags.to_le_bytes());
            let at = region + *offset as usize;
            data[at..at + value.len()].copy_from_slice(value);
        }
        data
    }
}

fn seal(bytes: &mut [u8]) {
    let sum = crc32c_without_its_field(bytes);
    bytes[4..8].copy_from_slice(&sum.to_le_bytes());
}

fn changed(change: impl FnOnce(&mut Disk)) -> Vec<u8> {
    let mut disk = Disk::default();
    change(&mut disk);
    disk.bytes()
}

/// A parent locator with one key.
fn locator(key: &str, value: &str) -> Vec<u8> {
    let wide = |text: &str| text.encode_utf16().flat_map(u16::to_le_bytes).collect::<Vec<_>>();
    let (key, value) = (wide(key), wide(value));
    let mut bytes = vec![0; 18];
    bytes.extend(1_u16.to_le_bytes());
    bytes.extend(32_u32.to_le_bytes());
    bytes.extend((32 + key.len() as u32).to_le_bytes());
    bytes.extend((key.len() as u16).to_le_bytes());
    bytes.extend((value.len() as u16).to_le_bytes());
    [bytes, key, value].concat()
}

#[test]
fn sums_as_rfc_3720_does_and_counts_the_field_as_zero() {
    // Appendix B.4: 32 bytes of zeros.
    let mut bytes = [0; 32];
    bytes[4..8].fill(0xff);
    assert_eq!(crc32c_without_its_field(&bytes), 0x8a91_36aa);
    for short in 0..9 {
        assert_eq!(
            crc32c_without_its_field(&bytes[..short]),
            crc32c_without_its_field(&[0; 32][..short])
        );
    }
}

#[test]
fn warns_of_a_region_table_whose_checksum_is_wrong_though_the_other_is_the_same() {
    let mut data = Disk::default().bytes();
    for table in REGION_TABLES {
        // Behind its entries.
        data[table as usize + 50_000] ^= 1;
    }
    let report = inspect(&data);
    assert!(report.is_safe(), "{report}");
    assert!(report.warnings[0].contains("checksum"), "{report}");
}

#[test]
fn reads_the_size_of_a_sound_disk() {
    let report = inspect(&Disk::default().bytes());
    assert!(report.is_safe() && report.warnings.is_empty(), "{report}");
    assert_eq!(report.subformat.as_deref(), Some("dynamic"));
    assert_eq!(
        report.verdict(&declared("vhdx")).unwrap().virtual_size,
        Some(3 << 30)
    );
}

#[test]
fn finds_metadata_wherever_it_is_and_in_any_order() {
    let data = changed(|disk| {
        disk.metadata = 9 << 20;
        disk.regions[1].1 = 9 << 20;
        disk.items[0].1 = 900_000;
        disk.items[1].1 = 70_000;
        disk.items.swap(0, 1);
    });
    for chunk in [997, 65_536, usize::MAX] {
        let report = inspect_in(&data, chunk);
        assert!(report.is_safe(), "{report}");
        assert_eq!(report.virtual_size, Some(3 << 30));
    }
}

#[test]
fn refuses_a_differencing_disk_and_names_its_parent() {
    let flag = changed(|disk| disk.items[0].2[4] = 2);
    assert_eq!(hazards(&inspect(&flag)), [HazardKind::ParentReference]);
    let located = changed(|disk| {
        disk.items[0].2[4] = 2;
        let locator = locator("relative_path", "..\\base.vhdx");
        disk.items.push((PARENT_LOCATOR, 70_000, locator, 4));
    });
    let report = inspect(&located);
    assert_eq!(hazards(&report), [HazardKind::ParentReference]);
    assert_eq!(report.backing_file.unwrap().name.unwrap(), "..\\base.vhdx");
    assert!(early(&located, (2 << 20) + 80_000, "raw").is_some());
    // A locator alone is enough, wherever it is.
    let lost = changed(|disk| disk.items.push((PARENT_LOCATOR, 70_000, vec![0; 40_000], 0)));
    assert_eq!(hazards(&inspect(&lost)), [HazardKind::ParentReference]);
}

#[test]
fn refuses_a_log_that_is_not_written_back() {
    let cases = [
        ([(4, LOG), (5, [0; 16])], true),
        ([(5, [0; 16]), (4, LOG)], true),
        ([(5, LOG), (4, [0; 16])], false),
        ([(4, [0; 16]), (5, LOG)], false),
        ([(5, [0; 16]), (5, LOG)], false),
    ];
    for (headers, safe) in cases {
        let report = inspect(&changed(|disk| disk.headers = headers));
        assert_eq!(report.is_safe(), safe, "{report}");
        assert!(safe || hazards(&report) == [HazardKind::DirtyLog]);
    }
    // A newer header that is not sound does not count, and without a sound one each does.
    let mut data = changed(|disk| disk.headers = [(9, [0; 16]), (5, LOG)]);
    data[65_536 + 100] = 1;
    assert_eq!(hazards(&inspect(&data)), [HazardKind::DirtyLog]);
    let mut data = Disk::default().bytes();
    for at in HEADERS {
        data[at as usize + 100] = 1;
    }
    assert_eq!(hazards(&inspect(&data)), [HazardKind::DirtyLog]);
}

#[test]
fn refuses_region_tables_that_contradict_each_other_or_themselves() {
    let mut data = Disk::default().bytes();
    let second = REGION_TABLES[1] as usize;
    data[second + 16 + 32 + 16 + 2] ^= 0x10;
    seal(&mut data[second..second + TABLE]);
    assert_eq!(hazards(&inspect(&data)), [HazardKind::CopiesDiffer]);

    let twice = changed(|disk| disk.regions.push((METADATA, 9 << 20, 1)));
    assert_eq!(hazards(&inspect(&twice)), [HazardKind::CopiesDiffer]);
    let twice = changed(|disk| disk.items.push((VIRTUAL_SIZE, 70_000, vec![1; 8], 6)));
    assert_eq!(hazards(&inspect(&twice)), [HazardKind::CopiesDiffer]);

    // One that is gone leaves the other.
    for at in REGION_TABLES {
        let mut data = Disk::default().bytes();
        data[at as usize] = 0;
        let report = inspect(&data);
        assert!(report.is_safe() && report.warnings.len() == 1, "{report}");
    }
}

#[test]
fn refuses_what_is_required_and_unknown() {
    let unknown = Guid::new(1, 2, 3, 4);
    type Change = fn(&mut Disk, Guid, u32);
    let cases: [(Change, u32); 2] = [
        (|disk, guid, flags| disk.regions.push((guid, 1 << 20, flags)), 1),
        (
            |disk, guid, flags| disk.items.push((guid, 70_000, vec![1], flags)),
            4,
        ),
    ];
    for (change, required) in cases {
        let report = inspect(&changed(|disk| change(disk, unknown, required)));
        assert_eq!(hazards(&report), [HazardKind::UnknownIncompatibleFeatures]);
        assert!(
            report
                .to_string()
                .contains("00000001-0002-0003-0000-000000000004")
        );
        assert!(inspect(&changed(|disk| change(disk, unknown, 0))).is_safe());
    }
}

#[test]
fn refuses_metadata_that_is_missing_malformed_or_behind_the_stream() {
    let bad: [Vec<u8>; 9] = [
        changed(|disk| disk.regions.truncate(1)),
        changed(|disk| disk.items.truncate(1)),
        changed(|disk| drop(disk.items.remove(0))),
        changed(|disk| disk.items[1].2.truncate(4)),
        changed(|disk| disk.items[1].1 = 1000),
        changed(|disk| disk.regions[1].1 = 1 << 20),
        changed(|disk| disk.regions[1].1 = 100_000),
        changed(|disk| disk.regions[1].1 = u64::MAX - 5),
        changed(|disk| disk.regions[1].1 = 1 << 40),
    ];
    for data in bad {
        let report = inspect(&data);
        assert!(hazards(&report).contains(&HazardKind::BadStructure), "{report}");
        assert!(report.verdict(&declared("raw")).is_err());
    }
    let whole = Disk::default().bytes();
    for length in [
        8,
        512,
        65_536,
        70_000,
        200_000,
        300_000,
        1 << 20,
        (2 << 20) + 65_543,
    ] {
        let report = inspect(&whole[..length]);
        assert!(!report.is_safe(), "{length}");
        assert!(
            hazards(&report)
                .iter()
                .all(|kind| *kind == HazardKind::BadStructure)
        );
    }
    for at in REGION_TABLES {
        let mut data = whole.clone();
        data[at as usize + 8..at as usize + 12].fill(0xff);
        assert!(inspect(&data).is_safe());
        data[REGION_TABLES[0] as usize] = 0;
        data[REGION_TABLES[1] as usize] = 0;
        assert_eq!(hazards(&inspect(&data)), [HazardKind::BadStructure]);
    }
}

#[test]
fn keeps_and_reports_a_bounded_part_of_a_table_of_thousands() {
    let data = changed(|disk| {
        disk.items = (0..2047)
            .map(|index| (VIRTUAL_SIZE, 65_536 + index * 64, vec![1; 8], 6))
            .collect();
    });
    let mut inspector = Inspector::new();
    data.chunks(10_000).for_each(|chunk| inspector.push(chunk));
    assert!(inspector.evidence.kept() < 400_000);
    let report = inspector.finish();
    assert_eq!(report.hazards.len(), 32);
}

#[test]
fn of_an_item_that_is_there_thousands_of_times_the_first_is_read() {
    let data = changed(|disk| {
        disk.items = (0..2047)
            .map(|index| (VIRTUAL_SIZE, 65_536 + index * 8, vec![1; 8], 6))
            .collect();
    });
    let mut inspector = Inspector::new();
    data.chunks(10_000).for_each(|chunk| inspector.push(chunk));
    let first = (2 << 20) + 65_536;
    assert_eq!(inspector.evidence.bytes(first, 100), [1; 8]);
}

#[test]
fn agrees_with_images_that_qemu_makes() {
    let dir = tempfile::tempdir().unwrap();
    for options in [
        "subformat=dynamic",
        "subformat=fixed",
        "log_size=8M",
        "block_size=1M",
    ] {
        qemu_img(
            dir.path(),
            &["create", "-q", "-f", "vhdx", "-o", options, "d", "9M"],
        );
        let report = inspect(&std::fs::read(dir.path().join("d")).unwrap());
        assert!(report.is_safe() && report.warnings.is_empty(), "{report}");
        assert_eq!(report.virtual_size, Some(9 << 20));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn a_disk_reads_back_as_it_was_written(
        size in 1..=(i64::MAX as u64),
        block in any::<u32>(),
        flags in 0_u32..4,
        places in proptest::sample::subsequence(vec![65_536_u32, 65_544, 70_000, 100_000, 1_000_000], 2),
        chunk in 1000_usize..3_000_000,
    ) {
        let data = changed(|disk| {
            disk.items.truncate(2);
            disk.items[0].1 = places[1];
            disk.items[0].2 = [block.to_le_bytes(), flags.to_le_bytes()].concat();
            disk.items[1].1 = places[0];
            disk.items[1].2 = size.to_le_bytes().to_vec();
        });
        let report = inspect_in(&data, chunk);
        prop_assert_eq!(report.virtual_size, Some(size));
        prop_assert_eq!(report.is_safe(), flags & 2 == 0);
        prop_assert_eq!(&report.details[0].value, &block.to_string());
        prop_assert_eq!(report, inspect(&data));
    }

    #[test]
    fn a_changed_disk_is_judged_alike_in_any_chunks_and_early_refusals_stand(
        changes in proptest::collection::vec((0_usize..6, 0_usize..200, any::<u8>()), 1..8),
        located in any::<bool>(),
        cut in proptest::option::weighted(0.2, any::<proptest::sample::Index>()),
        chunk in 500_usize..3_000_000,
    ) {
        let mut data = changed(|disk| {
            if located {
                disk.items.push((PARENT_LOCATOR, 70_000, locator("relative_path", "base"), 4));
            }
        });
        // Where something is: the headers, the region tables, the metadata table and its items.
        let places = [HEADERS[0], HEADERS[1], REGION_TABLES[0], REGION_TABLES[1], 2 << 20, (2 << 20) + 65_536];
        for (place, offset, value) in changes {
            data[places[place] as usize + offset] = value;
        }
        if let Some(cut) = cut {
            data.truncate(cut.index(data.len()));
        }
        let mut inspector = Inspector::new();
        let mut early = None;
        for piece in data.chunks(chunk) {
            inspector.push(piece);
            prop_assert!(inspector.evidence.kept() <= 400_000);
            early = early.or(inspector.early_refusal(&declared("raw")));
        }
        let report = inspector.finish();
        prop_assert_eq!(&report, &inspect(&data));
        prop_assert!(early.is_none() || report.verdict(&declared("raw")).is_err());
    }
}
