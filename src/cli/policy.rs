//! `saccade policy list`: every rule, what it says and where that is written.

use super::{ConfigArgs, Exit, Streams, load};
use crate::{
    policy::{Definition, Policy as Rules, ScopeType, Warning},
    server,
};
use clap::{Args, Subcommand};
use serde_json::{Value, json};
use std::{
    fmt::Write as _,
    io::{self, IsTerminal},
};

/// What stands between two columns.
const GAP: usize = 2;
/// A column that is narrower is not worth it: text goes over the edge instead.
const MIN_CHECK: usize = 30;

#[derive(Debug, Args)]
pub(super) struct Policy {
    #[command(subcommand)]
    command: PolicyCommand,
}

#[derive(Debug, Subcommand)]
enum PolicyCommand {
    /// Show every rule of the API and of the policy files: what it says, and where that is written.
    ///
    /// Reads the policy files as the daemon does, without running anything; what a rule gets wrong goes to standard
    /// error. Exits with 78 if the files cannot be used.
    List(List),
}

#[derive(Debug, Args)]
struct List {
    /// Only rules whose name matches; * stands for any characters, ? for one.
    #[arg(long, value_name = "GLOB")]
    rule: Option<String>,
    /// One JSON object instead of text for people.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    config: ConfigArgs,
}

impl Policy {
    pub(super) fn run(self, streams: &mut Streams<'_>) -> Exit {
        let PolicyCommand::List(list) = self.command;
        list.run(streams)
    }
}

impl List {
    fn run(self, streams: &mut Streams<'_>) -> Exit {
        let config = match load(self.config, streams) {
            Ok(loaded) => loaded.config,
            Err(exit) => return exit,
        };
        let properties = match server::property_protection(&config.policy) {
            Ok((properties, _)) => properties,
            Err(error) => {
                streams.fail("the property protection cannot be used", &error);
                return Exit::Config;
            }
        };
        let files = server::policy_files(&config.policy, &properties);
        let (policy, mut warnings) = match Rules::load(&files) {
            Ok(loaded) => loaded,
            Err(error) => {
                streams.fail("the policy cannot be used", &error);
                return Exit::Config;
            }
        };
        let matches = |name: &str| self.rule.as_deref().is_none_or(|glob| is_match(glob, name));
        let mut rules = policy.definitions();
        rules.retain(|rule| matches(&rule.name));
        warnings.retain(|warning| matches(&warning.rule));
        if rules.is_empty() {
            return streams.complain("saccade: no rule has such a name");
        }
        if self.json {
            return streams.print(&format!("{:#}\n", to_json(&rules, &warnings)));
        }
        let exit = streams.print(&table(&rules, width()));
        for warning in warnings {
            streams.complain(&format!("saccade: warning: {warning}"));
        }
        exit
    }
}

/// How wide the terminal is, if there is one.
fn width() -> Option<usize> {
    let output = io::stdout();
    let size = output
        .is_terminal()
        .then(|| rustix::termios::tcgetwinsize(&output).ok())??;
    Some(size.ws_col.into()).filter(|columns| *columns > 0)
}

fn scope(rule: &Definition) -> Option<ScopeType> {
    rule.rule.map(|rule| rule.scope())
}

/// One line for each rule, or several where the terminal is too narrow.
fn table(rules: &[&Definition], width: Option<usize>) -> String {
    let rows: Vec<[String; 4]> = rules
        .iter()
        .map(|rule| {
            let scope = match scope(rule) {
                Some(ScopeType::Project) => "project",
                Some(ScopeType::Any) | None => "any",
            };
            let origin = rule
                .place
                .as_ref()
                .map_or_else(|| "default".to_owned(), ToString::to_string);
            [rule.name.clone(), scope.to_owned(), origin, written(rule)]
        })
        .collect();
    let titles = ["RULE", "SCOPE", "FROM", "CHECK"].map(str::to_owned);
    let all: Vec<_> = std::iter::once(&titles).chain(&rows).collect();
    let widest = |column: fn(&[String; 4]) -> &String| {
        all.iter()
            .map(|row| column(row).chars().count())
            .max()
            .unwrap_or(0)
            .saturating_add(GAP)
    };
    let (name, scope, origin) = (
        widest(|[name, ..]| name),
        widest(|[_, scope, ..]| scope),
        widest(|[_, _, origin, _]| origin),
    );
    let before = name.saturating_add(scope).saturating_add(origin);
    let room = width
        .and_then(|width| width.checked_sub(before))
        .filter(|room| *room >= MIN_CHECK);
    let mut text = String::new();
    for [rule, scoped, from, check] in all {
        let _ = write!(text, "{rule:name$}{scoped:scope$}{from:origin$}");
        for (index, line) in wrapped(check, room).iter().enumerate() {
            let indent = if index == 0 { 0 } else { before };
            let _ = writeln!(text, "{:indent$}{line}", "");
        }
    }
    text
}

/// The check on one line. Empty text would look like nothing at all.
fn written(rule: &Definition) -> String {
    match rule.text.split_whitespace().collect::<Vec<_>>().join(" ") {
        text if text.is_empty() => "\"\"".to_owned(),
        text => text,
    }
}

/// The words in lines of at most so many characters, if a word is no longer than that.
fn wrapped(text: &str, room: Option<usize>) -> Vec<String> {
    let Some(room) = room else {
        return vec![text.to_owned()];
    };
    let mut lines = Vec::new();
    let mut line = String::new();
    for word in text.split(' ') {
        let longer = line
            .chars()
            .count()
            .saturating_add(word.chars().count())
            .saturating_add(1);
        if !line.is_empty() && longer > room {
            lines.push(std::mem::take(&mut line));
        }
        if !line.is_empty() {
            line.push(' ');
        }
        line.push_str(word);
    }
    lines.push(line);
    lines
}

fn to_json(rules: &[&Definition], warnings: &[Warning]) -> Value {
    let rule = |rule: &&Definition| {
        json!({
            "name": rule.name,
            "check": rule.text,
            "scope_types": match scope(rule) {
                Some(ScopeType::Project) => json!(["project"]),
                Some(ScopeType::Any) | None => Value::Null,
            },
            "known": rule.rule.is_some(),
            "file": rule.place.as_ref().map(|place| place.path.display().to_string()),
            "line": rule.place.as_ref().map(|place| place.line),
        })
    };
    let warning = |warning: &Warning| {
        json!({
            "rule": warning.rule,
            "warning": warning.kind.to_string(),
            "file": warning.place.as_ref().map(|place| place.path.display().to_string()),
            "line": warning.place.as_ref().map(|place| place.line),
        })
    };
    json!({
        "rules": rules.iter().map(rule).collect::<Vec<_>>(),
        "warnings": warnings.iter().map(warning).collect::<Vec<_>>(),
    })
}

/// Whether the name is what the pattern says. Takes time in proportion to the product of their lengths.
fn is_match(glob: &str, name: &str) -> bool {
    // Which ends of the name's beginnings the pattern so far reaches.
    let name: Vec<char> = name.chars().collect();
    let mut reached = vec![false; name.len().saturating_add(1)];
    if let Some(start) = reached.first_mut() {
        *start = true;
    }
    for symbol in glob.chars() {
        let mut next = Vec::with_capacity(reached.len());
        let mut before = false;
        match symbol {
            '*' => {
                for at in reached {
                    before |= at;
                    next.push(before);
                }
            }
            symbol => {
                next.push(false);
                for (at, letter) in reached.iter().zip(&name) {
                    next.push(*at && (symbol == '?' || symbol == *letter));
                }
            }
        }
        reached = next;
    }
    reached.last().copied().unwrap_or(false)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_match_as_in_a_shell() {
        for (glob, name, expected) in [
            ("get_image", "get_image", true),
            ("get_image", "get_images", false),
            ("*_image", "get_image", true),
            ("*_image", "get_images", false),
            ("get*", "get_image", true),
            ("*", "", true),
            ("", "a", false),
            ("g?t_*e", "get_image", true),
            ("?", "", false),
            ("*a*b*", "xaxbx", true),
            ("*a*b*", "xbxax", false),
        ] {
            assert_eq!(is_match(glob, name), expected, "{glob} {name}");
        }
    }

    #[test]
    fn a_check_goes_on_below_itself_in_a_terminal_and_in_one_line_in_a_pipe() {
        let policy = Rules::with_defaults();
        let rules: Vec<_> = policy
            .definitions()
            .into_iter()
            .filter(|rule| ["default", "add_image"].contains(&rule.name.as_str()))
            .collect();
        assert_eq!(
            table(&rules, None),
            "RULE       SCOPE    FROM     CHECK\n\
             default    any      default  \"\"\n\
             add_image  project  default  rule:context_is_admin or (role:member and project_id:%(project_id)s and \
             project_id:%(owner)s)\n"
        );
        assert_eq!(
            table(&rules, Some(75)),
            "RULE       SCOPE    FROM     CHECK\n\
             default    any      default  \"\"\n\
             add_image  project  default  rule:context_is_admin or (role:member and\n                             \
             project_id:%(project_id)s and\n                             project_id:%(owner)s)\n"
        );
        assert_eq!(table(&rules, Some(40)), table(&rules, None));
    }
}
