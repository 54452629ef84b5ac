//! The digests of a blob, and of the parts that its store sends it in: hashed in one pass.

use std::sync::Arc;

use futures_util::{FutureExt, future::BoxFuture};
use saccade_store_contract::PartSums;

use super::fan_out::Sink;
use crate::digest::{Algorithm, DigestPool, DigestStream, PartDigests};

/// A stream of these digests. Where the sink holds parts against their MD5, it is told those of the same stream.
pub(super) fn start(pool: &DigestPool, algorithms: &[Algorithm], sink: &mut dyn Sink) -> DigestStream {
    match sink.parts() {
        Some(lengths) => {
            let (digests, parts) = pool.start_with_parts(algorithms, lengths);
            sink.use_sums(Arc::new(Sums(parts)));
            digests
        }
        None => pool.start(algorithms),
    }
}

#[derive(Debug)]
struct Sums(PartDigests);

impl PartSums for Sums {
    fn md5(&self, number: u64) -> BoxFuture<'static, Option<String>> {
        self.0.md5(number).boxed()
    }

    fn end_part(&self, at: u64) -> bool {
        self.0.end_part(at)
    }
}
