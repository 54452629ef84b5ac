//! `/v2/metadefs/namespaces` and `/v2/metadefs/namespaces/{namespace}`.

use axum::{
    Extension, Json, Router,
    extract::{RawQuery, State as Shared},
    response::{IntoResponse, Response},
    routing::get,
};
use http::{HeaderMap, HeaderValue, StatusCode, Uri, header::LOCATION};
use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};

use super::{
    encode::{NAMESPACES, NamespaceView, NamespacesView, namespace_href},
    query,
};
use crate::{
    http::{
        State,
        body::{JsonBody, NoBody},
        error::ApiError,
        origin::origin,
        path::Segments,
        query::QueryPairs,
        resource::resource,
    },
    identity::Caller,
    metadefs::NamespaceDraft,
};

/// What a path cannot hold as it is. Clients know names with colons as they are.
const ENCODED: &AsciiSet = &CONTROLS
    .add(b' ')
    .add(b'"')
    .add(b'#')
    .add(b'%')
    .add(b'<')
    .add(b'>')
    .add(b'?')
    .add(b'`')
    .add(b'{')
    .add(b'}');

pub(super) fn routes() -> Router<State> {
    Router::new()
        .route(NAMESPACES, resource("GET, POST", get(list).post(create)))
        .route(
            "/v2/metadefs/namespaces/{namespace}",
            resource("GET, PUT, DELETE", get(show).put(update).delete(delete)),
        )
}

async fn list(
    Shared(state): Shared<State>,
    Extension(caller): Extension<Caller>,
    RawQuery(query): RawQuery,
) -> Result<Response, ApiError> {
    let query = QueryPairs::parse(query.as_deref())?;
    let request = query::namespaces(&query)?;
    let found = state.definitions.list_namespaces(&caller, request).await?;
    let first = query.link(NAMESPACES, "marker", None);
    let next = found
        .next
        .as_deref()
        .map(|marker| query.link(NAMESPACES, "marker", Some(("marker", marker))));
    Ok(Json(NamespacesView::new(&found, first, next)).into_response())
}

async fn create(
    Shared(state): Shared<State>,
    Extension(caller): Extension<Caller>,
    uri: Uri,
    headers: HeaderMap,
    JsonBody(body, _held): JsonBody,
) -> Result<Response, ApiError> {
    let draft = NamespaceDraft::parse(body)?;
    let namespace = state.definitions.create_namespace(&caller, draft).await?;
    let mut response = (StatusCode::CREATED, Json(NamespaceView::whole(&namespace))).into_response();
    let origin = origin(&uri, &headers, &state.settings);
    let href = namespace_href(&namespace.head.name);
    let location = format!("{origin}{}", utf8_percent_encode(&href, ENCODED));
    if let Ok(location) = HeaderValue::from_str(&location) {
        response.headers_mut().insert(LOCATION, location);
    }
    Ok(response)
}

async fn show(
    Shared(state): Shared<State>,
    Extension(caller): Extension<Caller>,
    Segments(name): Segments<String>,
    RawQuery(query): RawQuery,
    _: NoBody,
) -> Result<Response, ApiError> {
    let query = QueryPairs::parse(query.as_deref())?;
    let mut namespace = state.definitions.namespace(&caller, &name).await?;
    if let Some(resource_type) = query::resource_type(&query) {
        namespace.name_for(resource_type);
    }
    Ok(Json(NamespaceView::whole(&namespace)).into_response())
}

async fn update(
    Shared(state): Shared<State>,
    Extension(caller): Extension<Caller>,
    Segments(name): Segments<String>,
    JsonBody(body, _held): JsonBody,
) -> Result<Response, ApiError> {
    let draft = NamespaceDraft::parse(body)?;
    let definitions = &state.definitions;
    let namespace = definitions.update_namespace(&caller, &name, &draft).await?;
    Ok(Json(NamespaceView::bare(&namespace.head)).into_response())
}

async fn delete(
    Shared(state): Shared<State>,
    Extension(caller): Extension<Caller>,
    Segments(name): Segments<String>,
    _: NoBody,
) -> Result<StatusCode, ApiError> {
    state.definitions.delete_namespace(&caller, &name).await?;
    Ok(StatusCode::NO_CONTENT)
}
