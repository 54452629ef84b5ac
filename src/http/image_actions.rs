//! `/v2/images/{id}/actions/deactivate` and `…/reactivate`.

use axum::{Extension, Router, extract::State as Shared, routing::post};
use http::StatusCode;

use super::{State, body::NoBody, error::ApiError, path::Segments, resource::resource};
use crate::identity::Caller;

pub(super) fn routes() -> Router<State> {
    Router::new()
        .route(
            "/v2/images/{image_id}/actions/deactivate",
            resource("POST", post(deactivate)),
        )
        .route(
            "/v2/images/{image_id}/actions/reactivate",
            resource("POST", post(reactivate)),
        )
}

async fn deactivate(
    Shared(state): Shared<State>,
    Extension(caller): Extension<Caller>,
    Segments(id): Segments<String>,
    _: NoBody,
) -> Result<StatusCode, ApiError> {
    state.catalog.deactivate(&caller, &id).await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn reactivate(
    Shared(state): Shared<State>,
    Extension(caller): Extension<Caller>,
    Segments(id): Segments<String>,
    _: NoBody,
) -> Result<StatusCode, ApiError> {
    state.catalog.reactivate(&caller, &id).await?;
    Ok(StatusCode::NO_CONTENT)
}
