//! Going on from another store when one fails.
//!
//! A download that breaks off goes on where it was from the next location that has the data; the client sees nothing of that
//! but the time it takes. Of what others have written only the length is known, so that nothing is put together of it: it
//! stands in from the first byte or not at all. A region of a local file is not guarded: it
//! leaves without passing through here, and a disk that fails breaks the download off.

use std::{collections::VecDeque, ops::Range};

use bytes::Bytes;
use futures_util::{StreamExt, TryStreamExt, stream, stream::BoxStream};
use saccade_store_contract::{Blob, Body, Error, ErrorKind, Location as Address, Operation, Result};
use tracing::{info, warn};

use super::adopt::region_chunks;
use crate::{
    image::{ImageId, Location},
    stores::Stores,
};

/// A location that is being read, and those that could be instead.
pub(super) struct Opened {
    pub(super) stores: Stores,
    pub(super) image: ImageId,
    pub(super) location: Location,
    /// In the order in which they are tried.
    pub(super) others: VecDeque<Location>,
}

/// One download.
struct Guarded {
    opened: Opened,
    chunks: BoxStream<'static, Result<Bytes>>,
    /// Length of the whole blob in bytes.
    size: u64,
    /// What is still to come.
    left: Range<u64>,
}

/// The store of a location, for the log.
pub(super) fn name_of(location: &Location) -> &str {
    location.store.as_ref().map_or("", |store| store.as_str())
}

/// Says, and counts, that a store has failed while another may do.
pub(super) fn note(
    image: ImageId,
    location: &Location,
    offset: u64,
    error: &(dyn std::error::Error + 'static),
) {
    let store = name_of(location);
    let causes = std::iter::successors(Some(error), |error| error.source());
    let error = causes.map(ToString::to_string).collect::<Vec<_>>().join(": ");
    warn!(%image, store, offset, error, "a store has failed a download; the next one is asked");
    metrics::counter!("saccade_download_failovers_total", "store" => store.to_owned()).increment(1);
}

/// The blob, of which the range is being read, with a body that goes on elsewhere when it fails.
pub(super) fn guarded(opened: Opened, blob: Blob, range: Option<Range<u64>>) -> Blob {
    let size = blob.size;
    let chunks = match blob.body {
        Body::Stream(chunks) if !opened.others.is_empty() => chunks,
        body => return Blob { size, body },
    };
    let left = range.unwrap_or(0..size);
    let left = left.start.min(size)..left.end.min(size);
    let download = Guarded {
        opened,
        chunks,
        size,
        left,
    };
    let body = stream::try_unfold(download, |mut download| async move {
        let chunk = download.next().await?;
        Ok(chunk.map(|chunk| (chunk, download)))
    });
    Blob {
        size,
        body: Body::Stream(body.boxed()),
    }
}

impl Guarded {
    async fn next(&mut self) -> Result<Option<Bytes>> {
        loop {
            let error = match self.chunks.try_next().await {
                _ if self.left.is_empty() => return Ok(None),
                Ok(Some(mut chunk)) => {
                    let left = self.left.end.saturating_sub(self.left.start);
                    chunk.truncate(usize::try_from(left).unwrap_or(usize::MAX));
                    self.left.start = self.left.start.saturating_add(chunk.len() as u64);
                    return Ok(Some(chunk));
                }
                Ok(None) => Error::new(ErrorKind::Corrupt, Operation::Read, "a blob")
                    .caused_by("it ended before its end"),
                Err(error) => error,
            };
            self.go_on(error).await?;
        }
    }

    /// Opens what is left at the next location that has it; returns the error that made this necessary where none does.
    async fn go_on(&mut self, broken: Error) -> Result<()> {
        note(self.opened.image, &self.opened.location, self.left.start, &broken);
        let own = |location: &Location| location.is_own_of(self.opened.image);
        if self.left.start > 0 && !own(&self.opened.location) {
            return Err(broken);
        }
        while let Some(location) = self.opened.others.pop_front() {
            if self.left.start > 0 && !location.is_own_of(self.opened.image) {
                continue;
            }
            match self.open(&location).await {
                Ok(chunks) => {
                    let (image, offset) = (self.opened.image, self.left.start);
                    info!(%image, store = name_of(&location), offset, "the download goes on from another store");
                    self.chunks = chunks;
                    self.opened.location = location;
                    return Ok(());
                }
                Err(error) => note(self.opened.image, &location, self.left.start, &error),
            }
        }
        Err(broken)
    }

    async fn open(&mut self, location: &Location) -> Result<BoxStream<'static, Result<Bytes>>> {
        let failed = |kind, cause: String| {
            Error::new(kind, Operation::Read, "another location of the image").caused_by(cause)
        };
        let named = location.store.as_ref().map(|id| id.as_str());
        let resolved = self.opened.stores.resolve(named, &location.url);
        let (_, store) = resolved.map_err(|error| failed(ErrorKind::Unavailable, error.to_string()))?;
        let address = Address::new(location.url.as_str());
        let blob = store.read(&address, Some(self.left.clone())).await?;
        if blob.size != self.size {
            return Err(failed(
                ErrorKind::Corrupt,
                "its data has another length".to_owned(),
            ));
        }
        Ok(match blob.body {
            Body::Stream(chunks) => chunks,
            Body::File(region) => region_chunks(region)
                .map_err(move |error| failed(ErrorKind::Unavailable, error.to_string()))
                .boxed(),
        })
    }
}
