//! One upload, in its steps. Which comes next is the protocol's to say.

use bytes::Bytes;
use http_body::Body;
use saccade_store_contract::{Attempt, BlobName, BlobWriter, Location as BlobLocation};
use tokio::sync::oneshot;
use tracing::{Instrument, Span, info, warn};

use super::{
    Tenant, Transfers, Turn, UploadError, UploadErrorKind,
    chunks::Chunks,
    fan_out::{Expected, Received, at_store, fan_out, renewal},
    meter::Meter,
    room::Room,
    sums,
};
use crate::{
    digest::Algorithm,
    image::{
        Allowance, AttemptId, Change, ChangeKind, Claim, ClaimPhase, Content, Entry as Recorded, Image,
        ImageId, Location, Rejection, Status, StoreId, Timestamp,
    },
    inspect::Declared,
    janitor::outcome_of,
    ledger::{Entry, Held, Ledger, UploadEntry},
    metadata::{MetadataError, MetadataErrorKind},
    policy::{Authorized, Upload as MayUpload},
    protocol::{Outcome, Recovery, RecoveryEnd, Upload, UploadStep},
};

/// The data of an upload.
pub struct Source<B> {
    /// The bytes. Not polled before the upload has been found to be possible, so that `100 Continue` is not sent
    /// for one that is not.
    pub body: B,
    /// Their number, where the client has declared it.
    pub declared_size: Option<u64>,
    /// The store that is to take the data, by its id; `None` is the default one.
    pub store: Option<String>,
    /// On whose account it is: for the number of uploads under way, and for their memory.
    pub tenant: Tenant,
}

/// One attempt under way.
struct Running<B> {
    transfers: Transfers,
    image: Image,
    attempt: AttemptId,
    store: String,
    entry: UploadEntry,
    source: Option<Source<B>>,
    room: Room,
    writer: Option<Box<dyn BlobWriter>>,
    held: Option<Held>,
    content: Option<Content>,
    /// The length of what was received, in bytes.
    size: u64,
    location: Option<BlobLocation>,
    /// Why it does not succeed: the first thing that went wrong.
    failure: Option<UploadError>,
    meter: Meter,
    /// Held to the end.
    _turn: Turn,
}

impl Transfers {
    /// Brings data into a queued image. When it returns `Ok`, the image is active, and its bytes and record are on
    /// stable storage.
    ///
    /// The upload is a task of its own, which dropping this future does not stop; it ends when the body does. While it waits for its
    /// turn, it is none yet: dropped then, nothing was done.
    ///
    /// # Errors
    /// See [`UploadErrorKind`].
    pub async fn upload<B>(
        &self,
        authorized: Authorized<MayUpload>,
        image: Image,
        source: Source<B>,
    ) -> Result<(), UploadError>
    where
        B: Body<Data = Bytes> + Send + 'static,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        if authorized.image_id() != image.id {
            return Err(UploadErrorKind::NotFound.into());
        }
        self.check(&image, source.declared_size)?;
        let turn = self.shared.uploads.take(&source.tenant).await;
        let turn = turn.map_err(UploadErrorKind::Busy)?;
        let room = Room::find(&self.shared.parts, &image, source.declared_size).await?;
        let running = self.begin(image, source, room, turn).await?;
        let (told, answer) = oneshot::channel();
        self.shared
            .parts
            .tasks
            .spawn(running.drive(told).instrument(Span::current()));
        match answer.await {
            Ok(result) => result,
            // The task has panicked; what it held is an orphan, which the janitor finishes.
            Err(gone) => Err(UploadError::because(UploadErrorKind::Unavailable, gone)),
        }
    }

    /// Refuses what the claim or the store would refuse later, before anything is done for it.
    fn check(&self, image: &Image, declared_size: Option<u64>) -> Result<(), UploadErrorKind> {
        if image.status != Status::Queued {
            return Err(UploadErrorKind::NotQueued { status: image.status });
        }
        if image.disk_format.is_none() || image.container_format.is_none() {
            return Err(UploadErrorKind::FormatMissing);
        }
        self.check_size(declared_size)
    }

    /// Refuses what is too much for any image, or for this node now.
    pub(super) fn check_size(&self, declared_size: Option<u64>) -> Result<(), UploadErrorKind> {
        let limits = &self.shared.parts.limits;
        if declared_size.is_some_and(|size| size > limits.size_cap) {
            return Err(UploadErrorKind::TooLarge {
                limit: limits.size_cap,
            });
        }
        if limits.reserve.is_reached() {
            return Err(UploadErrorKind::StoreFull);
        }
        Ok(())
    }

    async fn begin<B>(
        &self,
        image: Image,
        source: Source<B>,
        room: Room,
        turn: Turn,
    ) -> Result<Running<B>, UploadError> {
        let attempt = AttemptId::random();
        let unavailable = |error| UploadError::because(UploadErrorKind::Unavailable, error);
        let stores = &self.stores;
        let id = source.store.as_deref().unwrap_or(stores.default_id());
        let store = stores.store(id).map_err(unavailable)?;
        let name = BlobName(image.id.as_uuid());
        let created = store
            .create(name, Attempt(attempt.as_uuid()), source.declared_size)
            .await;
        let (handle, writer) = created.map_err(at_store)?;
        let entry = UploadEntry {
            image: image.id.as_uuid(),
            attempt: attempt.as_uuid(),
            store: id.to_owned(),
            handle: handle.as_str().to_owned(),
        };
        Ok(Running {
            transfers: self.clone(),
            image,
            attempt,
            store: id.to_owned(),
            entry,
            source: Some(source),
            room,
            writer: Some(writer),
            held: None,
            content: None,
            size: 0,
            location: None,
            failure: None,
            meter: Meter::upload(),
            _turn: turn,
        })
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
                UploadStep::Begin => self.write_ledger().await,
                UploadStep::Claim => self.claim().await,
                UploadStep::Stream => self.stream_and_verify().await,
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

    async fn write_ledger(&mut self) -> Result<(), (Outcome, UploadError)> {
        let ledger = &self.transfers.shared.parts.ledger;
        self.held = Some(begin_in_ledger(ledger, Entry::Upload(self.entry.clone())).await?);
        Ok(())
    }

    async fn claim(&mut self) -> Result<(), (Outcome, UploadError)> {
        let parts = &self.transfers.shared.parts;
        let now = Timestamp::now();
        let claim = Claim {
            attempt: self.attempt,
            node: parts.node,
            expires_at: now.after(parts.limits.claim_lease),
            phase: ClaimPhase::Open,
        };
        let claim = ChangeKind::Claim(claim);
        let allowance = self.room.for_claim();
        let claimed = change(&self.transfers, self.image.id, &self.room, claim, allowance).await?;
        // What the data is held against stays as it is while the claim holds.
        if let Recorded::Live(image) = claimed {
            self.image = image;
        }
        Ok(())
    }

    async fn stream_and_verify(&mut self) -> Result<(), (Outcome, UploadError)> {
        let result = match (self.source.take(), &mut self.writer) {
            (Some(source), Some(writer)) => {
                stream(
                    &self.transfers,
                    &self.image,
                    self.attempt,
                    source,
                    &self.room,
                    writer,
                )
                .await
            }
            _ => Err(UploadErrorKind::Unavailable.into()),
        };
        match result {
            Ok(content) => {
                self.size = content.size;
                self.content = Some(content);
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
        match writer.commit().await {
            Ok(location) => {
                self.location = Some(location);
                Ok(())
            }
            Err(error) => Err((Outcome::Unknown, at_store(error))),
        }
    }

    async fn commit_metadata(&mut self) -> Result<(), (Outcome, UploadError)> {
        let (Some(content), Some(location)) = (self.content.take(), self.location.take()) else {
            return Err((Outcome::Failed, UploadErrorKind::Unavailable.into()));
        };
        let stores = &self.transfers.stores;
        let location = Location {
            store: Some(StoreId::new(self.store.as_str())),
            metadata: stores.metadata_of(&self.store, &location),
            url: location.into_string(),
        };
        let commit = ChangeKind::Commit { content, location };
        let allowance = self.room.for_content();
        let committed = change(&self.transfers, self.image.id, &self.room, commit, allowance).await?;
        share(&self.transfers, &committed).await;
        Ok(())
    }

    /// Tells the client, and leaves nothing behind; in this order when the upload has succeeded.
    async fn end(mut self, recovery: Recovery, told: oneshot::Sender<Result<(), UploadError>>) {
        self.writer = None;
        let janitor = self.transfers.janitor.clone();
        let image = self.image.id;
        if recovery == Recovery::SETTLE {
            info!(%image, store = self.store, size = self.size, "image data stored");
            self.meter.stored(self.size);
            // Nobody waits any more when the client has gone.
            let _ = told.send(Ok(()));
            if let Some(held) = self.held {
                janitor.finish(recovery, held, &self.entry).await;
            }
            return;
        }
        let failure = self
            .failure
            .unwrap_or_else(|| UploadErrorKind::Unavailable.into());
        let end = match self.held {
            Some(held) => janitor.finish(recovery, held, &self.entry).await,
            // The ledger could not be written: there is nothing to undo.
            None => RecoveryEnd::Removed,
        };
        let result = match end {
            RecoveryEnd::Kept | RecoveryEnd::KeptUnsettled => Ok(()),
            RecoveryEnd::Removed => Err(failure),
            RecoveryEnd::Unfinished => {
                warn!(%image, "a failed upload is not undone yet: the image stays in saving until it is");
                Err(failure)
            }
        };
        let _ = told.send(result);
    }
}

/// Says to the stores who may read the data that an image has got.
pub(super) async fn share(transfers: &Transfers, committed: &Recorded) {
    if let (true, Some(image)) = (transfers.stores.are_per_caller(), committed.live()) {
        transfers.janitor.share(image).await;
    }
}

pub(super) async fn begin_in_ledger(ledger: &Ledger, entry: Entry) -> Result<Held, (Outcome, UploadError)> {
    ledger.begin(entry).await.map_err(|error| {
        let kind = match error.is_for_want_of_room() {
            true => UploadErrorKind::StoreFull,
            false => UploadErrorKind::Unavailable,
        };
        (Outcome::Unknown, UploadError::because(kind, error))
    })
}

pub(super) async fn change(
    transfers: &Transfers,
    id: ImageId,
    room: &Room,
    kind: ChangeKind,
    allowance: Allowance,
) -> Result<Recorded, (Outcome, UploadError)> {
    let change = Change {
        id,
        at: Timestamp::now(),
        kind,
    };
    let metadata = &transfers.shared.parts.metadata;
    metadata.commit_within(change, allowance).await.map_err(|error| {
        let failure = match error.kind {
            MetadataErrorKind::Rejected(Rejection::OverLimit(excess)) => room.exceeded(&excess).into(),
            _ => return (outcome_of(&error), in_record(error)),
        };
        (outcome_of(&error), failure)
    })
}

/// Streams the body to its end, while the claim is renewed, and verifies what came.
async fn stream<B>(
    transfers: &Transfers,
    image: &Image,
    attempt: AttemptId,
    source: Source<B>,
    room: &Room,
    writer: &mut Box<dyn BlobWriter>,
) -> Result<Content, UploadError>
where
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let parts = &transfers.shared.parts;
    let limits = &parts.limits;
    let algorithms = [Algorithm::Md5, limits.hash_algorithm];
    let declared = Some(Declared::new(
        image.disk_format.as_deref().unwrap_or_default(),
        image.container_format.as_deref().unwrap_or_default(),
        limits.rules.clone(),
    ));
    let expected = Expected {
        size: source.declared_size,
        declared,
        limits,
        room,
    };
    let chunks = Chunks::new(source.body, &transfers.shared.chunks, &source.tenant);
    let digests = sums::start(&parts.digests, &algorithms, writer);
    let streaming = fan_out(chunks, digests, writer, expected);
    let received = tokio::select! {
        received = streaming => received?,
        lost = keep_claim(transfers, image.id, attempt) => return Err(lost),
    };
    verify(received, source.declared_size, attempt, limits.hash_algorithm)
}

/// Renews the claim for as long as it is polled; returns when it is lost.
pub(super) async fn keep_claim(transfers: &Transfers, image: ImageId, attempt: AttemptId) -> UploadError {
    let parts = &transfers.shared.parts;
    let lease = parts.limits.claim_lease;
    loop {
        tokio::time::sleep(renewal(lease)).await;
        let now = Timestamp::now();
        let kind = ChangeKind::Renew {
            attempt,
            expires_at: now.after(lease),
        };
        match parts
            .metadata
            .commit(Change {
                id: image,
                at: now,
                kind,
            })
            .await
        {
            Err(error) if matches!(error.kind, MetadataErrorKind::Rejected(_)) => return in_record(error),
            // One renewal may fail: the next comes before the lease is over.
            Ok(_) | Err(_) => {}
        }
    }
}

/// Holds what came against what was declared.
pub(super) fn verify(
    received: Received,
    declared_size: Option<u64>,
    attempt: AttemptId,
    algorithm: Algorithm,
) -> Result<Content, UploadError> {
    if let Some(size) = declared_size
        && size != received.size
    {
        return Err(UploadErrorKind::SizeMismatch {
            declared: size,
            received: received.size,
        }
        .into());
    }
    let verdict = received.verdict.transpose();
    let accepted = verdict.map_err(UploadErrorKind::Refused)?;
    let hex = |algorithm| received.digests.hex(algorithm).map(str::to_owned);
    Ok(Content {
        attempt,
        size: received.size,
        virtual_size: accepted.and_then(|accepted| accepted.virtual_size),
        checksum: hex(Algorithm::Md5),
        hash_algorithm: Some(algorithm.name().to_owned()),
        hash_value: hex(algorithm),
    })
}

/// What the record said, in the client's terms.
fn in_record(error: MetadataError) -> UploadError {
    let kind = match error.kind {
        MetadataErrorKind::Rejected(rejection) => match rejection {
            Rejection::NotFound => UploadErrorKind::NotFound,
            Rejection::Deleted => UploadErrorKind::Gone,
            Rejection::Status { from, .. } => UploadErrorKind::NotQueued { status: from },
            Rejection::FormatMissing => UploadErrorKind::FormatMissing,
            _ => UploadErrorKind::Lost,
        },
        MetadataErrorKind::Full => UploadErrorKind::StoreFull,
        _ => UploadErrorKind::Unavailable,
    };
    UploadError::because(kind, error)
}
