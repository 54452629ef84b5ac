use proptest::prelude::*;

use super::test_images::{DESCRIPTOR, Qcow2Image, VmdkImage, declared, early, inspect, inspect_in};
use super::*;

/// Marked images of every format that is known by its mark alone.
fn marked() -> Vec<(Format, Vec<u8>)> {
    let at = |offset: usize, mark: &[u8]| {
        let mut data = vec![0; 40_000];
        data[offset..offset + mark.len()].copy_from_slice(mark);
        data
    };
    vec![
        (Format::Vhd, at(0, b"conectix")),
        (Format::Vhdx, at(0, b"vhdxfile")),
        (Format::Vdi, at(64, &0xbeda_107f_u32.to_le_bytes())),
        (Format::Iso, at(32_769, b"CD001")),
        (Format::Iso, at(32_769, b"NSR02")),
        (Format::Iso, at(32_769, b"NSR03")),
        (Format::Luks, at(0, b"LUKS\xba\xbe\0\x01")),
        (Format::Gpt, at(510, b"\x55\xaa")),
        (Format::Qed, at(0, b"QED\0")),
    ]
}

fn overlay(one: &[u8], other: &[u8]) -> Vec<u8> {
    one.iter().zip(other).map(|(a, b)| a | b).collect()
}

fn verdict(data: &[u8], disk_format: &str) -> Result<Option<u64>, Refusal> {
    inspect(data)
        .verdict(&declared(disk_format))
        .map(|accepted| accepted.virtual_size)
}

#[test]
fn names_are_glances_and_lead_back() {
    for format in Format::ALL {
        assert_eq!(Format::from_name(&format.to_string()), Some(format));
    }
    assert_eq!(
        DiskFormat::from_name("ploop"),
        DiskFormat::Other("ploop".to_owned())
    );
}

#[test]
fn recognises_every_format_by_its_mark() {
    for (format, data) in marked() {
        let report = inspect(&data);
        assert_eq!(report.format, format);
        assert!(matches!(verdict(&data, "qcow2"), Err(Refusal::Mismatch { .. })));
        assert_eq!(verdict(&data, "raw").is_ok(), report.is_safe(), "{report}");
    }
}

#[test]
fn a_bootable_iso_is_an_iso_and_any_other_pair_is_refused() {
    let images = marked();
    let qcow2 = Qcow2Image {
        length: 40_000,
        ..Qcow2Image::default()
    }
    .bytes();
    let (iso, gpt, vdi) = (&images[3].1, &images[7].1, &images[2].1);
    let hybrid = overlay(iso, gpt);
    assert_eq!(inspect(&hybrid).format, Format::Iso);
    assert_eq!(verdict(&hybrid, "iso"), Ok(None));
    assert_eq!(
        inspect(&hybrid).details.len(),
        1,
        "the partition table is reported"
    );
    assert!(matches!(verdict(&hybrid, "gpt"), Err(Refusal::Mismatch { .. })));
    for pair in [
        overlay(&qcow2, gpt),
        overlay(vdi, iso),
        overlay(&overlay(vdi, iso), gpt),
    ] {
        for disk_format in ["raw", "qcow2", "iso", "vdi", "gpt", "ami"] {
            let Err(Refusal::Unsafe { hazards, .. }) = verdict(&pair, disk_format) else {
                panic!("{disk_format}")
            };
            assert!(
                hazards
                    .iter()
                    .any(|hazard| hazard.kind == HazardKind::MultipleFormats)
            );
        }
    }
}

#[test]
fn matches_by_glances_rules() {
    let qcow2 = Qcow2Image::default().bytes();
    let raw = vec![0; 5000];
    assert_eq!(verdict(&qcow2, "qcow2"), Ok(Some(1 << 30)));
    assert_eq!(verdict(&qcow2, "raw"), Ok(Some(qcow2.len() as u64)));
    assert_eq!(verdict(&raw, "raw"), Ok(Some(5000)));
    assert_eq!(verdict(b"", "raw"), Ok(None));
    for unknown in ["ami", "ari", "aki", "ploop"] {
        assert_eq!(verdict(&raw, unknown), Ok(None));
        assert!(matches!(verdict(&qcow2, unknown), Err(Refusal::Mismatch { .. })));
    }
    for format in ["qcow2", "vmdk", "vhd", "vhdx", "vdi", "iso", "gpt", "luks", "qed"] {
        let refusal = verdict(&raw, format).unwrap_err();
        assert!(matches!(refusal, Refusal::Mismatch { .. }));
    }
    assert_eq!(
        verdict(&qcow2, "vmdk").unwrap_err().to_string(),
        "the data is qcow2, but disk_format is vmdk: upload vmdk data, or set disk_format to qcow2"
    );
}

#[test]
fn a_mismatch_may_be_allowed_but_a_hazard_not() {
    let rules = Rules {
        format_match: FormatMatch::Optional,
        ..Rules::default()
    };
    let lenient = Declared::new("vmdk", "bare", rules);
    assert_eq!(
        inspect(&Qcow2Image::default().bytes()).verdict(&lenient),
        Ok(Accepted { virtual_size: None })
    );
    let hostile = Qcow2Image {
        incompatible: 4,
        ..Qcow2Image::default()
    }
    .bytes();
    let refusal = inspect(&hostile).verdict(&lenient).unwrap_err();
    assert!(refusal.to_string().contains("data_file"), "{refusal}");
    let mut inspector = Inspector::new();
    inspector.push(&hostile);
    assert_eq!(inspector.early_refusal(&lenient), Some(refusal));
}

#[test]
fn only_bare_containers_are_inspected() {
    let hostile = Qcow2Image {
        incompatible: 4,
        ..Qcow2Image::default()
    }
    .bytes();
    let declared = Declared::new("vmdk", "ova", Rules::default());
    assert!(!declared.is_inspected());
    let mut inspector = Inspector::new();
    inspector.push(&hostile);
    assert_eq!(inspector.early_refusal(&declared), None);
    assert_eq!(
        inspector.finish().verdict(&declared),
        Ok(Accepted { virtual_size: None })
    );
}

#[test]
fn an_operator_may_make_a_gpt_check_nonfatal() {
    let rules = Rules {
        gpt_safety_checks_nonfatal: vec!["mbr".to_owned()],
        ..Rules::default()
    };
    let lenient = |disk_format| Declared::new(disk_format, "bare", rules.clone());
    let mut report = inspect(&marked()[7].1);
    assert!(report.verdict(&declared("gpt")).is_err());
    assert!(report.verdict(&lenient("gpt")).is_ok());
    // Only there: the name means nothing for other formats.
    report.format = Format::Luks;
    assert!(report.verdict(&lenient("luks")).is_err());
}

#[test]
fn reports_as_json_with_exactly_these_keys() {
    let image = Qcow2Image {
        backing: Some((512, b"/etc/passwd".to_vec())),
        ..Qcow2Image::default()
    };
    let json = inspect(&image.bytes()).to_json();
    let mut keys: Vec<_> = json.as_object().unwrap().keys().map(String::as_str).collect();
    keys.sort_unstable();
    assert_eq!(
        keys,
        [
            "backing_file",
            "bytes",
            "content",
            "data_file",
            "details",
            "extents",
            "fixed_vhd_size",
            "format",
            "hazards",
            "partitions",
            "reasons",
            "safe",
            "subformat",
            "virtual_size",
            "warnings"
        ]
    );
    assert_eq!(json["backing_file"], "/etc/passwd");
    assert_eq!(json["safe"], false);
    assert_eq!(json["reasons"].as_array().unwrap().len(), 1);
    assert_eq!(json["hazards"][0]["name"], "backing_file");
    assert_eq!(json["hazards"][0]["offset"], 8);
    let json = inspect(b"raw").to_json();
    for (key, value) in json.as_object().unwrap() {
        let expected = match key.as_str() {
            "format" => serde_json::json!("raw"),
            "bytes" | "virtual_size" => serde_json::json!(3),
            "safe" => serde_json::json!(true),
            "details" => serde_json::json!({}),
            "reasons" | "extents" | "partitions" | "hazards" | "warnings" => serde_json::json!([]),
            _ => serde_json::Value::Null,
        };
        assert_eq!(*value, expected, "{key}");
    }
}

#[test]
fn reports_as_text_without_letting_an_image_control_the_terminal() {
    let image = Qcow2Image {
        backing: Some((512, b"\x1b[2Jx\ny".to_vec())),
        ..Qcow2Image::default()
    };
    let text = inspect(&image.bytes()).to_string();
    assert!(
        text.contains("format:        qcow2\n") && text.contains("safe:          no\n"),
        "{text}"
    );
    assert!(
        !text.contains('\x1b') && text.contains("\\u{1b}[2Jx\\ny"),
        "{text}"
    );
}

#[test]
fn refuses_a_mismatch_as_soon_as_it_can_say_what_the_data_is() {
    let raw = vec![0; 2 << 20];
    // A disc shows behind its system area.
    for format in ["qcow2", "vhdx", "luks", "qed", "vmdk", "vdi", "gpt", "iso"] {
        assert_eq!(early(&raw, 32_769, format), None);
        let refusal = early(&raw, 33_300, format).unwrap().to_string();
        assert!(
            refusal.starts_with("the data is raw, but disk_format is"),
            "{refusal}"
        );
    }
    // A fixed VHD shows in its last sector.
    for format in ["vhd", "raw", "ami"] {
        assert_eq!(early(&raw, raw.len(), format), None);
    }
    let qcow2 = Qcow2Image::default().bytes();
    assert_eq!(early(&qcow2, qcow2.len(), "qcow2"), None);
    for format in ["ami", "vhd", "vmdk", "ploop"] {
        let refusal = early(&qcow2, 4, format).unwrap().to_string();
        let told = format!("the data is qcow2, but disk_format is {format}");
        assert!(refusal.starts_with(&told), "{refusal}");
    }
    let gzip = [vec![0x1f, 0x8b, 8], vec![9; 40_000]].concat();
    let refusal = early(&gzip, gzip.len(), "qcow2").unwrap().to_string();
    assert!(refusal.contains("raw (gzip)"), "{refusal}");
    // Text could become a VMDK's descriptor, which may be a mebibyte long.
    let text = b"# nothing to see\n".repeat(70_000);
    assert_eq!(early(&text, 500_000, "qcow2"), None);
    assert!(early(&text, 1 << 20, "qcow2").is_some());
}

#[test]
fn a_partition_table_does_not_rule_out_an_iso_yet_to_come() {
    let images = marked();
    let hybrid = overlay(&images[3].1, &images[7].1);
    assert_eq!(early(&hybrid, 1024, "iso"), None);
    assert_eq!(early(&hybrid, hybrid.len(), "iso"), None);
    assert!(early(&hybrid, hybrid.len(), "gpt").is_some());
}

#[test]
fn keeps_little_of_a_long_raw_image() {
    let chunk = vec![7; 1 << 20];
    let mut inspector = Inspector::new();
    for _ in 0..64 {
        inspector.push(&chunk);
    }
    assert!(!inspector.evidence.is_collecting());
    assert!(inspector.evidence.kept() <= window::HEAD);
    assert_eq!(inspector.finish().virtual_size, Some(64 << 20));
}

#[test]
fn one_byte_at_a_time_costs_no_more_than_a_few_passes() {
    // Text that stays undecided for a whole mebibyte is the slowest input there is.
    let text = b"# nothing to see\n".repeat(70_000);
    // Of this thread's own time, whatever else the machine does: of a pass for each byte it would be hours.
    let spent = || rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime).tv_sec;
    let before = spent();
    assert_eq!(inspect_in(&text, 1).format, Format::Raw);
    assert!(spent() - before < 20, "{} s", spent() - before);
}

fn samples() -> Vec<Vec<u8>> {
    let hint = format!("{DESCRIPTOR}parentFileNameHint=\"x\"\n");
    let mut samples: Vec<_> = marked().into_iter().map(|(_, data)| data).collect();
    samples.extend([
        Qcow2Image::default().bytes(),
        Qcow2Image {
            version: 2,
            length: 123,
            ..Qcow2Image::default()
        }
        .bytes(),
        Qcow2Image {
            backing: Some((300, b"b".to_vec())),
            extensions: vec![(1, vec![1; 9]), (0x4441_5441, b"d".to_vec())],
            ..Qcow2Image::default()
        }
        .bytes(),
        VmdkImage::default().bytes(),
        VmdkImage {
            footer: Some(2048),
            ..VmdkImage::described(&hint)
        }
        .bytes(),
        VmdkImage {
            descriptor_sectors: 1900,
            footer: Some(5),
            ..VmdkImage::default()
        }
        .bytes(),
        DESCRIPTOR.as_bytes().to_vec(),
        format!("{}{hint}", "# padding\n".repeat(9000)).into_bytes(),
        b"no format at all".repeat(6000),
        vhd::tests::disk(3, 1 << 30, ""),
        vhd::tests::disk(4, 1 << 30, "base.vhd"),
        vdi::tests::disk(1, 1 << 30),
        [b"WithouFreSpacExt".to_vec(), vec![2; 600]].concat(),
        [vec![0; 4096], vhd::tests::disk(2, 4096, "")].concat(),
    ]);
    samples
}

prop_compose! {
    /// A sample with a few bytes changed, perhaps cut.
    fn mutated()(
        sample in proptest::sample::select(samples()),
        changes in proptest::collection::vec((any::<proptest::sample::Index>(), any::<u8>(), any::<bool>()), 0..12),
        cut in proptest::option::weighted(0.3, any::<proptest::sample::Index>()),
    ) -> Vec<u8> {
        let mut data = sample;
        for (index, value, near) in changes {
            let range = if near { data.len().min(1024) } else { data.len() };
            let at = index.index(range);
            data[at] = value;
        }
        if let Some(cut) = cut {
            data.truncate(cut.index(data.len()));
        }
        data
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn the_answer_does_not_depend_on_the_chunks(data in mutated(), cuts in proptest::collection::vec(1usize..9000, 1..20)) {
        let whole = inspect(&data);
        prop_assert_eq!(&inspect_in(&data, 1), &whole);
        prop_assert_eq!(&inspect_in(&data, 1 << 20), &whole);
        let mut inspector = Inspector::new();
        let mut rest = data.as_slice();
        for cut in cuts.iter().cycle() {
            let (chunk, after) = rest.split_at((*cut).min(rest.len()));
            inspector.push(chunk);
            rest = after;
            if rest.is_empty() { break }
        }
        prop_assert_eq!(&inspector.finish(), &whole);
    }

    #[test]
    fn an_early_refusal_is_never_taken_back(data in mutated(), step in 1usize..5000) {
        let report = inspect(&data);
        let kinds = |refusal: &Refusal| match refusal {
            Refusal::Unsafe { hazards, .. } => hazards.iter().map(|hazard| hazard.kind).collect(),
            Refusal::Mismatch { .. } | Refusal::UnsafeArchive { .. } => Vec::new(),
        };
        // A mismatch hides the hazards, which a verdict without that rule names.
        let safety = report.verdict(&Declared::new("raw", "bare", Rules::default()));
        let safety = safety.err().map(|refusal| kinds(&refusal)).unwrap_or_default();
        for name in ["raw", "qcow2", "vmdk", "iso", "gpt", "vhd", "vdi", "ami"] {
            let declared = declared(name);
            let mut inspector = Inspector::new();
            for chunk in data.chunks(step) {
                inspector.push(chunk);
                let Some(refusal) = inspector.early_refusal(&declared) else { continue };
                prop_assert!(report.verdict(&declared).is_err(), "{name}: {refusal}");
                prop_assert!(kinds(&refusal).iter().all(|kind| safety.contains(kind)), "{name}: {refusal}");
            }
        }
    }

    #[test]
    fn no_mutation_makes_it_keep_more_than_its_bound(data in mutated(), more in 0_usize..3, step in 1000_usize..2_000_000) {
        let mut inspector = Inspector::new();
        // Something behind the image, for what it may ask to keep of it.
        let tail = data.repeat(more * (1 << 21) / data.len().max(1));
        for chunk in data.chunks(step).chain(tail.chunks(step)) {
            inspector.push(chunk);
            prop_assert!(inspector.evidence.kept() <= window::KEPT_MAX);
        }
        let report = inspector.finish();
        prop_assert!(report.hazards.len() <= 32 && report.warnings.len() <= 32);
        prop_assert!(report.extents.len() <= 1024 && report.partitions.len() <= 128);
        prop_assert!(report.to_json().to_string().len() < 1 << 20);
    }

    #[test]
    fn no_bytes_make_it_panic(data in proptest::collection::vec(any::<u8>(), 0..2000), magic in 0usize..4) {
        let magic = [&b""[..], b"QFI\xfb\0\0\0\x03", b"KDMV", b"# Disk\nversion=1\n"][magic];
        let report = inspect(&[magic, &data].concat());
        prop_assert!(!report.to_string().is_empty());
    }
}
