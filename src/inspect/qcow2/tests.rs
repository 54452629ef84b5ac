use proptest::prelude::*;

use super::super::test_images::{Qcow2Image, declared, early, hazards, inspect, qemu_img};
use super::*;
use crate::inspect::Refusal;

fn image(change: impl FnOnce(&mut Qcow2Image)) -> Vec<u8> {
    let mut image = Qcow2Image::default();
    change(&mut image);
    image.bytes()
}

#[test]
fn accepts_versions_2_and_3() {
    for version in [2, 3] {
        let report = inspect(&image(|i| i.version = version));
        assert_eq!(
            (report.format, report.virtual_size),
            (Format::Qcow2, Some(1 << 30))
        );
        assert!(report.is_safe() && report.warnings.is_empty(), "{report}");
    }
}

#[test]
fn refuses_other_versions_but_names_them_qcow2() {
    for version in [0, 1, 4, u32::MAX] {
        let report = inspect(&image(|i| i.version = version));
        assert_eq!(
            (report.format, hazards(&report)),
            (Format::Qcow2, vec![HazardKind::Version])
        );
    }
}

#[test]
fn refuses_a_backing_file_and_names_it() {
    let report = inspect(&image(|i| i.backing = Some((512, b"/etc/passwd".to_vec()))));
    assert_eq!(hazards(&report), [HazardKind::BackingFile]);
    assert_eq!(report.backing_file.unwrap().name.unwrap(), "/etc/passwd");
}

#[test]
fn refuses_a_backing_file_whose_name_is_empty_or_out_of_reach() {
    for (offset, name) in [(512, vec![]), (600_000, b"far".to_vec()), (512, vec![b'x'; 5000])] {
        let report = inspect(&image(|i| i.backing = Some((offset, name))));
        assert_eq!(hazards(&report), [HazardKind::BackingFile]);
        assert_eq!(report.backing_file.as_ref().unwrap().name, None);
        assert!(report.to_json()["backing_file"].is_string());
    }
    let mut wild = image(|_| {});
    wild[8..16].fill(0xff);
    assert_eq!(hazards(&inspect(&wild)), [HazardKind::BackingFile]);
}

#[test]
fn a_name_ends_at_a_nul_and_an_empty_one_counts() {
    let named = |name: &[u8]| {
        let report = inspect(&image(|i| i.backing = Some((200, name.to_vec()))));
        assert_eq!(hazards(&report), [HazardKind::BackingFile]);
        report.backing_file.unwrap().name
    };
    assert_eq!(named(b"base\0rest").as_deref(), Some("base"));
    assert_eq!(named(b"\0\0"), None);
}

#[test]
fn reports_a_name_that_is_not_utf_8() {
    let report = inspect(&image(|i| i.backing = Some((200, b"/tmp/\xff\xfe".to_vec()))));
    assert_eq!(
        report.backing_file.unwrap().name.unwrap(),
        "/tmp/\u{fffd}\u{fffd}"
    );
}

#[test]
fn refuses_an_external_data_file_with_or_without_its_name() {
    let report = inspect(&image(|i| i.incompatible = 4));
    assert_eq!(hazards(&report), [HazardKind::DataFile]);
    assert!(report.data_file.is_some_and(|file| file.name.is_none()));

    let report = inspect(&image(|i| {
        i.incompatible = 4;
        i.extensions = vec![
            (0x6803_f857, vec![0; 144]),
            (DATA_FILE_NAME, b"/dev/sda".to_vec()),
        ];
    }));
    assert_eq!(hazards(&report), [HazardKind::DataFile]);
    assert_eq!(report.data_file.unwrap().name.unwrap(), "/dev/sda");
}

#[test]
fn refuses_a_data_file_name_though_the_feature_bit_is_clear() {
    for version in [2, 3] {
        let report = inspect(&image(|i| {
            i.version = version;
            i.extensions = vec![(DATA_FILE_NAME, b"json:{}".to_vec())];
        }));
        assert_eq!(hazards(&report), [HazardKind::DataFile]);
        assert_eq!(report.data_file.unwrap().name.unwrap(), "json:{}");
    }
}

#[test]
fn does_not_take_an_extension_length_of_version_2_for_features() {
    // The length stands at bytes 76 to 79, where version 3 has its incompatible features.
    let report = inspect(&image(|i| {
        i.version = 2;
        i.extensions = vec![(0xe279_2aca, b"qcow".to_vec())];
    }));
    assert!(report.is_safe(), "{report}");
}

#[test]
fn refuses_extended_l2_and_unknown_features_but_not_dirty_corrupt_or_zstd() {
    for bit in 0..64 {
        let report = inspect(&image(|i| i.incompatible = 1 << bit));
        let expected = match bit {
            0 | 1 | 3 => vec![],
            2 => vec![HazardKind::DataFile],
            _ => vec![HazardKind::UnknownIncompatibleFeatures],
        };
        assert_eq!(hazards(&report), expected, "bit {bit}");
    }
}

#[test]
fn a_file_shorter_than_oslo_needs_is_qcow2_all_the_same() {
    let report = inspect(&image(|i| {
        i.length = 123;
        i.extensions = vec![(DATA_FILE_NAME, b"/dev/sda".to_vec())];
    }));
    assert_eq!((report.format, report.bytes), (Format::Qcow2, 123));
    assert_eq!(report.data_file.unwrap().name.unwrap(), "/dev/sda");

    let short = image(|i| i.length = 0);
    assert_eq!(short.len(), 104);
    assert!(inspect(&short).is_safe());
}

#[test]
fn refuses_a_header_cut_at_any_byte() {
    let whole = image(|i| i.length = 0);
    for length in 4..whole.len() {
        let report = inspect(&whole[..length]);
        assert_eq!(
            (report.format, hazards(&report)),
            (Format::Qcow2, vec![HazardKind::Truncated])
        );
    }
    assert_eq!(inspect(&whole[..3]).format, Format::Raw);
}

#[test]
fn a_data_file_name_cut_by_the_end_counts() {
    let whole = image(|i| {
        i.length = 0;
        i.extensions = vec![(DATA_FILE_NAME, b"/etc/shadow".to_vec())];
    });
    for length in 108..whole.len() {
        assert_eq!(
            hazards(&inspect(&whole[..length])),
            [HazardKind::DataFile],
            "{length}"
        );
    }
}

#[test]
fn refuses_extensions_that_go_on_past_what_is_kept() {
    let long = |bits| {
        inspect(&image(|i| {
            i.cluster_bits = bits;
            i.extensions = vec![(1, vec![0; 70_000]), (DATA_FILE_NAME, b"x".to_vec())];
        }))
    };
    assert_eq!(hazards(&long(21)), [HazardKind::HeaderExtensions]);
    // With clusters of 64 KiB there is no room for it, and no reader goes on.
    assert!(long(16).is_safe() && long(16).warnings.len() == 1);
}

#[test]
fn warns_of_what_qemu_refuses_to_open() {
    let changes: [fn(&mut Qcow2Image); 4] = [
        |i| i.cluster_bits = 8,
        |i| i.cluster_bits = 64,
        |i| i.header_length = 0,
        |i| i.header_length = 109,
    ];
    for change in changes {
        let report = inspect(&image(change));
        assert!(report.is_safe() && report.warnings.len() == 1, "{report}");
    }
}

#[test]
fn zero_and_unrepresentable_sizes_are_no_sizes() {
    for size in [0, 1 << 63, u64::MAX] {
        assert_eq!(inspect(&image(|i| i.size = size)).virtual_size, None);
    }
    assert_eq!(
        inspect(&image(|i| i.size = i64::MAX as u64)).virtual_size,
        Some(i64::MAX as u64)
    );
}

#[test]
fn header_hazards_refuse_early_even_when_declared_raw() {
    let hostile = [
        (16, image(|i| i.backing = Some((512, b"/etc/passwd".to_vec())))),
        (80, image(|i| i.incompatible = 4)),
        (80, image(|i| i.incompatible = 16)),
        (8, image(|i| i.version = 1)),
        (
            108,
            image(|i| i.extensions = vec![(DATA_FILE_NAME, b"x".to_vec())]),
        ),
    ];
    for (decided, data) in hostile {
        for disk_format in ["raw", "qcow2"] {
            assert_eq!(early(&data, decided - 1, disk_format), None);
            let refusal = early(&data, decided, disk_format);
            assert!(
                matches!(refusal, Some(Refusal::Unsafe { .. })),
                "{decided}: {refusal:?}"
            );
        }
    }
}

#[test]
fn agrees_with_images_that_qemu_makes() {
    let dir = tempfile::tempdir().unwrap();
    let made = |name: &str, arguments: &[&str]| {
        qemu_img(
            dir.path(),
            &[&["create", "-q", "-f", "qcow2"], arguments].concat(),
        );
        inspect(&std::fs::read(dir.path().join(name)).unwrap())
    };
    for (name, options) in [
        ("v2", "compat=0.10"),
        ("v3", "compat=1.1"),
        ("zstd", "compression_type=zstd"),
        ("c", "cluster_size=2M"),
    ] {
        let report = made(name, &["-o", options, name, "64M"]);
        assert_eq!(
            report.verdict(&declared("qcow2")).unwrap().virtual_size,
            Some(64 << 20),
            "{report}"
        );
        assert!(report.warnings.is_empty(), "{report}");
    }
    for compat in ["compat=0.10", "compat=1.1"] {
        let report = made("over", &["-o", compat, "-b", "v3", "-F", "qcow2", "over"]);
        assert_eq!(hazards(&report), [HazardKind::BackingFile]);
        assert_eq!(report.backing_file.unwrap().name.unwrap(), "v3");
    }
    let report = made("ext", &["-o", "data_file=ext.raw", "ext", "64M"]);
    assert_eq!(hazards(&report), [HazardKind::DataFile]);
    assert_eq!(report.data_file.unwrap().name.unwrap(), "ext.raw");
    let report = made("l2", &["-o", "extended_l2=on", "l2", "64M"]);
    assert_eq!(hazards(&report), [HazardKind::UnknownIncompatibleFeatures]);
}

#[test]
fn reports_encryption_compression_snapshots_and_the_backing_format() {
    let dir = tempfile::tempdir().unwrap();
    let detail = |report: &crate::inspect::Report, name: &str| {
        let found = report.details.iter().find(|detail| detail.name == name);
        found.map(|detail| detail.value.clone())
    };
    let make = |options: &str| {
        let secret = "secret,id=s,data=s";
        qemu_img(
            dir.path(),
            &[
                "create", "-q", "--object", secret, "-f", "qcow2", "-o", options, "i", "1M",
            ],
        );
        inspect(&std::fs::read(dir.path().join("i")).unwrap())
    };
    let report = make("encrypt.format=luks,encrypt.key-secret=s,encrypt.iter-time=10,compression_type=zstd");
    assert!(report.is_safe() && report.warnings.is_empty(), "{report}");
    assert_eq!(detail(&report, "encryption").as_deref(), Some("LUKS"));
    assert!(detail(&report, "encryption_header").is_some());
    assert_eq!(detail(&report, "compression").as_deref(), Some("zstd"));
    assert_eq!(detail(&report, "cluster_size").as_deref(), Some("65536"));
    assert_eq!(detail(&report, "version").as_deref(), Some("3"));
    make("compat=0.10");
    qemu_img(dir.path(), &["snapshot", "-c", "one", "i"]);
    let report = inspect(&std::fs::read(dir.path().join("i")).unwrap());
    assert_eq!(detail(&report, "snapshots").as_deref(), Some("1"));
    assert_eq!(detail(&report, "version").as_deref(), Some("2"));
    let backed = image(|i| {
        i.backing = Some((512, b"base".to_vec()));
        i.extensions = vec![(BACKING_FORMAT, b"raw".to_vec())];
    });
    assert_eq!(
        detail(&inspect(&backed), "backing_format").as_deref(),
        Some("raw")
    );
}

#[test]
fn a_thousand_extensions_make_no_long_report() {
    let many = image(|i| i.extensions = vec![(BACKING_FORMAT, b"raw".to_vec()); 1000]);
    assert!(inspect(&many).details.len() <= 32);
}

#[test]
fn tables_that_qemu_will_not_open_are_warnings() {
    let mut data = image(|_| {});
    data[36..40].copy_from_slice(&1_u32.to_be_bytes());
    let report = inspect(&data);
    assert!(
        report.is_safe() && report.warnings[0].contains("too short"),
        "{report}"
    );
    data[36..40].fill(0xff);
    data[60..64].fill(0xff);
    let report = inspect(&data);
    assert!(report.is_safe() && report.warnings.len() == 2, "{report}");
}

proptest! {
    #[test]
    fn a_header_reads_back_as_it_was_written(
        version in 2u32..=3,
        size in 1..=i64::MAX as u64,
        cluster_bits in 9u32..=21,
        features in 0u64..64,
        name in proptest::option::of("[a-z/:{}.]{1,200}"),
    ) {
        let image = Qcow2Image {
            version,
            size,
            cluster_bits,
            incompatible: features,
            backing: name.clone().map(|name| (256, name.into_bytes())),
            ..Qcow2Image::default()
        };
        let report = inspect(&image.bytes());
        prop_assert_eq!(report.format, Format::Qcow2);
        prop_assert_eq!(report.virtual_size, Some(size));
        prop_assert_eq!(report.backing_file.and_then(|file| file.name), name.clone());
        let features = if version == 3 { features } else { 0 };
        prop_assert_eq!(report.data_file.is_some(), features & 4 != 0);
        prop_assert_eq!(report.hazards.is_empty(), name.is_none() && features & !0b1011 == 0);
    }
}
