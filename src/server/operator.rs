//! What the operator asks for by the command line: of the daemon through its socket, and of the data directory itself when
//! no daemon runs, since only one process can have the metadata open.
//!
//! One connection carries one request and one reply, each a line of JSON. Only the daemon's own user and root are listened
//! to, whatever the file's mode says.

use std::{
    io,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use serde::{Deserialize, Serialize};
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::{UnixListener, UnixStream},
    time::timeout,
};

use super::{DataDir, DataDirError};
use crate::{
    catalog::{self, CatalogError},
    metadata::{
        Metadata,
        rocksdb::{OpenError, Options, RocksMetadata},
    },
};

/// A request or reply is no longer than this, in bytes.
const MAX_LINE: u64 = 4096;
/// For one conversation.
const PATIENCE: Duration = Duration::from_secs(10);
/// After a failure to accept, which would be repeated at once.
const PAUSE: Duration = Duration::from_millis(250);

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
enum Request {
    /// Bring back a deleted image.
    Restore { image: String },
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
enum Reply {
    Done(String),
    Refused(String),
}

/// What the operator asked for was not done.
#[derive(Debug, thiserror::Error)]
pub enum OperatorError {
    /// The image cannot be restored.
    #[error(transparent)]
    Refused(#[from] CatalogError),
    /// The daemon says why.
    #[error("{0}")]
    Told(String),
    /// The daemon runs, and does not answer.
    #[error("the daemon at {path} did not answer: whether it did it, `openstack image show` tells")]
    NoAnswer {
        /// The socket.
        path: String,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// No daemon listens, and the data directory cannot be had.
    #[error(transparent)]
    DataDir(#[from] DataDirError),
    /// Likewise.
    #[error(transparent)]
    Metadata(#[from] OpenError),
}

fn socket(data_dir: &Path) -> PathBuf {
    data_dir.join("admin.sock")
}

/// Makes the socket, for the daemon's user alone, in place of one that an earlier daemon left. To be called by whoever
/// has the data directory locked.
pub(super) fn bind(data_dir: &Path) -> io::Result<UnixListener> {
    let (path, new) = (socket(data_dir), data_dir.join("admin.sock~"));
    match std::fs::remove_file(&new) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let listener = UnixListener::bind(&new)?;
    std::fs::set_permissions(&new, std::fs::Permissions::from_mode(0o600))?;
    std::fs::rename(&new, &path)?;
    Ok(listener)
}

/// Answers, one conversation after the other, until it is dropped.
pub(super) async fn serve(listener: UnixListener, metadata: Arc<dyn Metadata>) {
    loop {
        match listener.accept().await {
            Ok((stream, _)) => match timeout(PATIENCE, converse(stream, &*metadata)).await {
                Ok(Ok(())) => {}
                Ok(Err(error)) => tracing::debug!(%error, "the operator's connection ended early"),
                Err(_) => tracing::debug!("the operator's connection was too slow"),
            },
            Err(error) => {
                tracing::warn!(%error, "the operator's socket does not accept");
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
}

async fn converse(mut stream: UnixStream, metadata: &dyn Metadata) -> io::Result<()> {
    let peer = stream.peer_cred()?.uid();
    if peer != rustix::process::geteuid().as_raw() && peer != 0 {
        return Err(io::Error::from(io::ErrorKind::PermissionDenied));
    }
    let request = read_line(&mut stream).await?;
    let reply = match serde_json::from_slice(&request) {
        Ok(Request::Restore { image }) => match catalog::restore(metadata, &image).await {
            Ok(image) => {
                tracing::info!(image = %image.id, "the operator has restored a deleted image");
                Reply::Done(restored(&image.id.to_string(), image.status.as_str()))
            }
            Err(error) => Reply::Refused(error.to_string()),
        },
        Err(_) => {
            Reply::Refused("the daemon is of another version: use the `saccade` it was started from".into())
        }
    };
    write_line(&mut stream, &reply).await
}

async fn read_line(stream: &mut UnixStream) -> io::Result<Vec<u8>> {
    let mut line = Vec::new();
    BufReader::new(stream.take(MAX_LINE))
        .read_until(b'\n', &mut line)
        .await?;
    match line.pop() {
        Some(b'\n') => Ok(line),
        _ => Err(io::Error::new(io::ErrorKind::InvalidData, "no whole line")),
    }
}

async fn write_line(stream: &mut UnixStream, message: &impl Serialize) -> io::Result<()> {
    let mut line = serde_json::to_vec(message)?;
    line.push(b'\n');
    stream.write_all(&line).await?;
    stream.shutdown().await
}

fn restored(id: &str, status: &str) -> String {
    format!("{id}: restored, {status}")
}

/// Restores a deleted image whose data is still kept, through the daemon where one runs; says what it became.
///
/// # Errors
/// [`OperatorError`]; but for `NoAnswer`, nothing was changed.
pub async fn restore(data_dir: &Path, image: &str) -> Result<String, OperatorError> {
    let path = socket(data_dir);
    match UnixStream::connect(&path).await {
        Ok(stream) => {
            let asked = timeout(PATIENCE, ask(stream, image)).await;
            match asked.unwrap_or_else(|slow| Err(io::Error::new(io::ErrorKind::TimedOut, slow))) {
                Ok(Reply::Done(told)) => Ok(told),
                Ok(Reply::Refused(why)) => Err(OperatorError::Told(why)),
                Err(source) => Err(OperatorError::NoAnswer {
                    path: path.display().to_string(),
                    source,
                }),
            }
        }
        // Nobody listens; if a daemon runs all the same, the directory is locked, which the error says.
        Err(_) => {
            let data_dir = DataDir::open(data_dir)?;
            let metadata = RocksMetadata::open(&data_dir.path().join("metadata"), Options::default())?;
            let result = catalog::restore(&metadata, image).await;
            metadata.close().await;
            let image = result?;
            Ok(restored(&image.id.to_string(), image.status.as_str()))
        }
    }
}

async fn ask(mut stream: UnixStream, image: &str) -> io::Result<Reply> {
    let image = image.to_owned();
    let mut line = serde_json::to_vec(&Request::Restore { image })?;
    line.push(b'\n');
    stream.write_all(&line).await?;
    Ok(serde_json::from_slice(&read_line(&mut stream).await?)?)
}
