//! A proxy that disturbs: between the daemon and Keystone or a memcached, so that one test breaks what the others use.

use super::daemon::free_address;
use std::{
    io::{self, BufRead, BufReader, Read, Write},
    net::{Shutdown, SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
    },
    thread,
    time::Duration,
};

/// What happens to requests.
#[derive(Clone, Debug)]
pub(crate) enum Fault {
    /// They pass.
    None,
    /// They pass, each so much later.
    Slow(Duration),
    /// They are taken, and never answered.
    Hang,
    /// Nothing listens.
    Refuse,
    /// The connection is closed instead of an answer.
    Close,
    /// Each is answered with these bytes.
    Answer(Vec<u8>),
    /// They pass; but a connection is cut after so many bytes of answers, so many times.
    Cut {
        /// Bytes.
        after: usize,
        /// Connections; later ones last.
        times: usize,
    },
    /// They pass; but after so many bytes of answers a connection says nothing any more.
    Stall {
        /// Bytes.
        after: usize,
    },
}

impl Fault {
    /// An answer over HTTP with this status.
    pub(crate) fn status(code: u16) -> Self {
        let body = r#"{"error": {"message": "as a test wants it"}}"#;
        let head = format!(
            "HTTP/1.1 {code} Whatever\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n",
            body.len()
        );
        Self::Answer(format!("{head}{body}").into_bytes())
    }

    /// A good head, and a body that is not what it says.
    pub(crate) fn broken_json() -> Self {
        let body = r#"{"token": {"user": ["#;
        let head = format!(
            "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n",
            body.len()
        );
        Self::Answer(format!("{head}{body}").into_bytes())
    }

    /// Bytes of no protocol.
    pub(crate) fn garbage() -> Self {
        let bytes = (0..4096_u32).map(|n| u8::try_from((n * n * 31 + 7) % 251).unwrap());
        Self::Answer(bytes.collect())
    }
}

/// Where one request ends and the next begins.
#[derive(Clone, Copy)]
enum Protocol {
    Http,
    /// What arrives together is one request.
    Plain,
}

/// Listens until it is dropped.
pub(crate) struct Proxy {
    address: SocketAddr,
    shared: Arc<Shared>,
    listener: Option<thread::JoinHandle<()>>,
}

struct Shared {
    upstream: SocketAddr,
    protocol: Protocol,
    fault: Mutex<Fault>,
    requests: Mutex<Vec<String>>,
    /// Bytes of answers that went to clients.
    passed: AtomicU64,
    /// Connections that were cut by [`Fault::Cut`].
    cuts: AtomicUsize,
    connections: Mutex<Vec<TcpStream>>,
    is_over: AtomicBool,
}

impl Proxy {
    /// Before a server that speaks HTTP.
    pub(crate) fn http(upstream: SocketAddr) -> Self {
        Self::new(upstream, Protocol::Http)
    }

    /// Before a server that speaks something else.
    pub(crate) fn plain(upstream: SocketAddr) -> Self {
        Self::new(upstream, Protocol::Plain)
    }

    fn new(upstream: SocketAddr, protocol: Protocol) -> Self {
        let address = free_address();
        let shared = Arc::new(Shared {
            upstream,
            protocol,
            fault: Mutex::new(Fault::None),
            requests: Mutex::default(),
            passed: AtomicU64::new(0),
            cuts: AtomicUsize::new(0),
            connections: Mutex::default(),
            is_over: AtomicBool::new(false),
        });
        let first = bind(address).unwrap();
        let listener = thread::spawn({
            let shared = Arc::clone(&shared);
            move || listen(address, first, &shared)
        });
        Self {
            address,
            shared,
            listener: Some(listener),
        }
    }

    /// Where it listens.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// From now on. Connections that were open in health meet the fault with their next request; those that met one
    /// are closed.
    pub(crate) fn set(&self, fault: Fault) {
        let refuses = matches!(fault, Fault::Refuse);
        let before = std::mem::replace(&mut *self.shared.fault.lock().unwrap(), fault);
        if refuses || !matches!(before, Fault::None | Fault::Slow(_)) {
            self.shared.cut();
        }
        let deadline = std::time::Instant::now() + Duration::from_secs(10);
        while TcpStream::connect(self.address).is_err() != refuses {
            assert!(std::time::Instant::now() < deadline, "the proxy does not change");
            thread::sleep(Duration::from_millis(2));
        }
    }

    /// The heads of requests so far; of a protocol other than HTTP the first line of each.
    pub(crate) fn requests(&self) -> Vec<String> {
        self.shared.requests.lock().unwrap().clone()
    }

    /// How many requests began with this: `GET /v3/auth/tokens`.
    pub(crate) fn count(&self, beginning: &str) -> usize {
        let requests = self.shared.requests.lock().unwrap();
        requests.iter().filter(|head| head.starts_with(beginning)).count()
    }

    /// How many bytes of answers went to clients.
    pub(crate) fn passed(&self) -> u64 {
        self.shared.passed.load(Ordering::SeqCst)
    }

    /// How many connections were cut by [`Fault::Cut`].
    pub(crate) fn cuts(&self) -> usize {
        self.shared.cuts.load(Ordering::SeqCst)
    }

    /// Forgets the requests so far.
    pub(crate) fn forget(&self) {
        self.shared.requests.lock().unwrap().clear();
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.shared.is_over.store(true, Ordering::SeqCst);
        self.shared.cut();
        let ended = self.listener.take().unwrap().join();
        if !thread::panicking() {
            ended.unwrap();
        }
    }
}

impl Shared {
    fn fault(&self) -> Fault {
        self.fault.lock().unwrap().clone()
    }

    /// Whether one more connection is to be cut.
    fn cut_another(&self, most: usize) -> bool {
        let more = |cuts| (cuts < most).then_some(cuts + 1);
        self.cuts
            .fetch_update(Ordering::SeqCst, Ordering::SeqCst, more)
            .is_ok()
    }

    fn cut(&self) {
        for connection in self.connections.lock().unwrap().drain(..) {
            // It may be closed already.
            let _ = connection.shutdown(Shutdown::Both);
        }
    }
}

fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    let listener = TcpListener::bind(address)?;
    listener.set_nonblocking(true)?;
    Ok(listener)
}

fn listen(address: SocketAddr, first: TcpListener, shared: &Arc<Shared>) {
    let mut listener = Some(first);
    while !shared.is_over.load(Ordering::SeqCst) {
        if matches!(shared.fault(), Fault::Refuse) {
            listener = None;
        } else if listener.is_none() {
            listener = bind(address).ok();
        }
        match listener.as_ref().map(TcpListener::accept) {
            Some(Ok((client, _))) => {
                client.set_nonblocking(false).unwrap();
                shared
                    .connections
                    .lock()
                    .unwrap()
                    .push(client.try_clone().unwrap());
                let shared = Arc::clone(shared);
                // An end of either side ends it.
                thread::spawn(move || drop(serve(client, &shared)));
            }
            _ => thread::sleep(Duration::from_millis(2)),
        }
    }
}

fn serve(mut client: TcpStream, shared: &Arc<Shared>) -> io::Result<()> {
    let mut requests = BufReader::new(client.try_clone()?);
    let mut upstream: Option<TcpStream> = None;
    while let Some((head, bytes)) = read_request(&mut requests, shared.protocol)? {
        shared.requests.lock().unwrap().push(head);
        match shared.fault() {
            Fault::None | Fault::Cut { .. } | Fault::Stall { .. } => {}
            Fault::Slow(delay) => thread::sleep(delay),
            Fault::Hang => continue,
            Fault::Refuse | Fault::Close => break,
            Fault::Answer(answer) => {
                client.write_all(&answer)?;
                continue;
            }
        }
        if upstream.is_none() {
            let server = TcpStream::connect(shared.upstream)?;
            let (from, to) = (server.try_clone()?, client.try_clone()?);
            let shared = Arc::clone(shared);
            thread::spawn(move || drop(send_back(from, to, &shared)));
            upstream = Some(server);
        }
        if let Some(server) = &mut upstream {
            server.write_all(&bytes)?;
        }
    }
    if let Some(server) = upstream {
        server.shutdown(Shutdown::Both)?;
    }
    client.shutdown(Shutdown::Both)
}

fn send_back(mut server: TcpStream, mut client: TcpStream, shared: &Shared) -> io::Result<()> {
    let mut buffer = [0; 16 << 10];
    let mut sent = 0;
    loop {
        let mut length = server.read(&mut buffer)?;
        if length == 0 {
            return client.shutdown(Shutdown::Both);
        }
        let mut is_cut = false;
        match shared.fault() {
            Fault::None | Fault::Slow(_) => {}
            Fault::Cut { after, times } => {
                is_cut = sent + length >= after && shared.cut_another(times);
                length = if is_cut { after - sent } else { length };
            }
            Fault::Stall { after } => length = length.min(after.saturating_sub(sent)),
            Fault::Hang | Fault::Refuse | Fault::Close | Fault::Answer(_) => continue,
        }
        client.write_all(&buffer[..length])?;
        sent += length;
        shared.passed.fetch_add(length as u64, Ordering::SeqCst);
        if is_cut {
            server.shutdown(Shutdown::Both)?;
            return client.shutdown(Shutdown::Both);
        }
    }
}

/// The head as text, and every byte; `None` at the end.
fn read_request(
    requests: &mut BufReader<TcpStream>,
    protocol: Protocol,
) -> io::Result<Option<(String, Vec<u8>)>> {
    let mut bytes = Vec::new();
    if let Protocol::Plain = protocol {
        bytes.extend_from_slice(requests.fill_buf()?);
        requests.consume(bytes.len());
        let line = bytes.split(|byte| *byte == b'\r').next().unwrap_or_default();
        let line = String::from_utf8_lossy(line).into_owned();
        return Ok((!bytes.is_empty()).then_some((line, bytes)));
    }
    while !bytes.ends_with(b"\r\n\r\n") {
        if requests.read_until(b'\n', &mut bytes)? == 0 {
            return Ok(None);
        }
    }
    let head = String::from_utf8_lossy(&bytes).into_owned();
    let length = head.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-length")
            .then(|| value.trim().parse().ok())?
    });
    let mut body = vec![0; length.unwrap_or(0)];
    requests.read_exact(&mut body)?;
    bytes.extend(body);
    Ok(Some((head, bytes)))
}
