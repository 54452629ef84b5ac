//! `/v2/images/{id}/file`: the data of an image.

use axum::{
    Extension, Router,
    body::Body,
    extract::{RawQuery, Request},
    response::{IntoResponse, Response},
    routing::get,
};
use http::{
    HeaderMap, StatusCode,
    header::{CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, HeaderName, HeaderValue},
};
use saccade_store_contract::Body as Data;

use super::{
    Settings, State, StoreNames,
    at_stores::AtStores,
    body::{NoBody, content_length, media_type},
    error::ApiError,
    file_body::FileBody,
    path::Segments,
    query::QueryPairs,
    range,
    resource::resource,
    turn_body::TurnBody,
};
use crate::{
    file_answer::FileAnswer,
    identity::Caller,
    transfer::{Download, Source, Tenant},
};

/// The MD5 of the whole image in hex, in whatever part of it: not what RFC 1864 says, but what clients expect.
const CONTENT_MD5: HeaderName = HeaderName::from_static("content-md5");
const IMAGE_SIZE: HeaderName = HeaderName::from_static("x-openstack-image-size");
pub(super) const STORE: HeaderName = HeaderName::from_static("x-image-meta-store");
const OCTETS: &str = "application/octet-stream";

pub(super) fn routes() -> Router<State> {
    Router::new().route(
        "/v2/images/{image_id}/file",
        resource("GET, PUT", get(download).put(upload)),
    )
}

/// Everything that can be refused without the data is refused before the body is asked for: a client that waits for
/// `100 Continue` sends nothing in vain.
async fn upload(
    AtStores(state): AtStores,
    Extension(caller): Extension<Caller>,
    Segments(id): Segments<String>,
    request: Request,
) -> Result<StatusCode, ApiError> {
    let headers = request.headers();
    require_octets(headers)?;
    let declared_size = declared_size(headers)?;
    let store = wanted_store(headers, &state.settings)?;
    let (permission, image) = state.catalog.authorize_upload(&caller, &id).await?;
    let source = Source {
        body: request.into_body(),
        declared_size,
        store,
        tenant: tenant(&caller),
    };
    state.transfers.upload(permission, image, source).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// On whose account the caller's transfers are.
pub(super) fn tenant(caller: &Caller) -> Tenant {
    Tenant::new(caller.project_id.as_deref().unwrap_or(&caller.user_id))
}

/// Image data has no other type.
pub(super) fn require_octets(headers: &HeaderMap) -> Result<(), ApiError> {
    let found = media_type(headers);
    if found.as_deref() == Some(OCTETS) {
        return Ok(());
    }
    let found = found.as_deref().unwrap_or("None");
    let refused = ApiError::of(StatusCode::UNSUPPORTED_MEDIA_TYPE);
    Err(refused.detail(format!("Invalid content type {found}")))
}

/// What the client says that it sends. 0 is, as in Glance, nothing said.
pub(super) fn declared_size(headers: &HeaderMap) -> Result<Option<u64>, ApiError> {
    let size = match headers.get(&IMAGE_SIZE) {
        None => content_length(headers),
        Some(size) => {
            let size = size.to_str().ok().and_then(|size| size.trim().parse().ok());
            let invalid = || ApiError::bad_request("Invalid or missing image size in request headers.");
            Some(size.ok_or_else(invalid)?)
        }
    };
    Ok(size.filter(|size| *size > 0))
}

/// The store that the client wants has to be there. Where stores have no names the header means nothing.
fn wanted_store(headers: &HeaderMap, settings: &Settings) -> Result<Option<String>, ApiError> {
    let (StoreNames::Shown(stores), Some(wanted)) = (&settings.stores, headers.get(&STORE)) else {
        return Ok(None);
    };
    match stores
        .iter()
        .find(|store| store.id.as_bytes() == wanted.as_bytes())
    {
        Some(store) if store.read_only => Err(ApiError::bad_request(format!(
            "The store {:?} in X-Image-Meta-Store is read only: name another, or none",
            store.id
        ))),
        Some(store) => Ok(Some(store.id.clone())),
        None => Err(ApiError::bad_request(format!(
            "Unknown store {:?} in X-Image-Meta-Store: there are {}",
            wanted.to_str().unwrap_or("?"),
            settings.stores.shown().join(", ")
        ))),
    }
}

async fn download(
    AtStores(state): AtStores,
    Extension(caller): Extension<Caller>,
    Segments(id): Segments<String>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
    _: NoBody,
) -> Result<Response, ApiError> {
    let query = QueryPairs::parse(query.as_deref())?;
    let (mut permission, mut image) = state.catalog.authorize_download(&caller, &id).await?;
    let preferred = query
        .first("prefer")
        .unwrap_or_default()
        .split(',')
        .map(str::trim);
    let preferred: Vec<&str> = preferred.filter(|store| !store.is_empty()).collect();
    if !preferred.is_empty() {
        state.catalog.authorize_store_choice(&caller, &image)?;
        check_preferred(&preferred, &state.settings)?;
    }
    let mut range = range::requested(&headers, image.size())?;
    let transfers = &state.transfers;
    let turn = transfers.download_turn(&image, range, &tenant(&caller)).await?;
    if turn.was_waited_for() {
        // Meanwhile it may have been deactivated, deleted or taken from the caller.
        (permission, image) = state.catalog.authorize_download(&caller, &id).await?;
        if !preferred.is_empty() {
            state.catalog.authorize_store_choice(&caller, &image)?;
        }
        range = range::requested(&headers, image.size())?;
    }
    match state
        .transfers
        .download(permission, image, range, &preferred, turn)
        .await?
    {
        Download::NoData => Ok(StatusCode::NO_CONTENT.into_response()),
        Download::Content {
            image,
            size,
            range,
            body,
            turn,
        } => {
            let mut response = match body {
                Data::File(region) => {
                    let answer = FileAnswer::new(region.clone());
                    let body = TurnBody::file(FileBody::new(region), turn);
                    let mut response = Response::new(Body::new(body));
                    response.extensions_mut().insert(answer);
                    response
                }
                Data::Stream(chunks) => {
                    let body = TurnBody::stream(Body::from_stream(chunks), turn);
                    Response::new(Body::new(body))
                }
            };
            let headers = response.headers_mut();
            headers.insert(CONTENT_TYPE, HeaderValue::from_static(OCTETS));
            let checksum = image.content.and_then(|content| content.checksum);
            if let Some(checksum) = checksum.and_then(|checksum| HeaderValue::from_str(&checksum).ok()) {
                headers.insert(CONTENT_MD5, checksum);
            }
            let length = range
                .as_ref()
                .map_or(size, |range| range.end.saturating_sub(range.start));
            headers.insert(CONTENT_LENGTH, length.into());
            if let Some(range) = range {
                let last = range.end.saturating_sub(1);
                let range = HeaderValue::from_str(&format!("bytes {}-{last}/{size}", range.start));
                if let Ok(range) = range {
                    headers.insert(CONTENT_RANGE, range);
                }
                *response.status_mut() = StatusCode::PARTIAL_CONTENT;
            }
            Ok(response)
        }
    }
}

/// Stores that the client prefers have to be there.
fn check_preferred(preferred: &[&str], settings: &Settings) -> Result<(), ApiError> {
    if settings.stores == StoreNames::Hidden {
        return Err(ApiError::bad_request(
            "Store selection for download is not available when multiple backends are not enabled.",
        ));
    }
    let ids = settings.stores.shown();
    match preferred.iter().find(|store| !ids.iter().any(|id| id == *store)) {
        Some(store) => Err(ApiError::bad_request(format!(
            "Store '{store}' is not configured."
        ))),
        None => Ok(()),
    }
}
