//! What is wrong with policy files, and where.

use std::{fmt, io, path::PathBuf};

use super::{MAX_FILE_BYTES, language::Fault};

/// A line of a policy file.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// The file.
    pub path: PathBuf,
    /// The line, from 1; 0 when it is not known.
    pub line: u64,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.path.display())?;
        match self.line {
            0 => Ok(()),
            line => write!(f, ":{line}"),
        }
    }
}

/// Why the policy cannot be loaded. Each names the file.
#[derive(Debug, thiserror::Error)]
pub enum PolicyError {
    /// The file or directory cannot be read, or is not UTF-8.
    #[error("cannot read the policy file {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The file is larger than any real one.
    #[error("the policy file {} is larger than {MAX_FILE_BYTES} bytes", path.display())]
    TooLarge {
        /// The file.
        path: PathBuf,
    },
    /// The file is not YAML (of which JSON is a part).
    #[error("{place} is neither YAML nor JSON")]
    Malformed {
        /// Where it stops being so.
        place: Place,
        /// What and where.
        source: Box<serde_saphyr::Error>,
    },
    /// The file is not a mapping with names as its keys.
    #[error("{place} is not a mapping from rule names to rules")]
    NotAMapping {
        /// The first line that is none.
        place: Place,
    },
    /// A rule has no value, which Glance reads as "allow everyone", where `!` without quotes may have been meant.
    #[error("rule {rule} in {place} has no value: write \"\" to allow everyone, \"!\" to allow nobody")]
    NoValue {
        /// Where it is.
        place: Place,
        /// The rule.
        rule: String,
    },
    /// A rule is neither text nor a list.
    #[error("rule {rule} in {place} is neither text nor a list of lists of text")]
    NotARule {
        /// Where it is.
        place: Place,
        /// The rule.
        rule: String,
    },
    /// A file or directory that the configuration names was in force, and is not there any more. Only while the
    /// daemon runs: a start reads what there is.
    #[error("the policy file or directory {} is gone", path.display())]
    Gone {
        /// The file or directory.
        path: PathBuf,
    },
}

/// Something in the policy that its author should look at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Warning {
    /// The rule that it is about.
    pub rule: String,
    /// Where that is defined; `None` for a default that the files made wrong.
    pub place: Option<Place>,
    /// What it is.
    pub kind: WarningKind,
}

/// What a [`Warning`] is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WarningKind {
    /// Something in a rule is not understood; where it decides, the rule denies.
    Fault(Fault),
    /// A rule is defined twice in the file; the last one holds.
    Duplicate,
    /// Neither the API nor a rule that it asks for knows the name: perhaps a typing error.
    Unused,
    /// A rule that Glance still defines, and asks for no more.
    Obsolete,
}

impl fmt::Display for WarningKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Fault(fault) => fault.fmt(f),
            Self::Duplicate => f.write_str("it is defined twice, and the last one holds"),
            Self::Unused => f.write_str("nothing asks for a rule of this name"),
            Self::Obsolete => {
                f.write_str("no request asks for it any more; tasks_api_access guards the tasks API")
            }
        }
    }
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "policy rule {}: {}", self.rule, self.kind)?;
        match &self.place {
            Some(place) => write!(f, " (in {place})"),
            None => Ok(()),
        }
    }
}
