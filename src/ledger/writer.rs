//! The thread that owns the journal: it writes what waits in one go, and syncs once for all.

use std::{
    io,
    path::Path,
    sync::{Mutex, PoisonError},
    thread::JoinHandle,
};

use tokio::sync::{mpsc, oneshot};

use super::{
    Entry, LedgerError, OperationId,
    journal::{Durability, Fact, Journal},
};

/// Facts that may wait; more wait for their turn to wait.
const WAITING: usize = 256;

#[derive(Debug)]
pub(super) struct Writer {
    /// `None` once the writer is being dropped.
    queue: Option<mpsc::Sender<Request>>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

#[derive(Debug)]
struct Request {
    fact: Fact,
    durability: Durability,
    reply: oneshot::Sender<Result<(), LedgerError>>,
}

impl Writer {
    pub(super) fn start(mut journal: Journal) -> Result<Self, LedgerError> {
        let (queue, mut requests) = mpsc::channel(WAITING);
        let thread = std::thread::Builder::new()
            .name("ledger".into())
            .spawn(move || write_all(&mut journal, &mut requests))
            .map_err(|error| LedgerError::new("written", Path::new("its thread"), error))?;
        Ok(Self {
            queue: Some(queue),
            thread: Mutex::new(Some(thread)),
        })
    }

    pub(super) async fn begin(&self, id: OperationId, entry: Entry) -> Result<(), LedgerError> {
        self.write(Fact::Begin(id, entry), Durability::Synced).await
    }

    pub(super) async fn forget(&self, id: OperationId) -> Result<(), LedgerError> {
        self.write(Fact::Forget(id), Durability::Written).await
    }

    async fn write(&self, fact: Fact, durability: Durability) -> Result<(), LedgerError> {
        let ended = || {
            LedgerError::new(
                "written",
                Path::new("its thread"),
                io::Error::other("the thread has ended"),
            )
        };
        let (reply, written) = oneshot::channel();
        let queue = self.queue.as_ref().ok_or_else(ended)?;
        queue
            .send(Request {
                fact,
                durability,
                reply,
            })
            .await
            .map_err(|_| ended())?;
        written.await.map_err(|_| ended())?
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        // Without a sender the thread ends, after what it was given.
        self.queue = None;
        if let Some(thread) = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take() {
            let _ = thread.join();
        }
    }
}

fn write_all(journal: &mut Journal, requests: &mut mpsc::Receiver<Request>) {
    while let Some(first) = requests.blocking_recv() {
        let mut group = vec![first];
        while group.len() < WAITING
            && let Ok(next) = requests.try_recv()
        {
            group.push(next);
        }
        let must_sync = group
            .iter()
            .any(|request| request.durability == Durability::Synced);
        let durability = if must_sync {
            Durability::Synced
        } else {
            Durability::Written
        };
        let (facts, replies): (Vec<_>, Vec<_>) = group
            .into_iter()
            .map(|request| (request.fact, request.reply))
            .unzip();
        let result = journal.append(&facts, durability);
        for reply in replies {
            // Nobody waits any more for what was cancelled.
            let _ = reply.send(result.clone());
        }
    }
}
