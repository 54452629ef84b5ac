//! QEMU enhanced disks (QEMU `docs/interop/qed_spec`): abandoned, and refused whatever they hold.

use super::{
    Format, HazardKind, Reference,
    hazard::Findings,
    probe::Probe,
    reader::{Reader, Short},
    window::{Evidence, Recognition},
};

/// The format.
pub(super) struct Qed;

const MAGIC: &[u8] = b"QED\0";
const BACKING_FILE: u64 = 1 << 0;
/// Longest name that is looked for, as in qcow2.
const BACKING_NAME_MAX: u32 = 1023;

impl Probe for Qed {
    fn format(&self) -> Format {
        Format::Qed
    }

    fn recognise(&self, evidence: &Evidence) -> Recognition {
        evidence.magic(0, MAGIC)
    }

    fn examine(&self, evidence: &Evidence, findings: &mut Findings) {
        findings.hazard(
            HazardKind::BannedFormat,
            0,
            "magic",
            "QED",
            "QED images may read through to other files, and the format is abandoned; convert it to qcow2",
        );
        // It is refused in any case: what is missing is only missing in the report.
        let _: Result<(), Short> = header(evidence, findings);
    }
}

fn header(evidence: &Evidence, findings: &mut Findings) -> Result<(), Short> {
    let mut reader = Reader::at(evidence.head(), 4);
    findings.detail("cluster_size", reader.le_u32()?);
    reader.skip(8)?;
    let features = reader.le_u64()?;
    reader.skip(24)?;
    findings.size(Some(reader.le_u64()?));
    let offset = reader.le_u32()?;
    let length = reader.le_u32()?;
    if features & BACKING_FILE != 0 {
        let name = evidence.bytes(offset.into(), length.min(BACKING_NAME_MAX) as usize);
        let reference = if name.is_empty() {
            Reference::unnamed(56)
        } else {
            Reference::named(name, offset.into())
        };
        findings.hazard(
            HazardKind::BackingFile,
            16,
            "features",
            reference.in_message(),
            "the image reads through to another file; flatten it first (qemu-img convert)",
        );
        findings.backing_file = Some(reference);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::inspect::test_images::{early, hazards, inspect, qemu_img};

    #[test]
    fn refuses_it_whatever_it_holds_and_reports_size_and_backing_file() {
        let dir = tempfile::tempdir().unwrap();
        let make = |arguments: &[&str]| {
            qemu_img(dir.path(), &[&["create", "-q", "-f", "qed"], arguments].concat());
        };
        make(&["base", "3M"]);
        let report = inspect(&std::fs::read(dir.path().join("base")).unwrap());
        assert_eq!((report.format, report.virtual_size), (Format::Qed, Some(3 << 20)));
        assert_eq!(hazards(&report), [HazardKind::BannedFormat]);
        make(&["-b", "base", "-F", "qed", "child"]);
        let report = inspect(&std::fs::read(dir.path().join("child")).unwrap());
        assert_eq!(
            hazards(&report),
            [HazardKind::BannedFormat, HazardKind::BackingFile]
        );
        assert_eq!(report.backing_file.unwrap().name.unwrap(), "base");
    }

    #[test]
    fn its_mark_alone_is_enough() {
        assert_eq!(hazards(&inspect(MAGIC)), [HazardKind::BannedFormat]);
        assert!(early(b"QED\0", 4, "raw").is_some());
    }
}
