//! Doors to private parsers, for `fuzz/` alone: thin, and with plain or public types.

use std::{path::PathBuf, sync::LazyLock};

use super::{glance_options::Catalogue, ini, paste, saccade, sources::Raw, substitute::Resolver};

/// One `key = value`.
#[derive(Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct Assignment {
    pub section: String,
    pub key: String,
    pub value: String,
    pub line: usize,
}

/// What a file says, and the numbers of the lines that could not be read.
pub fn ini(text: &str) -> (Vec<Assignment>, Vec<usize>) {
    let document = ini::parse(text);
    let assignments = document.assignments.into_iter().map(|assignment| Assignment {
        section: assignment.section,
        key: assignment.key,
        value: assignment.value,
        line: assignment.line,
    });
    let errors = document.errors.iter().map(|error| error.line).collect();
    (assignments.collect(), errors)
}

/// The value of an option, with its references replaced.
#[derive(Debug)]
#[allow(missing_docs)]
pub struct Value {
    pub text: String,
    pub shown: String,
    pub secret: bool,
}

/// Every option that a file sets and that is known, with its value or what is wrong with it.
pub fn values(text: &str) -> Vec<Result<Value, String>> {
    let mut raw = Raw::default();
    raw.add(PathBuf::from("glance-api.conf"), text, &mut Vec::new());
    static CATALOGUE: LazyLock<Catalogue> =
        LazyLock::new(|| Catalogue::new(saccade::OPTIONS.iter().copied()));
    let catalogue = &*CATALOGUE;
    let resolver = Resolver { raw: &raw, catalogue };
    let known = raw
        .options()
        .into_keys()
        .filter_map(|option| catalogue.find(option));
    known
        .filter_map(|known| resolver.last(&known).transpose())
        .map(|found| match found {
            Ok(found) => Ok(Value {
                shown: found.shown(),
                text: found.text,
                secret: found.secret,
            }),
            Err(error) => Err(format!("{error} {error:?}")),
        })
        .collect()
}

/// Sections and keys of a paste file, or the line that is wrong.
pub fn paste(text: &str) -> Result<Vec<Assignment>, usize> {
    paste::fuzzing::file(text)
}
