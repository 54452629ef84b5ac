//! What a handler leaves for the connection when the body of its answer is a part of a file.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use saccade_store_contract::FileRegion;

/// A region of a file that is the whole body of a response, among the response's extensions. A connection that can
/// send from file to socket does so instead of reading the body, keeps the body until the last byte has gone (it stands
/// for the request in the log), and says here how far it is. Clones count together.
#[derive(Debug, Clone)]
pub struct FileAnswer {
    region: FileRegion,
    sent: Arc<AtomicU64>,
}

impl FileAnswer {
    /// Nothing of it has been sent.
    #[must_use]
    pub fn new(region: FileRegion) -> Self {
        Self {
            region,
            sent: Arc::default(),
        }
    }

    /// What is to be sent.
    #[must_use]
    pub fn region(&self) -> &FileRegion {
        &self.region
    }

    /// The socket has taken as many bytes more.
    pub fn note_sent(&self, bytes: u64) {
        self.sent.fetch_add(bytes, Ordering::Relaxed);
        metrics::counter!("saccade_download_bytes_total").increment(bytes);
    }

    /// Bytes that the socket has taken: what went from file to socket alone, not what was read from the body.
    #[must_use]
    pub fn sent(&self) -> u64 {
        self.sent.load(Ordering::Relaxed)
    }
}
