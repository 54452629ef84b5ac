//! Formats that are recognised by their mark alone, so that none passes under another's name.

use super::{
    Examination, Format, HazardKind,
    hazard::Findings,
    probe::Probe,
    window::{Evidence, Recognition},
};

/// A format known by marks at one place; any of them suffices.
pub(super) struct Magic {
    format: Format,
    offset: u64,
    marks: &'static [&'static [u8]],
}

impl Magic {
    pub(super) const VHD: Self = Self {
        format: Format::Vhd,
        offset: 0,
        marks: &[b"conectix"],
    };
    pub(super) const VHDX: Self = Self {
        format: Format::Vhdx,
        offset: 0,
        marks: &[b"vhdxfile"],
    };
    pub(super) const VDI: Self = Self {
        format: Format::Vdi,
        offset: 64,
        marks: &[&[0x7f, 0x10, 0xda, 0xbe]],
    };
    pub(super) const ISO: Self = Self {
        format: Format::Iso,
        offset: 32_769,
        marks: &[b"CD001", b"NSR02", b"NSR03"],
    };
    pub(super) const QED: Self = Self {
        format: Format::Qed,
        offset: 0,
        marks: &[b"QED\0"],
    };
}

impl Probe for Magic {
    fn format(&self) -> Format {
        self.format
    }

    fn recognise(&self, evidence: &Evidence) -> Recognition {
        let answers = self.marks.iter().map(|mark| evidence.magic(self.offset, mark));
        answers.fold(Recognition::No, |all, one| all.or(one))
    }

    fn examination(&self) -> Examination {
        Examination::MagicOnly
    }

    fn examine(&self, _evidence: &Evidence, findings: &mut Findings) {
        if self.format == Format::Qed {
            findings.hazard(
                HazardKind::BannedFormat,
                0,
                "magic",
                "QED",
                "QED images may read through to other files, and the format is abandoned; convert it to qcow2",
            );
        }
    }
}
