//! Header fields of foreign servers: `Content-Range`, `Retry-After`, `Content-Length`, `ETag`.

#![no_main]

use std::{
    sync::LazyLock,
    time::{Duration, SystemTime},
};

use http::{HeaderMap, HeaderValue, header};
use libfuzzer_sys::fuzz_target;
use regex::bytes::Regex;
use saccade_outgoing::headers::{ContentRange, content_length, content_range, retry_after, strong_etag};

static RANGE: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r"(?-u)^[ \t\n\x0c\r]*(?i:bytes)[ ][ \t\n\x0c\r]*([0-9]+)-([0-9]+)/([0-9]+|\*)[ \t\n\x0c\r]*$")
        .unwrap()
});

fuzz_target!(|input: &[u8]| {
    let read = content_range(input);
    if let Some(ContentRange::Part { first, last, total }) = read {
        assert!(first <= last && total.is_none_or(|total| last < total));
        let found = RANGE.captures(input).unwrap();
        let number = |index: usize| std::str::from_utf8(&found[index]).unwrap().parse::<u64>().ok();
        assert_eq!(
            (Some(first), Some(last), total),
            (number(1), number(2), number(3))
        );
    }

    let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000);
    let wait = retry_after(input, now);
    if let Ok(text) = std::str::from_utf8(input) {
        let text = text.trim_ascii();
        if let Ok(seconds) = text.parse::<u64>()
            && !text.starts_with('+')
        {
            assert_eq!(wait, Some(Duration::from_secs(seconds)));
        } else if text.len() == 29 && text.ends_with("GMT") {
            // Both readers are stricter than the other somewhere: what both take, they take alike.
            let other = jiff::fmt::rfc2822::DateTimeParser::new()
                .relaxed_weekday(true)
                .parse_timestamp(text);
            if let (Some(wait), Ok(other)) = (wait, other) {
                let expected = other.as_second().saturating_sub(1_800_000_000).max(0);
                assert_eq!(wait.as_secs(), expected.unsigned_abs(), "{text}");
            }
        }
    }

    let Ok(value) = HeaderValue::from_bytes(input) else {
        return;
    };
    let headers: HeaderMap = [
        (header::CONTENT_LENGTH, value.clone()),
        (header::ETAG, value.clone()),
    ]
    .into_iter()
    .collect();
    if let Some(length) = content_length(&headers) {
        let digits = value.to_str().unwrap().trim().trim_start_matches('0');
        assert_eq!(length.to_string().trim_start_matches('0'), digits);
    }
    if let Some(tag) = strong_etag(&headers) {
        assert!(tag.starts_with('"') && tag.ends_with('"') && tag.len() > 2);
    }
});
