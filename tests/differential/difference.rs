//! Differences that are meant: the script says where and how, the documentation why.

use super::compare::{Difference, Found};
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
    #[serde(default)]
    at: BTreeMap<String, Value>,
    /// Parts of the body that differ whatever is there: JSON pointers.
    #[serde(default)]
    below: Vec<String>,
}

impl Differs {
    /// What is found and not meant, and what is meant and not found.
    pub(super) fn missing_from(&self, found: &Found) -> Vec<String> {
        let is_below = |at: &str, pointer: &str| {
            at.strip_prefix(pointer)
                .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        };
        let is_meant = |difference: &&Difference| {
            self.at.get(&difference.at) == Some(&difference.saccade)
                || self.below.iter().any(|pointer| is_below(&difference.at, pointer))
        };
        let unexpected = (found.differences.iter())
            .filter(|difference| !is_meant(difference))
            .map(ToString::to_string);
        let is_found = |at: &str| found.differences.iter().any(|difference| difference.at == at);
        let any_below = |pointer: &str| {
            let mut places = found.differences.iter().map(|difference| &difference.at);
            places.any(|at| is_below(at, pointer))
        };
        let gone = (self.at.keys().filter(|at| !is_found(at)))
            .chain(self.below.iter().filter(|pointer| !any_below(pointer)))
            .map(|at| format!("{at}: marked as a difference ({}), and there is none", self.why));
        unexpected.chain(gone).collect()
    }
}

/// A difference in one header of many answers.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Everywhere {
    header: String,
    /// Of which answers; of all when it is not said.
    status: Option<u16>,
    /// What Glance may have there, and Saccade then has.
    glance: Option<String>,
    saccade: Option<String>,
    pub(super) why: String,
}

impl Everywhere {
    /// Those of `everywhere.yaml`.
    pub(super) fn read() -> Vec<Self> {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/differential/everywhere.yaml");
        serde_saphyr::from_str(&fs::read_to_string(path).unwrap()).unwrap()
    }

    /// Takes this difference out of those found. Whether it was there.
    pub(super) fn take_from(&self, found: &mut Found, status: u16) -> bool {
        let value = |text: &Option<String>| text.as_deref().map_or(Value::Null, Value::from);
        let before = found.differences.len();
        found.differences.retain(|difference| {
            let is_meant = difference.at == format!("header {}", self.header)
                && self.status.is_none_or(|only| only == status)
                && difference.glance == value(&self.glance)
                && difference.saccade == value(&self.saccade);
            !is_meant
        });
        found.differences.len() < before
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
            _ => Some(format!(
                "docs/differences-from-glance.md has several rows for {why:?}"
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_is_one_row() {
        let documented =
            Documented::of("# T\n| request | Glance |\n|---|---|\n| PATCH `x` | y |\n| PATCH z | y |\n");
        assert_eq!(documented.complaint("PATCH x"), None);
        assert!(documented.complaint("PATCH").unwrap().contains("several"));
        assert!(documented.complaint("y").unwrap().contains("no row"));
    }

    #[test]
    fn what_differs_everywhere_is_only_what_is_described() {
        let rule = Everywhere {
            header: "allow".to_owned(),
            status: Some(204),
            glance: Some("GET".to_owned()),
            saccade: None,
            why: String::new(),
        };
        let found = |glance: &str| Found {
            differences: vec![Difference {
                at: "header allow".to_owned(),
                glance: glance.into(),
                saccade: Value::Null,
            }],
            texts: Vec::new(),
        };
        assert!(rule.take_from(&mut found("GET"), 204));
        assert!(!rule.take_from(&mut found("GET"), 200));
        assert!(!rule.take_from(&mut found("PUT"), 204));
    }

    #[test]
    fn a_difference_must_be_there_and_as_described() {
        let differs = |value: u16| Differs {
            why: "x".to_owned(),
            at: [("status".to_owned(), value.into())].into(),
            below: Vec::new(),
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

    #[test]
    fn a_part_of_the_body_may_differ_whatever_is_there() {
        let differs = Differs {
            why: "x".to_owned(),
            at: BTreeMap::new(),
            below: vec!["/objects".to_owned()],
        };
        let found = |at: &str| Found {
            differences: vec![Difference {
                at: at.to_owned(),
                glance: 1.into(),
                saccade: 2.into(),
            }],
            texts: Vec::new(),
        };
        assert_eq!(differs.missing_from(&found("/objects/0/name")), [""; 0]);
        assert_eq!(differs.missing_from(&found("/objectsx")).len(), 2);
    }
}
