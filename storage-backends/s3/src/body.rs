//! The bytes of an object, as they come.

use std::{ops::Range, sync::Arc};

use bytes::Bytes;
use futures_util::{StreamExt, stream};
use http::{StatusCode, header};
use saccade_outgoing::headers::{ContentRange, content_length, content_range, strong_etag};
use saccade_store_contract::{Blob, Body, ErrorKind, Operation, Result};
use tokio::time::timeout;

use crate::{
    client::{ANSWER, chain},
    failure::{Failure, refused},
    store::Inner,
};

/// How often a body that breaks off is continued without a byte in between.
const CONTINUATIONS: usize = 3;

struct Reading {
    inner: Arc<Inner>,
    key: String,
    /// The version that is read; without a tag that names it, what breaks off is not continued.
    tag: Option<String>,
    response: Option<reqwest::Response>,
    /// Where the next byte stands, and where there are no more.
    position: u64,
    end: u64,
    broken: usize,
    is_over: bool,
}

/// Opens an object, or a range of it that may be empty or begin or end behind it.
pub(crate) async fn open(inner: &Arc<Inner>, key: String, range: Option<Range<u64>>) -> Result<Blob> {
    let failed = |failure: Failure| failure.at(Operation::Read, &key);
    let past = |range: &Range<u64>| range.is_empty() || range.start >= i64::MAX.unsigned_abs();
    if range.as_ref().is_some_and(past) {
        return nothing_of(inner, &key).await;
    }
    let response = match inner.client.get(&key, range.clone(), None).await {
        Err(failure)
            if range.is_some() && failure.is(StatusCode::RANGE_NOT_SATISFIABLE, &["InvalidRange"]) =>
        {
            let blob = nothing_of(inner, &key).await?;
            return match range {
                Some(range) if range.start < blob.size => Err(failed(failure)),
                _ => Ok(blob),
            };
        }
        Err(failure) if failure.is(StatusCode::NOT_FOUND, &[]) => {
            return Err(refused(
                ErrorKind::NotFound,
                Operation::Read,
                &key,
                failure.to_string(),
            ));
        }
        other => other.map_err(failed)?,
    };
    let (position, end, size) = match range {
        None => {
            let size = content_length(response.headers()).ok_or(Failure::Nonsense("no length"));
            let size = size.map_err(failed)?;
            (0, size, size)
        }
        Some(range) => part(&response, &range).map_err(failed)?,
    };
    let reading = Reading {
        inner: Arc::clone(inner),
        tag: strong_etag(response.headers()).map(str::to_owned),
        key,
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

/// Where the part begins and ends that comes, and how long the object is.
fn part(response: &reqwest::Response, range: &Range<u64>) -> Result<(u64, u64, u64), Failure> {
    let told = response.headers().get(header::CONTENT_RANGE);
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

async fn nothing_of(inner: &Inner, key: &str) -> Result<Blob> {
    let size = inner.size(key, Operation::Read).await?;
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
        let failed = |failure: Failure| failure.at(Operation::Read, &self.key);
        let Some(tag) = self
            .tag
            .as_deref()
            .filter(|_| failure.is_passing() && self.broken <= CONTINUATIONS && self.position < self.end)
        else {
            return Err(failed(failure));
        };
        tracing::debug!(key = self.key, position = self.position, %failure, "a download from S3 is continued");
        let range = self.position..self.end;
        let response = self
            .inner
            .client
            .get(&self.key, Some(range.clone()), Some(tag))
            .await;
        let response = match response {
            Ok(response) => response,
            Err(failure) if failure.is_precondition() => {
                let reason = "it was replaced while it was being read";
                return Err(refused(ErrorKind::Corrupt, Operation::Read, &self.key, reason));
            }
            Err(failure) => return Err(failed(failure)),
        };
        if strong_etag(response.headers()) != Some(tag) {
            return Err(failed(Failure::Nonsense("another version than was asked for")));
        }
        part(&response, &range).map_err(failed)?;
        self.response = Some(response);
        Ok(())
    }
}
