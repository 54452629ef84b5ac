//! One span for each request, one line in the log, two metrics.

use std::{
    pin::Pin,
    sync::{Arc, OnceLock},
    task::{Context, Poll, ready},
    time::Instant,
};

use crate::file_answer::FileAnswer;
use axum::{
    body::Body,
    extract::{MatchedPath, Request},
    middleware::Next,
    response::Response,
};
use bytes::Bytes;
use http::{Extensions, Method};
use http_body::{Frame, SizeHint};
use tracing::{Instrument, Span, field::Empty, info, info_span};

/// The label of paths that lead nowhere.
const UNMATCHED: &str = "unmatched";
/// The status of a request whose client did not wait for the answer: nginx's.
const CLIENT_GONE: u16 = 499;

/// Where a handler's path template is left for the record of the request.
#[derive(Debug, Clone, Default)]
pub(super) struct Route(Arc<OnceLock<String>>);

impl Route {
    /// Takes note of the template that the request was matched by, if it was.
    pub(super) fn note(extensions: &Extensions) {
        if let (Some(Self(slot)), Some(path)) = (extensions.get(), extensions.get::<MatchedPath>()) {
            // Whoever matched first is nearer to the client.
            let _ = slot.set(path.as_str().to_owned());
        }
    }
}

/// Watches a request from its head to the last byte of its answer, or until the client goes away. Neither query nor
/// headers are recorded: they may hold secrets.
pub(in crate::http) async fn observe(mut request: Request, next: Next) -> Response {
    let method = method(request.method());
    let span = info_span!(
        "request",
        method,
        path = request.uri().path(),
        request_id = Empty,
        user = Empty,
        project = Empty,
    );
    let route = Route::default();
    request.extensions_mut().insert(route.clone());
    Route::note(request.extensions());
    let mut record = Record {
        span: span.clone(),
        started: Instant::now(),
        method,
        route,
        status: CLIENT_GONE,
        sent: 0,
        file: None,
    };
    let response = next.run(request).instrument(span).await;
    record.status = response.status().as_u16();
    record.file = response.extensions().get().cloned();
    response.map(|body| Body::new(Observed { body, record }))
}

/// The method as a label: of what clients invent there is no end.
fn method(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::HEAD => "HEAD",
        Method::POST => "POST",
        Method::PUT => "PUT",
        Method::PATCH => "PATCH",
        Method::DELETE => "DELETE",
        Method::OPTIONS => "OPTIONS",
        _ => "OTHER",
    }
}

/// What is known of a request when it is over; recorded when it is dropped.
struct Record {
    span: Span,
    started: Instant,
    method: &'static str,
    route: Route,
    status: u16,
    /// What was read of the body.
    sent: u64,
    /// What may leave without being read.
    file: Option<FileAnswer>,
}

impl Drop for Record {
    fn drop(&mut self) {
        let seconds = self.started.elapsed().as_secs_f64();
        let status = self.status;
        let from_file = self.file.as_ref().map_or(0, FileAnswer::sent);
        let route = self.route.0.get().map_or(UNMATCHED, String::as_str).to_owned();
        let _entered = self.span.enter();
        info!(
            route,
            status,
            sent = self.sent.saturating_add(from_file),
            milliseconds = (seconds * 1e6).round() / 1e3,
            "answered"
        );
        metrics::counter!(
            "saccade_http_requests_total",
            "method" => self.method, "route" => route.clone(), "status" => status.to_string()
        )
        .increment(1);
        metrics::histogram!(
            "saccade_http_request_duration_seconds",
            "method" => self.method, "route" => route
        )
        .record(seconds);
    }
}

/// A body that ends the record of its request when it ends, or is given up.
struct Observed {
    body: Body,
    record: Record,
}

impl http_body::Body for Observed {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let frame = ready!(Pin::new(&mut self.body).poll_frame(cx));
        if let Some(Ok(frame)) = &frame
            && let Some(data) = frame.data_ref()
        {
            self.record.sent += data.len() as u64;
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
