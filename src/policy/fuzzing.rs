//! Doors to private parsers, for `fuzz/` alone: thin, and with plain or public types.

use std::path::Path;

use super::{PolicyError, Warning, file, language::Check};

/// A rule as a file has it.
#[derive(Debug)]
pub struct Entry {
    /// Its name.
    pub name: String,
    /// The rule as it was written.
    pub text: String,
    /// The rule as it was understood.
    pub check: Check,
}

/// The rules of a policy file, and what was odd about them.
///
/// # Errors
/// As for an operator's file.
pub fn file(text: &str) -> Result<(Vec<Entry>, Vec<Warning>), PolicyError> {
    let mut warnings = Vec::new();
    let entries = file::parse(Path::new("policy.yaml"), text, &mut warnings)?;
    let entries = entries.into_iter().map(|entry| Entry {
        name: entry.name,
        text: entry.text,
        check: entry.check,
    });
    Ok((entries.collect(), warnings))
}
