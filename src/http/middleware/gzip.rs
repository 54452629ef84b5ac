//! Answers become small for clients that ask for it (`Accept-Encoding: gzip`).

use http::{HeaderValue, header};
use http_body::Body;
use tower_http::{
    CompressionLevel,
    compression::{CompressionLayer, predicate::Predicate},
};

/// Shorter answers hardly shrink, and fit into one packet anyway. In bytes.
const SHORTEST: u64 = 1024;

/// Compresses JSON and text as Glance's gzip middleware does, and nothing else: image data leaves as it is stored,
/// because it hardly shrinks, would lose its length and its ranges, and must not pass through user space.
///
/// At the quickest level: a page of a thousand images is compressed on the thread that answers.
pub(in crate::http) fn gzip() -> CompressionLayer<Compressible> {
    CompressionLayer::new()
        .quality(CompressionLevel::Fastest)
        .compress_when(Compressible)
}

/// Whether an answer is worth it.
#[derive(Clone, Copy, Debug)]
pub(in crate::http) struct Compressible;

impl Predicate for Compressible {
    fn should_compress<B: Body>(&self, response: &http::Response<B>) -> bool {
        let is_text = response
            .headers()
            .get(header::CONTENT_TYPE)
            .is_some_and(is_json_or_text);
        is_text && response.body().size_hint().lower() >= SHORTEST
    }
}

fn is_json_or_text(media_type: &HeaderValue) -> bool {
    let Ok(media_type) = media_type.to_str() else {
        return false;
    };
    media_type.starts_with("application/json") || media_type.starts_with("text/")
}
