//! Parallels disks (QEMU `docs/interop/parallels`), which `disk_format` calls `ploop`. Glance takes them for raw
//! data; QEMU probes for them. They refer to no other file by themselves.

use super::{
    Format,
    hazard::Findings,
    probe::Probe,
    reader::{Reader, Short},
    window::{Evidence, Recognition},
};

/// The format.
pub(super) struct Ploop;

const MARK: &[u8] = b"WithoutFreeSpace";
const MARK_EXTENDED: &[u8] = b"WithouFreSpacExt";
const SECTOR: u64 = 512;
const IN_USE: u32 = 0x746f_6e59;

impl Probe for Ploop {
    fn format(&self) -> Format {
        Format::Ploop
    }

    fn recognise(&self, evidence: &Evidence) -> Recognition {
        evidence.magic(0, MARK).or(evidence.magic(0, MARK_EXTENDED))
    }

    fn examine(&self, evidence: &Evidence, findings: &mut Findings) {
        if header(evidence, findings) == Err(Short) && evidence.has_ended() {
            // Not a hazard: there is nothing in it that could refer to anything, and Glance takes it as raw.
            findings.warn("the image ends inside its header");
        }
    }
}

fn header(evidence: &Evidence, findings: &mut Findings) -> Result<(), Short> {
    let extended = evidence.head().starts_with(MARK_EXTENDED);
    let mut reader = Reader::at(evidence.head(), MARK.len() as u64);
    let version = reader.le_u32()?;
    if version != 2 {
        findings.warn(format!(
            "version {version} is unknown: QEMU will not open the image"
        ));
    }
    reader.skip(8)?;
    let track_sectors = reader.le_u32()?;
    findings.detail("cluster_size", u64::from(track_sectors) * SECTOR);
    reader.skip(4)?;
    let sectors = reader.le_u64()?;
    // The older variant has 32 bits for it, and rubbish behind them.
    let sectors = if extended {
        sectors
    } else {
        sectors & u64::from(u32::MAX)
    };
    findings.size(sectors.checked_mul(SECTOR));
    findings.subformat = Some(if extended { "extended" } else { "old" }.to_owned());
    if reader.le_u32()? == IN_USE {
        findings.warn("the image was not closed properly");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::inspect::test_images::{declared, inspect, qemu_img};

    #[test]
    fn reads_the_size_and_passes_it_wherever_raw_data_passes() {
        let dir = tempfile::tempdir().unwrap();
        qemu_img(dir.path(), &["create", "-q", "-f", "parallels", "p", "10M"]);
        let mut data = std::fs::read(dir.path().join("p")).unwrap();
        let report = inspect(&data);
        assert_eq!(
            (report.format, report.virtual_size),
            (Format::Ploop, Some(10 << 20))
        );
        for format in ["ploop", "raw", "ami"] {
            assert!(report.verdict(&declared(format)).is_ok(), "{format}");
        }
        assert!(report.verdict(&declared("qcow2")).is_err());

        data[..16].copy_from_slice(MARK);
        data[40..44].fill(0xff);
        assert_eq!(inspect(&data).virtual_size, Some(10 << 20));
    }

    #[test]
    fn a_cut_header_and_an_impossible_size_do_no_harm() {
        let mut data = MARK_EXTENDED.to_vec();
        assert!(inspect(&data).is_safe() && inspect(&data).warnings.len() == 1);
        data.resize(64, 0xff);
        let report = inspect(&data);
        assert!(report.is_safe() && report.virtual_size.is_none());
    }
}
