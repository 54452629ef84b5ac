//! All rules with what is known of them beside their meaning: for lists, warnings and the log.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    Defaults, Place, PolicyFiles, Rule, Warning, WarningKind,
    file::Entry,
    language::{self, Check, RuleSet},
};

/// A rule that is defined.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Definition {
    /// Its name in policy files.
    pub name: String,
    /// Its meaning in the policy language, as it was written.
    pub text: String,
    /// Where it was written; `None` is Glance's default.
    pub place: Option<Place>,
    /// What the API calls it; `None` for a rule of an operator's own.
    pub rule: Option<Rule>,
    check: Check,
}

/// Rules by name.
#[derive(Debug, Clone)]
pub(super) struct Definitions(BTreeMap<String, Definition>);

impl Definitions {
    pub(super) fn defaults(defaults: Defaults) -> Self {
        let definition = |rule: &Rule| {
            let text = rule.check(defaults).into_owned();
            Definition {
                name: rule.name().to_owned(),
                place: None,
                rule: Some(*rule),
                check: language::parse(&text).check,
                text,
            }
        };
        Self(
            Rule::ALL
                .iter()
                .map(definition)
                .map(|definition| (definition.name.clone(), definition))
                .collect(),
        )
    }

    /// Defines the rules of one more file, instead of those of the same names.
    pub(super) fn extend(&mut self, entries: Vec<Entry>) {
        for entry in entries {
            let definition = Definition {
                rule: Rule::from_name(&entry.name),
                name: entry.name.clone(),
                text: entry.text,
                place: Some(entry.place),
                check: entry.check,
            };
            self.0.insert(entry.name, definition);
        }
    }

    /// As they are evaluated.
    pub(super) fn rules(&self, default_rule: &str) -> RuleSet {
        let mut rules = RuleSet::new(default_rule);
        for definition in self.0.values() {
            rules.define(definition.name.clone(), definition.check.clone());
        }
        rules
    }

    pub(super) fn listed(&self) -> Vec<&Definition> {
        let mut listed: Vec<_> = self.0.values().collect();
        // Stable: by name where there is no rule.
        listed.sort_by_key(|definition| (definition.rule.is_none(), definition.rule));
        listed
    }

    pub(super) fn differences<'a>(&'a self, other: &'a Self) -> Vec<&'a str> {
        let names: BTreeSet<_> = self.0.keys().chain(other.0.keys()).collect();
        let check = |of: &'a Self, name| of.0.get(name).map(|definition| &definition.check);
        names
            .into_iter()
            .filter(|name| check(self, name.as_str()) != check(other, name.as_str()))
            .map(String::as_str)
            .collect()
    }

    /// What is wrong with references between rules, and which rules of the files have no effect.
    pub(super) fn warnings(&self, rules: &RuleSet, files: &PolicyFiles) -> Vec<Warning> {
        let place = |name: &str| self.0.get(name).and_then(|definition| definition.place.clone());
        let faults = rules.faults().into_iter().map(|(rule, fault)| Warning {
            place: place(&rule),
            kind: WarningKind::Fault(fault),
            rule,
        });
        let asked = asked(rules, files);
        let idle = self.0.values().filter_map(|definition| {
            definition.place.as_ref()?;
            let kind = match definition.rule {
                Some(rule) if rule.is_obsolete() => WarningKind::Obsolete,
                Some(_) => return None,
                None if asked.contains(definition.name.as_str()) => return None,
                None => WarningKind::Unused,
            };
            Some(Warning {
                rule: definition.name.clone(),
                place: definition.place.clone(),
                kind,
            })
        });
        faults.chain(idle).collect()
    }
}

/// The names that somebody asks for, directly or through other rules.
fn asked<'a>(rules: &'a RuleSet, files: &'a PolicyFiles) -> BTreeSet<&'a str> {
    let mut asked = BTreeSet::new();
    let mut left: Vec<&str> = Rule::ALL.iter().map(|rule| rule.name()).collect();
    left.push(&files.default_rule);
    left.extend(files.asked.iter().map(String::as_str));
    while let Some(name) = left.pop() {
        if asked.insert(name) {
            left.extend(rules.defined(name).iter().flat_map(|check| check.references()));
        }
    }
    asked
}
