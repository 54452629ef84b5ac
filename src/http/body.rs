//! Bodies of requests: JSON, and none.

use std::time::Duration;

use axum::{
    body::Body,
    extract::{FromRequest, FromRequestParts, Request},
};
use bytes::Bytes;
use http::{
    HeaderMap, Method, StatusCode,
    header::{CONTENT_LENGTH, CONTENT_TYPE, TRANSFER_ENCODING},
    request::Parts,
};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use serde_json::Value;
use tokio::time::timeout;

use super::error::ApiError;

/// The longest JSON body, in bytes: all properties that an image may have by default, each as long as Glance's column.
const MAX_JSON: usize = 10 * 1024 * 1024;
/// How long a JSON body may take.
const MAX_WAIT: Duration = Duration::from_secs(60);

/// An object or array of JSON. Its `Content-Type` does not matter, as in Glance.
pub(super) struct JsonBody(pub(super) Value);

impl<S: Send + Sync> FromRequest<S> for JsonBody {
    type Rejection = ApiError;

    async fn from_request(request: Request, _: &S) -> Result<Self, ApiError> {
        if !has_body(request.method(), request.headers()) {
            return Err(ApiError::bad_request("Body expected in request."));
        }
        let bytes = read(request.into_body()).await?;
        match serde_json::from_slice(&bytes) {
            Ok(value @ (Value::Object(_) | Value::Array(_))) => Ok(Self(value)),
            Ok(_) => Err(ApiError::bad_request("Unexpected body type. Expected list/dict.")),
            Err(_) if std::str::from_utf8(&bytes).is_err() => Err(ApiError::undecodable()),
            Err(_) => Err(ApiError::bad_request("Malformed JSON in request body.")),
        }
    }
}

async fn read(body: Body) -> Result<Bytes, ApiError> {
    let collected = timeout(MAX_WAIT, Limited::new(body, MAX_JSON).collect()).await;
    let collected = collected.map_err(|_| {
        ApiError::new(
            StatusCode::REQUEST_TIMEOUT,
            "The request's body did not come in time.",
        )
    })?;
    match collected {
        Ok(collected) => Ok(collected.to_bytes()),
        Err(error) if error.is::<LengthLimitError>() => Err(ApiError::new(
            StatusCode::PAYLOAD_TOO_LARGE,
            format!("The request's JSON is longer than {MAX_JSON} bytes."),
        )),
        Err(_) => Err(ApiError::bad_request("The request broke off within its body.")),
    }
}

/// That the request has no body, where Glance refuses one.
pub(super) struct NoBody;

impl<S: Send + Sync> FromRequestParts<S> for NoBody {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ApiError> {
        if has_body(&parts.method, &parts.headers) {
            Err(ApiError::bad_request("A body is not expected with this request."))
        } else {
            Ok(Self)
        }
    }
}

/// Whether Glance takes the request to have a body (`common/wsgi.py`, `has_body`): by its headers alone, so that nothing
/// has been read when it is refused.
fn has_body(method: &Method, headers: &HeaderMap) -> bool {
    let chunked = headers.contains_key(TRANSFER_ENCODING)
        && matches!(*method, Method::POST | Method::PUT | Method::PATCH);
    chunked || content_length(headers).is_some_and(|length| length > 0)
}

/// The `Content-Length`; what it says has been checked by the connection.
pub(super) fn content_length(headers: &HeaderMap) -> Option<u64> {
    headers.get(CONTENT_LENGTH)?.to_str().ok()?.trim().parse().ok()
}

/// The media type of the body, without parameters, in lower case.
pub(super) fn media_type(headers: &HeaderMap) -> Option<String> {
    let value = headers.get(CONTENT_TYPE)?.to_str().ok()?;
    let media_type = value.split(';').next().unwrap_or_default().trim();
    Some(media_type.to_ascii_lowercase())
}
