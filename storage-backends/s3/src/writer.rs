//! Writing one blob.

use std::{
    future::Future,
    mem,
    sync::{Arc, atomic::Ordering},
};

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::{StreamExt, stream::FuturesUnordered};
use saccade_store_contract::{BlobWriter, Error, ErrorKind, Location, Operation, Result};
use tokio::task::JoinHandle;

use crate::{
    attempt::{AttemptState, mark},
    endpoint::AttemptNames,
    failure::{Failure, refused},
    parts::{Buffer, Buffers, Lease, Memory, Plan},
    publish::{self, Content},
    store::Inner,
    undo,
};

/// Collects parts and sends them, several at once.
#[derive(Debug)]
pub(crate) struct S3Writer {
    inner: Arc<Inner>,
    state: Arc<AttemptState>,
    names: Arc<AttemptNames>,
    plan: Plan,
    buffers: Arc<Buffers>,
    filling: Option<Part>,
    /// Bytes before the part that is being filled.
    before: u64,
    upload: Option<String>,
    under_way: FuturesUnordered<JoinHandle<Sent>>,
    /// Entity tags of the parts, as they come.
    tags: Vec<Option<String>>,
    /// Whether the memory that is this writer's own is free.
    own: bool,
    /// A call has failed, or was dropped before its end.
    is_broken: bool,
}

#[derive(Debug)]
struct Part {
    buffer: Buffer,
    length: usize,
    lease: Lease,
}

/// A part that was sent, or not.
#[derive(Debug)]
struct Sent {
    index: usize,
    was_own: bool,
    tag: Result<String, Failure>,
}

impl S3Writer {
    pub(crate) fn new(
        inner: Arc<Inner>,
        state: Arc<AttemptState>,
        names: AttemptNames,
        declared: Option<u64>,
    ) -> Self {
        let plan = Plan {
            base: inner.chunk,
            declared,
        };
        Self {
            buffers: inner.memory.buffers(),
            inner,
            state,
            names: Arc::new(names),
            plan,
            filling: None,
            before: 0,
            upload: None,
            under_way: FuturesUnordered::new(),
            tags: Vec::new(),
            own: true,
            is_broken: false,
        }
    }

    /// Runs a call that ends neither with this writer nor with the caller's patience; `discard` waits for it.
    fn spawn<T, F>(&self, call: F) -> Result<JoinHandle<T>, Failure>
    where
        T: Send + 'static,
        F: Future<Output = T> + Send + 'static,
    {
        let entered = self.state.enter().ok_or(Failure::GivenUp)?;
        let state = Arc::clone(&self.state);
        Ok(tokio::spawn(async move {
            let done = call.await;
            drop((entered, state));
            done
        }))
    }

    fn failed(&self, operation: Operation) -> impl Fn(Failure) -> Error + use<'_> {
        move |failure| failure.at(operation, &self.names.key)
    }

    async fn append(&mut self, mut next: impl FnMut(&mut Vec<u8>, usize) -> usize) -> Result<()> {
        if mem::replace(&mut self.is_broken, true) {
            return Err(broken(Operation::Write, &self.names));
        }
        loop {
            let mut part = match self.filling.take() {
                Some(part) => part,
                None => self.begin_part().await?,
            };
            let room = part.length.saturating_sub(part.buffer.bytes.len());
            let left = next(&mut part.buffer.bytes, room);
            if part.buffer.bytes.len() < part.length {
                self.filling = Some(part);
            } else {
                self.send(part, Operation::Write).await?;
            }
            if left == 0 {
                self.is_broken = false;
                return Ok(());
            }
        }
    }

    /// An empty part, as soon as there is memory for it and it can be sent when it is full.
    async fn begin_part(&mut self) -> Result<Part> {
        let number = u32::try_from(self.tags.len())
            .unwrap_or(u32::MAX)
            .saturating_add(1);
        let Some(length) = self.plan.part(number, self.before) else {
            let reason = format!(
                "it is larger than {} bytes, the most that an object of undeclared size can have here",
                self.before
            );
            return Err(refused(
                ErrorKind::Full,
                Operation::Write,
                &self.names.key,
                reason,
            ));
        };
        let (mut lease, taken) = loop {
            if self.under_way.len() < self.inner.parts_at_once {
                if mem::replace(&mut self.own, false) {
                    break (Memory::own(), None);
                }
                if let Some(lease) = self.inner.memory.another(length.wanted) {
                    break (lease, Some(length.wanted));
                }
            }
            if !self.collect(Operation::Write).await? {
                // The writer's own is with a part that is under way, or free.
                self.own = true;
            }
        };
        let length = match taken {
            Some(length) => length,
            None => {
                let extended = self.inner.memory.extend(&mut lease, length).await;
                extended.map_err(|starved| {
                    refused(
                        ErrorKind::Unavailable,
                        Operation::Write,
                        &self.names.key,
                        starved.to_string(),
                    )
                })?
            }
        };
        let length = usize::try_from(length).unwrap_or(usize::MAX);
        Ok(Part {
            buffer: self.buffers.take(length),
            length,
            lease,
        })
    }

    /// Waits for one part; false if none is under way.
    async fn collect(&mut self, operation: Operation) -> Result<bool> {
        let Some(sent) = self.under_way.next().await else {
            return Ok(false);
        };
        let stopped = |stopped| {
            refused(
                ErrorKind::Unavailable,
                operation,
                &self.names.key,
                format!("{stopped}"),
            )
        };
        let sent = sent.map_err(stopped)?;
        let tag = sent.tag.map_err(self.failed(operation))?;
        self.own |= sent.was_own;
        if let Some(place) = self.tags.get_mut(sent.index) {
            *place = Some(tag);
        }
        Ok(true)
    }

    /// Sends a part in the background.
    async fn send(&mut self, part: Part, operation: Operation) -> Result<()> {
        let upload = match &self.upload {
            Some(upload) => upload.clone(),
            None => self.begin_upload().await.map_err(self.failed(operation))?,
        };
        self.upload = Some(upload.clone());
        self.before = self
            .before
            .saturating_add(u64::try_from(part.buffer.bytes.len()).unwrap_or(u64::MAX));
        let index = self.tags.len();
        self.tags.push(None);
        let number = u32::try_from(self.tags.len()).unwrap_or(u32::MAX);
        let (inner, names, state) = (
            Arc::clone(&self.inner),
            Arc::clone(&self.names),
            Arc::clone(&self.state),
        );
        let sending = self.spawn(async move {
            let body = Bytes::from_owner(part.buffer);
            let tag = inner
                .client
                .put_part(&names.key, &upload, number, body, &state.given_up)
                .await;
            let was_own = part.lease.is_own;
            drop(part.lease);
            Sent { index, was_own, tag }
        });
        self.under_way.push(sending.map_err(self.failed(operation))?);
        Ok(())
    }

    /// Opens the upload in parts, and marks it before its first part.
    async fn begin_upload(&self) -> Result<String, Failure> {
        let (inner, names, state) = (
            Arc::clone(&self.inner),
            Arc::clone(&self.names),
            Arc::clone(&self.state),
        );
        let opening = self.spawn(async move {
            let client = &inner.client;
            let upload = client.create_upload(&names.key, names.attempt).await?;
            state.set_upload(upload.clone());
            let marked = client.put_short(&names.mark, mark(Some(&upload))).await;
            if let Err(failure) = marked {
                // Nothing names it now; if this fails as well, it has no parts, and expires.
                let _ = client.abort(&names.key, &upload).await;
                return Err(failure);
            }
            Ok(upload)
        })?;
        match opening.await {
            Ok(result) => result,
            Err(stopped) => Err(Failure::Unasked(stopped.to_string())),
        }
    }

    /// What is to be published, when all parts are there.
    async fn content(&mut self) -> Result<Content> {
        let last = self.filling.take();
        let length = last.as_ref().map_or(0, |part| part.buffer.bytes.len());
        let is_small = u64::try_from(length).is_ok_and(|length| length < self.inner.large_object);
        if self.upload.is_none() && (is_small || length == 0) {
            let bytes = last.map_or_else(Bytes::new, |part| Bytes::from_owner(part.buffer));
            return Ok(Content::Whole(bytes));
        }
        if let Some(part) = last.filter(|part| !part.buffer.bytes.is_empty()) {
            self.send(part, Operation::Commit).await?;
        }
        while self.collect(Operation::Commit).await? {}
        let tags: Option<Vec<_>> = mem::take(&mut self.tags).into_iter().collect();
        let (Some(upload), Some(tags)) = (self.upload.clone(), tags) else {
            return Err(broken(Operation::Commit, &self.names));
        };
        Ok(Content::Parts {
            upload,
            tags,
            size: self.before,
        })
    }
}

#[async_trait]
impl BlobWriter for S3Writer {
    async fn write(&mut self, chunk: Bytes) -> Result<()> {
        if chunk.is_empty() {
            return Ok(());
        }
        let mut left = chunk;
        self.append(move |part, room| {
            let taken = left.split_to(room.min(left.len()));
            part.extend_from_slice(&taken);
            left.len()
        })
        .await
    }

    async fn write_zeroes(&mut self, len: u64) -> Result<()> {
        if len == 0 {
            return Ok(());
        }
        let mut left = len;
        self.append(move |part, room| {
            let taken = usize::try_from(left).unwrap_or(usize::MAX).min(room);
            part.resize(part.len().saturating_add(taken), 0);
            left = left.saturating_sub(u64::try_from(taken).unwrap_or(u64::MAX));
            usize::try_from(left).unwrap_or(usize::MAX)
        })
        .await
    }

    async fn commit(mut self: Box<Self>) -> Result<Location> {
        if mem::replace(&mut self.is_broken, true) {
            return Err(broken(Operation::Commit, &self.names));
        }
        let content = self.content().await?;
        let (inner, names) = (Arc::clone(&self.inner), Arc::clone(&self.names));
        let publishing = self
            .spawn(async move { publish::publish(&inner, &names, content).await })
            .map_err(self.failed(Operation::Commit))?;
        match publishing.await {
            Ok(result) => result?,
            Err(stopped) => {
                return Err(Failure::Unasked(stopped.to_string()).at(Operation::Commit, &self.names.key));
            }
        }
        Ok(self.inner.client.endpoint.location(&self.names.key))
    }

    async fn abort(self: Box<Self>) -> Result<()> {
        undo::discard(&self.inner, &self.names, Operation::Abort).await
    }
}

impl Drop for S3Writer {
    fn drop(&mut self) {
        // Requests that were sent go to their end; none is made again.
        self.state.given_up.store(true, Ordering::SeqCst);
    }
}

fn broken(operation: Operation, names: &AttemptNames) -> Error {
    let reason = "an earlier call of this attempt has failed";
    refused(ErrorKind::Unavailable, operation, &names.key, reason)
}
