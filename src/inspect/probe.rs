//! What a format brings to be recognised and examined, and the list of formats.

use std::ops::Range;

use super::{
    Format,
    gpt::Gpt,
    hazard::Findings,
    iso::Iso,
    luks::Luks,
    ploop::Ploop,
    qcow2::Qcow2,
    qed::Qed,
    vdi::Vdi,
    vhd::Vhd,
    vhdx::Vhdx,
    vmdk::Vmdk,
    window::{Evidence, Recognition},
};

/// One disk format. All answers are functions of the kept bytes alone.
pub(super) trait Probe: Sync {
    /// Its name.
    fn format(&self) -> Format;

    /// Whether the stream carries its mark.
    fn recognise(&self, evidence: &Evidence) -> Recognition;

    /// The next part of the stream to keep, asked whenever all that was wanted so far is kept.
    fn wants(&self, _evidence: &Evidence) -> Option<Range<u64>> {
        None
    }

    /// Judge an image that was recognised, possibly before it is complete: then only what more data
    /// cannot change may be found.
    fn examine(&self, evidence: &Evidence, findings: &mut Findings);
}

/// The formats, in order of precedence: ISO stands before GPT because a bootable ISO is both and counts
/// as ISO, as in Glance. A new format is one line here.
pub(super) static PROBES: [&dyn Probe; 10] =
    [&Qcow2, &Vmdk, &Vhd, &Vhdx, &Vdi, &Iso, &Luks, &Qed, &Ploop, &Gpt];
