//! Values of filters: lists and times.

use std::borrow::Cow;

use jiff::{civil::DateTime, tz::TimeZone};

use crate::{http::error::ApiError, image::Timestamp};

/// The values of `in:`, divided by commas; one in double quotes may have commas in it, and keeps its backslashes (Glance
/// 33, `split_filter_value_for_quotes`).
pub(super) fn in_list(list: &str) -> Result<Vec<String>, ApiError> {
    check_quotes(list)?;
    let mut values = Vec::new();
    let mut rest = list;
    while !rest.is_empty() {
        let (value, after) = match quoted(rest) {
            Some(found) => found,
            None => rest.find(',').map_or((rest, ""), |comma| rest.split_at(comma)),
        };
        values.push(value.to_owned());
        rest = after.strip_prefix(',').unwrap_or(after);
    }
    Ok(values)
}

/// The quoted value that the text begins with, and what follows its closing quote.
fn quoted(text: &str) -> Option<(&str, &str)> {
    let inner = text.strip_prefix('"')?;
    let mut escaped = false;
    for (index, c) in inner.char_indices() {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '"' => {
                let (value, rest) = inner.split_at(index);
                return Some((value, rest.strip_prefix('"')?));
            }
            _ => {}
        }
    }
    None
}

/// Quotes open after a comma and close before one.
fn check_quotes(list: &str) -> Result<(), ApiError> {
    let mut before: Option<char> = None;
    let mut is_open = false;
    let mut chars = list.chars().peekable();
    while let Some(c) = chars.next() {
        if c == '"' && before != Some('\\') {
            if !is_open && before.is_some_and(|before| before != ',') {
                return Err(invalid(list, "There is no comma before opening quotation mark."));
            }
            if is_open && chars.peek().is_some_and(|next| *next != ',') {
                return Err(invalid(list, "There is no comma after closing quotation mark."));
            }
            is_open = !is_open;
        }
        before = Some(c);
    }
    if is_open {
        Err(invalid(list, "The quote is not closed."))
    } else {
        Ok(())
    }
}

fn invalid(list: &str, why: &str) -> ApiError {
    ApiError::bad_request(format!("Invalid filter value {list}. {why}"))
}

/// An instant in ISO 8601; without zone it is in UTC. Instants before 1970 are taken for its beginning: no image is older.
pub(super) fn instant(text: &str) -> Option<Timestamp> {
    let text = text.trim();
    let zoned = text.parse::<jiff::Timestamp>().ok();
    let instant = zoned.or_else(|| {
        let civil: DateTime = completed(text).parse().ok()?;
        Some(civil.to_zoned(TimeZone::UTC).ok()?.timestamp())
    })?;
    Some(Timestamp::from_micros(
        u64::try_from(instant.as_microsecond()).unwrap_or(0),
    ))
}

/// The first day of a year or month that is given alone.
fn completed(text: &str) -> Cow<'_, str> {
    let parts: Vec<usize> = (text.split('-'))
        .filter(|part| part.bytes().all(|byte| byte.is_ascii_digit()))
        .map(str::len)
        .collect();
    match (parts.as_slice(), text.len()) {
        ([4], 4) => Cow::Owned(format!("{text}-01-01")),
        ([4, 2], 7) => Cow::Owned(format!("{text}-01")),
        _ => Cow::Borrowed(text),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn list(text: &str) -> Option<Vec<String>> {
        in_list(text).ok()
    }

    fn values(values: &[&str]) -> Option<Vec<String>> {
        Some(values.iter().map(|value| (*value).to_owned()).collect())
    }

    #[test]
    fn lists_are_divided_as_glance_divides_them() {
        assert_eq!(list("a,b"), values(&["a", "b"]));
        assert_eq!(list("\"a,b\",c"), values(&["a,b", "c"]));
        assert_eq!(list("c,\"a,b\""), values(&["c", "a,b"]));
        assert_eq!(list("\"a\\\"b\""), values(&["a\\\"b"]));
        assert_eq!(list(",a"), values(&["", "a"]));
        assert_eq!(list("a,"), values(&["a"]));
        assert_eq!(list(""), values(&[]));
        assert_eq!(list("a\"b\""), None);
        assert_eq!(list("\"a\"b"), None);
        assert_eq!(list("\"a"), None);
    }

    #[test]
    fn times_are_read_in_the_forms_of_iso_8601() {
        let expected = Some(Timestamp::from_micros(1_795_250_146_000_000));
        assert_eq!(instant("2026-11-21T08:35:46Z"), expected);
        assert_eq!(instant("2026-11-21T08:35:46"), expected);
        assert_eq!(instant("2026-11-21 08:35:46"), expected);
        assert_eq!(instant("20261121T083546Z"), expected);
        assert_eq!(instant("2026-11-21T10:35:46+02:00"), expected);
        assert!(instant("2026-11-21").is_some());
        assert_eq!(instant("2026"), instant("2026-01-01T00:00:00Z"));
        assert_eq!(instant("2026-11"), instant("2026-11-01T00:00:00Z"));
        assert_eq!(instant("202"), None);
        assert_eq!(instant("2026-1"), None);
        assert_eq!(instant("1969-01-01T00:00:00Z"), Some(Timestamp::from_micros(0)));
        assert_eq!(instant("gt:2026-11-21T08:35:46Z"), None);
        assert_eq!(instant("yesterday"), None);
    }

    proptest! {
        #[test]
        fn no_list_panics(text in "[\",\\\\a ]{0,16}") {
            let _ = in_list(&text);
        }

        #[test]
        fn plain_values_are_found_again(values in proptest::collection::vec("[a-z0-9é ]{1,6}", 1..6)) {
            prop_assert_eq!(in_list(&values.join(",")).unwrap(), values);
        }

        #[test]
        fn no_time_panics(text in "[-0-9TZ:+. W]{0,24}") {
            let _ = instant(&text);
        }
    }
}
