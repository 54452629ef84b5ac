//! `/v2/images/{id}/stage` and `…/import`: data that is brought first, or fetched, and becomes the image's in the background
//! (Glance 33, `api/v2/image_data.py` and `images.py`).

use axum::{
    Extension, Router,
    body::Body,
    extract::{FromRequest, Request, State as Shared},
    response::{IntoResponse, Response},
    routing::{post, put},
};
use http::{HeaderMap, StatusCode, header::CONTENT_TYPE};

use super::{
    RequestId, State,
    at_stores::AtStores,
    body::JsonBody,
    error::ApiError,
    image_data::{STORE, declared_size, require_octets, tenant},
    path::Segments,
    resource::resource,
};
use crate::{
    identity::Caller,
    import::{Besides, ImportRequest, Method, Onward, Outcome},
    transfer::Source,
};

pub(super) fn routes() -> Router<State> {
    Router::new()
        .route("/v2/images/{image_id}/stage", resource("PUT", put(stage)))
        .route("/v2/images/{image_id}/import", resource("POST", post(import)))
}

/// As with uploads, what can be refused without the data is refused before it is asked for.
async fn stage(
    Shared(state): Shared<State>,
    Extension(caller): Extension<Caller>,
    Segments(id): Segments<String>,
    request: Request,
) -> Result<StatusCode, ApiError> {
    if !state.imports.methods().contains(&Method::GlanceDirect) {
        return Err(ApiError::new(
            StatusCode::NOT_FOUND,
            "'glance-direct' method is not available at this site.",
        ));
    }
    require_octets(request.headers())?;
    let source = Source {
        declared_size: declared_size(request.headers())?,
        body: request.into_body(),
        store: None,
        tenant: tenant(&caller),
    };
    state.imports.stage(&caller, &id, source).await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn import(
    AtStores(state): AtStores,
    Extension(caller): Extension<Caller>,
    Extension(request_id): Extension<RequestId>,
    Segments(id): Segments<String>,
    headers: HeaderMap,
    request: Request,
) -> Result<Response, ApiError> {
    let JsonBody(body, _held) = JsonBody::from_request(request, &()).await?;
    let wanted = ImportRequest::parse(body, state.imports.methods())?;
    let store = match headers.get(&STORE).map(|store| store.to_str()) {
        None => None,
        Some(Ok(store)) => Some(store),
        Some(Err(_)) => return Err(ApiError::undecodable()),
    };
    let delegation = match wanted.method() {
        Method::GlanceDownload => {
            let delegation = state.identity.delegation(&headers).await;
            delegation.map_err(|error| ApiError::unidentified(&error, state.identity.challenge()))?
        }
        Method::GlanceDirect | Method::WebDownload | Method::CopyImage => None,
    };
    let onward = Onward::of(&headers, request_id.as_str());
    let besides = Besides {
        store,
        delegation,
        request_id: request_id.as_str(),
        onward: &onward,
    };
    let done = state.imports.import(&caller, &id, wanted, besides).await?;
    Ok(answer(done, StatusCode::ACCEPTED))
}

/// What was done here is answered with this status; another node's answer is passed on.
pub(super) fn answer(done: Outcome, here: StatusCode) -> Response {
    let Outcome::Refused(answered) = done else {
        return here.into_response();
    };
    let mut response = Response::new(Body::from(answered.body));
    *response.status_mut() = answered.status;
    if let Some(content_type) = answered.content_type {
        response.headers_mut().insert(CONTENT_TYPE, content_type);
    }
    response
}
