//! HTTP/1.1 over a blocking socket, as cheap for the processor as a client can be.

use rustix::net::{RecvFlags, recv, sockopt::set_socket_recv_buffer_size};
use std::{
    io::{self, BufRead, BufReader, Error, IoSlice, Read, Write},
    net::{SocketAddr, TcpStream},
    ops::Range,
    sync::Arc,
    time::{Duration, Instant},
};

/// An administrator, as a proxy in front of the server names them.
pub(crate) const TRUSTED: &str = "X-Identity-Status: Confirmed\r\nX-User-Id: bench\r\nX-Project-Id: bench\r\n\
                                  X-Roles: admin,manager,member,reader\r\n";
/// What is between two calls to the kernel.
const PIECE: usize = 1 << 20;
const BLOCK: usize = 8 << 20;
const PATIENCE: Duration = Duration::from_secs(600);

/// How the end of an upload is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Framing {
    Sized,
    Chunked,
}

/// What a client does with the bytes it is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Receive {
    /// The kernel throws them away: what is left is the server's cost.
    Discard,
    /// They are copied into memory, as a real client does.
    Copy,
}

/// Bytes that all uploads of a run are cut from: random, so that nothing of them can be left out.
#[derive(Clone)]
pub(crate) struct Payload(Arc<Vec<u8>>);

impl Payload {
    pub(crate) fn new() -> Self {
        let mut block = vec![0; BLOCK];
        getrandom::fill(&mut block).unwrap();
        Self(Arc::new(block))
    }

    /// `len` bytes that no other `number` has.
    pub(crate) fn content(&self, number: u64, len: u64) -> Content {
        Content {
            payload: self.clone(),
            number,
            len,
        }
    }
}

/// The bytes of one image.
#[derive(Clone)]
pub(crate) struct Content {
    payload: Payload,
    number: u64,
    pub(crate) len: u64,
}

impl Content {
    /// Hands out the bytes, one piece after the other.
    pub(crate) fn pieces(&self, mut each: impl FnMut(&[u8]) -> io::Result<()>) -> io::Result<()> {
        let block = self.payload.0.as_slice();
        // The first bytes are this image's own; where it begins in the block, too.
        let mut stamp = [0xA5; 16];
        stamp[8..].copy_from_slice(&self.number.to_be_bytes());
        let stamp = &stamp[..stamp.len().min(self.len as usize)];
        let mut left = self.len - stamp.len() as u64;
        each(stamp)?;
        let mut at = (self.number as usize).wrapping_mul(4099) % (BLOCK - PIECE);
        while left > 0 {
            let piece = &block[at..at + PIECE.min(left as usize).min(BLOCK - at)];
            each(piece)?;
            left -= piece.len() as u64;
            at = (at + piece.len()) % BLOCK;
        }
        Ok(())
    }
}

/// The head of an answer, and its body where it was read.
pub(crate) struct Answer {
    pub(crate) status: u16,
    headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let found = self
            .headers
            .iter()
            .find(|(known, _)| known.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.as_str())
    }

    fn expect(self, statuses: &[u16]) -> io::Result<Self> {
        if statuses.contains(&self.status) {
            return Ok(self);
        }
        let text = String::from_utf8_lossy(&self.body);
        let text: String = text.chars().take(300).collect();
        Err(Error::other(format!("answered {}: {text}", self.status)))
    }

    fn length(&self) -> io::Result<Option<u64>> {
        let length = self.header("Content-Length").map(str::parse::<u64>).transpose();
        length.map_err(Error::other)
    }

    fn closes(&self) -> bool {
        self.header("Connection")
            .is_some_and(|value| value.eq_ignore_ascii_case("close"))
    }
}

/// Kept open as long as the server keeps it, and made again after that.
pub(crate) struct Connection {
    address: SocketAddr,
    headers: String,
    stream: Option<BufReader<TcpStream>>,
    /// The server closes it after the answer whose body is being received.
    closing: bool,
    buffer: Vec<u8>,
}

impl Connection {
    /// `headers` are sent with every request, each ended by CRLF.
    pub(crate) fn new(address: SocketAddr, headers: &str) -> Self {
        Self {
            address,
            headers: headers.to_owned(),
            stream: None,
            closing: false,
            buffer: Vec::new(),
        }
    }

    /// A request, and the whole answer, whatever its status.
    pub(crate) fn request(
        &mut self,
        method: &str,
        path: &str,
        media_type: Option<&str>,
        body: &[u8],
    ) -> io::Result<Answer> {
        let head = media_type
            .map(|kind| format!("Content-Type: {kind}\r\n"))
            .unwrap_or_default();
        let head = self.head(method, path, &format!("{head}Content-Length: {}\r\n", body.len()));
        let result = self.exchange(method, &[head.as_bytes(), body].concat());
        if result.is_err() {
            self.stream = None;
        }
        result
    }

    /// The same, whose answer must have this status.
    pub(crate) fn expect(
        &mut self,
        status: u16,
        method: &str,
        path: &str,
        media_type: Option<&str>,
        body: &[u8],
    ) -> io::Result<Vec<u8>> {
        let answer = self.request(method, path, media_type, body)?.expect(&[status]);
        answer
            .map(|answer| answer.body)
            .map_err(|error| Error::other(format!("{method} {path} {error}")))
    }

    /// Sends an image's data, and waits until the server has it.
    pub(crate) fn upload(&mut self, path: &str, content: &Content, framing: Framing) -> io::Result<()> {
        self.begin_upload(path, content.len, framing)?;
        let sent = content.pieces(|piece| self.send_piece(piece, framing));
        if framing == Framing::Chunked && sent.is_ok() {
            self.send(b"0\r\n\r\n")?;
        }
        // A server that refuses says why before it closes.
        let answer = self.answer("PUT");
        if sent.is_err() || answer.is_err() {
            self.stream = None;
        }
        answer?
            .expect(&[204, 201])
            .map_err(|error| Error::other(format!("PUT {path} {error}")))?;
        sent
    }

    /// Sends the head of an upload; the bytes are [`send_piece`](Self::send_piece)'s.
    pub(crate) fn begin_upload(&mut self, path: &str, len: u64, framing: Framing) -> io::Result<()> {
        let framing = match framing {
            Framing::Sized => format!("Content-Length: {len}\r\n"),
            Framing::Chunked => "Transfer-Encoding: chunked\r\n".to_owned(),
        };
        let head = format!("Content-Type: application/octet-stream\r\n{framing}");
        let head = self.head("PUT", path, &head);
        self.send(head.as_bytes())
    }

    /// Sends bytes of an upload.
    pub(crate) fn send_piece(&mut self, piece: &[u8], framing: Framing) -> io::Result<()> {
        match framing {
            Framing::Sized => self.send(piece),
            Framing::Chunked => {
                let head = format!("{:x}\r\n", piece.len());
                let mut parts = [head.as_bytes(), piece, b"\r\n"].map(IoSlice::new);
                write_all_vectored(self.stream()?.get_mut(), &mut parts)
            }
        }
    }

    /// Bytes as they are.
    fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream()?.get_mut().write_all(bytes)
    }

    /// Receives a body, or a range of it; how many bytes came.
    pub(crate) fn download(
        &mut self,
        path: &str,
        range: Option<Range<u64>>,
        receive: Receive,
    ) -> io::Result<u64> {
        let mut left = self.begin_download(path, range)?;
        let total = left;
        while left > 0 {
            let received = self.receive(left, receive)?;
            if received == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            left -= received;
        }
        if self.closing {
            self.stream = None;
        }
        Ok(total)
    }

    /// Asks for a body; its length, once the head of the answer is there.
    pub(crate) fn begin_download(&mut self, path: &str, range: Option<Range<u64>>) -> io::Result<u64> {
        let range = range.map(|range| format!("Range: bytes={}-{}\r\n", range.start, range.end - 1));
        let head = self.head("GET", path, &range.unwrap_or_default());
        self.send(head.as_bytes())?;
        let answer = self.answer_head()?.expect(&[200, 206])?;
        self.closing = answer.closes();
        answer.length()?.ok_or_else(|| Error::other("no length"))
    }

    /// At most `left` bytes of a body: how many there were.
    pub(crate) fn receive(&mut self, left: u64, receive: Receive) -> io::Result<u64> {
        let mut buffer = std::mem::take(&mut self.buffer);
        buffer.resize(PIECE, 0);
        let most = PIECE.min(left as usize);
        let stream = self.stream()?;
        let received = if stream.buffer().is_empty() && receive == Receive::Discard {
            let received = recv(stream.get_ref(), &mut buffer[..most], RecvFlags::TRUNC)?;
            received.0
        } else {
            stream.read(&mut buffer[..most])?
        };
        self.buffer = buffer;
        Ok(received as u64)
    }

    /// Makes the connection if there is none, with a small window: a client that is far away and slow.
    pub(crate) fn open_narrow(&mut self) -> io::Result<()> {
        let stream = self.stream()?;
        Ok(set_socket_recv_buffer_size(stream.get_ref(), 64 << 10)?)
    }

    /// From now on it waits no longer than until then.
    pub(crate) fn limit(&mut self, deadline: Instant) -> io::Result<()> {
        let left = deadline.saturating_duration_since(Instant::now());
        // None at all would be for ever.
        let left = Some(left.max(Duration::from_millis(1)));
        let stream = self.stream()?.get_ref();
        stream.set_read_timeout(left)?;
        stream.set_write_timeout(left)
    }

    fn head(&self, method: &str, path: &str, rest: &str) -> String {
        let headers = &self.headers;
        format!("{method} {path} HTTP/1.1\r\nHost: localhost\r\n{headers}{rest}\r\n")
    }

    fn stream(&mut self) -> io::Result<&mut BufReader<TcpStream>> {
        if self.stream.is_none() {
            let stream = TcpStream::connect(self.address)?;
            stream.set_nodelay(true)?;
            stream.set_read_timeout(Some(PATIENCE))?;
            stream.set_write_timeout(Some(PATIENCE))?;
            self.stream = Some(BufReader::with_capacity(16 << 10, stream));
        }
        self.stream.as_mut().ok_or_else(|| Error::other("no connection"))
    }

    fn exchange(&mut self, method: &str, request: &[u8]) -> io::Result<Answer> {
        self.send(request)?;
        self.answer(method)
    }

    fn answer(&mut self, method: &str) -> io::Result<Answer> {
        let mut answer = self.answer_head()?;
        let length = match (method, answer.status) {
            ("HEAD", _) | (_, 204 | 304) => Some(0),
            _ => answer.length()?,
        };
        let stream = self.stream()?;
        match length {
            Some(length) => {
                answer.body = vec![0; length as usize];
                stream.read_exact(&mut answer.body)?;
            }
            None => {
                stream.read_to_end(&mut answer.body)?;
                self.stream = None;
            }
        }
        if answer.closes() {
            self.stream = None;
        }
        Ok(answer)
    }

    fn answer_head(&mut self) -> io::Result<Answer> {
        let stream = self.stream()?;
        let mut line = || {
            let mut line = String::new();
            match stream.read_line(&mut line)? {
                0 => Err(Error::from(io::ErrorKind::UnexpectedEof)),
                _ => Ok(line.trim_end().to_owned()),
            }
        };
        let status = line()?;
        let status = status.split(' ').nth(1).and_then(|status| status.parse().ok());
        let status = status.ok_or_else(|| Error::other("not HTTP"))?;
        let mut headers = Vec::new();
        loop {
            let line = line()?;
            match line.split_once(':') {
                Some((name, value)) => headers.push((name.to_owned(), value.trim().to_owned())),
                None if line.is_empty() => break,
                None => return Err(Error::other("not a header")),
            }
        }
        Ok(Answer {
            status,
            headers,
            body: Vec::new(),
        })
    }
}

fn write_all_vectored(stream: &mut TcpStream, mut parts: &mut [IoSlice<'_>]) -> io::Result<()> {
    while !parts.is_empty() {
        let written = stream.write_vectored(parts)?;
        IoSlice::advance_slices(&mut parts, written);
    }
    Ok(())
}
