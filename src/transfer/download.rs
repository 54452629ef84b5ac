//! One download: the store's answer to a read. The blob is open before the answer begins.

use std::{ops::Range, sync::Arc};

use saccade_store_contract::{Blob, Body, ErrorKind, Location as BlobLocation, Store};
use tracing::{error, info, warn};

use super::{
    DownloadError, DownloadErrorKind, Tenant, Transfers, Turn,
    fail_over::{self, Opened},
};
use crate::{
    image::{Entry, Image, Location},
    policy::{Authorized, Download as MayDownload},
};

/// Which bytes a client asks for. Whether there are any is known once the size is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RangeRequest {
    /// From `first` to `last`, both included, or to the end.
    From {
        /// The first byte wanted.
        first: u64,
        /// The last byte wanted.
        last: Option<u64>,
    },
    /// The last so many bytes; all of a shorter image.
    Suffix(u64),
}

/// The answer to a download.
#[derive(Debug)]
pub enum Download {
    /// The image has no data.
    NoData,
    /// Its data, or a part of it.
    Content {
        /// The image, as it was when the blob was opened.
        image: Box<Image>,
        /// The size of the whole data in bytes.
        size: u64,
        /// Which bytes the body has, when a range was asked for.
        range: Option<Range<u64>>,
        /// The bytes.
        body: Body,
        /// Held until the last byte is sent, or nobody wants it.
        turn: Turn,
    },
}

/// How often the record is read again when the blob is not where it says.
const TRIES: u32 = 2;

/// Downloads of so many bytes or fewer are not counted, and never wait: they are over before a place would be free, and who reads an
/// image in small pieces would wait for each.
const UNCOUNTED: u64 = 1 << 20;

impl RangeRequest {
    /// The most bytes it may be, of an image whose size is known or not.
    fn at_most(self, size: Option<u64>) -> Option<u64> {
        match (size, self) {
            (Some(size), _) => Some(
                self.of(size)
                    .map_or(0, |range| range.end.saturating_sub(range.start)),
            ),
            (None, Self::From { first, last }) => {
                last.map(|last| last.saturating_sub(first).saturating_add(1))
            }
            (None, Self::Suffix(len)) => Some(len),
        }
    }

    /// The bytes of an image of this size; `None` when there are none. (Glance 33, `image_data.py`: the end is cut to
    /// the image's, a suffix longer than the image is all of it.)
    pub(super) fn of(self, size: u64) -> Option<Range<u64>> {
        match self {
            Self::From { first, last } => {
                let end = last.map_or(size, |last| last.saturating_add(1).min(size));
                (first < end).then_some(first..end)
            }
            Self::Suffix(len) => (size > 0 && len > 0).then(|| size.saturating_sub(len)..size),
        }
    }
}

impl Transfers {
    /// A turn to download an image's data, whole or a range of it: at once what counts for nothing. Where it
    /// [was waited for](Turn::was_waited_for), the image and who may download it have to be asked for again: an image that was
    /// deactivated meanwhile is not to be served. Cancel safe.
    ///
    /// # Errors
    /// [`DownloadErrorKind::Busy`].
    pub async fn download_turn(
        &self,
        image: &Image,
        range: Option<RangeRequest>,
        tenant: &Tenant,
    ) -> Result<Turn, DownloadError> {
        let size = image.size();
        let most = range.map_or(size, |range| range.at_most(size));
        if image.locations.is_empty() || most.is_some_and(|most| most <= UNCOUNTED) {
            return Ok(Turn::uncounted());
        }
        let turn = self.shared.downloads.take(tenant).await;
        turn.map_err(|busy| DownloadErrorKind::Busy(busy).into())
    }

    /// Opens an image's data, whole or a range of it, in its turn. Locations in the stores that are preferred are tried first, and of
    /// these and the others those in the store of the greatest weight; what is in the image cache comes from there. Cancel safe.
    ///
    /// # Errors
    /// See [`DownloadErrorKind`].
    pub async fn download(
        &self,
        authorized: Authorized<MayDownload>,
        mut image: Image,
        range: Option<RangeRequest>,
        preferred: &[&str],
        turn: Turn,
    ) -> Result<Download, DownloadError> {
        if authorized.image_id() != image.id {
            return Err(DownloadErrorKind::NotFound.into());
        }
        for _ in 0..TRIES {
            // A location alone is no data: what is there may have been found to be another's.
            if image.locations.is_empty() || !image.status.keeps_data() {
                return Ok(Download::NoData);
            }
            if let Some((size, range, body)) = self.read_through(&image, range, preferred).await {
                return Ok(Download::Content {
                    image: Box::new(image),
                    size,
                    range,
                    body,
                    turn,
                });
            }
            match self.open(&image, range, preferred).await {
                Err(error) if error.kind() == DownloadErrorKind::NotFound => {
                    // Deleted a moment ago, or moved.
                    match self.read_again(&image).await? {
                        Some(newer) => image = newer,
                        None => {
                            error!(image = %image.id, "the image is active, but its data is nowhere");
                            return Err(error);
                        }
                    }
                }
                Err(error) => return Err(error),
                Ok((blob, range)) => {
                    return Ok(Download::Content {
                        size: blob.size,
                        image: Box::new(image),
                        range,
                        body: blob.body,
                        turn,
                    });
                }
            }
        }
        Err(DownloadErrorKind::NotFound.into())
    }

    /// The image when its locations are others by now; `None` when they are the same.
    async fn read_again(&self, image: &Image) -> Result<Option<Image>, DownloadError> {
        match self.shared.parts.metadata.entry(image.id).await {
            Ok(Some(Entry::Live(newer))) => Ok((newer.locations != image.locations).then_some(newer)),
            Ok(_) => Err(DownloadErrorKind::NotFound.into()),
            Err(error) => Err(DownloadError::because(DownloadErrorKind::Unavailable, error)),
        }
    }

    /// The locations of an image in the order in which they are tried.
    pub(super) fn in_order<'i>(&self, image: &'i Image, preferred: &[&str]) -> Vec<&'i Location> {
        let mut locations: Vec<&Location> = image.locations.iter().collect();
        locations.sort_by_key(|location| {
            let id = location.store.as_ref().map(|id| id.as_str());
            let is_preferred = id.is_some_and(|id| preferred.contains(&id));
            (!is_preferred, std::cmp::Reverse(self.stores.weight(id)))
        });
        locations
    }

    /// The blob of the first location that can be read, and the range of it.
    pub(super) async fn open(
        &self,
        image: &Image,
        range: Option<RangeRequest>,
        preferred: &[&str],
    ) -> Result<(Blob, Option<Range<u64>>), DownloadError> {
        let mut first_error: Option<DownloadError> = None;
        let stores = &self.stores;
        let locations = self.in_order(image, preferred);
        for (at, location) in locations.iter().enumerate() {
            match self.open_at(image, location, range).await {
                Err(error) if !matches!(error.kind(), DownloadErrorKind::Unsatisfiable { .. }) => {
                    if locations.len() > 1 && error.kind() != DownloadErrorKind::Unsupported {
                        fail_over::note(image.id, location, 0, &error);
                    }
                    // The one that says more than that nothing is there.
                    if first_error
                        .as_ref()
                        .is_none_or(|first| first.kind() == DownloadErrorKind::NotFound)
                    {
                        first_error = Some(error);
                    }
                }
                Err(error) => return Err(error),
                Ok((blob, range)) => {
                    if at > 0 {
                        info!(image = %image.id, store = fail_over::name_of(location), "the image is read from another store");
                    }
                    // Those that have failed already come last: they may be back by then.
                    let (before, rest) = locations.split_at(at);
                    let others = rest
                        .iter()
                        .skip(1)
                        .chain(before)
                        .map(|location| (*location).clone());
                    let opened = Opened {
                        stores: stores.clone(),
                        image: image.id,
                        location: (*location).clone(),
                        others: others.collect(),
                    };
                    return Ok((fail_over::guarded(opened, blob, range.clone()), range));
                }
            }
        }
        Err(first_error.unwrap_or_else(|| DownloadErrorKind::NotFound.into()))
    }

    async fn open_at(
        &self,
        image: &Image,
        location: &Location,
        range: Option<RangeRequest>,
    ) -> Result<(Blob, Option<Range<u64>>), DownloadError> {
        let named = location.store.as_ref().map(|id| id.as_str());
        let resolved = self.stores.resolve(named, &location.url);
        let (_, store): (_, &Arc<dyn Store>) =
            resolved.map_err(|error| DownloadError::because(DownloadErrorKind::Unavailable, error))?;
        let address = BlobLocation::new(location.url.as_str());
        let wanted = match range {
            None => None,
            Some(_) if !store.capabilities().random_access => {
                return Err(DownloadErrorKind::Unsupported.into());
            }
            Some(range) => {
                let size = match image.size() {
                    Some(size) => size,
                    None => store.size(&address).await.map_err(at_store)?,
                };
                Some(range.of(size).ok_or(DownloadErrorKind::Unsatisfiable { size })?)
            }
        };
        let blob = store.read(&address, wanted.clone()).await.map_err(at_store)?;
        if let Some(size) = image.size()
            && size != blob.size
        {
            warn!(image = %image.id, %store, size, found = blob.size, "the image's data has not the size it had");
            return Err(DownloadErrorKind::Unavailable.into());
        }
        Ok((blob, wanted))
    }
}

fn at_store(error: saccade_store_contract::Error) -> DownloadError {
    let kind = match error.kind() {
        ErrorKind::NotFound => DownloadErrorKind::NotFound,
        ErrorKind::Denied | ErrorKind::Invalid => DownloadErrorKind::Denied,
        ErrorKind::Unsupported => DownloadErrorKind::Unsupported,
        _ => DownloadErrorKind::Unavailable,
    };
    DownloadError::because(kind, error)
}
