//! `/v2/metadefs` and `/v2/schemas/metadefs`.
//!
//! One file for each resource; `encode`: bodies; `query`: what lists are asked for by.

mod encode;
mod namespaces;
mod objects;
mod properties;
mod query;
mod resource_types;
mod schemas;
mod tags;

use axum::Router;

use super::State;

pub(super) fn routes() -> Router<State> {
    Router::new()
        .merge(namespaces::routes())
        .merge(objects::routes())
        .merge(properties::routes())
        .merge(tags::routes())
        .merge(resource_types::routes())
        .merge(schemas::routes())
}
