//! io_uring by way of glommio, whose executor has a thread of its own. It writes from buffers that it has made itself: bytes
//! are copied once more on their way to the disk.

use std::{collections::HashMap, io, os::fd::AsRawFd, rc::Rc};

use bytes::{Buf, Bytes};
use glommio::{
    GlommioError, LocalExecutorBuilder, Placement,
    io::{BufferedFile, DmaFile, OpenOptions},
};
use tokio::sync::mpsc::UnboundedReceiver;

use super::remote::{End, Order, Ordered, Remote};

/// Most bytes of one write: the size of a copy.
const MOST: usize = 1 << 20;

/// Starts the engine.
///
/// # Errors
/// The system gives no ring: it is too old, forbids them (seccomp, `kernel.io_uring_disabled`), or lets too little memory be
/// locked.
pub(super) fn start() -> io::Result<Remote> {
    Remote::start("glommio", |orders, ready| {
        let executor = LocalExecutorBuilder::new(Placement::Unbound)
            .name("glommio")
            .make()
            .map_err(plain)?;
        // Who started it has gone; so will the orders.
        let _ = ready.send(Ok(()));
        executor.run(serve(orders));
        Ok(())
    })
}

/// An open file.
enum File {
    Direct(DmaFile),
    Buffered(BufferedFile),
}

type Files = HashMap<(u64, bool), Rc<File>>;

async fn serve(mut orders: UnboundedReceiver<Order>) {
    let mut files = Files::new();
    while let Some(order) = orders.recv().await {
        match order {
            Order::Write {
                file,
                pieces,
                offset,
                end,
            } => match open(&mut files, &file).await {
                // As where its permissions let nobody write by now.
                Err(error) => End::NotOpened(error).tell(&end),
                Ok(file) => {
                    let write = async move { End::Written(write(&file, pieces, offset).await).tell(&end) };
                    drop(glommio::spawn_local(write).detach());
                }
            },
            Order::Close { id } => {
                for is_direct in [false, true] {
                    if let Some(file) = files.remove(&(id, is_direct)).and_then(Rc::into_inner) {
                        close(file).await;
                    }
                }
            }
        }
    }
}

async fn open(files: &mut Files, file: &Ordered) -> io::Result<Rc<File>> {
    if let Some(open) = files.get(&(file.id, file.is_direct)) {
        return Ok(Rc::clone(open));
    }
    // The path leads to the file that is open, also when its name has gone to another one.
    let path = format!("/proc/self/fd/{}", file.descriptor.as_raw_fd());
    let mut options = OpenOptions::new();
    options.write(true);
    let open = match file.is_direct {
        true => File::Direct(options.dma_open(&path).await.map_err(plain)?),
        false => File::Buffered(options.buffered_open(&path).await.map_err(plain)?),
    };
    let open = Rc::new(open);
    files.insert((file.id, file.is_direct), Rc::clone(&open));
    Ok(open)
}

async fn close(file: File) {
    // Says nothing of what was written: that was synced, or is given up.
    let _ = match file {
        File::Direct(file) => file.close().await,
        File::Buffered(file) => file.close().await,
    };
}

async fn write(file: &File, pieces: Vec<Bytes>, mut offset: u64) -> io::Result<()> {
    for mut rest in pieces {
        while !rest.is_empty() {
            let part = rest.slice(..rest.len().min(MOST));
            let written = match file {
                File::Direct(file) => {
                    let mut buffer = file.alloc_dma_buffer(part.len());
                    buffer.as_bytes_mut().copy_from_slice(&part);
                    file.write_at(buffer, offset).await
                }
                File::Buffered(file) => file.write_at(part.to_vec(), offset).await,
            };
            let written = written.map_err(plain)?.min(part.len());
            if written == 0 {
                return Err(io::ErrorKind::WriteZero.into());
            }
            rest.advance(written);
            let written = u64::try_from(written).unwrap_or(u64::MAX);
            offset = offset.checked_add(written).ok_or(io::ErrorKind::FileTooLarge)?;
        }
    }
    Ok(())
}

/// The system's own error, whose number says what it is.
fn plain(error: GlommioError<()>) -> io::Error {
    match error {
        GlommioError::IoError(error) => error,
        GlommioError::EnhancedIoError { source, .. } => source,
        other => io::Error::other(other.to_string()),
    }
}
