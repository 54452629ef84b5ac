//! `/v2/stores/{store}/{image_id}`: an image's data in one of its stores.

use axum::{Extension, Router, routing::delete};
use http::StatusCode;

use super::{
    State, StoreNames, at_stores::AtStores, body::NoBody, error::ApiError, path::Segments, resource::resource,
};
use crate::identity::Caller;

pub(super) fn routes() -> Router<State> {
    Router::new().route(
        "/v2/stores/{store_id}/{image_id}",
        resource("DELETE", delete(remove)),
    )
}

/// As in Glance, nobody is told that stores without names hold several copies.
async fn remove(
    AtStores(state): AtStores,
    Extension(caller): Extension<Caller>,
    Segments((store, id)): Segments<(String, String)>,
    _: NoBody,
) -> Result<StatusCode, ApiError> {
    match &state.settings.stores {
        StoreNames::Hidden => return Err(ApiError::of(StatusCode::NOT_FOUND)),
        StoreNames::Shown(stores) if stores.iter().all(|known| known.id != store) => {
            let message = format!("The selected store {store} is not available on this node.");
            return Err(ApiError::new(StatusCode::CONFLICT, message));
        }
        StoreNames::Shown(_) => {}
    }
    state.catalog.delete_from_store(&caller, &store, &id).await?;
    Ok(StatusCode::NO_CONTENT)
}
