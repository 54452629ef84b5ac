//! `/v2/metadefs/resource_types` and `/v2/metadefs/namespaces/{namespace}/resource_types`.

use axum::{
    Extension, Json, Router,
    extract::State as Shared,
    response::{IntoResponse, Response},
    routing::{delete, get},
};
use http::StatusCode;

use super::encode::{AssociationView, AssociationsView, ResourceTypesView};
use crate::{
    http::{
        State,
        body::{JsonBody, NoBody},
        error::ApiError,
        path::Segments,
        resource::resource,
    },
    identity::Caller,
    metadefs::AssociationDraft,
};

pub(super) fn routes() -> Router<State> {
    Router::new()
        .route("/v2/metadefs/resource_types", resource("GET", get(list)))
        .route(
            "/v2/metadefs/namespaces/{namespace}/resource_types",
            resource("GET, POST", get(show).post(create)),
        )
        .route(
            "/v2/metadefs/namespaces/{namespace}/resource_types/{resource_type}",
            resource("DELETE", delete(remove)),
        )
}

async fn list(
    Shared(state): Shared<State>,
    Extension(caller): Extension<Caller>,
    _: NoBody,
) -> Result<Response, ApiError> {
    let types = state.definitions.resource_types(&caller).await?;
    Ok(Json(ResourceTypesView::new(&types)).into_response())
}

async fn show(
    Shared(state): Shared<State>,
    Extension(caller): Extension<Caller>,
    Segments(namespace): Segments<String>,
    _: NoBody,
) -> Result<Response, ApiError> {
    let associations = state.definitions.associations(&caller, &namespace).await?;
    Ok(Json(AssociationsView::new(&associations)).into_response())
}

async fn create(
    Shared(state): Shared<State>,
    Extension(caller): Extension<Caller>,
    Segments(namespace): Segments<String>,
    JsonBody(body, _held): JsonBody,
) -> Result<Response, ApiError> {
    let draft = AssociationDraft::parse(body)?;
    let association = state.definitions.associate(&caller, &namespace, &draft).await?;
    Ok((StatusCode::CREATED, Json(AssociationView::new(&association))).into_response())
}

async fn remove(
    Shared(state): Shared<State>,
    Extension(caller): Extension<Caller>,
    Segments((namespace, resource_type)): Segments<(String, String)>,
    _: NoBody,
) -> Result<StatusCode, ApiError> {
    let definitions = &state.definitions;
    definitions
        .dissociate(&caller, &namespace, &resource_type)
        .await?;
    Ok(StatusCode::NO_CONTENT)
}
