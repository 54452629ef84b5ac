//! What an entry must be after protection is taken off.

use serde::{Deserialize, de::IgnoredAny};

/// `{"token": …}`, with whatever else.
#[derive(Deserialize)]
struct Envelope {
    #[serde(rename = "token")]
    _token: IgnoredAny,
}

/// The JSON object that holds the token: the entry itself, or the first element of the list `[data, expiry]` that
/// keystonemiddleware once wrote. `None` when it is neither.
///
/// Looks at the outermost level only and builds nothing; whoever uses the token parses it in full.
pub(super) fn token_body(entry: Vec<u8>) -> Option<Vec<u8>> {
    let text = std::str::from_utf8(&entry).ok()?.trim_ascii();
    // A derived `Deserialize` takes a list for an object as well: the first character tells them apart.
    if text.starts_with('{') {
        serde_json::from_str::<Envelope>(text).ok()?;
        return Some(entry);
    }
    serde_json::from_str::<(Envelope, IgnoredAny)>(text).ok()?;
    let elements = text.strip_prefix('[')?.trim_ascii_start();
    if !elements.starts_with('{') {
        return None;
    }
    let mut first = serde_json::Deserializer::from_str(elements).into_iter::<IgnoredAny>();
    first.next()?.ok()?;
    elements
        .get(..first.byte_offset())
        .map(|body| body.as_bytes().to_vec())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn unwrapped(entry: &str) -> Option<String> {
        token_body(entry.into()).map(|body| String::from_utf8(body).unwrap())
    }

    #[test]
    fn an_object_with_a_token_is_left_as_it_is() {
        for entry in [
            r#"{"token": {"user": {"name": "\u00e9"}}}"#,
            r#" {"access": 1, "token": null} "#,
            r#"{"token": [1, {"token": 2}]}"#,
        ] {
            assert_eq!(unwrapped(entry).as_deref(), Some(entry));
        }
    }

    #[test]
    fn the_old_list_of_data_and_expiry_is_unwrapped() {
        for entry in [
            r#"[{"token": {"a": "],{}"}}, "2013-07-10T00:00:00Z"]"#,
            r#" [ {"token": {"a": "],{}"}} , 1373414400.5 ] "#,
            r#"[{"token": {"a": "],{}"}},null]"#,
        ] {
            assert_eq!(
                unwrapped(entry).as_deref(),
                Some(r#"{"token": {"a": "],{}"}}"#),
                "{entry}"
            );
        }
    }

    #[test]
    fn anything_else_is_no_entry() {
        for entry in [
            "",
            " ",
            "null",
            "1",
            r#""token""#,
            "{}",
            "[]",
            r#"{"access": {}}"#,
            r#"["token"]"#,
            r#"[["token"], 1]"#,
            r#"[{"token": 1}]"#,
            r#"[{"token": 1}, 2, 3]"#,
            r#"[{"access": 1}, 2]"#,
            r#"[1, {"token": 1}]"#,
            r#"{"token": 1"#,
            r#"{"token": 1} x"#,
            r#"{"token": 1, "token": 2}"#,
            r#"{"token": NaN}"#,
            r#"[{"token": 1}, 2"#,
            "invalid",
        ] {
            assert_eq!(unwrapped(entry), None, "{entry}");
        }
        assert_eq!(token_body(b"{\"token\": \"\xff\"}".to_vec()), None);
    }

    #[test]
    fn depth_does_not_exhaust_the_stack() {
        let deep = format!("{{\"token\": {}{}}}", "[".repeat(300_000), "]".repeat(300_000));
        let _ = token_body(deep.into());
    }

    proptest! {
        #[test]
        fn never_panics_and_never_returns_what_was_not_there(entry in "[\\[\\]{}\", :a1\\\\]{0,24}|\\PC{0,24}") {
            if let Some(body) = token_body(entry.clone().into()) {
                prop_assert!(entry.contains(std::str::from_utf8(&body).unwrap()));
            }
        }
    }
}
