//! The data path: bytes in, bytes out.
//!
//! ```text
//!  body ─► chunks ─► fan_out ─┬─► digest
//!                             ├─► inspect
//!                             └─► blob writer
//! ```
//!
//! * `upload`: the five steps of an upload: claim, stream, verify, commit blob, commit metadata
//! * `room`: how much an upload may add to what its owner's images take up
//! * `turns`: which transfers run where their number is limited, and which wait
//! * `chunks`: the body in chunks of bounded memory
//! * `fan_out`: each chunk to digest, inspector and blob writer; the slowest sets the pace
//! * `sums`: the digests, and of the parts that a store sends
//! * `adopt`: data that is there already becomes an image's, after it was hashed or before
//! * `stage`: data that waits for an import
//! * `import`: that data, or another place's, becomes an image's; `targets`: the stores that it goes to; `plugin`: what is done
//!   to it before; `original`: what its source says of it
//! * `download`: the store's answer to a read; `fail_over`: going on from another store when one fails
//! * `cached`: downloads through the image cache; `prefetch`: filling it ahead of them
//! * `meter`: what metrics say of it
//!
//! Undoing an upload is the janitor's: it is the same work whether the upload failed or the daemon died.
//!
//! Memory: all chunks of all uploads together are bounded by [`Limits::memory`], whatever the images' sizes.

mod adopt;
mod cached;
mod chunks;
mod download;
mod error;
mod fail_over;
mod fan_out;
mod import;
mod meter;
mod original;
mod plugin;
mod prefetch;
mod room;
mod stage;
mod sums;
mod targets;
#[cfg(test)]
mod tests;
mod turns;
mod upload;

use std::{num::NonZeroUsize, path::PathBuf, sync::Arc, time::Duration};

use saccade_store_contract::OnBehalf;
use tokio::sync::Semaphore;
use tokio_util::task::TaskTracker;

pub use self::{
    adopt::Adoption,
    cached::{Fills, ReadThrough},
    download::{Download, RangeRequest},
    error::{DownloadError, DownloadErrorKind, UploadError, UploadErrorKind},
    import::{Arrival, Import, Importing, Incoming, Opening, Origin, Partial},
    original::Original,
    plugin::{Bounds, Data, Passing, Plugin, PluginError, Treatment, broken_off},
    turns::{Busy, Concurrency, Direction, Limit, Tenant, Turn, Wait},
    upload::Source,
};
use self::{chunks::ChunkPool, turns::Turns};
use crate::{
    digest::{Algorithm, DigestPool},
    image::NodeId,
    inspect::Rules,
    janitor::Janitor,
    ledger::Ledger,
    metadata::Metadata,
    quota,
    stores::Stores,
};

/// Moves the bytes of images. Clones are handles to the same one.
#[derive(Clone)]
pub struct Transfers {
    shared: Arc<Shared>,
    /// As whoever asks may use them.
    stores: Stores,
    janitor: Janitor,
}

/// What transfers work with.
pub struct Parts {
    /// This node's ledger.
    pub ledger: Ledger,
    /// Where blobs go to and come from.
    pub stores: Stores,
    /// Where images are recorded.
    pub metadata: Arc<dyn Metadata>,
    /// Undoes what fails.
    pub janitor: Janitor,
    /// Hashes.
    pub digests: DigestPool,
    /// Gets every upload, so that a stop can wait for them.
    pub tasks: TaskTracker,
    /// This node.
    pub node: NodeId,
    /// What holds of every upload.
    pub limits: Limits,
    /// How much projects may use.
    pub quota: Arc<dyn quota::Limits>,
    /// Keeps what is read of slow stores, where there is one.
    pub cache: Option<ReadThrough>,
}

/// What holds of every upload.
#[derive(Debug, Clone)]
pub struct Limits {
    /// The algorithm of `os_hash_value`.
    pub hash_algorithm: Algorithm,
    /// What is checked of image formats.
    pub rules: Rules,
    /// The largest image, in bytes.
    pub size_cap: u64,
    /// For the chunks of all uploads together, in bytes.
    pub memory: u64,
    /// How many uploads may run at once: those of clients. Imports have a limit of their own.
    pub uploads: Concurrency,
    /// How many downloads may run at once.
    pub downloads: Concurrency,
    /// How long a claim lasts when it is not renewed; uploads renew theirs.
    pub claim_lease: Duration,
    /// Whether data that clients give an image by its address is hashed (`do_secure_hash`).
    pub hash_adopted: bool,
    /// How often it is read again when that fails (`http_retries`).
    pub retries: u32,
    /// Imports whose data is on its way at once (`task_pool_threads`). Others wait, and are `importing`.
    pub imported_at_once: NonZeroUsize,
    /// The URL at which other nodes reach this one (`worker_self_reference_url`), kept with what waits here.
    pub stage_host: Option<String>,
    /// Uploads are refused while the file system of this directory has less free space than the reserve, so that
    /// metadata can always be written.
    pub reserve: Reserve,
}

/// Space that uploads leave alone.
#[derive(Debug, Clone)]
pub struct Reserve {
    /// Where the metadata is.
    pub dir: PathBuf,
    /// What stays free there, in bytes.
    pub bytes: u64,
}

/// Images whose data somebody else has written, and is read here to be hashed, at once. Others wait.
const HASHED_AT_ONCE: usize = 8;

struct Shared {
    parts: Parts,
    chunks: ChunkPool,
    uploads: Turns,
    downloads: Turns,
    hashed: Semaphore,
    imported: Semaphore,
}

impl Transfers {
    /// Transfers with the given parts.
    pub fn new(parts: Parts) -> Self {
        let chunks = ChunkPool::new(parts.limits.memory);
        let uploads = Turns::new(Direction::Upload, parts.limits.uploads);
        let downloads = Turns::new(Direction::Download, parts.limits.downloads);
        let imported = parts.limits.imported_at_once.get().min(Semaphore::MAX_PERMITS);
        Self {
            stores: parts.stores.clone(),
            janitor: parts.janitor.clone(),
            shared: Arc::new(Shared {
                parts,
                chunks,
                uploads,
                downloads,
                hashed: Semaphore::new(HASHED_AT_ONCE),
                imported: Semaphore::new(imported),
            }),
        }
    }

    /// The same, at stores that act in this caller's name: also in what is begun here and goes on without the caller.
    #[must_use]
    pub fn on_behalf(&self, caller: &OnBehalf) -> Self {
        let stores = self.shared.parts.stores.on_behalf(caller);
        Self {
            shared: Arc::clone(&self.shared),
            janitor: self.janitor.at(stores.clone()),
            stores,
        }
    }
}

impl Reserve {
    /// Whether there is less free space than must stay free. Asks the file system: a few microseconds.
    fn is_reached(&self) -> bool {
        // A file system that does not say how full it is is taken to have room: the write itself will tell.
        self.free().is_some_and(|free| free < self.bytes)
    }

    /// How much more than must stay free there is, if the file system says so.
    fn spare(&self) -> Option<u64> {
        self.free().map(|free| free.saturating_sub(self.bytes))
    }

    fn free(&self) -> Option<u64> {
        let found = rustix::fs::statvfs(&self.dir).ok()?;
        Some(found.f_bavail.saturating_mul(found.f_frsize))
    }
}
