//! `image_decompression`: what is compressed is stored unpacked (Glance 33, `image_decompression.py`). By its first bytes, and
//! whatever the formats are said to be; only where the container format is `compressed` it stays as it is.
//!
//! It is a stream: nothing is written to disk for it. A thread unpacks, and waits for whoever is slower.

use std::{
    io::{self, Read},
    ops::ControlFlow,
    os::unix::fs::FileExt,
    sync::Arc,
};

use async_trait::async_trait;
use bytes::{Buf, Bytes, BytesMut};
use futures_util::{StreamExt, stream};
use saccade_conversion::decompress::{Compression, DecompressError, Ratio, decompress};
use saccade_store_contract::FileRegion;
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore, mpsc},
    task::{JoinError, JoinSet},
};

use crate::transfer::{Bounds, Data, Incoming, Passing, Plugin, PluginError, UploadErrorKind, broken_off};

type Cause = Box<dyn std::error::Error + Send + Sync>;

/// Its name in the configuration.
const NAME: &str = "image_decompression";

/// Unpacked side by side; others wait. Each may need a window of 128 MiB.
pub(super) const AT_ONCE: usize = 8;

/// Chunks between two threads.
const WAITING: usize = 2;

/// The plugin.
#[derive(Debug)]
pub(super) struct Decompression {
    permits: Arc<Semaphore>,
    ratio: Ratio,
}

impl Decompression {
    pub(super) fn new(permits: Arc<Semaphore>) -> Self {
        Self {
            permits,
            ratio: Ratio::DEFAULT,
        }
    }
}

#[async_trait]
impl Plugin for Decompression {
    async fn apply(&self, mut passing: Passing, _: &Bounds<'_>) -> Result<Passing, UploadErrorKind> {
        if passing.container_format == "compressed" {
            return Ok(passing);
        }
        let (head, data) = look(passing.data).await.map_err(|error| broken_off(&*error))?;
        passing.data = match Compression::of(&head) {
            None => data,
            Some(compression) => {
                tracing::debug!(%compression, "image data is unpacked");
                let permit = Arc::clone(&self.permits).acquire_owned().await;
                let permit = permit.map_err(|_| UploadErrorKind::Unavailable)?;
                Data::Stream(unpacked(data.into_incoming(), compression, self.ratio, permit))
            }
        };
        Ok(passing)
    }
}

/// The first bytes, and the same data again.
async fn look(data: Data) -> Result<(Bytes, Data), Cause> {
    match data {
        Data::File(region) => {
            let (head, region) =
                tokio::task::spawn_blocking(move || head(&region).map(|head| (head, region))).await??;
            Ok((head, Data::File(region)))
        }
        Data::Stream(Incoming { size, mut chunks }) => {
            let mut head = BytesMut::new();
            while head.len() < Compression::HEAD {
                match chunks.next().await {
                    Some(chunk) => head.extend_from_slice(&chunk?),
                    None => break,
                }
            }
            let head = head.freeze();
            let first = stream::iter((!head.is_empty()).then(|| Ok(head.clone())));
            let chunks = first.chain(chunks).boxed();
            Ok((head, Data::Stream(Incoming { size, chunks })))
        }
    }
}

fn head(region: &FileRegion) -> io::Result<Bytes> {
    let length = region.len.min(Compression::HEAD as u64);
    let mut head = vec![0; usize::try_from(length).unwrap_or(0)];
    region.file.read_exact_at(&mut head, region.offset)?;
    Ok(head.into())
}

/// What is in it. Nothing goes on when it is dropped.
fn unpacked(
    packed: Incoming,
    compression: Compression,
    ratio: Ratio,
    permit: OwnedSemaphorePermit,
) -> Incoming {
    let (input, fed) = mpsc::channel(WAITING);
    let (output, come_out) = mpsc::channel::<Bytes>(WAITING);
    let mut feeding = JoinSet::new();
    let mut chunks = packed.chunks;
    feeding.spawn(async move {
        while let Some(chunk) = chunks.next().await {
            // Nobody takes it any more.
            if input.send(chunk).await.is_err() {
                break;
            }
        }
    });
    // A thread that waits for others ends when they do: both channels close.
    let unpacking = tokio::task::spawn_blocking(move || {
        let _permit = permit;
        let mut send = |bytes: &[u8]| match output.blocking_send(Bytes::copy_from_slice(bytes)) {
            Ok(()) => ControlFlow::Continue(()),
            Err(_) => ControlFlow::Break(()),
        };
        decompress(compression, Fed::new(fed), ratio, &mut send)
    });
    let state = Some((come_out, unpacking, feeding));
    let chunks = stream::unfold(state, |state| async move {
        let (mut come_out, unpacking, feeding) = state?;
        if let Some(chunk) = come_out.recv().await {
            return Some((Ok(chunk), Some((come_out, unpacking, feeding))));
        }
        // Only who says so has come to the end: a thread that has panicked has not.
        match unpacking.await {
            Ok(Ok(_)) => None,
            Ok(Err(error)) => Some((Err(told(error)), None)),
            Err(fault) => Some((Err(faulty(&fault)), None)),
        }
    });
    Incoming {
        size: None,
        chunks: chunks.boxed(),
    }
}

fn faulty(fault: &JoinError) -> Cause {
    tracing::error!(%fault, "a decoder has failed");
    PluginError {
        plugin: NAME,
        explanation: "the data was too much for the decoder: that is a fault of the service".to_owned(),
    }
    .into()
}

fn told(error: DecompressError) -> Cause {
    match error {
        DecompressError::Input(error) => error.into(),
        other => PluginError {
            plugin: NAME,
            explanation: other.to_string(),
        }
        .into(),
    }
}

/// What another thread sends, to be read.
struct Fed {
    chunks: mpsc::Receiver<Result<Bytes, Cause>>,
    rest: Bytes,
}

impl Fed {
    fn new(chunks: mpsc::Receiver<Result<Bytes, Cause>>) -> Self {
        Self {
            chunks,
            rest: Bytes::new(),
        }
    }
}

impl Read for Fed {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.rest.is_empty() {
            match self.chunks.blocking_recv() {
                None => return Ok(0),
                Some(Ok(chunk)) => self.rest = chunk,
                Some(Err(cause)) => return Err(io::Error::other(cause)),
            }
        }
        let length = buffer.len().min(self.rest.len());
        self.rest
            .copy_to_slice(buffer.get_mut(..length).unwrap_or_default());
        Ok(length)
    }
}
