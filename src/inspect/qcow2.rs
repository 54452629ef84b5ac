//! QEMU copy-on-write images (QEMU `docs/interop/qcow2`).

use super::{
    Format, HazardKind, Reference,
    hazard::Findings,
    probe::Probe,
    reader::{Reader, Short},
    window::{Evidence, HEAD, Recognition},
};

/// The format.
pub(super) struct Qcow2;

const MAGIC: &[u8] = b"QFI\xfb";
const V2_HEADER: u32 = 72;
const V3_HEADER: u32 = 104;
const BACKING_NAME_MAX: u32 = 1023;
const CLUSTER_BITS: std::ops::RangeInclusive<u32> = 9..=21;
/// Header extension that names the external data file.
const DATA_FILE_NAME: u32 = 0x4441_5441;
/// Header extension that names the backing file's format.
const BACKING_FORMAT: u32 = 0xe279_2aca;
/// Header extension that says where the encryption header is, inside the image.
const ENCRYPTION_HEADER: u32 = 0x0537_be77;
/// What QEMU accepts of an L1 table, in bytes, and of snapshots.
const L1_MAX: u64 = 32 << 20;
const SNAPSHOTS_MAX: u32 = 65_536;
/// Extensions walked before giving up; real images have fewer than ten.
const EXTENSIONS_MAX: usize = 4096;

const DIRTY: u64 = 1 << 0;
const CORRUPT: u64 = 1 << 1;
const EXTERNAL_DATA: u64 = 1 << 2;
const COMPRESSION_TYPE: u64 = 1 << 3;
const EXTENDED_L2: u64 = 1 << 4;
/// What is accepted or judged by itself. Extended L2 tables are not among them, as in Glance.
const KNOWN: u64 = DIRTY | CORRUPT | EXTERNAL_DATA | COMPRESSION_TYPE;

impl Probe for Qcow2 {
    fn format(&self) -> Format {
        Format::Qcow2
    }

    // QEMU and oslo.utils ask for more bytes than the mark before they say qcow2; whoever reads the
    // image with a larger buffer than it has bytes does not. The mark alone decides here.
    fn recognise(&self, evidence: &Evidence) -> Recognition {
        evidence.magic(0, MAGIC)
    }

    fn examine(&self, evidence: &Evidence, findings: &mut Findings) {
        if header(evidence, findings) == Err(Short) && evidence.has_ended() {
            findings.hazard(
                HazardKind::Truncated,
                evidence.received(),
                "header",
                format_args!("{} bytes", evidence.received()),
                "the image ends inside its header",
            );
        }
    }
}

/// Walk the header in the order of its fields, so that each hazard is found as soon as its bytes are there.
fn header(evidence: &Evidence, findings: &mut Findings) -> Result<(), Short> {
    let mut reader = Reader::new(evidence.head());
    reader.skip(MAGIC.len())?;
    let version = reader.be_u32()?;
    if !(2..=3).contains(&version) {
        findings.hazard(
            HazardKind::Version,
            4,
            "version",
            version,
            "only versions 2 and 3 are accepted",
        );
        // The fields of an unknown version mean nothing.
        return match version {
            1 => version_1(evidence, &mut reader, findings),
            _ => Ok(()),
        };
    }
    findings.detail("version", version);

    let backing_offset = reader.be_u64()?;
    let backing_length = reader.be_u32();
    if backing_offset != 0 {
        backing(evidence, findings, backing_offset, backing_length);
    }
    backing_length?;

    let cluster_bits = reader.be_u32()?;
    if !CLUSTER_BITS.contains(&cluster_bits) {
        findings.warn(format!(
            "cluster_bits is {cluster_bits}, outside 9 to 21: QEMU will not open the image"
        ));
    }
    if let Some(cluster) = 1_u64.checked_shl(cluster_bits) {
        findings.detail("cluster_size", cluster);
    }
    let size = reader.be_u64()?;
    findings.size(Some(size));

    match reader.be_u32()? {
        0 => {}
        1 => {
            findings.detail("encryption", "AES");
            findings.warn("the image is encrypted with the obsolete AES method");
        }
        2 => findings.detail("encryption", "LUKS"),
        other => findings.warn(format!(
            "crypt_method {other} is unknown: QEMU will not open the image"
        )),
    }
    tables(&mut reader, size, cluster_bits, findings)?;

    let end = if version == 3 {
        version_3(&mut reader, findings)?
    } else {
        V2_HEADER
    };
    extensions(
        evidence,
        findings,
        &Layout {
            header_end: end,
            cluster_bits,
            backing_offset,
        },
    );
    Ok(())
}

/// Version 1, for the report: its fields are laid out in another way.
fn version_1(evidence: &Evidence, reader: &mut Reader<'_>, findings: &mut Findings) -> Result<(), Short> {
    findings.detail("version", 1);
    let backing_offset = reader.be_u64()?;
    let backing_length = reader.be_u32();
    if backing_offset != 0 {
        backing(evidence, findings, backing_offset, backing_length);
    }
    backing_length?;
    reader.skip(4)?;
    findings.size(Some(reader.be_u64()?));
    reader.skip(4)?;
    if reader.be_u32()? != 0 {
        findings.detail("encryption", "AES");
    }
    Ok(())
}

/// The places of the L1, refcount and snapshot tables, to the end of version 2's header. What is wrong with them
/// keeps an image from being opened, and leads nowhere else.
fn tables(
    reader: &mut Reader<'_>,
    size: u64,
    cluster_bits: u32,
    findings: &mut Findings,
) -> Result<(), Short> {
    let l1_entries = reader.be_u32()?;
    reader.skip(8 + 8 + 4)?;
    let snapshots = reader.be_u32()?;
    reader.skip(8)?;
    if snapshots > 0 {
        findings.detail("snapshots", snapshots);
        if snapshots > SNAPSHOTS_MAX {
            findings.warn(format!("{snapshots} snapshots: QEMU will not open the image"));
        }
    }
    if u64::from(l1_entries) * 8 > L1_MAX {
        findings.warn(format!(
            "the L1 table has {l1_entries} entries, more than 32 MiB: QEMU will not open the image"
        ));
    } else if CLUSTER_BITS.contains(&cluster_bits) {
        // An L1 entry stands for a cluster full of entries, which stand for a cluster each.
        let covered = u64::from(l1_entries) << (2 * cluster_bits - 3).min(42);
        if covered < size {
            findings.warn("the L1 table is too short for the virtual size: QEMU will not open the image");
        }
    }
    Ok(())
}

fn backing(evidence: &Evidence, findings: &mut Findings, offset: u64, length: Result<u32, Short>) {
    let name = length
        .ok()
        .filter(|length| (1..=BACKING_NAME_MAX).contains(length))
        .map(|length| evidence.bytes(offset, length as usize))
        .filter(|name| length.is_ok_and(|length| name.len() == length as usize))
        .map(until_nul)
        .filter(|name| !name.is_empty());
    let reference = name.map_or_else(
        || Reference::unnamed(offset),
        |name| Reference::named(name, offset),
    );
    findings.hazard(
        HazardKind::BackingFile,
        8,
        "backing_file_offset",
        reference.in_message(),
        "the image reads through to another file; flatten it first (qemu-img convert)",
    );
    findings.backing_file = Some(reference);
}

/// A name as readers take it, which ends it at a NUL.
fn until_nul(name: &[u8]) -> &[u8] {
    name.split(|&byte| byte == 0).next().unwrap_or_default()
}

/// The fields that version 3 added; answers with the header's length.
fn version_3(reader: &mut Reader<'_>, findings: &mut Findings) -> Result<u32, Short> {
    let incompatible = reader.be_u64()?;
    if incompatible & EXTERNAL_DATA != 0 {
        findings.hazard(
            HazardKind::DataFile,
            72,
            "incompatible_features",
            format_args!("{incompatible:#x}"),
            "the guest's data lies in another file (bit 2)",
        );
        findings.data_file = Some(Reference::unnamed(72));
    }
    let unknown = incompatible & !KNOWN;
    if unknown != 0 {
        let why = if unknown == EXTENDED_L2 {
            "extended L2 entries (bit 4) are not accepted; convert with extended_l2=off"
        } else {
            "the image requires features that are not known"
        };
        let kind = HazardKind::UnknownIncompatibleFeatures;
        findings.hazard(
            kind,
            72,
            "incompatible_features",
            format_args!("{incompatible:#x}"),
            why,
        );
    }
    if incompatible & DIRTY != 0 {
        findings.warn("the image was not closed properly (dirty bit)");
    }
    if incompatible & CORRUPT != 0 {
        findings.warn("the image is marked corrupt");
    }
    // Compatible and autoclear features: readers may ignore both.
    reader.skip(16)?;
    let refcount_order = reader.be_u32()?;
    if refcount_order > 6 {
        findings.warn(format!(
            "refcount_order is {refcount_order}, above 6: QEMU will not open the image"
        ));
    }
    let length = reader.be_u32()?;
    if length < V3_HEADER || !length.is_multiple_of(8) {
        findings.warn(format!("header_length is {length}: QEMU will not open the image"));
        return Ok(V3_HEADER);
    }
    if length > V3_HEADER
        && let Ok(&[kind]) = reader.take(1)
    {
        if kind != 0 {
            let name = if kind == 1 { "zstd" } else { "unknown" };
            findings.detail("compression", name);
        }
        if kind > 1 || (kind == 0) == (incompatible & COMPRESSION_TYPE != 0) {
            findings.warn(format!(
                "compression_type is {kind}, and its feature bit says otherwise or nobody knows it: QEMU will not \
                 open the image"
            ));
        }
    }
    Ok(length)
}

/// Where header extensions lie.
struct Layout {
    header_end: u32,
    cluster_bits: u32,
    backing_offset: u64,
}

impl Layout {
    /// Where the extensions must have ended: at the backing file's name, or with the first cluster.
    fn end(&self) -> u64 {
        let cluster = match self.cluster_bits {
            bits if CLUSTER_BITS.contains(&bits) => 1 << bits,
            _ => HEAD,
        };
        if self.backing_offset == 0 {
            cluster
        } else {
            cluster.min(self.backing_offset)
        }
    }
}

/// Look through the header's extensions for the name of a data file. QEMU reports (and conversion then
/// refuses) one even where bit 2 says there is none.
fn extensions(evidence: &Evidence, findings: &mut Findings, layout: &Layout) {
    let end = layout.end();
    let mut offset = u64::from(layout.header_end);
    for _ in 0..EXTENSIONS_MAX {
        if offset >= end {
            return;
        }
        if offset >= HEAD {
            unexamined(findings, offset);
            return;
        }
        let mut reader = Reader::at(evidence.head(), offset);
        let Ok(kind) = reader.be_u32() else { return };
        let length = reader.be_u32();
        match kind {
            0 => return,
            DATA_FILE_NAME => data_file(evidence, findings, offset, length),
            BACKING_FORMAT => {
                let name = evidence.bytes(offset + 8, length.unwrap_or(0).min(64) as usize);
                findings.detail("backing_format", String::from_utf8_lossy(until_nul(name)));
            }
            ENCRYPTION_HEADER => {
                let place = Reader::at(evidence.head(), offset + 8).be_u64();
                if let Ok(place) = place {
                    findings.detail("encryption_header", format_args!("at byte {place}"));
                }
            }
            _ => {}
        }
        let Ok(length) = length else { return };
        let next = reader.position() + u64::from(length).next_multiple_of(8);
        if next > end {
            findings.warn(format!(
                "the header extension at byte {offset} is {length} bytes long, more than there is room for: \
                 QEMU will not open the image"
            ));
            return;
        }
        offset = next;
    }
    unexamined(findings, offset);
}

fn unexamined(findings: &mut Findings, offset: u64) {
    findings.hazard(
        HazardKind::HeaderExtensions,
        offset,
        "header extensions",
        "",
        "they go on past where an image's are examined, and may name other files",
    );
}

fn data_file(evidence: &Evidence, findings: &mut Findings, offset: u64, length: Result<u32, Short>) {
    let at = offset.saturating_add(8);
    let name = until_nul(evidence.bytes(at, length.unwrap_or(0) as usize));
    let reference = if name.is_empty() {
        Reference::unnamed(offset)
    } else {
        Reference::named(name, at)
    };
    if findings
        .hazards
        .iter()
        .all(|hazard| hazard.kind != HazardKind::DataFile)
    {
        findings.hazard(
            HazardKind::DataFile,
            offset,
            "external data file name",
            reference.in_message(),
            "the image names another file for its data, though its feature bit says there is none",
        );
    }
    if findings
        .data_file
        .as_ref()
        .is_none_or(|known| known.name.is_none())
    {
        findings.data_file = Some(reference);
    }
}

#[cfg(test)]
mod tests;
