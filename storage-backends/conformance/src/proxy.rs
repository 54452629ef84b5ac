//! A proxy that disturbs single requests between a store and its server, over plain HTTP/1.1.

#![allow(clippy::unwrap_used)]

use std::{
    io,
    net::{Ipv4Addr, SocketAddr},
    sync::{Arc, Mutex},
    time::Duration,
};

use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::{TcpListener, TcpStream, tcp::OwnedReadHalf},
    task::JoinHandle,
};

/// What happens to a request.
#[derive(Debug, Clone)]
pub enum Fault {
    /// It is answered with this head and body, and goes no further.
    Answer(&'static str),
    /// The same, before its body is taken.
    Refuse(&'static str),
    /// The connection is cut before it goes further.
    CutBefore,
    /// The connection is cut within its body, on both sides: in the middle, or after 100 kB of one whose length is not told.
    CutWithin,
    /// The same after so many bytes, if it has them.
    CutAt(usize),
    /// It is done, and the connection is cut instead of the answer.
    CutAfter,
    /// The connection is cut after so many bytes of the answer's body.
    CutAnswer(usize),
    /// It goes further so much later.
    Slow(Duration),
    /// The answer has another entity tag.
    OtherTag,
}

/// A moment in the life of a request that goes through.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Moment {
    /// It is about to go further.
    Asked,
    /// It was done, and its answer is about to go back.
    Answered,
}

type Watch = Arc<dyn Fn(Moment) + Send + Sync>;

/// Which requests: those that all of it holds for.
#[derive(Debug, Clone, Copy)]
pub struct When {
    /// `GET` and the like.
    pub method: &'static str,
    /// In the path or query.
    pub holds: &'static str,
    /// Not in them.
    pub lacks: &'static str,
    /// The first so many.
    pub times: usize,
}

#[derive(Debug, Default)]
struct Script {
    faults: Vec<(When, Fault)>,
    seen: Vec<String>,
}

/// Listens until it is dropped.
#[derive(Debug)]
pub struct Proxy {
    address: SocketAddr,
    script: Arc<Mutex<Script>>,
    listening: JoinHandle<()>,
}

impl When {
    /// All with this method that hold this in their path or query.
    pub const fn all(method: &'static str, holds: &'static str) -> Self {
        Self {
            method,
            holds,
            lacks: "",
            times: usize::MAX,
        }
    }

    /// The first of them.
    #[must_use]
    pub const fn once(self) -> Self {
        self.times(1)
    }

    /// The first so many of them.
    #[must_use]
    pub const fn times(self, times: usize) -> Self {
        Self { times, ..self }
    }

    /// Those of them that do not hold this.
    #[must_use]
    pub const fn without(self, lacks: &'static str) -> Self {
        Self { lacks, ..self }
    }
}

impl Proxy {
    /// Listens before a server, `http://host:port`.
    pub async fn before(server: &str) -> Self {
        let anywhere = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        Self::watched(anywhere, server, |_| {}).await
    }

    /// The same at this address, and calls this in the course of each request that goes through undisturbed.
    pub async fn watched(
        at: SocketAddr,
        server: &str,
        watch: impl Fn(Moment) + Send + Sync + 'static,
    ) -> Self {
        let watch: Watch = Arc::new(watch);
        let server = server.strip_prefix("http://").unwrap().to_owned();
        let listener = TcpListener::bind(at).await.unwrap();
        let address = listener.local_addr().unwrap();
        let script = Arc::<Mutex<Script>>::default();
        let shared = Arc::clone(&script);
        let listening = tokio::spawn(async move {
            loop {
                let (client, _) = listener.accept().await.unwrap();
                let (server, script, watch) = (server.clone(), Arc::clone(&shared), Arc::clone(&watch));
                // Its end is either side's.
                tokio::spawn(async move { drop(serve(client, &server, &script, &watch).await) });
            }
        });
        Self {
            address,
            script,
            listening,
        }
    }

    /// Where it listens, `http://host:port`.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Disturbs such requests, if no fault does so that came before.
    pub fn disturb(&self, when: When, fault: Fault) {
        self.script.lock().unwrap().faults.push((when, fault));
    }

    /// Disturbs none from here on.
    pub fn heal(&self) {
        self.script.lock().unwrap().faults.clear();
    }

    /// Heads of the requests so far, and forgets them.
    pub fn requests(&self) -> Vec<String> {
        std::mem::take(&mut self.script.lock().unwrap().seen)
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.listening.abort();
    }
}

impl Script {
    fn fault(&mut self, head: &str) -> Option<Fault> {
        self.seen.push(head.to_owned());
        let mut words = head.split(' ');
        let (method, target) = (words.next()?, words.next()?);
        let (when, fault) = self.faults.iter_mut().find(|(when, _)| {
            let lacks = when.lacks.is_empty() || !target.contains(when.lacks);
            when.times > 0 && when.method == method && target.contains(when.holds) && lacks
        })?;
        when.times -= 1;
        Some(fault.clone())
    }
}

async fn serve(client: TcpStream, server: &str, script: &Mutex<Script>, watch: &Watch) -> io::Result<()> {
    let (from_client, mut to_client) = client.into_split();
    let mut from_client = BufReader::new(from_client);
    let (from_server, mut to_server) = TcpStream::connect(server).await?.into_split();
    let mut from_server = BufReader::new(from_server);
    loop {
        let head = head(&mut from_client).await?;
        let text = String::from_utf8_lossy(&head).into_owned();
        let length = length(&text);
        let fault = script.lock().unwrap().fault(&text);
        match fault {
            Some(Fault::CutWithin | Fault::CutAt(_)) => {
                to_server.write_all(&head).await?;
                let most = match fault {
                    Some(Fault::CutAt(at)) => at,
                    _ => length.map_or(100_000, |length| length / 2),
                };
                copy(&mut from_client, &mut to_server, most).await?;
                return Ok(());
            }
            Some(Fault::CutBefore) => {
                pass_body(&mut from_client, &mut tokio::io::sink(), length).await?;
                return Ok(());
            }
            Some(Fault::Refuse(answer)) => {
                to_client.write_all(answer.as_bytes()).await?;
                to_client.shutdown().await?;
                // Closed with bytes that nobody has taken, the connection would lose the answer.
                let mut nowhere = tokio::io::sink();
                let rest = tokio::io::copy(&mut from_client, &mut nowhere);
                let _ = tokio::time::timeout(Duration::from_secs(1), rest).await;
                return Ok(());
            }
            Some(Fault::Answer(answer)) => {
                pass_body(&mut from_client, &mut tokio::io::sink(), length).await?;
                to_client.write_all(answer.as_bytes()).await?;
                continue;
            }
            Some(Fault::Slow(delay)) => {
                let mut body = Vec::new();
                pass_body(&mut from_client, &mut body, length).await?;
                tokio::time::sleep(delay).await;
                to_server.write_all(&head).await?;
                to_server.write_all(&body).await?;
            }
            _ => {
                watch(Moment::Asked);
                // As it comes: what breaks off here breaks off there.
                to_server.write_all(&head).await?;
                pass_body(&mut from_client, &mut to_server, length).await?;
            }
        }
        answer(&text, &mut from_server, &mut to_client, fault, watch).await?;
    }
}

async fn answer(
    request: &str,
    from: &mut BufReader<OwnedReadHalf>,
    to: &mut (impl AsyncWriteExt + Unpin),
    fault: Option<Fault>,
    watch: &Watch,
) -> io::Result<()> {
    let over = || Err(io::Error::other("cut"));
    let head = head(from).await?;
    let text = String::from_utf8_lossy(&head).into_owned();
    let has_none = request.starts_with("HEAD ") || text.contains(" 204 ") || text.contains(" 304 ");
    let length = if has_none {
        0
    } else {
        length(&text).expect("an answer that tells its length")
    };
    match fault {
        Some(Fault::CutAfter) => {
            let mut body = vec![0; length];
            from.read_exact(&mut body).await?;
            over()
        }
        Some(Fault::CutAnswer(bytes)) => {
            to.write_all(&head).await?;
            copy(from, to, bytes.min(length)).await?;
            to.flush().await?;
            // What was sent is to arrive before the end does.
            tokio::time::sleep(Duration::from_millis(100)).await;
            over()
        }
        Some(Fault::OtherTag) => {
            let text: Vec<_> = text
                .split("\r\n")
                .map(|line| match line.to_ascii_lowercase().starts_with("etag:") {
                    true => "ETag: \"00000000000000000000000000000000\"",
                    false => line,
                })
                .collect();
            to.write_all(text.join("\r\n").as_bytes()).await?;
            copy(from, to, length).await
        }
        _ => {
            watch(Moment::Answered);
            to.write_all(&head).await?;
            copy(from, to, length).await
        }
    }
}

async fn copy(
    from: &mut BufReader<OwnedReadHalf>,
    to: &mut (impl AsyncWriteExt + Unpin),
    length: usize,
) -> io::Result<()> {
    let mut part = from.take(length as u64);
    match tokio::io::copy(&mut part, to).await? {
        copied if copied == length as u64 => Ok(()),
        _ => Err(io::ErrorKind::UnexpectedEof.into()),
    }
}

async fn head(from: &mut BufReader<OwnedReadHalf>) -> io::Result<Vec<u8>> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        if from.read_until(b'\n', &mut head).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
    Ok(head)
}

/// `None` for one in chunks.
fn length(head: &str) -> Option<usize> {
    let fields = || head.lines().filter_map(|line| line.split_once(':'));
    let value = |wanted: &str| {
        fields()
            .find(|(name, _)| name.eq_ignore_ascii_case(wanted))
            .map(|(_, value)| value.trim())
    };
    if value("transfer-encoding").is_some() {
        return None;
    }
    Some(value("content-length").map_or(0, |length| length.parse().unwrap()))
}

/// Passes a body on, in the form it has.
async fn pass_body(
    from: &mut BufReader<OwnedReadHalf>,
    to: &mut (impl AsyncWriteExt + Unpin),
    length: Option<usize>,
) -> io::Result<()> {
    let Some(length) = length else {
        loop {
            let mut line = Vec::new();
            if from.read_until(b'\n', &mut line).await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            to.write_all(&line).await?;
            let text = String::from_utf8_lossy(&line);
            let chunk = usize::from_str_radix(text.trim(), 16).map_err(io::Error::other)?;
            // With the end of the line.
            copy(from, to, chunk + 2).await?;
            if chunk == 0 {
                return Ok(());
            }
        }
    };
    copy(from, to, length).await
}
