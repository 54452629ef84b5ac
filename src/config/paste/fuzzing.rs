//! A door for `fuzz/`: paste files.

use super::file::PasteFile;
use crate::config::fuzzing::Assignment;

/// Sections and keys of a paste file, or the line that is wrong.
pub(in crate::config) fn file(text: &str) -> Result<Vec<Assignment>, usize> {
    let file = PasteFile::parse(text).map_err(|problem| problem.line)?;
    let assignments = file.sections.into_iter().flat_map(|(name, section)| {
        section.items.into_iter().map(move |item| Assignment {
            section: name.clone(),
            key: item.key,
            value: item.value,
            line: item.line,
        })
    });
    Ok(assignments.collect())
}
