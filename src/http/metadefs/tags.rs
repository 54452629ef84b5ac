//! `/v2/metadefs/namespaces/{namespace}/tags` and what is below.

use axum::{
    Extension, Json, Router,
    extract::{RawQuery, State as Shared},
    response::{IntoResponse, Response},
    routing::get,
};
use http::{HeaderMap, StatusCode};

use super::{
    encode::{TagView, TagsView},
    query,
};
use crate::{
    definitions::TagMode,
    http::{
        State,
        body::{JsonBody, NoBody},
        error::ApiError,
        path::Segments,
        query::QueryPairs,
        resource::resource,
    },
    identity::Caller,
    metadefs::{parse_tag, parse_tags},
};

const APPEND: &str = "x-openstack-append";

pub(super) fn routes() -> Router<State> {
    Router::new()
        .route(
            "/v2/metadefs/namespaces/{namespace}/tags",
            resource(
                "GET, POST, DELETE",
                get(list).post(create_many).delete(delete_all),
            ),
        )
        .route(
            "/v2/metadefs/namespaces/{namespace}/tags/{tag}",
            resource(
                "GET, POST, PUT, DELETE",
                get(show).post(create).put(update).delete(delete),
            ),
        )
}

async fn list(
    Shared(state): Shared<State>,
    Extension(caller): Extension<Caller>,
    Segments(namespace): Segments<String>,
    RawQuery(query): RawQuery,
) -> Result<Response, ApiError> {
    let query = QueryPairs::parse(query.as_deref())?;
    let page = query::tags(&query)?;
    let definitions = &state.definitions;
    let names = definitions
        .tags(&caller, &namespace, page.order, page.marker, page.limit)
        .await?;
    Ok(Json(TagsView::new(&names)).into_response())
}

async fn create_many(
    Shared(state): Shared<State>,
    Extension(caller): Extension<Caller>,
    Segments(namespace): Segments<String>,
    headers: HeaderMap,
    JsonBody(body, _held): JsonBody,
) -> Result<Response, ApiError> {
    let names = parse_tags(body)?;
    let definitions = &state.definitions;
    definitions
        .create_tags(&caller, &namespace, &names, mode(&headers))
        .await?;
    Ok((StatusCode::CREATED, Json(TagsView::new(&names))).into_response())
}

/// What oslo.utils takes for true (`strutils.bool_from_string`) appends.
fn mode(headers: &HeaderMap) -> TagMode {
    let text = headers.get(APPEND).and_then(|value| value.to_str().ok());
    let text = text.unwrap_or_default().trim().to_ascii_lowercase();
    match text.as_str() {
        "1" | "t" | "true" | "on" | "y" | "yes" => TagMode::Append,
        _ => TagMode::Replace,
    }
}

async fn show(
    Shared(state): Shared<State>,
    Extension(caller): Extension<Caller>,
    Segments((namespace, name)): Segments<(String, String)>,
    _: NoBody,
) -> Result<Response, ApiError> {
    let tag = state.definitions.tag(&caller, &namespace, &name).await?;
    Ok(Json(TagView::new(&tag)).into_response())
}

async fn create(
    Shared(state): Shared<State>,
    Extension(caller): Extension<Caller>,
    Segments((namespace, name)): Segments<(String, String)>,
    _: NoBody,
) -> Result<Response, ApiError> {
    let tag = state.definitions.create_tag(&caller, &namespace, &name).await?;
    Ok((StatusCode::CREATED, Json(TagView::new(&tag))).into_response())
}

async fn update(
    Shared(state): Shared<State>,
    Extension(caller): Extension<Caller>,
    Segments((namespace, name)): Segments<(String, String)>,
    JsonBody(body, _held): JsonBody,
) -> Result<Response, ApiError> {
    let new_name = parse_tag(body)?;
    let definitions = &state.definitions;
    let tag = definitions
        .rename_tag(&caller, &namespace, &name, &new_name)
        .await?;
    Ok(Json(TagView::new(&tag)).into_response())
}

async fn delete(
    Shared(state): Shared<State>,
    Extension(caller): Extension<Caller>,
    Segments((namespace, name)): Segments<(String, String)>,
    _: NoBody,
) -> Result<StatusCode, ApiError> {
    state.definitions.delete_tag(&caller, &namespace, &name).await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn delete_all(
    Shared(state): Shared<State>,
    Extension(caller): Extension<Caller>,
    Segments(namespace): Segments<String>,
    _: NoBody,
) -> Result<StatusCode, ApiError> {
    state.definitions.delete_tags(&caller, &namespace).await?;
    Ok(StatusCode::NO_CONTENT)
}
