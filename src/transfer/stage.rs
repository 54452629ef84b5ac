//! Data that waits for an import: whole and durable on this node, neither hashed nor inspected before the import.
//!
//! The steps are those of an upload, up to the record: there the image becomes `uploading`, and stays so until it is
//! imported. The ledger keeps the data as long as it is there; the janitor removes it once the record does not say any more
//! that it waits.

use bytes::Bytes;
use http_body::Body;
use saccade_store_contract::{Attempt, BlobName, BlobWriter, ErrorKind};
use tokio::sync::oneshot;
use tracing::{Instrument, Span, info};

use super::{
    Source, Transfers, Turn, UploadError, UploadErrorKind,
    chunks::Chunks,
    fan_out::{RESERVE_INTERVAL, at_store},
    meter::{self, Meter},
    room::Room,
    upload::{begin_in_ledger, change, keep_claim},
};
use crate::{
    image::{
        Allowance, AttemptId, ChangeKind, Claim, ClaimPhase, Content, Image, ImageId, STAGE_HOST, Status,
        Timestamp,
    },
    ledger::{Entry, Held, UploadEntry},
    policy::{Authorized, Stage as MayStage},
    protocol::{Outcome, Recovery, RecoveryEnd, Upload, UploadStep},
    stores::STAGING,
};

/// One attempt under way.
struct Running<B> {
    transfers: Transfers,
    image: ImageId,
    attempt: AttemptId,
    entry: UploadEntry,
    source: Option<Source<B>>,
    room: Room,
    writer: Option<Box<dyn BlobWriter>>,
    held: Option<Held>,
    size: u64,
    failure: Option<UploadError>,
    meter: Meter,
    /// Held to the end.
    _turn: Turn,
}

impl Transfers {
    /// Keeps data for an import of a queued image. When it returns `Ok`, the image is `uploading`, and the data and the
    /// record are on stable storage. The store in `source` means nothing.
    ///
    /// It is a task of its own, which dropping this future does not stop; it ends when the body does. It takes its turn among
    /// uploads, and is nothing yet while it waits for it.
    ///
    /// # Errors
    /// See [`UploadErrorKind`].
    pub async fn stage<B>(
        &self,
        authorized: Authorized<MayStage>,
        image: &Image,
        source: Source<B>,
    ) -> Result<(), UploadError>
    where
        B: Body<Data = Bytes> + Send + 'static,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        if authorized.image_id() != image.id {
            return Err(UploadErrorKind::NotFound.into());
        }
        if image.status != Status::Queued {
            return Err(UploadErrorKind::NotQueued { status: image.status }.into());
        }
        let parts = &self.shared.parts;
        self.check_size(source.declared_size)?;
        let turn = self.shared.uploads.take(&source.tenant).await;
        let turn = turn.map_err(UploadErrorKind::Busy)?;
        let room = Room::find_for_staging(parts, image, source.declared_size).await?;
        let unavailable = |error| UploadError::because(UploadErrorKind::Unavailable, error);
        let staging = self.stores.staging().map_err(unavailable)?;
        let attempt = AttemptId::random();
        // By its own name: what an earlier attempt has left, and is being removed, is not in its way.
        let name = BlobName(attempt.as_uuid());
        let created = staging
            .store()
            .create(name, Attempt(attempt.as_uuid()), source.declared_size);
        let (handle, writer) = created.await.map_err(at_store)?;
        let running = Running {
            transfers: self.clone(),
            image: image.id,
            attempt,
            entry: UploadEntry {
                image: image.id.as_uuid(),
                attempt: attempt.as_uuid(),
                store: STAGING.to_owned(),
                handle: handle.as_str().to_owned(),
            },
            source: Some(source),
            room,
            writer: Some(writer),
            held: None,
            size: 0,
            failure: None,
            meter: Meter::upload(),
            _turn: turn,
        };
        let (told, answer) = oneshot::channel();
        parts.tasks.spawn(running.drive(told).instrument(Span::current()));
        match answer.await {
            Ok(result) => result,
            // The task has panicked; what it held is an orphan, which the janitor finishes.
            Err(gone) => Err(UploadError::because(UploadErrorKind::Unavailable, gone)),
        }
    }
}

impl Transfers {
    /// The URL of another node on which the data of this image waits for its import, if that is where it waits (Glance 33,
    /// `is_proxyable`).
    ///
    /// What is here is here, whatever the record says: a node may have got another URL since.
    pub async fn stage_host<'i>(&self, image: &'i Image) -> Option<&'i str> {
        let attempt = image.staged()?;
        let host = image.properties.get(STAGE_HOST).filter(|host| !host.is_empty())?;
        let own = self.shared.parts.limits.stage_host.as_deref();
        if own.is_some_and(|own| own.trim_end_matches('/') == host.trim_end_matches('/')) {
            return None;
        }
        let staging = self.stores.staging().ok()?;
        let location = staging.location(BlobName(attempt.as_uuid()));
        match staging.store().size(&location).await {
            Err(error) if error.kind() == ErrorKind::NotFound => Some(host),
            // Trouble with it is told by whoever needs it.
            Ok(_) | Err(_) => None,
        }
    }
}

impl<B> Running<B>
where
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    async fn drive(mut self, told: oneshot::Sender<Result<(), UploadError>>) {
        let mut machine = Upload::new();
        let recovery = loop {
            let result = match machine.step() {
                UploadStep::Begin => self.begin().await,
                UploadStep::Claim => self.claim().await,
                UploadStep::Stream => self.stream().await,
                UploadStep::CommitBlob => self.commit_blob().await,
                UploadStep::CommitMetadata => self.commit_metadata().await,
                UploadStep::HandOver(recovery) => break recovery,
            };
            machine.on(match result {
                Ok(()) => Outcome::Done,
                Err((outcome, error)) => {
                    self.failure.get_or_insert(error);
                    outcome
                }
            });
        };
        self.end(recovery, told).await;
    }

    async fn begin(&mut self) -> Result<(), (Outcome, UploadError)> {
        let ledger = &self.transfers.shared.parts.ledger;
        self.held = Some(begin_in_ledger(ledger, Entry::Staging(self.entry.clone())).await?);
        Ok(())
    }

    async fn claim(&mut self) -> Result<(), (Outcome, UploadError)> {
        let parts = &self.transfers.shared.parts;
        let claim = Claim {
            attempt: self.attempt,
            node: parts.node,
            expires_at: Timestamp::now().after(parts.limits.claim_lease),
            phase: ClaimPhase::Open,
        };
        let (kind, allowance) = (ChangeKind::Stage(claim), self.room.for_claim());
        change(&self.transfers, self.image, &self.room, kind, allowance)
            .await
            .map(drop)
    }

    async fn stream(&mut self) -> Result<(), (Outcome, UploadError)> {
        let (Some(source), Some(writer)) = (self.source.take(), &mut self.writer) else {
            return Err((Outcome::Failed, UploadErrorKind::Unavailable.into()));
        };
        let streamed = tokio::select! {
            streamed = write(&self.transfers, source, writer) => streamed,
            lost = keep_claim(&self.transfers, self.image, self.attempt) => Err(lost),
        };
        match streamed {
            Ok(size) => {
                self.size = size;
                Ok(())
            }
            Err(error) => {
                // Nothing may write any more when the bytes are removed.
                self.writer = None;
                Err((Outcome::Failed, error))
            }
        }
    }

    async fn commit_blob(&mut self) -> Result<(), (Outcome, UploadError)> {
        let Some(writer) = self.writer.take() else {
            return Err((Outcome::Failed, UploadErrorKind::Unavailable.into()));
        };
        let committed = writer.commit().await;
        committed
            .map(drop)
            .map_err(|error| (Outcome::Unknown, at_store(error)))
    }

    async fn commit_metadata(&mut self) -> Result<(), (Outcome, UploadError)> {
        let content = Content {
            attempt: self.attempt,
            size: self.size,
            virtual_size: None,
            checksum: None,
            hash_algorithm: None,
            hash_value: None,
        };
        let host = self.transfers.shared.parts.limits.stage_host.clone();
        let kind = ChangeKind::Staged { content, host };
        change(
            &self.transfers,
            self.image,
            &self.room,
            kind,
            Allowance::UNLIMITED,
        )
        .await
        .map(drop)
    }

    async fn end(mut self, recovery: Recovery, told: oneshot::Sender<Result<(), UploadError>>) {
        self.writer = None;
        let (image, size) = (self.image, self.size);
        let janitor = &self.transfers.janitor;
        let end = match (recovery == Recovery::SETTLE, self.held.take()) {
            // The operation stays in the ledger, as an orphan, for as long as the data is there.
            (true, held) => {
                drop(held);
                RecoveryEnd::KeptUnsettled
            }
            (false, Some(held)) => janitor.finish_staging(held, &self.entry).await,
            (false, None) => RecoveryEnd::Removed,
        };
        let result = match end {
            RecoveryEnd::Kept | RecoveryEnd::KeptUnsettled => {
                info!(%image, size, "image data waits for its import");
                self.meter.stored(size);
                Ok(())
            }
            RecoveryEnd::Removed | RecoveryEnd::Unfinished => Err(self
                .failure
                .unwrap_or_else(|| UploadErrorKind::Unavailable.into())),
        };
        // Nobody waits any more when the client has gone.
        let _ = told.send(result);
    }
}

/// Writes the body to its end; returns its length.
async fn write<B>(
    transfers: &Transfers,
    source: Source<B>,
    writer: &mut Box<dyn BlobWriter>,
) -> Result<u64, UploadError>
where
    B: Body<Data = Bytes>,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let limits = &transfers.shared.parts.limits;
    let declared = source.declared_size;
    let mut chunks = Chunks::new(source.body, &transfers.shared.chunks, &source.tenant);
    let (mut received, mut reserve_at) = (0_u64, 0);
    while let Some(chunk) = chunks.next().await? {
        received = received.saturating_add(chunk.len() as u64);
        meter::received(chunk.len());
        if let Some(declared) = declared.filter(|declared| received > *declared) {
            return Err(UploadErrorKind::SizeMismatch { declared, received }.into());
        }
        if received > limits.size_cap {
            return Err(UploadErrorKind::TooLarge {
                limit: limits.size_cap,
            }
            .into());
        }
        if received >= reserve_at {
            if limits.reserve.is_reached() {
                return Err(UploadErrorKind::StoreFull.into());
            }
            reserve_at = received.saturating_add(RESERVE_INTERVAL);
        }
        writer.write(chunk).await.map_err(at_store)?;
    }
    match declared {
        Some(declared) if declared != received => {
            Err(UploadErrorKind::SizeMismatch { declared, received }.into())
        }
        _ => Ok(received),
    }
}
