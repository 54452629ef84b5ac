//! What is wrong with a configuration, and where it stands.

use std::{fmt, io, path::PathBuf, sync::Arc};

/// An option by group and name, such as `[glance_store] filesystem_store_datadir`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct OptionName {
    /// `DEFAULT`, or the section in lower case.
    pub group: String,
    /// As it stands in a file.
    pub name: String,
}

impl OptionName {
    pub(super) fn new(group: impl Into<String>, name: impl Into<String>) -> Self {
        Self {
            group: group.into(),
            name: name.into(),
        }
    }

    /// `group.name`, as in `[saccade] accept_unsupported`.
    pub fn dotted(&self) -> String {
        format!("{}.{}", self.group, self.name)
    }
}

impl fmt::Display for OptionName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "[{}] {}", self.group, self.name)
    }
}

/// Where a value comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// A line of a file; the first is 1, and 0 stands for the file as a whole.
    File {
        /// As given, or as found in a configuration directory.
        path: Arc<PathBuf>,
        /// The line of the option's name.
        line: usize,
    },
    /// An environment variable.
    Environment {
        /// Its name.
        variable: String,
    },
    /// A flag of the command line.
    CommandLine {
        /// With its dashes.
        flag: &'static str,
    },
    /// Nothing was given.
    Default,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File { path, line: 0 } => write!(f, "{}", path.display()),
            Self::File { path, line } => write!(f, "{}:{line}", path.display()),
            Self::Environment { variable } => write!(f, "environment variable {variable}"),
            Self::CommandLine { flag } => write!(f, "{flag}"),
            Self::Default => f.write_str("by default"),
        }
    }
}

/// What kind of thing is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorKind {
    /// A file or directory cannot be read.
    Unreadable,
    /// A line is no section, comment or assignment.
    Syntax,
    /// A `$reference` leads nowhere, or in a circle.
    Substitution,
    /// A value is not one that the option takes.
    Value,
    /// Values that do not go together, or one that is missing.
    Conflict,
    /// Glance would act on the option and Saccade does not: starting would fail open.
    Unsupported,
}

/// One thing that stops the start. Its text never holds a secret.
#[derive(Debug)]
pub struct ConfigError {
    /// For control flow.
    pub kind: ErrorKind,
    /// The option, where one is to blame.
    pub option: Option<OptionName>,
    /// Where it was set.
    pub origin: Origin,
    message: String,
    source: Option<io::Error>,
}

impl ConfigError {
    pub(super) fn new(kind: ErrorKind, origin: Origin, message: impl Into<String>) -> Self {
        Self {
            kind,
            option: None,
            origin,
            message: message.into(),
            source: None,
        }
    }

    pub(super) fn of(mut self, option: OptionName) -> Self {
        self.option = Some(option);
        self
    }

    pub(super) fn unreadable(path: PathBuf, source: io::Error) -> Self {
        let origin = Origin::File {
            path: Arc::new(path),
            line: 0,
        };
        Self {
            source: Some(source),
            ..Self::new(ErrorKind::Unreadable, origin, "cannot be read")
        }
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.origin != Origin::Default {
            write!(f, "{}: ", self.origin)?;
        }
        if let Some(option) = &self.option {
            write!(f, "{option}: ")?;
        }
        f.write_str(&self.message)
    }
}

impl std::error::Error for ConfigError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.source.as_ref().map(|source| source as _)
    }
}

/// Something an operator should know, and that does not stop the start. Its text never holds a secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Warning {
    /// The option, where one is meant.
    pub option: Option<OptionName>,
    /// Where it was set.
    pub origin: Origin,
    pub(super) message: String,
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.origin != Origin::Default {
            write!(f, "{}: ", self.origin)?;
        }
        if let Some(option) = &self.option {
            write!(f, "{option}: ")?;
        }
        f.write_str(&self.message)
    }
}
