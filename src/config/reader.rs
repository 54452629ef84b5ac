//! Takes options out of the sources, one by one and typed, and remembers what was found wrong.

use super::{
    error::{ConfigError, ErrorKind, OptionName, Origin, Warning},
    glance_options::{Catalogue, Known},
    sources::Raw,
    substitute::{Resolved, Resolver},
    value::Rejected,
};
use std::collections::BTreeMap;

/// One option that was read and is set.
#[derive(Clone, Debug)]
pub(super) struct Effective {
    pub(super) known: Known,
    pub(super) values: Vec<Resolved>,
}

/// Reads honoured options.
pub(super) struct Reader<'a> {
    pub(super) raw: &'a Raw,
    pub(super) catalogue: Catalogue,
    pub(super) errors: Vec<ConfigError>,
    pub(super) warnings: Vec<Warning>,
    pub(super) effective: BTreeMap<OptionName, Effective>,
    #[cfg(test)]
    pub(super) asked: std::collections::BTreeSet<(&'static str, &'static str)>,
}

impl<'a> Reader<'a> {
    pub(super) fn new(raw: &'a Raw, catalogue: Catalogue, errors: Vec<ConfigError>) -> Self {
        Self {
            raw,
            catalogue,
            errors,
            warnings: Vec::new(),
            effective: BTreeMap::new(),
            #[cfg(test)]
            asked: std::collections::BTreeSet::new(),
        }
    }

    pub(super) fn resolver(&self) -> Resolver<'_> {
        Resolver {
            raw: self.raw,
            catalogue: &self.catalogue,
        }
    }

    /// The option's text, if it is set.
    pub(super) fn text(&mut self, group: &str, name: &str) -> Option<Resolved> {
        let known = self.known(group, name)?;
        let found = self.resolver().last(&known);
        let value = self.keep(found)??;
        self.remember(known, vec![value.clone()]);
        Some(value)
    }

    /// The option's value, if it is set and right; what is wrong is remembered.
    pub(super) fn optional<T>(
        &mut self,
        group: &str,
        name: &str,
        parse: impl FnOnce(&str) -> Result<T, Rejected>,
    ) -> Option<T> {
        let found = self.text(group, name)?;
        match parse(&found.text) {
            Ok(value) => Some(value),
            Err(Rejected(accepted)) => {
                self.wrong(OptionName::new(group, name), &found, &accepted);
                None
            }
        }
    }

    /// Like [`Self::optional`], with the value that holds when nothing is set.
    pub(super) fn or<T>(
        &mut self,
        group: &str,
        name: &str,
        default: T,
        parse: impl FnOnce(&str) -> Result<T, Rejected>,
    ) -> T {
        self.optional(group, name, parse).unwrap_or(default)
    }

    /// All values of an option that may be repeated; `None` when it is not set.
    pub(super) fn repeated(&mut self, group: &str, name: &str) -> Option<Vec<Resolved>> {
        let known = self.known(group, name)?;
        let found = self.resolver().all(&known);
        let values = self.keep(found).filter(|values| !values.is_empty())?;
        self.remember(known, values.clone());
        Some(values)
    }

    /// Where the option is set.
    pub(super) fn origin(&self, group: &str, name: &str) -> Origin {
        let effective = self.effective.get(&OptionName::new(group, name));
        effective
            .and_then(|e| e.values.last())
            .map_or(Origin::Default, |value| value.origin.clone())
    }

    /// Remembers that a value is not taken.
    pub(super) fn wrong(&mut self, option: OptionName, found: &Resolved, accepted: &str) {
        let message = format!("{} is not accepted; give {accepted}", found.shown());
        self.errors
            .push(ConfigError::new(ErrorKind::Value, found.origin.clone(), message).of(option));
    }

    /// Remembers that the option, set or not, stops the start.
    pub(super) fn refuse(&mut self, kind: ErrorKind, group: &str, name: &str, message: impl Into<String>) {
        let origin = self.origin(group, name);
        self.errors
            .push(ConfigError::new(kind, origin, message).of(OptionName::new(group, name)));
    }

    fn known(&mut self, group: &str, name: &str) -> Option<Known> {
        let known = self.catalogue.find(&OptionName::new(group, name))?;
        #[cfg(test)]
        self.asked.insert((known.spec.group, known.spec.name));
        Some(known)
    }

    fn keep<T>(&mut self, found: Result<T, ConfigError>) -> Option<T> {
        found.map_err(|error| self.errors.push(error)).ok()
    }

    fn remember(&mut self, known: Known, values: Vec<Resolved>) {
        self.effective
            .insert(known.option.clone(), Effective { known, values });
    }
}
