//! Doors to private parsers, for `fuzz/` alone: thin, and with plain or public types.

use http::HeaderMap;

pub use super::images::fuzzing::{link, list, pairs, patch};
use super::{keystone_v3, range};
use crate::transfer::RangeRequest;

/// The range that headers ask for, or the status that refuses them.
pub fn range(headers: &HeaderMap, size: Option<u64>) -> Result<Option<RangeRequest>, u16> {
    range::requested(headers, size).map_err(|error| error.status.as_u16())
}

/// What a login shows of itself: `Debug` of what was read, or of the refusal.
pub fn login(body: &[u8]) -> Result<String, String> {
    keystone_v3::fuzzing::login(body)
}
