//! What metrics say of transfers.

use std::time::Instant;

/// An upload under way: counted as open until it is dropped.
pub(super) struct Meter {
    begun: Instant,
}

impl Meter {
    pub(super) fn upload() -> Self {
        metrics::gauge!("saccade_transfers_open", "direction" => "in").increment(1);
        Self {
            begun: Instant::now(),
        }
    }

    /// The upload has succeeded, with so many bytes.
    pub(super) fn stored(&self, size: u64) {
        // Nobody uploads so much that the sum of its sizes loses precision that matters.
        metrics::histogram!("saccade_upload_size_bytes").record(size as f64);
        metrics::histogram!("saccade_upload_duration_seconds").record(self.begun.elapsed());
    }
}

impl Drop for Meter {
    fn drop(&mut self) {
        metrics::gauge!("saccade_transfers_open", "direction" => "in").decrement(1);
    }
}

/// So many bytes have come.
pub(super) fn received(bytes: usize) {
    metrics::counter!("saccade_upload_bytes_total").increment(bytes as u64);
}
