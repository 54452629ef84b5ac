//! What `saccade config check` says.

use super::{
    check::{Accepted, Ignored},
    error::{ConfigError, Warning},
    reader::Effective,
    substitute::Resolved,
    support,
};
use std::{
    error::Error as _,
    fmt::{self, Write as _},
    net::SocketAddr,
};

/// An option in effect, for people: secrets are hidden.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Line {
    option: String,
    value: String,
    origin: String,
}

impl Line {
    fn new(option: impl ToString, values: &[Resolved]) -> Self {
        let shown: Vec<String> = values.iter().map(Resolved::shown).collect();
        let origin = values
            .last()
            .map(|value| value.origin.to_string())
            .unwrap_or_default();
        Self {
            option: option.to_string(),
            value: shown.join(", "),
            origin,
        }
    }
}

/// Who the callers are, which options differ from their defaults, where they are set, and which of them have no effect.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    callers: String,
    bind: String,
    changed: Vec<Line>,
    accepted: Vec<(Line, &'static str)>,
    harmless: Vec<(Line, &'static str)>,
    warnings: Vec<String>,
}

impl Report {
    pub(super) fn new<'a>(
        callers: String,
        bind: SocketAddr,
        effective: impl Iterator<Item = &'a Effective>,
        overrides: &[(&'static str, String)],
        ignored: &[Ignored],
        warnings: &[Warning],
    ) -> Self {
        let is_changed = |e: &&Effective| {
            let texts: Vec<&str> = e.values.iter().map(|value| value.text.as_str()).collect();
            support::is_changed(&e.known.spec, &texts, &[])
        };
        let from_files = effective
            .filter(is_changed)
            .map(|e| Line::new(&e.known.option, &e.values));
        let from_flags = overrides.iter().map(|(flag, value)| Line {
            option: (*flag).to_owned(),
            value: format!("{value:?}"),
            origin: "command line".to_owned(),
        });
        let without_effect = |wanted| {
            ignored
                .iter()
                .filter(move |i| i.accepted == wanted)
                .map(|i| (Line::new(&i.option, &i.values), i.because))
                .collect()
        };
        Self {
            callers,
            bind: bind.to_string(),
            changed: from_files.chain(from_flags).collect(),
            accepted: without_effect(Accepted::ByOperator),
            harmless: without_effect(Accepted::ByNature),
            warnings: warnings.iter().map(Warning::to_string).collect(),
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = String::new();
        section(
            &mut text,
            "In effect, and different from the default:",
            &self.changed,
            |line| format!("{} = {}  ({})", line.option, line.value, line.origin),
        )?;
        let reasoned = |(line, because): &(Line, &str)| {
            format!(
                "{} = {}  ({})\n      {because}",
                line.option, line.value, line.origin
            )
        };
        section(
            &mut text,
            "Not supported, and accepted by [saccade] accept_unsupported:",
            &self.accepted,
            reasoned,
        )?;
        section(
            &mut text,
            "Without effect, and harmless:",
            &self.harmless,
            reasoned,
        )?;
        section(&mut text, "Worth a look:", &self.warnings, String::clone)?;
        writeln!(f, "Callers: {}\nListens on: {}\n", self.callers, self.bind)?;
        f.write_str(if text.is_empty() {
            "Every option has its default.\n"
        } else {
            &text
        })
    }
}

fn section<T>(text: &mut String, title: &str, items: &[T], line: impl Fn(&T) -> String) -> fmt::Result {
    if items.is_empty() {
        return Ok(());
    }
    if !text.is_empty() {
        text.push('\n');
    }
    writeln!(text, "{title}")?;
    items
        .iter()
        .try_for_each(|item| writeln!(text, "  {}", line(item)))
}

/// What stops the start, for people: one paragraph for each error, with its cause.
pub fn explain(errors: &[ConfigError]) -> String {
    let mut text = String::new();
    for error in errors {
        text.push_str(&format!("  {error}"));
        let mut cause = error.source();
        while let Some(source) = cause {
            text.push_str(&format!(": {source}"));
            cause = source.source();
        }
        text.push('\n');
    }
    let count = errors.len();
    let things = if count == 1 {
        "One thing stops"
    } else {
        "These things stop"
    };
    format!("{things} the start:\n{text}")
}
