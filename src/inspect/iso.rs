//! Optical discs: ISO 9660 (ECMA-119, section 8) and UDF (ECMA-167, part 2).

use super::{
    Format,
    hazard::Findings,
    probe::Probe,
    reader::{Reader, Short},
    window::{Evidence, HEAD, Recognition},
};

/// The format.
pub(super) struct Iso;

/// Where volume descriptors begin, behind a system area that may hold a boot sector.
const DESCRIPTORS: u64 = 32 * 1024;
const SECTOR: u64 = 2048;
const ISO_9660: &[u8] = b"CD001";
const UDF: [&[u8]; 2] = [b"NSR02", b"NSR03"];
/// What may stand between the start of an extended area, with which a disc of UDF alone begins, and its mark.
const EXTENDED_AREA: [&[u8]; 3] = [b"BEA01", b"BOOT2", b"CDW02"];

impl Probe for Iso {
    fn format(&self) -> Format {
        Format::Iso
    }

    fn recognise(&self, evidence: &Evidence) -> Recognition {
        let first = UDF.into_iter().chain([ISO_9660]);
        let first = first
            .map(|mark| evidence.magic(DESCRIPTORS + 1, mark))
            .fold(Recognition::No, Recognition::or);
        // Descriptors are as far apart as the disc's sectors are long, and at least this.
        first
            .or(extended(evidence, SECTOR))
            .or(extended(evidence, 2 * SECTOR))
    }

    fn examine(&self, evidence: &Evidence, findings: &mut Findings) {
        if evidence.bytes(DESCRIPTORS + 1, ISO_9660.len()) == ISO_9660 {
            // A disc that ends inside its descriptors has no size, and is otherwise harmless.
            let _: Result<(), Short> = iso_9660(evidence, findings);
        } else {
            findings.subformat = Some("UDF".to_owned());
            findings.size(Some(evidence.received()));
        }
    }
}

/// Whether an extended area with UDF's mark begins the descriptors, which are `step` bytes apart.
fn extended(evidence: &Evidence, step: u64) -> Recognition {
    let mut at = DESCRIPTORS;
    let mut awaited = EXTENDED_AREA.get(..1).unwrap_or_default();
    while at + SECTOR <= HEAD {
        let is = |mark: &[u8]| evidence.magic(at + 1, mark);
        let udf = UDF.into_iter().map(is).fold(Recognition::No, Recognition::or);
        let goes_on = awaited
            .iter()
            .map(|mark| is(mark))
            .fold(Recognition::No, Recognition::or);
        match (udf, goes_on) {
            (Recognition::Yes, _) if at > DESCRIPTORS => return Recognition::Yes,
            (_, Recognition::Yes) => {}
            (Recognition::Undecided, _) | (_, Recognition::Undecided) => return Recognition::Undecided,
            _ => return Recognition::No,
        }
        awaited = &EXTENDED_AREA;
        at += step;
    }
    Recognition::No
}

fn iso_9660(evidence: &Evidence, findings: &mut Findings) -> Result<(), Short> {
    let mut reader = Reader::at(evidence.head(), DESCRIPTORS);
    let mut bootable = false;
    while reader.position() + SECTOR <= HEAD {
        let descriptor = reader.take(SECTOR as usize)?;
        let mut fields = Reader::new(descriptor);
        let kind = fields.u8()?;
        if fields.take(ISO_9660.len())? != ISO_9660 {
            break;
        }
        match kind {
            0 => bootable |= descriptor.get(7..).is_some_and(|id| id.starts_with(b"EL TORITO")),
            1 => return primary(descriptor, bootable, evidence, findings),
            _ => {}
        }
    }
    findings.warn("there is no primary volume descriptor: the size is unknown");
    Ok(())
}

fn primary(
    descriptor: &[u8],
    mut bootable: bool,
    evidence: &Evidence,
    findings: &mut Findings,
) -> Result<(), Short> {
    findings.subformat = Some("ISO 9660".to_owned());
    let blocks = Reader::at(descriptor, 80).le_u32()?;
    let block = Reader::at(descriptor, 128).le_u16()?;
    let size = u64::from(blocks) * u64::from(block);
    findings.size(Some(size));
    let label = Reader::at(descriptor, 40).take(32)?.trim_ascii_end();
    if !label.is_empty() {
        findings.detail("label", String::from_utf8_lossy(label));
    }
    if evidence.has_ended() && size > evidence.received() {
        findings.warn(format!(
            "the volume has {size} bytes, the image {}: it may be incomplete",
            evidence.received()
        ));
    }
    let next = evidence.bytes(DESCRIPTORS + SECTOR, SECTOR as usize);
    bootable |= next.first() == Some(&0) && next.get(7..).is_some_and(|id| id.starts_with(b"EL TORITO"));
    if bootable {
        findings.detail("boot_record", "El Torito");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::inspect::test_images::{declared, early, inspect};

    /// Volume descriptors of the given types and marks.
    fn disc(descriptors: &[(u8, &[u8])], step: u64) -> Vec<u8> {
        let mut data = vec![0; 80_000];
        for (index, (kind, mark)) in descriptors.iter().enumerate() {
            let at = (DESCRIPTORS + index as u64 * step) as usize;
            data[at] = *kind;
            data[at + 1..at + 6].copy_from_slice(mark);
            if *kind == 1 {
                data[at + 40..at + 72].copy_from_slice(b"A DISC                          ");
                data[at + 80..at + 84].copy_from_slice(&39_u32.to_le_bytes());
                data[at + 128..at + 130].copy_from_slice(&2048_u16.to_le_bytes());
            }
            if *kind == 0 && *mark == ISO_9660 {
                data[at + 7..at + 30].copy_from_slice(b"EL TORITO SPECIFICATION");
            }
        }
        data
    }

    #[test]
    fn reads_size_and_label_from_the_primary_descriptor_wherever_it_stands() {
        for descriptors in [
            &[(1, ISO_9660)][..],
            &[(1, ISO_9660), (0, ISO_9660), (255, ISO_9660)],
            &[(0, ISO_9660), (1, ISO_9660)],
            &[(0, ISO_9660), (2, ISO_9660), (1, ISO_9660)],
        ] {
            let report = inspect(&disc(descriptors, SECTOR));
            assert_eq!(
                report.verdict(&declared("iso")).unwrap().virtual_size,
                Some(39 * 2048)
            );
            assert!(report.to_string().contains("A DISC"), "{report}");
            let bootable = descriptors.contains(&(0, ISO_9660));
            assert_eq!(report.to_string().contains("El Torito"), bootable);
        }
    }

    #[test]
    fn sees_a_disc_of_udf_alone() {
        let bea: (u8, &[u8]) = (0, b"BEA01");
        for (step, marks) in [
            (2048, &[bea, (0, b"NSR02"), (0, b"TEA01")][..]),
            (2048, &[bea, (0, b"BOOT2"), (0, b"NSR03")]),
            (4096, &[bea, (0, b"NSR03")]),
            (2048, &[(0, b"NSR03")]),
        ] {
            let data = disc(marks, step);
            let report = inspect(&data);
            assert_eq!((report.format, report.virtual_size), (Format::Iso, Some(80_000)));
            assert_eq!(early(&data, data.len(), "iso"), None);
            assert!(early(&data, data.len(), "qcow2").is_some());
        }
        for marks in [
            &[bea][..],
            &[bea, (0, b"TEA01"), (0, b"TEA01"), (0, b"NSR02")],
            &[(0, b"BOOT2"), (0, b"NSR02")],
        ] {
            assert_eq!(inspect(&disc(marks, 2048)).format, Format::Raw, "{marks:?}");
        }
    }

    #[test]
    fn a_disc_without_primary_descriptor_or_cut_before_it_has_no_size() {
        for data in [
            disc(&[(2, ISO_9660), (255, ISO_9660)], SECTOR),
            disc(&[(1, ISO_9660)], SECTOR)[..33_000].to_vec(),
        ] {
            let report = inspect(&data);
            assert!(report.is_safe());
            assert_eq!(report.verdict(&declared("iso")).unwrap().virtual_size, None);
        }
    }

    #[test]
    fn a_volume_longer_than_its_image_is_said_to_be_cut() {
        let report = inspect(&disc(&[(1, ISO_9660)], SECTOR)[..70_000]);
        assert!(report.warnings[0].contains("incomplete"), "{report}");
    }
}
