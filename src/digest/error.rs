//! Why a stream could not be hashed.

use super::algorithm::Algorithm;

/// Computing a hash panicked: a defect, reported where panics are. The stream is over: every later call on it returns
/// the same error, and it holds no chunk any more. Streams that were hashed beside it in the same turn are over, too; others and
/// the pool are not affected. Of two algorithms in one pass the first is named.
#[derive(Clone, Debug, thiserror::Error)]
#[error("computing {algorithm} panicked")]
pub struct DigestError {
    pub(super) algorithm: Algorithm,
}

impl DigestError {
    /// The algorithm that failed.
    #[must_use]
    pub fn algorithm(&self) -> Algorithm {
        self.algorithm
    }
}
