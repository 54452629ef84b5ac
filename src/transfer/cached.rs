//! Downloads through the image cache.
//!
//! What may be downloaded is decided before; which data an image has, and where, is said here, so that the cache needs to know
//! no store and no record. Images whose best copy is on the local disk are not cached by reading them: nothing would be
//! gained.

use std::{ops::Range, sync::Arc};

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::{StreamExt, TryStreamExt, future, stream::BoxStream};
use saccade_store_contract::{Body, Error, ErrorKind, Operation, Result};

use super::{DownloadError, DownloadErrorKind, RangeRequest, Transfers, adopt::region_chunks};
use crate::{
    cache::{Cache, Key, OnMiss, Origin},
    image::{Entry, Image, Status},
};

/// The image cache, and when it takes what it does not have.
#[derive(Clone)]
pub struct ReadThrough {
    /// The cache.
    pub cache: Cache,
    /// Whether downloads fill it (a pipeline with `cache` in it).
    pub fills: Fills,
}

/// Which downloads fill the cache.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fills {
    /// None.
    Nothing,
    /// Of images that are not on the local disk.
    Remote,
    /// Of all images: what is a file here may be another machine's.
    Everything,
}

/// What becomes of data on the local disk when it is to be cached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Local {
    Refused,
    Taken,
}

/// An image's data in its stores.
struct ImageData {
    transfers: Transfers,
    image: Image,
    preferred: Vec<String>,
    local: Local,
}

impl Transfers {
    /// The image cache, if there is one.
    pub fn cache(&self) -> Option<&Cache> {
        self.shared.parts.cache.as_ref().map(|parts| &parts.cache)
    }

    /// The size of the image's data, and all of it or the range that is wanted, from the cache; `None` when it is to be asked of the stores.
    ///
    /// A deactivated image is never served from the cache, to whomever (Glance 33, `api/middleware/cache.py`).
    pub(super) async fn read_through(
        &self,
        image: &Image,
        range: Option<RangeRequest>,
        preferred: &[&str],
    ) -> Option<(u64, Option<Range<u64>>, Body)> {
        let ReadThrough { cache, fills } = self.shared.parts.cache.as_ref()?;
        if image.status != Status::Active {
            return None;
        }
        let key = Key::of(image)?;
        // What cannot be satisfied is refused where all ranges are.
        let wanted = match range {
            None => None,
            Some(range) => Some(range.of(key.size())?),
        };
        let on_miss = match fills {
            Fills::Nothing => OnMiss::Leave,
            Fills::Remote if self.is_local(image, preferred) => OnMiss::Leave,
            Fills::Remote | Fills::Everything => OnMiss::Fill,
        };
        let local = match fills {
            Fills::Everything => Local::Taken,
            Fills::Nothing | Fills::Remote => Local::Refused,
        };
        let origin: Arc<dyn Origin> = Arc::new(ImageData {
            transfers: self.clone(),
            image: image.clone(),
            preferred: preferred.iter().map(|&id| id.to_owned()).collect(),
            local,
        });
        let body = cache.read(&key, wanted.clone(), on_miss, &origin).await?;
        Some((key.size(), wanted, body))
    }

    /// All data of the image, wherever it is, for whoever caches it.
    pub(super) fn whole(&self, image: &Image) -> Arc<dyn Origin> {
        Arc::new(ImageData {
            transfers: self.clone(),
            image: image.clone(),
            preferred: Vec::new(),
            local: Local::Taken,
        })
    }

    /// Whether the copy that would be read first is a file here.
    fn is_local(&self, image: &Image, preferred: &[&str]) -> bool {
        let stores = &self.stores;
        let first = self.in_order(image, preferred).into_iter().next();
        first.is_some_and(|location| {
            let named = location.store.as_ref().map(|id| id.as_str());
            let resolved = stores.resolve(named, &location.url);
            resolved.is_ok_and(|(_, store)| store.capabilities().kind == "file")
        })
    }
}

impl ImageData {
    async fn read(
        &self,
        image: &Image,
        range: Option<RangeRequest>,
    ) -> std::result::Result<BoxStream<'static, Result<Bytes>>, DownloadError> {
        let preferred: Vec<&str> = self.preferred.iter().map(String::as_str).collect();
        let (blob, _) = self.transfers.open(image, range, &preferred).await?;
        match blob.body {
            Body::Stream(chunks) => Ok(chunks),
            Body::File(_) if self.local == Local::Refused && range.is_none() => {
                Err(DownloadErrorKind::Unsupported.into())
            }
            Body::File(region) => {
                let chunks = region_chunks(region).map_err(|error| {
                    Error::new(ErrorKind::Unavailable, Operation::Read, "a local file").caused_by(error)
                });
                Ok(chunks.boxed())
            }
        }
    }
}

#[async_trait]
impl Origin for ImageData {
    async fn open(&self) -> Result<BoxStream<'static, Result<Bytes>>> {
        self.read(&self.image, None).await.map_err(failed)
    }

    /// Of what others have written only the length is known, so that nothing is put together of it: as where stores
    /// fail over.
    async fn resume(&self, range: Range<u64>) -> Result<BoxStream<'static, Result<Bytes>>> {
        let mut image = self.image.clone();
        if range.start > 0 {
            image.locations.retain(|location| location.is_own_of(image.id));
        }
        let wanted = RangeRequest::From {
            first: range.start,
            last: range.end.checked_sub(1),
        };
        match self.read(&image, Some(wanted)).await {
            Err(error) if error.kind() == DownloadErrorKind::Unsupported => {
                let chunks = self.read(&image, None).await.map_err(failed)?;
                Ok(without(chunks, range.start))
            }
            other => other.map_err(failed),
        }
    }

    async fn is_current(&self) -> bool {
        match self.transfers.shared.parts.metadata.entry(self.image.id).await {
            Ok(Some(Entry::Live(image))) => {
                image.status.keeps_data() && Key::of(&image) == Key::of(&self.image)
            }
            Ok(_) => false,
            // It is looked at again later.
            Err(_) => true,
        }
    }
}

fn failed(error: DownloadError) -> Error {
    let kind = match error.kind() {
        DownloadErrorKind::NotFound => ErrorKind::NotFound,
        DownloadErrorKind::Denied => ErrorKind::Denied,
        DownloadErrorKind::Unsupported => ErrorKind::Unsupported,
        DownloadErrorKind::Unsatisfiable { .. }
        | DownloadErrorKind::Unavailable
        | DownloadErrorKind::Busy(_) => ErrorKind::Unavailable,
    };
    Error::new(kind, Operation::Read, "an image's data").caused_by(error)
}

/// The chunks without the first so many bytes.
fn without(chunks: BoxStream<'static, Result<Bytes>>, bytes: u64) -> BoxStream<'static, Result<Bytes>> {
    let mut before = bytes;
    let rest = chunks.map_ok(move |mut chunk| {
        let skipped = usize::try_from(before).unwrap_or(usize::MAX).min(chunk.len());
        before = before.saturating_sub(skipped as u64);
        chunk.split_off(skipped)
    });
    rest.try_filter(|chunk| future::ready(!chunk.is_empty())).boxed()
}
