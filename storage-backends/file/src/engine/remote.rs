//! What engines with a thread of their own share: orders to it, through a channel, and their ends. What the thread cannot do, the
//! thread that has the bytes does.
//!
//! A writer waits for the end of what it has ordered, so that there is no more in the channel than writers have under way.

use std::{
    fs, io,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
        mpsc::{Receiver, SyncSender, sync_channel},
    },
    thread,
};

use bytes::Bytes;
use saccade_disk::{DiskFile, WriteMode};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use super::{EngineFile, FileEngine, Submitted, Write, pwrite};

/// What the thread is to do.
#[derive(Debug)]
pub(super) enum Order {
    Write {
        file: Ordered,
        pieces: Vec<Bytes>,
        offset: u64,
        end: SyncSender<End>,
    },
    /// Of both descriptors of a file: nothing more follows.
    Close { id: u64 },
}

/// What became of a write.
#[derive(Debug)]
pub(super) enum End {
    Written(io::Result<()>),
    /// It was not begun: the thread could not get a descriptor of its own.
    NotOpened(io::Error),
}

impl End {
    /// Tells it to who waits for it.
    pub(super) fn tell(self, end: &SyncSender<Self>) {
        // Nobody may wait for it any more.
        let _ = end.send(self);
    }
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
    told: Arc<Told>,
}

/// What the log was told of an engine.
#[derive(Debug)]
struct Told {
    engine: &'static str,
    has_stopped: AtomicBool,
    cannot_open: AtomicBool,
}

impl Told {
    /// It has panicked: at this write, or as a whole.
    fn stopped(&self) {
        if !self.has_stopped.swap(true, Ordering::Relaxed) {
            tracing::error!(
                engine = self.engine,
                "the file engine has broken down; what it does not write any more is written with pwrite until the daemon is \
                 restarted; this is said once"
            );
        }
    }

    fn not_opened(&self, error: &io::Error) {
        if !self.cannot_open.swap(true, Ordering::Relaxed) {
            tracing::warn!(
                engine = self.engine,
                error = error as &dyn std::error::Error,
                "the file engine cannot open a file; it is written with pwrite, and so are others that it cannot open: this \
                 is said once"
            );
        }
    }
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
            told: Arc::new(Told {
                engine: name,
                has_stopped: AtomicBool::new(false),
                cannot_open: AtomicBool::new(false),
            }),
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
        match ended.recv().map_err(|_| stopped())? {
            End::Written(written) => written?,
            End::NotOpened(error) => return Err(error),
        }
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
            here: Here {
                file: Arc::clone(file),
                told: Arc::clone(&self.told),
            },
            orders: self.orders.clone(),
        })
    }
}

/// The file on the thread that has the bytes, for what the engine cannot do.
#[derive(Debug, Clone)]
struct Here {
    file: Arc<dyn DiskFile>,
    told: Arc<Told>,
}

impl Here {
    fn write(&self, write: Write) -> io::Result<()> {
        pwrite::Pwrite.attach(&self.file).submit(write).wait()
    }
}

/// A write that the engine's thread was told to make.
#[derive(Debug)]
pub(crate) struct UnderWay {
    ended: Receiver<End>,
    /// The same, to be made here if need be: the same bytes at the same place, whatever of them was written.
    write: Write,
    here: Here,
}

impl UnderWay {
    pub(super) fn wait(self) -> io::Result<()> {
        match self.ended.recv() {
            Ok(End::Written(written)) => return written,
            Ok(End::NotOpened(error)) => self.here.told.not_opened(&error),
            Err(_) => self.here.told.stopped(),
        }
        self.here.write(self.write)
    }
}

#[derive(Debug)]
struct RemoteFile {
    id: u64,
    here: Here,
    orders: UnboundedSender<Order>,
}

impl RemoteFile {
    /// The file as the thread gets it. `None` when it is no file of the machine, or the mode is a flag, which neither of the
    /// libraries passes on.
    fn ordered(&self, mode: WriteMode) -> Option<io::Result<Ordered>> {
        if mode == WriteMode::DontCache {
            return None;
        }
        let descriptor = self.here.file.writable(mode)?;
        Some(descriptor.map(|descriptor| Ordered {
            id: self.id,
            is_direct: mode == WriteMode::Direct,
            descriptor,
        }))
    }
}

impl EngineFile for RemoteFile {
    fn submit(&self, write: Write) -> Submitted {
        let file = match self.ordered(write.mode) {
            None => return Submitted::Ended(self.here.write(write)),
            Some(Err(error)) => return Submitted::Ended(Err(error)),
            Some(Ok(file)) => file,
        };
        let (end, ended) = sync_channel(1);
        let order = Order::Write {
            file,
            pieces: write.pieces.clone(),
            offset: write.offset,
            end,
        };
        // Where there is no thread any more, the order is dropped, and `ended` says so.
        let _ = self.orders.send(order);
        Submitted::UnderWay(UnderWay {
            ended,
            write,
            here: self.here.clone(),
        })
    }

    /// By the descriptor that the file was made with, which hears of every error since, by whatever descriptor the bytes were
    /// written. Nothing is gained by syncing on the engine's thread: this one waits for it anyway.
    fn sync_data(&self) -> io::Result<()> {
        self.here.file.sync_data()
    }
}

impl Drop for RemoteFile {
    fn drop(&mut self) {
        // The thread has stopped, and has nothing open any more.
        let _ = self.orders.send(Order::Close { id: self.id });
    }
}

fn stopped() -> io::Error {
    io::Error::other("the thread that writes files has stopped")
}

#[cfg(test)]
#[allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]
mod tests {
    use saccade_disk::{Disk, RealDisk};
    use tempfile::TempDir;

    use super::*;

    #[test]
    fn when_the_thread_has_stopped_its_files_are_written_here() {
        // Ends at the second write, and has written none.
        let engine = Remote::start("test", |mut orders, ready| {
            ready.send(Ok(())).unwrap();
            if let Some(Order::Write { end, .. }) = orders.blocking_recv() {
                End::Written(Ok(())).tell(&end);
            }
            while !matches!(orders.blocking_recv(), None | Some(Order::Write { .. })) {}
            Ok(())
        });
        let directory = TempDir::new().unwrap();
        let path = directory.path().join("file");
        let file: Arc<dyn DiskFile> = RealDisk.create_new(&path, 0o600).unwrap().into();
        let engine = engine.unwrap();
        let attached = engine.attach(&file);
        // The first finds a thread that goes, the second none.
        for (at, piece) in ["one", "two"].into_iter().enumerate() {
            let write = Write {
                pieces: vec![Bytes::from_static(piece.as_bytes())],
                offset: at as u64 * 3,
                mode: WriteMode::Buffered,
            };
            attached.submit(write).wait().unwrap();
        }
        attached.sync_data().unwrap();
        assert_eq!(fs::read_to_string(path).unwrap(), "onetwo");
        assert!(engine.told.has_stopped.load(Ordering::Relaxed));
    }
}
