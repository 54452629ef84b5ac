//! What the daemon tells its operator: log, metrics, and its state to the service manager.

mod log;
mod metrics;
mod process;
mod service_manager;

pub use self::{
    log::{LogError, start as start_log},
    metrics::{Metrics, MetricsError},
    service_manager::{State, tell},
};
