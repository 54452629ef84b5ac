//! Formats that are recognised by their mark alone, so that none passes under another's name.

use super::{
    Examination, Format, HazardKind,
    hazard::Findings,
    probe::Probe,
    window::{Evidence, Recognition},
};

/// A format known by marks at fixed places; any one of them suffices.
pub(super) struct Magic {
    format: Format,
    marks: &'static [(u64, &'static [u8])],
    /// Looks the same at its mark, but is not it.
    except: Option<fn(&Evidence) -> Recognition>,
}

impl Magic {
    const fn new(format: Format, marks: &'static [(u64, &'static [u8])]) -> Self {
        Self {
            format,
            marks,
            except: None,
        }
    }

    pub(super) const VHD: Self = Self::new(Format::Vhd, &[(0, b"conectix")]);
    pub(super) const VHDX: Self = Self::new(Format::Vhdx, &[(0, b"vhdxfile")]);
    pub(super) const VDI: Self = Self::new(Format::Vdi, &[(64, &[0x7f, 0x10, 0xda, 0xbe])]);
    pub(super) const ISO: Self = Self::new(
        Format::Iso,
        &[(32_769, b"CD001"), (32_769, b"NSR02"), (32_769, b"NSR03")],
    );
    pub(super) const LUKS: Self = Self::new(Format::Luks, &[(0, b"LUKS\xba\xbe")]);
    pub(super) const QED: Self = Self::new(Format::Qed, &[(0, b"QED\0")]);
    pub(super) const GPT: Self = Self {
        format: Format::Gpt,
        marks: &[(510, &[0x55, 0xaa])],
        except: Some(is_fat_volume),
    };
}

/// A FAT volume's boot sector bears the same signature: two tables, and the media byte of a fixed disk.
fn is_fat_volume(evidence: &Evidence) -> Recognition {
    match (evidence.magic(16, &[2]), evidence.magic(21, &[0xf8])) {
        (Recognition::Yes, fixed) => fixed,
        (other, _) => other,
    }
}

impl Probe for Magic {
    fn format(&self) -> Format {
        self.format
    }

    fn recognise(&self, evidence: &Evidence) -> Recognition {
        let mut recognition = Recognition::No;
        for (offset, mark) in self.marks {
            match evidence.magic(*offset, mark) {
                Recognition::No => {}
                other => recognition = other,
            }
            if recognition == Recognition::Yes {
                break;
            }
        }
        match (recognition, self.except.map(|except| except(evidence))) {
            (Recognition::No, _) | (_, Some(Recognition::Yes)) => Recognition::No,
            (Recognition::Yes, Some(Recognition::Undecided)) => Recognition::Undecided,
            (recognition, _) => recognition,
        }
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
