//! Who is calling, and the request's id.

use axum::{
    extract::{Request, State as Shared},
    middleware::Next,
    response::{IntoResponse, Response},
};
use http::header::HeaderValue;
use tracing::Span;

use super::observe::Route;
use crate::{
    http::{State, error::ApiError, request_id::RequestId},
    identity::RequestHead,
};

/// Refuses whoever cannot be identified; gives the others to the handler with a [`Caller`](crate::identity::Caller) and
/// a [`RequestId`] among the request's extensions. Every response has the id.
pub(in crate::http) async fn context(
    Shared(state): Shared<State>,
    mut request: Request,
    next: Next,
) -> Response {
    Route::note(request.extensions());
    let mut id = RequestId::random();
    let head = RequestHead {
        method: request.method(),
        path: request.uri().path(),
        headers: request.headers(),
    };
    let identified = state.identity.identify(head).await;
    let mut response = match identified {
        Err(error) => ApiError::unidentified(&error, state.identity.challenge()).into_response(),
        Ok(caller) => match RequestId::of(request.headers(), state.settings.max_request_id_length) {
            Err(refusal) => refusal.into_response(),
            Ok(own) => {
                id = own.unwrap_or(id);
                let span = Span::current();
                span.record("user", caller.user_id.as_str());
                if let Some(project) = &caller.project_id {
                    span.record("project", project.as_str());
                }
                span.record("request_id", id.as_str());
                request.extensions_mut().insert(caller);
                request.extensions_mut().insert(id.clone());
                next.run(request).await
            }
        },
    };
    if let Ok(id) = HeaderValue::from_str(id.as_str()) {
        response
            .headers_mut()
            .insert(super::super::request_id::HEADER, id);
    }
    response
}
