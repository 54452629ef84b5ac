//! LUKS encrypted volumes (*LUKS1 On-Disk Format Specification*, section 3).

use super::{
    Format, HazardKind,
    hazard::Findings,
    probe::Probe,
    reader::{Reader, Short},
    window::{Evidence, Recognition},
};

/// The format.
pub(super) struct Luks;

const MAGIC: &[u8] = b"LUKS\xba\xbe";
/// The header with its eight key slots.
const HEADER: u64 = 592;
const SECTOR: u64 = 512;

impl Probe for Luks {
    fn format(&self) -> Format {
        Format::Luks
    }

    fn recognise(&self, evidence: &Evidence) -> Recognition {
        evidence.magic(0, MAGIC)
    }

    fn examine(&self, evidence: &Evidence, findings: &mut Findings) {
        let received = evidence.received();
        if evidence.has_ended() && received < HEADER {
            let why = "the image ends inside its header";
            findings.hazard(
                HazardKind::Truncated,
                received,
                "header",
                format_args!("{received} bytes"),
                why,
            );
        }
        // What is not there yet, or never, has been judged above.
        let _: Result<(), Short> = header(evidence, findings);
    }
}

fn header(evidence: &Evidence, findings: &mut Findings) -> Result<(), Short> {
    let mut reader = Reader::at(evidence.head(), MAGIC.len() as u64);
    let version = reader.be_u16()?;
    findings.detail("version", version);
    if version != 1 {
        findings.hazard(
            HazardKind::Version,
            6,
            "version",
            version,
            "only LUKS version 1 is accepted",
        );
        return Ok(());
    }
    let cipher: Vec<_> = reader
        .take(64)?
        .chunks(32)
        .map(|name| String::from_utf8_lossy(name.split(|&byte| byte == 0).next().unwrap_or_default()))
        .collect();
    findings.detail("encryption", cipher.join("-"));
    let payload = u64::from(Reader::at(evidence.head(), 104).be_u32()?) * SECTOR;
    match evidence.received().checked_sub(payload) {
        Some(size) => findings.size(Some(size)),
        None => findings.warn(format!(
            "the payload begins at byte {payload}, behind the end of the image"
        )),
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::{
        super::test_images::{declared, early, hazards, inspect, qemu_img},
        *,
    };

    fn volume(version: u16, payload: u32, length: usize) -> Vec<u8> {
        let mut data = vec![0; length.max(1024)];
        data[..6].copy_from_slice(MAGIC);
        data[6..8].copy_from_slice(&version.to_be_bytes());
        data[104..108].copy_from_slice(&payload.to_be_bytes());
        data.truncate(length);
        data
    }

    #[test]
    fn accepts_version_1_less_its_header() {
        let report = inspect(&volume(1, 8, 10_000));
        assert_eq!(
            report.verdict(&declared("luks")).unwrap().virtual_size,
            Some(10_000 - 4096)
        );
    }

    #[test]
    fn refuses_other_versions_early_and_even_when_declared_raw() {
        for version in [0, 2, u16::MAX] {
            let data = volume(version, 8, 10_000);
            assert_eq!(hazards(&inspect(&data)), [HazardKind::Version]);
            assert!(early(&data, 8, "raw").is_some());
        }
    }

    #[test]
    fn a_payload_behind_the_end_leaves_the_size_unknown() {
        let report = inspect(&volume(1, u32::MAX, 10_000));
        assert!(report.is_safe() && report.virtual_size.is_none() && report.warnings.len() == 1);
    }

    #[test]
    fn refuses_a_header_that_is_cut() {
        for length in [6, 7, 100, 591] {
            assert_eq!(
                hazards(&inspect(&volume(1, 0, length))),
                [HazardKind::Truncated],
                "{length}"
            );
        }
    }

    #[test]
    fn agrees_with_an_image_that_qemu_makes() {
        let dir = tempfile::tempdir().unwrap();
        let options = "key-secret=s,iter-time=10";
        let secret = "secret,id=s,data=s";
        qemu_img(
            dir.path(),
            &[
                "create", "-q", "-f", "luks", "--object", secret, "-o", options, "l", "1M",
            ],
        );
        let report = inspect(&std::fs::read(dir.path().join("l")).unwrap());
        assert!(report.is_safe(), "{report}");
        assert_eq!(report.virtual_size, Some(1 << 20));
    }
}
