//! `/v2/info/…`: what this service offers (Glance 33, `api/v2/discovery.py`).

use axum::{
    Extension, Json, Router,
    extract::{Request, State as Shared},
    response::{IntoResponse, Response},
    routing::{any, get},
};
use http::{Method, StatusCode};
use serde::Serialize;
use serde_json::{Value, json};

use super::{
    State, StoreInfo, StoreNames,
    body::NoBody,
    error::ApiError,
    resource::{resource, unknown},
};
use crate::identity::Caller;

pub(super) fn routes() -> Router<State> {
    Router::new()
        .route("/v2/info/import", resource("GET", get(import_methods)))
        .route("/v2/info/stores", resource("GET", get(stores)))
        .route("/v2/info/stores/detail", resource("GET", get(stores_detail)))
        .route("/v2/info/usage", any(usage))
}

async fn import_methods(Shared(state): Shared<State>, _: NoBody) -> Json<Value> {
    Json(json!({
        "import-methods": {
            "description": "Import methods available.",
            "type": "array",
            "value": state.settings.import_methods,
        },
    }))
}

async fn stores(Shared(state): Shared<State>, _: NoBody) -> Result<Response, ApiError> {
    let stores = known(&state)?.iter().map(StoreView::brief).collect();
    Ok(Json(StoresView { stores }).into_response())
}

async fn stores_detail(
    Shared(state): Shared<State>,
    Extension(caller): Extension<Caller>,
    _: NoBody,
) -> Result<Response, ApiError> {
    let stores = known(&state)?;
    state.catalog.authorize_store_details(&caller)?;
    let stores = stores.iter().map(StoreView::detailed).collect();
    Ok(Json(StoresView { stores }).into_response())
}

/// Empty without unified limits (`use_keystone_limits`). Other methods lead nowhere: Glance has no 405 here.
async fn usage(
    Shared(state): Shared<State>,
    Extension(caller): Extension<Caller>,
    request: Request,
) -> Result<Json<Value>, ApiError> {
    if *request.method() != Method::GET {
        return Err(unknown(request).await);
    }
    let used = state.catalog.usage(&caller).await?;
    let figures = used.iter().map(|used| {
        let figures = json!({ "usage": used.usage, "limit": used.limit });
        (used.resource.name().to_owned(), figures)
    });
    Ok(Json(
        json!({ "usage": figures.collect::<serde_json::Map<_, _>>() }),
    ))
}

fn known(state: &State) -> Result<&[StoreInfo], ApiError> {
    match &state.settings.stores {
        StoreNames::Shown(stores) => Ok(stores),
        StoreNames::Hidden => Err(ApiError::new(
            StatusCode::NOT_FOUND,
            "Multi backend is not supported at this site.",
        )),
    }
}

#[derive(Serialize)]
struct StoresView<'s> {
    stores: Vec<StoreView<'s>>,
}

/// A store as the API shows it. What is not so is left out; what is so is the text `"true"`.
#[derive(Serialize)]
struct StoreView<'s> {
    id: &'s str,
    #[serde(skip_serializing_if = "Option::is_none")]
    description: Option<&'s str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    default: Option<&'static str>,
    #[serde(rename = "read-only", skip_serializing_if = "Option::is_none")]
    read_only: Option<&'static str>,
    #[serde(flatten)]
    detail: Option<StoreDetail<'s>>,
}

#[derive(Serialize)]
struct StoreDetail<'s> {
    r#type: &'static str,
    properties: &'s Value,
    weight: i64,
}

impl<'s> StoreView<'s> {
    fn brief(store: &'s StoreInfo) -> Self {
        Self {
            id: &store.id,
            description: store.description.as_deref().filter(|text| !text.is_empty()),
            default: store.is_default.then_some("true"),
            read_only: store.read_only.then_some("true"),
            detail: None,
        }
    }

    fn detailed(store: &'s StoreInfo) -> Self {
        Self {
            detail: Some(StoreDetail {
                r#type: store.driver,
                properties: &store.properties,
                weight: store.weight,
            }),
            ..Self::brief(store)
        }
    }
}
