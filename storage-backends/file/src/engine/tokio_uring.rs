//! io_uring by way of tokio-uring, whose runtime has a thread of its own. Writes of all files are under way at once there.

use std::{
    collections::{HashMap, hash_map::Entry},
    io,
    rc::Rc,
    sync::mpsc::SyncSender,
};

use bytes::{Buf, Bytes};
use tokio::sync::mpsc::UnboundedReceiver;
use tokio_uring::{Runtime, fs::File};

use super::remote::{End, Order, Ordered, Remote};

/// Entries of the ring. More writes than these are submitted in turns.
const ENTRIES: u32 = 256;

/// Most pieces of one write (`IOV_MAX`).
const MOST_PIECES: usize = 1024;

/// Starts the engine.
///
/// # Errors
/// The system gives no ring: it is too old, or forbids them (seccomp, `kernel.io_uring_disabled`).
pub(super) fn start() -> io::Result<Remote> {
    Remote::start("tokio-uring", |orders, ready| {
        let mut builder = tokio_uring::builder();
        builder.entries(ENTRIES);
        let runtime = Runtime::new(&builder)?;
        say(ready);
        runtime.block_on(serve(orders));
        Ok(())
    })
}

fn say(ready: &SyncSender<io::Result<()>>) {
    // Who started it has gone; so will the orders.
    let _ = ready.send(Ok(()));
}

async fn serve(mut orders: UnboundedReceiver<Order>) {
    let mut files = HashMap::new();
    while let Some(order) = orders.recv().await {
        match order {
            Order::Write {
                file,
                pieces,
                offset,
                end,
            } => match open(&mut files, &file) {
                Err(error) => End::NotOpened(error).tell(&end),
                Ok(open) => drop(tokio_uring::spawn(async move {
                    End::Written(write(&open, pieces, offset).await).tell(&end);
                })),
            },
            Order::Close { id } => {
                for is_direct in [false, true] {
                    files.remove(&(id, is_direct));
                }
            }
        }
    }
}

type Files = HashMap<(u64, bool), Rc<File>>;

/// The runtime's own descriptor for the file, which it closes.
fn open(files: &mut Files, file: &Ordered) -> io::Result<Rc<File>> {
    Ok(match files.entry((file.id, file.is_direct)) {
        Entry::Occupied(open) => Rc::clone(open.get()),
        Entry::Vacant(place) => {
            let descriptor = file.descriptor.try_clone()?;
            Rc::clone(place.insert(Rc::new(File::from_std(descriptor))))
        }
    })
}

/// Writes all. (The library's own way of doing this goes wrong when a write ends early within a piece, and panics on one of no
/// bytes.)
async fn write(file: &File, mut pieces: Vec<Bytes>, mut offset: u64) -> io::Result<()> {
    pieces.retain(|piece| !piece.is_empty());
    while !pieces.is_empty() {
        let rest = pieces.split_off(pieces.len().min(MOST_PIECES));
        let (written, mut left) = file.writev_at(pieces, offset).await;
        let mut written = match written {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(written) => written,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => 0,
            Err(error) => return Err(error),
        };
        let len = u64::try_from(written).unwrap_or(u64::MAX);
        offset = offset.checked_add(len).ok_or(io::ErrorKind::FileTooLarge)?;
        left.retain_mut(|piece| {
            let len = written.min(piece.len());
            piece.advance(len);
            written = written.saturating_sub(len);
            !piece.is_empty()
        });
        left.extend(rest);
        pieces = left;
    }
    Ok(())
}
