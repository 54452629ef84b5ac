//! `Range` and, from old clients, `Content-Range` of a request, held against a regular expression.

#![no_main]

use std::sync::LazyLock;

use http::{HeaderMap, HeaderValue, header};
use libfuzzer_sys::fuzz_target;
use regex::Regex;
use saccade::{http::fuzzing::range, transfer::RangeRequest};

static RANGE: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r"^[ \t]*(?i-u:bytes)[ \t]*=[ \t]*([0-9]*)[ \t]*-[ \t]*([0-9]*)[ \t]*$").unwrap()
});

fuzz_target!(|input: (bool, Option<u64>, &[u8])| {
    let (proper, size, value) = input;
    let Ok(value) = HeaderValue::from_bytes(value) else {
        return;
    };
    let mut headers = HeaderMap::new();
    let name = if proper {
        header::RANGE
    } else {
        header::CONTENT_RANGE
    };
    headers.insert(name, value.clone());
    let read = range(&headers, size);
    match read {
        Ok(Some(RangeRequest::From { first, last })) => {
            assert!(last.is_none_or(|last| first <= last));
            if let (false, Some(size)) = (proper, size) {
                assert!(last.is_some_and(|last| last < size));
            }
        }
        Ok(Some(RangeRequest::Suffix(length))) => assert!(proper && length > 0),
        Ok(None) => panic!("a header was passed over"),
        Err(status) => assert!(matches!(status, 400 | 416), "{status}"),
    }
    if proper {
        assert_eq!(read, expected(&value).map(Some));
    }
});

fn expected(value: &HeaderValue) -> Result<RangeRequest, u16> {
    let text = value.to_str().map_err(|_| 416_u16)?;
    if text.contains(',') {
        return Err(400);
    }
    let found = RANGE.captures(text).ok_or(416_u16)?;
    let number = |text: &str| text.parse().unwrap_or(u64::MAX);
    match (&found[1], &found[2]) {
        ("", "") => Err(416),
        ("", last) if number(last) == 0 => Ok(RangeRequest::From { first: 0, last: None }),
        ("", last) => Ok(RangeRequest::Suffix(number(last))),
        (first, "") => Ok(RangeRequest::From {
            first: number(first),
            last: None,
        }),
        (first, last) if number(first) <= number(last) => Ok(RangeRequest::From {
            first: number(first),
            last: Some(number(last)),
        }),
        _ => Err(416),
    }
}
