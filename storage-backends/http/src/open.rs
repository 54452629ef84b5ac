//! Questions to a server, and what its answers say.

use std::ops::Range;

use http::{HeaderMap, HeaderValue, StatusCode, header};
use saccade_outgoing::{
    Call, Client, Provenance, Response, Target,
    headers::{self, ContentRange},
};
use saccade_store_contract::{Blob, ErrorKind, Operation, Result};

use crate::{
    body::{self, Rest},
    errors::{failed, nonsense, refused, unanswered},
    versions::{Version, Versions},
};

/// How many bytes before a range are read and thrown away, where a server has no ranges.
pub const MAX_SKIP: u64 = 64 << 20;

/// No file is longer; larger numbers overflow in servers.
const MAX_OFFSET: u64 = i64::MAX.unsigned_abs();

/// One file, to be asked for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct File<'a> {
    pub(crate) client: &'a Client,
    pub(crate) versions: &'a Versions,
    pub(crate) target: &'a Target,
    pub(crate) operation: Operation,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Question {
    Header,
    Whole,
    /// Not empty, and with a start below [`MAX_OFFSET`].
    Part {
        start: u64,
        end: u64,
    },
}

impl File<'_> {
    /// The length, by `HEAD`, or by a `GET` where the server has no answer to that: signed URLs are often for `GET`
    /// alone, and frameworks say 0.
    pub(crate) async fn size(&self) -> Result<u64> {
        let response = self.ask(Question::Header).await?;
        let told = match response.status() {
            StatusCode::OK => headers::content_length(response.headers()),
            status if is_final(status) => return Err(self.refused(status)),
            _ => None,
        };
        if let Some(size) = told.filter(|size| *size > 0) {
            return Ok(size);
        }
        drop(response);
        let response = self.ask(Question::Part { start: 0, end: 1 }).await?;
        let size = match response.status() {
            StatusCode::OK => headers::content_length(response.headers()),
            StatusCode::PARTIAL_CONTENT | StatusCode::RANGE_NOT_SATISFIABLE => total(&response),
            status => return Err(self.refused(status)),
        };
        let both_say_empty = told == Some(0) && headers::content_length(response.headers()) == Some(0);
        size.or(both_say_empty.then_some(0)).ok_or_else(|| {
            let cause = "the server does not say how long it is";
            failed(ErrorKind::Unsupported, self.operation, self.target, cause)
        })
    }

    pub(crate) async fn whole(&self) -> Result<Blob> {
        let response = self.ask(Question::Whole).await?;
        if response.status() != StatusCode::OK {
            return Err(self.refused(response.status()));
        }
        let size = self.size_of(&response).await?;
        self.versions.begin(self.target, Version::of(&response, size));
        let body = body::cut(response, 0, size, Rest::None);
        Ok(Blob { size, body })
    }

    /// A range that may be empty, or begin or end behind the file.
    pub(crate) async fn part(&self, range: Range<u64>) -> Result<Blob> {
        if range.is_empty() || range.start >= MAX_OFFSET {
            return Ok(nothing_of(self.size().await?));
        }
        let (start, end) = (range.start, range.end);
        let response = self.ask(Question::Part { start, end }).await?;
        match response.status() {
            StatusCode::PARTIAL_CONTENT => self.answered_part(response, range).await,
            StatusCode::OK => self.answered_whole(response, range).await,
            StatusCode::RANGE_NOT_SATISFIABLE => {
                let size = match total(&response) {
                    Some(size) => size,
                    None => self.size().await?,
                };
                if start < size {
                    return Err(self.nonsense("it has no such range of a file that is long enough"));
                }
                self.check(&response, size)?;
                Ok(nothing_of(size))
            }
            status => Err(self.refused(status)),
        }
    }

    async fn answered_part(&self, response: Response, range: Range<u64>) -> Result<Blob> {
        // No part is empty, but tower-http's answer for an empty file is (`bytes 0-0/0`).
        if headers::content_length(response.headers()) == Some(0) && self.size().await? == 0 {
            return Ok(nothing_of(0));
        }
        let Some(ContentRange::Part { first, last, total }) = content_range(&response) else {
            return Err(self.nonsense("a part without a Content-Range that could be read"));
        };
        let size = match total {
            Some(total) => total,
            None => self.size().await?,
        };
        // `last` is below some total, and so is `end`; the range is not empty.
        let end = range.end.min(size);
        if first != range.start || last.checked_add(1) != Some(end) {
            return Err(self.nonsense("it is another part than was asked for"));
        }
        let len = end.saturating_sub(first);
        if headers::content_length(response.headers()).is_some_and(|told| told != len) {
            return Err(self.nonsense("the lengths of the part differ"));
        }
        self.check(&response, size)?;
        let body = body::cut(response, 0, len, Rest::None);
        Ok(Blob { size, body })
    }

    /// The server has no ranges.
    async fn answered_whole(&self, response: Response, range: Range<u64>) -> Result<Blob> {
        let size = self.size_of(&response).await?;
        self.check(&response, size)?;
        let (start, end) = (range.start.min(size), range.end.min(size));
        if start == end {
            return Ok(nothing_of(size));
        }
        if start > MAX_SKIP {
            let cause =
                "the server gives no ranges, and the range is too far from the start to skip what is before";
            return Err(failed(ErrorKind::Unsupported, self.operation, self.target, cause));
        }
        let rest = if end == size { Rest::None } else { Rest::Ignored };
        let body = body::cut(response, start, end.saturating_sub(start), rest);
        Ok(Blob { size, body })
    }

    /// The length of a file that is on its way; chunked answers do not tell it.
    async fn size_of(&self, response: &Response) -> Result<u64> {
        match headers::content_length(response.headers()) {
            Some(size) => Ok(size),
            None => self.size().await,
        }
    }

    fn check(&self, response: &Response, size: u64) -> Result<()> {
        if self
            .versions
            .is_as_before(self.target, Version::of(response, size))
        {
            return Ok(());
        }
        let cause = "the file is another than it was when parts of it were read";
        Err(failed(ErrorKind::Corrupt, self.operation, self.target, cause))
    }

    async fn ask(&self, question: Question) -> Result<Response> {
        let mut headers = HeaderMap::new();
        if let Question::Part { start, end } = question {
            headers.insert(header::RANGE, range_header(start, end));
        }
        let call = Call {
            only_header: question == Question::Header,
            target: self.target,
            provenance: Provenance::Recorded,
            headers,
        };
        let answer = self.client.fetch(&call).await;
        answer.map_err(|cause| unanswered(self.operation, self.target, cause))
    }

    fn refused(&self, status: StatusCode) -> saccade_store_contract::Error {
        refused(self.operation, self.target, status)
    }

    fn nonsense(&self, what: &str) -> saccade_store_contract::Error {
        nonsense(self.operation, self.target, what)
    }
}

/// `bytes=0-9` for 0..10; to the end where that is further than a file can be.
fn range_header(start: u64, end: u64) -> HeaderValue {
    let text = match end.checked_sub(1).filter(|last| *last < MAX_OFFSET) {
        Some(last) => format!("bytes={start}-{last}"),
        None => format!("bytes={start}-"),
    };
    // Digits are always a header.
    HeaderValue::try_from(text).unwrap_or(HeaderValue::from_static("bytes=0-"))
}

fn content_range(response: &Response) -> Option<ContentRange> {
    headers::content_range(response.headers().get(header::CONTENT_RANGE)?.as_bytes())
}

fn total(response: &Response) -> Option<u64> {
    match content_range(response)? {
        ContentRange::Part { total, .. } => total,
        ContentRange::Unsatisfied { total } => Some(total),
    }
}

/// Whether a `GET` would fare as the `HEAD` did.
fn is_final(status: StatusCode) -> bool {
    matches!(status.as_u16(), 404 | 410 | 429 | 502..=504)
}

fn nothing_of(size: u64) -> Blob {
    let body = body::empty();
    Blob { size, body }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_end_before_their_end_and_never_overflow() {
        for (range, header) in [
            (0..1, "bytes=0-0"),
            (5..10, "bytes=5-9"),
            (5..u64::MAX, "bytes=5-"),
            (7..MAX_OFFSET, "bytes=7-9223372036854775806"),
            (7..MAX_OFFSET + 1, "bytes=7-"),
        ] {
            assert_eq!(range_header(range.start, range.end), header);
        }
    }
}
