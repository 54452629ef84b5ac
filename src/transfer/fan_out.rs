//! Each chunk to digest, inspector and blob writer, side by side.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use bytes::Bytes;
use http_body::Body;
use saccade_store_contract::{BlobWriter, ErrorKind, PartLengths, PartSums};
use tokio::sync::mpsc;

use super::{Limits, UploadError, UploadErrorKind, chunks::Chunks, meter, room::Room};
use crate::{
    digest::{DigestError, DigestStream, Digests},
    inspect::{Accepted, Declared, Inspection, Refusal},
};

/// Chunks between the reader and the writer: one on its way while one is being written.
const UNWRITTEN: usize = 2;

/// How often the reserve is looked at, in bytes received.
pub(super) const RESERVE_INTERVAL: u64 = 64 << 20;

/// What an upload's stream came to.
pub(super) struct Received {
    pub(super) size: u64,
    pub(super) digests: Digests,
    /// `None` when it was not inspected.
    pub(super) verdict: Option<Result<Accepted, Refusal>>,
}

/// What each chunk is measured by.
pub(super) struct Expected<'a> {
    /// What the client declared, in bytes.
    pub(super) size: Option<u64>,
    /// What the image is declared to be; `None` when its data was inspected before.
    pub(super) declared: Option<Declared>,
    pub(super) limits: &'a Limits,
    pub(super) room: &'a Room,
}

/// Takes the chunks, in their order.
#[async_trait]
pub(super) trait Sink: Send {
    async fn write(&mut self, chunk: Bytes) -> saccade_store_contract::Result<()>;

    /// The parts of which it wants the MD5.
    fn parts(&self) -> Option<PartLengths>;

    /// Where it gets that.
    fn use_sums(&mut self, sums: Arc<dyn PartSums>);
}

#[async_trait]
impl Sink for Box<dyn BlobWriter> {
    async fn write(&mut self, chunk: Bytes) -> saccade_store_contract::Result<()> {
        BlobWriter::write(&mut **self, chunk).await
    }

    fn parts(&self) -> Option<PartLengths> {
        BlobWriter::parts(&**self)
    }

    fn use_sums(&mut self, sums: Arc<dyn PartSums>) {
        BlobWriter::use_sums(&mut **self, sums);
    }
}

/// Brings a body to its end: hashed, inspected and written. The first error stops all; the slowest of the three sets
/// the pace. Holds at most the chunks that the queues of writer and digests hold.
pub(super) async fn fan_out<B>(
    chunks: Chunks<B>,
    digests: DigestStream,
    writer: &mut dyn Sink,
    expected: Expected<'_>,
) -> Result<Received, UploadError>
where
    B: Body<Data = Bytes>,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let (unwritten, written) = mpsc::channel(UNWRITTEN);
    // The writer's own error, where it has one, is why the reader cannot go on.
    let (read, wrote) = tokio::join!(
        receive(chunks, digests, unwritten, expected),
        write(written, writer)
    );
    wrote?;
    read
}

async fn receive<B>(
    mut chunks: Chunks<B>,
    mut digests: DigestStream,
    unwritten: mpsc::Sender<Bytes>,
    expected: Expected<'_>,
) -> Result<Received, UploadError>
where
    B: Body<Data = Bytes>,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let mut inspection = expected.declared.clone().map(Inspection::new);
    let mut size: u64 = 0;
    let mut reserve_at = 0;
    while let Some(chunk) = chunks.next().await? {
        size = size.saturating_add(chunk.len() as u64);
        meter::received(chunk.len());
        expected.check_size(size)?;
        if size >= reserve_at {
            if expected.limits.reserve.is_reached() {
                return Err(UploadErrorKind::StoreFull.into());
            }
            reserve_at = size.saturating_add(RESERVE_INTERVAL);
        }
        if let Some(inspection) = &mut inspection {
            inspection.push(&chunk);
            if let Some(refusal) = inspection.early_refusal() {
                return Err(UploadErrorKind::Refused(refusal).into());
            }
        }
        let (hashed, sent) = tokio::join!(digests.push(chunk.clone()), unwritten.send(chunk));
        hashed.map_err(not_hashed)?;
        // The writer has failed, and says why.
        sent.map_err(|_| UploadErrorKind::Unavailable)?;
    }
    drop(unwritten);
    let digests = digests.finish().await.map_err(not_hashed)?;
    Ok(Received {
        size,
        digests,
        verdict: inspection.map(|inspection| inspection.verdict()),
    })
}

async fn write(mut chunks: mpsc::Receiver<Bytes>, writer: &mut dyn Sink) -> Result<(), UploadError> {
    while let Some(chunk) = chunks.recv().await {
        writer.write(chunk).await.map_err(at_store)?;
    }
    Ok(())
}

impl Expected<'_> {
    /// Whether so many bytes may have come.
    fn check_size(&self, received: u64) -> Result<(), UploadErrorKind> {
        if let Some(declared) = self.size
            && received > declared
        {
            return Err(UploadErrorKind::SizeMismatch { declared, received });
        }
        if received > self.limits.size_cap {
            return Err(UploadErrorKind::TooLarge {
                limit: self.limits.size_cap,
            });
        }
        self.room.check(received)
    }
}

fn not_hashed(error: DigestError) -> UploadError {
    UploadError::because(UploadErrorKind::Unavailable, error)
}

/// A store's error in the client's terms.
pub(super) fn at_store(error: saccade_store_contract::Error) -> UploadError {
    let kind = match error.kind() {
        ErrorKind::Full => UploadErrorKind::StoreFull,
        ErrorKind::Denied | ErrorKind::Unsupported => UploadErrorKind::StoreDenied,
        _ => UploadErrorKind::Unavailable,
    };
    UploadError::because(kind, error)
}

/// How long until a claim with this lease is renewed: early enough that one failure does not lose it.
pub(super) fn renewal(lease: Duration) -> Duration {
    (lease / 3).max(Duration::from_secs(1))
}
