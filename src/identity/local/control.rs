//! The control socket: administration while the daemon runs, since only one process can have the database open.
//!
//! One connection carries one request and one reply, each a line of JSON: `{"version":1,"request":…}` and
//! `{"ok":…}` or `{"error":…}`. Only the daemon's own user and root are listened to, whatever the file's mode says.

use std::future::Future;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use zeroize::Zeroizing;

use super::{AdminError, AdminReply, AdminRequest, LocalIdentity, LocalOptions, OpenError, chain};

const VERSION: u32 = 1;
const MAX_REQUEST: u64 = 64 * 1024;
/// A list of some hundred thousand users.
const MAX_REPLY: u64 = 64 * 1024 * 1024;
const CONNECTIONS: usize = 8;
/// For reading a request, and for writing a reply.
const PATIENCE: Duration = Duration::from_secs(10);
/// How often a command asks again while a daemon is starting: it has the database, but no socket yet.
const ATTEMPTS: u32 = 20;
const PAUSE: Duration = Duration::from_millis(250);

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Request {
    version: u32,
    request: AdminRequest,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "lowercase", deny_unknown_fields)]
enum Reply {
    Ok(AdminReply),
    Error(AdminError),
}

/// Where the socket of a data directory is.
pub fn socket_path(data_dir: &Path) -> PathBuf {
    data_dir.join("control.sock")
}

/// Makes the socket, mode 0600, in place of one that an earlier daemon left. To be called by whoever has the identity
/// open: nobody else can be listening then.
///
/// # Errors
/// When it cannot be made, for example because the path is too long for a socket (107 bytes).
pub fn bind(data_dir: &Path) -> io::Result<UnixListener> {
    let path = socket_path(data_dir);
    let mut name = path.as_os_str().to_owned();
    name.push("~");
    let new = PathBuf::from(name);
    let named = |error: io::Error| io::Error::new(error.kind(), format!("{}: {error}", path.display()));
    match std::fs::remove_file(&new) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(named(error)),
        _ => {}
    }
    let listener = UnixListener::bind(&new).map_err(named)?;
    std::fs::set_permissions(&new, std::fs::Permissions::from_mode(0o600)).map_err(named)?;
    std::fs::rename(&new, &path).map_err(named)?;
    Ok(listener)
}

/// Answers until `shutdown` resolves; requests under way are finished. A few connections at a time, each with a
/// deadline and bounded memory.
pub async fn serve(
    listener: UnixListener,
    identity: LocalIdentity,
    shutdown: impl Future<Output = ()> + Send,
) {
    let free = Arc::new(Semaphore::new(CONNECTIONS));
    let mut connections = JoinSet::new();
    let mut shutdown = std::pin::pin!(shutdown);
    loop {
        while connections.try_join_next().is_some() {}
        let accepted = async {
            let permit = Arc::clone(&free).acquire_owned().await;
            (permit, listener.accept().await)
        };
        let (permit, stream) = tokio::select! {
            biased;
            () = &mut shutdown => break,
            accepted = accepted => accepted,
        };
        match stream {
            Ok((stream, _)) => {
                let identity = identity.clone();
                connections.spawn(async move {
                    if let Err(error) = converse(stream, &identity).await {
                        tracing::debug!(%error, "a control connection ended early");
                    }
                    drop(permit);
                });
            }
            Err(error) => {
                tracing::warn!(%error, "the control socket does not accept");
                // Out of descriptors: at once again would spin.
                sleep(PAUSE).await;
            }
        }
    }
    while connections.join_next().await.is_some() {}
}

async fn converse(mut stream: UnixStream, identity: &LocalIdentity) -> io::Result<()> {
    let peer = stream.peer_cred()?.uid();
    let own = rustix::process::geteuid().as_raw();
    if peer != own && peer != 0 {
        return Err(io::Error::new(
            io::ErrorKind::PermissionDenied,
            format!("connection of user {peer} refused"),
        ));
    }
    let line = timeout(PATIENCE, read_line(&mut stream, MAX_REQUEST)).await??;
    let reply = match parse(&line) {
        Ok(request) => identity
            .administer(request)
            .await
            .map_or_else(Reply::Error, Reply::Ok),
        Err(error) => Reply::Error(error),
    };
    let mut line = Zeroizing::new(serde_json::to_vec(&reply)?);
    line.push(b'\n');
    timeout(PATIENCE, stream.write_all(&line)).await??;
    stream.shutdown().await
}

fn parse(line: &[u8]) -> Result<AdminRequest, AdminError> {
    #[derive(Deserialize)]
    struct Versioned {
        version: u32,
    }
    let bad = |_| AdminError::refused("not a request of this protocol");
    let Versioned { version } = serde_json::from_slice(line).map_err(bad)?;
    if version != VERSION {
        return Err(AdminError::refused(format!(
            "the daemon speaks version {VERSION} of the control protocol, not {version}: use the `saccade` it was started \
             from"
        )));
    }
    // The error is not passed on: it could quote a password.
    serde_json::from_slice::<Request>(line)
        .map(|request| request.request)
        .map_err(bad)
}

/// One line without its end, of at most `limit` bytes.
async fn read_line(stream: impl AsyncRead + Unpin, limit: u64) -> io::Result<Zeroizing<Vec<u8>>> {
    let mut line = Zeroizing::new(Vec::new());
    BufReader::new(stream.take(limit))
        .read_until(b'\n', &mut line)
        .await?;
    match line.pop() {
        Some(b'\n') => Ok(line),
        _ => Err(io::Error::new(io::ErrorKind::InvalidData, "no whole line")),
    }
}

/// Does an operation for the command line: through the daemon where one runs, else in the database itself.
///
/// # Errors
/// [`AdminError`]; `Unavailable` when neither way works.
pub async fn administer(
    data_dir: &Path,
    request: AdminRequest,
    options: LocalOptions,
) -> Result<AdminReply, AdminError> {
    for attempt in 1.. {
        match UnixStream::connect(socket_path(data_dir)).await {
            Ok(stream) => return ask(stream, request).await,
            Err(error) if nobody_listens(&error) => {}
            Err(error) => {
                let path = socket_path(data_dir);
                return Err(AdminError::unavailable(format!(
                    "cannot reach the daemon at {}: {error}",
                    path.display()
                )));
            }
        }
        let (dir, options) = (data_dir.to_owned(), options.clone());
        let opened = tokio::task::spawn_blocking(move || LocalIdentity::open(&dir, options))
            .await
            .map_err(|error| AdminError::unavailable(error.to_string()))?;
        match opened {
            // The first password is not told here: the daemon's first start gives a new one, and writes it down.
            Ok((identity, _)) => return identity.administer(request).await,
            Err(OpenError::InUse(_)) if attempt < ATTEMPTS => sleep(PAUSE).await,
            Err(error) => return Err(AdminError::unavailable(chain(&error))),
        }
    }
    Err(AdminError::unavailable("the daemon does not answer"))
}

/// Whether there is no daemon to ask: no socket, one that an earlier daemon left, or a path too long to have one.
fn nobody_listens(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionRefused, InvalidInput, NotFound};
    matches!(error.kind(), NotFound | ConnectionRefused | InvalidInput)
}

async fn ask(mut stream: UnixStream, request: AdminRequest) -> Result<AdminReply, AdminError> {
    let lost = |error: io::Error| {
        AdminError::unavailable(format!(
            "the daemon did not answer, it is unknown whether it did it: {error}"
        ))
    };
    let request = Request {
        version: VERSION,
        request,
    };
    let mut line = Zeroizing::new(serde_json::to_vec(&request).map_err(|error| lost(error.into()))?);
    line.push(b'\n');
    stream.write_all(&line).await.map_err(lost)?;
    let line = read_line(&mut stream, MAX_REPLY).await.map_err(lost)?;
    match serde_json::from_slice(&line).map_err(|error| lost(error.into()))? {
        Reply::Ok(reply) => Ok(reply),
        Reply::Error(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn quotes_nothing_of_a_bad_request() {
        let error =
            parse(br#"{"version":1,"request":{"user-password":{"name":"a","password":["hunter2"]}}}"#);
        assert!(!error.unwrap_err().to_string().contains("hunter2"));
    }

    #[test]
    fn names_both_versions_when_they_differ() {
        let error = parse(br#"{"version":9,"request":{"anything":{}}}"#).unwrap_err();
        assert!(
            error
                .to_string()
                .contains("version 1 of the control protocol, not 9"),
            "{error}"
        );
    }

    #[tokio::test]
    async fn reads_one_bounded_line() {
        assert_eq!(*read_line(&b"ab\ncd"[..], 10).await.unwrap(), b"ab");
        assert!(read_line(&b"ab"[..], 10).await.is_err());
        assert!(read_line(&b"abcdefghijkl\n"[..], 10).await.is_err());
    }

    proptest! {
        #[test]
        fn any_line_is_a_request_or_refused(line in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = parse(&line);
        }
    }
}
