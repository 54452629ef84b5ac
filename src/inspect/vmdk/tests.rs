use proptest::prelude::*;

use super::super::test_images::{
    DESCRIPTOR, VmdkImage, declared, early, hazards, inspect, inspect_in, qemu_img,
};
use super::*;
use crate::inspect::{Declared, Refusal, Rules};

fn described(descriptor: &str) -> Vec<HazardKind> {
    hazards(&inspect(&VmdkImage::described(descriptor).bytes()))
}

fn with(line: &str) -> String {
    format!("{DESCRIPTOR}{line}\n")
}

fn replaced(from: &str, to: &str) -> String {
    assert!(DESCRIPTOR.contains(from));
    DESCRIPTOR.replace(from, to)
}

#[test]
fn accepts_a_monolithic_sparse_image() {
    let report = inspect(&VmdkImage::default().bytes());
    assert_eq!(
        (report.format, report.virtual_size),
        (Format::Vmdk, Some(1 << 20))
    );
    assert!(report.is_safe() && report.warnings.is_empty(), "{report}");
    assert_eq!(report.subformat.as_deref(), Some("monolithicSparse"));
    assert_eq!(report.extents[0].file.as_deref(), Some("disk.vmdk"));
}

#[test]
fn accepts_a_stream_optimized_image_with_a_true_footer() {
    let mut image = VmdkImage::described(&replaced("monolithicSparse", "streamOptimized"));
    image.footer = Some(image.capacity);
    let report = inspect(&image.bytes());
    assert!(report.is_safe(), "{report}");
    assert_eq!(report.virtual_size, Some(1 << 20));
}

#[test]
fn accepts_carriage_returns_and_ignores_what_follows_the_first_nul() {
    assert_eq!(described(&DESCRIPTOR.replace('\n', "\r\n")), []);
    assert_eq!(described(&with("\0parentFileNameHint=\"x\"")), []);
}

#[test]
fn refuses_a_footer_with_another_capacity() {
    let image = VmdkImage {
        footer: Some(1 << 40),
        ..VmdkImage::default()
    };
    let report = inspect(&image.bytes());
    assert_eq!(hazards(&report), [HazardKind::FooterMismatch]);
    assert_eq!(report.virtual_size, Some(1 << 49));
}

#[test]
fn refuses_a_footer_that_is_missing_misplaced_or_malformed() {
    let good = VmdkImage {
        footer: Some(2048),
        ..VmdkImage::default()
    }
    .bytes();
    let end = good.len();
    let changed = |at: usize| {
        let mut data = good.clone();
        data[at] ^= 0x80;
        data
    };
    let mut shifted = good.clone();
    shifted.insert(60_000, 0);
    let bad = [
        good[..end - 512].to_vec(),
        good[..end - 1].to_vec(),
        shifted,
        changed(end - 1536 + 8),
        changed(end - 1536 + 12),
        changed(end - 1536 + 100),
        changed(end - 1024),
        changed(end - 1024 + 4),
        changed(end - 1024 + 28),
        changed(end - 1024 + 36),
        changed(end - 512),
        changed(end - 500),
        changed(end - 1),
    ];
    for data in bad {
        assert_eq!(hazards(&inspect(&data)), [HazardKind::FooterMismatch]);
    }
    let mut again = good;
    again[end - 1024 + 56..end - 1024 + 64].fill(0xff);
    assert_eq!(hazards(&inspect(&again)), [HazardKind::FooterMismatch]);
}

#[test]
fn refuses_versions_places_and_capacities_that_no_reader_should_take() {
    type Change = fn(&mut VmdkImage);
    let cases: [(Change, HazardKind); 6] = [
        (|i| i.version = 0, HazardKind::Version),
        (|i| i.version = 4, HazardKind::Version),
        (|i| i.capacity = 0, HazardKind::ZeroCapacity),
        (|i| i.descriptor_sector = 2, HazardKind::BadDescriptor),
        (|i| i.descriptor_sector = 1 + (1 << 55), HazardKind::BadDescriptor),
        (|i| i.descriptor_sectors = 0, HazardKind::BadDescriptor),
    ];
    for (change, kind) in cases {
        let mut image = VmdkImage::default();
        change(&mut image);
        assert_eq!(hazards(&inspect(&image.bytes())), [kind]);
    }
}

#[test]
fn sizes_that_overflow_are_unknown() {
    for capacity in [1 << 54, 1 << 55, u64::MAX] {
        let report = inspect(
            &VmdkImage {
                capacity,
                ..VmdkImage::default()
            }
            .bytes(),
        );
        assert_eq!(report.virtual_size, None);
    }
    // So long a descriptor is cut where QEMU cuts it; the image ends before that.
    let image = VmdkImage {
        descriptor_sectors: u64::MAX,
        ..VmdkImage::default()
    };
    assert_eq!(hazards(&inspect(&image.bytes())), [HazardKind::Truncated]);
}

#[test]
fn refuses_parents_and_change_tracking_wherever_they_stand() {
    for line in [
        "parentFileNameHint=\"/etc/passwd\"",
        "# PARENTFILENAMEHINT=\"/etc/passwd\"",
    ] {
        let report = inspect(&VmdkImage::described(&with(line)).bytes());
        assert_eq!(hazards(&report), [HazardKind::ParentReference]);
        assert_eq!(report.backing_file.unwrap().name.unwrap(), "/etc/passwd");
    }
    assert_eq!(
        described(&with("parentFileNameHint=")),
        [HazardKind::ParentReference]
    );
    assert_eq!(
        described(&with("changeTrackPath=\"a-ctk.vmdk\"")),
        [HazardKind::ChangeTrackPath]
    );
}

#[test]
fn refuses_a_parent_behind_the_declared_end_of_an_unterminated_descriptor() {
    let mut text = DESCRIPTOR.to_owned();
    text.extend(std::iter::repeat_n('#', 512 - text.len() - 1).chain(['\n']));
    let mut image = VmdkImage {
        descriptor_sectors: 1,
        ..VmdkImage::described(&text)
    };
    assert_eq!(hazards(&inspect(&image.bytes())), []);
    image.descriptor.extend(b"parentFileNameHint=\"/etc/passwd\"\n");
    assert_eq!(hazards(&inspect(&image.bytes())), [HazardKind::ParentReference]);
}

#[test]
fn refuses_two_create_types_in_any_case_and_place() {
    for line in [
        "createType=\"monolithicFlat\"",
        "CREATETYPE=\"monolithicFlat\"",
        "# createtype=\"x\"",
    ] {
        assert!(
            described(&with(line)).contains(&HazardKind::TwoCreateTypes),
            "{line}"
        );
    }
}

#[test]
fn refuses_every_create_type_that_keeps_data_elsewhere() {
    for kind in [
        "monolithicFlat",
        "twoGbMaxExtentSparse",
        "vmfs",
        "custom",
        "",
        "fullDevice",
    ] {
        let text = replaced("monolithicSparse", kind);
        assert_eq!(described(&text), [HazardKind::CreateType], "{kind}");
    }
    for spelling in [
        "createType=monolithicSparse",
        "CreateType=\"monolithicSparse\"",
        "xcreateType=\"monolithicSparse\"",
    ] {
        let text = replaced("createType=\"monolithicSparse\"", spelling);
        assert_eq!(described(&text), [HazardKind::CreateType], "{spelling}");
    }
    assert_eq!(
        described(&replaced("createType=", "creatyType=")),
        [HazardKind::CreateType]
    );
    assert_eq!(
        described(&replaced("createType=", "createType = ")),
        [HazardKind::BadDescriptor, HazardKind::CreateType]
    );
}

#[test]
fn an_operator_may_allow_fewer_create_types() {
    let report = inspect(&VmdkImage::default().bytes());
    let rules = |types: &[&str]| Rules {
        vmdk_allowed_types: types.iter().map(ToString::to_string).collect(),
        ..Rules::default()
    };
    let verdict = |types| report.verdict(&Declared::new("vmdk", "bare", rules(types)));
    assert!(verdict(&["MONOLITHICSPARSE"]).is_ok());
    for types in [&["streamOptimized"][..], &[]] {
        let Err(Refusal::Unsafe { hazards, .. }) = verdict(types) else {
            panic!()
        };
        assert_eq!(hazards[0].kind, HazardKind::CreateType);
    }
}

#[test]
fn refuses_extents_that_lead_elsewhere() {
    let extent = "RW 2048 SPARSE \"disk.vmdk\"";
    let cases = [
        ("RW 2048 SPARSE \"/etc/passwd\"", HazardKind::ExtentPath),
        ("RW 2048 SPARSE \"..\\x.vmdk\"", HazardKind::ExtentPath),
        ("RW 2048 SPARSE \"nbd:host:1\"", HazardKind::ExtentPath),
        ("RW 2048 FLAT \"sibling\" 0", HazardKind::Extent),
        ("RW 2048 ZERO", HazardKind::Extent),
        ("RW 2048 SPARSE \"a\"\nRW 2048 SPARSE \"b\"", HazardKind::Extent),
        ("", HazardKind::BadDescriptor),
    ];
    for (line, kind) in cases {
        assert_eq!(described(&replaced(extent, line)), [kind], "{line}");
    }
}

#[test]
fn refuses_lines_and_letters_it_does_not_understand() {
    assert_eq!(described(&with("what is this")), [HazardKind::BadDescriptor]);
    assert_eq!(
        described(&with("RW lots SPARSE \"x\"")),
        [HazardKind::BadDescriptor]
    );
    assert_eq!(described(&with("# ü")), [HazardKind::BadDescriptor]);
}

#[test]
fn refuses_an_image_that_ends_in_its_header_or_descriptor() {
    let data = VmdkImage::default().bytes();
    for length in [4, 63, 64, 512, 1000, 512 + 20 * 512 - 1] {
        let report = inspect(&data[..length]);
        assert_eq!(
            (report.format, hazards(&report)),
            (Format::Vmdk, vec![HazardKind::Truncated]),
            "{length}"
        );
    }
    assert!(inspect(&data[..512 + 20 * 512]).is_safe());
}

const FLAT: &str = "# Disk DescriptorFile\nversion=1\nCID=1\nparentCID=ffffffff\n\
    createType=\"monolithicFlat\"\nRW 4096 FLAT \"sibling-flat.vmdk\" 0\nRW 10 ZERO\n";

#[test]
fn refuses_a_bare_descriptor_and_reports_what_it_names() {
    let report = inspect(FLAT.as_bytes());
    assert_eq!(
        (report.format, report.virtual_size),
        (Format::Vmdk, Some(4106 * 512))
    );
    assert_eq!(hazards(&report), [HazardKind::TextDescriptor]);
    assert_eq!(report.extents[0].file.as_deref(), Some("sibling-flat.vmdk"));
}

#[test]
fn a_list_of_extents_without_end_is_reported_in_part_and_without_size() {
    let text = format!("{FLAT}{}", "RW 1 ZERO\n".repeat(50_000));
    let report = inspect(text.as_bytes());
    assert_eq!((report.extents.len(), report.virtual_size), (1024, None));
    let image = VmdkImage {
        descriptor_sectors: 960,
        ..VmdkImage::described(&text)
    };
    assert!(hazards(&inspect(&image.bytes())).contains(&HazardKind::Extent));
}

#[test]
fn refuses_a_bare_descriptor_that_claims_to_be_sparse() {
    assert_eq!(
        hazards(&inspect(DESCRIPTOR.as_bytes())),
        [HazardKind::TextDescriptor]
    );
}

#[test]
fn sees_a_bare_descriptor_wherever_qemu_or_oslo_would() {
    let comments = "# padding\n".repeat(5000);
    let texts: [Vec<u8>; 8] = [
        format!("# caf\u{e9}\n{FLAT}").into(),
        b"# a\0comment \x01 with anything\nversion=2\r\n".to_vec(),
        b"\r\n  \n#\nversion=3\nwhatever".to_vec(),
        format!("{comments}{FLAT}").into(),
        b"createType=\"custom\"".to_vec(),
        b"garbage first\nCREATETYPE \t= x\n".to_vec(),
        format!("{FLAT}\0\0\0\0").into(),
        FLAT.replace('\n', "\r\n").into(),
    ];
    for text in texts {
        for chunk in [1, 7, 4096, 1 << 20] {
            let report = inspect_in(&text, chunk);
            assert_eq!(report.format, Format::Vmdk, "{}", String::from_utf8_lossy(&text));
            assert!(hazards(&report).contains(&HazardKind::TextDescriptor));
        }
    }
}

#[test]
fn does_not_see_descriptors_in_other_text() {
    let far = format!("{}{FLAT}", "# padding line\n".repeat(80_000));
    for text in [
        "",
        "#!/bin/sh\n",
        "version=10\n",
        "version=4\n",
        "createTypes\n",
        "x\0createType=\"custom\"",
        &far,
    ] {
        assert_eq!(
            inspect(text.as_bytes()).format,
            Format::Raw,
            "{}",
            &text[..text.len().min(50)]
        );
    }
    let mut binary = FLAT.as_bytes().to_vec();
    binary.insert(0, 2);
    assert_eq!(inspect(&binary).format, Format::Raw);
}

#[test]
fn refuses_cowd() {
    let report = inspect(b"COWD\x01\0\0\0");
    assert_eq!(
        (report.format, hazards(&report)),
        (Format::Vmdk, vec![HazardKind::CreateType])
    );
}

#[test]
fn refuses_early_what_header_and_descriptor_show() {
    let hint = VmdkImage::described(&with("parentFileNameHint=\"x\"")).bytes();
    assert_eq!(early(&hint, 512 + 20 * 512 - 1, "vmdk"), None);
    assert!(early(&hint, 20_000, "vmdk").is_some());
    let empty = VmdkImage {
        capacity: 0,
        ..VmdkImage::default()
    }
    .bytes();
    assert!(early(&empty, 64, "vmdk").is_some());
    assert!(early(FLAT.as_bytes(), 100, "vmdk").is_some());
    assert!(early(FLAT.as_bytes(), 100, "raw").is_some());
    let footer = VmdkImage {
        footer: Some(1),
        ..VmdkImage::default()
    }
    .bytes();
    assert_eq!(early(&footer, footer.len(), "vmdk"), None);
}

#[test]
fn agrees_with_images_that_qemu_makes() {
    let dir = tempfile::tempdir().unwrap();
    for (kind, safe) in [
        ("monolithicSparse", true),
        ("streamOptimized", true),
        ("monolithicFlat", false),
        ("twoGbMaxExtentFlat", false),
        ("twoGbMaxExtentSparse", false),
    ] {
        let name = format!("{kind}.vmdk");
        let option = format!("subformat={kind}");
        qemu_img(
            dir.path(),
            &["create", "-q", "-f", "vmdk", "-o", &option, &name, "64M"],
        );
        let report = inspect(&std::fs::read(dir.path().join(&name)).unwrap());
        assert_eq!(report.subformat.as_deref(), Some(kind), "{report}");
        assert_eq!(report.virtual_size, Some(64 << 20), "{report}");
        assert_eq!(report.verdict(&declared("vmdk")).is_ok(), safe, "{report}");
        assert!(report.warnings.is_empty(), "{report}");
    }
    qemu_img(
        dir.path(),
        &[
            "create",
            "-q",
            "-f",
            "vmdk",
            "-b",
            "monolithicSparse.vmdk",
            "-F",
            "vmdk",
            "child.vmdk",
        ],
    );
    let report = inspect(&std::fs::read(dir.path().join("child.vmdk")).unwrap());
    assert_eq!(hazards(&report), [HazardKind::ParentReference]);
    assert_eq!(
        report.backing_file.unwrap().name.unwrap(),
        "monolithicSparse.vmdk"
    );
}

proptest! {
    #[test]
    fn a_header_reads_back_as_it_was_written(
        version in 1u32..=3,
        capacity in 1..=(i64::MAX as u64 / 512),
        descriptor_sectors in 1u64..100,
        footer in any::<bool>(),
    ) {
        let image = VmdkImage {
            version,
            capacity,
            descriptor_sectors,
            footer: footer.then_some(capacity),
            ..VmdkImage::default()
        };
        let report = inspect(&image.bytes());
        prop_assert_eq!(report.virtual_size, Some(capacity * 512));
        prop_assert!(report.is_safe(), "{}", report);
    }
}
