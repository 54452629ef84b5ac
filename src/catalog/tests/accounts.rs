//! A store that acts in its callers' names, and in nobody's does nothing.

use std::{
    fmt,
    ops::Range,
    sync::{Arc, Mutex},
};

use async_trait::async_trait;
use saccade_store_contract::{
    Attempt, Blob, BlobName, BlobWriter, Capabilities, Capacity, Error, ErrorKind, Handle, Location,
    OnBehalf, Operation, Readers, Result, Store,
};

/// What was asked of it, with the token that came along.
#[derive(Debug, Clone, Default)]
pub(crate) struct Accounts(Arc<Mutex<Vec<String>>>);

impl Accounts {
    pub(crate) fn around(&self, inner: Arc<dyn Store>) -> Arc<dyn Store> {
        Arc::new(PerCaller {
            inner,
            asked: self.clone(),
            token: None,
        })
    }

    /// What was asked since this was last called.
    pub(crate) fn take(&self) -> Vec<String> {
        std::mem::take(&mut *self.0.lock().unwrap())
    }
}

#[derive(Debug)]
struct PerCaller {
    inner: Arc<dyn Store>,
    asked: Accounts,
    token: Option<String>,
}

impl PerCaller {
    fn ask(&self, operation: Operation, what: &str) -> Result<()> {
        let Some(token) = &self.token else {
            return Err(Error::new(ErrorKind::Denied, operation, "a caller's account"));
        };
        let mut asked = self.asked.0.lock().unwrap();
        asked.push(format!("{operation}{what} by {token}"));
        Ok(())
    }
}

impl fmt::Display for PerCaller {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("callers' accounts")
    }
}

#[async_trait]
impl Store for PerCaller {
    fn capabilities(&self) -> Capabilities {
        self.inner.capabilities()
    }

    fn is_per_caller(&self) -> bool {
        true
    }

    fn on_behalf(&self, caller: &OnBehalf) -> Option<Arc<dyn Store>> {
        Some(Arc::new(Self {
            inner: Arc::clone(&self.inner),
            asked: self.asked.clone(),
            token: Some(caller.token().to_owned()),
        }))
    }

    async fn create(
        &self,
        name: BlobName,
        attempt: Attempt,
        size: Option<u64>,
    ) -> Result<(Handle, Box<dyn BlobWriter>)> {
        self.ask(Operation::Create, "")?;
        self.inner.create(name, attempt, size).await
    }

    async fn read(&self, location: &Location, range: Option<Range<u64>>) -> Result<Blob> {
        self.ask(Operation::Read, "")?;
        self.inner.read(location, range).await
    }

    async fn size(&self, location: &Location) -> Result<u64> {
        self.ask(Operation::Size, "")?;
        self.inner.size(location).await
    }

    fn canonical(&self, location: &Location) -> Option<Location> {
        self.inner.canonical(location)
    }

    async fn set_readers(&self, _: &Location, readers: &Readers) -> Result<()> {
        let who = match readers {
            Readers::Everyone => "everyone".to_owned(),
            Readers::Projects(projects) => projects.join(","),
        };
        self.ask(Operation::SetReaders, &format!(" [{who}]"))
    }

    async fn prepare_delete(&self, location: &Location) -> Result<()> {
        self.ask(Operation::PrepareDelete, "")?;
        self.inner.prepare_delete(location).await
    }

    async fn delete(&self, location: &Location) -> Result<()> {
        self.ask(Operation::Delete, "")?;
        self.inner.delete(location).await
    }

    async fn discard(&self, handle: &Handle) -> Result<()> {
        self.ask(Operation::Discard, "")?;
        self.inner.discard(handle).await
    }

    async fn settle(&self, handle: &Handle) -> Result<()> {
        self.ask(Operation::Settle, "")?;
        self.inner.settle(handle).await
    }

    async fn capacity(&self) -> Result<Option<Capacity>> {
        Ok(None)
    }
}
