//! `/v2/images/{id}/locations`: giving an image data that is there already, and where its data is.

use axum::{
    Extension, Json, Router,
    extract::State as Shared,
    response::{IntoResponse, Response},
    routing::get,
};
use http::StatusCode;

use super::{
    State, body::JsonBody, error::ApiError, images::LocationsView, path::Segments, resource::resource,
};
use crate::{catalog::GivenData, identity::Caller, transfer::Adoption};

pub(super) fn routes() -> Router<State> {
    Router::new().route(
        "/v2/images/{image_id}/locations",
        resource("GET, POST", get(fetch).post(add)),
    )
}

/// Whether the data is what the client says is found out after the answer: the image's status tells.
async fn add(
    Shared(state): Shared<State>,
    Extension(caller): Extension<Caller>,
    Segments(id): Segments<String>,
    JsonBody(body): JsonBody,
) -> Result<StatusCode, ApiError> {
    let data = GivenData::parse(body)?;
    let (permission, image, location, size) = state.catalog.authorize_adoption(&caller, &id, &data).await?;
    let adoption = Adoption {
        location,
        size,
        hash: data.hash,
    };
    state.transfers.adopt(permission, &image, adoption).await?;
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
