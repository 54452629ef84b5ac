//! One connection, from its first byte to its last.

use super::{
    Limits,
    body::{RequestBody, Sender},
    departure::{DepartureGuard, Unasked},
    sendfile::{Lane, ResponseBody, Socket},
    stall::StallGuard,
};
use crate::lifecycle::{Lifecycle, Phase};
use axum::{Router, body::Body, response::Response};
use futures_util::FutureExt;
use http::{HeaderValue, Request, StatusCode, header};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use std::{
    convert::Infallible, error::Error as _, io, net::SocketAddr, panic::AssertUnwindSafe, sync::Arc,
    time::Duration,
};
use tokio::{io::AsyncWriteExt, net::TcpStream};
use tower::Service;

/// What hyper reads at once at most, per connection: as long as the chunks that an upload is cut into.
const READ_BUFFER: usize = 256 << 10;

/// Longer request heads are answered with 431. Keystone tokens of some 16 KiB fit several times.
const LONGEST_HEAD: usize = 128 << 10;

/// What a client is told that begins with HTTP/2. (hyper would close without a word.)
const HTTP_2_REFUSED: &[u8] = b"HTTP/1.1 505 HTTP Version Not Supported\r\nConnection: close\r\n\
    Content-Type: text/plain; charset=UTF-8\r\nContent-Length: 66\r\n\r\n\
    505 HTTP Version Not Supported\n\nThis server speaks HTTP/1.1 only.\n";

/// Answers requests until the peer closes, a limit is reached or the daemon stops. Never fails: whatever goes
/// wrong on a connection is the peer's to notice, and is logged for developers.
pub(super) async fn converse(
    stream: TcpStream,
    peer: SocketAddr,
    router: Router,
    limits: Limits,
    lifecycle: Lifecycle,
) {
    // Answers are written whole; waiting for more to send would only delay them.
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%peer, %error, "TCP_NODELAY not set");
    }
    let idle = limits.transfer_idle_timeout;
    let lane = Arc::new(Lane::default());
    let unasked = Unasked::default();
    let socket = Socket::new(StallGuard::new(stream, idle), lane.clone());
    let io = TokioIo::new(DepartureGuard::new(socket, unasked.clone()));
    let service = service_fn(move |request| {
        let (router, lane, unasked) = (router.clone(), lane.clone(), unasked.clone());
        async move {
            let response = answer(router, request, peer, idle, unasked).await;
            Ok::<_, Infallible>(ResponseBody::of(response, &lane))
        }
    });
    let mut connection = http1::Builder::new()
        .timer(TokioTimer::new())
        // Also closes connections that are kept alive and ask nothing.
        .header_read_timeout(limits.request_header_timeout)
        .max_buf_size(READ_BUFFER)
        .max_header_size(LONGEST_HEAD)
        .serve_connection(io, service);
    let ended = tokio::select! {
        biased;
        ended = &mut connection => ended,
        () = lifecycle.reached(Phase::Closing) => {
            std::pin::Pin::new(&mut connection).graceful_shutdown();
            tokio::select! {
                biased;
                ended = &mut connection => ended,
                () = lifecycle.reached(Phase::Aborting) => {
                    tracing::info!(%peer, "connection broken off: the time to finish is over");
                    return;
                }
            }
        }
    };
    if let Err(error) = ended {
        if error.is_parse_version_h2() {
            tracing::debug!(%peer, "HTTP/2 is not served");
            let mut socket = connection.into_parts().io.into_inner();
            // Whoever does not take it is not owed more.
            let _ = socket.write_all(HTTP_2_REFUSED).await;
            let _ = socket.shutdown().await;
            return;
        }
        let stalled = error
            .source()
            .and_then(|source| source.downcast_ref::<io::Error>())
            // The kernel's own is of a peer that has vanished, or of the storage.
            .filter(|source| source.kind() == io::ErrorKind::TimedOut && source.raw_os_error().is_none());
        match stalled {
            Some(stalled) => tracing::info!(%peer, "connection broken off: {stalled}"),
            None => tracing::debug!(%peer, %error, "connection ended early"),
        }
    }
}

/// A panic in a handler costs its request and connection state, not the daemon. The panic itself is logged
/// where it happens, by the hook that `telemetry` installs.
async fn answer(
    mut router: Router,
    request: Request<Incoming>,
    peer: SocketAddr,
    idle: Duration,
    unasked: Unasked,
) -> Response {
    let sender = match request.headers().contains_key(header::EXPECT) {
        true => Sender::Waits,
        false => Sender::Sends,
    };
    let mut request = request.map(|body| Body::new(RequestBody::new(body, idle, sender, unasked)));
    request.extensions_mut().insert(peer);
    let handled = AssertUnwindSafe(async move { router.call(request).await })
        .catch_unwind()
        .await;
    match handled {
        Ok(Ok(answered)) => answered,
        Err(_) => {
            metrics::counter!("saccade_handler_panics_total").increment(1);
            broken()
        }
    }
}

fn broken() -> Response {
    let text = "500 Internal Server Error\n\nThe server has failed; its log says where.\n";
    let mut response = Response::new(Body::from(text));
    *response.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
    let plain = HeaderValue::from_static("text/plain; charset=UTF-8");
    response.headers_mut().insert(header::CONTENT_TYPE, plain);
    response
}
