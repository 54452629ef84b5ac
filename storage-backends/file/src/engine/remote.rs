//! What engines with a thread of their own share: orders to it, through a channel, and their ends.
//!
//! A writer waits for the end of what it has ordered, so that there is no more in the channel than writers have under way.

use std::{
    fs, io,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
        mpsc::{SyncSender, sync_channel},
    },
    thread,
};

use bytes::Bytes;
use saccade_disk::{DiskFile, WriteMode};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use super::{EngineFile, FileEngine, Submitted, Write, pwrite, stopped};

/// What the thread is to do.
#[derive(Debug)]
pub(super) enum Order {
    Write {
        file: Ordered,
        pieces: Vec<Bytes>,
        offset: u64,
        end: SyncSender<io::Result<()>>,
    },
    SyncData {
        file: Ordered,
        end: SyncSender<io::Result<()>>,
    },
    /// Of both descriptors of a file: nothing more follows.
    Close { id: u64 },
}

/// A file, and how it is written.
#[derive(Debug)]
pub(super) struct Ordered {
    /// One for each file that was ever written.
    pub(super) id: u64,
    pub(super) is_direct: bool,
    pub(super) descriptor: Arc<fs::File>,
}

/// An engine that is a thread.
#[derive(Debug)]
pub(super) struct Remote {
    name: &'static str,
    orders: UnboundedSender<Order>,
    next: AtomicU64,
}

impl Remote {
    /// Starts the thread. `serve` begins what it needs, says whether that went well, and serves orders until there are none
    /// any more.
    ///
    /// # Errors
    /// What `serve` has said, or that no thread could be had.
    pub(super) fn start(
        name: &'static str,
        serve: impl FnOnce(UnboundedReceiver<Order>, &SyncSender<io::Result<()>>) -> io::Result<()>
        + Send
        + 'static,
    ) -> io::Result<Self> {
        let (orders, receiver) = unbounded_channel();
        let (ready, readiness) = sync_channel(1);
        let run = move || {
            if let Err(error) = serve(receiver, &ready) {
                // Nobody listens where it was ready before.
                let _ = ready.send(Err(error));
            }
        };
        thread::Builder::new().name(name.to_owned()).spawn(run)?;
        readiness.recv().unwrap_or_else(|_| Err(stopped()))?;
        let engine = Self {
            name,
            orders,
            next: AtomicU64::new(0),
        };
        engine.try_out()?;
        Ok(engine)
    }

    /// Writes to a file in memory: a kernel may have rings and not all that is done with them.
    fn try_out(&self) -> io::Result<()> {
        let file = rustix::fs::memfd_create("saccade", rustix::fs::MemfdFlags::CLOEXEC)?;
        let file = Ordered {
            id: self.next.fetch_add(1, Ordering::Relaxed),
            is_direct: false,
            descriptor: Arc::new(file.into()),
        };
        let id = file.id;
        let (end, ended) = sync_channel(1);
        let write = Order::Write {
            file,
            pieces: vec![Bytes::from_static(b"try"), Bytes::from_static(b"out")],
            offset: 0,
            end,
        };
        self.orders.send(write).map_err(|_| stopped())?;
        Submitted::UnderWay(ended).wait()?;
        self.orders.send(Order::Close { id }).map_err(|_| stopped())
    }
}

impl FileEngine for Remote {
    fn name(&self) -> &'static str {
        self.name
    }

    fn attach(&self, file: &Arc<dyn DiskFile>) -> Box<dyn EngineFile> {
        Box::new(RemoteFile {
            id: self.next.fetch_add(1, Ordering::Relaxed),
            here: pwrite::Pwrite.attach(file),
            file: Arc::clone(file),
            orders: self.orders.clone(),
        })
    }
}

#[derive(Debug)]
struct RemoteFile {
    id: u64,
    file: Arc<dyn DiskFile>,
    /// For what the thread cannot do.
    here: Box<dyn EngineFile>,
    orders: UnboundedSender<Order>,
}

impl RemoteFile {
    /// The file as the thread gets it. `None` when it is no file of the machine, or the mode is a flag, which neither of the
    /// libraries passes on.
    fn ordered(&self, mode: WriteMode) -> Option<io::Result<Ordered>> {
        if mode == WriteMode::DontCache {
            return None;
        }
        let descriptor = self.file.writable(mode)?;
        Some(descriptor.map(|descriptor| Ordered {
            id: self.id,
            is_direct: mode == WriteMode::Direct,
            descriptor,
        }))
    }

    fn order(&self, order: impl FnOnce(SyncSender<io::Result<()>>) -> Order) -> Submitted {
        let (end, ended) = sync_channel(1);
        match self.orders.send(order(end)) {
            Ok(()) => Submitted::UnderWay(ended),
            Err(_) => Submitted::Ended(Err(stopped())),
        }
    }
}

impl EngineFile for RemoteFile {
    fn submit(&self, write: Write) -> Submitted {
        match self.ordered(write.mode) {
            None => self.here.submit(write),
            Some(Err(error)) => Submitted::Ended(Err(error)),
            Some(Ok(file)) => self.order(|end| Order::Write {
                file,
                pieces: write.pieces,
                offset: write.offset,
                end,
            }),
        }
    }

    /// By the descriptor that the file was made with: it has seen every error since.
    fn sync_data(&self) -> io::Result<()> {
        match self.ordered(WriteMode::Buffered) {
            None => self.here.sync_data(),
            Some(file) => {
                let file = file?;
                self.order(|end| Order::SyncData { file, end }).wait()
            }
        }
    }
}

impl Drop for RemoteFile {
    fn drop(&mut self) {
        // The thread has stopped, and has nothing open any more.
        let _ = self.orders.send(Order::Close { id: self.id });
    }
}
