//! What pages of other origins may do (oslo.middleware 8, `cors.py`, as it stands in front of Glance).
//!
//! tower-http's layer answers otherwise: Glance names in a preflight what was asked for instead of all that is allowed,
//! says nothing at all when any of it is not allowed, and answers *every* OPTIONS with 200.

use std::sync::Arc;

use axum::{
    body::Body,
    extract::{Request, State as Shared},
    middleware::Next,
    response::Response,
};
use http::{
    HeaderMap, Method,
    header::{
        ACCESS_CONTROL_ALLOW_CREDENTIALS, ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS,
        ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE,
        ACCESS_CONTROL_REQUEST_HEADERS, ACCESS_CONTROL_REQUEST_METHOD, HeaderName, HeaderValue, ORIGIN, VARY,
    },
};

use crate::http::Settings;

/// Request headers that need no permission.
const SIMPLE_HEADERS: [&str; 8] = [
    "Accept",
    "Accept-Language",
    "Content-Type",
    "Cache-Control",
    "Content-Language",
    "Expires",
    "Last-Modified",
    "Pragma",
];
const ANY: HeaderValue = HeaderValue::from_static("*");

/// Answers preflight requests, and lets the pages of allowed origins read what is answered to the others. Has to be
/// outside of identity: a preflight has no token.
pub(in crate::http) async fn cors(
    Shared(settings): Shared<Arc<Settings>>,
    request: Request,
    next: Next,
) -> Response {
    let preflight = request.method() == Method::OPTIONS;
    let asked = Asked::of(request.headers());
    let mut response = next.run(request).await;
    if preflight && !response.status().is_success() {
        // Nothing of the API has OPTIONS; why it is refused is no answer to a browser, which has not asked yet.
        response = Response::new(Body::empty());
    }
    let answer = asked.origin.as_ref().and_then(|origin| {
        let allowed = allowed_origin(origin, &settings)?;
        if preflight {
            answer_preflight(allowed, &asked, &settings)
        } else {
            Some(answer_request(allowed, response.headers(), &settings))
        }
    });
    for (name, value) in answer.into_iter().flatten() {
        response.headers_mut().insert(name, value);
    }
    response
}

/// What a browser asks on behalf of a page.
struct Asked {
    origin: Option<HeaderValue>,
    method: Option<HeaderValue>,
    headers: Option<HeaderValue>,
}

impl Asked {
    fn of(headers: &HeaderMap) -> Self {
        let header = |name: HeaderName| headers.get(name).cloned();
        Self {
            origin: header(ORIGIN),
            method: header(ACCESS_CONTROL_REQUEST_METHOD),
            headers: header(ACCESS_CONTROL_REQUEST_HEADERS),
        }
    }
}

type Answer = Vec<(HeaderName, HeaderValue)>;

/// How the origin is named in the answer, if it is allowed.
fn allowed_origin(origin: &HeaderValue, settings: &Settings) -> Option<HeaderValue> {
    let allowed = |wanted: &HeaderValue| {
        (settings.cors.allowed_origins.iter()).any(|allowed| allowed.as_bytes() == wanted.as_bytes())
    };
    if allowed(origin) {
        Some(origin.clone())
    } else {
        allowed(&ANY).then_some(ANY)
    }
}

/// Nothing, when anything that is asked for is not allowed.
fn answer_preflight(origin: HeaderValue, asked: &Asked, settings: &Settings) -> Option<Answer> {
    let cors = &settings.cors;
    let method = asked.method.clone()?;
    let permitted = |name: &str| {
        let allowed = cors.allow_headers.iter().map(String::as_str);
        let mut permitted = allowed.chain(SIMPLE_HEADERS);
        permitted.any(|permitted| permitted.eq_ignore_ascii_case(name))
    };
    if !(cors.allow_methods.iter()).any(|allowed| allowed.as_bytes() == method.as_bytes()) {
        return None;
    }
    let names = match &asked.headers {
        Some(names) => names.to_str().ok()?,
        None => "",
    };
    let names: Vec<&str> = (names.split(','))
        .map(str::trim)
        .filter(|name| !name.is_empty())
        .collect();
    if !names.iter().all(|name| permitted(name)) {
        return None;
    }
    let mut answer = vec![
        (VARY, HeaderValue::from_static("Origin")),
        (ACCESS_CONTROL_ALLOW_ORIGIN, origin),
        (ACCESS_CONTROL_ALLOW_METHODS, method),
    ];
    answer.extend(credentials(settings));
    if cors.max_age != 0 {
        answer.push((ACCESS_CONTROL_MAX_AGE, cors.max_age.into()));
    }
    if !names.is_empty() {
        answer.push((
            ACCESS_CONTROL_ALLOW_HEADERS,
            HeaderValue::from_str(&names.join(",")).ok()?,
        ));
    }
    Some(answer)
}

fn answer_request(origin: HeaderValue, headers: &HeaderMap, settings: &Settings) -> Answer {
    let vary = match headers.get(VARY).and_then(|vary| vary.to_str().ok()) {
        Some(vary) => HeaderValue::from_str(&format!("{vary},Origin")),
        None => Ok(HeaderValue::from_static("Origin")),
    };
    let mut answer = vec![(ACCESS_CONTROL_ALLOW_ORIGIN, origin)];
    answer.extend(vary.map(|vary| (VARY, vary)));
    answer.extend(credentials(settings));
    let exposed = settings.cors.expose_headers.join(",");
    if !exposed.is_empty()
        && let Ok(exposed) = HeaderValue::from_str(&exposed)
    {
        answer.push((ACCESS_CONTROL_EXPOSE_HEADERS, exposed));
    }
    answer
}

fn credentials(settings: &Settings) -> Option<(HeaderName, HeaderValue)> {
    let allowed = settings.cors.allow_credentials;
    allowed.then_some((ACCESS_CONTROL_ALLOW_CREDENTIALS, HeaderValue::from_static("true")))
}
