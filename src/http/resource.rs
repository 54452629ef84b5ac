//! Methods: the ones a resource has, and what happens to the others.

use axum::{
    extract::Request,
    routing::{MethodFilter, MethodRouter},
};
use http::{Method, StatusCode, header};

use super::{State, error::ApiError};

/// A resource with these handlers; any other method is answered with 405 and `allow`. HEAD is one of the others:
/// Glance has it nowhere.
pub(super) fn resource(allow: &'static str, handlers: MethodRouter<State>) -> MethodRouter<State> {
    handlers
        .on(MethodFilter::HEAD, async move || not_allowed(allow))
        .fallback(async move || not_allowed(allow))
}

fn not_allowed(allow: &'static str) -> ApiError {
    ApiError::of(StatusCode::METHOD_NOT_ALLOWED)
        .header(header::ALLOW, header::HeaderValue::from_static(allow))
}

/// A path that leads nowhere.
pub(super) async fn unknown(request: Request) -> ApiError {
    match *request.method() {
        Method::GET | Method::HEAD | Method::POST | Method::PUT | Method::DELETE | Method::PATCH => {
            ApiError::unknown_path()
        }
        _ => ApiError::of(StatusCode::NOT_IMPLEMENTED),
    }
}
