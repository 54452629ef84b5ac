//! What is wrong with a property protection file, and where.

use std::{io, path::PathBuf};

use super::{Place, PropertyOperation};

/// Why the file cannot be used. Each names the file; all but the first name the line.
#[derive(Debug, thiserror::Error)]
pub enum PropertyProtectionError {
    /// It cannot be read, is too large, or is not UTF-8.
    #[error("cannot read the property protection file {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A line is none of an INI file.
    #[error("property protection, {place}: {problem}")]
    Line {
        /// The line.
        place: Place,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// A section is there already, or its name is no pattern.
    #[error("property protection, {place}: [{section}] {problem}")]
    Section {
        /// The line.
        place: Place,
        /// Its name.
        section: String,
        /// What is wrong with it.
        problem: SectionProblem,
    },
    /// It is not clear who may do something.
    #[error("property protection, {place}: [{section}] {} {problem}", operation.as_str())]
    Operation {
        /// The line.
        place: Place,
        /// The section.
        section: String,
        /// What is done to properties.
        operation: PropertyOperation,
        /// What is wrong with it.
        problem: SectionProblem,
    },
}

/// What is wrong with a section.
#[derive(Debug, thiserror::Error)]
pub enum SectionProblem {
    /// There are two.
    #[error("is there twice")]
    Twice,
    /// The name is no regular expression, or one that needs more than linear time.
    #[error("is not a regular expression that can be used here: {0}")]
    Pattern(String),
    /// It has no value in the section nor in `[DEFAULT]`.
    #[error("is missing: @ permits it to everybody, ! to nobody")]
    Missing,
    /// Both at once.
    #[error("cannot be permitted to everybody (@) and to nobody (!)")]
    EverybodyAndNobody,
    /// Only one fits in.
    #[error("names several rules: combine them in the policy file")]
    SeveralRules,
    /// `%` begins a reference in Python's INI files.
    #[error("contains %, which is not supported")]
    Interpolation,
    /// The policy files do not have it.
    #[error("names the rule {rule}, which no policy file defines")]
    UndefinedRule {
        /// The name.
        rule: String,
    },
}
