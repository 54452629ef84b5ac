//! The accept loop: sockets in, requests to a router.
//!
//! Speaks HTTP/1 only, by hyper's own connection, so that the data path has the socket in hand. Guarantees:
//! - At most [`Limits::max_connections`] are open; further ones wait in the kernel's queue.
//! - A peer that sends no request, no body or takes no answer within its limit loses its connection.
//! - When the [`Lifecycle`] closes, nothing is accepted any more, idle connections end at once, and open
//!   requests go on until they finish or the lifecycle aborts: then their futures and bodies are dropped.
//! - A panicking handler is a 500.
//! - An answer that is a part of a file ([`crate::file_answer`]) goes from the page cache to the socket.
//!
//! The peer's [`SocketAddr`] is among the extensions of every request.

mod backoff;
mod body;
mod connection;
mod departure;
mod patience;
mod sendfile;
mod stall;
#[cfg(test)]
mod tests;
mod unsent;

use self::backoff::{Backoff, Reaction};
use crate::{
    config,
    lifecycle::{Lifecycle, Phase},
};
use axum::Router;
use std::{
    io,
    net::SocketAddr,
    time::{Duration, Instant},
};
use tokio::{
    net::{TcpListener, TcpStream},
    task::{JoinError, JoinSet},
    time::sleep,
};

/// How often at most the log says that no more connections are accepted.
const FULL_LOG_INTERVAL: Duration = Duration::from_secs(60);

/// What peers may take of the daemon's time and room.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// From the end of a request (or the connection's beginning) until the next one's head is complete.
    pub request_header_timeout: Duration,
    /// The longest silence while a body is moved, in either direction.
    pub transfer_idle_timeout: Duration,
    /// Connections open at the same time.
    pub max_connections: usize,
}

impl From<&config::Server> for Limits {
    fn from(server: &config::Server) -> Self {
        Self {
            request_header_timeout: server.request_header_timeout,
            transfer_idle_timeout: server.transfer_idle_timeout,
            max_connections: usize::try_from(server.max_connections.get()).unwrap_or(usize::MAX),
        }
    }
}

/// A socket that listens, and does not accept yet.
#[derive(Debug)]
pub struct Listener {
    socket: TcpListener,
    limits: Limits,
}

/// An address cannot be listened on.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on {address}")]
pub struct BindError {
    /// The address wanted.
    pub address: SocketAddr,
    #[source]
    source: io::Error,
}

impl Listener {
    /// Listens on `address`; port 0 takes any free one. From now on peers can connect, and wait.
    ///
    /// # Errors
    /// The address is taken, not this machine's, or needs rights that the process does not have.
    pub async fn bind(address: SocketAddr, limits: Limits) -> Result<Self, BindError> {
        match TcpListener::bind(address).await {
            Ok(socket) => Ok(Self { socket, limits }),
            Err(source) => Err(BindError { address, source }),
        }
    }

    /// Where it listens.
    ///
    /// # Errors
    /// Whatever the system says.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.socket.local_addr()
    }

    /// Accepts connections and answers their requests with `router` until `lifecycle` reaches
    /// [`Phase::Closing`]; returns when the last connection is gone. Dropping the future breaks off all of
    /// them.
    pub async fn serve(self, router: Router, lifecycle: &Lifecycle) {
        let Self { socket, limits } = self;
        let mut connections = JoinSet::new();
        let mut backoff = Backoff::default();
        let mut told_full: Option<Instant> = None;
        loop {
            let has_room = connections.len() < limits.max_connections;
            if !has_room && told_full.is_none_or(|told| told.elapsed() > FULL_LOG_INTERVAL) {
                told_full = Some(Instant::now());
                let open = connections.len();
                tracing::warn!(open, "max_connections reached: further connections wait");
            }
            tokio::select! {
                biased;
                () = lifecycle.reached(Phase::Closing) => break,
                Some(ended) = connections.join_next() => note(ended),
                (stream, peer) = accept(&socket, &mut backoff), if has_room => {
                    let (router, lifecycle) = (router.clone(), lifecycle.clone());
                    let open = Open::count();
                    connections.spawn(async move {
                        connection::converse(stream, peer, router, limits, lifecycle).await;
                        drop(open);
                    });
                }
            }
        }
        drop(socket);
        while let Some(ended) = connections.join_next().await {
            note(ended);
        }
    }
}

/// Accepts the next connection, however long that takes. Cancel safe.
async fn accept(socket: &TcpListener, backoff: &mut Backoff) -> (TcpStream, SocketAddr) {
    loop {
        let error = match socket.accept().await {
            Ok(accepted) => {
                if backoff.succeeded() {
                    tracing::info!("connections are accepted again");
                }
                return accepted;
            }
            Err(error) => error,
        };
        metrics::counter!("saccade_accept_errors_total").increment(1);
        match backoff.failed(&error) {
            Reaction::Retry => tracing::debug!(%error, "a connection went away before it was accepted"),
            Reaction::Wait { pause, first } => {
                if first {
                    tracing::error!(%error, "connections cannot be accepted; trying again until it works");
                }
                sleep(pause).await;
            }
        }
    }
}

/// Handlers' panics are caught within the connection: what arrives here comes from a response's body.
fn note(ended: Result<(), JoinError>) {
    if ended.is_err_and(|error| error.is_panic()) {
        metrics::counter!("saccade_handler_panics_total").increment(1);
        tracing::error!("a connection was lost to a panic");
    }
}

/// Counts one open connection for as long as it lives, however it ends.
struct Open;

impl Open {
    fn count() -> Self {
        metrics::counter!("saccade_connections_total").increment(1);
        metrics::gauge!("saccade_connections_open").increment(1);
        Self
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        metrics::gauge!("saccade_connections_open").decrement(1);
    }
}
