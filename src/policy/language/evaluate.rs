//! A [`Check`], a caller and a target → a [`Verdict`].

use std::borrow::Cow;

use super::{Check, RuleSet, Template};

/// How deep an evaluation goes, through rules that refer to rules.
pub const MAX_DEPTH: usize = 200;

/// How many checks one evaluation looks at. Rules that refer to each other many times could otherwise take time
/// exponential in their number.
pub const MAX_CHECKS: usize = 10_000;

/// Named values: what is known of a caller, or of what is acted on.
pub trait Attributes {
    /// The value of this name; `None` when there is no such thing.
    fn attribute(&self, name: &str) -> Option<Value<'_>>;
}

/// The value of an attribute. Compared as the text that Python's `str` gives.
#[derive(Clone)]
pub enum Value<'a> {
    /// Known to be unset; its text is `None`.
    Null,
    /// Its text is `True` or `False`.
    Bool(bool),
    /// A number.
    Number(u64),
    /// Text.
    Text(Cow<'a, str>),
    /// Several texts.
    Texts(&'a [String]),
    /// Several values of any kind.
    List(Vec<Value<'a>>),
    /// Values with names of their own, reached by a dotted name.
    Nested(&'a dyn Attributes),
}

impl<'a> Value<'a> {
    /// Text, or [`Value::Null`] for none.
    pub fn optional(text: Option<&'a str>) -> Self {
        text.map_or(Self::Null, |text| Self::Text(Cow::Borrowed(text)))
    }

    /// The value as text; `None` for lists and nested values, whose text in Python nobody compares with.
    pub fn into_text(self) -> Option<Cow<'a, str>> {
        match self {
            Self::Null => Some(Cow::Borrowed("None")),
            Self::Bool(true) => Some(Cow::Borrowed("True")),
            Self::Bool(false) => Some(Cow::Borrowed("False")),
            Self::Number(number) => Some(Cow::Owned(number.to_string())),
            Self::Text(text) => Some(text),
            Self::Texts(_) | Self::List(_) | Self::Nested(_) => None,
        }
    }
}

/// What a check says. Three-valued (Kleene's logic), so that `not` cannot turn something that was not understood
/// into permission.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It holds.
    True,
    /// It does not.
    False,
    /// It cannot be told: the rule is broken there. Denies in the end.
    Unknown,
}

impl From<bool> for Verdict {
    fn from(holds: bool) -> Self {
        if holds { Self::True } else { Self::False }
    }
}

/// Evaluates `check`. Bounded by [`MAX_DEPTH`] and [`MAX_CHECKS`], beyond which the verdict is
/// [`Verdict::Unknown`].
pub fn evaluate(
    check: &Check,
    rules: &RuleSet,
    credentials: &dyn Attributes,
    target: &dyn Attributes,
) -> Verdict {
    let mut evaluation = Evaluation {
        rules,
        credentials,
        target,
        checks: 0,
    };
    evaluation.verdict(check, 0)
}

struct Evaluation<'a> {
    rules: &'a RuleSet,
    credentials: &'a dyn Attributes,
    target: &'a dyn Attributes,
    checks: usize,
}

impl Evaluation<'_> {
    fn verdict(&mut self, check: &Check, depth: usize) -> Verdict {
        if depth >= MAX_DEPTH || self.checks >= MAX_CHECKS {
            return Verdict::Unknown;
        }
        self.checks += 1;
        let below = depth + 1;
        match check {
            Check::Always => Verdict::True,
            Check::Never => Verdict::False,
            Check::Unusable => Verdict::Unknown,
            Check::Not(check) => match self.verdict(check, below) {
                Verdict::True => Verdict::False,
                Verdict::False => Verdict::True,
                Verdict::Unknown => Verdict::Unknown,
            },
            Check::All(checks) => self.until(checks, Verdict::False, Verdict::True, below),
            Check::Any(checks) => self.until(checks, Verdict::True, Verdict::False, below),
            Check::Rule(name) => {
                let rules = self.rules;
                rules
                    .resolve(name)
                    .map_or(Verdict::Unknown, |check| self.verdict(check, below))
            }
            Check::Role(name) => self.has_role(name).into(),
            Check::Literal { value, expected } => expected.equals(value, self.target).into(),
            Check::Credential { path, expected } => self.matches(self.credentials, path, expected),
        }
    }

    /// The `decisive` verdict as soon as one check gives it; `otherwise`, if all are known and none does.
    fn until(&mut self, checks: &[Check], decisive: Verdict, otherwise: Verdict, depth: usize) -> Verdict {
        let mut result = otherwise;
        for check in checks {
            match self.verdict(check, depth) {
                verdict if verdict == decisive => return decisive,
                Verdict::Unknown => result = Verdict::Unknown,
                Verdict::True | Verdict::False => {}
            }
        }
        result
    }

    fn has_role(&self, name: &Template) -> bool {
        let Some(Value::Texts(roles)) = self.credentials.attribute("roles") else {
            return false;
        };
        roles.iter().any(|role| name.equals_lower_case(role, self.target))
    }

    fn matches(&self, attributes: &dyn Attributes, path: &[String], expected: &Template) -> Verdict {
        let Some((first, rest)) = path.split_first() else {
            return Verdict::Unknown;
        };
        attributes
            .attribute(first)
            .map_or(Verdict::False, |value| self.value_matches(value, rest, expected))
    }

    /// `path` gets shorter, or a list's element is looked at: ends.
    fn value_matches(&self, value: Value<'_>, path: &[String], expected: &Template) -> Verdict {
        match value {
            Value::Nested(attributes) => self.matches(attributes, path, expected),
            Value::List(values) => any(values
                .into_iter()
                .map(|value| self.value_matches(value, path, expected))),
            // A name below a plain value: not even oslo.policy has an answer.
            _ if !path.is_empty() => Verdict::Unknown,
            Value::Texts(texts) => any(texts.iter().map(|text| expected.equals(text, self.target).into())),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::Text(_) => value
                .into_text()
                .is_some_and(|text| expected.equals(&text, self.target))
                .into(),
        }
    }
}

/// Kleene's `or`.
fn any(verdicts: impl Iterator<Item = Verdict>) -> Verdict {
    let mut result = Verdict::False;
    for verdict in verdicts {
        match verdict {
            Verdict::True => return Verdict::True,
            Verdict::Unknown => result = Verdict::Unknown,
            Verdict::False => {}
        }
    }
    result
}
