//! The stores that one import writes to, side by side.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::{FutureExt, future::join_all};
use saccade_store_contract::{
    BlobWriter, Error, ErrorKind, Location, Operation, PartLengths, PartSums, Result,
};
use tracing::warn;

use super::{fan_out::Sink, import::Partial};
use crate::ledger::{Held, UploadEntry};

/// One store.
pub(super) struct Target {
    pub(super) entry: UploadEntry,
    pub(super) held: Option<Held>,
    /// Where the data is, once it is all there.
    pub(super) location: Option<Location>,
    /// Gone once it has failed, or is done.
    writer: Option<Box<dyn BlobWriter>>,
}

/// All of them.
pub(super) struct Targets {
    targets: Vec<Target>,
    partial: Partial,
}

impl Target {
    pub(super) fn new(entry: UploadEntry, writer: Box<dyn BlobWriter>) -> Self {
        Self {
            entry,
            held: None,
            location: None,
            writer: Some(writer),
        }
    }

    async fn write(&mut self, chunk: Bytes) -> Result<()> {
        match &mut self.writer {
            Some(writer) => writer.write(chunk).await,
            None => Ok(()),
        }
    }

    async fn commit(&mut self) -> Result<()> {
        if let Some(writer) = self.writer.take() {
            self.location = Some(writer.commit().await?);
        }
        Ok(())
    }
}

impl Targets {
    pub(super) fn new(targets: Vec<Target>, partial: Partial) -> Self {
        Self { targets, partial }
    }

    pub(super) fn all(&mut self) -> std::slice::IterMut<'_, Target> {
        self.targets.iter_mut()
    }

    /// Nothing is written any more.
    pub(super) fn stop(&mut self) {
        for target in &mut self.targets {
            target.writer = None;
        }
    }

    fn writers(&self) -> impl Iterator<Item = &dyn BlobWriter> {
        self.targets.iter().filter_map(|target| target.writer.as_deref())
    }

    /// Publishes what was written.
    ///
    /// # Errors
    /// Too few stores have it; what the others have done is unknown.
    pub(super) async fn commit(&mut self) -> Result<()> {
        let results = join_all(self.targets.iter_mut().map(|target| target.commit().boxed())).await;
        self.settle(results)?;
        match self.targets.iter().any(|target| target.location.is_some()) {
            true => Ok(()),
            false => Err(nowhere()),
        }
    }

    /// Who has failed takes no further part, if others may go on without it.
    fn settle(&mut self, results: Vec<Result<()>>) -> Result<()> {
        let mut last = None;
        for (target, result) in self.targets.iter_mut().zip(results) {
            let Err(error) = result else { continue };
            if self.partial == Partial::Refused {
                return Err(error);
            }
            warn!(image = %target.entry.image, store = target.entry.store, %error, "a store drops out of an import");
            target.writer = None;
            last = Some(error);
        }
        let is_in_use = |target: &Target| target.writer.is_some() || target.location.is_some();
        match last {
            Some(error) if !self.targets.iter().any(is_in_use) => Err(error),
            _ => Ok(()),
        }
    }
}

#[async_trait]
impl Sink for Targets {
    /// To all at once; the slowest sets the pace.
    async fn write(&mut self, chunk: Bytes) -> Result<()> {
        let writes = self
            .targets
            .iter_mut()
            .map(|target| target.write(chunk.clone()).boxed());
        let results = join_all(writes).await;
        self.settle(results)
    }

    /// Those of one store. Others that have parts hash them by themselves.
    fn parts(&self) -> Option<PartLengths> {
        self.writers().find_map(|writer| writer.parts())
    }

    fn use_sums(&mut self, sums: Arc<dyn PartSums>) {
        let mut writers = self
            .targets
            .iter_mut()
            .filter_map(|target| target.writer.as_mut());
        if let Some(writer) = writers.find(|writer| writer.parts().is_some()) {
            writer.use_sums(sums);
        }
    }
}

fn nowhere() -> Error {
    Error::new(
        ErrorKind::Unavailable,
        Operation::Commit,
        "an import into no store",
    )
}
