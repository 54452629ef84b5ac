//! One connection to one memcached.

use std::{fmt, io, net::SocketAddr, sync::Arc};

use bytes::BytesMut;
use futures_util::FutureExt;
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::{TcpStream, UnixStream, lookup_host},
};
use tokio_rustls::{
    TlsConnector,
    rustls::{ClientConfig, pki_types::ServerName},
};

use super::{
    super::options::Sasl,
    MemcachedError,
    address::Address,
    binary,
    wire::{Answer, Command, Dialect, Garbage, Progress, Refusal},
};

/// How much is read at once.
const READ: usize = 16 * 1024;

/// Where a server is and how a connection to it begins.
pub(super) struct Endpoint {
    address: Address,
    tls: Option<(TlsConnector, ServerName<'static>)>,
    sasl: Option<Sasl>,
}

/// Why a server is not to be used, or a connection no more.
#[derive(Debug)]
pub(super) enum Fault {
    /// It did not answer in time.
    TimedOut,
    /// Its name means no address of the kind that may be used.
    NoAddress,
    /// It refuses connections, or its certificate is refused.
    Io(io::Error),
    /// It closed the connection before it said anything.
    Closed,
    /// It closed the connection within an answer.
    Truncated,
    /// It answered something else than a memcached.
    Garbage,
    /// It does not know a command that every memcached knows.
    Unknown,
    /// It does not accept us.
    Unauthenticated,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::TimedOut => "it does not answer in time (memcache_pool_socket_timeout)",
            Self::NoAddress => "its name has no address",
            Self::Io(error) => return write!(f, "{error}"),
            Self::Closed => "it closes the connection at once",
            Self::Truncated => "it closes the connection within an answer",
            Self::Garbage => "it does not answer as a memcached does",
            Self::Unknown => "it does not know the commands of a memcached",
            Self::Unauthenticated => "it refuses memcache_username and memcache_password, or wants them",
        })
    }
}

impl From<Garbage> for Fault {
    fn from(Garbage: Garbage) -> Self {
        Self::Garbage
    }
}

impl Endpoint {
    /// A server of `memcached_servers`.
    ///
    /// # Errors
    /// [`MemcachedError::Server`].
    pub(super) fn new(
        server: &str,
        tls: Option<&Arc<ClientConfig>>,
        sasl: Option<&Sasl>,
    ) -> Result<Self, MemcachedError> {
        let address = Address::parse(server)?;
        let refuse = |problem| MemcachedError::Server {
            server: server.to_owned(),
            problem,
        };
        let tls = match (tls, &address) {
            (None, _) => None,
            // keystonemiddleware would speak without TLS here, and not say so.
            (Some(_), Address::Unix(_)) => {
                return Err(refuse(
                    "is a local socket, where there is no TLS (memcache_tls_enabled)",
                ));
            }
            (Some(config), Address::Tcp { host, .. }) => {
                let name = ServerName::try_from(host.clone())
                    .map_err(|_| refuse("has no name that a certificate could have"))?;
                Some((TlsConnector::from(config.clone()), name))
            }
        };
        Ok(Self {
            address,
            tls,
            sasl: sasl.cloned(),
        })
    }

    async fn connect(&self) -> Result<Box<dyn Stream>, Fault> {
        match &self.address {
            Address::Unix(path) => {
                let stream = UnixStream::connect(path).await.map_err(Fault::Io)?;
                Ok(Box::new(stream))
            }
            Address::Tcp { host, port, family } => {
                let found = lookup_host((host.as_str(), *port)).await.map_err(Fault::Io)?;
                let addresses = family.choose(found.collect());
                let stream = connect_any(&addresses).await?;
                // A request is one write; nothing is gained by waiting for more.
                stream.set_nodelay(true).map_err(Fault::Io)?;
                match &self.tls {
                    None => Ok(Box::new(stream)),
                    Some((connector, name)) => {
                        let stream = connector.connect(name.clone(), stream).await.map_err(Fault::Io)?;
                        Ok(Box::new(stream))
                    }
                }
            }
        }
    }
}

async fn connect_any(addresses: &[SocketAddr]) -> Result<TcpStream, Fault> {
    let mut fault = Fault::NoAddress;
    for address in addresses {
        match TcpStream::connect(address).await {
            Ok(stream) => return Ok(stream),
            Err(error) => fault = Fault::Io(error),
        }
    }
    Err(fault)
}

trait Stream: AsyncRead + AsyncWrite + Send + Sync + Unpin {}

impl<S: AsyncRead + AsyncWrite + Send + Sync + Unpin> Stream for S {}

/// A connection on which nothing is under way.
///
/// An exchange that is dropped or fails leaves it with an answer that nobody waits for: then it must be dropped,
/// never used again.
pub(super) struct Connection {
    stream: Box<dyn Stream>,
    opaque: u32,
}

impl Connection {
    /// Connects, and does everything that comes before the first command.
    ///
    /// # Errors
    /// [`Fault`].
    pub(super) async fn open(endpoint: &Endpoint) -> Result<Self, Fault> {
        let mut connection = Self {
            stream: endpoint.connect().await?,
            opaque: 0,
        };
        if let Some(sasl) = &endpoint.sasl {
            let request = binary::login(sasl, connection.opaque);
            let answer = connection
                .converse(&request, |bytes| binary::login_answer(0, bytes))
                .await?;
            match answer {
                Answer::Stored => {}
                // It was built or started without SASL: keystonemiddleware goes on, and so do we.
                Answer::Refused(Refusal::Unknown) => {}
                _ => return Err(Fault::Unauthenticated),
            }
        }
        Ok(connection)
    }

    /// Asks and waits for the whole answer, whose end is the last that the server has said.
    ///
    /// # Errors
    /// [`Fault`].
    pub(super) async fn exchange(
        &mut self,
        dialect: Dialect,
        command: &Command<'_>,
    ) -> Result<Answer, Fault> {
        self.opaque = self.opaque.wrapping_add(1);
        let opaque = self.opaque;
        self.converse(&dialect.request(command, opaque), |bytes| {
            dialect.answer(command, opaque, bytes)
        })
        .await
    }

    /// Holds no more than the largest answer and one read beyond it.
    async fn converse(
        &mut self,
        request: &[u8],
        parse: impl Fn(&[u8]) -> Result<Progress, Garbage>,
    ) -> Result<Answer, Fault> {
        let sent = async {
            self.stream.write_all(request).await?;
            self.stream.flush().await
        };
        sent.await.map_err(broken)?;
        let mut bytes = BytesMut::new();
        loop {
            match parse(&bytes)? {
                Progress::Complete { answer, length } if length == bytes.len() => return Ok(answer),
                Progress::Complete { .. } => return Err(Fault::Garbage),
                // What a server promises is not what it sends: memory follows what has come.
                Progress::Partial(missing) => bytes.reserve(missing.clamp(512, READ)),
            }
            let read = self.stream.read_buf(&mut bytes).await.map_err(broken);
            match read {
                Ok(1..) => {}
                Ok(0) | Err(Fault::Closed) if bytes.is_empty() => return Err(Fault::Closed),
                Ok(0) | Err(Fault::Closed) => return Err(Fault::Truncated),
                Err(fault) => return Err(fault),
            }
        }
    }

    /// Whether the server has neither closed it nor said something that nobody asked for.
    pub(super) fn is_quiet(&mut self) -> bool {
        self.stream.read(&mut [0]).now_or_never().is_none()
    }
}

fn broken(error: io::Error) -> Fault {
    match error.kind() {
        io::ErrorKind::BrokenPipe
        | io::ErrorKind::ConnectionReset
        | io::ErrorKind::ConnectionAborted
        | io::ErrorKind::NotConnected
        | io::ErrorKind::UnexpectedEof => Fault::Closed,
        _ => Fault::Io(error),
    }
}
