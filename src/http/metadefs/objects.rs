//! `/v2/metadefs/namespaces/{namespace}/objects` and what is below.

use axum::{
    Extension, Json, Router,
    extract::{RawQuery, State as Shared},
    response::{IntoResponse, Response},
    routing::get,
};
use http::StatusCode;

use super::{
    encode::{ObjectView, ObjectsView},
    query,
};
use crate::{
    http::{
        State,
        body::{JsonBody, NoBody},
        error::ApiError,
        path::Segments,
        query::QueryPairs,
        resource::resource,
    },
    identity::Caller,
    metadefs::ObjectDraft,
};

pub(super) fn routes() -> Router<State> {
    Router::new()
        .route(
            "/v2/metadefs/namespaces/{namespace}/objects",
            resource("GET, POST, DELETE", get(list).post(create).delete(delete_all)),
        )
        .route(
            "/v2/metadefs/namespaces/{namespace}/objects/{object}",
            resource("GET, PUT, DELETE", get(show).put(update).delete(delete)),
        )
}

async fn list(
    Shared(state): Shared<State>,
    Extension(caller): Extension<Caller>,
    Segments(namespace): Segments<String>,
    RawQuery(query): RawQuery,
) -> Result<Response, ApiError> {
    query::objects(&QueryPairs::parse(query.as_deref())?)?;
    let found = state.definitions.objects(&caller, &namespace).await?;
    Ok(Json(ObjectsView::new(&found)).into_response())
}

async fn create(
    Shared(state): Shared<State>,
    Extension(caller): Extension<Caller>,
    Segments(namespace): Segments<String>,
    JsonBody(body, _held): JsonBody,
) -> Result<Response, ApiError> {
    let draft = ObjectDraft::parse(body)?;
    let object = state
        .definitions
        .create_object(&caller, &namespace, &draft)
        .await?;
    let view = ObjectView::new(&namespace, &draft.name, &object);
    Ok((StatusCode::CREATED, Json(view)).into_response())
}

async fn show(
    Shared(state): Shared<State>,
    Extension(caller): Extension<Caller>,
    Segments((namespace, name)): Segments<(String, String)>,
    _: NoBody,
) -> Result<Response, ApiError> {
    let object = state.definitions.object(&caller, &namespace, &name).await?;
    Ok(Json(ObjectView::new(&namespace, &name, &object)).into_response())
}

async fn update(
    Shared(state): Shared<State>,
    Extension(caller): Extension<Caller>,
    Segments((namespace, name)): Segments<(String, String)>,
    JsonBody(body, _held): JsonBody,
) -> Result<Response, ApiError> {
    let draft = ObjectDraft::parse(body)?;
    let definitions = &state.definitions;
    let object = definitions
        .update_object(&caller, &namespace, &name, &draft)
        .await?;
    Ok(Json(ObjectView::new(&namespace, &draft.name, &object)).into_response())
}

async fn delete(
    Shared(state): Shared<State>,
    Extension(caller): Extension<Caller>,
    Segments((namespace, name)): Segments<(String, String)>,
    _: NoBody,
) -> Result<StatusCode, ApiError> {
    state
        .definitions
        .delete_object(&caller, &namespace, &name)
        .await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn delete_all(
    Shared(state): Shared<State>,
    Extension(caller): Extension<Caller>,
    Segments(namespace): Segments<String>,
    _: NoBody,
) -> Result<StatusCode, ApiError> {
    state.definitions.delete_objects(&caller, &namespace).await?;
    Ok(StatusCode::NO_CONTENT)
}
