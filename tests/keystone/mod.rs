//! The daemon in a cloud: a real Keystone says who callers are, real memcacheds keep what it said.

mod bad_tokens;
mod install_guide;
mod limits;
mod outages;
mod projects_accounts;
mod regions;
mod service_tokens;
mod services;
mod tls;
mod token_cache;

use crate::harness::{Proxy, eventually};
use std::time::{Duration, Instant};

/// The daemon asks Keystone about a token with this.
const VALIDATION: &str = "GET /v3/auth/tokens";
/// The daemon says this when Keystone does not answer, or not well.
const KEYSTONE_FAILS: &str = "tokens cannot be validated";
/// Every token is asked about, every time.
const NO_CACHE: &str = "token_cache_time = -1";

/// The URL of a proxy before Keystone.
fn url(proxy: &Proxy) -> String {
    format!("http://{}", proxy.address())
}

/// What it returns, and how long it took.
fn timed<T>(action: impl FnOnce() -> T) -> (T, Duration) {
    let begun = Instant::now();
    let result = action();
    (result, begun.elapsed())
}

/// Until the daemon's log has a line with this.
fn is_logged(cloud: &crate::harness::Cloud<'_>, text: &str) {
    eventually(&format!("the log has {text:?}"), || {
        cloud.log().iter().any(|line| line.contains(text))
    });
}
