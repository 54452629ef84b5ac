//! Access rules of application credentials, held against a matcher that tries one way after the other. The input's first line is the path of a request, the others are the rules'.

#![no_main]

use libfuzzer_sys::fuzz_target;
use saccade::identity::keystone::fuzzing::covers;
use saccade_fuzz::{lines, text};
use std::collections::HashSet;

fuzz_target!(|input: &[u8]| {
    let Some(text) = text(input) else { return };
    let (path, rules) = lines(text);
    let rules: Vec<String> = rules.split('\n').take(3).map(str::to_owned).collect();
    let covered = covers(&rules, path);
    // Paths that are spelled in one way only.
    let plain = path
        .bytes()
        .all(|byte| byte.is_ascii_alphanumeric() || b"/_.~-".contains(&byte));
    if let Some(covered) = covered
        && plain
        && text.len() < 200
        && rules.iter().all(|rule| rule.matches(['*', '{']).count() <= 6)
    {
        let expected = rules.iter().any(|rule| matches(rule, path, &mut HashSet::new()));
        assert_eq!(covered, expected, "{path} by {rules:?}");
    }
    if path.to_ascii_lowercase().contains("%2f") {
        assert_ne!(covered, Some(true));
    }
});

/// As Keystone's middleware has it, with its regular expressions: `{name}` and `*` are `[^/]+`, `**` is `.*`, a brace without
/// its partner is nothing. What does not match is remembered by the lengths of what is left of both, or six wildcards would
/// take minutes.
fn matches(rule: &str, path: &str, failed: &mut HashSet<(usize, usize)>) -> bool {
    let Some(first) = rule.chars().next() else {
        return path.is_empty();
    };
    let left = (rule.len(), path.len());
    if failed.contains(&left) {
        return false;
    }
    let rest = &rule[first.len_utf8()..];
    let segment = |rule: &str, failed: &mut HashSet<_>| {
        let end = path.find('/').unwrap_or(path.len());
        (1..=end).any(|taken| matches(rule, &path[taken..], failed))
    };
    let matched = match first {
        '*' if rest.starts_with('*') => {
            (0..=path.len()).any(|taken| matches(&rest[1..], &path[taken..], failed))
        }
        '*' => segment(rest, failed),
        '{' => match rest.split_once('}') {
            Some((_, rest)) => segment(rest, failed),
            None => matches(rest, path, failed),
        },
        '}' => matches(rest, path, failed),
        literal => path
            .strip_prefix(literal)
            .is_some_and(|path| matches(rest, path, failed)),
    };
    if !matched {
        failed.insert(left);
    }
    matched
}
