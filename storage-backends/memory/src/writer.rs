//! Writing one blob.

use std::sync::{Arc, atomic::AtomicBool};

use async_trait::async_trait;
use bytes::Bytes;
use saccade_store_contract::{BlobWriter, Location, Result};

use crate::{
    MemoryStore,
    shelf::{AttemptKey, Piece, Shelf},
};

#[derive(Debug)]
pub(crate) struct MemoryWriter {
    shelf: Arc<Shelf>,
    key: AttemptKey,
    discarded: Arc<AtomicBool>,
}

impl MemoryWriter {
    pub(crate) fn new(shelf: Arc<Shelf>, key: AttemptKey) -> Self {
        let discarded = shelf.writer(key);
        Self {
            shelf,
            key,
            discarded,
        }
    }

    fn append(&self, piece: Piece) -> Result<()> {
        if piece.len() == 0 {
            return Ok(());
        }
        self.shelf.append(self.key, &self.discarded, piece)
    }
}

#[async_trait]
impl BlobWriter for MemoryWriter {
    async fn write(&mut self, chunk: Bytes) -> Result<()> {
        self.append(Piece::Bytes(chunk))
    }

    async fn write_zeroes(&mut self, len: u64) -> Result<()> {
        self.append(Piece::Zeroes(len))
    }

    async fn commit(self: Box<Self>) -> Result<Location> {
        self.shelf.publish(self.key, &self.discarded)?;
        Ok(MemoryStore::location(self.key.name))
    }

    async fn abort(self: Box<Self>) -> Result<()> {
        self.shelf.discard(self.key);
        Ok(())
    }
}
