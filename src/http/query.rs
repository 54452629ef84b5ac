//! Query strings, in the form that browsers and Python write them.

use std::borrow::Cow;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};

use super::error::ApiError;

/// What Python's `quote_plus` leaves as it is, beside letters and digits.
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'_')
    .remove(b'.')
    .remove(b'-')
    .remove(b'~');

/// The pairs of a query string, in their order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct QueryPairs(Vec<(String, String)>);

impl QueryPairs {
    /// Pairs are divided by `&` or `;`, as webob 1.8 reads them.
    ///
    /// # Errors
    /// 400 when a name or value is not UTF-8.
    pub(super) fn parse(query: Option<&str>) -> Result<Self, ApiError> {
        let pairs = query
            .unwrap_or_default()
            .split(['&', ';'])
            .filter(|pair| !pair.is_empty());
        let decoded = pairs.map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            Ok((decode(name)?, decode(value)?))
        });
        decoded.collect::<Result<_, ApiError>>().map(Self)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }

    pub(super) fn first(&self, wanted: &str) -> Option<&str> {
        self.iter()
            .find_map(|(name, value)| (name == wanted).then_some(value))
    }

    pub(super) fn all<'a>(&'a self, wanted: &'a str) -> impl Iterator<Item = &'a str> {
        self.iter()
            .filter_map(move |(name, value)| (name == wanted).then_some(value))
    }

    /// `path` with these pairs, but `without` one name, and with one more pair at the end.
    pub(super) fn link(&self, path: &str, without: &str, with: Option<(&str, &str)>) -> String {
        let pairs = self.iter().filter(|(name, _)| *name != without).chain(with);
        let query: Vec<String> = pairs
            .map(|(name, value)| format!("{}={}", encode(name), encode(value)))
            .collect();
        match query.as_slice() {
            [] => path.to_owned(),
            pairs => format!("{path}?{}", pairs.join("&")),
        }
    }
}

fn decode(text: &str) -> Result<String, ApiError> {
    let spaced = text.replace('+', " ");
    percent_decode_str(&spaced)
        .decode_utf8()
        .map(Cow::into_owned)
        .map_err(|_| ApiError::undecodable())
}

fn encode(text: &str) -> String {
    utf8_percent_encode(text, ENCODED).to_string().replace("%20", "+")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_link_keeps_every_pair_but_the_marker() {
        let query = QueryPairs::parse(Some("tag=a&limit=1&marker=x&tag=b+c&name=%C3%A9%2F")).unwrap();
        assert_eq!(
            query.link("/v2/images", "marker", Some(("marker", "y"))),
            "/v2/images?tag=a&limit=1&tag=b+c&name=%C3%A9%2F&marker=y"
        );
        assert_eq!(
            QueryPairs::default().link("/v2/images", "marker", None),
            "/v2/images"
        );
    }

    #[test]
    fn a_semicolon_divides_pairs_too() {
        let query = QueryPairs::parse(Some("sort=name;limit=1&name=a%3Bb;;x")).unwrap();
        let pairs: Vec<(&str, &str)> = query.iter().collect();
        assert_eq!(
            pairs,
            [("sort", "name"), ("limit", "1"), ("name", "a;b"), ("x", "")]
        );
    }

    #[test]
    fn bytes_that_are_no_text_are_refused() {
        assert!(QueryPairs::parse(Some("name=%ff")).is_err());
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_again(pairs in proptest::collection::vec((".{1,5}", ".{0,8}"), 0..5)) {
            let query = QueryPairs(pairs);
            let link = query.link("", "marker", None);
            let read = QueryPairs::parse(link.strip_prefix('?')).unwrap();
            prop_assert_eq!(read, query);
        }

        #[test]
        fn no_query_panics(text in "\\PC*") {
            let _ = QueryPairs::parse(Some(&text));
        }
    }
}
