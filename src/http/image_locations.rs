//! `/v2/images/{id}/locations`: giving an image data that is there already, and where its data is.

use axum::{
    Extension, Json, Router,
    extract::State as Shared,
    response::{IntoResponse, Response},
    routing::get,
};
use http::StatusCode;

use super::{
    RequestId, State, at_stores::AtStores, body::JsonBody, error::ApiError, images::LocationsView,
    path::Segments, resource::resource,
};
use crate::{catalog::GivenData, identity::Caller};

pub(super) fn routes() -> Router<State> {
    Router::new().route(
        "/v2/images/{image_id}/locations",
        resource("GET, POST", get(fetch).post(add)),
    )
}

/// Whether the data is what the client says is found out after the answer: the image's status tells, and its task.
async fn add(
    AtStores(state): AtStores,
    Extension(caller): Extension<Caller>,
    Extension(request_id): Extension<RequestId>,
    Segments(id): Segments<String>,
    JsonBody(body, _held): JsonBody,
) -> Result<StatusCode, ApiError> {
    let data = GivenData::parse(body)?;
    let imports = &state.imports;
    imports
        .add_location(&caller, &id, data, request_id.as_str())
        .await?;
    Ok(StatusCode::ACCEPTED)
}

async fn fetch(
    Shared(state): Shared<State>,
    Extension(caller): Extension<Caller>,
    Segments(id): Segments<String>,
) -> Result<Response, ApiError> {
    let locations = state.catalog.fetch_locations(&caller, &id).await?;
    Ok(Json(LocationsView::new(&locations, &state.settings)).into_response())
}
