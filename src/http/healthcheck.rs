//! `/healthcheck`: whether a load balancer may send requests here (oslo.middleware, `disable_by_file`).

use axum::{
    extract::State as Shared,
    response::{IntoResponse, Response},
};
use http::{HeaderMap, Method, StatusCode, header::CONTENT_TYPE};
use serde_json::json;

use super::{State, accept::Accept};

/// Whatever is below is the same.
pub(super) const PATHS: [&str; 3] = ["/healthcheck", "/healthcheck/", "/healthcheck/{*rest}"];

pub(super) async fn answer(Shared(state): Shared<State>, method: Method, headers: HeaderMap) -> Response {
    let disabled = match &state.settings.disable_file {
        Some(file) => tokio::fs::try_exists(file).await.unwrap_or(false),
        None => false,
    };
    let (status, reason) = if disabled {
        (StatusCode::SERVICE_UNAVAILABLE, "DISABLED BY FILE")
    } else if state.draining.is_draining() {
        (StatusCode::SERVICE_UNAVAILABLE, "DRAINING")
    } else if method == Method::HEAD {
        return StatusCode::NO_CONTENT.into_response();
    } else {
        (StatusCode::OK, "OK")
    };
    if wants_json(&headers) {
        let body = json!({ "detailed": false, "reasons": [reason] });
        return (status, axum::Json(body)).into_response();
    }
    (status, [(CONTENT_TYPE, "text/plain; charset=UTF-8")], reason).into_response()
}

/// Text is what load balancers look for, and comes first.
fn wants_json(headers: &HeaderMap) -> bool {
    Accept::of(headers).is_some_and(|accept| {
        let json = accept.quality("application/json");
        json > accept.quality("text/plain") && json > accept.quality("text/html")
    })
}
