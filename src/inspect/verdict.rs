//! Whether an image may be kept as what it was declared to be.

use std::fmt;

use super::{Content, Format, Hazard, HazardKind, Report, assessment::Assessment};

/// The container format whose contents are inspected.
const BARE: &str = "bare";
/// The container format that is an archive of disks.
const OVA: &str = "ova";

/// A `disk_format` as a client declares it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DiskFormat {
    /// One that can be told from the bytes.
    Inspectable(Format),
    /// One that cannot, or not in Glance, such as `ami` or `ploop`: only data that looks like nothing else passes
    /// as it.
    Other(String),
}

impl DiskFormat {
    /// The format of that name.
    #[must_use]
    pub fn from_name(name: &str) -> Self {
        Format::from_name(name)
            .filter(|format| *format == Format::Raw || !format.counts_as_raw())
            .map_or_else(|| Self::Other(name.to_owned()), Self::Inspectable)
    }
}

impl fmt::Display for DiskFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Inspectable(format) => format.fmt(f),
            Self::Other(name) => f.write_str(name),
        }
    }
}

/// What becomes of data that is not what it was declared to be (`require_image_format_match`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum FormatMatch {
    /// It is refused.
    #[default]
    Required,
    /// It is accepted, without virtual size.
    Optional,
}

/// What becomes of an OVA, which Glance does not look into.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Archives {
    /// It passes unlooked at.
    #[default]
    Unseen,
    /// Its members are inspected.
    Inspected,
}

/// What an operator decides: the section `[image_format]` of Glance's configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rules {
    /// Whether data must be what it was declared to be.
    pub format_match: FormatMatch,
    /// The VMDK `createType`s accepted, in any case. It can only narrow what the inspector accepts by
    /// itself (`monolithicSparse` and `streamOptimized`): the others keep their data elsewhere.
    pub vmdk_allowed_types: Vec<String>,
    /// Hazards of a `gpt` image, by name, that do not count. `mbr` is the only one there is.
    pub gpt_safety_checks_nonfatal: Vec<String>,
    /// Whether archives are looked into.
    pub archives: Archives,
}

impl Default for Rules {
    /// Glance's defaults.
    fn default() -> Self {
        Self {
            format_match: FormatMatch::Required,
            vmdk_allowed_types: vec!["streamOptimized".to_owned(), "monolithicSparse".to_owned()],
            gpt_safety_checks_nonfatal: Vec::new(),
            archives: Archives::Unseen,
        }
    }
}

/// What an image is declared to be.
#[derive(Clone, Debug)]
pub struct Declared {
    disk_format: DiskFormat,
    scope: Scope,
    rules: Rules,
}

/// What of an image is inspected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Scope {
    Nothing,
    Disk,
    Archive,
}

impl Declared {
    /// As the image record says. Only the container format `bare` is inspected, as in Glance, and `ova` where the
    /// rules say so: with any other, every verdict accepts and no virtual size is known.
    #[must_use]
    pub fn new(disk_format: &str, container_format: &str, rules: Rules) -> Self {
        Self {
            disk_format: DiskFormat::from_name(disk_format),
            scope: match container_format {
                BARE => Scope::Disk,
                OVA if rules.archives == Archives::Inspected => Scope::Archive,
                _ => Scope::Nothing,
            },
            rules,
        }
    }

    /// Whether the data needs to be inspected at all.
    #[must_use]
    pub fn is_inspected(&self) -> bool {
        self.scope != Scope::Nothing
    }

    pub(super) fn scope(&self) -> Scope {
        self.scope
    }
}

/// The image may be kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Accepted {
    /// The size to record, in bytes; `None`: unknown.
    pub virtual_size: Option<u64>,
}

/// The image must not be kept; Glance answers 415. `Display` is for the person who uploaded it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The data is not what it was declared to be.
    #[error("{}", Mismatch { declared, detected: *detected, content: *content })]
    Mismatch {
        /// The declaration.
        declared: DiskFormat,
        /// What the data is.
        detected: Format,
        /// What the data seems to hold, if it is raw.
        content: Option<Content>,
    },
    /// The data is dangerous to whoever opens it.
    #[error("the {format} image failed safety checks: {}", Listed(hazards))]
    Unsafe {
        /// What the data is.
        format: Format,
        /// What is wrong with it, at least one.
        hazards: Vec<Hazard>,
    },
    /// Something in the archive is dangerous to whoever unpacks it, or opens what it holds.
    #[error("the archive failed safety checks: {}", Listed(hazards))]
    UnsafeArchive {
        /// What is wrong with it, at least one.
        hazards: Vec<Hazard>,
    },
}

struct Mismatch<'a> {
    declared: &'a DiskFormat,
    detected: Format,
    content: Option<Content>,
}

impl fmt::Display for Mismatch<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            declared,
            detected,
            content,
        } = self;
        write!(f, "the data is {detected}")?;
        if let Some(content) = content {
            write!(f, " ({content})")?;
        }
        write!(f, ", but disk_format is {declared}: upload {declared} data")?;
        match (content, detected) {
            // Its contents may well be what was declared.
            (Some(content), _) if content.is_packed() => write!(f, ", unpacked"),
            // It cannot be kept as what it is.
            (_, Format::Qed) => Ok(()),
            _ => write!(f, ", or set disk_format to {detected}"),
        }
    }
}

struct Listed<'a>(&'a [Hazard]);

impl fmt::Display for Listed<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, hazard) in self.0.iter().enumerate() {
            write!(f, "{}{hazard}", if index == 0 { "" } else { "; " })?;
        }
        Ok(())
    }
}

impl Report {
    /// Whether the image may be kept as what it was declared to be, by Glance's rules: data declared raw
    /// may be anything that is safe, and its virtual size is its length; otherwise the format must match.
    ///
    /// # Errors
    /// The refusal; a mismatch before a hazard.
    pub fn verdict(&self, declared: &Declared) -> Result<Accepted, Refusal> {
        if declared.scope != Scope::Disk {
            return Ok(Accepted { virtual_size: None });
        }
        let raw_size = Some(self.bytes).filter(|&size| size > 0 && i64::try_from(size).is_ok());
        let (matches, virtual_size) = match &declared.disk_format {
            DiskFormat::Inspectable(Format::Raw) => (true, raw_size),
            DiskFormat::Inspectable(format) if *format == self.format => (true, self.virtual_size),
            DiskFormat::Inspectable(Format::Vhd) if self.fixed_vhd.is_some() => (true, self.fixed_vhd),
            DiskFormat::Inspectable(_) => (false, None),
            DiskFormat::Other(_) => (self.format.counts_as_raw(), None),
        };
        if !matches && !self.is_disputed() && declared.rules.format_match == FormatMatch::Required {
            return Err(Refusal::Mismatch {
                declared: declared.disk_format.clone(),
                detected: self.format,
                content: self.content,
            });
        }
        self.safety(&declared.rules)?;
        Ok(Accepted { virtual_size })
    }

    /// Whether no single format can be named.
    fn is_disputed(&self) -> bool {
        self.hazards
            .iter()
            .any(|hazard| hazard.kind == HazardKind::MultipleFormats)
    }

    /// # Errors
    /// [`Refusal::Unsafe`] if a hazard remains under `rules`.
    fn safety(&self, rules: &Rules) -> Result<(), Refusal> {
        let tolerated = |hazard: &Hazard| {
            self.format == Format::Gpt
                && rules
                    .gpt_safety_checks_nonfatal
                    .iter()
                    .any(|name| name == hazard.kind.name())
        };
        let mut hazards: Vec<_> = self
            .hazards
            .iter()
            .filter(|hazard| !tolerated(hazard))
            .cloned()
            .collect();
        if self.format == Format::Vmdk
            && let Some(kind) = &self.subformat
            && hazards
                .iter()
                .all(|hazard| !matches!(hazard.kind, HazardKind::CreateType | HazardKind::TextDescriptor))
            && !rules
                .vmdk_allowed_types
                .iter()
                .any(|allowed| allowed.eq_ignore_ascii_case(kind))
        {
            hazards.push(Hazard {
                kind: HazardKind::CreateType,
                offset: 512,
                field: "createType",
                value: format!("\"{}\"", kind.escape_debug()),
                why: "the operator does not allow this kind of VMDK (vmdk_allowed_types)",
            });
        }
        if hazards.is_empty() {
            Ok(())
        } else {
            Err(Refusal::Unsafe {
                format: self.format,
                hazards,
            })
        }
    }
}

impl Assessment {
    /// The refusal that is certain by now. Sound: whatever follows, the final verdict refuses as well.
    pub(super) fn early_refusal(&self, declared: &Declared) -> Option<Refusal> {
        if declared.scope != Scope::Disk {
            return None;
        }
        let excluded = match &declared.disk_format {
            DiskFormat::Inspectable(Format::Raw) => false,
            DiskFormat::Inspectable(format) => !self.may_be(*format),
            DiskFormat::Other(_) => !self.may_be(Format::Raw),
        };
        // A mismatch waits until it can say what the data is.
        let examined = self.examined()?;
        if excluded && !examined.is_disputed() && declared.rules.format_match == FormatMatch::Required {
            return Some(Refusal::Mismatch {
                declared: declared.disk_format.clone(),
                detected: examined.format,
                content: examined.content,
            });
        }
        examined.safety(&declared.rules).err()
    }
}
