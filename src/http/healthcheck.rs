//! `/healthcheck`: whether a load balancer may send requests here (oslo.middleware, `disable_by_file`).

use axum::{
    extract::State as Shared,
    response::{IntoResponse, Response},
};
use http::{Method, StatusCode};

use super::State;

pub(super) const PATH: &str = "/healthcheck";

pub(super) async fn answer(Shared(state): Shared<State>, method: Method) -> Response {
    let disabled = match &state.settings.disable_file {
        Some(file) => tokio::fs::try_exists(file).await.unwrap_or(false),
        None => false,
    };
    let (status, text) = if disabled {
        (StatusCode::SERVICE_UNAVAILABLE, "DISABLED BY FILE")
    } else if state.draining.is_draining() {
        (StatusCode::SERVICE_UNAVAILABLE, "DRAINING")
    } else if method == Method::HEAD {
        return StatusCode::NO_CONTENT.into_response();
    } else {
        (StatusCode::OK, "OK")
    };
    (status, text).into_response()
}
