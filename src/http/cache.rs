//! `/v2/cache`: what is cached and what is to be, and the routes of before version 2.14 (Glance 33,
//! `api/v2/cached_images.py`, `api/middleware/cache_manage.py`).

use axum::{
    Extension, Json, Router,
    extract::State as Shared,
    response::{IntoResponse, Response},
    routing::{any, get, post},
};
use http::{
    HeaderMap, HeaderName, Method, StatusCode,
    header::{CONTENT_TYPE, HeaderValue},
};
use serde::Serialize;
use serde_json::{Value, json};

use super::{
    CacheSettings, State,
    body::NoBody,
    error::ApiError,
    path::Segments,
    resource::{resource, unknown},
};
use crate::{
    cache::{Cache, Cached},
    identity::Caller,
    image::{Image, ImageId, Status, Timestamp},
    policy::Rule,
};

const TARGET: HeaderName = HeaderName::from_static("x-image-cache-clear-target");

/// What a deletion of the whole cache is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Target {
    Everything,
    Cache,
    Queue,
}

pub(super) fn routes(settings: Option<&CacheSettings>) -> Router<State> {
    let router = Router::new()
        .route("/v2/cache", resource("GET, DELETE", get(show).delete(clear)))
        .route(
            "/v2/cache/{image_id}",
            resource("DELETE, PUT", axum::routing::delete(remove).put(queue)),
        )
        .route("/v2/cache/nodes/{image_id}", resource("GET", get(nodes)))
        .route("/v2/cache/clean", resource("POST", post(clean)))
        .route("/v2/cache/prune", resource("POST", post(prune)));
    if !settings.is_some_and(|settings| settings.legacy) {
        return router;
    }
    // Other methods pass the middleware by, and find nothing behind it.
    router
        .route("/v2/cached_images", any(legacy_cached))
        .route("/v2/cached_images/{image_id}", any(legacy_cached_image))
        .route("/v2/queued_images", any(legacy_queued))
        .route("/v2/queued_images/{image_id}", any(legacy_queued_image))
}

/// The cache, for a caller whom the rule lets. As in Glance, whoever may not is told so, cache or none.
fn permitted<'s>(
    state: &'s State,
    caller: &Caller,
    rule: Rule,
    image: Option<&Image>,
) -> Result<&'s Cache, ApiError> {
    state.catalog.authorize_cache(caller, rule, image)?;
    let none = || {
        ApiError::new(
            StatusCode::NOT_FOUND,
            "Caching via API is not supported at this site.",
        )
    };
    state.transfers.cache().ok_or_else(none)
}

fn not_found(id: &str) -> ApiError {
    ApiError::new(StatusCode::NOT_FOUND, format!("Image {id} not found."))
}

/// An image that the caller may know of.
async fn known(state: &State, caller: &Caller, id: &str) -> Result<Image, ApiError> {
    let image = state.catalog.known(caller, id).await;
    image.map_err(|error| match error.kind() {
        crate::catalog::CatalogErrorKind::NotFound { .. } => not_found(id),
        _ => error.into(),
    })
}

#[derive(Serialize)]
struct CachedView {
    id: u64,
    image_id: String,
    last_accessed: f64,
    last_modified: f64,
    size: u64,
    hits: u64,
    /// Glance keeps none.
    checksum: Option<&'static str>,
}

impl From<Cached> for CachedView {
    fn from(cached: Cached) -> Self {
        Self {
            id: cached.number,
            image_id: cached.image.to_string(),
            last_accessed: seconds(cached.accessed),
            last_modified: seconds(cached.modified),
            size: cached.size,
            hits: cached.hits,
            checksum: None,
        }
    }
}

/// Since the epoch, as Python's `timestamp()`: microseconds are exact until the year 2255.
fn seconds(instant: Timestamp) -> f64 {
    instant.as_micros() as f64 / 1e6
}

fn cached_images(cache: &Cache) -> Value {
    let cached = cache.cached().into_iter().map(CachedView::from);
    json!(cached.collect::<Vec<_>>())
}

fn queued_images(cache: &Cache) -> Value {
    let queued = cache.queue().into_iter().map(|id| id.to_string());
    json!(queued.collect::<Vec<_>>())
}

async fn show(
    Shared(state): Shared<State>,
    Extension(caller): Extension<Caller>,
    _: NoBody,
) -> Result<Json<Value>, ApiError> {
    let cache = permitted(&state, &caller, Rule::CacheList, None)?;
    Ok(Json(json!({
        "cached_images": cached_images(cache),
        "queued_images": queued_images(cache),
    })))
}

async fn clear(
    Shared(state): Shared<State>,
    Extension(caller): Extension<Caller>,
    headers: HeaderMap,
) -> Result<StatusCode, ApiError> {
    let cache = permitted(&state, &caller, Rule::CacheDelete, None)?;
    let target = headers.get(&TARGET).map_or(Ok(""), |value| value.to_str());
    let target = match target.map(str::to_ascii_lowercase).as_deref() {
        Ok("") => Target::Everything,
        Ok("cache") => Target::Cache,
        Ok("queue") => Target::Queue,
        _ => {
            return Err(ApiError::bad_request(
                "If provided 'x-image-cache-clear-target' must be 'cache', 'queue' or empty string.",
            ));
        }
    };
    if target != Target::Queue {
        cache.clear();
    }
    if target != Target::Cache {
        cache.clear_queue();
    }
    Ok(StatusCode::NO_CONTENT)
}

async fn remove(
    Shared(state): Shared<State>,
    Extension(caller): Extension<Caller>,
    Segments(id): Segments<String>,
) -> Result<StatusCode, ApiError> {
    let parsed: Option<ImageId> = id.parse().ok();
    let image = match known(&state, &caller, &id).await {
        Ok(image) => Some(image),
        // An image that is deleted, and still cached, can be removed from there.
        Err(error) if error.status == StatusCode::NOT_FOUND => {
            let cache = state.transfers.cache();
            let is_there =
                |(id, cache): (ImageId, &Cache)| cache.is_cached(id) || cache.queue().contains(&id);
            if !parsed.zip(cache).is_some_and(is_there) {
                return Err(error);
            }
            None
        }
        Err(error) => return Err(error),
    };
    let cache = permitted(&state, &caller, Rule::CacheDelete, image.as_ref())?;
    if let Some(id) = parsed {
        cache.evict(id);
        cache.dequeue(id);
    }
    Ok(StatusCode::NO_CONTENT)
}

async fn queue(
    Shared(state): Shared<State>,
    Extension(caller): Extension<Caller>,
    Segments(id): Segments<String>,
) -> Result<StatusCode, ApiError> {
    let image = known(&state, &caller, &id).await?;
    let cache = permitted(&state, &caller, Rule::CacheImage, Some(&image))?;
    if image.status != Status::Active {
        return Err(ApiError::bad_request(
            "Only images with status active can be targeted for queueing",
        ));
    }
    cache.enqueue(image.id);
    Ok(StatusCode::ACCEPTED)
}

async fn nodes(
    Shared(state): Shared<State>,
    Extension(caller): Extension<Caller>,
    Segments(id): Segments<String>,
    _: NoBody,
) -> Result<Json<Value>, ApiError> {
    let cache = permitted(&state, &caller, Rule::ListCachedNodes, None)?;
    let settings = state.settings.cache.as_ref();
    let Some(settings) = settings.filter(|settings| settings.tells_nodes) else {
        return Err(ApiError::new(
            StatusCode::CONFLICT,
            "Centralized caching is not enabled",
        ));
    };
    let image = known(&state, &caller, &id).await?;
    let own = settings.node_url.as_deref().filter(|_| cache.is_cached(image.id));
    Ok(Json(json!(own.into_iter().collect::<Vec<_>>())))
}

async fn clean(
    Shared(state): Shared<State>,
    Extension(caller): Extension<Caller>,
) -> Result<Response, ApiError> {
    let cache = permitted(&state, &caller, Rule::CacheClean, None)?;
    cache.clean().await;
    // webob's, where nothing is said.
    let kind = (CONTENT_TYPE, HeaderValue::from_static("text/html; charset=UTF-8"));
    Ok(([kind], "").into_response())
}

async fn prune(
    Shared(state): Shared<State>,
    Extension(caller): Extension<Caller>,
) -> Result<Json<Value>, ApiError> {
    let pruned = permitted(&state, &caller, Rule::CachePrune, None)?.prune();
    Ok(Json(json!({
        "total_files_pruned": pruned.files,
        "total_bytes_pruned": pruned.bytes,
    })))
}

/// What has nothing to say, says so in JSON.
fn nothing() -> Response {
    let kind = (CONTENT_TYPE, HeaderValue::from_static("application/json"));
    ([kind], "null").into_response()
}

async fn legacy_cached(
    Shared(state): Shared<State>,
    Extension(caller): Extension<Caller>,
    request: axum::extract::Request,
) -> Result<Response, ApiError> {
    let method = request.method().clone();
    if method != Method::GET && method != Method::DELETE {
        return Err(unknown(request).await);
    }
    let cache = permitted(&state, &caller, Rule::ManageImageCache, None)?;
    let answer = match method {
        Method::GET => json!({ "cached_images": cached_images(cache) }),
        _ => json!({ "num_deleted": cache.clear() }),
    };
    Ok(Json(answer).into_response())
}

async fn legacy_cached_image(
    Shared(state): Shared<State>,
    Extension(caller): Extension<Caller>,
    Segments(id): Segments<String>,
    request: axum::extract::Request,
) -> Result<Response, ApiError> {
    if *request.method() != Method::DELETE {
        return Err(unknown(request).await);
    }
    let cache = permitted(&state, &caller, Rule::ManageImageCache, None)?;
    // What no image can be called is not cached: there is nothing to delete, which is no error.
    if let Ok(id) = id.parse() {
        cache.evict(id);
    }
    Ok(nothing())
}

async fn legacy_queued(
    Shared(state): Shared<State>,
    Extension(caller): Extension<Caller>,
    request: axum::extract::Request,
) -> Result<Response, ApiError> {
    let method = request.method().clone();
    if method != Method::GET && method != Method::DELETE {
        return Err(unknown(request).await);
    }
    let cache = permitted(&state, &caller, Rule::ManageImageCache, None)?;
    let answer = match method {
        Method::GET => json!({ "queued_images": queued_images(cache) }),
        _ => json!({ "num_deleted": cache.clear_queue() }),
    };
    Ok(Json(answer).into_response())
}

/// Glance queues whatever it is given, and finds out later that there is no such image.
async fn legacy_queued_image(
    Shared(state): Shared<State>,
    Extension(caller): Extension<Caller>,
    Segments(id): Segments<String>,
    request: axum::extract::Request,
) -> Result<Response, ApiError> {
    let method = request.method().clone();
    if method != Method::PUT && method != Method::DELETE {
        return Err(unknown(request).await);
    }
    let cache = permitted(&state, &caller, Rule::ManageImageCache, None)?;
    if let Ok(id) = id.parse() {
        match method {
            Method::PUT => cache.enqueue(id),
            _ => cache.dequeue(id),
        };
    }
    Ok(nothing())
}
