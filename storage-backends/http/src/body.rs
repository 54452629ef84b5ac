//! A body, cut to what was asked for.

use bytes::{Buf, Bytes};
use futures_util::{StreamExt, stream};
use saccade_outgoing::Response;
use saccade_store_contract::{Body, ErrorKind, Operation, Result};

use crate::errors::{failed, unanswered};

/// What follows the wanted bytes in a server's answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Rest {
    /// Nothing; if something does, the file is not what its server says.
    None,
    /// More of the file, which is left where it is.
    Ignored,
}

struct Reading {
    response: Response,
    skip: u64,
    left: u64,
    rest: Rest,
    /// More has come than there should be.
    overfull: bool,
    /// Nothing comes after it.
    over: bool,
}

/// No bytes.
pub(crate) fn empty() -> Body {
    Body::Stream(stream::empty().boxed())
}

/// `len` bytes of the answer, after `skip` others. The stream fails if fewer come.
pub(crate) fn cut(response: Response, skip: u64, len: u64, rest: Rest) -> Body {
    let reading = Reading {
        response,
        skip,
        left: len,
        rest,
        overfull: false,
        over: false,
    };
    let chunks = stream::unfold(reading, |mut reading| async move {
        let chunk = reading.next().await.transpose()?;
        reading.over = chunk.is_err();
        Some((chunk, reading))
    });
    Body::Stream(chunks.boxed())
}

impl Reading {
    async fn next(&mut self) -> Result<Option<Bytes>> {
        while !self.over {
            if self.overfull {
                let cause = "more bytes come than the server said there were";
                return Err(self.failure(ErrorKind::Corrupt, cause.to_owned()));
            }
            if self.left == 0 && self.rest == Rest::Ignored {
                break;
            }
            let chunk = match self.response.chunk().await {
                Ok(chunk) => chunk,
                Err(cause) => return Err(unanswered(Operation::Read, self.response.target(), cause)),
            };
            match chunk {
                None if self.left == 0 => break,
                None => {
                    let cause = format!("the server ended {} bytes before the end", self.missing());
                    return Err(self.failure(ErrorKind::Unavailable, cause));
                }
                Some(chunk) => {
                    let wanted = self.take(chunk);
                    if !wanted.is_empty() {
                        return Ok(Some(wanted));
                    }
                }
            }
        }
        Ok(None)
    }

    /// What of a chunk is wanted.
    fn take(&mut self, mut chunk: Bytes) -> Bytes {
        let skipped = within(self.skip, chunk.len());
        chunk.advance(skipped);
        self.skip = self.skip.saturating_sub(count(skipped));
        let wanted = within(self.left, chunk.len());
        self.overfull = wanted < chunk.len() && self.rest == Rest::None;
        chunk.truncate(wanted);
        self.left = self.left.saturating_sub(count(chunk.len()));
        chunk
    }

    fn missing(&self) -> u64 {
        self.left.saturating_add(self.skip)
    }

    fn failure(&self, kind: ErrorKind, cause: String) -> saccade_store_contract::Error {
        failed(kind, Operation::Read, self.response.target(), cause)
    }
}

fn within(wanted: u64, there: usize) -> usize {
    usize::try_from(wanted).unwrap_or(usize::MAX).min(there)
}

fn count(bytes: usize) -> u64 {
    u64::try_from(bytes).unwrap_or(u64::MAX)
}
