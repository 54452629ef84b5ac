//! A file of another server, read to its end: taken up again where a connection broke.

use std::time::Duration;

use bytes::Bytes;
use futures_util::{StreamExt, stream, stream::BoxStream};
use http::{HeaderMap, HeaderValue, StatusCode, header};
use saccade_outgoing::{
    Call, Client, Error, Provenance, Response, Target,
    headers::{self, ContentRange},
};

type Cause = Box<dyn std::error::Error + Send + Sync>;

/// The pause before a broken connection is taken up again; each next one is twice as long.
const FIRST_PAUSE: Duration = Duration::from_millis(250);

/// Whoever sends so many bytes has made progress, and may break off again. In bytes.
const PROGRESS: u64 = 1 << 20;

/// Where a file is, and who asks for it.
#[derive(Clone)]
pub(super) struct Place {
    pub(super) client: Client,
    pub(super) target: Target,
    /// Sent with each request: what is secret is marked sensitive.
    pub(super) headers: HeaderMap,
}

impl Place {
    /// Asks for the file, or for what is left of it from a position on. Any status but a redirect is an answer.
    pub(super) async fn ask(&self, from: Option<u64>) -> Result<Response, Error> {
        let mut headers = self.headers.clone();
        if let Some(from) = from {
            headers.insert(header::RANGE, range_from(from));
        }
        let call = Call {
            only_header: false,
            target: &self.target,
            provenance: Provenance::Asked,
            headers,
        };
        self.client.fetch(&call).await
    }

    /// The file, whose first answer is there already. `size` is what it has to have, in bytes; without it the end of the
    /// answer is the end of the file, and a connection that breaks is the end of all.
    pub(super) fn read(
        self,
        response: Response,
        size: Option<u64>,
        retries: u32,
    ) -> BoxStream<'static, Result<Bytes, Cause>> {
        let reading = Reading {
            version: Version::of(&response),
            place: self,
            response: Some(response),
            size,
            at: 0,
            broken: Broken {
                left: retries,
                retries,
                at: 0,
            },
        };
        let chunks = stream::unfold(Some(reading), |reading| async move {
            let mut reading = reading?;
            match reading.next().await {
                Ok(None) => None,
                Ok(Some(chunk)) => Some((Ok(chunk), Some(reading))),
                Err(error) => Some((Err(error), None)),
            }
        });
        chunks.boxed()
    }
}

fn range_from(at: u64) -> HeaderValue {
    // Digits and signs of ASCII always make a header; an answer to another range would not be taken.
    HeaderValue::try_from(format!("bytes={at}-")).unwrap_or(HeaderValue::from_static("bytes=0-"))
}

/// What tells one version of a file from another, beside its length.
#[derive(Debug, PartialEq, Eq)]
struct Version {
    tag: Option<String>,
    modified: Option<HeaderValue>,
}

/// How often a connection may still break.
struct Broken {
    left: u32,
    retries: u32,
    /// Where it broke last.
    at: u64,
}

struct Reading {
    place: Place,
    /// Gone once it has broken.
    response: Option<Response>,
    version: Version,
    size: Option<u64>,
    at: u64,
    broken: Broken,
}

impl Reading {
    async fn next(&mut self) -> Result<Option<Bytes>, Cause> {
        loop {
            let Some(response) = &mut self.response else {
                self.response = Some(self.take_up().await?);
                continue;
            };
            let cause: Cause = match response.chunk().await {
                Ok(Some(chunk)) => {
                    self.at = self.at.saturating_add(chunk.len() as u64);
                    return Ok(Some(chunk));
                }
                Ok(None) if self.size.is_none_or(|size| size == self.at) => return Ok(None),
                Ok(None) => format!("{} ended before its end", self.place.target).into(),
                Err(error) => error.into(),
            };
            self.response = None;
            // Without a length nothing tells whether the rest is the rest of the same.
            if self.size.is_none() {
                return Err(cause);
            }
            match self.broken.pause(self.at) {
                Some(pause) => {
                    tracing::debug!(target = %self.place.target, at = self.at, cause = chain(&*cause), "an import is taken up again");
                    tokio::time::sleep(pause).await;
                }
                None => return Err(cause),
            }
        }
    }

    /// Asks for the rest of the same file.
    async fn take_up(&self) -> Result<Response, Cause> {
        let response = self.place.ask(Some(self.at)).await?;
        let told = response.headers().get(header::CONTENT_RANGE);
        let told = told.and_then(|told| headers::content_range(told.as_bytes()));
        let is_rest = matches!(
            told,
            Some(ContentRange::Part { first, total, .. }) if first == self.at && total == self.size
        );
        if response.status() != StatusCode::PARTIAL_CONTENT || !is_rest {
            return Err(format!(
                "{} broke off, and does not send the rest of its file",
                self.place.target
            )
            .into());
        }
        if Version::of(&response) != self.version {
            return Err(format!("{} broke off, and has another file by now", self.place.target).into());
        }
        Ok(response)
    }
}

impl Version {
    fn of(response: &Response) -> Self {
        Self {
            tag: headers::strong_etag(response.headers()).map(str::to_owned),
            modified: response.headers().get(header::LAST_MODIFIED).cloned(),
        }
    }
}

impl Broken {
    /// How long to wait before the connection, which broke at `at`, is taken up again; `None` gives up.
    fn pause(&mut self, at: u64) -> Option<Duration> {
        if at.saturating_sub(self.at) >= PROGRESS {
            self.left = self.retries;
        }
        self.at = at;
        let tried = self.retries.saturating_sub(self.left);
        self.left = self.left.checked_sub(1)?;
        Some(FIRST_PAUSE.saturating_mul(1 << tried.min(6)))
    }
}

/// An error with its causes.
pub(super) fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    let causes = std::iter::successors(Some(error), |error| error.source());
    causes.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn progress_earns_new_tries_and_drops_do_not() {
        let mut broken = Broken {
            left: 2,
            retries: 2,
            at: 0,
        };
        assert_eq!(broken.pause(1), Some(FIRST_PAUSE));
        assert_eq!(broken.pause(2), Some(FIRST_PAUSE * 2));
        assert_eq!(broken.pause(3), None);
        assert_eq!(broken.pause(3 + PROGRESS), Some(FIRST_PAUSE));
    }
}
