//! Disk-format inspection: bytes in, verdict out.
//!
//! An [`Inspector`] is fed the bytes of an image as they pass by, and says at the end what they are, how
//! large a disk they hold, which other files they refer to, and whether that is safe. It opens nothing:
//! no file, path or socket is in scope. It is the guard of everybody who will later open the image, and
//! so at least as eager to see a format as QEMU's probing and oslo.utils, and refuses what they refuse.
//!
//! Guarantees:
//! - The answer depends on the bytes alone, not on how they were cut into chunks.
//! - Memory: the first 64 KiB and the last 1536 bytes of every image. More only of VMDK (1 MiB, the longest
//!   descriptor that is read, and as much again in passing while it is judged), of VHDX (8 KiB of headers, 192 KiB
//!   of tables, 32 KiB of a parent's name and 16 bytes) and of VHD (a header of 1 KiB); of all together at most
//!   1 MiB + 128 KiB. The report adds about as much at most: 1024 extents, 128 partitions, 32 hazards, 32 warnings.
//!   All of it is copied: no chunk is held.
//! - Time: once the format's own windows are passed (64 KiB; 1 MiB for VMDK, wherever its metadata is for VHDX), a
//!   chunk of any length costs one copy of at most 1536 bytes.
//! - No input makes it panic. Sizes are computed with checks; one that fits no file is reported as unknown.
//!
//! `docs/formats.md` says what is read of each format, what every hazard is, and where and why this differs from
//! Glance and QEMU. A further format is one file that implements `Probe`, and one line in `probe.rs`.

mod archive;
mod assessment;
mod content;
mod format;
mod gpt;
mod hazard;
mod inspection;
mod iso;
mod luks;
mod partitions;
mod ploop;
mod probe;
mod qcow2;
mod qed;
mod reader;
mod report;
mod vdi;
mod verdict;
mod vhd;
mod vhdx;
mod vmdk;
mod window;

use self::{assessment::Assessment, probe::PROBES, window::Evidence};
pub use self::{
    content::Content,
    format::Format,
    hazard::{Detail, Extent, Hazard, HazardKind, Reference},
    inspection::Inspection,
    partitions::Partition,
    report::Report,
    verdict::{Accepted, Archives, Declared, DiskFormat, FormatMatch, Refusal, Rules},
};

/// How many more bytes are kept before they are assessed again: at once in the header, by sectors in the
/// head, then in steps so long that even a mebibyte of text in chunks of one byte is gone over only a few
/// dozen times.
const fn step(kept: u64) -> u64 {
    match kept {
        0..1024 => 1,
        1024..window::HEAD => 512,
        _ => 64 * 1024,
    }
}

/// Looks at an image's bytes as they pass by. See the [module](self) for its guarantees.
#[derive(Debug)]
pub struct Inspector {
    evidence: Evidence,
    assessment: Assessment,
    /// Kept bytes at which to assess again.
    due: u64,
}

impl Inspector {
    /// An inspector that has seen nothing.
    #[must_use]
    pub fn new() -> Self {
        let evidence = Evidence::new();
        let assessment = Assessment::of(&evidence);
        Self {
            evidence,
            assessment,
            due: 0,
        }
    }

    /// Take the next bytes of the image, in order and of any length.
    pub fn push(&mut self, chunk: &[u8]) {
        let collecting = self.evidence.is_collecting();
        self.evidence.push(chunk, |evidence| {
            PROBES.iter().find_map(|probe| probe.wants(evidence))
        });
        let kept = self.evidence.kept();
        if collecting && (kept >= self.due || !self.evidence.is_collecting()) {
            self.assessment = Assessment::of(&self.evidence);
            self.due = (kept + 1).next_multiple_of(step(kept));
        }
    }

    /// What is already certain, so that an upload can be refused in its first MiB instead of at its end:
    /// if this refuses, so would the final verdict. What only the end of the image shows (a VMDK's footer,
    /// truncation) is left to [`Inspector::finish`]. Cheap; ask after every [`Inspector::push`].
    #[must_use]
    pub fn early_refusal(&self, declared: &Declared) -> Option<Refusal> {
        self.assessment.early_refusal(declared)
    }

    /// The hazards that are certain by now.
    fn hazards_so_far(&self) -> &[Hazard] {
        self.assessment.examined().map_or(&[], |report| &report.hazards)
    }

    /// The image is complete: what it is. Short images are judged like all others.
    #[must_use]
    pub fn finish(mut self) -> Report {
        self.evidence.end();
        assessment::conclude(&self.evidence)
    }
}

impl Default for Inspector {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod hostile;
#[cfg(test)]
mod test_images;
#[cfg(test)]
mod tests;
