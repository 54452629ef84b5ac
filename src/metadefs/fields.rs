//! JSON objects, taken apart member by member, as Glance's schemas check them (`glance/schema.py`).

use serde_json::{Map, Number, Value};

/// A value is not what a schema says.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("Provided object does not match schema '{schema}': {problem}")]
pub struct Invalid {
    /// Which schema.
    pub schema: &'static str,
    /// What is wrong, and where.
    pub problem: String,
}

/// What has not been taken yet of one object.
pub(super) struct Fields {
    schema: &'static str,
    /// Where the object is: `` or `properties.name: `.
    place: String,
    members: Map<String, Value>,
}

/// Whether a list may hold a text twice.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Repeats {
    Allowed,
    Refused,
}

/// Names come from outside and may be as long as the body.
pub(super) fn shown(text: &str) -> String {
    text.chars().take(100).collect()
}

impl Fields {
    /// # Errors
    /// When it is no object.
    pub(super) fn of(schema: &'static str, value: Value) -> Result<Self, Invalid> {
        let empty = Self {
            schema,
            place: String::new(),
            members: Map::new(),
        };
        match value {
            Value::Object(members) => Ok(Self { members, ..empty }),
            _ => Err(empty.wrong("it is not an object")),
        }
    }

    /// The object in a member, or in a list that is one.
    pub(super) fn inner(&self, name: &str, value: Value) -> Result<Self, Invalid> {
        match value {
            Value::Object(members) => Ok(Self {
                schema: self.schema,
                place: format!("{}{}: ", self.place, shown(name)),
                members,
            }),
            _ => Err(self.wrong(&format!("'{}' is not an object", shown(name)))),
        }
    }

    pub(super) fn wrong(&self, problem: &str) -> Invalid {
        Invalid {
            schema: self.schema,
            problem: format!("{}{problem}", self.place),
        }
    }

    pub(super) fn has(&self, name: &str) -> bool {
        self.members.contains_key(name)
    }

    pub(super) fn any(&mut self, name: &str) -> Option<Value> {
        self.members.remove(name)
    }

    /// `max` is in characters.
    pub(super) fn text(&mut self, name: &str, max: usize) -> Result<Option<String>, Invalid> {
        match self.any(name) {
            None => Ok(None),
            Some(Value::String(text)) => {
                self.check_text(name, &text, max)?;
                Ok(Some(text))
            }
            Some(_) => Err(self.wrong(&format!("{name} is not a string"))),
        }
    }

    pub(super) fn check_text(&self, name: &str, text: &str, max: usize) -> Result<(), Invalid> {
        if text.chars().count() > max {
            return Err(self.wrong(&format!("{} is longer than {max} characters", shown(name))));
        }
        // Glance's tables are MySQL's `utf8`, which has no characters beyond U+FFFF.
        if text.chars().any(|c| c > '\u{ffff}') {
            return Err(self.wrong(&format!(
                "{} can't contain 4 byte unicode characters",
                shown(name)
            )));
        }
        Ok(())
    }

    pub(super) fn required_text(&mut self, name: &str, max: usize) -> Result<String, Invalid> {
        let text = self.text(name, max)?;
        text.ok_or_else(|| self.wrong(&format!("'{name}' is a required property")))
    }

    pub(super) fn flag(&mut self, name: &str) -> Result<Option<bool>, Invalid> {
        match self.any(name) {
            None => Ok(None),
            Some(Value::Bool(flag)) => Ok(Some(flag)),
            Some(_) => Err(self.wrong(&format!("{name} is not a boolean"))),
        }
    }

    /// An integer that is not negative; to JSON schema, 2.0 is one.
    pub(super) fn count(&mut self, name: &str) -> Result<Option<u64>, Invalid> {
        let Some(number) = self.number(name)? else {
            return Ok(None);
        };
        let count = number.as_u64();
        let problem = || self.wrong(&format!("{name} is not an integer of 0 or more"));
        count.ok_or_else(problem).map(Some)
    }

    /// A number; one without fraction is an integer.
    pub(super) fn number(&mut self, name: &str) -> Result<Option<Number>, Invalid> {
        match self.any(name) {
            None => Ok(None),
            Some(Value::Number(number)) => Ok(Some(whole(number))),
            Some(_) => Err(self.wrong(&format!("{name} is not a number"))),
        }
    }

    pub(super) fn list(&mut self, name: &str) -> Result<Option<Vec<Value>>, Invalid> {
        match self.any(name) {
            None => Ok(None),
            Some(Value::Array(values)) => Ok(Some(values)),
            Some(_) => Err(self.wrong(&format!("{name} is not an array"))),
        }
    }

    pub(super) fn texts(&mut self, name: &str, repeats: Repeats) -> Result<Option<Vec<String>>, Invalid> {
        let Some(values) = self.list(name)? else {
            return Ok(None);
        };
        let texts = values.into_iter().map(|value| match value {
            Value::String(text) => {
                self.check_text(name, &text, usize::MAX)?;
                Ok(text)
            }
            _ => Err(self.wrong(&format!("{name} holds what is not a string"))),
        });
        let texts: Vec<String> = texts.collect::<Result<_, _>>()?;
        let distinct: std::collections::BTreeSet<&String> = texts.iter().collect();
        if repeats == Repeats::Refused && distinct.len() < texts.len() {
            return Err(self.wrong(&format!("{name} has non-unique elements")));
        }
        Ok(Some(texts))
    }

    /// The objects in a list.
    pub(super) fn objects(&mut self, name: &str) -> Result<Vec<Self>, Invalid> {
        let values = self.list(name)?.unwrap_or_default();
        values.into_iter().map(|value| self.inner(name, value)).collect()
    }

    /// The objects in an object, with their names.
    pub(super) fn named_objects(&mut self, name: &str) -> Result<Vec<(String, Self)>, Invalid> {
        let Some(value) = self.any(name) else {
            return Ok(Vec::new());
        };
        let inner = self.inner(name, value)?;
        let objects = inner.members.clone().into_iter().map(|(key, value)| {
            inner.check_text("a name", &key, usize::MAX)?;
            let fields = inner.inner(&key, value)?;
            Ok((key, fields))
        });
        objects.collect()
    }

    /// Leaves out what the server alone writes: what was shown can be sent back.
    pub(super) fn ignore(&mut self, names: &[&str]) {
        for name in names {
            self.members.remove(*name);
        }
    }

    /// # Errors
    /// When something is left that the schema does not have.
    pub(super) fn finish(self) -> Result<(), Invalid> {
        match self.members.keys().next() {
            None => Ok(()),
            Some(name) => Err(self.wrong(&format!(
                "Additional properties are not allowed ('{}' was unexpected)",
                shown(name)
            ))),
        }
    }
}

/// 5.0 as 5: what follows from it is shown as Glance shows it.
fn whole(number: Number) -> Number {
    const EXACT: f64 = 9_007_199_254_740_992.0;
    match number.as_f64() {
        Some(float) if number.is_f64() && float.fract() == 0.0 && float.abs() <= EXACT => {
            #[allow(clippy::cast_possible_truncation)] // Below 2^53, whole numbers are exact.
            Number::from(float as i64)
        }
        _ => number,
    }
}
