//! The memory store keeps the contract.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

use std::sync::Arc;

use async_trait::async_trait;
use saccade_store_conformance::{Harness, conformance_suite};
use saccade_store_contract::{BlobName, Location, Store};
use saccade_store_memory::{MemoryStore, Shelf};

struct OnAShelf {
    shelf: Arc<Shelf>,
    store: Arc<MemoryStore>,
}

#[async_trait]
impl Harness for OnAShelf {
    async fn start() -> Self {
        let shelf = Shelf::with_room(1 << 30);
        let store = Arc::new(MemoryStore::new("test", Arc::clone(&shelf)));
        Self { shelf, store }
    }

    fn store(&self) -> Arc<dyn Store> {
        Arc::clone(&self.store) as Arc<dyn Store>
    }

    async fn restart(&mut self) {
        self.store = Arc::new(MemoryStore::new("test", Arc::clone(&self.shelf)));
    }

    async fn inventory(&self) -> Vec<String> {
        self.shelf.inventory()
    }

    async fn plant(&self, name: BlobName, bytes: &[u8]) {
        self.shelf.plant(name, bytes.to_vec().into());
    }

    fn location(&self, name: BlobName) -> Location {
        MemoryStore::location(name)
    }

    fn foreign_locations(&self) -> Vec<Location> {
        ["", "memory:///", "memory:///x", "file:///etc/passwd"]
            .map(Location::new)
            .into()
    }

    fn chunks_held(&self) -> Option<usize> {
        None
    }
}

conformance_suite!(OnAShelf);
