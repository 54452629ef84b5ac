//! Why an image is not safe to keep: what was found, and where.

use std::fmt;

use super::{Content, Format, partitions::Partition};

/// Longest text taken from an image into a report, in bytes; the rest is cut.
const TEXT_MAX: usize = 1024;

/// Hazards, warnings and details that are reported of one image: a table may repeat the same one thousands of times.
pub(super) const FINDINGS_MAX: usize = 32;

/// What is wrong, as a stable name for control flow, logs and tests.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum HazardKind {
    /// The image reads through to another file.
    BackingFile,
    /// The image's data lies in another file.
    DataFile,
    /// Features are required that nobody has judged.
    UnknownIncompatibleFeatures,
    /// A version of the format that is not accepted.
    Version,
    /// The image ends inside a structure that it must have.
    Truncated,
    /// A header's extensions go on where they can no longer be examined.
    HeaderExtensions,
    /// A VMDK descriptor with the data elsewhere, and no data of its own.
    TextDescriptor,
    /// A VMDK descriptor that is missing, misplaced, or not understood.
    BadDescriptor,
    /// A VMDK `createType` that is not one of the self-contained ones, or not allowed.
    CreateType,
    /// More than one VMDK `createType`: readers differ on which counts.
    TwoCreateTypes,
    /// A VMDK extent that names a path.
    ExtentPath,
    /// A VMDK extent that the image cannot hold by itself.
    Extent,
    /// A VMDK, VHD, VHDX or VDI that reads through to a parent.
    ParentReference,
    /// A VMDK that names a change-tracking file.
    ChangeTrackPath,
    /// A VMDK footer that is missing, malformed, or contradicts the header.
    FooterMismatch,
    /// A VMDK without capacity: readers then follow its descriptor to other files.
    ZeroCapacity,
    /// Two copies of a structure, or two of what there may be one of: readers differ on which counts.
    CopiesDiffer,
    /// A structure that says what the image refers to is missing or malformed, or lies where a stream has passed.
    BadStructure,
    /// A log that is not written back: whoever opens the image changes what was examined.
    DirtyLog,
    /// The data is several formats at once: readers differ on which.
    MultipleFormats,
    /// A format that is refused whatever it holds.
    BannedFormat,
    /// A master boot record that contradicts itself (Glance's check `mbr`).
    Mbr,
    /// An archive in a container that is none, or one that readers unpack in different ways.
    BadArchive,
    /// An archive's member that is a link or a device: unpacked, it leads out of the archive.
    ArchiveLink,
    /// An archive's member, or a file that its description names, whose name leads out of the archive.
    ArchivePath,
}

impl HazardKind {
    /// Every kind.
    pub const ALL: [Self; 25] = [
        Self::BackingFile,
        Self::DataFile,
        Self::UnknownIncompatibleFeatures,
        Self::Version,
        Self::Truncated,
        Self::HeaderExtensions,
        Self::TextDescriptor,
        Self::BadDescriptor,
        Self::CreateType,
        Self::TwoCreateTypes,
        Self::ExtentPath,
        Self::Extent,
        Self::ParentReference,
        Self::ChangeTrackPath,
        Self::FooterMismatch,
        Self::ZeroCapacity,
        Self::CopiesDiffer,
        Self::BadStructure,
        Self::DirtyLog,
        Self::MultipleFormats,
        Self::BannedFormat,
        Self::Mbr,
        Self::BadArchive,
        Self::ArchiveLink,
        Self::ArchivePath,
    ];

    /// The stable name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::BackingFile => "backing_file",
            Self::DataFile => "data_file",
            Self::UnknownIncompatibleFeatures => "unknown_incompatible_features",
            Self::Version => "version",
            Self::Truncated => "truncated",
            Self::HeaderExtensions => "header_extensions",
            Self::TextDescriptor => "text_descriptor",
            Self::BadDescriptor => "bad_descriptor",
            Self::CreateType => "create_type",
            Self::TwoCreateTypes => "two_create_types",
            Self::ExtentPath => "extent_path",
            Self::Extent => "extent",
            Self::ParentReference => "parent_reference",
            Self::ChangeTrackPath => "change_track_path",
            Self::FooterMismatch => "footer_mismatch",
            Self::ZeroCapacity => "zero_capacity",
            Self::CopiesDiffer => "copies_differ",
            Self::BadStructure => "bad_structure",
            Self::DirtyLog => "dirty_log",
            Self::MultipleFormats => "multiple_formats",
            Self::BannedFormat => "banned_format",
            Self::Mbr => "mbr",
            Self::BadArchive => "bad_archive",
            Self::ArchiveLink => "archive_link",
            Self::ArchivePath => "archive_path",
        }
    }
}

impl fmt::Display for HazardKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// One finding that makes an image unsafe. `Display` is a sentence for a person.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hazard {
    /// What is wrong.
    pub kind: HazardKind,
    /// Where the deciding field begins, in bytes from the start of the image.
    pub offset: u64,
    /// The field's name in the format's specification.
    pub field: &'static str,
    /// The value found; text from the image is escaped and cut.
    pub value: String,
    /// Why that is refused.
    pub why: &'static str,
}

impl fmt::Display for Hazard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {} ({}", self.kind, self.why, self.field)?;
        if !self.value.is_empty() {
            write!(f, " = {}", self.value)?;
        }
        write!(f, ", byte {})", self.offset)
    }
}

/// Another file that the image names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reference {
    /// The name as far as it could be read: bytes that are not UTF-8 are replaced, long names cut.
    /// `None`: there is a reference, but its name lies where it was not kept. Judge by presence.
    pub name: Option<String>,
    /// Where the name (or, failing that, the field that refers to it) begins.
    pub offset: u64,
}

impl Reference {
    pub(super) fn named(name: &[u8], offset: u64) -> Self {
        Self {
            name: Some(lossy(name)),
            offset,
        }
    }

    pub(super) fn unnamed(offset: u64) -> Self {
        Self { name: None, offset }
    }

    /// The name in quotes, or nothing: a message says where the reference was found in any case.
    pub(super) fn in_message(&self) -> String {
        self.name
            .as_deref()
            .map_or_else(String::new, |name| quoted(name.as_bytes()))
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.name {
            Some(name) => write!(f, "{}", name.escape_debug()),
            None => write!(f, "(a name at byte {} that could not be read)", self.offset),
        }
    }
}

/// A piece of the disk as a VMDK descriptor lists it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Extent {
    /// The kind as written: `SPARSE`, `FLAT`, `VMFS`, `ZERO`, …
    pub kind: String,
    /// The length in bytes, if it fits.
    pub length: Option<u64>,
    /// The file that holds it, if one is named.
    pub file: Option<String>,
}

/// A fact about an image that decides nothing: its cluster size, its encryption, its label.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Detail {
    /// What it is, as a stable name.
    pub name: &'static str,
    /// What the image says; bounded, and not escaped.
    pub value: String,
}

/// Text from an image as UTF-8, cut to a bounded length.
pub(super) fn lossy(text: &[u8]) -> String {
    String::from_utf8_lossy(text.get(..TEXT_MAX).unwrap_or(text)).into_owned()
}

/// Text from an image quoted for a message: no control characters, bounded length.
pub(super) fn quoted(text: &[u8]) -> String {
    format!("\"{}\"", lossy(text).escape_debug())
}

/// What the examination of one format found. Grows only: with more of the stream, findings are added and
/// never taken back, so that an early refusal is never wrong.
#[derive(Debug)]
pub(super) struct Findings {
    pub(super) format: Format,
    pub(super) virtual_size: Option<u64>,
    pub(super) subformat: Option<String>,
    pub(super) backing_file: Option<Reference>,
    pub(super) data_file: Option<Reference>,
    pub(super) extents: Vec<Extent>,
    pub(super) partitions: Vec<Partition>,
    pub(super) details: Vec<Detail>,
    pub(super) content: Option<Content>,
    pub(super) fixed_vhd: Option<u64>,
    pub(super) hazards: Vec<Hazard>,
    pub(super) warnings: Vec<String>,
}

impl Findings {
    pub(super) fn new(format: Format) -> Self {
        Self {
            format,
            virtual_size: None,
            subformat: None,
            backing_file: None,
            data_file: None,
            extents: Vec::new(),
            partitions: Vec::new(),
            details: Vec::new(),
            content: None,
            fixed_vhd: None,
            hazards: Vec::new(),
            warnings: Vec::new(),
        }
    }

    pub(super) fn hazard(
        &mut self,
        kind: HazardKind,
        offset: u64,
        field: &'static str,
        value: impl fmt::Display,
        why: &'static str,
    ) {
        if self.hazards.len() < FINDINGS_MAX {
            self.hazards.push(Hazard {
                kind,
                offset,
                field,
                value: value.to_string(),
                why,
            });
        }
    }

    pub(super) fn detail(&mut self, name: &'static str, value: impl fmt::Display) {
        if self.details.len() < FINDINGS_MAX {
            self.details.push(Detail {
                name,
                value: value.to_string(),
            });
        }
    }

    /// The image reads through to a parent.
    pub(super) fn parent(&mut self, offset: u64, field: &'static str, reference: Reference) {
        self.hazard(
            HazardKind::ParentReference,
            offset,
            field,
            reference.in_message(),
            "the image reads through to a parent; merge it with its parent first",
        );
        self.backing_file.get_or_insert(reference);
    }

    /// The stream has ended inside a structure that the image must have.
    pub(super) fn truncated(&mut self, received: u64) {
        self.hazard(
            HazardKind::Truncated,
            received,
            "header",
            format_args!("{received} bytes"),
            "the image ends inside its header",
        );
    }

    pub(super) fn warn(&mut self, warning: impl Into<String>) {
        if self.warnings.len() < FINDINGS_MAX {
            self.warnings.push(warning.into());
        }
    }

    /// Set the virtual size, in bytes. Zero is no size; so is one that no 64-bit file can have.
    pub(super) fn size(&mut self, size: Option<u64>) {
        self.virtual_size = size.filter(|&size| size > 0 && i64::try_from(size).is_ok());
        if self.virtual_size.is_none() && size != Some(0) {
            self.warn("the virtual size is larger than any file can be; it is reported as unknown");
        }
    }
}
