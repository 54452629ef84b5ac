//! One store over several directories, each a file store of its own (glance_store's `filesystem_store_datadirs`).

use std::{cmp::Reverse, fmt, ops::Range, sync::Arc};

use async_trait::async_trait;
use saccade_disk::Disk;
use saccade_store_contract::{
    Attempt, Blob, BlobName, BlobWriter, Capabilities, Capacity, Error, ErrorKind, Handle, Location,
    Operation, Result, Store,
};

use crate::{
    open::{FileStoreConfig, OpenError},
    store::FileStore,
};

/// With less room, a directory is the last that gets a blob whose length is not told.
const SCARCE: u64 = 1 << 30;

/// One of the directories.
#[derive(Debug, Clone)]
pub struct DataDirectory {
    /// The greatest is filled first.
    pub priority: i64,
    /// The store that it is.
    pub config: FileStoreConfig,
}

/// Blobs as files in one of several directories. A blob is written to the directory of the greatest priority that has room
/// for it, and of several such to the one with the most room; it is read where its location says. Where its length is not told,
/// a directory with less than 1 GiB of room counts only when all have less, and then the one with the most is taken.
///
/// A handle does not say which directory an attempt wrote to: what the attempt may have left is named after it, and is looked
/// for in all. Where one of them cannot be looked into (it is not mounted), the attempt is not finished.
#[derive(Debug, Clone)]
pub struct FileStores {
    /// By falling priority. Never empty.
    directories: Arc<[(i64, FileStore)]>,
}

impl FileStores {
    /// Opens a store in each of the directories, as [`FileStore::open`]. Blocks.
    ///
    /// # Errors
    /// The first directory that cannot be used; [`OpenError::NoDirectory`] when none is given;
    /// [`OpenError::SameDirectory`] when two are one, which would have each other's attempts for their own.
    pub fn open(directories: Vec<DataDirectory>, disk: Arc<dyn Disk>) -> Result<Self, OpenError> {
        let mut stores = Vec::new();
        for directory in directories {
            let store = FileStore::open(directory.config, Arc::clone(&disk))?;
            let mut others = stores.iter().map(|(_, other): &(i64, FileStore)| other);
            if let Some(other) = others.find(|other| other.identity() == store.identity()) {
                return Err(OpenError::SameDirectory {
                    path: store.directory().to_owned(),
                    other: other.directory().to_owned(),
                });
            }
            stores.push((directory.priority, store));
        }
        if stores.is_empty() {
            return Err(OpenError::NoDirectory);
        }
        // Stable: of equals, the first that was named comes first.
        stores.sort_by_key(|(priority, _)| Reverse(*priority));
        Ok(Self {
            directories: stores.into(),
        })
    }

    fn stores(&self) -> impl Iterator<Item = &FileStore> {
        self.directories.iter().map(|(_, store)| store)
    }

    /// The directory that a location is in.
    fn of(&self, location: &Location, operation: Operation) -> Result<&FileStore> {
        let found = self.stores().find(|store| store.canonical(location).is_some());
        found.ok_or_else(|| {
            Error::new(ErrorKind::Invalid, operation, "a location")
                .caused_by("it does not name a blob in one of this store's directories")
        })
    }

    /// Where a blob of this length goes: the directories by falling priority and room. Those without room are left out.
    async fn best(&self, size: Option<u64>) -> Result<Vec<&FileStore>> {
        let mut found = Vec::new();
        let mut failure = None;
        for (priority, store) in self.directories.iter() {
            match store.capacity().await {
                Ok(capacity) => {
                    let free = capacity.map_or(u64::MAX, |capacity| capacity.free);
                    let is_scarce = size.is_none() && free < SCARCE;
                    let priority = if is_scarce { i64::MIN } else { *priority };
                    if free >= size.unwrap_or(0) {
                        found.push(((is_scarce, Reverse((priority, free))), store));
                    }
                }
                Err(error) => failure = Some(error),
            }
        }
        found.sort_by_key(|(rank, _)| *rank);
        match (found.is_empty(), failure) {
            (true, Some(error)) => Err(error),
            _ => Ok(found.into_iter().map(|(_, store)| store).collect()),
        }
    }
}

#[async_trait]
impl Store for FileStores {
    fn capabilities(&self) -> Capabilities {
        Capabilities {
            kind: "file",
            random_access: true,
            writable: true,
        }
    }

    async fn create(
        &self,
        name: BlobName,
        attempt: Attempt,
        size_hint: Option<u64>,
    ) -> Result<(Handle, Box<dyn BlobWriter>)> {
        let mut failure = None;
        for store in self.best(size_hint).await? {
            match store.create(name, attempt, size_hint).await {
                Ok(created) => return Ok(created),
                // Filled up meanwhile, or not to be written: another may do.
                Err(error) => {
                    failure.get_or_insert(error);
                }
            }
        }
        Err(failure.unwrap_or_else(|| {
            Error::new(ErrorKind::Full, Operation::Create, name.to_string())
                .caused_by("it is larger than the free space of each of the store's directories")
        }))
    }

    async fn read(&self, location: &Location, range: Option<Range<u64>>) -> Result<Blob> {
        self.of(location, Operation::Read)?.read(location, range).await
    }

    async fn size(&self, location: &Location) -> Result<u64> {
        self.of(location, Operation::Size)?.size(location).await
    }

    fn canonical(&self, location: &Location) -> Option<Location> {
        self.stores().find_map(|store| store.canonical(location))
    }

    async fn prepare_delete(&self, location: &Location) -> Result<()> {
        let store = self.of(location, Operation::PrepareDelete)?;
        store.prepare_delete(location).await
    }

    async fn delete(&self, location: &Location) -> Result<()> {
        self.of(location, Operation::Delete)?.delete(location).await
    }

    async fn discard(&self, handle: &Handle) -> Result<()> {
        let mut result = Ok(());
        for store in self.stores() {
            // In the others also when it fails in one.
            result = result.and(store.discard(handle).await);
        }
        result
    }

    async fn settle(&self, handle: &Handle) -> Result<()> {
        let mut result = Ok(());
        for store in self.stores() {
            result = result.and(store.settle(handle).await);
        }
        result
    }

    /// All of them together; those on one file system count its room once each.
    async fn capacity(&self) -> Result<Option<Capacity>> {
        let mut sum = Capacity { total: 0, free: 0 };
        for store in self.stores() {
            if let Some(capacity) = store.capacity().await? {
                sum.total = sum.total.saturating_add(capacity.total);
                sum.free = sum.free.saturating_add(capacity.free);
            }
        }
        Ok(Some(sum))
    }
}

impl fmt::Display for FileStores {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut stores = self.stores();
        if let Some(first) = stores.next() {
            first.fmt(f)?;
        }
        for other in stores {
            write!(f, " and {}", other.directory().display())?;
        }
        Ok(())
    }
}
