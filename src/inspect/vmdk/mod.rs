//! VMware disks: sparse and stream-optimized ones, which hold their data, and the forms that only point
//! at it (VMware *Virtual Disk Format 1.1*, and what QEMU's driver makes of it).

mod descriptor;
mod header;

use std::ops::Range;

use self::{
    descriptor::{Descriptor, is_descriptor_start, names_create_type},
    header::{Footer, GD_AT_END, Header},
};
use super::{
    Extent, Format, HazardKind, Reference,
    hazard::{Findings, lossy, quoted},
    probe::Probe,
    reader::{Reader, Short},
    window::{Evidence, Recognition, TAIL},
};

/// The format.
pub(super) struct Vmdk;

const SPARSE: &[u8] = b"KDMV";
const COWD: &[u8] = b"COWD";
const SECTOR: u64 = 512;
/// The one place of an embedded descriptor that is accepted, as in oslo.utils.
const DESCRIPTOR_OFFSET: u64 = SECTOR;
/// Longest descriptor that QEMU and oslo.utils read.
const DESCRIPTOR_MAX: u64 = (1 << 20) - 1;
/// QEMU looks for a parent in this much from the descriptor on, whatever length the header gives it.
const PARENT_REACH: u64 = 20 * SECTOR;
/// The `createType`s that hold all their data, in lower case.
const SELF_CONTAINED: [&str; 2] = ["monolithicsparse", "streamoptimized"];

impl Probe for Vmdk {
    fn format(&self) -> Format {
        Format::Vmdk
    }

    fn recognise(&self, evidence: &Evidence) -> Recognition {
        evidence
            .magic(0, SPARSE)
            .or(evidence.magic(0, COWD))
            .or(text(evidence))
    }

    fn wants(&self, evidence: &Evidence) -> Option<Range<u64>> {
        let wanted = if evidence.head().starts_with(SPARSE) {
            0..Header::read(evidence.head()).ok()?.reach()
        } else {
            let more = text(evidence) != Recognition::No && !evidence.head().contains(&0);
            0..if more { DESCRIPTOR_MAX } else { 0 }
        };
        (wanted.end > evidence.head().len() as u64).then_some(wanted)
    }

    fn examine(&self, evidence: &Evidence, findings: &mut Findings) {
        if evidence.head().starts_with(SPARSE) {
            sparse(evidence, findings);
        } else if evidence.head().starts_with(COWD) {
            findings.hazard(
                HazardKind::CreateType,
                0,
                "magic",
                "COWD",
                "ESX copy-on-write extents belong to a disk in several files; convert it to streamOptimized",
            );
        } else {
            text_only(evidence, findings);
        }
    }
}

/// Whether the stream is a descriptor without a sparse header: by QEMU's rule (its first line that is
/// neither comment nor blank is the version) or by oslo.utils's (text that has a `createType`), with the
/// latter not held to the first chunk.
fn text(evidence: &Evidence) -> Recognition {
    match is_descriptor_start(evidence.bytes(0, SECTOR as usize)) {
        Some(true) => return Recognition::Yes,
        None if evidence.head().len() < SECTOR as usize && !evidence.has_ended() => {
            return Recognition::Undecided;
        }
        _ => {}
    }
    let head = evidence.bytes(0, DESCRIPTOR_MAX as usize);
    match names_create_type(head, evidence.has_ended()) {
        Some(true) => Recognition::Yes,
        Some(false) => Recognition::No,
        None if head.len() as u64 >= DESCRIPTOR_MAX => Recognition::No,
        None => evidence.missing(head.len() as u64),
    }
}

fn sparse(evidence: &Evidence, findings: &mut Findings) {
    let header = match Header::read(evidence.head()) {
        Ok(header) => header,
        Err(Short) if evidence.has_ended() => return truncated(evidence, findings),
        Err(Short) => return,
    };
    header.judge(findings);
    findings.size(header.capacity.checked_mul(SECTOR));
    if header.has_descriptor() {
        embedded(evidence, &header, findings);
    }
    if header.grain_directory == GD_AT_END {
        footer(evidence, &header, findings);
    }
}

fn truncated(evidence: &Evidence, findings: &mut Findings) {
    let received = evidence.received();
    findings.hazard(
        HazardKind::Truncated,
        received,
        "image",
        format_args!("{received} bytes"),
        "the image ends inside its header or descriptor",
    );
}

/// Judge the descriptor behind a sparse header, once all of it is there.
fn embedded(evidence: &Evidence, header: &Header, findings: &mut Findings) {
    let declared = header.descriptor_length();
    let reach = evidence.bytes(DESCRIPTOR_OFFSET, declared.max(PARENT_REACH) as usize);
    let available = reach.len() as u64;
    if available < declared && evidence.has_ended() {
        return truncated(evidence, findings);
    }
    if available < declared.max(PARENT_REACH) && !evidence.has_ended() {
        return;
    }
    // Beyond its declared length, only a descriptor without terminator goes on, for QEMU.
    let reach = until_nul(reach);
    let text = reach.get(..declared as usize).unwrap_or(reach);
    let descriptor = Descriptor::parse(text, DESCRIPTOR_OFFSET);
    references(&descriptor, reach, DESCRIPTOR_OFFSET, findings);
    grammar(&descriptor, findings);
    self_contained(&descriptor, findings);
    findings.subformat = descriptor.create_type();
    if let [extent] = findings.extents.as_slice()
        && extent.length != header.capacity.checked_mul(SECTOR)
    {
        findings.warn("the descriptor's extent is not as long as the header's capacity, which counts");
    }
}

/// Judge a file that is nothing but a descriptor: it is refused in any case, but what it names is reported.
fn text_only(evidence: &Evidence, findings: &mut Findings) {
    findings.hazard(
        HazardKind::TextDescriptor,
        0,
        "descriptor",
        "",
        "the image is only a description of data in other files; upload a streamOptimized image",
    );
    let text = evidence.bytes(0, DESCRIPTOR_MAX as usize);
    let whole = text.contains(&0) || text.len() as u64 >= DESCRIPTOR_MAX || !evidence.is_collecting();
    if !whole {
        return;
    }
    let text = until_nul(text);
    let descriptor = Descriptor::parse(text, 0);
    references(&descriptor, text, 0, findings);
    grammar(&descriptor, findings);
    findings.subformat = descriptor.create_type();
    let mut lengths = findings.extents.iter().map(|extent| extent.length);
    if !descriptor.more_extents && !findings.extents.is_empty() {
        let total = lengths.try_fold(0_u64, |sum, length| sum.checked_add(length?));
        findings.size(total);
    }
}

fn until_nul(text: &[u8]) -> &[u8] {
    text.split(|&byte| byte == 0).next().unwrap_or_default()
}

/// Other files that the descriptor names. Searched for in all of the text, comments too, and in any case:
/// readers differ on where a key may stand.
fn references(descriptor: &Descriptor<'_>, reach: &[u8], base: u64, findings: &mut Findings) {
    let lower = reach.to_ascii_lowercase();
    if let Some(at) = find(&lower, b"parentfilenamehint") {
        let value = reach.get(at..).unwrap_or_default();
        let value = value.split(|&byte| byte == b'\n').next().unwrap_or_default();
        let name = value.split(|&byte| byte == b'"').nth(1);
        let at = base + at as u64;
        let reference = name.map_or_else(|| Reference::unnamed(at), |name| Reference::named(name, at));
        findings.hazard(
            HazardKind::ParentReference,
            at,
            "parentFileNameHint",
            reference.in_message(),
            "the image reads through to a parent; merge it with its parent first",
        );
        findings.backing_file = Some(reference);
    }
    if let Some(at) = find(&lower, b"changetrackpath") {
        findings.hazard(
            HazardKind::ChangeTrackPath,
            base + at as u64,
            "changeTrackPath",
            "",
            "the image names a change-tracking file",
        );
    }
    let mentions = lower
        .windows(CREATE_TYPE_KEY.len())
        .filter(|window| *window == CREATE_TYPE_KEY)
        .count();
    if mentions > 1 {
        findings.hazard(
            HazardKind::TwoCreateTypes,
            base,
            "createType",
            format_args!("{mentions} times"),
            "readers differ on which of several counts",
        );
    }
    findings.extents = descriptor
        .extents
        .iter()
        .map(|extent| Extent {
            kind: lossy(extent.kind),
            length: extent.sectors.checked_mul(SECTOR),
            file: extent.file.map(lossy),
        })
        .collect();
}

const CREATE_TYPE_KEY: &[u8] = b"createtype";
fn find(text: &[u8], key: &[u8]) -> Option<usize> {
    text.windows(key.len()).position(|window| window == key)
}

/// What no descriptor may have, whichever form the image takes.
fn grammar(descriptor: &Descriptor<'_>, findings: &mut Findings) {
    let bad = HazardKind::BadDescriptor;
    if let Some(at) = descriptor.non_ascii {
        findings.hazard(bad, at, "descriptor", "", "it is not plain ASCII text");
    }
    if let Some((at, line)) = descriptor.unknown_line {
        findings.hazard(bad, at, "descriptor", quoted(line), "a line is not understood");
    }
    if descriptor.extents.is_empty() {
        findings.hazard(
            bad,
            descriptor.offset,
            "extents",
            "",
            "the descriptor lists no extent",
        );
    }
    if let Some(extent) = descriptor.extents.iter().find(|extent| extent.has_path()) {
        findings.hazard(
            HazardKind::ExtentPath,
            extent.offset,
            "extent",
            quoted(extent.line),
            "an extent names a path, not a file beside the descriptor",
        );
    }
}

/// What a descriptor inside a sparse image must say for the image to hold all its data.
fn self_contained(descriptor: &Descriptor<'_>, findings: &mut Findings) {
    match descriptor.create_types.as_slice() {
        [] => findings.hazard(
            HazardKind::CreateType,
            descriptor.offset,
            "createType",
            "",
            "the descriptor does not say createType=\"…\" on a line of its own",
        ),
        types => {
            for (at, value) in types.iter().take(2) {
                if !SELF_CONTAINED.contains(&lossy(value).to_ascii_lowercase().as_str()) {
                    findings.hazard(
                        HazardKind::CreateType,
                        *at,
                        "createType",
                        quoted(value),
                        "only monolithicSparse and streamOptimized images hold all their data",
                    );
                }
            }
        }
    }
    if let Some(extent) = descriptor
        .extents
        .iter()
        .find(|extent| !extent.kind.eq_ignore_ascii_case(b"SPARSE"))
    {
        findings.hazard(
            HazardKind::Extent,
            extent.offset,
            "extent",
            quoted(extent.line),
            "an extent inside a sparse image must be SPARSE",
        );
    }
    if let [_, second, ..] = descriptor.extents.as_slice() {
        findings.hazard(
            HazardKind::Extent,
            second.offset,
            "extent",
            quoted(second.line),
            "an image in one file has one extent; a second would be another file",
        );
    }
}

/// Compare the footer, which QEMU believes, with the header, which everybody else reads.
fn footer(evidence: &Evidence, header: &Header, findings: &mut Findings) {
    let Some(tail) = evidence.tail() else { return };
    let received = evidence.received();
    let offset = received.saturating_sub(TAIL as u64);
    // QEMU rounds the file's length up to a sector before it looks for the footer.
    let placed = received.is_multiple_of(SECTOR) && received >= DESCRIPTOR_OFFSET + TAIL as u64;
    let footer = if placed {
        Footer::read(&mut Reader::new(tail))
    } else {
        None
    };
    let Some(footer) = footer else {
        findings.hazard(
            HazardKind::FooterMismatch,
            offset,
            "footer",
            format_args!("{received} bytes received"),
            "the header says that a footer follows the data, but none is there: the upload may be incomplete",
        );
        return;
    };
    if let Some((field, ours, theirs)) = header.difference(&footer.header) {
        findings.hazard(
            HazardKind::FooterMismatch,
            offset + SECTOR,
            field,
            format_args!("{theirs}, but {ours} in the header"),
            "header and footer contradict each other",
        );
        findings.size(footer.header.capacity.checked_mul(SECTOR));
    }
    if footer.header.grain_directory == GD_AT_END {
        findings.hazard(
            HazardKind::FooterMismatch,
            offset + SECTOR + 56,
            "gdOffset",
            "",
            "the footer refers to yet another footer",
        );
    }
}

#[cfg(test)]
mod tests;
