//! The versions document (Glance 33, `api/versions.py`), and the root of the one version there is.

use axum::{
    Router,
    extract::{Request, State as Shared},
    response::{IntoResponse, Response},
    routing::any,
};
use http::{StatusCode, header};
use serde_json::{Value, json};

use super::{Settings, State, StoreNames, origin::origin};

/// Versions that are there in whatever configuration, newest first.
const ALWAYS: [&str; 8] = ["v2.7", "v2.6", "v2.5", "v2.4", "v2.3", "v2.2", "v2.1", "v2.0"];
const WITH_CACHE: [&str; 5] = ["v2.18", "v2.17", "v2.16", "v2.15", "v2.14"];
const MULTI_STORE: [&str; 6] = ["v2.13", "v2.12", "v2.11", "v2.10", "v2.9", "v2.8"];

pub(super) fn routes() -> Router<State> {
    // Behind it is nothing: `/v2/` is 404.
    Router::new().route("/v2", any(root))
}

async fn root(Shared(state): Shared<State>, request: Request) -> Response {
    let base = origin(request.uri(), request.headers(), &state.settings);
    let headers = [
        (header::LOCATION, format!("{base}/v2/")),
        (header::CONTENT_TYPE, "text/plain; charset=utf8".to_owned()),
    ];
    (StatusCode::FOUND, headers).into_response()
}

/// Whether a path or media type may name this version. All are the same API.
pub(super) fn is_known(version: &str, settings: &Settings) -> bool {
    version == "v2" || version == "v2.9" || supported(settings).any(|known| known == version)
}

fn supported(settings: &Settings) -> impl Iterator<Item = &'static str> {
    let with_stores: &[&str] = match settings.stores {
        StoreNames::Shown(_) => &MULTI_STORE,
        StoreNames::Hidden => &["v2.9"],
    };
    // The order, too, is Glance's: without an image cache the current version comes after the multi-store ones.
    let (first, last): (&[&str], Option<&str>) = match settings.cache {
        Some(_) => (&WITH_CACHE, None),
        None => (&["v2.15"], Some("v2.17")),
    };
    let first = first.iter().copied().chain(with_stores.iter().copied());
    first.chain(last).chain(ALWAYS)
}

fn current(settings: &Settings) -> &'static str {
    match settings.cache {
        Some(_) => "v2.18",
        None => "v2.17",
    }
}

/// The document.
pub(super) fn document(status: StatusCode, request: &Request, settings: &Settings) -> Response {
    let base = match &settings.public_endpoint {
        Some(endpoint) => endpoint.clone(),
        None => origin(request.uri(), request.headers(), settings),
    };
    let href = format!("{}/v2/", base.trim_end_matches('/'));
    let versions: Vec<Value> = supported(settings)
        .map(|id| {
            let status = if id == current(settings) {
                "CURRENT"
            } else {
                "SUPPORTED"
            };
            json!({ "id": id, "status": status, "links": [{ "rel": "self", "href": href }] })
        })
        .collect();
    (status, axum::Json(json!({ "versions": versions }))).into_response()
}
