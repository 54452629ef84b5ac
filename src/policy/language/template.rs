//! The right side of a check: text with `%(key)s` in it.

use std::{borrow::Cow, fmt};

use super::{Attributes, Fault};

/// Text in which `%(key)s` stands for an attribute of the target, and `%%` for a percent sign.
///
/// Python's other conversions (`%(key)d`, `%s`) have no use in a policy and are refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Template(Vec<Piece>);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Piece {
    Fixed(String),
    Key(String),
}

impl Template {
    /// Reads a template.
    ///
    /// # Errors
    /// [`Fault::Conversion`] for a percent sign that starts neither `%%` nor `%(key)s`.
    pub fn parse(text: &str) -> Result<Self, Fault> {
        let mut pieces = Vec::new();
        let mut fixed = String::new();
        let mut rest = text;
        while let Some((before, after)) = rest.split_once('%') {
            fixed.push_str(before);
            if let Some(after) = after.strip_prefix('%') {
                fixed.push('%');
                rest = after;
                continue;
            }
            let (key, after) = after
                .strip_prefix('(')
                .and_then(key_and_rest)
                .ok_or_else(|| Fault::Conversion(text.to_owned()))?;
            if !fixed.is_empty() {
                pieces.push(Piece::Fixed(std::mem::take(&mut fixed)));
            }
            pieces.push(Piece::Key(key.to_owned()));
            rest = after;
        }
        fixed.push_str(rest);
        if !fixed.is_empty() {
            pieces.push(Piece::Fixed(fixed));
        }
        Ok(Self(pieces))
    }

    /// The same with its fixed parts in lower case.
    pub fn lower_case(self) -> Self {
        let lower = |piece| match piece {
            Piece::Fixed(text) => Piece::Fixed(text.to_lowercase()),
            Piece::Key(key) => Piece::Key(key),
        };
        Self(self.0.into_iter().map(lower).collect())
    }

    /// Whether the template, filled from `target`, is `text`. False when the target has no such key.
    pub fn equals(&self, text: &str, target: &dyn Attributes) -> bool {
        self.consumes(text, target, |value| value)
    }

    /// As [`Self::equals`], with what comes from the target put into lower case.
    pub fn equals_lower_case(&self, text: &str, target: &dyn Attributes) -> bool {
        self.consumes(text, target, |value| Cow::Owned(value.to_lowercase()))
    }

    /// Compares piece by piece, so that the filled template is never built.
    fn consumes(
        &self,
        text: &str,
        target: &dyn Attributes,
        prepare: impl Fn(Cow<'_, str>) -> Cow<'_, str>,
    ) -> bool {
        let mut rest = text;
        for piece in &self.0 {
            let stripped = match piece {
                Piece::Fixed(fixed) => rest.strip_prefix(fixed.as_str()),
                Piece::Key(key) => target
                    .attribute(key)
                    .and_then(|value| value.into_text())
                    .and_then(|value| rest.strip_prefix(&*prepare(value))),
            };
            match stripped {
                Some(stripped) => rest = stripped,
                None => return false,
            }
        }
        rest.is_empty()
    }
}

/// The key and what follows its `)s`; parentheses inside a key come in pairs, as in Python.
fn key_and_rest(text: &str) -> Option<(&str, &str)> {
    let mut open = 1_usize;
    for (at, character) in text.char_indices() {
        match character {
            '(' => open = open.saturating_add(1),
            ')' => open = open.saturating_sub(1),
            _ => {}
        }
        if open == 0 {
            let (key, rest) = text.split_at_checked(at)?;
            return Some((key, rest.strip_prefix(")s")?));
        }
    }
    None
}

impl fmt::Display for Template {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for piece in &self.0 {
            match piece {
                Piece::Fixed(text) => f.write_str(&text.replace('%', "%%"))?,
                Piece::Key(key) => write!(f, "%({key})s")?,
            }
        }
        Ok(())
    }
}
