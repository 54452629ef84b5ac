//! The checks that a rule is made of.

use std::fmt::{self, Write};

use super::template::Template;

/// One rule, parsed. Printing it gives text that parses to the same check.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Check {
    /// `@`, and the empty rule.
    Always,
    /// `!`.
    Never,
    /// Something that could not be understood or is not supported: neither true nor false, see
    /// [`Verdict::Unknown`](super::Verdict::Unknown).
    Unusable,
    /// `not CHECK`.
    Not(Box<Check>),
    /// `CHECK and CHECK …`.
    All(Vec<Check>),
    /// `CHECK or CHECK …`.
    Any(Vec<Check>),
    /// `rule:NAME`.
    Rule(String),
    /// `role:NAME`, without letter case: the template's fixed parts are in lower case.
    Role(Template),
    /// `'public':%(visibility)s`, `True:%(protected)s`: a constant on the left.
    Literal {
        /// The constant, as Python's `str` prints it.
        value: String,
        /// What it has to be equal to.
        expected: Template,
    },
    /// `project_id:%(owner)s`: an attribute of the caller on the left.
    Credential {
        /// The attribute's name, and the names below it where it was written with dots.
        path: Vec<String>,
        /// What it has to be equal to; any element will do where the attribute is a list.
        expected: Template,
    },
}

impl Check {
    /// The names of the rules that this one refers to.
    pub fn references(&self) -> Vec<&str> {
        let mut names = Vec::new();
        self.collect_references(&mut names);
        names
    }

    fn collect_references<'a>(&'a self, names: &mut Vec<&'a str>) {
        match self {
            Self::Rule(name) => names.push(name),
            Self::Not(check) => check.collect_references(names),
            Self::All(checks) | Self::Any(checks) => {
                checks.iter().for_each(|check| check.collect_references(names));
            }
            Self::Always
            | Self::Never
            | Self::Unusable
            | Self::Role(_)
            | Self::Literal { .. }
            | Self::Credential { .. } => {}
        }
    }

    /// How many checks are nested at most, itself included.
    pub fn depth(&self) -> usize {
        match self {
            Self::Not(check) => check.depth().saturating_add(1),
            Self::All(checks) | Self::Any(checks) => checks
                .iter()
                .map(Self::depth)
                .max()
                .unwrap_or(0)
                .saturating_add(1),
            Self::Always
            | Self::Never
            | Self::Unusable
            | Self::Rule(_)
            | Self::Role(_)
            | Self::Literal { .. }
            | Self::Credential { .. } => 1,
        }
    }
}

impl fmt::Display for Check {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Always => f.write_char('@'),
            Self::Never => f.write_char('!'),
            // Without a colon: reads back as something that cannot be understood.
            Self::Unusable => f.write_str("unusable"),
            Self::Not(check) => write!(f, "not {check}"),
            Self::All(checks) => joined(f, checks, " and "),
            Self::Any(checks) => joined(f, checks, " or "),
            Self::Rule(name) => write!(f, "rule:{name}"),
            Self::Role(name) => write!(f, "role:{name}"),
            Self::Literal { value, expected } => {
                // A check that begins and ends with the same quote would be read as a quoted string.
                let expected = expected.to_string();
                let quote = if value.contains('\'') || expected.ends_with('\'') {
                    '"'
                } else {
                    '\''
                };
                write!(f, "{quote}{value}{quote}:{expected}")
            }
            Self::Credential { path, expected } => write!(f, "{}:{expected}", path.join(".")),
        }
    }
}

fn joined(f: &mut fmt::Formatter<'_>, checks: &[Check], between: &str) -> fmt::Result {
    f.write_char('(')?;
    for (index, check) in checks.iter().enumerate() {
        if index > 0 {
            f.write_str(between)?;
        }
        write!(f, "{check}")?;
    }
    f.write_char(')')
}
