//! `/v2/metadefs/namespaces/{namespace}/properties` and what is below.

use axum::{
    Extension, Json, Router,
    extract::{RawQuery, State as Shared},
    response::{IntoResponse, Response},
    routing::get,
};
use http::StatusCode;

use super::{encode::PropertiesView, query};
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
    metadefs::{Property, parse_property},
};

pub(super) fn routes() -> Router<State> {
    Router::new()
        .route(
            "/v2/metadefs/namespaces/{namespace}/properties",
            resource("GET, POST, DELETE", get(list).post(create).delete(delete_all)),
        )
        .route(
            "/v2/metadefs/namespaces/{namespace}/properties/{property}",
            resource("GET, PUT, DELETE", get(show).put(update).delete(delete)),
        )
}

/// A property on its own says its name.
fn named((name, property): (String, Property)) -> Json<Property> {
    Json(Property {
        name: Some(name),
        ..property
    })
}

async fn list(
    Shared(state): Shared<State>,
    Extension(caller): Extension<Caller>,
    Segments(namespace): Segments<String>,
    _: NoBody,
) -> Result<Response, ApiError> {
    let found = state.definitions.properties(&caller, &namespace).await?;
    let properties = &found.properties;
    Ok(Json(PropertiesView { properties }).into_response())
}

async fn create(
    Shared(state): Shared<State>,
    Extension(caller): Extension<Caller>,
    Segments(namespace): Segments<String>,
    JsonBody(body, _held): JsonBody,
) -> Result<Response, ApiError> {
    let (name, property) = parse_property(body)?;
    let definitions = &state.definitions;
    let made = definitions
        .create_property(&caller, &namespace, &name, &property)
        .await?;
    Ok((StatusCode::CREATED, named(made)).into_response())
}

async fn show(
    Shared(state): Shared<State>,
    Extension(caller): Extension<Caller>,
    Segments((namespace, name)): Segments<(String, String)>,
    RawQuery(query): RawQuery,
) -> Result<Json<Property>, ApiError> {
    let query = QueryPairs::parse(query.as_deref())?;
    let resource_type = query::resource_type(&query);
    let definitions = &state.definitions;
    let found = definitions
        .property(&caller, &namespace, &name, resource_type)
        .await?;
    Ok(named(found))
}

async fn update(
    Shared(state): Shared<State>,
    Extension(caller): Extension<Caller>,
    Segments((namespace, name)): Segments<(String, String)>,
    JsonBody(body, _held): JsonBody,
) -> Result<Json<Property>, ApiError> {
    let (new_name, property) = parse_property(body)?;
    let definitions = &state.definitions;
    let updated = definitions
        .update_property(&caller, &namespace, &name, (&new_name, &property))
        .await?;
    Ok(named(updated))
}

async fn delete(
    Shared(state): Shared<State>,
    Extension(caller): Extension<Caller>,
    Segments((namespace, name)): Segments<(String, String)>,
    _: NoBody,
) -> Result<StatusCode, ApiError> {
    let definitions = &state.definitions;
    definitions.delete_property(&caller, &namespace, &name).await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn delete_all(
    Shared(state): Shared<State>,
    Extension(caller): Extension<Caller>,
    Segments(namespace): Segments<String>,
    _: NoBody,
) -> Result<StatusCode, ApiError> {
    state.definitions.delete_properties(&caller, &namespace).await?;
    Ok(StatusCode::NO_CONTENT)
}
