//! Header fields of foreign servers. Each parser takes any bytes.

use std::time::{Duration, SystemTime};

use http::{HeaderMap, header};

/// `Content-Range` in bytes (RFC 9110, 14.4), consistent in itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ContentRange {
    /// A part comes.
    Part {
        /// The first byte of it.
        first: u64,
        /// The last byte of it, which is not before the first.
        last: u64,
        /// Of how many, if the server tells: more than `last`.
        total: Option<u64>,
    },
    /// No part comes (416).
    Unsatisfied {
        /// Of how many.
        total: u64,
    },
}

/// Reads `bytes 0-9/10`, `bytes 0-9/*`, `bytes */10`.
pub fn content_range(value: &[u8]) -> Option<ContentRange> {
    let text = std::str::from_utf8(value).ok()?.trim_ascii();
    let (unit, rest) = text.split_once(' ')?;
    if !unit.eq_ignore_ascii_case("bytes") {
        return None;
    }
    let (range, total) = rest.trim_ascii().split_once('/')?;
    if range == "*" {
        let total = number(total)?;
        return Some(ContentRange::Unsatisfied { total });
    }
    let (first, last) = range.split_once('-')?;
    let (first, last) = (number(first)?, number(last)?);
    let total = match total {
        "*" => None,
        total => Some(number(total)?),
    };
    let consistent = first <= last && total.is_none_or(|total| last < total);
    consistent.then_some(ContentRange::Part { first, last, total })
}

/// Reads `Retry-After` (RFC 9110, 10.2.3): seconds, or a date, of which the past means now.
pub fn retry_after(value: &[u8], now: SystemTime) -> Option<Duration> {
    let text = std::str::from_utf8(value).ok()?.trim_ascii();
    if let Some(seconds) = number(text) {
        return Some(Duration::from_secs(seconds));
    }
    let date = httpdate::parse_http_date(text).ok()?;
    Some(date.duration_since(now).unwrap_or_default())
}

/// `Content-Length`, if there is one and it is a number.
pub fn content_length(headers: &HeaderMap) -> Option<u64> {
    number(headers.get(header::CONTENT_LENGTH)?.to_str().ok()?.trim_ascii())
}

/// An entity tag that holds for every byte: weak ones (`W/"…"`) do not.
pub fn strong_etag(headers: &HeaderMap) -> Option<&str> {
    let tag = headers.get(header::ETAG)?.to_str().ok()?;
    (tag.len() > 2 && tag.starts_with('"') && tag.ends_with('"')).then_some(tag)
}

/// Digits alone: no sign, no space, and within 64 bits.
fn number(text: &str) -> Option<u64> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    if digits { text.parse().ok() } else { None }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn part(first: u64, last: u64, total: Option<u64>) -> Option<ContentRange> {
        Some(ContentRange::Part { first, last, total })
    }

    #[test]
    fn content_ranges_are_read() {
        assert_eq!(content_range(b"bytes 0-9/10"), part(0, 9, Some(10)));
        assert_eq!(content_range(b" Bytes 5-5/* "), part(5, 5, None));
        let largest = format!("bytes 0-{}/{}", u64::MAX - 1, u64::MAX);
        let read = content_range(largest.as_bytes());
        assert_eq!(read, part(0, u64::MAX - 1, Some(u64::MAX)));
        let unsatisfied = Some(ContentRange::Unsatisfied { total: 0 });
        assert_eq!(content_range(b"bytes */0"), unsatisfied);
    }

    #[test]
    fn content_ranges_that_contradict_themselves_are_none() {
        for text in [
            "",
            "bytes",
            "bytes 0-9",
            "bytes 9-0/10",
            "bytes 0-10/10",
            "bytes 0-9/9",
            "bytes -9/10",
            "bytes 0-/10",
            "bytes +0-9/10",
            "bytes 0-9/ten",
            "bytes */*",
            "bytes=0-9/10",
            "items 0-9/10",
            "bytes 0-18446744073709551616/*",
            "bytes 0-9/10, bytes 20-29/30",
        ] {
            assert_eq!(content_range(text.as_bytes()), None, "{text}");
        }
        assert_eq!(content_range(b"bytes 0-\xff/10"), None);
    }

    #[test]
    fn retry_after_is_seconds_or_a_date() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(784_111_777);
        let read = |text: &str| retry_after(text.as_bytes(), now);
        assert_eq!(read("120"), Some(Duration::from_secs(120)));
        assert_eq!(
            read("Sun, 06 Nov 1994 08:49:40 GMT"),
            Some(Duration::from_secs(3))
        );
        assert_eq!(read("Sun, 06 Nov 1994 08:00:00 GMT"), Some(Duration::ZERO));
        assert_eq!(read("18446744073709551615"), Some(Duration::from_secs(u64::MAX)));
        for text in ["", "-1", "1.5", "soon", "18446744073709551616"] {
            assert_eq!(read(text), None, "{text}");
        }
    }

    #[test]
    fn weak_entity_tags_do_not_count() {
        let tag = |text: &'static str| {
            let headers = HeaderMap::from_iter([(header::ETAG, text.parse().unwrap())]);
            strong_etag(&headers).is_some()
        };
        assert!(tag("\"a\""));
        assert!(!tag("W/\"a\"") && !tag("a") && !tag("\"") && !tag("\"\""));
    }

    proptest! {
        #[test]
        fn any_bytes_can_be_read(bytes in proptest::collection::vec(any::<u8>(), 0..60)) {
            let _ = content_range(&bytes);
            let _ = retry_after(&bytes, SystemTime::now());
        }

        #[test]
        fn what_is_read_is_consistent(text in "bytes [0-9*]{0,21}-?[0-9]{0,21}/[0-9*]{0,21}") {
            if let Some(ContentRange::Part { first, last, total }) = content_range(text.as_bytes()) {
                prop_assert!(first <= last && total.is_none_or(|total| last < total));
            }
        }
    }
}
