//! Errors in Keystone's shape.

use axum::Json;
use axum::http::header::{RETRY_AFTER, VARY};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use serde_json::json;

use crate::identity::Unidentified;
use crate::identity::local::LoginError;

/// Why a request was not done.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// The body is no login.
    Malformed(String),
    /// The body is larger than any login.
    TooLarge,
    /// No token, a bad one, or a login that is not right.
    Unauthorized,
    /// The token does not allow it; names the action as Keystone's policy does.
    Forbidden(&'static str),
    /// There is no such thing.
    NotFound(&'static str),
    /// Nothing here is made or changed over HTTP.
    Method,
    /// Later, perhaps; says why.
    Unavailable(String),
}

impl From<Unidentified> for Fault {
    fn from(error: Unidentified) -> Self {
        match error {
            Unidentified::Missing | Unidentified::Invalid => Self::Unauthorized,
            Unidentified::Unavailable(why) => Self::Unavailable(why),
        }
    }
}

impl From<LoginError> for Fault {
    fn from(error: LoginError) -> Self {
        match error {
            LoginError::Refused => Self::Unauthorized,
            LoginError::Busy => Self::Unavailable(error.to_string()),
            LoginError::Unavailable(why) => Self::Unavailable(why),
        }
    }
}

impl IntoResponse for Fault {
    fn into_response(self) -> Response {
        let (status, message) = match self {
            Self::Malformed(what) => (StatusCode::BAD_REQUEST, what),
            Self::TooLarge => (StatusCode::PAYLOAD_TOO_LARGE, "Request is too large.".to_owned()),
            Self::Unauthorized => {
                (StatusCode::UNAUTHORIZED, "The request you have made requires authentication.".to_owned())
            }
            Self::Forbidden(action) => (
                StatusCode::FORBIDDEN,
                format!("You are not authorized to perform the requested action: {action}."),
            ),
            Self::NotFound(what) => (StatusCode::NOT_FOUND, what.to_owned()),
            Self::Method => (
                StatusCode::METHOD_NOT_ALLOWED,
                "Users and projects of the local identity are made and changed with the commands `saccade user` and \
                 `saccade project`."
                    .to_owned(),
            ),
            Self::Unavailable(why) => {
                tracing::warn!(why, "the local identity does not answer");
                (StatusCode::SERVICE_UNAVAILABLE, "The identity service cannot answer now: try again.".to_owned())
            }
        };
        let title = status.canonical_reason().unwrap_or_default();
        let body = json!({"error": {"code": status.as_u16(), "message": message, "title": title}});
        let mut response = (status, Json(body)).into_response();
        response
            .headers_mut()
            .insert(VARY, HeaderValue::from_static("X-Auth-Token"));
        if status == StatusCode::SERVICE_UNAVAILABLE {
            response
                .headers_mut()
                .insert(RETRY_AFTER, HeaderValue::from_static("1"));
        }
        response
    }
}
