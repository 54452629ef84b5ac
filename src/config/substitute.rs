//! `$option` in values, by the rules of oslo.config.

use super::{
    error::{ConfigError, ErrorKind, OptionName, Origin},
    glance_options::{Catalogue, Kind, Known},
    sources::Raw,
    value,
};
use std::fmt;

/// Longer chains are circles.
const DEEPEST: usize = 16;
/// References followed for one value: keeps `$a$a$a…` from growing without bound.
const MOST_REFERENCES: usize = 1_000;
const LONGEST: usize = 1 << 20;

/// A value with its references replaced. Its `Debug` is what may be shown.
#[derive(Clone)]
pub(super) struct Resolved {
    pub(super) text: String,
    pub(super) origin: Origin,
    /// Its option is secret, or a secret was substituted into it.
    pub(super) secret: bool,
}

impl fmt::Debug for Resolved {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.shown(), self.origin)
    }
}

impl Resolved {
    /// For people: never a secret, and never a URL that may hold one.
    pub(super) fn shown(&self) -> String {
        let url_with_user = self
            .text
            .split_once("://")
            .is_some_and(|(_, rest)| rest.contains('@'));
        if self.secret || url_with_user {
            "(hidden)".to_owned()
        } else {
            format!("{:?}", self.text)
        }
    }
}

/// Finds the values of options.
#[derive(Clone, Copy)]
pub(super) struct Resolver<'a> {
    pub(super) raw: &'a Raw,
    pub(super) catalogue: &'a Catalogue,
}

/// State of following the references of one value.
struct Trail {
    references: usize,
    secret: bool,
}

impl Resolver<'_> {
    /// The value in effect, if the option is set.
    ///
    /// # Errors
    /// `Substitution`, when a reference leads nowhere or in a circle.
    pub(super) fn last(&self, known: &Known) -> Result<Option<Resolved>, ConfigError> {
        let setting = self.raw.last(&self.catalogue.names(known));
        setting
            .map(|s| self.resolve(known, &s.text, &s.origin))
            .transpose()
    }

    /// All values of an option that may be repeated.
    ///
    /// # Errors
    /// As [`Self::last`].
    pub(super) fn all(&self, known: &Known) -> Result<Vec<Resolved>, ConfigError> {
        let settings = self.raw.all(&self.catalogue.names(known));
        settings
            .into_iter()
            .map(|s| self.resolve(known, &s.text, &s.origin))
            .collect()
    }

    fn resolve(&self, known: &Known, text: &str, origin: &Origin) -> Result<Resolved, ConfigError> {
        let mut trail = Trail {
            references: 0,
            secret: known.spec.is_secret(),
        };
        match self.expand(text, &known.option.group, DEEPEST, &mut trail) {
            Ok(text) => Ok(Resolved {
                text,
                origin: origin.clone(),
                secret: trail.secret,
            }),
            Err(message) => {
                Err(ConfigError::new(ErrorKind::Substitution, origin.clone(), message)
                    .of(known.option.clone()))
            }
        }
    }

    fn expand(&self, text: &str, group: &str, depth: usize, trail: &mut Trail) -> Result<String, String> {
        let text = text.replace("\\$", "$$");
        let mut out = String::with_capacity(text.len());
        let mut rest = text.as_str();
        while let Some((before, after)) = rest.split_once('$') {
            out.push_str(before);
            if let Some(after) = after.strip_prefix('$') {
                out.push('$');
                rest = after;
            } else if let Some((name, after)) = reference(after) {
                out.push_str(&self.referred(name, group, depth, trail)?);
                rest = after;
            } else {
                // No name follows: oslo.config leaves such a sign alone.
                out.push('$');
                rest = after;
            }
            if out.len() > LONGEST {
                return Err("its references make it longer than 1 MiB".to_owned());
            }
        }
        out.push_str(rest);
        Ok(out)
    }

    /// `$group.name` looks there; `$name` in its own section, then in `[DEFAULT]`.
    fn referred(&self, name: &str, group: &str, depth: usize, trail: &mut Trail) -> Result<String, String> {
        trail.references = trail.references.saturating_add(1);
        let Some(depth) = depth
            .checked_sub(1)
            .filter(|_| trail.references <= MOST_REFERENCES)
        else {
            return Err(format!(
                "${name} leads in a circle, or through too many references"
            ));
        };
        let there = match name.split_once('.') {
            Some((group, name)) => OptionName::new(group, name),
            None => OptionName::new(group, name),
        };
        let known = [there, OptionName::new("DEFAULT", name)]
            .iter()
            .find_map(|option| self.catalogue.find(option));
        let Some(known) = known else {
            return Err(format!(
                "${name} refers to an option that does not exist; a plain dollar sign is written $$"
            ));
        };
        trail.secret |= known.spec.is_secret();
        let value = match self.raw.last(&self.catalogue.names(&known)) {
            Some(setting) => self.expand(&setting.text, &known.option.group, depth, trail)?,
            None => known.spec.default.unwrap_or_default().to_owned(),
        };
        Ok(as_python_writes(known.spec.kind, value))
    }
}

/// A reference is replaced by the value, not by its text.
fn as_python_writes(kind: Kind, text: String) -> String {
    match kind {
        Kind::Boolean => value::boolean(&text)
            .map(|b| if b { "True" } else { "False" }.to_owned())
            .unwrap_or(text),
        Kind::Integer => value::integer(&text).map(|n| n.to_string()).unwrap_or(text),
        Kind::Text | Kind::Float | Kind::List | Kind::Dict | Kind::Multi => text,
    }
}

/// The name at the start of what follows `$`, in braces or not, and the rest.
fn reference(text: &str) -> Option<(&str, &str)> {
    let (inside, braced) = match text.strip_prefix('{') {
        Some(inside) => (inside, true),
        None => (text, false),
    };
    let first = inside.chars().next()?;
    if !(first.is_ascii_alphabetic() || first == '_') {
        return None;
    }
    let end = inside
        .find(|c: char| !(c.is_ascii_alphanumeric() || c == '_' || c == '.'))
        .unwrap_or(inside.len());
    let (name, rest) = inside.split_at(end);
    if braced {
        rest.strip_prefix('}').map(|rest| (name, rest))
    } else {
        Some((name, rest))
    }
}
