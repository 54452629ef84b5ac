//! What an inspection found, for programs and for people.

use std::fmt;

use serde_json::{Map, Value, json};

use super::{
    Content, Format, Partition,
    hazard::{Detail, Extent, Findings, Hazard, Reference},
};

/// What the bytes of an image are, and what they refer to.
///
/// `Display` is a readable text of several lines, without a newline at the end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// What the image is, whatever it was declared to be.
    pub format: Format,
    /// How many bytes were inspected.
    pub bytes: u64,
    /// The size of the disk that a guest would see, in bytes; `None` if it is zero, unknown, or more than
    /// `i64::MAX`. For raw data, the bytes inspected.
    pub virtual_size: Option<u64>,
    /// The variant of the format, as the image names it: a VMDK's `createType`.
    pub subformat: Option<String>,
    /// The file that the image reads through to.
    pub backing_file: Option<Reference>,
    /// The file that holds the image's data in its place.
    pub data_file: Option<Reference>,
    /// The extents that a VMDK's descriptor lists; at most 1024.
    pub extents: Vec<Extent>,
    /// The partitions of a disk that has a table of them; at most 128.
    pub partitions: Vec<Partition>,
    /// What raw data seems to hold, for information: it is raw all the same.
    pub content: Option<Content>,
    /// The size of the disk in bytes, if the data ends in the footer of a fixed VHD. Only where the image is
    /// declared `vhd` is it one: the same bytes are a raw disk with something behind its end.
    pub fixed_vhd: Option<u64>,
    /// Further facts, in the order of their reading.
    pub details: Vec<Detail>,
    /// Why the image is not safe; empty if it is.
    pub hazards: Vec<Hazard>,
    /// Oddities that do no harm.
    pub warnings: Vec<String>,
}

impl Report {
    pub(super) fn new(findings: Findings, bytes: u64) -> Self {
        Self {
            format: findings.format,
            bytes,
            virtual_size: findings.virtual_size,
            subformat: findings.subformat,
            backing_file: findings.backing_file,
            data_file: findings.data_file,
            extents: findings.extents,
            partitions: findings.partitions,
            content: findings.content,
            fixed_vhd: findings.fixed_vhd,
            details: findings.details,
            hazards: findings.hazards,
            warnings: findings.warnings,
        }
    }

    /// Whether nothing was found that makes the image unsafe. Rules that an operator sets (see
    /// [`Report::verdict`]) may refuse a safe image, or let pass one that is not.
    #[must_use]
    pub fn is_safe(&self) -> bool {
        self.hazards.is_empty()
    }

    /// One object. `format`, `virtual_size`, `backing_file`, `data_file`, `safe` and `reasons` say what the image
    /// is, refers to and is refused for; the rest (`bytes`, `subformat`, `extents`, `partitions`, `content`,
    /// `fixed_vhd_size`, `details`, `hazards`, `warnings`) is what that was read from. Keys without a value are null. A reference
    /// without a readable name is a description in parentheses, never null.
    #[must_use]
    pub fn to_json(&self) -> Value {
        let details: Map<_, _> = self
            .details
            .iter()
            .map(|detail| (detail.name.to_owned(), Value::from(detail.value.as_str())))
            .collect();
        json!({
            "format": self.format.name(),
            "virtual_size": self.virtual_size,
            "backing_file": self.backing_file.as_ref().map(name),
            "data_file": self.data_file.as_ref().map(name),
            "safe": self.is_safe(),
            "reasons": self.hazards.iter().map(ToString::to_string).collect::<Vec<_>>(),
            "bytes": self.bytes,
            "subformat": self.subformat,
            "extents": self.extents.iter().map(extent).collect::<Vec<_>>(),
            "partitions": self.partitions.iter().map(partition).collect::<Vec<_>>(),
            "content": self.content.map(Content::name),
            "fixed_vhd_size": self.fixed_vhd,
            "details": details,
            "hazards": self.hazards.iter().map(hazard).collect::<Vec<_>>(),
            "warnings": self.warnings,
        })
    }
}

fn extent(extent: &Extent) -> Value {
    json!({"kind": extent.kind, "length": extent.length, "file": extent.file})
}

fn partition(partition: &Partition) -> Value {
    json!({
        "number": partition.number,
        "start": partition.start,
        "length": partition.length,
        "kind": partition.kind,
        "name": partition.name,
    })
}

fn hazard(hazard: &Hazard) -> Value {
    json!({
        "name": hazard.kind.name(),
        "offset": hazard.offset,
        "field": hazard.field,
        "value": hazard.value,
        "why": hazard.why,
    })
}

fn name(reference: &Reference) -> String {
    reference.name.clone().unwrap_or_else(|| reference.to_string())
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let or_none = |text: Option<String>| text.unwrap_or_else(|| "none".to_owned());
        write!(f, "format:        {}", self.format)?;
        if let Some(subformat) = &self.subformat {
            write!(f, " ({})", subformat.escape_debug())?;
        }
        if let Some(content) = self.content {
            write!(f, " ({content})")?;
        }
        let size = self
            .virtual_size
            .map_or_else(|| "unknown".to_owned(), |size| format!("{size} bytes"));
        write!(f, "\nbytes:         {}\nvirtual size:  {size}", self.bytes)?;
        let backing = self.backing_file.as_ref().map(ToString::to_string);
        let data = self.data_file.as_ref().map(ToString::to_string);
        write!(
            f,
            "\nbacking file:  {}\ndata file:     {}",
            or_none(backing),
            or_none(data)
        )?;
        for extent in &self.extents {
            write!(f, "\nextent:        {}", extent.kind.escape_debug())?;
            if let Some(file) = &extent.file {
                write!(f, " \"{}\"", file.escape_debug())?;
            }
        }
        for partition in &self.partitions {
            write!(f, "\npartition:     {partition}")?;
        }
        if let Some(size) = self.fixed_vhd {
            write!(f, "\nfixed VHD:     {size} bytes, if disk_format is vhd")?;
        }
        for detail in &self.details {
            let label = format!("{}:", detail.name.replace('_', " "));
            write!(f, "\n{label:<14} {}", detail.value.escape_debug())?;
        }
        write!(
            f,
            "\nsafe:          {}",
            if self.is_safe() { "yes" } else { "no" }
        )?;
        for hazard in &self.hazards {
            write!(f, "\n  - {hazard}")?;
        }
        for warning in &self.warnings {
            write!(f, "\nwarning:       {warning}")?;
        }
        Ok(())
    }
}
