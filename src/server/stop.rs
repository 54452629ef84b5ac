//! How the daemon stops.

use crate::{
    config,
    lifecycle::{Lifecycle, Phase},
    telemetry::{self, State},
};
use std::{io, time::Duration};
use tokio::{
    signal::unix::{Signal, SignalKind, signal},
    task::JoinSet,
    time::{sleep, timeout},
};

/// For connections to go once they are broken off. They only need to be dropped; what does not go in this time
/// hangs in a system call.
const BREAKING_OFF: Duration = Duration::from_secs(5);

/// The signals that ask the daemon to stop. While this lives, they no longer end the process by themselves.
#[derive(Debug)]
pub(super) struct StopSignals {
    terminate: Signal,
    interrupt: Signal,
}

/// Something that asks the daemon to stop, more than once if need be.
pub(super) trait StopRequests {
    /// The next request, by name. Cancel safe.
    async fn next(&mut self) -> &'static str;
}

impl StopSignals {
    pub(super) fn catch() -> io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
        })
    }
}

impl StopRequests for StopSignals {
    async fn next(&mut self) -> &'static str {
        tokio::select! {
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.interrupt.recv() => "SIGINT",
        }
    }
}

/// How a stop went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stopped {
    /// Every request was answered.
    Gracefully,
    /// Requests were broken off.
    Forcibly,
}

/// Waits for a request to stop, then goes through the phases: everything works on for `drain_delay`, open
/// requests finish within `graceful_timeout`, the rest is broken off. A second request skips the waiting.
/// Returns when `listeners` have ended, or hang.
pub(super) async fn on_request(
    mut requests: impl StopRequests,
    server: &config::Server,
    lifecycle: &Lifecycle,
    mut listeners: JoinSet<()>,
) -> Stopped {
    let request = requests.next().await;
    tracing::info!(
        drain_delay = server.drain_delay.as_secs_f64(),
        "stopping on {request}: still serving"
    );
    telemetry::tell(State::Stopping("waiting for load balancers to notice"));
    lifecycle.advance(Phase::Draining);
    let is_patient = tokio::select! {
        () = sleep(server.drain_delay) => true,
        _ = requests.next() => false,
    };
    if is_patient {
        tracing::info!(
            graceful_timeout = server.graceful_timeout.as_secs_f64(),
            "closed to new connections; open requests may finish"
        );
        telemetry::tell(State::Stopping("waiting for open requests"));
        lifecycle.advance(Phase::Closing);
        tokio::select! {
            () = all(&mut listeners) => return Stopped::Gracefully,
            () = sleep(server.graceful_timeout) => tracing::warn!("graceful_timeout is over: breaking off open requests"),
            second = requests.next() => tracing::warn!("second signal ({second}): breaking off open requests"),
        }
    } else {
        tracing::warn!("second signal: breaking off open requests");
    }
    lifecycle.advance(Phase::Aborting);
    if timeout(BREAKING_OFF, all(&mut listeners)).await.is_err() {
        tracing::error!("connections hang; leaving them behind");
    }
    Stopped::Forcibly
}

async fn all(listeners: &mut JoinSet<()>) {
    while listeners.join_next().await.is_some() {}
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Overrides, Sources};
    use tokio::{sync::mpsc, time::Instant};

    impl StopRequests for mpsc::UnboundedReceiver<&'static str> {
        async fn next(&mut self) -> &'static str {
            match self.recv().await {
                Some(request) => request,
                None => std::future::pending().await,
            }
        }
    }

    fn server(drain_delay: u64, graceful_timeout: u64) -> config::Server {
        let overrides = Overrides {
            data_dir: Some("/nowhere".into()),
            bind: None,
        };
        let sources = Sources {
            overrides,
            ..Sources::default()
        };
        config::Server {
            drain_delay: Duration::from_secs(drain_delay),
            graceful_timeout: Duration::from_secs(graceful_timeout),
            ..config::load(&sources).unwrap().config.server
        }
    }

    /// A listener whose last request takes that long after closing, and that can be broken off.
    fn listener(lifecycle: &Lifecycle, last_request: u64) -> JoinSet<()> {
        let mut listeners = JoinSet::new();
        let lifecycle = lifecycle.clone();
        listeners.spawn(async move {
            lifecycle.reached(Phase::Closing).await;
            tokio::select! {
                () = sleep(Duration::from_secs(last_request)) => {}
                () = lifecycle.reached(Phase::Aborting) => {}
            }
        });
        listeners
    }

    /// Asks at the given seconds; returns how it stopped, when, and the phases seen each second until then.
    async fn stop(requests: &[u64], server: config::Server, last_request: u64) -> (Stopped, u64, Vec<Phase>) {
        let lifecycle = Lifecycle::new();
        let listeners = listener(&lifecycle, last_request);
        let (sender, receiver) = mpsc::unbounded_channel();
        for &at in requests {
            let sender = sender.clone();
            tokio::spawn(async move {
                sleep(Duration::from_secs(at)).await;
                sender.send("SIGTERM").unwrap();
            });
        }
        let start = Instant::now();
        let mut stopping = std::pin::pin!(on_request(receiver, &server, &lifecycle, listeners));
        let mut seen = Vec::new();
        let mut seconds =
            tokio::time::interval_at(start + Duration::from_millis(500), Duration::from_secs(1));
        let stopped = loop {
            tokio::select! {
                stopped = stopping.as_mut() => break stopped,
                _ = seconds.tick() => seen.push(lifecycle.phase()),
            }
        };
        (stopped, start.elapsed().as_secs(), seen)
    }

    #[tokio::test(start_paused = true)]
    async fn open_requests_finish_after_the_drain_delay() {
        use Phase::{Closing, Draining, Serving};
        let (stopped, at, seen) = stop(&[1], server(2, 60), 2).await;
        assert_eq!((stopped, at), (Stopped::Gracefully, 5));
        assert_eq!(seen, [Serving, Draining, Draining, Closing, Closing]);
    }

    #[tokio::test(start_paused = true)]
    async fn requests_that_do_not_finish_in_time_are_broken_off() {
        let (stopped, at, _) = stop(&[0], server(0, 60), 1000).await;
        assert_eq!((stopped, at), (Stopped::Forcibly, 60));
    }

    #[tokio::test(start_paused = true)]
    async fn a_second_signal_stops_at_once() {
        let (stopped, at, _) = stop(&[0, 7], server(0, 60), 1000).await;
        assert_eq!((stopped, at), (Stopped::Forcibly, 7));
        let (stopped, at, _) = stop(&[0, 7], server(30, 60), 0).await;
        assert_eq!((stopped, at), (Stopped::Forcibly, 7));
    }

    #[tokio::test(start_paused = true)]
    async fn without_a_signal_nothing_stops() {
        let waiting = stop(&[], server(0, 0), 0);
        assert!(timeout(Duration::from_secs(10_000), waiting).await.is_err());
    }

    #[tokio::test(start_paused = true)]
    async fn what_hangs_is_left_behind() {
        let lifecycle = Lifecycle::new();
        let mut listeners = JoinSet::new();
        listeners.spawn(std::future::pending());
        let (sender, receiver) = mpsc::unbounded_channel();
        sender.send("SIGINT").unwrap();
        let start = Instant::now();
        on_request(receiver, &server(0, 1), &lifecycle, listeners).await;
        assert_eq!(start.elapsed(), Duration::from_secs(1) + BREAKING_OFF);
    }
}
