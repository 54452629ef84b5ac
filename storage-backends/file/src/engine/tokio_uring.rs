//! io_uring by way of tokio-uring, whose runtime has a thread of its own. Writes of all files are under way at once there.

use std::{
    collections::{HashMap, hash_map::Entry},
    io,
    rc::Rc,
    sync::mpsc::SyncSender,
};

use tokio::sync::mpsc::UnboundedReceiver;
use tokio_uring::{Runtime, fs::File};

use super::remote::{Order, Ordered, Remote};

/// Entries of the ring. More writes than these are submitted in turns.
const ENTRIES: u32 = 256;

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
                Err(error) => tell(&end, Err(error)),
                Ok(open) => drop(tokio_uring::spawn(async move {
                    let (written, _) = open.writev_at_all(pieces, Some(offset)).await;
                    tell(&end, written.map(drop));
                })),
            },
            Order::SyncData { file, end } => match open(&mut files, &file) {
                Err(error) => tell(&end, Err(error)),
                Ok(open) => drop(tokio_uring::spawn(async move {
                    tell(&end, open.sync_data().await);
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

fn tell(end: &SyncSender<io::Result<()>>, result: io::Result<()>) {
    // Nobody waits for it any more.
    let _ = end.send(result);
}
