//! What an inspection found, for programs and for people.

use std::fmt;

use serde_json::{Value, json};

use super::{
    Examination, Format,
    hazard::{Extent, Findings, Hazard, Reference},
};

/// What the bytes of an image are, and what they refer to.
///
/// `Display` is a readable text of several lines, without a newline at the end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// What the image is, whatever it was declared to be.
    pub format: Format,
    /// Whether the format's structure was examined, or only its mark recognised.
    pub examination: Examination,
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
    /// Why the image is not safe; empty if it is.
    pub hazards: Vec<Hazard>,
    /// Oddities that do no harm.
    pub warnings: Vec<String>,
}

impl Report {
    pub(super) fn new(findings: Findings, examination: Examination, bytes: u64) -> Self {
        Self {
            format: findings.format,
            examination,
            bytes,
            virtual_size: findings.virtual_size,
            subformat: findings.subformat,
            backing_file: findings.backing_file,
            data_file: findings.data_file,
            extents: findings.extents,
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

    /// One object with the keys `format`, `virtual_size`, `backing_file`, `data_file`, `safe` and
    /// `reasons`. A reference without a readable name is a description in parentheses, never null.
    #[must_use]
    pub fn to_json(&self) -> Value {
        json!({
            "format": self.format.name(),
            "virtual_size": self.virtual_size,
            "backing_file": self.backing_file.as_ref().map(name),
            "data_file": self.data_file.as_ref().map(name),
            "safe": self.is_safe(),
            "reasons": self.reasons(),
        })
    }

    fn reasons(&self) -> Vec<String> {
        let unexamined = match self.examination {
            Examination::Structure => None,
            Examination::MagicOnly => Some(format!(
                "not examined: {} is recognised by its mark only; what it refers to is not known",
                self.format
            )),
        };
        self.hazards
            .iter()
            .map(ToString::to_string)
            .chain(unexamined)
            .collect()
    }
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
        write!(
            f,
            "\nsafe:          {}",
            if self.is_safe() { "yes" } else { "no" }
        )?;
        for reason in self.reasons() {
            write!(f, "\n  - {reason}")?;
        }
        for warning in &self.warnings {
            write!(f, "\nwarning:       {warning}")?;
        }
        Ok(())
    }
}
