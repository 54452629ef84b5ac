//! `/v2/images` and `/v2/images/{id}`.

mod encode;
mod filters;
#[cfg(feature = "fuzzing")]
pub(super) mod fuzzing;
mod patch;

use axum::{
    Extension, Router,
    extract::{FromRequest, RawQuery, Request, State as Shared},
    response::{IntoResponse, Response},
    routing::get,
};
use http::{
    HeaderMap, StatusCode, Uri,
    header::{HeaderName, HeaderValue, LOCATION},
};
use serde_json::Value;

pub(super) use self::encode::LocationsView;
use self::encode::{ImageView, ListView, href};
use super::{
    RequestId, State,
    at_stores::AtStores,
    body::{JsonBody, NoBody, media_type},
    error::ApiError,
    image_import::answer,
    json::json,
    origin::origin,
    path::Segments,
    query::QueryPairs,
    resource::resource,
};
use crate::{catalog::NewImage, identity::Caller, import::Onward};

const IMPORT_METHODS: HeaderName = HeaderName::from_static("openstack-image-import-methods");
const STORE_IDS: HeaderName = HeaderName::from_static("openstack-image-store-ids");
const ACCEPT_PATCH: HeaderName = HeaderName::from_static("accept-patch");
const LIST: &str = "/v2/images";

pub(super) fn routes() -> Router<State> {
    Router::new()
        .route(LIST, resource("GET, POST", get(list).post(create)))
        .route(
            "/v2/images/{image_id}",
            resource("GET, PATCH, DELETE", get(show).patch(update).delete(delete)),
        )
}

async fn create(
    Shared(state): Shared<State>,
    Extension(caller): Extension<Caller>,
    uri: Uri,
    headers: HeaderMap,
    JsonBody(body, _held): JsonBody,
) -> Result<Response, ApiError> {
    let Value::Object(object) = body else {
        return Err(ApiError::bad_request(
            "Provided object does not match schema 'image': it is not an object",
        ));
    };
    let new = NewImage::parse(object, state.catalog.rules())?;
    let image = state.catalog.create(&caller, &new).await?;

    let settings = &state.settings;
    let mut response = (StatusCode::CREATED, json(&ImageView::new(&image, settings), 1)?).into_response();
    let location = format!("{}{}", origin(&uri, &headers, settings), href(image.id));
    let headers = response.headers_mut();
    let lists = [
        (LOCATION, location),
        (IMPORT_METHODS, settings.import_methods.join(",")),
        (STORE_IDS, settings.stores.shown().join(",")),
    ];
    for (name, value) in lists {
        // Glance leaves out headers that would be empty; an id that no header can hold is left out likewise.
        if !value.is_empty()
            && let Ok(value) = HeaderValue::from_str(&value)
        {
            headers.insert(name, value);
        }
    }
    Ok(response)
}

async fn list(
    Shared(state): Shared<State>,
    Extension(caller): Extension<Caller>,
    RawQuery(query): RawQuery,
) -> Result<Response, ApiError> {
    let query = QueryPairs::parse(query.as_deref())?;
    let request = filters::request(&query)?;
    let found = state.catalog.list(&caller, request).await?;
    json(
        &ListView::new(&found, &query, &state.settings),
        found.images.len(),
    )
}

async fn show(
    Shared(state): Shared<State>,
    Extension(caller): Extension<Caller>,
    Segments(id): Segments<String>,
    _: NoBody,
) -> Result<Response, ApiError> {
    let image = state.catalog.show(&caller, &id).await?;
    json(&ImageView::new(&image, &state.settings), 1)
}

async fn update(
    AtStores(state): AtStores,
    Extension(caller): Extension<Caller>,
    Segments(id): Segments<String>,
    request: Request,
) -> Result<Response, ApiError> {
    let draft = media_type(request.headers()).and_then(|media_type| patch::Draft::of(&media_type));
    let Some(draft) = draft else {
        let accepted = patch::Draft::accepted();
        let refused = ApiError::of(StatusCode::UNSUPPORTED_MEDIA_TYPE)
            .detail(format!("Image PATCH expects Content-Type one of: {accepted}"));
        return Err(refused.header(ACCEPT_PATCH, HeaderValue::from_static(accepted)));
    };
    let JsonBody(body, _held) = JsonBody::from_request(request, &()).await?;
    let operations = patch::operations(draft, body, state.catalog.rules())?;
    let image = state.catalog.update(&caller, &id, &operations).await?;
    json(&ImageView::new(&image, &state.settings), 1)
}

async fn delete(
    AtStores(state): AtStores,
    Extension(caller): Extension<Caller>,
    Extension(request_id): Extension<RequestId>,
    Segments(id): Segments<String>,
    headers: HeaderMap,
    _: NoBody,
) -> Result<Response, ApiError> {
    let onward = Onward::of(&headers, request_id.as_str());
    let done = state.imports.delete(&caller, &id, &onward).await?;
    Ok(answer(done, StatusCode::NO_CONTENT))
}
