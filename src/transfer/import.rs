//! Data becomes an image's in the background: what waits on this node, or what another place sends, in one pass into one
//! or several stores.
//!
//! The steps are those of an upload, with several writers. The record takes all locations at once: the image is `active`
//! with what has succeeded, or `queued` with nothing.

use std::{future::Future, pin::Pin};

use bytes::Bytes;
use futures_util::{StreamExt, stream::BoxStream};
use http_body::Frame;
use http_body_util::StreamBody;
use saccade_store_contract::{Attempt, Blob, BlobName, Body};
use tokio::sync::oneshot;
use tracing::{Instrument, Span, info, warn};

use super::{
    Limits, Tenant, Transfers, UploadError, UploadErrorKind,
    adopt::region_chunks,
    chunks::Chunks,
    fan_out::{Expected, at_store, fan_out},
    meter::Meter,
    original::Original,
    plugin::{Bounds, Data, Passing, Treatment, not_the_client},
    room::Room,
    sums,
    targets::{Target, Targets},
    upload::{begin_in_ledger, change, keep_claim, share, verify},
};
use crate::{
    digest::Algorithm,
    image::{
        AttemptId, ChangeKind, Claim, ClaimPhase, Content, Entry as Recorded, Image, Location, StoreId,
        TaskId, Timestamp,
    },
    inspect::Declared,
    ledger::{Entry, UploadEntry},
    policy::{Authorized, Import as MayImport},
    protocol::{Outcome, Recovery, RecoveryEnd, Upload, UploadStep},
};

pub(super) type Cause = Box<dyn std::error::Error + Send + Sync>;

/// Bytes from another place.
pub struct Incoming {
    /// Their number, where the place says it.
    pub size: Option<u64>,
    /// The bytes.
    pub chunks: BoxStream<'static, Result<Bytes, Cause>>,
}

/// What another place answers.
pub struct Arrival {
    /// Its bytes.
    pub data: Incoming,
    /// What it says of them, where they are an image there.
    pub original: Option<Original>,
}

/// Asks another place for its bytes, once the image is claimed. Its error is for the person who asked.
pub type Opening = Pin<Box<dyn Future<Output = Result<Arrival, String>> + Send>>;

/// Where the data comes from.
pub enum Origin {
    /// What waits on this node.
    Staged(AttemptId),
    /// Another place.
    Elsewhere(Opening),
    /// The stores that the image is in already: it goes to more of them.
    Own,
}

/// What becomes of an import that cannot write to some of its stores.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Partial {
    /// It fails (`all_stores_must_succeed`).
    Refused,
    /// The image is in the others.
    Accepted,
}

/// An import that is asked for.
pub struct Import {
    /// Names it in the image's properties.
    pub task: TaskId,
    /// Brings the data.
    pub attempt: AttemptId,
    /// Where the data comes from.
    pub origin: Origin,
    /// The ids of the stores that are to have it; none is the default one.
    pub stores: Vec<String>,
    /// The same as the image's properties name them while it is under way: those whose names clients know.
    pub shown: Vec<String>,
    /// What becomes of it when some of them fail.
    pub partial: Partial,
    /// What is done beside. Nothing is, to copies.
    pub treatment: Treatment,
}

/// An import under way; what it comes to: the image's size in bytes.
pub type Importing = oneshot::Receiver<Result<u64, UploadError>>;

/// One attempt under way.
struct Running {
    transfers: Transfers,
    image: Image,
    import: Import,
    targets: Targets,
    room: Room,
    content: Option<Content>,
    failure: Option<UploadError>,
    /// Told once the image is claimed, or cannot be.
    told: Option<oneshot::Sender<Result<(), UploadError>>>,
    meter: Meter,
}

impl Transfers {
    /// Whether there is room for more data of the image's owner at all (`image_size_total`, `user_storage_quota`).
    ///
    /// # Errors
    /// `OverLimit`, `Limits`, `LimitsMisconfigured`, `Unavailable`.
    pub async fn check_room(&self, image: &Image) -> Result<(), UploadError> {
        Room::find(&self.shared.parts, image, None).await.map(drop)
    }

    /// Begins an import. When it returns `Ok`, the image is `importing`; what is returned tells the end.
    ///
    /// Dropping either stops nothing.
    ///
    /// # Errors
    /// As [`Transfers::upload`]: the image is as it was.
    pub async fn import(
        &self,
        authorized: Authorized<MayImport>,
        image: Image,
        mut import: Import,
    ) -> Result<Importing, UploadError> {
        if authorized.image_id() != image.id {
            return Err(UploadErrorKind::NotFound.into());
        }
        let parts = &self.shared.parts;
        if parts.limits.reserve.is_reached() {
            return Err(UploadErrorKind::StoreFull.into());
        }
        let size = match import.origin {
            // What plugins make of it may have any size.
            Origin::Staged(_) if !import.treatment.plugins.is_empty() => None,
            Origin::Staged(_) | Origin::Own => image.size(),
            Origin::Elsewhere(_) => None,
        };
        let room = Room::find(parts, &image, size).await?;
        if import.stores.is_empty() {
            import.stores = vec![self.stores.default_id().to_owned()];
        }
        let mut targets = Vec::new();
        for id in &import.stores {
            if parts.ledger.has_upload(image.id.as_uuid(), id) {
                return Err(UploadErrorKind::ClearingUp { store: id.clone() }.into());
            }
            let unavailable = |error| UploadError::because(UploadErrorKind::Unavailable, error);
            let store = self.stores.store(id).map_err(unavailable)?;
            let name = BlobName(image.id.as_uuid());
            let created = store.create(name, Attempt(import.attempt.as_uuid()), size).await;
            match created {
                Ok((handle, writer)) => targets.push(Target::new(
                    UploadEntry {
                        image: image.id.as_uuid(),
                        attempt: import.attempt.as_uuid(),
                        store: id.clone(),
                        handle: handle.as_str().to_owned(),
                    },
                    writer,
                )),
                Err(error) if import.partial == Partial::Refused => return Err(at_store(error)),
                Err(error) => {
                    warn!(image = %image.id, store = id, %error, "the store takes no part in the import")
                }
            }
        }
        if targets.is_empty() {
            return Err(UploadErrorKind::Unavailable.into());
        }
        let ((told, answer), (ended, end)) = (oneshot::channel(), oneshot::channel());
        let running = Running {
            transfers: self.clone(),
            targets: Targets::new(targets, import.partial),
            image,
            import,
            room,
            content: None,
            failure: None,
            told: Some(told),
            meter: Meter::upload(),
        };
        parts
            .tasks
            .spawn(running.drive(ended).instrument(Span::current()));
        match answer.await {
            Ok(result) => result.map(|()| end),
            // The task has panicked; what it held is an orphan, which the janitor finishes.
            Err(gone) => Err(UploadError::because(UploadErrorKind::Unavailable, gone)),
        }
    }
}

impl Running {
    async fn drive(mut self, ended: oneshot::Sender<Result<u64, UploadError>>) {
        let mut machine = Upload::new();
        let recovery = loop {
            let result = match machine.step() {
                UploadStep::Begin => self.begin().await,
                UploadStep::Claim => self.claim().await,
                UploadStep::Stream => self.stream_and_verify().await,
                UploadStep::CommitBlob => self.commit_blobs().await,
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
        let told = self.told.take();
        let result = self.end(recovery).await;
        // Who could not begin is told so at once; who began, at the end. Nobody may wait any more.
        let _ = match told {
            Some(told) => told.send(result.map(drop)).is_ok(),
            None => ended.send(result).is_ok(),
        };
    }

    async fn begin(&mut self) -> Result<(), (Outcome, UploadError)> {
        let ledger = self.transfers.shared.parts.ledger.clone();
        for target in self.targets.all() {
            let entry = match self.import.origin {
                Origin::Own => Entry::Copy(target.entry.clone()),
                Origin::Staged(_) | Origin::Elsewhere(_) => Entry::Upload(target.entry.clone()),
            };
            target.held = Some(begin_in_ledger(&ledger, entry).await?);
        }
        Ok(())
    }

    async fn claim(&mut self) -> Result<(), (Outcome, UploadError)> {
        let parts = &self.transfers.shared.parts;
        let claim = Claim {
            attempt: self.import.attempt,
            node: parts.node,
            expires_at: Timestamp::now().after(parts.limits.claim_lease),
            phase: ClaimPhase::Open,
        };
        let stores = self
            .import
            .shown
            .iter()
            .map(|id| StoreId::new(id.as_str()))
            .collect();
        let task = self.import.task.to_string();
        let import = |staged, stores| ChangeKind::Import {
            claim,
            staged,
            task: task.clone(),
            stores,
        };
        let kind = match &self.import.origin {
            Origin::Staged(attempt) => import(Some(*attempt), stores),
            Origin::Elsewhere(_) => import(None, stores),
            Origin::Own => ChangeKind::Copy { claim, task, stores },
        };
        let allowance = self.room.for_claim();
        let claimed = change(&self.transfers, self.image.id, &self.room, kind, allowance).await?;
        // What the data is held against stays as it is while the claim holds.
        if let Recorded::Live(image) = claimed {
            self.image = image;
        }
        if let Some(told) = self.told.take() {
            // Nobody waits any more when the client has gone.
            let _ = told.send(Ok(()));
        }
        Ok(())
    }

    async fn stream_and_verify(&mut self) -> Result<(), (Outcome, UploadError)> {
        let attempt = self.import.attempt;
        let streamed = tokio::select! {
            streamed = in_turn(&self.transfers, &self.image, &mut self.import, &self.room, &mut self.targets) => streamed,
            lost = keep_claim(&self.transfers, self.image.id, attempt) => Err(lost),
        };
        match streamed {
            Ok(content) => {
                self.content = Some(content);
                Ok(())
            }
            Err(error) => {
                // Nothing may write any more when the bytes are removed.
                self.targets.stop();
                Err((Outcome::Failed, error))
            }
        }
    }

    async fn commit_blobs(&mut self) -> Result<(), (Outcome, UploadError)> {
        let committed = self.targets.commit().await;
        committed.map_err(|error| (Outcome::Unknown, at_store(error)))
    }

    async fn commit_metadata(&mut self) -> Result<(), (Outcome, UploadError)> {
        let Some(content) = self.content.clone() else {
            return Err((Outcome::Failed, UploadErrorKind::Unavailable.into()));
        };
        let stores = &self.transfers.stores;
        let locations = self.targets.all().filter_map(|target| {
            let location = target.location.as_ref()?;
            Some(Location {
                store: Some(StoreId::new(target.entry.store.as_str())),
                url: location.as_str().to_owned(),
                metadata: stores.metadata_of(&target.entry.store, location),
            })
        });
        let locations = locations.collect();
        let kind = match self.import.origin {
            Origin::Own => ChangeKind::Copied {
                attempt: self.import.attempt,
                locations,
            },
            Origin::Staged(_) | Origin::Elsewhere(_) => ChangeKind::Activate {
                content,
                locations,
                amendments: Box::new(self.import.treatment.amendments.clone()),
            },
        };
        let allowance = self.room.for_content();
        let committed = change(&self.transfers, self.image.id, &self.room, kind, allowance).await?;
        share(&self.transfers, &committed).await;
        Ok(())
    }

    /// Leaves nothing behind: neither what some stores have of a failed import, nor what waited for it.
    async fn end(mut self, recovery: Recovery) -> Result<u64, UploadError> {
        self.targets.stop();
        let (image, janitor) = (self.image.id, self.transfers.janitor.clone());
        let mut kept = recovery == Recovery::SETTLE;
        let targets: Vec<&mut Target> = self.targets.all().collect();
        for target in targets {
            let Some(held) = target.held.take() else { continue };
            // A store that failed has no location in the record, and recovery finds that out.
            let way = match (recovery == Recovery::SETTLE, &target.location) {
                (true, None) => Recovery::FENCE,
                _ => recovery,
            };
            let entry = target.entry.clone();
            let end = match self.import.origin {
                Origin::Own => janitor.finish_copy(way, held, &entry).await,
                Origin::Staged(_) | Origin::Elsewhere(_) => janitor.finish(way, held, &entry).await,
            };
            kept |= matches!(end, RecoveryEnd::Kept | RecoveryEnd::KeptUnsettled);
            if end == RecoveryEnd::Unfinished {
                warn!(%image, store = target.entry.store, "an import is not cleaned up yet");
            }
        }
        if let Origin::Staged(_) = self.import.origin {
            janitor.finish_stagings_of(image).await;
        }
        if kept {
            let size = self.content.as_ref().map_or(0, |content| content.size);
            info!(%image, stores = self.import.stores.join(","), size, "image imported");
            self.meter.stored(size);
            return Ok(size);
        }
        Err(self
            .failure
            .unwrap_or_else(|| UploadErrorKind::Unavailable.into()))
    }
}

/// As [`stream`], when it is this import's turn.
async fn in_turn(
    transfers: &Transfers,
    image: &Image,
    import: &mut Import,
    room: &Room,
    targets: &mut Targets,
) -> Result<Content, UploadError> {
    let turn = transfers.shared.imported.acquire().await;
    let _turn = turn.map_err(|closed| UploadError::because(UploadErrorKind::Unavailable, closed))?;
    stream(transfers, image, import, room, targets).await
}

/// Streams the data to its end, and verifies it.
async fn stream(
    transfers: &Transfers,
    image: &Image,
    import: &mut Import,
    room: &Room,
    targets: &mut Targets,
) -> Result<Content, UploadError> {
    let parts = &transfers.shared.parts;
    let limits = &parts.limits;
    let (data, mut original) = match &mut import.origin {
        Origin::Staged(attempt) => (staged(transfers, *attempt).await?, None),
        Origin::Elsewhere(opening) => {
            let arrived = opening.await;
            let Arrival { data, original } =
                arrived.map_err(|explanation| UploadErrorKind::Origin { explanation })?;
            (Data::Stream(data), original)
        }
        Origin::Own => (Data::Stream(own(transfers, image).await?), None),
    };
    if data.size().is_some_and(|size| size > limits.size_cap) {
        return Err(UploadErrorKind::TooLarge {
            limit: limits.size_cap,
        }
        .into());
    }
    let mut passing = Passing {
        data,
        disk_format: image.disk_format.clone().unwrap_or_default(),
        container_format: image.container_format.clone().unwrap_or_default(),
    };
    if let Some(original) = &mut original {
        original.describe(&mut passing, &mut import.treatment);
    }
    // What plugins make of the data has other hashes than its source says it has.
    if let (Some(told), false) = (&original, import.treatment.plugins.is_empty()) {
        passing.data = told.checked_on_its_way(passing.data, &parts.digests);
        original = None;
    }
    let passing = match import.origin {
        Origin::Own => passing,
        Origin::Staged(_) | Origin::Elsewhere(_) => treat(passing, image, import, limits, room).await?,
    };
    let incoming = passing.data.into_incoming();
    let expected = Expected {
        size: incoming.size,
        declared: match import.origin {
            Origin::Own => None,
            Origin::Staged(_) | Origin::Elsewhere(_) => Some(Declared::new(
                &passing.disk_format,
                &passing.container_format,
                limits.rules.clone(),
            )),
        },
        limits,
        room,
    };
    let frames: BoxStream<'static, _> = incoming.chunks.map(frame).boxed();
    let body = StreamBody::new(frames);
    // Nobody calls any more: what it needs is on the owner's account.
    let tenant = Tenant::new(image.owner.as_deref().unwrap_or_default());
    let chunks = Chunks::new(body, &transfers.shared.chunks, &tenant);
    let algorithm = match import.origin {
        Origin::Own => algorithm_of(image).unwrap_or(limits.hash_algorithm),
        Origin::Staged(_) | Origin::Elsewhere(_) => limits.hash_algorithm,
    };
    let mut algorithms = vec![Algorithm::Md5, algorithm];
    if let Some((other, _)) = original.as_ref().and_then(Original::hash)
        && !algorithms.contains(&other)
    {
        algorithms.push(other);
    }
    let digests = sums::start(&parts.digests, &algorithms, targets);
    let received = fan_out(chunks, digests, targets, expected)
        .await
        .map_err(not_the_client)?;
    if let Some(original) = &original {
        original.check(&received.digests)?;
    }
    let content = verify(received, incoming.size, import.attempt, algorithm)?;
    match import.origin {
        Origin::Own => same(image, content),
        Origin::Staged(_) | Origin::Elsewhere(_) => Ok(content),
    }
}

/// Lets the plugins do their work, in turn, and remembers what they have made of the formats.
async fn treat(
    mut passing: Passing,
    image: &Image,
    import: &mut Import,
    limits: &Limits,
    room: &Room,
) -> Result<Passing, UploadError> {
    let Treatment { plugins, amendments } = &mut import.treatment;
    for plugin in plugins.iter() {
        passing = plugin.apply(passing, &Bounds { limits, room }).await?;
    }
    let changed = |is: &str, was: &Option<String>| (was.as_deref() != Some(is)).then(|| is.to_owned());
    amendments.disk_format = changed(&passing.disk_format, &image.disk_format);
    amendments.container_format = changed(&passing.container_format, &image.container_format);
    Ok(passing)
}

/// The algorithm of the hash that the image has.
fn algorithm_of(image: &Image) -> Option<Algorithm> {
    let content = image.content.as_ref()?;
    content.hash_value.as_ref()?;
    content.hash_algorithm.as_deref()?.parse().ok()
}

/// That what was read is what the image's hashes are of: a copy of anything else is none.
fn same(image: &Image, read: Content) -> Result<Content, UploadError> {
    let Some(known) = &image.content else {
        return Err(UploadErrorKind::Unavailable.into());
    };
    let differs = |known: &Option<String>, read: &Option<String>| known.is_some() && known != read;
    let has_other_hash =
        known.hash_algorithm == read.hash_algorithm && differs(&known.hash_value, &read.hash_value);
    if has_other_hash || known.size != read.size || differs(&known.checksum, &read.checksum) {
        let explanation =
            "the image's data has changed in its store: it has another hash than it had".to_owned();
        return Err(UploadErrorKind::Origin { explanation }.into());
    }
    Ok(read)
}

fn frame(chunk: Result<Bytes, Cause>) -> Result<Frame<Bytes>, Cause> {
    chunk.map(Frame::data)
}

/// What waits on this node.
async fn staged(transfers: &Transfers, attempt: AttemptId) -> Result<Data, UploadError> {
    let lost = |cause: Cause| {
        let explanation = "the data that was staged is not there any more: stage it again".to_owned();
        UploadError::because(UploadErrorKind::Origin { explanation }, cause)
    };
    let staging = transfers.stores.staging().map_err(|error| lost(error.into()))?;
    let location = staging.location(BlobName(attempt.as_uuid()));
    let blob = staging
        .store()
        .read(&location, None)
        .await
        .map_err(|error| lost(error.into()))?;
    Ok(match blob.body {
        Body::File(region) => Data::File(region),
        Body::Stream(_) => Data::Stream(incoming(blob)),
    })
}

/// The image's own data, wherever it can be read.
async fn own(transfers: &Transfers, image: &Image) -> Result<Incoming, UploadError> {
    let opened = transfers.open(image, None, &[]).await;
    let (blob, _) = opened.map_err(|error| {
        let explanation = "the image's data cannot be read from the stores that it is in".to_owned();
        UploadError::because(UploadErrorKind::Origin { explanation }, error)
    })?;
    Ok(incoming(blob))
}

fn incoming(blob: Blob) -> Incoming {
    let chunks = match blob.body {
        Body::File(region) => region_chunks(region).boxed(),
        Body::Stream(chunks) => chunks.map(|chunk| chunk.map_err(Cause::from)).boxed(),
    };
    Incoming {
        size: Some(blob.size),
        chunks,
    }
}
