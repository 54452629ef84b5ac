//! The API: decode, call, encode. No rules of its own: what may be done is the catalogue's, moving bytes is
//! transfer's.
//!
//! ```text
//! observe ─► gzip ─► render ─┬─► /healthcheck, routes merged from outside
//!                            └─► cors ─► negotiate ─► context ─► one handler of one resource
//! ```
//!
//! * `middleware::observe`: span, access line, metrics
//! * `middleware::gzip`: answers in JSON and text become small for clients that ask for it, where the operator says so
//! * `middleware::render`: errors become the bodies that Glance's clients know, by `Accept`
//! * `middleware::cors`: what pages of other origins may do
//! * `negotiate`: which version; everything that is none is answered with the list of versions
//! * `middleware::context`: who is calling, and the request's id
//! * one file for each resource; a new one is a file with `routes()` and a line in [`api`]
//! * `at_stores`: in whose name a handler uses the stores
//! * `error`: the one place where failures become statuses

mod accept;
mod at_stores;
mod body;
mod cache;
mod error;
mod file_body;
#[cfg(feature = "fuzzing")]
#[doc(hidden)]
pub mod fuzzing;
mod healthcheck;
mod image_actions;
mod image_data;
mod image_import;
mod image_locations;
mod image_members;
mod image_tags;
mod images;
mod info;
mod json;
pub mod keystone_v3;
mod metadefs;
mod middleware;
mod negotiate;
mod origin;
mod path;
mod query;
mod range;
mod request_id;
mod resource;
mod schemas;
mod settings;
mod stores;
mod tasks;
#[cfg(test)]
pub(crate) mod tests;
mod turn_body;
mod versions;

use std::{ops::Deref, sync::Arc};

use axum::{Router, middleware::from_fn, middleware::from_fn_with_state, routing::any};
use tower::Layer;

pub use self::{
    request_id::RequestId,
    settings::{CacheSettings, Settings, StoreInfo, StoreNames},
};
use crate::{
    catalog::Catalog, definitions::Definitions, identity::Identity, import::Imports, lifecycle::Draining,
    transfer::Transfers,
};

/// What every handler works with. Clones are handles to the same [`Parts`]: one counter each, as every layer and every
/// handler of every request has its own, and threads quarrel over counters.
#[derive(Clone)]
pub struct State(Arc<Parts>);

/// What a [`State`] is of.
#[derive(Clone)]
pub struct Parts {
    /// Image records.
    pub catalog: Catalog,
    /// Metadata definitions.
    pub definitions: Definitions,
    /// Image data.
    pub transfers: Transfers,
    /// Imports, and what became of them.
    pub imports: Imports,
    /// Who is calling.
    pub identity: Arc<dyn Identity>,
    /// What the operator has decided.
    pub settings: Arc<Settings>,
    /// Whether the daemon has been told to stop: `/healthcheck` then says so to load balancers.
    pub draining: Draining,
}

impl From<Parts> for State {
    fn from(parts: Parts) -> Self {
        Self(Arc::new(parts))
    }
}

impl Deref for State {
    type Target = Parts;

    fn deref(&self) -> &Parts {
        &self.0
    }
}

/// The whole API. `extra` is served beside it, without identity: its routes come before the version negotiation.
///
/// A response whose body is a file region has it in its extensions as well
/// ([`FileAnswer`](crate::file_answer::FileAnswer)), so that the connection can send it without copying.
pub fn router(state: State, extra: Router) -> Router {
    let gzip = state.settings.gzip_responses.then(middleware::gzip);
    let negotiated = negotiate::Negotiate::new(api(state.clone()), &state);
    let shared = from_fn_with_state(state.settings.clone(), middleware::cors).layer(negotiated);
    let health = healthcheck::PATHS.into_iter();
    let rendered = health
        .fold(Router::new(), |router, path| {
            router.route(path, any(healthcheck::answer))
        })
        .with_state(state.clone())
        .merge(extra)
        .fallback_service(shared)
        .layer(from_fn(middleware::render));
    let compressed = match gzip {
        Some(gzip) => rendered.layer(gzip),
        None => rendered,
    };
    compressed.layer(from_fn(middleware::observe))
}

/// What is behind identity.
fn api(state: State) -> Router {
    Router::new()
        .merge(versions::routes())
        .merge(images::routes())
        .merge(image_data::routes())
        .merge(image_import::routes())
        .merge(image_locations::routes())
        .merge(image_tags::routes())
        .merge(image_members::routes())
        .merge(image_actions::routes())
        .merge(info::routes())
        .merge(stores::routes())
        .merge(cache::routes(state.settings.cache.as_ref()))
        .merge(schemas::routes())
        .merge(tasks::routes())
        .merge(metadefs::routes())
        .fallback(resource::unknown)
        .layer(from_fn_with_state(state.clone(), middleware::context))
        .with_state(state)
}
