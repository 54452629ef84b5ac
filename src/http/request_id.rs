//! Names of requests: `req-` and whatever follows.

use http::{HeaderMap, HeaderName, StatusCode};

use super::error::ApiError;

/// Carries the id, in both directions.
pub(super) const HEADER: HeaderName = HeaderName::from_static("x-openstack-request-id");
const PREFIX: &str = "req-";

/// The name of one request, in all logs of all services that it passes through.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RequestId(String);

impl RequestId {
    /// Nobody gains anything by guessing it, so that the kernel need not be asked for its random bytes.
    pub(super) fn random() -> Self {
        let id = uuid::Builder::from_random_bytes(fastrand::u128(..).to_be_bytes()).into_uuid();
        Self(format!("{PREFIX}{}", id.as_hyphenated()))
    }

    /// The id that an authenticated client gives its request; `None` when it gives none that could be printed.
    ///
    /// # Errors
    /// 431 when it is longer than `max` bytes, unless that is 0. (Glance means to answer so, and answers 500.)
    pub(super) fn of(headers: &HeaderMap, max: usize) -> Result<Option<Self>, ApiError> {
        let Some(id) = headers.get(&HEADER) else {
            return Ok(None);
        };
        if max > 0 && id.len() > max {
            return Err(ApiError::new(
                StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
                format!("x-openstack-request-id is too long, max size {max}"),
            ));
        }
        let printable = id
            .to_str()
            .ok()
            .filter(|id| !id.is_empty() && id.bytes().all(|byte| byte.is_ascii_graphic()));
        Ok(printable.map(|id| {
            if id.starts_with(PREFIX) {
                Self(id.to_owned())
            } else {
                Self(format!("{PREFIX}{id}"))
            }
        }))
    }

    /// The id with its prefix.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn of(value: &str, max: usize) -> Result<Option<RequestId>, StatusCode> {
        let mut headers = HeaderMap::new();
        headers.insert(HEADER, HeaderValue::from_str(value).unwrap());
        RequestId::of(&headers, max).map_err(|error| error.status)
    }

    #[test]
    fn an_id_of_the_client_is_taken_and_prefixed_once() {
        assert_eq!(of("req-1", 64).unwrap().unwrap().as_str(), "req-1");
        assert_eq!(of("mine", 64).unwrap().unwrap().as_str(), "req-mine");
    }

    #[test]
    fn an_id_that_is_too_long_is_refused() {
        assert!(of(&"x".repeat(64), 64).is_ok());
        assert_eq!(
            of(&"x".repeat(65), 64),
            Err(StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE)
        );
        assert!(of(&"x".repeat(65), 0).unwrap().is_some());
    }

    #[test]
    fn an_id_that_would_disturb_the_log_is_replaced() {
        assert_eq!(of("a b", 64), Ok(None));
        assert_eq!(of("", 64), Ok(None));
    }
}
