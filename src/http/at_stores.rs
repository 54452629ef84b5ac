//! In whose name a handler uses the stores.

use axum::extract::FromRequestParts;
use http::{HeaderMap, request::Parts};
use saccade_store_contract::{Endpoint, OnBehalf};

use super::{Parts as StateParts, State, error::ApiError};
use crate::identity::Unidentified;

/// What a handler works with that touches image data, or says who may read it: stores that act in their callers' names do so
/// in the name of this request's. Where there are none, nobody is asked for anything.
pub(super) struct AtStores(pub(super) State);

impl FromRequestParts<State> for AtStores {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &State) -> Result<Self, ApiError> {
        state.clone().on_behalf(&parts.headers).await.map(Self)
    }
}

impl State {
    async fn on_behalf(self, headers: &HeaderMap) -> Result<Self, ApiError> {
        if !self.catalog.acts_for_callers() {
            return Ok(self);
        }
        let delegation = match self.identity.delegation(headers).await {
            Ok(Some(delegation)) => delegation,
            // A service may bring a user's token that has ended: it was identified by that, but nobody else will take it.
            Ok(None) | Err(Unidentified::Invalid | Unidentified::Missing) => return Ok(self),
            Err(error) => return Err(ApiError::unidentified(&error, self.identity.challenge())),
        };
        let endpoints = delegation.endpoints().iter().map(|endpoint| Endpoint {
            service_type: endpoint.service_type.clone(),
            region: endpoint.region.clone(),
            interface: endpoint.interface.clone(),
            url: endpoint.url.clone(),
        });
        let caller = OnBehalf::new(delegation.token().expose(), endpoints.collect());
        let (catalog, transfers) = (self.catalog.on_behalf(&caller), self.transfers.on_behalf(&caller));
        Ok(Self::from(StateParts {
            imports: self.imports.by_way_of(catalog.clone(), transfers.clone()),
            catalog,
            transfers,
            ..StateParts::clone(&self)
        }))
    }
}
