//! All rules by name.

use std::collections::{BTreeMap, HashMap};

use super::{Check, Fault, MAX_DEPTH};

/// Rules by name, and which of them stands in for one that is not there.
#[derive(Debug, Clone)]
pub struct RuleSet {
    rules: HashMap<String, Check>,
    default_rule: String,
}

impl RuleSet {
    /// No rules; `default_rule` is the name of the one that stands in for rules that are not defined.
    pub fn new(default_rule: impl Into<String>) -> Self {
        Self {
            rules: HashMap::new(),
            default_rule: default_rule.into(),
        }
    }

    /// Defines a rule, instead of what had the name before.
    pub fn define(&mut self, name: impl Into<String>, check: Check) {
        self.rules.insert(name.into(), check);
    }

    /// The rule of this name, if it is defined.
    pub fn defined(&self, name: &str) -> Option<&Check> {
        self.rules.get(name)
    }

    /// The rule of this name, or else the default rule, if that is defined.
    pub fn resolve(&self, name: &str) -> Option<&Check> {
        self.rules
            .get(name)
            .or_else(|| self.rules.get(&self.default_rule))
    }

    /// What is wrong with references between rules, by the name of the rule that has them; in the order of names.
    pub fn faults(&self) -> Vec<(String, Fault)> {
        let mut survey = Survey {
            rules: self,
            depths: BTreeMap::new(),
            faults: Vec::new(),
        };
        let mut names: Vec<&str> = self.rules.keys().map(String::as_str).collect();
        names.sort_unstable();
        for name in names {
            survey.depth(name, 0);
        }
        survey.faults.sort_by(|(a, _), (b, _)| a.cmp(b));
        survey.faults
    }
}

/// A walk over the references, depth first. Each rule is looked at once.
struct Survey<'a> {
    rules: &'a RuleSet,
    /// How deep an evaluation of the rule goes; `None` while the walk is below it.
    depths: BTreeMap<&'a str, Option<usize>>,
    faults: Vec<(String, Fault)>,
}

impl<'a> Survey<'a> {
    fn depth(&mut self, name: &'a str, level: usize) -> usize {
        if let Some(known) = self.depths.get(name) {
            return known.unwrap_or(0);
        }
        let Some(check) = self.rules.rules.get(name) else {
            return 0;
        };
        if level >= MAX_DEPTH {
            return MAX_DEPTH;
        }
        self.depths.insert(name, None);
        let mut below = 0;
        for reference in check.references() {
            let fault = if !self.rules.rules.contains_key(reference) {
                Some(match self.rules.resolve(reference) {
                    Some(_) => Fault::Undefined(reference.to_owned()),
                    None => Fault::UndefinedWithoutDefault(reference.to_owned()),
                })
            } else if self.depths.get(reference) == Some(&None) {
                Some(Fault::Cycle(reference.to_owned()))
            } else {
                None
            };
            if let Some(fault) = fault {
                self.faults.push((name.to_owned(), fault));
            } else {
                below = below.max(self.depth(reference, level.saturating_add(1)));
            }
        }
        let depth = check.depth().saturating_add(below);
        if depth > MAX_DEPTH {
            self.faults.push((name.to_owned(), Fault::TooManyLevels));
        }
        self.depths.insert(name, Some(depth.min(MAX_DEPTH)));
        depth.min(MAX_DEPTH)
    }
}
