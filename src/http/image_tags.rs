//! `/v2/images/{id}/tags/{tag}`.

use axum::{Extension, Router, extract::State as Shared, routing::put};
use http::StatusCode;

use super::{State, body::NoBody, error::ApiError, path::Segments, resource::resource};
use crate::identity::Caller;

pub(super) fn routes() -> Router<State> {
    Router::new().route(
        "/v2/images/{image_id}/tags/{tag}",
        resource("PUT, DELETE", put(add).delete(remove)),
    )
}

async fn add(
    Shared(state): Shared<State>,
    Extension(caller): Extension<Caller>,
    Segments((id, tag)): Segments<(String, String)>,
    _: NoBody,
) -> Result<StatusCode, ApiError> {
    state.catalog.add_tag(&caller, &id, &tag).await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn remove(
    Shared(state): Shared<State>,
    Extension(caller): Extension<Caller>,
    Segments((id, tag)): Segments<(String, String)>,
    _: NoBody,
) -> Result<StatusCode, ApiError> {
    state.catalog.remove_tag(&caller, &id, &tag).await?;
    Ok(StatusCode::NO_CONTENT)
}
