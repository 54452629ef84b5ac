//! The bytes of an object, as they come.

use std::{ops::Range, sync::Arc};

use bytes::Bytes;
use futures_util::{StreamExt, stream};
use http::{HeaderMap, StatusCode};
use saccade_outgoing::headers::{ContentRange, content_length, content_range};
use saccade_store_contract::{Blob, Body, ErrorKind, Operation, Result};
use tokio::time::timeout;

use crate::{
    client::{ANSWER, chain},
    failure::{Failure, refused},
    location::Place,
    requests::etag,
    store::Inner,
    undo::not_there,
};

struct Reading {
    inner: Arc<Inner>,
    place: Place,
    /// The version that is read; without one, what breaks off is not continued.
    version: Option<Version>,
    response: Option<reqwest::Response>,
    /// Where the next byte stands, and where there are no more.
    position: u64,
    end: u64,
    broken: usize,
    is_over: bool,
}

/// What tells versions of an object apart: RGW has one hash for all manifests, so the time counts as well.
///
/// It is compared here, and not asked for by `If-Match`: RGW compares that with the manifest's own hash.
#[derive(Debug, PartialEq, Eq)]
struct Version {
    tag: String,
    time: Option<String>,
}

impl Version {
    fn of(headers: &HeaderMap) -> Option<Self> {
        let time = headers
            .get("x-timestamp")
            .or_else(|| headers.get(http::header::LAST_MODIFIED));
        Some(Self {
            tag: etag(headers)?.to_owned(),
            time: time.and_then(|time| time.to_str().ok()).map(str::to_owned),
        })
    }
}

/// Opens an object, or a range of it that may be empty or begin or end behind it.
pub(crate) async fn open(inner: &Arc<Inner>, place: Place, range: Option<Range<u64>>) -> Result<Blob> {
    let subject = place.to_string();
    let failed = |failure: Failure| failure.at(Operation::Read, &subject);
    let past = |range: &Range<u64>| range.is_empty() || range.start >= i64::MAX.unsigned_abs();
    if range.as_ref().is_some_and(past) {
        return nothing_of(inner, &place).await;
    }
    let account = inner.account(&place);
    let response = match account.get(&place, range.clone()).await {
        Err(failure) if range.is_some() && failure.is(StatusCode::RANGE_NOT_SATISFIABLE) => {
            let blob = nothing_of(inner, &place).await?;
            return match range {
                Some(range) if range.start < blob.size => Err(failed(failure)),
                _ => Ok(blob),
            };
        }
        Err(failure) if failure.is(StatusCode::NOT_FOUND) => {
            account.assert_container(&place.container).await.map_err(failed)?;
            return Err(not_there(Operation::Read, &subject));
        }
        other => other.map_err(failed)?,
    };
    let (position, end, size) = match range {
        None => {
            let size = content_length(response.headers()).ok_or(Failure::Nonsense("no length"));
            let size = size.map_err(failed)?;
            (0, size, size)
        }
        // Of nothing, servers answer with all of it.
        Some(_) if is_empty(&response) => (0, 0, 0),
        Some(range) => part(&response, &range).map_err(failed)?,
    };
    let reading = Reading {
        inner: Arc::clone(inner),
        version: Version::of(response.headers()),
        place,
        response: Some(response),
        position,
        end,
        broken: 0,
        is_over: false,
    };
    let chunks = stream::unfold(reading, |mut reading| async move {
        let chunk = reading.next().await.transpose()?;
        reading.is_over = chunk.is_err();
        Some((chunk, reading))
    });
    Ok(Blob {
        size,
        body: Body::Stream(chunks.boxed()),
    })
}

fn is_empty(response: &reqwest::Response) -> bool {
    response.status() == StatusCode::OK && content_length(response.headers()) == Some(0)
}

/// Where the part begins and ends that comes, and how long the object is.
fn part(response: &reqwest::Response, range: &Range<u64>) -> Result<(u64, u64, u64), Failure> {
    let told = response.headers().get(http::header::CONTENT_RANGE);
    let told = told.and_then(|value| content_range(value.as_bytes()));
    match (response.status(), told) {
        (
            StatusCode::PARTIAL_CONTENT,
            Some(ContentRange::Part {
                first,
                last,
                total: Some(size),
            }),
        ) if first == range.start && last.checked_add(1) == Some(range.end.min(size)) => {
            Ok((first, range.end.min(size), size))
        }
        _ => Err(Failure::Nonsense("not the range that was asked for")),
    }
}

async fn nothing_of(inner: &Inner, place: &Place) -> Result<Blob> {
    let size = inner.size(place, Operation::Read).await?;
    Ok(Blob {
        size,
        body: Body::Stream(stream::empty().boxed()),
    })
}

impl Reading {
    async fn next(&mut self) -> Result<Option<Bytes>> {
        while !self.is_over {
            let failure = match self.chunk().await {
                Ok(Some(chunk)) => {
                    self.broken = 0;
                    return Ok(Some(chunk));
                }
                Ok(None) if self.position == self.end => break,
                Ok(None) => Failure::Connection(format!(
                    "the server ended {} bytes before the end",
                    self.end.saturating_sub(self.position)
                )),
                Err(failure) => failure,
            };
            self.go_on(failure).await?;
        }
        Ok(None)
    }

    async fn chunk(&mut self) -> Result<Option<Bytes>, Failure> {
        let Some(response) = &mut self.response else {
            return Ok(None);
        };
        let chunk = timeout(ANSWER, response.chunk())
            .await
            .map_err(|_| Failure::Timeout(ANSWER))?
            .map_err(|error| Failure::Connection(chain(error)))?;
        let Some(chunk) = chunk else { return Ok(None) };
        let position = u64::try_from(chunk.len())
            .ok()
            .and_then(|length| self.position.checked_add(length))
            .filter(|position| *position <= self.end)
            .ok_or(Failure::Nonsense("more bytes than it said there were"))?;
        self.position = position;
        Ok(Some(chunk))
    }

    /// Asks for the rest of the same version.
    async fn go_on(&mut self, failure: Failure) -> Result<()> {
        self.response = None;
        self.broken = self.broken.saturating_add(1);
        let subject = self.place.to_string();
        let failed = |failure: Failure| failure.at(Operation::Read, &subject);
        let may_go_on =
            failure.is_passing() && self.broken <= self.inner.continuations && self.position < self.end;
        let (Some(version), true) = (&self.version, may_go_on) else {
            return Err(failed(failure));
        };
        tracing::debug!(object = subject, position = self.position, %failure, "a download from Swift is continued");
        let range = self.position..self.end;
        let account = self.inner.account(&self.place);
        let response = account
            .get(&self.place, Some(range.clone()))
            .await
            .map_err(failed)?;
        if Version::of(response.headers()).as_ref() != Some(version) {
            let reason = "it was replaced while it was being read, or lost segments";
            return Err(refused(ErrorKind::Corrupt, Operation::Read, &subject, reason));
        }
        part(&response, &range).map_err(failed)?;
        self.response = Some(response);
        Ok(())
    }
}
