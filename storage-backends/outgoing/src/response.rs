//! An answer, and its body at the pace of both sides.

use std::{fmt, time::Duration};

use bytes::Bytes;
use http::{HeaderMap, StatusCode};
use tokio::time::{Instant, timeout};

use crate::{Error, Limits, Target};

/// An answer whose body is still to come. Dropping it closes the connection.
pub struct Response {
    inner: reqwest::Response,
    target: Target,
    limits: Limits,
    pace: Pace,
}

/// What came in the time that was spent waiting for it. Time that the reader takes for itself does not count.
#[derive(Debug, Default)]
struct Pace {
    waited: Duration,
    came: u64,
}

impl Response {
    pub(crate) fn new(inner: reqwest::Response, target: Target, limits: Limits) -> Self {
        Self {
            inner,
            target,
            limits,
            pace: Pace::default(),
        }
    }

    /// Its status: never a redirect that could be followed.
    pub fn status(&self) -> StatusCode {
        self.inner.status()
    }

    /// Its header fields.
    pub fn headers(&self) -> &HeaderMap {
        self.inner.headers()
    }

    /// Who has answered, at the end of all redirects.
    pub fn target(&self) -> &Target {
        &self.target
    }

    /// The next bytes; `None` when the server says that there are no more. Cancel safe.
    ///
    /// # Errors
    /// `Timeout`, `TooSlow`, `Broken`: nothing comes after it.
    pub async fn chunk(&mut self) -> Result<Option<Bytes>, Error> {
        let target = || self.target.to_string();
        let begun = Instant::now();
        let chunk = match timeout(self.limits.between_reads, self.inner.chunk()).await {
            Err(_) => return Err(Error::Timeout { target: target() }),
            Ok(Err(error)) => {
                let source = error.without_url();
                let target = target();
                return Err(Error::Broken { target, source });
            }
            Ok(Ok(chunk)) => chunk,
        };
        let came = chunk.as_ref().map_or(0, Bytes::len);
        if chunk.is_some() && !self.pace.keeps_up(begun.elapsed(), came, &self.limits) {
            return Err(Error::TooSlow { target: target() });
        }
        Ok(chunk)
    }
}

impl Pace {
    fn keeps_up(&mut self, waited: Duration, came: usize, limits: &Limits) -> bool {
        self.waited = self.waited.saturating_add(waited);
        self.came = self.came.saturating_add(u64::try_from(came).unwrap_or(u64::MAX));
        if self.waited < limits.between_reads {
            return true;
        }
        let least = u128::from(limits.slowest).saturating_mul(self.waited.as_millis()) / 1000;
        let enough = u128::from(self.came) >= least;
        *self = Self::default();
        enough
    }
}

impl fmt::Debug for Response {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Response")
            .field("status", &self.status())
            .field("target", &self.target)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_that_drips_is_too_slow() {
        let limits = Limits {
            between_reads: Duration::from_secs(10),
            slowest: 100,
            ..Limits::default()
        };
        let mut pace = Pace::default();
        for _ in 0..9 {
            assert!(pace.keeps_up(Duration::from_secs(1), 1, &limits));
        }
        assert!(!pace.keeps_up(Duration::from_secs(1), 1, &limits));
    }

    #[test]
    fn a_server_that_keeps_up_may_go_on_for_ever() {
        let limits = Limits {
            between_reads: Duration::from_secs(10),
            slowest: 100,
            ..Limits::default()
        };
        let mut pace = Pace::default();
        for second in 0..1000 {
            // In bursts, with pauses between them.
            let came = if second % 9 == 0 { 2000 } else { 0 };
            assert!(pace.keeps_up(Duration::from_secs(1), came, &limits), "{second}");
        }
    }
}
