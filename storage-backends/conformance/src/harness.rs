//! What a backend gives to be tested.

use std::{os::unix::fs::FileExt, sync::Arc};

use async_trait::async_trait;
use futures_util::TryStreamExt;
use saccade_store_contract::{Blob, BlobName, Body, Handle, Location, Result, Store};

/// A backend under test, with a place of its own to keep blobs in.
#[async_trait]
pub trait Harness: Send + Sized {
    /// A fresh, empty place, and a store on it.
    async fn start() -> Self;

    /// The store.
    fn store(&self) -> Arc<dyn Store>;

    /// Replaces the store by a new one on the same place, as a restart of the daemon does.
    async fn restart(&mut self);

    /// Everything in the place, blobs and attempts and what else: one line for each, found without the store's help.
    async fn inventory(&self) -> Vec<String>;

    /// Puts a blob under a name without the store, as another program would.
    async fn plant(&self, name: BlobName, bytes: &[u8]);

    /// Where a blob of this name is once it is committed.
    fn location(&self, name: BlobName) -> Location;

    /// Locations that are not this store's, hostile ones among them.
    fn foreign_locations(&self) -> Vec<Location>;

    /// Handles that this store has not made.
    fn foreign_handles(&self) -> Vec<Handle> {
        ["", "?", "nothing:1:x:y"]
            .into_iter()
            .map(|text| Handle::new(text).expect("a short handle"))
            .collect()
    }

    /// Whether a writer may still hold so many chunks when `write` returns; `None` if the backend keeps them all.
    fn chunks_held(&self) -> Option<usize>;
}

/// Runs one test on a fresh backend, and fails if it leaves anything behind.
pub async fn run<H: Harness>(test: impl AsyncFnOnce(&mut H)) {
    let mut harness = H::start().await;
    test(&mut harness).await;
    let left = harness.inventory().await;
    // At a read-only store only the test itself can have put something there.
    if harness.store().capabilities().writable {
        assert!(left.is_empty(), "the test has left {left:#?}");
    }
}

/// All bytes of an opened blob's range.
///
/// # Errors
/// What the stream says.
pub async fn bytes_of(blob: Blob) -> Result<Vec<u8>> {
    match blob.body {
        Body::File(region) => {
            let len = usize::try_from(region.len).expect("a blob that fits into memory");
            let mut bytes = vec![0; len];
            region
                .file
                .read_exact_at(&mut bytes, region.offset)
                .expect("the region is within the file");
            Ok(bytes)
        }
        Body::Stream(stream) => {
            let chunks: Vec<_> = stream.try_collect().await?;
            Ok(chunks.concat())
        }
    }
}
