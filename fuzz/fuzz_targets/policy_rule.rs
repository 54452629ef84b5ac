//! The policy language: a rule that was understood prints as a rule of the same meaning, `not` turns its verdict around,
//! and rules of constants come to what a truth table says.

#![no_main]

use std::borrow::Cow;

use libfuzzer_sys::fuzz_target;
use saccade::policy::language::{
    Attributes, Check, MAX_NESTING, MAX_RULE_BYTES, RuleSet, Value, Verdict, evaluate, parse,
};
use saccade_fuzz::{text, within};

struct Caller;

impl Attributes for Caller {
    fn attribute(&self, name: &str) -> Option<Value<'_>> {
        static ROLES: std::sync::LazyLock<Vec<String>> =
            std::sync::LazyLock::new(|| vec!["admin".to_owned(), "member".to_owned()]);
        Some(match name {
            "roles" => Value::Texts(&ROLES),
            "project_id" | "owner" => Value::Text(Cow::Borrowed("p")),
            "user_id" => Value::Null,
            "is_admin" => Value::Bool(true),
            "size" => Value::Number(7),
            "target" => Value::Nested(&Caller),
            "many" => Value::List(vec![Value::Number(7), Value::Null]),
            _ => return None,
        })
    }
}

fuzz_target!(|input: &[u8]| {
    // The bytes as choices in the grammar: text alone seldom becomes a rule of several operators.
    let rule = any(&mut input.iter().copied(), 0);
    let expected = Constants::value(&rule).unwrap();
    let found = evaluate(&parse(&rule).check, &RuleSet::new(""), &Caller, &Caller);
    assert_eq!(found, expected.into(), "{rule}");

    let Some(text) = text(input) else { return };
    let read = within(64 * 1024 + 512 * input.len(), || parse(text));
    // Printed with more parentheses than it was written with, a rule may nest too deep.
    let printed = read.check.to_string();
    let nesting = printed.matches('(').count() + printed.matches("not ").count();
    if read.faults.is_empty() && nesting < MAX_NESTING && printed.len() <= MAX_RULE_BYTES {
        assert_eq!(parse(&printed).check, read.check, "printed as {printed}");
    }
    let mut rules = RuleSet::new("default");
    rules.define("self", read.check.clone());
    let _ = rules.faults();
    let verdict = |check: &Check| evaluate(check, &rules, &Caller, &Caller);
    let found = verdict(&read.check);
    if !text.contains("rule:") {
        let opposite = match found {
            Verdict::True => Verdict::False,
            Verdict::False => Verdict::True,
            Verdict::Unknown => Verdict::Unknown,
        };
        assert_eq!(verdict(&Check::Not(Box::new(read.check.clone()))), opposite);
    }
    let nests = text.matches('(').count() + text.matches("not").count();
    if let Some(expected) = Constants::value(text).filter(|_| nests < MAX_NESTING) {
        assert_eq!(found, expected.into());
    }
});

/// A rule of constants, chosen by bytes; the shortest when they have come to their end.
fn any(choices: &mut impl Iterator<Item = u8>, depth: usize) -> String {
    let mut rule = all(choices, depth);
    while choices.next().is_some_and(|choice| choice % 4 == 3) {
        rule = format!("{rule} or {}", all(choices, depth));
    }
    rule
}

fn all(choices: &mut impl Iterator<Item = u8>, depth: usize) -> String {
    let mut rule = one(choices, depth);
    while choices.next().is_some_and(|choice| choice % 4 == 3) {
        rule = format!("{rule} and {}", one(choices, depth));
    }
    rule
}

fn one(choices: &mut impl Iterator<Item = u8>, depth: usize) -> String {
    match choices.next().unwrap_or(0) % 8 {
        4 | 5 if depth < 8 => format!("not {}", one(choices, depth + 1)),
        6 | 7 if depth < 8 => format!("({})", any(choices, depth + 1)),
        choice if choice % 2 == 0 => "@".to_owned(),
        _ => "!".to_owned(),
    }
}

/// Rules of `@`, `!`, `and`, `or`, `not` and parentheses: evaluated while they are read.
struct Constants<'t> {
    tokens: std::iter::Peekable<std::vec::IntoIter<&'t str>>,
}

impl<'t> Constants<'t> {
    fn value(text: &'t str) -> Option<bool> {
        let mut tokens = Vec::new();
        for word in text.split_ascii_whitespace() {
            let core = word.trim_start_matches('(');
            tokens.extend(std::iter::repeat_n("(", word.len() - core.len()));
            let inner = core.trim_end_matches(')');
            match inner {
                "@" | "!" | "and" | "or" | "not" => tokens.push(inner),
                "" => {}
                _ => return None,
            }
            tokens.extend(std::iter::repeat_n(")", core.len() - inner.len()));
        }
        let mut rest = Self {
            tokens: tokens.into_iter().peekable(),
        };
        let value = rest.any()?;
        rest.tokens.next().is_none().then_some(value)
    }

    fn any(&mut self) -> Option<bool> {
        let mut value = self.all()?;
        while self.tokens.next_if_eq(&"or").is_some() {
            value |= self.all()?;
        }
        Some(value)
    }

    fn all(&mut self) -> Option<bool> {
        let mut value = self.one()?;
        while self.tokens.next_if_eq(&"and").is_some() {
            value &= self.one()?;
        }
        Some(value)
    }

    fn one(&mut self) -> Option<bool> {
        match self.tokens.next()? {
            "@" => Some(true),
            "!" => Some(false),
            "not" => Some(!self.one()?),
            "(" => {
                let value = self.any()?;
                (self.tokens.next()? == ")").then_some(value)
            }
            _ => None,
        }
    }
}
