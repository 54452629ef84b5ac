//! Which bytes of an image a client asks for (Glance 33, `common/wsgi.py`, `get_range_from_request`).

use http::{
    HeaderMap,
    header::{CONTENT_RANGE, RANGE},
};

use super::error::ApiError;
use crate::transfer::RangeRequest;

/// The range in the headers, if any, of an image of `size` bytes. A `Content-Range`, which has no business in a request,
/// counts as well: old clients send it.
///
/// # Errors
/// 400 for more than one range; 416 for what is no range, or none of the image's.
pub(super) fn requested(headers: &HeaderMap, size: Option<u64>) -> Result<Option<RangeRequest>, ApiError> {
    if let Some(range) = headers.get(RANGE) {
        let text = range.to_str().unwrap_or_default();
        if text.contains(',') {
            return Err(ApiError::bad_request(
                "Requests with multiple ranges are not supported in Glance. You may make multiple single-range requests \
                 instead.",
            ));
        }
        return match range_of(text) {
            Some(range) => Ok(Some(range)),
            None => Err(ApiError::unsatisfiable("Invalid Range header.")),
        };
    }
    let Some(range) = headers.get(CONTENT_RANGE) else {
        return Ok(None);
    };
    let found = range.to_str().ok().and_then(content_range_of);
    let Some((first, last)) = found else {
        return Err(ApiError::unsatisfiable("Invalid Content-Range header."));
    };
    match size {
        Some(size) if first >= size => Err(ApiError::unsatisfiable_start(size, "Content-Range")),
        Some(size) if last >= size => Err(ApiError::unsatisfiable(format!(
            "Invalid stop position in Content-Range header. The stop position MUST be in the inclusive range [0, {}].",
            size.saturating_sub(1)
        ))),
        _ => Ok(Some(RangeRequest::From {
            first,
            last: Some(last),
        })),
    }
}

/// `bytes=1-2`, `bytes=1-`, `bytes=-2`.
fn range_of(text: &str) -> Option<RangeRequest> {
    let (unit, range) = text.split_once('=')?;
    if !unit.trim().eq_ignore_ascii_case("bytes") {
        return None;
    }
    let (first, last) = range.split_once('-')?;
    match (first.trim(), last.trim()) {
        // The last 0 bytes are, to webob and so to Glance, all of them.
        ("", last) => match number(last)? {
            0 => Some(RangeRequest::From { first: 0, last: None }),
            length => Some(RangeRequest::Suffix(length)),
        },
        (first, "") => Some(RangeRequest::From {
            first: number(first)?,
            last: None,
        }),
        (first, last) => {
            let (first, last) = (number(first)?, number(last)?);
            (first <= last).then_some(RangeRequest::From {
                first,
                last: Some(last),
            })
        }
    }
}

/// `bytes 1-2/*`, `bytes 1-2/3`: first and last.
fn content_range_of(text: &str) -> Option<(u64, u64)> {
    let (range, length) = text.trim().strip_prefix("bytes ")?.split_once('/')?;
    let (first, last) = range.split_once('-')?;
    let (first, last) = (number(first)?, number(last)?);
    let fits = length == "*" || number(length)? > last;
    (first <= last && fits).then_some((first, last))
}

/// Digits and nothing else. More than fit are beyond every image.
fn number(text: &str) -> Option<u64> {
    let is_number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    is_number.then(|| text.parse().unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use http::{HeaderName, HeaderValue};
    use proptest::prelude::*;

    use super::*;

    fn of(name: HeaderName, value: &str) -> Result<Option<RangeRequest>, u16> {
        let mut headers = HeaderMap::new();
        headers.insert(name, HeaderValue::from_str(value).unwrap());
        requested(&headers, Some(100)).map_err(|error| error.status.as_u16())
    }

    fn from(first: u64, last: Option<u64>) -> Result<Option<RangeRequest>, u16> {
        Ok(Some(RangeRequest::From { first, last }))
    }

    #[test]
    fn a_single_range_is_understood() {
        assert_eq!(of(RANGE, "bytes=0-9"), from(0, Some(9)));
        assert_eq!(of(RANGE, "Bytes = 5 -"), from(5, None));
        assert_eq!(of(RANGE, "bytes=-7"), Ok(Some(RangeRequest::Suffix(7))));
        assert_eq!(of(RANGE, "bytes=-0"), from(0, None));
        assert_eq!(
            of(RANGE, "bytes=0-99999999999999999999999"),
            from(0, Some(u64::MAX))
        );
    }

    #[test]
    fn what_is_no_range_is_416_and_several_are_400() {
        for bad in [
            "bytes=",
            "bytes=-",
            "bytes=a-b",
            "bytes=5-4",
            "items=0-1",
            "0-1",
            "bytes=1",
            "bytes=+1-2",
        ] {
            assert_eq!(of(RANGE, bad), Err(416), "{bad}");
        }
        assert_eq!(of(RANGE, "bytes=0-1,3-4"), Err(400));
    }

    #[test]
    fn a_content_range_is_taken_for_a_range() {
        assert_eq!(of(CONTENT_RANGE, "bytes 1-4/*"), from(1, Some(4)));
        assert_eq!(of(CONTENT_RANGE, "bytes 1-4/100"), from(1, Some(4)));
        for bad in [
            "bytes 1-100/*",
            "bytes 100-101/*",
            "bytes */100",
            "bytes 4-1/*",
            "bytes 1-4/4",
            "1-4/*",
        ] {
            assert_eq!(of(CONTENT_RANGE, bad), Err(416), "{bad}");
        }
    }

    #[test]
    fn range_goes_before_content_range() {
        let mut headers = HeaderMap::new();
        headers.insert(RANGE, HeaderValue::from_static("bytes=0-1"));
        headers.insert(CONTENT_RANGE, HeaderValue::from_static("nonsense"));
        assert!(requested(&headers, Some(100)).is_ok());
    }

    proptest! {
        #[test]
        fn no_header_panics(text in "(bytes[= ])?[-0-9*/ ,a]{0,30}") {
            let _ = range_of(&text);
            let _ = content_range_of(&text);
        }
    }
}
