//! What a format brings to be recognised and examined, and the list of formats.

use std::ops::Range;

use super::{
    Format,
    gpt::Gpt,
    hazard::Findings,
    luks::Luks,
    magic::Magic,
    qcow2::Qcow2,
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

    /// How far [`Probe::examine`] goes.
    fn examination(&self) -> Examination {
        Examination::Structure
    }

    /// Judge an image that was recognised, possibly before it is complete: then only what more data
    /// cannot change may be found.
    fn examine(&self, evidence: &Evidence, findings: &mut Findings);
}

/// How much an inspector knows of a format.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Examination {
    /// The structure was examined: sizes, references and hazards are what the image says.
    Structure,
    /// Only the format's mark was recognised. Nothing is known of what the image refers to.
    MagicOnly,
}

/// The formats, in order of precedence: ISO stands before GPT because a bootable ISO is both and counts
/// as ISO, as in Glance. A new format is one line here.
pub(super) static PROBES: [&dyn Probe; 9] = [
    &Qcow2,
    &Vmdk,
    &Magic::VHD,
    &Magic::VHDX,
    &Magic::VDI,
    &Magic::ISO,
    &Luks,
    &Magic::QED,
    &Gpt,
];
