//! VirtualBox disks (header version 1.1, as VirtualBox and QEMU write it).

use super::{
    Format, HazardKind, Reference,
    hazard::Findings,
    probe::Probe,
    reader::{Reader, Short},
    window::{Evidence, Recognition},
};

/// The format.
pub(super) struct Vdi;

/// Behind a line of text that names the program.
const SIGNATURE: u64 = 0x40;
const MAGIC: &[u8] = &[0x7f, 0x10, 0xda, 0xbe];
const VERSION: u32 = 0x0001_0001;
const LINK: u64 = 0x1a8;
const PARENT: u64 = 0x1b8;
/// The only block size that QEMU opens.
const BLOCK: u32 = 1 << 20;

impl Probe for Vdi {
    fn format(&self) -> Format {
        Format::Vdi
    }

    fn recognise(&self, evidence: &Evidence) -> Recognition {
        evidence.magic(SIGNATURE, MAGIC)
    }

    fn examine(&self, evidence: &Evidence, findings: &mut Findings) {
        if header(evidence, findings) == Err(Short) && evidence.has_ended() {
            findings.truncated(evidence.received());
        }
    }
}

fn header(evidence: &Evidence, findings: &mut Findings) -> Result<(), Short> {
    let mut reader = Reader::at(evidence.head(), SIGNATURE + MAGIC.len() as u64);
    let version = reader.le_u32()?;
    if version != VERSION {
        findings.hazard(
            HazardKind::Version,
            0x44,
            "version",
            format_args!("{}.{}", version >> 16, version & 0xffff),
            "only version 1.1 is accepted: others keep their fields elsewhere",
        );
        return Ok(());
    }
    reader.skip(4)?;
    let kind = reader.le_u32()?;
    findings.subformat = Some(match kind {
        1 => "dynamic".to_owned(),
        2 => "static".to_owned(),
        3 => "undo".to_owned(),
        4 => "differencing".to_owned(),
        other => format!("type {other}"),
    });
    if matches!(kind, 3 | 4) {
        findings.parent(0x4c, "type", Reference::unnamed(0x4c));
    } else if !matches!(kind, 1 | 2) {
        findings.warn(format!("type {kind} is unknown: QEMU will not open the image"));
    }

    let mut reader = Reader::at(evidence.head(), 0x170);
    let size = reader.le_u64()?;
    findings.size(Some(size));
    if !size.is_multiple_of(512) {
        findings.warn("the size is not whole sectors: QEMU rounds it up");
    }
    let block = reader.le_u32()?;
    findings.detail("block_size", block);
    if block != BLOCK {
        findings.warn(format!("the block size is {block}: QEMU opens 1 MiB only"));
    }

    for (offset, field) in [(LINK, "uuidLinkage"), (PARENT, "uuidParentModify")] {
        let uuid = Reader::at(evidence.head(), offset).take(16)?;
        if uuid.iter().any(|&byte| byte != 0) {
            findings.parent(offset, field, Reference::named(hex(uuid).as_bytes(), offset));
        }
    }
    Ok(())
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
pub(super) mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::inspect::test_images::{declared, early, hazards, inspect, qemu_img};

    pub(in crate::inspect) fn disk(kind: u32, size: u64) -> Vec<u8> {
        let mut data = vec![0; 4096];
        data[..20].copy_from_slice(b"<<< test disk >>>\n\0\0");
        data[0x40..0x44].copy_from_slice(MAGIC);
        data[0x44..0x48].copy_from_slice(&VERSION.to_le_bytes());
        data[0x48..0x4c].copy_from_slice(&0x180_u32.to_le_bytes());
        data[0x4c..0x50].copy_from_slice(&kind.to_le_bytes());
        data[0x170..0x178].copy_from_slice(&size.to_le_bytes());
        data[0x178..0x17c].copy_from_slice(&BLOCK.to_le_bytes());
        data
    }

    #[test]
    fn accepts_dynamic_and_static_disks() {
        for kind in [1, 2] {
            let report = inspect(&disk(kind, 5 << 20));
            assert!(report.is_safe() && report.warnings.is_empty(), "{report}");
            assert_eq!(
                report.verdict(&declared("vdi")).unwrap().virtual_size,
                Some(5 << 20)
            );
        }
    }

    #[test]
    fn refuses_undo_and_differencing_disks_even_as_raw() {
        for kind in [3, 4] {
            let data = disk(kind, 5 << 20);
            assert_eq!(hazards(&inspect(&data)), [HazardKind::ParentReference]);
            assert!(early(&data, 0x50, "raw").is_some());
        }
    }

    #[test]
    fn refuses_a_link_or_a_parent_whatever_the_type_says() {
        for at in [LINK, LINK + 15, PARENT, PARENT + 15] {
            let mut data = disk(1, 5 << 20);
            data[at as usize] = 0xab;
            let report = inspect(&data);
            assert_eq!(hazards(&report), [HazardKind::ParentReference]);
            assert!(report.backing_file.unwrap().name.unwrap().contains("ab"));
        }
    }

    #[test]
    fn refuses_other_versions_and_cut_headers() {
        for version in [0, 0x0001_0000, 0x0001_0002, u32::MAX] {
            let mut data = disk(1, 1);
            data[0x44..0x48].copy_from_slice(&version.to_le_bytes());
            assert_eq!(hazards(&inspect(&data)), [HazardKind::Version]);
        }
        for length in [0x44, 0x50, 0x170, 0x1c7] {
            assert_eq!(
                hazards(&inspect(&disk(1, 512)[..length])),
                [HazardKind::Truncated]
            );
        }
    }

    #[test]
    fn agrees_with_images_that_qemu_makes() {
        let dir = tempfile::tempdir().unwrap();
        for option in ["static=on", "static=off"] {
            qemu_img(
                dir.path(),
                &["create", "-q", "-f", "vdi", "-o", option, "d", "3M"],
            );
            let report = inspect(&std::fs::read(dir.path().join("d")).unwrap());
            assert!(report.is_safe() && report.warnings.is_empty(), "{report}");
            assert_eq!(report.virtual_size, Some(3 << 20));
        }
    }

    proptest! {
        #[test]
        fn a_header_reads_back_as_it_was_written(kind in 0u32..6, size in 1..=(i64::MAX as u64)) {
            let report = inspect(&disk(kind, size));
            prop_assert_eq!(report.virtual_size, Some(size));
            prop_assert_eq!(report.is_safe(), !matches!(kind, 3 | 4));
        }
    }
}
