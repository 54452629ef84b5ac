//! The store.

use std::{fmt, ops::Range, sync::Arc};

use async_trait::async_trait;
use saccade_store_contract::{
    Attempt, Blob, BlobName, BlobWriter, Capabilities, Capacity, ErrorKind, Handle, Location, Operation,
    Result, Store,
};

use crate::{
    attempt::{AttemptState, KeyLocks, LiveAttempts},
    body,
    client::Client,
    config::{OpenError, S3StoreConfig},
    endpoint::AttemptNames,
    failure::{Failure, refused},
    parts::{LARGEST_OBJECT, Memory},
    undo,
    writer::S3Writer,
};

const MIB: u64 = 1 << 20;
/// S3's own bound for parts but the last.
const SHORTEST_PART: u64 = 5;

/// Blobs as objects in one bucket.
#[derive(Debug, Clone)]
pub struct S3Store(Arc<Inner>);

/// What the store and its writers share.
#[derive(Debug)]
pub(crate) struct Inner {
    pub(crate) id: String,
    pub(crate) client: Client,
    pub(crate) memory: Memory,
    pub(crate) keys: KeyLocks,
    pub(crate) attempts: LiveAttempts,
    /// In bytes.
    pub(crate) chunk: u64,
    pub(crate) large_object: u64,
    pub(crate) parts_at_once: usize,
    creates_bucket: bool,
}

impl S3Store {
    /// Makes a store from its options, and asks nobody. Reads the file of authorities, so it blocks.
    ///
    /// # Errors
    /// [`OpenError`]: an option that cannot be used.
    pub fn open(config: S3StoreConfig) -> Result<Self, OpenError> {
        let option = |option, reason| OpenError::Option {
            id: config.id.clone(),
            option,
            reason,
        };
        let chunk = config.s3_store_large_object_chunk_size;
        if !(SHORTEST_PART..=5 << 10).contains(&chunk) {
            return Err(option(
                "s3_store_large_object_chunk_size",
                "must be from 5 to 5120 (MiB)",
            ));
        }
        let parts_at_once = usize::try_from(config.s3_store_thread_pools).unwrap_or(usize::MAX);
        if parts_at_once == 0 {
            return Err(option("s3_store_thread_pools", "must be at least 1"));
        }
        let client = Client::new(&config)?;
        let chunk = chunk.saturating_mul(MIB);
        Ok(Self(Arc::new(Inner {
            client,
            memory: Memory::new(chunk),
            keys: KeyLocks::default(),
            attempts: LiveAttempts::default(),
            chunk,
            large_object: config.s3_store_large_object_size.saturating_mul(MIB),
            parts_at_once,
            creates_bucket: config.s3_store_create_bucket_on_put,
            id: config.id,
        })))
    }

    fn resolve(&self, location: &Location, operation: Operation) -> Result<String> {
        self.0.client.endpoint.resolve(location, operation)
    }
}

impl Inner {
    pub(crate) async fn size(&self, key: &str, operation: Operation) -> Result<u64> {
        let head = self.client.head(key).await;
        match head.map_err(|failure| failure.at(operation, key))? {
            Some(head) => Ok(head.size),
            None => Err(refused(
                ErrorKind::NotFound,
                operation,
                key,
                "the bucket has no such object",
            )),
        }
    }

    async fn prepare_bucket(&self) -> Result<(), Failure> {
        if self.client.has_bucket().await? {
            return Ok(());
        }
        if !self.creates_bucket {
            return Err(Failure::NoBucket);
        }
        tracing::info!(
            store = self.id,
            bucket = self.client.endpoint.bucket,
            "the bucket is made"
        );
        self.client.create_bucket().await
    }
}

#[async_trait]
impl Store for S3Store {
    fn capabilities(&self) -> Capabilities {
        Capabilities {
            kind: "s3",
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
        let names = AttemptNames::new(name, attempt);
        if size_hint.is_some_and(|size| size > LARGEST_OBJECT) {
            let reason = "an object has at most 5 TiB";
            return Err(refused(ErrorKind::Full, Operation::Create, &names.key, reason));
        }
        let handle = self.0.client.endpoint.handle(&names)?;
        let prepared = self.0.prepare_bucket().await;
        prepared.map_err(|failure| failure.at(Operation::Create, &self.to_string()))?;
        let state = Arc::new(AttemptState::default());
        self.0.attempts.add(name, attempt, &state);
        let writer = S3Writer::new(Arc::clone(&self.0), state, names, size_hint);
        Ok((handle, Box::new(writer)))
    }

    async fn read(&self, location: &Location, range: Option<Range<u64>>) -> Result<Blob> {
        let key = self.resolve(location, Operation::Read)?;
        body::open(&self.0, key, range).await
    }

    async fn size(&self, location: &Location) -> Result<u64> {
        let key = self.resolve(location, Operation::Size)?;
        self.0.size(&key, Operation::Size).await
    }

    fn canonical(&self, location: &Location) -> Option<Location> {
        let key = self.resolve(location, Operation::Size).ok()?;
        Some(self.0.client.endpoint.location(&key))
    }

    async fn prepare_delete(&self, location: &Location) -> Result<()> {
        let key = self.resolve(location, Operation::PrepareDelete)?;
        self.0.size(&key, Operation::PrepareDelete).await.map(drop)
    }

    async fn delete(&self, location: &Location) -> Result<()> {
        let key = self.resolve(location, Operation::Delete)?;
        let _held = self.0.keys.hold(&key).await;
        // To a server, nothing there is as good as deleted.
        self.0.size(&key, Operation::Delete).await?;
        let deleted = self.0.client.delete(&key, None).await;
        deleted.map_err(|failure| failure.at(Operation::Delete, &key))
    }

    async fn discard(&self, handle: &Handle) -> Result<()> {
        let names = self.0.client.endpoint.parse_handle(handle, Operation::Discard)?;
        undo::discard(&self.0, &names, Operation::Discard).await
    }

    async fn settle(&self, handle: &Handle) -> Result<()> {
        let names = self.0.client.endpoint.parse_handle(handle, Operation::Settle)?;
        undo::settle(&self.0, &names).await
    }

    async fn capacity(&self) -> Result<Option<Capacity>> {
        Ok(None)
    }
}

impl fmt::Display for S3Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let endpoint = &self.0.client.endpoint;
        write!(f, "s3 store {} at {}", self.0.id, endpoint.url(None, &[]))
    }
}
