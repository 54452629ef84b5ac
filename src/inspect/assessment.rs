//! What the kept bytes say by now: which formats they may be, and what is wrong with them.

use super::{
    Format, HazardKind, Report, content,
    hazard::Findings,
    partitions,
    probe::{PROBES, Probe},
    vhd,
    window::{Evidence, Recognition},
};

/// The state of an inspection, complete or not.
#[derive(Debug)]
pub(super) struct Assessment {
    /// Formats whose mark was found, in order of precedence.
    recognised: Vec<Format>,
    /// Formats whose mark may still come.
    undecided: Vec<Format>,
    /// The report so far on the foremost format, if it is certain to be the one reported on.
    report: Option<Report>,
}

impl Assessment {
    pub(super) fn of(evidence: &Evidence) -> Self {
        let mut recognised: Vec<&dyn Probe> = Vec::new();
        let mut undecided = Vec::new();
        for probe in PROBES {
            match probe.recognise(evidence) {
                Recognition::Yes => recognised.push(probe),
                Recognition::Undecided => undecided.push(probe.format()),
                Recognition::No => {}
            }
        }
        // A master boot record in front of an ISO volume is not judged, so that one must be ruled out.
        let settled = match recognised.first() {
            Some(probe) => probe.format() != Format::Gpt || !undecided.contains(&Format::Iso),
            None => undecided.is_empty(),
        };
        Self {
            report: settled.then(|| report(&recognised, evidence)),
            recognised: recognised.iter().map(|probe| probe.format()).collect(),
            undecided,
        }
    }

    /// Whether, with the right data to follow, the image would be of `format` alone.
    pub(super) fn may_be(&self, format: Format) -> bool {
        match format {
            Format::Raw => self.recognised.iter().all(|format| format.counts_as_raw()),
            // A fixed VHD is a disk's data, whatever it is, and shows in its last sector.
            Format::Vhd if !self.recognised.contains(&format) => {
                self.recognised.iter().all(|other| vhd::may_be_fixed(*other))
            }
            _ if self.recognised.contains(&format) || self.undecided.contains(&format) => self
                .recognised
                .iter()
                .all(|&other| other == format || (format, other) == (Format::Iso, Format::Gpt)),
            _ => false,
        }
    }

    /// The report so far: its hazards stay, the rest may still change.
    pub(super) fn examined(&self) -> Option<&Report> {
        self.report.as_ref()
    }
}

/// The verdict's basis once the stream has ended.
pub(super) fn conclude(evidence: &Evidence) -> Report {
    let recognised: Vec<_> = PROBES
        .into_iter()
        .filter(|probe| probe.recognise(evidence) == Recognition::Yes)
        .collect();
    report(&recognised, evidence)
}

/// Examine the foremost of the formats that were recognised; without any, the data is raw.
fn report(recognised: &[&dyn Probe], evidence: &Evidence) -> Report {
    let bytes = evidence.received();
    let Some(probe) = recognised.first() else {
        let mut findings = Findings::new(Format::Raw);
        findings.size(Some(bytes));
        findings.content = content::of(evidence);
        vhd::fixed(evidence, &mut findings);
        return Report::new(findings, bytes);
    };
    let mut findings = Findings::new(probe.format());
    probe.examine(evidence, &mut findings);
    let formats: Vec<_> = recognised.iter().map(|probe| probe.format()).collect();
    if formats.contains(&Format::Gpt) {
        partitions::read(evidence, &mut findings);
    }
    if vhd::may_be_fixed(probe.format()) {
        vhd::fixed(evidence, &mut findings);
    }
    several(&formats, &mut findings);
    Report::new(findings, bytes)
}

/// Data that is several formats at once is refused, except that a bootable ISO is also a partitioned disk.
fn several(formats: &[Format], findings: &mut Findings) {
    if matches!(formats, [_] | [Format::Iso, Format::Gpt]) {
        return;
    }
    let names: Vec<_> = formats.iter().map(|format| format.name()).collect();
    findings.hazard(
        HazardKind::MultipleFormats,
        0,
        "magic",
        names.join(", "),
        "the data is several formats at once, and programs will differ on which",
    );
}
