//! Access rules of application credentials, held against the regular expressions that Keystone's middleware makes of
//! them. The input's first line is the path of a request, the others are the rules'.

#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use regex::Regex;
use saccade::identity::keystone::fuzzing::covers;
use saccade_fuzz::{lines, text};

static TOKENS: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r"(?s)(?P<tag>\{[^}]*\})|(?P<rec>\*\*)|(?P<wild>\*)|(?P<literal>[^{}*])").unwrap()
});

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
    {
        let expected = rules
            .iter()
            .any(|rule| as_keystonemiddleware_does(rule).is_match(path));
        assert_eq!(covered, expected, "{path} by {rules:?}");
    }
    if path.to_ascii_lowercase().contains("%2f") {
        assert_ne!(covered, Some(true));
    }
});

fn as_keystonemiddleware_does(rule: &str) -> Regex {
    let mut regex = String::from("^");
    for token in TOKENS.captures_iter(rule) {
        if token.name("tag").is_some() || token.name("wild").is_some() {
            regex.push_str("[^/]+");
        } else if token.name("rec").is_some() {
            regex.push_str(".*");
        } else if let Some(literal) = token.name("literal") {
            regex.push_str(&regex::escape(literal.as_str()));
        }
    }
    regex.push('$');
    Regex::new(&regex).unwrap()
}
