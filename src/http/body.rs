//! Bodies of requests: JSON, and none.

use std::time::Duration;

use axum::{
    body::Body,
    extract::{FromRequest, FromRequestParts, Request},
};
use bytes::BytesMut;
use http::{
    HeaderMap, HeaderValue, Method, StatusCode,
    header::{CONTENT_LENGTH, CONTENT_TYPE, RETRY_AFTER, TRANSFER_ENCODING},
    request::Parts,
};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use serde_json::Value;
use tokio::{
    sync::{Semaphore, SemaphorePermit},
    time::timeout,
};

use super::error::ApiError;

/// The longest JSON body, in bytes: all properties that an image may have by default, each as long as Glance's column.
const MAX_JSON: usize = 10 * 1024 * 1024;
/// Bodies up to this length are only bounded by the number of connections, in bytes. Nearly all are shorter.
const USUAL: usize = 64 * 1024;
/// What is longer shares memory with all others that are, while it is read and parsed: so much, in units of [`USUAL`].
const LARGE_UNITS: usize = 1024;
static LARGE: Semaphore = Semaphore::const_new(LARGE_UNITS);
/// How long a JSON body may take.
const MAX_WAIT: Duration = Duration::from_secs(60);

/// What a value of JSON takes in memory, at most, for each sign that separates it from others: the least room of an array.
const PER_VALUE: usize = 4 * size_of::<Value>();
/// The same for an object: the least room that it keeps for its members.
const PER_OBJECT: usize = 12 * (size_of::<String>() + size_of::<Value>());

/// An object or array of JSON. Its `Content-Type` does not matter, as in Glance.
pub(super) struct JsonBody(pub(super) Value, pub(super) SetAside);

/// What is set aside for a large body: keep it for as long as the body, or what was made of it, is there.
#[derive(Debug)]
#[must_use = "the memory of the body is free to others when this is dropped"]
pub(super) struct SetAside {
    _permit: Option<SemaphorePermit<'static>>,
}

impl<S: Send + Sync> FromRequest<S> for JsonBody {
    type Rejection = ApiError;

    async fn from_request(request: Request, _: &S) -> Result<Self, ApiError> {
        if !has_body(request.method(), request.headers()) {
            return Err(ApiError::bad_request("Body expected in request."));
        }
        let (bytes, mut set_aside) = read(request.into_body(), &LARGE).await?;
        let needed = bytes.len().saturating_add(parsed(&bytes)).div_ceil(USUAL);
        if bytes.len() > USUAL {
            // One that is larger than all there is, once it is parsed, is parsed alone.
            set_aside_all(&mut set_aside, needed.min(LARGE_UNITS), &LARGE)?;
        }
        match serde_json::from_slice(&bytes) {
            Ok(value @ (Value::Object(_) | Value::Array(_))) => {
                Ok(Self(value, SetAside { _permit: set_aside }))
            }
            Ok(_) => Err(ApiError::bad_request("Unexpected body type. Expected list/dict.")),
            Err(_) if std::str::from_utf8(&bytes).is_err() => Err(ApiError::undecodable()),
            Err(_) => Err(ApiError::bad_request("Malformed JSON in request body.")),
        }
    }
}

async fn read(body: Body, memory: &Semaphore) -> Result<(BytesMut, Option<SemaphorePermit<'_>>), ApiError> {
    let read = timeout(MAX_WAIT, collect(Limited::new(body, MAX_JSON), memory)).await;
    read.map_err(|_| {
        ApiError::new(
            StatusCode::REQUEST_TIMEOUT,
            "The request's body did not come in time.",
        )
    })?
}

/// The whole body, with what it takes of the memory of large ones. A body for which there is none left is refused at once, so that
/// nobody holds some and waits for more.
async fn collect(
    mut body: Limited<Body>,
    memory: &Semaphore,
) -> Result<(BytesMut, Option<SemaphorePermit<'_>>), ApiError> {
    let mut bytes = BytesMut::new();
    let mut set_aside: Option<SemaphorePermit<'_>> = None;
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| match error.is::<LengthLimitError>() {
            true => ApiError::new(
                StatusCode::PAYLOAD_TOO_LARGE,
                format!("The request's JSON is longer than {MAX_JSON} bytes."),
            ),
            false => ApiError::bad_request("The request broke off within its body."),
        })?;
        let Ok(data) = frame.into_data() else { continue };
        let length = bytes.len().saturating_add(data.len());
        set_aside_all(&mut set_aside, length.div_ceil(USUAL).saturating_sub(1), memory)?;
        bytes.extend_from_slice(&data);
    }
    Ok((bytes, set_aside))
}

/// Adds to what is set aside what it has less than so many units.
fn set_aside_all<'m>(
    set_aside: &mut Option<SemaphorePermit<'m>>,
    units: usize,
    memory: &'m Semaphore,
) -> Result<(), ApiError> {
    let wants = units.saturating_sub(set_aside.as_ref().map_or(0, SemaphorePermit::num_permits));
    if wants == 0 {
        return Ok(());
    }
    let more = memory.try_acquire_many(u32::try_from(wants).unwrap_or(u32::MAX));
    let more = more.map_err(|_| {
        let explanation = "The server is reading as many large requests as it may. Nothing was changed; try again in \
                           a moment.";
        ApiError::new(StatusCode::SERVICE_UNAVAILABLE, explanation)
            .header(RETRY_AFTER, HeaderValue::from_static("1"))
    })?;
    match set_aside {
        Some(all) => all.merge(more),
        None => *set_aside = Some(more),
    }
    Ok(())
}

/// What the values of this text take beside its strings, at most: each but the first stands behind one of these signs.
fn parsed(text: &[u8]) -> usize {
    let (mut taken, mut in_string, mut is_escaped) = (0_usize, false, false);
    for sign in text {
        match sign {
            _ if is_escaped => is_escaped = false,
            b'\\' if in_string => is_escaped = true,
            b'"' => in_string = !in_string,
            _ if in_string => (),
            b',' | b':' | b'[' => taken = taken.saturating_add(PER_VALUE),
            b'{' => taken = taken.saturating_add(PER_OBJECT),
            _ => (),
        }
    }
    taken
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

#[cfg(test)]
mod tests {
    use futures_util::stream;

    use super::*;
    use bytes::Bytes;

    /// A body of so many bytes in frames of 1000.
    fn body(length: usize) -> Body {
        let frames = (0..length.div_ceil(1000)).map(move |at| {
            let frame = vec![b' '; (length - at * 1000).min(1000)];
            Ok::<_, std::io::Error>(Bytes::from(frame))
        });
        Body::from_stream(stream::iter(frames.collect::<Vec<_>>()))
    }

    #[tokio::test]
    async fn large_bodies_together_take_no_more_than_there_is_for_them() {
        let memory = Semaphore::new(3);
        let (first, held) = read(body(3 * USUAL), &memory).await.unwrap();
        assert_eq!((first.len(), memory.available_permits()), (3 * USUAL, 1));
        let refused = read(body(3 * USUAL), &memory).await.unwrap_err();
        assert_eq!(refused.status, StatusCode::SERVICE_UNAVAILABLE);
        // The one that was refused keeps nothing, and the usual ones go on.
        assert_eq!(memory.available_permits(), 1);
        let (usual, nothing) = read(body(USUAL), &memory).await.unwrap();
        assert!(usual.len() == USUAL && nothing.is_none());
        drop(held);
        read(body(4 * USUAL), &memory).await.unwrap();
        assert_eq!(memory.available_permits(), 3);
    }

    #[tokio::test]
    async fn a_body_beyond_the_longest_is_too_large() {
        let memory = Semaphore::new(LARGE_UNITS);
        let refused = read(body(MAX_JSON + 1), &memory).await.unwrap_err();
        assert_eq!(refused.status, StatusCode::PAYLOAD_TOO_LARGE);
        assert_eq!(memory.available_permits(), LARGE_UNITS);
    }

    #[test]
    fn values_never_take_more_than_is_set_aside_for_them() {
        let dense = format!("[{}1]", "1,".repeat(10_000));
        let nested = format!("[{}[]]", "[[]],".repeat(10_000));
        for text in [dense, nested] {
            let Ok(Value::Array(values)) = serde_json::from_str(&text) else {
                panic!("it is an array");
            };
            let inner: usize = values.iter().filter_map(Value::as_array).map(Vec::capacity).sum();
            let taken = (values.capacity() + inner) * size_of::<Value>();
            assert!(taken <= parsed(text.as_bytes()), "{taken}");
        }
    }

    #[test]
    fn signs_within_strings_are_no_values() {
        assert_eq!(parsed(br#"["{,:[\"[{,\\", 1]"#), 2 * PER_VALUE);
        assert_eq!(parsed(br#"{"a\\": {}}"#), PER_VALUE + 2 * PER_OBJECT);
    }

    #[tokio::test]
    async fn what_a_large_body_takes_is_held_as_long_as_the_body() {
        let dense = format!("[{}1]", "1,".repeat(USUAL));
        let length = dense.len();
        let request = Request::post("/").header(CONTENT_LENGTH, length);
        let request = request.body(Body::from(dense)).unwrap();
        let JsonBody(_, held) = JsonBody::from_request(request, &()).await.unwrap();
        let units = held._permit.as_ref().map_or(0, SemaphorePermit::num_permits);
        assert!(units * USUAL >= length + USUAL * size_of::<Value>(), "{units}");
    }
}
