//! Data that somebody else has written becomes an image's (Glance 33, `async_/flows/location_import.py`).
//!
//! The steps are those of an upload that writes nothing: while the data is read, the image is `importing` and claimed. What
//! fails, or is cut off by a crash, leaves the image `queued`; the data stays where it is, it was never the image's.

use std::{os::unix::fs::FileExt, pin::pin, time::Duration};

use bytes::Bytes;
use futures_util::{Stream, TryStreamExt, stream};
use saccade_store_contract::{Body, FileRegion, Location as Address};
use tokio::sync::oneshot;
use tracing::{Instrument, Span, info, warn};

use super::{
    Importing, Transfers, UploadError, UploadErrorKind,
    room::Room,
    upload::{begin_in_ledger, change, keep_claim, share},
};
use crate::{
    digest::{Algorithm, Digests, UnknownAlgorithm},
    image::{
        Allowance, AttemptId, ChangeKind, Claim, ClaimPhase, Content, Entry as Recorded, Image, ImageId,
        Location, Timestamp,
    },
    ledger::{AdoptionEntry, Entry, Held},
    policy::{Adopt as MayAdopt, Authorized},
    protocol::{Outcome, Recovery, Upload, UploadStep},
};

type Cause = Box<dyn std::error::Error + Send + Sync>;

/// A local file is read in chunks of this many bytes.
const CHUNK: u64 = 1 << 20;

/// How often it is looked whether an image that is hashed is still there.
const LOOK: Duration = Duration::from_secs(5);

/// What an image is given.
#[derive(Debug, Clone)]
pub struct Adoption {
    /// Gives it.
    pub attempt: AttemptId,
    /// Where the data is.
    pub location: Location,
    /// Its length in bytes, as the store says.
    pub size: u64,
    /// Its hash, as the client says: an algorithm by hashlib's name, and hexadecimal digits.
    pub hash: Option<(String, String)>,
}

/// One adoption under way.
struct Running {
    transfers: Transfers,
    image: ImageId,
    entry: AdoptionEntry,
    adoption: Adoption,
    room: Room,
    held: Option<Held>,
    content: Option<Content>,
    failure: Option<UploadError>,
    /// Told once the image is claimed, or cannot be.
    told: Option<oneshot::Sender<Result<(), UploadError>>>,
    /// Told the end.
    ended: oneshot::Sender<Result<u64, UploadError>>,
}

impl Transfers {
    /// Begins to give a queued image data that is there already. When it returns `Ok`, the image is `importing`. Then,
    /// in the background, it becomes active: at once, or, when the client has said the data's hash, after that was found to be
    /// true. Where hashing is on and the client has said nothing, the hashes follow; what is returned tells the end of
    /// all this.
    ///
    /// Dropping either stops nothing.
    ///
    /// # Errors
    /// `NotFound`, `NotQueued`, `FormatMissing`, `StoreFull`, `Unavailable`; the image is `queued`.
    pub async fn adopt(
        &self,
        authorized: Authorized<MayAdopt>,
        image: &Image,
        adoption: Adoption,
    ) -> Result<Importing, UploadError> {
        if authorized.image_id() != image.id {
            return Err(UploadErrorKind::NotFound.into());
        }
        let limit = self.shared.parts.limits.size_cap;
        if adoption.size > limit {
            return Err(UploadErrorKind::TooLarge { limit }.into());
        }
        let room = Room::find(&self.shared.parts, image, Some(adoption.size)).await?;
        let ((told, answer), (ended, end)) = (oneshot::channel(), oneshot::channel());
        let running = Running {
            transfers: self.clone(),
            image: image.id,
            entry: AdoptionEntry {
                image: image.id.as_uuid(),
                attempt: adoption.attempt.as_uuid(),
            },
            adoption,
            room,
            held: None,
            content: None,
            failure: None,
            told: Some(told),
            ended,
        };
        let tasks = &self.shared.parts.tasks;
        tasks.spawn(running.drive().instrument(Span::current()));
        match answer.await {
            Ok(result) => result.map(|()| end),
            // The task has panicked; what it held is an orphan, which the janitor finishes.
            Err(gone) => Err(UploadError::because(UploadErrorKind::Unavailable, gone)),
        }
    }
}

impl Running {
    async fn drive(mut self) {
        let mut machine = Upload::new();
        let recovery = loop {
            let result = match machine.step() {
                UploadStep::Begin => self.begin().await,
                UploadStep::Claim => self.claim().await,
                UploadStep::Stream => self.examine().await,
                // It is published already.
                UploadStep::CommitBlob => Ok(()),
                UploadStep::CommitMetadata => self.commit().await,
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
        self.end(recovery).await;
    }

    async fn begin(&mut self) -> Result<(), (Outcome, UploadError)> {
        let ledger = &self.transfers.shared.parts.ledger;
        self.held = Some(begin_in_ledger(ledger, Entry::Adoption(self.entry.clone())).await?);
        Ok(())
    }

    async fn claim(&mut self) -> Result<(), (Outcome, UploadError)> {
        let parts = &self.transfers.shared.parts;
        let claim = Claim {
            attempt: self.adoption.attempt,
            node: parts.node,
            expires_at: Timestamp::now().after(parts.limits.claim_lease),
            phase: ClaimPhase::Open,
        };
        let (kind, allowance) = (ChangeKind::Adopt(claim), self.room.for_claim());
        change(&self.transfers, self.image, &self.room, kind, allowance).await?;
        if let Some(told) = self.told.take() {
            // Nobody waits any more when the client has gone.
            let _ = told.send(Ok(()));
        }
        Ok(())
    }

    /// Finds out what has to be known of the data before it is the image's.
    async fn examine(&mut self) -> Result<(), (Outcome, UploadError)> {
        let mut content = Content {
            attempt: self.adoption.attempt,
            size: self.adoption.size,
            virtual_size: None,
            checksum: None,
            hash_algorithm: None,
            hash_value: None,
        };
        let limits = &self.transfers.shared.parts.limits;
        if limits.hash_adopted {
            // It says that the hash is on its way.
            content.hash_algorithm = Some(limits.hash_algorithm.name().to_owned());
        }
        if let Some((name, said)) = &self.adoption.hash {
            content.hash_algorithm = Some(name.clone());
            content.hash_value = Some(said.to_ascii_lowercase());
            if limits.hash_adopted {
                let hashes = tokio::select! {
                    hashes = self.hash(name) => hashes,
                    lost = keep_claim(&self.transfers, self.image, self.adoption.attempt) => return Err((Outcome::Failed, lost)),
                };
                let (checksum, found) = hashes.map_err(|error| {
                    let error = UploadError::because(UploadErrorKind::Unavailable, error);
                    (Outcome::Failed, error)
                })?;
                if Some(&found) != content.hash_value.as_ref() {
                    self.show_mismatch().await;
                    let explanation =
                        format!("os_hash_value: ({said}) not matched with actual os_hash_value: ({found})");
                    return Err((Outcome::Failed, UploadErrorKind::Origin { explanation }.into()));
                }
                content.checksum = Some(checksum);
            }
        }
        self.content = Some(content);
        Ok(())
    }

    /// As in Glance, an address that the daemon could not delete stays with the image, which is queued and has no data.
    /// Where this does not succeed, the image is queued without.
    async fn show_mismatch(&self) {
        let stores = &self.transfers.stores;
        let location = &self.adoption.location;
        let store = stores.of_location(location.store.as_ref().map(|id| id.as_str()));
        if store.is_ok_and(|store| !store.capabilities().writable) {
            let kind = ChangeKind::Mismatch {
                attempt: self.adoption.attempt,
                location: location.clone(),
            };
            let allowance = Allowance::UNLIMITED;
            if let Err((_, error)) = change(&self.transfers, self.image, &self.room, kind, allowance).await {
                info!(image = %self.image, %error, "the image does not show the location that was wrong");
            }
        }
    }

    async fn commit(&mut self) -> Result<(), (Outcome, UploadError)> {
        let Some(content) = self.content.clone() else {
            return Err((Outcome::Failed, UploadErrorKind::Unavailable.into()));
        };
        let location = self.adoption.location.clone();
        let kind = ChangeKind::Commit { content, location };
        let allowance = self.room.for_content();
        let committed = change(&self.transfers, self.image, &self.room, kind, allowance).await?;
        share(&self.transfers, &committed).await;
        Ok(())
    }

    async fn end(mut self, recovery: Recovery) {
        let (image, janitor) = (self.image, &self.transfers.janitor);
        if let Some(held) = self.held.take() {
            janitor.finish_adoption(recovery, held, &self.entry).await;
        }
        if recovery == Recovery::SETTLE {
            info!(%image, size = self.adoption.size, "the image has data that was there before");
            // Nothing waits for it: a stop does not, and there is nothing to finish after one.
            let described = async move {
                self.describe().await;
                // Nobody may wait.
                let _ = self.ended.send(Ok(self.adoption.size));
            };
            tokio::spawn(described.instrument(Span::current()));
            return;
        }
        let failure = self
            .failure
            .take()
            .unwrap_or_else(|| UploadErrorKind::Unavailable.into());
        match self.told.take() {
            Some(told) => {
                let _ = told.send(Err(failure));
            }
            None => {
                info!(%image, reason = %failure, "the image did not get the data of its location");
                let _ = self.ended.send(Err(failure));
            }
        }
    }

    /// Gives an image its hashes that has become active without. The image is good without them; a crash
    /// leaves it so.
    async fn describe(&self) {
        let limits = &self.transfers.shared.parts.limits;
        let (Some(content), true) = (&self.content, limits.hash_adopted) else {
            return;
        };
        if content.hash_value.is_some() {
            return;
        }
        let image = self.image;
        let algorithm = limits.hash_algorithm.name();
        let hashes = tokio::select! {
            hashes = self.hash(algorithm) => hashes,
            () = self.is_gone() => return,
        };
        match hashes {
            Ok((checksum, value)) => {
                let content = Content {
                    checksum: Some(checksum),
                    hash_algorithm: Some(algorithm.to_owned()),
                    hash_value: Some(value),
                    ..content.clone()
                };
                let kind = ChangeKind::Describe { content };
                let described = change(&self.transfers, image, &self.room, kind, Allowance::UNLIMITED).await;
                if let Err((_, error)) = described {
                    info!(%image, %error, "the image got no hashes");
                }
            }
            Err(error) => {
                warn!(%image, error, "the image has no hashes: its data could not be read");
                let content = Content {
                    hash_algorithm: None,
                    ..content.clone()
                };
                let kind = ChangeKind::Describe { content };
                if let Err((_, error)) =
                    change(&self.transfers, image, &self.room, kind, Allowance::UNLIMITED).await
                {
                    info!(%image, %error, "the image goes on to name a hash that will not come");
                }
            }
        }
    }

    /// Returns once the image is deleted, or its data another's.
    async fn is_gone(&self) {
        let metadata = &self.transfers.shared.parts.metadata;
        loop {
            tokio::time::sleep(LOOK).await;
            let known = match metadata.entry(self.image).await {
                Ok(entry) => entry,
                Err(_) => continue,
            };
            let content = known
                .as_ref()
                .and_then(Recorded::live)
                .and_then(|image| image.content.as_ref());
            if content.is_none_or(|content| content.attempt != self.adoption.attempt) {
                return;
            }
        }
    }

    /// MD5 and the hash of this name, of the whole data; read again when that fails.
    async fn hash(&self, algorithm: &str) -> Result<(String, String), String> {
        let algorithm: Algorithm = algorithm
            .parse()
            .map_err(|error: UnknownAlgorithm| error.to_string())?;
        let mut tries = 0;
        loop {
            match self.hash_once(algorithm).await {
                Ok(digests) => {
                    let hex = |algorithm| digests.hex(algorithm).unwrap_or_default().to_owned();
                    return Ok((hex(Algorithm::Md5), hex(algorithm)));
                }
                Err(error) if tries >= self.transfers.shared.parts.limits.retries => {
                    return Err(error.to_string());
                }
                Err(_) => tries += 1,
            }
        }
    }

    async fn hash_once(&self, algorithm: Algorithm) -> Result<Digests, Cause> {
        let _turn = self.transfers.shared.hashed.acquire().await?;
        let parts = &self.transfers.shared.parts;
        let location = &self.adoption.location;
        let store = self
            .transfers
            .stores
            .of_location(location.store.as_ref().map(|id| id.as_str()))?;
        let blob = store.read(&Address::new(location.url.as_str()), None).await?;
        if blob.size != self.adoption.size {
            return Err("the data has another length than it had".into());
        }
        let algorithms = match algorithm {
            Algorithm::Md5 => vec![Algorithm::Md5],
            algorithm => vec![Algorithm::Md5, algorithm],
        };
        let mut digests = parts.digests.start(&algorithms);
        match blob.body {
            Body::Stream(mut chunks) => {
                while let Some(chunk) = chunks.try_next().await? {
                    digests.push(chunk).await?;
                }
            }
            Body::File(region) => {
                let mut chunks = pin!(region_chunks(region));
                while let Some(chunk) = chunks.try_next().await? {
                    digests.push(chunk).await?;
                }
            }
        }
        Ok(digests.finish().await?)
    }
}

/// A region in chunks.
pub(super) fn region_chunks(region: FileRegion) -> impl Stream<Item = Result<Bytes, Cause>> + Send {
    stream::try_unfold(0_u64, move |at| {
        let region = region.clone();
        async move {
            if at >= region.len {
                return Ok(None);
            }
            let chunk = read(region, at).await?;
            let next = at.saturating_add(chunk.len() as u64);
            Ok(Some((chunk, next)))
        }
    })
}

/// The chunk of a region that begins at `at`.
async fn read(region: FileRegion, at: u64) -> Result<Bytes, Cause> {
    let chunk = tokio::task::spawn_blocking(move || {
        let len = region.len.saturating_sub(at).min(CHUNK);
        let mut chunk = vec![0; usize::try_from(len).unwrap_or(0)];
        let offset = region.offset.saturating_add(at);
        region.file.read_exact_at(&mut chunk, offset).map(|()| chunk)
    });
    Ok(chunk.await??.into())
}
