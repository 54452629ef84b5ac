//! A bare connection: for requests that no well-behaved client sends, and for what happens between the bytes.

use std::{
    io::{BufRead, BufReader, ErrorKind, Read, Write},
    net::{Shutdown, SocketAddr, TcpStream},
    time::Duration,
};

/// A connection to the daemon.
pub(crate) struct Connection {
    writer: TcpStream,
    reader: BufReader<TcpStream>,
}

/// The first part of an answer.
#[derive(Debug)]
pub(crate) struct Head {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(String, String)>,
}

impl Head {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(found, _)| found.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.as_str())
    }
}

impl Connection {
    pub(crate) fn open(address: SocketAddr) -> Self {
        let writer = TcpStream::connect(address).unwrap();
        writer.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        writer.set_write_timeout(Some(Duration::from_secs(20))).unwrap();
        let reader = BufReader::new(writer.try_clone().unwrap());
        Self { writer, reader }
    }

    pub(crate) fn send(&mut self, bytes: &[u8]) {
        self.writer.write_all(bytes).unwrap();
    }

    /// Sends as much as is taken: the other side may have answered and closed already.
    pub(crate) fn send_what_is_taken(&mut self, bytes: &[u8]) {
        match self.writer.write_all(bytes) {
            Err(error) if !matches!(error.kind(), ErrorKind::BrokenPipe | ErrorKind::ConnectionReset) => {
                panic!("{error}")
            }
            _ => {}
        }
    }

    /// Everything that came until the other side closed or reset.
    pub(crate) fn rest(&mut self) -> Vec<u8> {
        let mut bytes = Vec::new();
        match self.reader.read_to_end(&mut bytes) {
            Err(error) if error.kind() != ErrorKind::ConnectionReset => panic!("{error}"),
            _ => bytes,
        }
    }

    /// The next status line and the headers after it.
    pub(crate) fn head(&mut self) -> Head {
        let status = self.line();
        let code = status.split(' ').nth(1).and_then(|code| code.parse().ok());
        let mut headers = Vec::new();
        loop {
            let line = self.line();
            let Some((name, value)) = line.split_once(':') else {
                assert_eq!(line, "");
                break;
            };
            headers.push((name.to_owned(), value.trim().to_owned()));
        }
        Head {
            status: code.unwrap_or_else(|| panic!("no status line: {status:?}")),
            headers,
        }
    }

    /// A head and as much of a body as it announces.
    pub(crate) fn answer(&mut self) -> (Head, Vec<u8>) {
        let head = self.head();
        let length = head
            .header("Content-Length")
            .map_or(0, |length| length.parse().unwrap());
        let mut body = vec![0; length];
        self.reader.read_exact(&mut body).unwrap();
        (head, body)
    }

    /// Whether nothing comes for a while.
    pub(crate) fn is_silent(&mut self, during: Duration) -> bool {
        self.writer.set_read_timeout(Some(during)).unwrap();
        let result = self.reader.fill_buf().map(<[u8]>::len);
        self.writer
            .set_read_timeout(Some(Duration::from_secs(20)))
            .unwrap();
        matches!(result, Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut))
    }

    /// Says that nothing more will be sent.
    pub(crate) fn finish_sending(&mut self) {
        self.writer.shutdown(Shutdown::Write).unwrap();
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.reader.read_line(&mut line).unwrap();
        assert!(line.ends_with("\r\n"), "the answer ends within a line: {line:?}");
        line.truncate(line.len() - 2);
        line
    }
}
