//! Differences that are meant: the script says where and how, the documentation why.

use super::compare::Found;
use serde::Deserialize;
use serde_json::Value;
use std::{collections::BTreeMap, fs, path::Path};

/// What is meant to differ in the answers to one request.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Differs {
    /// Part of the first cell of one row of `docs/differences-from-glance.md`.
    pub(super) why: String,
    /// Where, and what Saccade has there.
    at: BTreeMap<String, Value>,
}

impl Differs {
    /// What is found and not meant, and what is meant and not found.
    pub(super) fn missing_from(&self, found: &Found) -> Vec<String> {
        let unexpected = (found.differences.iter())
            .filter(|difference| self.at.get(&difference.at) != Some(&difference.saccade))
            .map(ToString::to_string);
        let is_found = |at: &str| found.differences.iter().any(|difference| difference.at == at);
        let gone = (self.at.keys())
            .filter(|at| !is_found(at))
            .map(|at| format!("{at}: marked as a difference ({}), and there is none", self.why));
        unexpected.chain(gone).collect()
    }
}

/// The rows of the documentation.
pub(super) struct Documented {
    rows: Vec<String>,
}

impl Documented {
    pub(super) fn read() -> Self {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/differences-from-glance.md");
        Self::of(&fs::read_to_string(path).unwrap())
    }

    fn of(text: &str) -> Self {
        let rows = (text.lines())
            .filter_map(|line| line.strip_prefix('|')?.split('|').next())
            .map(|cell| cell.trim().replace('`', ""))
            .collect();
        Self { rows }
    }

    /// What is wrong with a reason, if anything.
    pub(super) fn complaint(&self, why: &str) -> Option<String> {
        match self.rows.iter().filter(|row| row.contains(why)).count() {
            1 => None,
            0 => Some(format!("docs/differences-from-glance.md has no row for {why:?}")),
            _ => Some(format!("docs/differences-from-glance.md has several rows for {why:?}")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::differential::compare::Difference;

    #[test]
    fn a_reason_is_one_row() {
        let documented = Documented::of("# T\n| request | Glance |\n|---|---|\n| PATCH `x` | y |\n| PATCH z | y |\n");
        assert_eq!(documented.complaint("PATCH x"), None);
        assert!(documented.complaint("PATCH").unwrap().contains("several"));
        assert!(documented.complaint("y").unwrap().contains("no row"));
    }

    #[test]
    fn a_difference_must_be_there_and_as_described() {
        let differs = |value: u16| Differs {
            why: "x".to_owned(),
            at: [("status".to_owned(), value.into())].into(),
        };
        let found = Found {
            differences: vec![Difference {
                at: "status".to_owned(),
                glance: 500.into(),
                saccade: 409.into(),
            }],
            texts: Vec::new(),
        };
        assert_eq!(differs(409).missing_from(&found), [""; 0]);
        assert_eq!(differs(404).missing_from(&found).len(), 1);
        assert_eq!(differs(409).missing_from(&Found::default()).len(), 1);
    }
}
