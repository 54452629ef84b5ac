//! Disk images: where a format's structures lie, and what holds of every inspection.

use std::{cell::RefCell, ffi::OsString, sync::LazyLock};

use crc::{CRC_32_ISCSI, Crc, Table};
use saccade::inspect::{
    Archives, Declared, Format, FormatMatch, HazardKind, Inspection, Inspector, Report, Rules,
};

use crate::{chunks, within};

const KIB: usize = 1024;

/// How an input becomes an image.
#[derive(Clone, Copy)]
pub struct Layout {
    /// A format's structures: offset and room of each. An input fills them one after the other, so that the fuzzer need
    /// not get past the zeros between them; what is left over follows the last.
    structures: &'static [(usize, usize)],
    /// How long the image at least is, if the input is not too short for all structures.
    padded: usize,
    /// Puts right what the fuzzer would not: checksums, distances.
    seal: fn(&mut Vec<u8>),
}

/// A checksum that stands for the right one: the fuzzer would not find that.
const RIGHT: &[u8] = b"sum!";

/// Structures that follow each other.
pub const DENSE: Layout = Layout {
    structures: &[],
    padded: 0,
    seal: |_| {},
};
/// The same with footers, which are sealed, and the header as far behind the first as that says.
pub const VHD: Layout = Layout {
    seal: seal_vhd,
    ..DENSE
};
/// A system area with a master boot record, then volume descriptors.
pub const ISO: Layout = Layout {
    structures: &[(0, 512), (32 * KIB, 0)],
    ..DENSE
};
/// File identifier, two headers, two region tables of three entries, metadata table, items.
pub const VHDX: Layout = Layout {
    structures: &[
        (0, 16),
        (64 * KIB, 80),
        (128 * KIB, 80),
        (192 * KIB, 112),
        (256 * KIB, 112),
        (320 * KIB, 256),
        (384 * KIB, 0),
    ],
    // Tables are read whole or not at all.
    padded: 448 * KIB,
    seal: seal_vhdx,
};

/// Shorter ones are not padded.
const COMPLETE: usize = 400;

impl Layout {
    fn lay_out(&self, input: &[u8], image: &mut Vec<u8>) {
        image.clear();
        let mut rest = input;
        for &(offset, room) in self.structures {
            if rest.is_empty() {
                break;
            }
            let (part, after) = rest.split_at(if room == 0 {
                rest.len()
            } else {
                room.min(rest.len())
            });
            image.resize(offset, 0);
            image.extend_from_slice(part);
            rest = after;
        }
        image.extend_from_slice(rest);
        if input.len() > COMPLETE {
            image.resize(image.len().max(self.padded), 0);
        }
        (self.seal)(image);
    }
}

fn seal_vhd(image: &mut Vec<u8>) {
    if let Some(offset) = image.get(16..24) {
        let offset = u64::from_be_bytes(offset.try_into().unwrap());
        let far = 60 * KIB as u64..=256 * KIB as u64;
        if image.starts_with(b"conectix") && image.len() > 1536 && far.contains(&offset) {
            let header = image.split_off(512);
            image.resize(offset as usize, 0);
            image.extend(header);
        }
    }
    let footer = |sector: &mut [u8]| {
        if sector.starts_with(b"conectix") && sector[64..].starts_with(RIGHT) {
            sector[64..68].fill(0);
            let sum: u32 = sector.iter().map(|&byte| u32::from(byte)).sum();
            sector[64..68].copy_from_slice(&(!sum).to_be_bytes());
        }
    };
    // In front, and behind: old ones are a byte shorter.
    for length in [512, 511] {
        if let Some(start) = image.len().checked_sub(length) {
            footer(&mut image[..length]);
            footer(&mut image[start..]);
        }
    }
}

fn seal_vhdx(image: &mut Vec<u8>) {
    static CRC_32C: Crc<u32, Table<16>> = Crc::<u32, Table<16>>::new(&CRC_32_ISCSI);
    for (offset, length) in [(64, 4), (128, 4), (192, 64), (256, 64)] {
        if let Some(structure) = image.get_mut(offset * KIB..(offset + length) * KIB)
            && structure[4..].starts_with(RIGHT)
        {
            structure[4..8].fill(0);
            let sum = CRC_32C.checksum(structure);
            structure[4..8].copy_from_slice(&sum.to_le_bytes());
        }
    }
}

/// Give the image that an input stands for. `SACCADE_FUZZ_IMAGE=FILE` writes it, to be looked at with `saccade inspect`.
pub fn with_image(layout: &Layout, input: &[u8], check: impl FnOnce(&[u8])) {
    thread_local! {
        // Half a mebibyte, which is not asked of the system for every input.
        static IMAGE: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
    }
    static FILE: LazyLock<Option<OsString>> = LazyLock::new(|| std::env::var_os("SACCADE_FUZZ_IMAGE"));
    IMAGE.with_borrow_mut(|image| {
        layout.lay_out(input, image);
        if let Some(file) = &*FILE {
            std::fs::write(file, &image).unwrap();
        }
        check(image);
    });
}

/// What images are tried as, by rules of Glance's and by others.
static DECLARED: LazyLock<Vec<Declared>> = LazyLock::new(|| {
    let strict = Rules {
        vmdk_allowed_types: vec!["streamOptimized".to_owned()],
        ..Rules::default()
    };
    let lenient = Rules {
        format_match: FormatMatch::Optional,
        gpt_safety_checks_nonfatal: vec!["mbr".to_owned()],
        ..Rules::default()
    };
    let plain = [
        "raw", "qcow2", "vmdk", "vhd", "vhdx", "vdi", "iso", "gpt", "luks", "ami",
    ];
    plain
        .map(|disk_format| Declared::new(disk_format, "bare", Rules::default()))
        .into_iter()
        .chain([
            Declared::new("vmdk", "bare", strict),
            Declared::new("gpt", "bare", lenient.clone()),
            Declared::new("vhd", "bare", lenient),
            Declared::new("qcow2", "docker", Rules::default()),
        ])
        .collect()
});

/// Inspect in chunks; with it, whether each declaration was refused before the end.
fn inspect(image: &[u8], seed: u64, declared: [&Declared; 2]) -> (Report, [bool; 2]) {
    let mut inspector = Inspector::new();
    let mut refused = [false; 2];
    for chunk in chunks(image, seed) {
        inspector.push(chunk);
        for (refused, declared) in refused.iter_mut().zip(declared) {
            let now = inspector.early_refusal(declared).is_some();
            assert!(now || !*refused, "an early refusal was taken back: {declared:?}");
            *refused = now;
        }
    }
    (inspector.finish(), refused)
}

/// Whatever is inspected: the answer depends on the bytes alone, an early refusal stands, memory and the report are
/// bounded, the report can be shown, and nothing that QEMU or a reader of the format would take for one passes as raw.
///
/// `seed` chooses the chunks, and of what a client may declare, what else than raw the image is tried as.
pub fn check(image: &[u8], seed: u64) -> Report {
    let (raw, others) = DECLARED.split_first().unwrap();
    let declared = [raw, &others[(seed % others.len() as u64) as usize]];
    // 1 MiB + 128 KiB are kept, as much again in passing, and the report.
    let (report, refused) = within(4 << 20, || inspect(image, seed, declared));
    let whole = within(4 << 20, || {
        let mut inspector = Inspector::new();
        inspector.push(image);
        inspector.finish()
    });
    assert_eq!(report, whole, "the answer depends on the chunks");
    for (refused, declared) in refused.into_iter().zip(declared) {
        let verdict = report.verdict(declared);
        assert!(
            !refused || verdict.is_err(),
            "refused early, accepted in the end: {declared:?}"
        );
        if let Err(refusal) = verdict {
            let shown = refusal.to_string();
            assert!(!shown.chars().any(char::is_control), "shown: {shown:?}");
        }
    }
    bounded(&report, image.len());
    recognised(image, &report);
    report
}

fn bounded(report: &Report, length: usize) {
    assert_eq!(report.bytes, length as u64);
    assert!(
        report
            .virtual_size
            .is_none_or(|size| size > 0 && i64::try_from(size).is_ok())
    );
    assert!(report.extents.len() <= 1024 && report.partitions.len() <= 128);
    assert!(report.hazards.len() <= 32 && report.warnings.len() <= 32 && report.details.len() <= 32);
    let shown = report.to_string();
    assert!(
        !shown.chars().any(|c| c.is_control() && c != '\n'),
        "a control character is shown: {shown:?}"
    );
    assert_eq!(report.to_json()["safe"], report.is_safe());
}

/// A second, simpler look at the image.
fn recognised(image: &[u8], report: &Report) {
    let at = |offset: usize, bytes: &[u8]| image.get(offset..).is_some_and(|rest| rest.starts_with(bytes));
    let be_32 = |offset: usize| {
        let bytes = image.get(offset..offset + 4)?;
        Some(u32::from_be_bytes(bytes.try_into().ok()?))
    };
    let be_64 = |offset: usize| {
        let bytes = image.get(offset..offset + 8)?;
        Some(u64::from_be_bytes(bytes.try_into().ok()?))
    };
    let has = |kind| report.hazards.iter().any(|hazard| hazard.kind == kind);
    let is = |format| {
        assert!(
            report.format == format || has(HazardKind::MultipleFormats),
            "{} and not {format}",
            report.format
        );
    };
    if at(0, b"QFI\xfb") {
        is(Format::Qcow2);
        let version = be_32(4);
        let backed = be_64(8).is_some_and(|offset| offset != 0);
        let features = be_64(72).filter(|_| version == Some(3)).unwrap_or(0);
        assert!(
            report.is_safe()
                <= (matches!(version, Some(2 | 3)) && !backed && features & 4 == 0 && features >> 4 == 0),
            "a dangerous qcow2 is safe"
        );
    }
    if at(0, b"KDMV") || at(0, b"COWD") {
        is(Format::Vmdk);
        assert!(
            !report.is_safe()
                || image
                    .windows(10)
                    .any(|text| text.eq_ignore_ascii_case(b"createType"))
        );
    }
    if at(0, b"conectix") {
        is(Format::Vhd);
        assert!(
            !report.is_safe() || be_32(60).is_some_and(|kind| kind != 4),
            "a parent is safe"
        );
    }
    if at(0, b"vhdxfile") {
        is(Format::Vhdx);
    }
    if at(64, &0xbeda_107f_u32.to_le_bytes()) {
        is(Format::Vdi);
        let parent = image
            .get(0x1a8..0x1c8)
            .is_some_and(|ids| ids.iter().any(|&byte| byte != 0));
        assert!(!report.is_safe() || !parent, "a parent is safe");
    }
    if at(32769, b"CD001") || at(32769, b"NSR02") || at(32769, b"NSR03") {
        is(Format::Iso);
    }
    if at(0, b"LUKS\xba\xbe") {
        is(Format::Luks);
        assert!(!report.is_safe() || at(6, &[0, 1]), "another version is safe");
    }
    if at(0, b"QED\0") {
        is(Format::Qed);
        assert!(!report.is_safe());
    }
    if at(0, b"WithoutFreeSpace") || at(0, b"WithouFreSpacExt") {
        is(Format::Ploop);
    }
}

/// The same for archives of which the members are inspected: answer whether it was accepted.
pub fn check_archive(archive: &[u8], seed: u64) -> bool {
    let inspection = || {
        let rules = Rules {
            archives: Archives::Inspected,
            ..Rules::default()
        };
        Inspection::new(Declared::new("vmdk", "ova", rules))
    };
    // One member's inspector, and 2 MiB of text.
    let chunked = within(8 << 20, || {
        let mut inspection = inspection();
        let mut refused = false;
        for chunk in chunks(archive, seed) {
            inspection.push(chunk);
            let now = inspection.early_refusal().is_some();
            assert!(now || !refused, "an early refusal was taken back");
            refused = now;
        }
        let verdict = inspection.verdict();
        assert!(!refused || verdict.is_err(), "refused early, accepted in the end");
        verdict
    });
    let mut whole = inspection();
    whole.push(archive);
    let whole = whole.verdict();
    assert_eq!(chunked, whole, "the answer depends on the chunks");
    if let Err(refusal) = &whole {
        let shown = refusal.to_string();
        assert!(
            !shown.chars().any(char::is_control),
            "a control character is shown: {shown:?}"
        );
    }
    whole.is_ok()
}

/// A target for one format: the input is laid out and checked, its length choosing the chunks.
#[macro_export]
macro_rules! format_target {
    ($layout:expr) => {
        libfuzzer_sys::fuzz_target!(|input: &[u8]| {
            $crate::image::with_image(&$layout, input, |image| {
                $crate::image::check(image, input.len() as u64);
            });
        });
    };
}
