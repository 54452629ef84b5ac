//! Metrics, in the text format of Prometheus.
//!
//! Whoever measures uses the `metrics` crate and the names listed here; nobody needs to name this module.

use super::process;
use axum::{Router, http::header, routing::get};
use metrics::Unit;
use metrics_exporter_prometheus::{
    BuildError, Matcher, PrometheusBuilder, PrometheusHandle, PrometheusRecorder,
};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Histograms collect raw samples until someone folds them in.
const UPKEEP_INTERVAL: Duration = Duration::from_secs(5);

/// Of requests: from a record found in memory to a large image on a slow line.
const SECONDS: &[f64] = &[
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 1800.0,
];

/// Of images: 1 MiB to 1 TiB in steps of four.
const BYTES: &[f64] = &[
    1_048_576.0,
    4_194_304.0,
    16_777_216.0,
    67_108_864.0,
    268_435_456.0,
    1_073_741_824.0,
    4_294_967_296.0,
    17_179_869_184.0,
    68_719_476_736.0,
    274_877_906_944.0,
    1_099_511_627_776.0,
];

enum Kind {
    Counter,
    Gauge,
    Histogram,
}

/// Every metric of the daemon's own.
const DESCRIPTIONS: &[(&str, Kind, Unit, &str)] = &[
    (
        "saccade_connections_total",
        Kind::Counter,
        Unit::Count,
        "Connections accepted.",
    ),
    (
        "saccade_connections_open",
        Kind::Gauge,
        Unit::Count,
        "Connections open now.",
    ),
    (
        "saccade_accept_errors_total",
        Kind::Counter,
        Unit::Count,
        "Failures to accept a connection.",
    ),
    (
        "saccade_transfers_stalled_total",
        Kind::Counter,
        Unit::Count,
        "Transfers broken off because the client (direction: in, sending; out, receiving) stood still.",
    ),
    (
        "saccade_handler_panics_total",
        Kind::Counter,
        Unit::Count,
        "Requests lost to a panic.",
    ),
    (
        "saccade_http_requests_total",
        Kind::Counter,
        Unit::Count,
        "Requests answered, by method, route and status.",
    ),
    (
        "saccade_http_request_duration_seconds",
        Kind::Histogram,
        Unit::Seconds,
        "From a request's head to the head of its answer, in seconds.",
    ),
    (
        "saccade_upload_bytes_total",
        Kind::Counter,
        Unit::Bytes,
        "Image bytes received from clients, in bytes.",
    ),
    (
        "saccade_download_bytes_total",
        Kind::Counter,
        Unit::Bytes,
        "Image bytes sent to clients, in bytes.",
    ),
    (
        "saccade_download_uncached_parts_total",
        Kind::Counter,
        Unit::Count,
        "Parts of files, of 1 MiB, that downloads had to read from disk before they could be sent.",
    ),
    (
        "saccade_upload_size_bytes",
        Kind::Histogram,
        Unit::Bytes,
        "Sizes of images uploaded whole, in bytes.",
    ),
    (
        "saccade_upload_duration_seconds",
        Kind::Histogram,
        Unit::Seconds,
        "From an upload's claim to its commit, in seconds.",
    ),
    (
        "saccade_transfers_open",
        Kind::Gauge,
        Unit::Count,
        "Transfers under way now, by direction.",
    ),
    (
        "saccade_transfers_waiting",
        Kind::Gauge,
        Unit::Count,
        "Transfers that wait for their turn now, by direction.",
    ),
    (
        "saccade_transfer_wait_duration_seconds",
        Kind::Histogram,
        Unit::Seconds,
        "How many seconds transfers waited that had to wait for their turn, whatever became of it, by direction.",
    ),
    (
        "saccade_transfers_refused_total",
        Kind::Counter,
        Unit::Count,
        "Transfers whose turn did not come, by direction and reason (timeout, queue_full).",
    ),
    (
        "saccade_store_errors_total",
        Kind::Counter,
        Unit::Count,
        "Failed calls to stores, by store, operation and kind of failure.",
    ),
    (
        "saccade_download_failovers_total",
        Kind::Counter,
        Unit::Count,
        "Times that a store failed a download while the image was in another, too, by the store that failed.",
    ),
    (
        "saccade_image_cache_requests_total",
        Kind::Counter,
        Unit::Count,
        "Downloads by what the image cache did for them (result: hit, from a complete file; shared, from one that was being \
         filled; miss, which began to fill one and is counted as shared, too; bypass).",
    ),
    (
        "saccade_image_cache_bypasses_total",
        Kind::Counter,
        Unit::Count,
        "Downloads that the image cache left to their stores, by reason.",
    ),
    (
        "saccade_image_cache_fills_total",
        Kind::Counter,
        Unit::Count,
        "Images that were to be cached, by outcome.",
    ),
    (
        "saccade_image_cache_resumes_total",
        Kind::Counter,
        Unit::Count,
        "Downloads that had begun with the image cache and went on without it.",
    ),
    (
        "saccade_image_cache_evictions_total",
        Kind::Counter,
        Unit::Count,
        "Images that had to leave the cache, by reason.",
    ),
    (
        "saccade_image_cache_size_bytes",
        Kind::Gauge,
        Unit::Bytes,
        "What the complete files of the image cache take up, in bytes.",
    ),
    (
        "saccade_image_cache_limit_bytes",
        Kind::Gauge,
        Unit::Bytes,
        "What the files of the image cache may take up, in bytes.",
    ),
    (
        "saccade_token_cache_requests_total",
        Kind::Counter,
        Unit::Count,
        "Tokens looked up in a cache, by tier and result.",
    ),
    (
        "saccade_token_cache_writes_total",
        Kind::Counter,
        Unit::Count,
        "Tokens offered to the shared cache, by result.",
    ),
    (
        "saccade_token_validations_total",
        Kind::Counter,
        Unit::Count,
        "Tokens that Keystone was asked about, by result.",
    ),
    (
        "saccade_token_validation_duration_seconds",
        Kind::Histogram,
        Unit::Seconds,
        "How many seconds Keystone took to tell about a token, tries and waiting included.",
    ),
    (
        "saccade_keystone_logins_total",
        Kind::Counter,
        Unit::Count,
        "Logins of the service itself at Keystone, by result.",
    ),
];

/// Metrics cannot be collected.
#[derive(Debug, thiserror::Error)]
#[error("metrics cannot be collected")]
pub struct MetricsError(#[from] BuildError);

/// The process's metrics, being collected.
#[derive(Clone)]
pub struct Metrics {
    handle: PrometheusHandle,
    started: f64,
}

impl Metrics {
    /// Collects what is measured from now on, for the whole process.
    ///
    /// # Errors
    /// Someone else does so already.
    pub fn install() -> Result<Self, MetricsError> {
        let recorder = recorder()?;
        let handle = recorder.handle();
        ::metrics::set_global_recorder(recorder).map_err(BuildError::from)?;
        describe();
        Ok(Self::new(handle))
    }

    fn new(handle: PrometheusHandle) -> Self {
        let started = SystemTime::now().duration_since(UNIX_EPOCH);
        Self {
            handle,
            started: started.unwrap_or_default().as_secs_f64(),
        }
    }

    /// Keeps the memory of histograms bounded between scrapes. Runs until dropped.
    pub async fn upkeep(&self) {
        let mut ticks = tokio::time::interval(UPKEEP_INTERVAL);
        loop {
            ticks.tick().await;
            self.handle.run_upkeep();
        }
    }

    /// Everything measured, with the figures of the process.
    #[must_use]
    pub fn render(&self) -> String {
        let mut text = self.handle.render();
        process::render(&mut text, self.started);
        text
    }

    /// Answers `GET /metrics`; everything else is 404.
    pub fn router(self) -> Router {
        let scrape = async move || {
            let kind = [(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")];
            (kind, self.render())
        };
        Router::new().route("/metrics", get(scrape))
    }
}

fn recorder() -> Result<PrometheusRecorder, BuildError> {
    Ok(PrometheusBuilder::new()
        .set_buckets_for_metric(Matcher::Suffix("_seconds".to_owned()), SECONDS)?
        .set_buckets_for_metric(Matcher::Suffix("_bytes".to_owned()), BYTES)?
        .build_recorder())
}

fn describe() {
    for (name, kind, unit, help) in DESCRIPTIONS {
        match kind {
            Kind::Counter => metrics::describe_counter!(*name, *unit, *help),
            Kind::Gauge => metrics::describe_gauge!(*name, *unit, *help),
            Kind::Histogram => metrics::describe_histogram!(*name, *unit, *help),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::body::Body;
    use http::{Request, StatusCode};
    use http_body_util::BodyExt;
    use tower::ServiceExt;

    /// Measures into a recorder of its own: the global one belongs to the daemon.
    fn measured(measure: impl FnOnce()) -> Metrics {
        let recorder = recorder().unwrap();
        metrics::with_local_recorder(&recorder, || {
            describe();
            measure();
        });
        Metrics::new(recorder.handle())
    }

    async fn scrape(metrics: Metrics, path: &str) -> (StatusCode, String) {
        let request = Request::get(path).body(Body::empty()).unwrap();
        let response = metrics.router().oneshot(request).await.unwrap();
        let status = response.status();
        let body = response.into_body().collect().await.unwrap().to_bytes();
        (status, String::from_utf8(body.to_vec()).unwrap())
    }

    #[tokio::test]
    async fn a_scrape_tells_what_was_measured_and_what_it_means() {
        let metrics = measured(|| {
            metrics::counter!("saccade_connections_total").increment(3);
            metrics::gauge!("saccade_connections_open").set(2);
        });
        let (status, text) = scrape(metrics, "/metrics").await;
        assert_eq!(status, StatusCode::OK);
        assert!(
            text.contains("# HELP saccade_connections_total Connections accepted.\n"),
            "{text}"
        );
        assert!(text.contains("\nsaccade_connections_total 3\n"), "{text}");
        assert!(text.contains("\nsaccade_connections_open 2\n"), "{text}");
        assert!(text.contains("\nprocess_resident_memory_bytes "), "{text}");
    }

    #[tokio::test]
    async fn durations_and_sizes_fall_into_buckets() {
        let metrics = measured(|| {
            metrics::histogram!("saccade_http_request_duration_seconds").record(0.02);
            metrics::histogram!("saccade_upload_size_bytes").record(5e6);
        });
        let text = metrics.render();
        assert!(
            text.contains("saccade_http_request_duration_seconds_bucket{le=\"0.025\"} 1\n"),
            "{text}"
        );
        assert!(
            text.contains("saccade_http_request_duration_seconds_bucket{le=\"0.01\"} 0\n"),
            "{text}"
        );
        assert!(
            text.contains("saccade_upload_size_bytes_bucket{le=\"16777216\"} 1\n"),
            "{text}"
        );
    }

    #[tokio::test]
    async fn other_paths_are_not_found() {
        let (status, _) = scrape(measured(|| {}), "/").await;
        assert_eq!(status, StatusCode::NOT_FOUND);
    }

    #[test]
    fn names_follow_the_conventions_of_prometheus() {
        for (name, kind, unit, help) in DESCRIPTIONS {
            assert!(name.starts_with("saccade_"), "{name}");
            assert_eq!(name.ends_with("_total"), matches!(kind, Kind::Counter), "{name}");
            if let Kind::Histogram = kind {
                assert!(name.ends_with(&format!("_{}", unit.as_str())), "{name}");
            }
            match unit {
                Unit::Bytes | Unit::Seconds => assert!(help.contains(unit.as_str()), "{name}: {help}"),
                _ => {}
            }
        }
    }
}
