use proptest::prelude::*;

use super::*;
use crate::inspect::{
    Refusal,
    test_images::{declared, early, hazards, inspect, qemu_img},
};

/// A footer with a right checksum.
fn footer(kind: u32, size: u64, creator: &[u8; 4]) -> Vec<u8> {
    let mut bytes = vec![0; FOOTER];
    bytes[..8].copy_from_slice(COOKIE);
    bytes[16..24].copy_from_slice(&(if kind == FIXED { u64::MAX } else { 512 }).to_be_bytes());
    bytes[28..32].copy_from_slice(creator);
    bytes[40..48].copy_from_slice(&7_u64.to_be_bytes());
    bytes[48..56].copy_from_slice(&size.to_be_bytes());
    bytes[56..60].copy_from_slice(&[0, 4, 4, 17]);
    bytes[60..64].copy_from_slice(&kind.to_be_bytes());
    seal(&mut bytes);
    bytes
}

fn seal(bytes: &mut [u8]) {
    bytes[64..68].fill(0);
    let sum: u32 = bytes.iter().map(|&byte| u32::from(byte)).sum();
    bytes[64..68].copy_from_slice(&(!sum).to_be_bytes());
}

fn header(parent: &str) -> Vec<u8> {
    let mut bytes = vec![0; HEADER];
    bytes[..8].copy_from_slice(HEADER_COOKIE);
    for (index, unit) in parent.encode_utf16().enumerate() {
        bytes[64 + index * 2..66 + index * 2].copy_from_slice(&unit.to_be_bytes());
    }
    bytes
}

/// A whole disk: 3 is a dynamic one, 4 a differencing one.
pub(in crate::inspect) fn disk(kind: u32, size: u64, parent: &str) -> Vec<u8> {
    let footer = footer(kind, size, b"win ");
    [&footer[..], &header(parent), &[0; 2048], &footer].concat()
}

#[test]
fn takes_the_current_size_not_the_original_one() {
    let report = inspect(&disk(DYNAMIC, 3 << 20, ""));
    assert!(report.is_safe() && report.warnings.is_empty(), "{report}");
    assert_eq!(
        report.verdict(&declared("vhd")).unwrap().virtual_size,
        Some(3 << 20)
    );
}

#[test]
fn refuses_a_differencing_disk_and_names_its_parent() {
    let data = disk(DIFFERENCING, 3 << 20, "C:\\base.vhd");
    let report = inspect(&data);
    assert_eq!(hazards(&report), [HazardKind::ParentReference]);
    assert_eq!(report.backing_file.unwrap().name.unwrap(), "C:\\base.vhd");
    assert!(early(&data, 600, "raw").is_some());
}

#[test]
fn finds_the_parents_name_wherever_the_header_lies() {
    let mut footer = footer(DIFFERENCING, 1 << 20, b"win ");
    footer[16..24].copy_from_slice(&300_000_u64.to_be_bytes());
    seal(&mut footer);
    let mut data = footer.clone();
    data.resize(300_000, 0);
    data.extend(header("far"));
    data.extend(&footer);
    let report = inspect(&data);
    assert_eq!(report.backing_file.unwrap().name.unwrap(), "far");
    // And where it is not, the type alone decides.
    data[16..24].fill(0xff);
    assert_eq!(
        hazards(&inspect(&data)),
        [HazardKind::ParentReference, HazardKind::CopiesDiffer]
    );
}

#[test]
fn a_parent_that_the_type_denies_is_a_warning() {
    let report = inspect(&disk(DYNAMIC, 1 << 20, "ghost"));
    assert!(
        report.is_safe() && report.warnings[0].contains("ghost"),
        "{report}"
    );
}

#[test]
fn refuses_footers_that_contradict_each_other() {
    type Change = fn(&mut [u8]);
    let changes: [Change; 3] = [|last| last[63] = 4, |last| last[48] = 9, |last| last[20] = 1];
    for change in changes {
        let mut data = disk(DYNAMIC, 3 << 20, "");
        let at = data.len() - FOOTER;
        change(&mut data[at..]);
        assert_eq!(hazards(&inspect(&data)), [HazardKind::CopiesDiffer]);
        // The end is not known before it is there.
        assert_eq!(early(&data, data.len(), "vhd"), None);
    }
}

#[test]
fn a_missing_footer_is_a_warning_and_a_cut_one_in_front_a_hazard() {
    let data = disk(DYNAMIC, 3 << 20, "");
    let report = inspect(&data[..data.len() - 1]);
    assert!(report.is_safe(), "{report}");
    let report = inspect(&data[..data.len() - 2]);
    assert!(
        report.is_safe() && report.warnings[0].contains("incomplete"),
        "{report}"
    );
    for length in [8, 60, 511] {
        assert_eq!(hazards(&inspect(&data[..length])), [HazardKind::Truncated]);
    }
}

#[test]
fn says_where_qemu_sees_another_size() {
    for (creator, warned) in [
        (b"vpc ", true),
        (b"qemu", true),
        (b"win ", false),
        (b"tap\0", false),
    ] {
        let footer = footer(DYNAMIC, 3 << 20, creator);
        let report = inspect(&[&footer[..], &header(""), &footer].concat());
        assert_eq!(report.warnings.len(), usize::from(warned), "{report}");
    }
}

fn fixed_disk(content: &[u8], size: u64) -> Vec<u8> {
    [content, &footer(FIXED, size, b"win ")].concat()
}

#[test]
fn a_fixed_disk_counts_only_where_it_is_declared() {
    let data = fixed_disk(&[7; 4096], 4096);
    let report = inspect(&data);
    assert_eq!((report.format, report.fixed_vhd), (Format::Raw, Some(4096)));
    assert_eq!(report.verdict(&declared("vhd")).unwrap().virtual_size, Some(4096));
    assert_eq!(report.verdict(&declared("raw")).unwrap().virtual_size, Some(4608));
    assert!(report.verdict(&declared("qcow2")).is_err());
    assert_eq!(early(&data, data.len(), "vhd"), None);
    // Old ones are a byte shorter.
    let old = inspect(&data[..data.len() - 1]);
    assert_eq!(old.fixed_vhd, Some(4096));
}

#[test]
fn a_fixed_disk_may_be_partitioned_but_not_an_image_of_another_format() {
    let mut partitioned = vec![0; 4096];
    partitioned[510..512].copy_from_slice(&[0x55, 0xaa]);
    partitioned[446 + 4] = 0x83;
    let report = inspect(&fixed_disk(&partitioned, 4096));
    assert_eq!(report.format, Format::Gpt);
    assert_eq!(report.verdict(&declared("vhd")).unwrap().virtual_size, Some(4096));
    let mut qcow2 = vec![0; 4096];
    qcow2[..8].copy_from_slice(b"QFI\xfb\0\0\0\x03");
    let data = fixed_disk(&qcow2, 4096);
    assert!(matches!(
        inspect(&data).verdict(&declared("vhd")),
        Err(Refusal::Mismatch { .. })
    ));
    assert!(early(&data, 100, "vhd").is_some());
}

#[test]
fn refuses_as_vhd_what_has_no_sound_fixed_footer() {
    let mut wrong_sum = fixed_disk(&[7; 4096], 4096);
    let last = wrong_sum.len() - 1;
    wrong_sum[last] = 1;
    for data in [
        vec![7; 4096],
        wrong_sum,
        fixed_disk(&[7; 4096], 4097),
        fixed_disk(&[7; 4096], 0),
        [&[7; 4096][..], &footer(DYNAMIC, 4096, b"win ")].concat(),
        [&[7; 4096][..], &footer(DIFFERENCING, 4096, b"win ")].concat(),
    ] {
        let report = inspect(&data);
        assert_eq!((report.format, report.fixed_vhd), (Format::Raw, None));
        assert!(matches!(
            report.verdict(&declared("vhd")),
            Err(Refusal::Mismatch { .. })
        ));
        assert!(report.verdict(&declared("raw")).is_ok());
    }
}

#[test]
fn agrees_with_images_that_qemu_makes() {
    let dir = tempfile::tempdir().unwrap();
    for (option, format) in [
        ("subformat=dynamic,force_size=on", Format::Vhd),
        ("subformat=fixed,force_size=on", Format::Raw),
    ] {
        qemu_img(
            dir.path(),
            &["create", "-q", "-f", "vpc", "-o", option, "d", "3M"],
        );
        let report = inspect(&std::fs::read(dir.path().join("d")).unwrap());
        assert_eq!(report.format, format);
        assert!(report.is_safe() && report.warnings.is_empty(), "{report}");
        assert_eq!(
            report.verdict(&declared("vhd")).unwrap().virtual_size,
            Some(3 << 20)
        );
    }
}

proptest! {
    #[test]
    fn a_footer_reads_back_as_it_was_written(kind in 0u32..6, size in 1..=(i64::MAX as u64), parent in "[a-z]{0,20}") {
        let report = inspect(&disk(kind, size, &parent));
        prop_assert_eq!(report.virtual_size, Some(size));
        prop_assert_eq!(report.is_safe(), kind != DIFFERENCING);
        if kind == DIFFERENCING && !parent.is_empty() {
            prop_assert_eq!(report.backing_file.unwrap().name.unwrap(), parent);
        }
    }
}
