//! Hyper-V disks ([MS-VHDX]).
//!
//! A table of regions at 192 KiB says where the metadata is, and a table at its start where each item of it is:
//! anywhere in the file, in any order. All is read in one pass, so that what points back to where the stream has
//! passed cannot be read, and the image is refused.

mod structures;

use std::ops::Range;

use self::structures::{Guid, Header, Item, MetadataTable, RegionTable};
use super::{
    Format, HazardKind, Reference,
    hazard::Findings,
    probe::Probe,
    reader::Reader,
    vhd::utf_16,
    window::{Evidence, Part, Recognition},
};

/// The format.
pub(super) struct Vhdx;

const MARK: &[u8] = b"vhdxfile";
const KIB_64: u64 = 64 * 1024;
const HEADERS: [u64; 2] = [KIB_64, 2 * KIB_64];
const REGION_TABLES: [u64; 2] = [3 * KIB_64, 4 * KIB_64];
const TABLE: usize = 64 * 1024;
/// Longest parent locator that is read for the parent's name.
const LOCATOR_MAX: u32 = 32 * 1024;
/// The largest disk there may be.
const SIZE_MAX: u64 = 64 << 40;

const METADATA: Guid = Guid::new(0x8b7c_a206, 0x4790, 0x4b9a, 0xb8fe_575f_050f_886e);
const BLOCK_ALLOCATION: Guid = Guid::new(0x2dc2_7766, 0xf623, 0x4200, 0x9d64_115e_9bfd_4a08);
const FILE_PARAMETERS: Guid = Guid::new(0xcaa1_6737, 0xfa36, 0x4d43, 0xb3b6_33f0_aa44_e76b);
const VIRTUAL_SIZE: Guid = Guid::new(0x2fa5_4224, 0xcd1b, 0x4876, 0xb211_5dbe_d83b_f4b8);
const PARENT_LOCATOR: Guid = Guid::new(0xa8d3_5f2d, 0xb30b, 0x454d, 0xabf7_d3d8_4834_ab0c);
/// Items that the verdict or the report depends on.
const JUDGED: [Guid; 3] = [FILE_PARAMETERS, VIRTUAL_SIZE, PARENT_LOCATOR];
/// Items that say nothing about other files: page 83 data, logical and physical sector size.
const HARMLESS: [Guid; 3] = [
    Guid::new(0xbeca_12ab, 0xb2e6, 0x4523, 0x93ef_c309_e000_c746),
    Guid::new(0x8141_bf1d, 0xa96f, 0x4709, 0xba47_f233_a8fa_ab5f),
    Guid::new(0xcda3_48c7, 0x445d, 0x4471, 0x9cc9_e988_5251_c556),
];

impl Probe for Vhdx {
    fn format(&self) -> Format {
        Format::Vhdx
    }

    fn recognise(&self, evidence: &Evidence) -> Recognition {
        evidence.magic(0, MARK)
    }

    fn wants(&self, evidence: &Evidence) -> Option<Range<u64>> {
        if !evidence.head().starts_with(MARK) {
            return None;
        }
        let mut parts = vec![(HEADERS[0], Header::LENGTH), (HEADERS[1], Header::LENGTH)];
        parts.extend(REGION_TABLES.map(|offset| (offset, TABLE)));
        if let Some(region) = metadata_region(evidence) {
            parts.push((region, TABLE));
            if let Part::Whole(table) = evidence.part(region, TABLE)
                && let Some(table) = MetadataTable::read(table)
            {
                // An item that is there twice is refused for that: only the first is looked at, so that a table of
                // thousands makes no thousands of spans, each a reason to read the tables again.
                let items = JUDGED.iter().filter_map(|guid| table.find(guid));
                parts.extend(items.filter_map(|item| item.judged(region)));
            }
        }
        parts.sort_unstable();
        let (offset, length) = parts
            .into_iter()
            .find(|&(offset, length)| evidence.part(offset, length) == Part::Pending)?;
        Some(offset..offset.checked_add(length as u64)?)
    }

    fn examine(&self, evidence: &Evidence, findings: &mut Findings) {
        log(evidence, findings);
        let (region, table) = match regions(evidence, findings) {
            Ok(found) => found,
            Err(Missing::NotYet) => return,
            Err(Missing::Never(offset, what)) => {
                findings.hazard(
                    HazardKind::BadStructure,
                    offset,
                    what,
                    "",
                    "it is not where it can be read; without it nobody can say what the image refers to",
                );
                return;
            }
        };
        metadata(evidence, region, &table, findings);
    }
}

/// Why a structure cannot be judged.
enum Missing {
    NotYet,
    Never(u64, &'static str),
}

/// A log that is not empty is written over the image by whoever opens it, the metadata included.
fn log(evidence: &Evidence, findings: &mut Findings) {
    let [Part::Whole(first), Part::Whole(second)] = HEADERS.map(|at| evidence.part(at, Header::LENGTH))
    else {
        return;
    };
    let headers = [(HEADERS[0], first), (HEADERS[1], second)];
    let headers = headers.map(|(at, bytes)| Header::read(bytes).map(|header| (at, header)));
    let newest = headers
        .iter()
        .flatten()
        .filter(|(_, header)| header.sound)
        .map(|(_, header)| header.sequence)
        .max();
    if newest.is_none() {
        findings.warn("neither header is sound: QEMU will not open the image");
    }
    // The newest counts; without a sound one, or with two, readers may take either.
    let current = |header: &Header| newest.is_none_or(|newest| header.sound && header.sequence == newest);
    let dirty = headers
        .iter()
        .flatten()
        .find(|(_, header)| current(header) && header.has_log);
    if let Some((at, _)) = dirty {
        findings.hazard(
            HazardKind::DirtyLog,
            at + 48,
            "LogGuid",
            "",
            "the image was not closed properly: its log is yet to be written over what was examined; open and close \
             it once where it was made, or convert it",
        );
    }
}

/// Where the metadata begins, by whichever region table can be read first.
fn metadata_region(evidence: &Evidence) -> Option<u64> {
    REGION_TABLES
        .into_iter()
        .find_map(|at| match evidence.part(at, TABLE) {
            Part::Whole(bytes) => RegionTable::read(bytes)?.find(&METADATA),
            _ => None,
        })
}

/// Judge the region tables; answers with the metadata region and the table at its start.
fn regions(evidence: &Evidence, findings: &mut Findings) -> Result<(u64, MetadataTable), Missing> {
    let [first, second] = REGION_TABLES.map(|at| match evidence.part(at, TABLE) {
        Part::Whole(bytes) => Ok(RegionTable::read(bytes)),
        Part::Pending => Err(Missing::NotYet),
        Part::Lost => Err(Missing::Never(at, "region table")),
    });
    let (first, second) = (first?, second?);
    if let (Some(first), Some(second)) = (&first, &second)
        && first.entries != second.entries
    {
        findings.hazard(
            HazardKind::CopiesDiffer,
            REGION_TABLES[1],
            "region table",
            "",
            "the two region tables contradict each other",
        );
    }
    let [at, other] = REGION_TABLES;
    let at = if first.is_some() { at } else { other };
    if first.is_none() || second.is_none() {
        findings.warn("one of the region tables is missing: QEMU may not open the image");
    }
    let table = first
        .or(second)
        .ok_or(Missing::Never(REGION_TABLES[0], "region table"))?;
    // A warning is for the report alone: 64 KiB are summed once.
    if evidence.has_ended() && !table.is_sound(evidence.bytes(at, TABLE)) {
        findings.warn("the region table's checksum is wrong: QEMU will not open the image");
    }
    for entry in &table.entries {
        if entry.required && ![METADATA, BLOCK_ALLOCATION].contains(&entry.guid) {
            unknown(at, "region", &entry.guid, findings);
        }
    }
    if table
        .entries
        .iter()
        .filter(|entry| entry.guid == METADATA)
        .count()
        > 1
    {
        twice(at, "region", &METADATA, findings);
    }
    let region = table
        .find(&METADATA)
        .ok_or(Missing::Never(at, "metadata region"))?;
    match evidence.part(region, TABLE) {
        Part::Whole(bytes) => MetadataTable::read(bytes)
            .map(|table| (region, table))
            .ok_or(Missing::Never(region, "metadata table")),
        Part::Pending => Err(Missing::NotYet),
        Part::Lost => Err(Missing::Never(region, "metadata table")),
    }
}

fn metadata(evidence: &Evidence, region: u64, table: &MetadataTable, findings: &mut Findings) {
    let mut seen: Vec<&Guid> = Vec::new();
    for item in &table.items {
        let at = region + item.entry;
        if seen.contains(&&item.guid) {
            twice(at, "metadata item", &item.guid, findings);
            continue;
        }
        seen.push(&item.guid);
        if item.guid == PARENT_LOCATOR {
            parent(evidence, region, item, findings);
        } else if item.required
            && !HARMLESS.contains(&item.guid)
            && ![FILE_PARAMETERS, VIRTUAL_SIZE].contains(&item.guid)
        {
            unknown(at, "metadata item", &item.guid, findings);
        }
    }
    let differencing = value(
        evidence,
        region,
        table,
        FILE_PARAMETERS,
        "file parameters",
        findings,
    );
    if let Some((at, parameters)) = differencing {
        findings.detail("block_size", parameters & u64::from(u32::MAX));
        let flags = parameters >> 32;
        if flags & 2 != 0
            && findings
                .hazards
                .iter()
                .all(|hazard| hazard.kind != HazardKind::ParentReference)
        {
            findings.parent(at + 4, "HasParent", Reference::unnamed(at + 4));
        }
        findings.subformat = Some(match flags & 3 {
            0 => "dynamic".to_owned(),
            1 => "fixed".to_owned(),
            _ => "differencing".to_owned(),
        });
    }
    if let Some((_, size)) = value(
        evidence,
        region,
        table,
        VIRTUAL_SIZE,
        "virtual disk size",
        findings,
    ) {
        findings.size(Some(size));
        if size > SIZE_MAX {
            findings.warn("the disk is larger than 64 TiB: QEMU will not open the image");
        }
    }
}

/// The eight bytes of an item that every image has, and where they are.
fn value(
    evidence: &Evidence,
    region: u64,
    table: &MetadataTable,
    guid: Guid,
    name: &'static str,
    findings: &mut Findings,
) -> Option<(u64, u64)> {
    let item = table.find(&guid);
    let place = item.and_then(|item| item.judged(region).filter(|_| item.length == 8));
    let bytes = match place {
        Some((at, length)) => match evidence.part(at, length) {
            Part::Whole(bytes) => Some((at, Reader::new(bytes).le_u64().ok()?)),
            Part::Pending => return None,
            Part::Lost => None,
        },
        None => None,
    };
    if bytes.is_none() {
        let at = place.map_or(region, |(at, _)| at);
        findings.hazard(
            HazardKind::BadStructure,
            at,
            name,
            "",
            "the item is missing, malformed, or not where it can be read",
        );
    }
    bytes
}

fn parent(evidence: &Evidence, region: u64, item: &Item, findings: &mut Findings) {
    let at = item.judged(region).map_or(region, |(at, _)| at);
    let name = match item.judged(region).map(|(at, length)| evidence.part(at, length)) {
        Some(Part::Whole(locator)) => structures::parent_name(locator),
        _ => None,
    };
    let reference = name.map_or_else(
        || Reference::unnamed(at),
        |name| Reference::named(name.as_bytes(), at),
    );
    findings.parent(at, "parent locator", reference);
}

fn unknown(at: u64, field: &'static str, guid: &Guid, findings: &mut Findings) {
    findings.hazard(
        HazardKind::UnknownIncompatibleFeatures,
        at,
        field,
        guid,
        "the image requires what nobody has judged",
    );
}

fn twice(at: u64, field: &'static str, guid: &Guid, findings: &mut Findings) {
    findings.hazard(
        HazardKind::CopiesDiffer,
        at,
        field,
        guid,
        "there are several, and readers differ on which counts",
    );
}

#[cfg(test)]
mod tests;
