//! `/healthcheck`: whether a load balancer may send requests here (oslo.middleware, `disable_by_file`).

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use axum::{
    extract::State as Shared,
    response::{IntoResponse, Response},
};
use http::{Method, StatusCode};

use super::State;

pub(super) const PATH: &str = "/healthcheck";

/// What `/healthcheck` says beside the file. Clones are handles to the same one.
#[derive(Debug, Clone, Default)]
pub struct Readiness {
    draining: Arc<AtomicBool>,
}

impl Readiness {
    /// From now on `/healthcheck` answers 503, so that load balancers look for another node.
    pub fn drain(&self) {
        self.draining.store(true, Ordering::Relaxed);
    }

    fn is_draining(&self) -> bool {
        self.draining.load(Ordering::Relaxed)
    }
}

pub(super) async fn answer(Shared(state): Shared<State>, method: Method) -> Response {
    let disabled = match &state.settings.disable_file {
        Some(file) => tokio::fs::try_exists(file).await.unwrap_or(false),
        None => false,
    };
    let (status, text) = if disabled {
        (StatusCode::SERVICE_UNAVAILABLE, "DISABLED BY FILE")
    } else if state.readiness.is_draining() {
        (StatusCode::SERVICE_UNAVAILABLE, "DRAINING")
    } else if method == Method::HEAD {
        return StatusCode::NO_CONTENT.into_response();
    } else {
        (StatusCode::OK, "OK")
    };
    (status, text).into_response()
}
