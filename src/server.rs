//! The life of the daemon: the only place that joins its modules.

mod application;
mod callers;
mod conversion;
mod data_dir;
mod keystone;
mod operator;
mod stop;

pub use self::{
    application::{ApplicationError, check, policy_files, property_protection},
    callers::CallersError,
    conversion::{CONVERT_WORKER, ConversionError, convert_worker},
    data_dir::{DataDir, DataDirError},
    operator::{OperatorError, restore},
};

use self::{
    application::Application,
    callers::Callers,
    stop::{StopSignals, Stopped},
};
use crate::{
    config::{DEFAULT_METRICS_BIND, Loaded},
    lifecycle::{Lifecycle, Phase},
    listener::{BindError, Limits, Listener},
    telemetry::{self, LogError, Metrics, MetricsError, State},
};
use rustix::process::{Resource, getrlimit, setrlimit};
use std::{
    io::{self, Write as _},
    mem,
    net::SocketAddr,
    sync::Arc,
    time::Duration,
};
use tokio::{runtime, task::JoinSet};

/// Threads for calls that block: reading and writing files of the stores, metadata reads. A disk gains nothing from
/// more of them, and each holds a stack; what exceeds them queues.
const BLOCKING_THREADS: usize = 64;

/// For file operations that still run when everything else has stopped.
const LAST_CALLS: Duration = Duration::from_secs(5);

/// The daemon did not start. Nothing was served.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// No threads.
    #[error("cannot start the runtime")]
    Runtime(#[source] io::Error),
    /// No log.
    #[error(transparent)]
    Log(#[from] LogError),
    /// No metrics.
    #[error(transparent)]
    Metrics(#[from] MetricsError),
    /// No parts.
    #[error(transparent)]
    Application(#[from] ApplicationError),
    /// No identity.
    #[error(transparent)]
    Callers(#[from] CallersError),
    /// No data directory.
    #[error(transparent)]
    DataDir(#[from] DataDirError),
    /// No listener.
    #[error(transparent)]
    Bind(#[from] BindError),
    /// No way to be stopped.
    #[error("cannot catch signals")]
    Signals(#[source] io::Error),
}

/// Runs the daemon on a runtime of its own, until it is told to stop.
///
/// # Errors
/// As [`run`].
pub fn serve(loaded: Loaded) -> Result<(), ServeError> {
    let runtime = runtime::Builder::new_multi_thread()
        .enable_all()
        .max_blocking_threads(BLOCKING_THREADS)
        .thread_name("saccade")
        .build()
        .map_err(ServeError::Runtime)?;
    let result = runtime.block_on(run(loaded));
    runtime.shutdown_timeout(LAST_CALLS);
    result
}

/// The daemon from start to stop, one line of the log a step. Returns after SIGTERM or SIGINT, when open
/// requests have finished or their time is over. The log, the metrics and the handling of signals are those of
/// the whole process: run it once.
///
/// # Errors
/// What keeps it from starting. Nothing has been served then, and the data directory is free again.
pub async fn run(loaded: Loaded) -> Result<(), ServeError> {
    let Loaded { config, warnings, .. } = loaded;
    telemetry::start_log(config.log)?;
    tracing::info!(
        version = env!("CARGO_PKG_VERSION"),
        pid = std::process::id(),
        "saccade starts"
    );
    for warning in &warnings {
        tracing::warn!("configuration: {warning}");
    }
    let open_files = raise_open_files();
    tracing::info!(open_files, "limits");

    let data_dir = DataDir::open(&config.node.data_dir)?;
    tracing::info!(path = %data_dir.path().display(), "data directory locked");
    if data_dir.is_open_to_others() {
        let path = data_dir.path().display();
        tracing::warn!("{path} can be read by every user of this machine: chmod o= it");
    }
    let node = data_dir.node_id()?;
    tracing::info!(%node, "node");

    let metrics = match config.server.metrics_bind {
        Some(address) => Some((Metrics::install()?, address)),
        None => None,
    };
    let lifecycle = Lifecycle::new();
    let limits = Limits::from(&config.server);
    // Bound before anything is opened, so that the address is known and a taken one is told at once; connections
    // wait until everything is ready.
    let listener = Listener::bind(config.server.bind, limits).await?;
    let address = actual(&listener, config.server.bind);
    let metrics = match metrics {
        Some((metrics, address)) => bind_metrics(address, limits)
            .await?
            .map(|listener| (metrics, address, listener)),
        None => None,
    };
    let mut callers = Callers::open(&config, &data_dir, address)?;
    let identity = Arc::clone(&callers.identity);
    let extra = mem::take(&mut callers.extra);
    let application = Application::open(&config, &data_dir, node, &lifecycle, identity, extra)?;
    let router = application.router.clone();

    // From here on a signal waits to be asked for, instead of ending the process half-started.
    let signals = StopSignals::catch().map_err(ServeError::Signals)?;
    let mut listeners = JoinSet::new();
    if let Some((metrics, address, listener)) = metrics {
        tracing::info!(address = %actual(&listener, address), "serving metrics");
        let lifecycle = lifecycle.clone();
        listeners.spawn(async move {
            let serving = listener.serve(metrics.clone().router(), &lifecycle);
            tokio::select! {
                () = serving => {}
                () = metrics.upkeep() => {}
            }
        });
    }
    // The rest of the daemon works without it.
    match operator::bind(data_dir.path()) {
        Ok(socket) => {
            let (lifecycle, metadata) = (lifecycle.clone(), application.metadata());
            listeners.spawn(async move {
                tokio::select! {
                    () = operator::serve(socket, metadata) => {}
                    () = lifecycle.reached(Phase::Closing) => {}
                }
            });
        }
        Err(error) => tracing::warn!(%error, "`saccade restore` will not find this daemon"),
    }
    let stopping = lifecycle.clone();
    if let Some(control) = callers.take_control(async move { stopping.reached(Phase::Closing).await }) {
        listeners.spawn(control);
    }
    listeners.spawn({
        let lifecycle = lifecycle.clone();
        async move { listener.serve(router, &lifecycle).await }
    });
    tracing::info!(%address, "serving");
    telemetry::tell(State::Ready(&format!("serving on {address}")));
    if let Some(lines) = &callers.try_it {
        show(lines);
    }

    match stop::on_request(signals, &config.server, &lifecycle, listeners).await {
        Stopped::Gracefully => tracing::info!("stopped: every request was answered"),
        Stopped::Forcibly => tracing::info!("stopped: open requests were broken off"),
    }
    application.close(LAST_CALLS).await;
    drop(data_dir);
    Ok(())
}

/// Where metrics are served; nowhere when the address that is nobody's wish is taken.
async fn bind_metrics(address: SocketAddr, limits: Limits) -> Result<Option<Listener>, ServeError> {
    match Listener::bind(address, limits).await {
        Ok(listener) => Ok(Some(listener)),
        // Nobody has asked for this one: daemons side by side need not each be told of another.
        Err(error) if address == DEFAULT_METRICS_BIND => {
            tracing::warn!(%address, "metrics are not served: {error}; metrics_bind names another address");
            Ok(None)
        }
        Err(error) => Err(error.into()),
    }
}

/// The lines that a person types next, on standard output, where a log does not hide them.
fn show(lines: &[String; 3]) {
    let mut out = io::stdout().lock();
    // Nobody reads them when standard output is closed.
    let _ = writeln!(
        out,
        "\nTry it in another terminal:\n\n    {}\n",
        lines.join("\n    ")
    );
}

/// Port 0 is configured where any will do; the log says which it became.
fn actual(listener: &Listener, configured: SocketAddr) -> SocketAddr {
    listener.local_addr().unwrap_or(configured)
}

/// A connection takes one file, a transfer two: as many as the system allows, instead of the shell's 1024.
/// Returns how many that are; `None` is no limit.
fn raise_open_files() -> Option<u64> {
    let mut limit = getrlimit(Resource::Nofile);
    if limit.current != limit.maximum {
        limit.current = limit.maximum;
        if let Err(error) = setrlimit(Resource::Nofile, limit) {
            tracing::warn!(%error, "the limit of open files stays as it is");
        }
    }
    getrlimit(Resource::Nofile).current
}
