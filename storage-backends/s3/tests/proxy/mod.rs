//! A proxy that disturbs single requests between the store and the gateway.

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
pub(crate) enum Fault {
    /// It is answered with this head and body, and goes no further.
    Answer(&'static str),
    /// The connection is cut before it goes further.
    CutBefore,
    /// The connection is cut within its body, on both sides.
    CutWithin,
    /// It is done, and the connection is cut instead of the answer.
    CutAfter,
    /// The connection is cut after so many bytes of the answer's body.
    CutAnswer(usize),
    /// It goes further so much later.
    Slow(Duration),
    /// The answer has another entity tag.
    OtherTag,
}

/// Which requests.
#[derive(Debug, Clone, Copy)]
pub(crate) struct When {
    pub(crate) method: &'static str,
    /// In the path or query.
    pub(crate) holds: &'static str,
    /// Not in them.
    pub(crate) lacks: &'static str,
    /// The first so many.
    pub(crate) times: usize,
}

#[derive(Debug, Default)]
struct Script {
    faults: Vec<(When, Fault)>,
    seen: Vec<String>,
}

/// Listens until it is dropped.
#[derive(Debug)]
pub(crate) struct Proxy {
    address: SocketAddr,
    script: Arc<Mutex<Script>>,
    listening: JoinHandle<()>,
}

impl Proxy {
    pub(crate) async fn before(server: &str) -> Self {
        let server = server.strip_prefix("http://").unwrap().to_owned();
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let script = Arc::<Mutex<Script>>::default();
        let shared = Arc::clone(&script);
        let listening = tokio::spawn(async move {
            loop {
                let (client, _) = listener.accept().await.unwrap();
                let (server, script) = (server.clone(), Arc::clone(&shared));
                // Its end is either side's.
                tokio::spawn(async move { drop(serve(client, &server, &script).await) });
            }
        });
        Self {
            address,
            script,
            listening,
        }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    pub(crate) fn disturb(&self, when: When, fault: Fault) {
        self.script.lock().unwrap().faults.push((when, fault));
    }

    pub(crate) fn heal(&self) {
        self.script.lock().unwrap().faults.clear();
    }

    /// Heads of the requests so far, and forgets them.
    pub(crate) fn requests(&self) -> Vec<String> {
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

async fn serve(client: TcpStream, server: &str, script: &Mutex<Script>) -> io::Result<()> {
    let (from_client, mut to_client) = client.into_split();
    let mut from_client = BufReader::new(from_client);
    let (from_server, mut to_server) = TcpStream::connect(server).await?.into_split();
    let mut from_server = BufReader::new(from_server);
    loop {
        let head = head(&mut from_client).await?;
        let text = String::from_utf8_lossy(&head).into_owned();
        let length = length(&text);
        let fault = script.lock().unwrap().fault(&text);
        let body = match fault {
            Some(Fault::CutWithin) => {
                to_server.write_all(&head).await?;
                copy(&mut from_client, &mut to_server, length / 2).await?;
                return Ok(());
            }
            _ => {
                let mut body = vec![0; length];
                from_client.read_exact(&mut body).await?;
                body
            }
        };
        match fault {
            Some(Fault::CutBefore) => return Ok(()),
            Some(Fault::Answer(answer)) => {
                to_client.write_all(answer.as_bytes()).await?;
                continue;
            }
            Some(Fault::Slow(delay)) => tokio::time::sleep(delay).await,
            _ => {}
        }
        to_server.write_all(&head).await?;
        to_server.write_all(&body).await?;
        answer(&text, &mut from_server, &mut to_client, fault).await?;
    }
}

async fn answer(
    request: &str,
    from: &mut BufReader<OwnedReadHalf>,
    to: &mut (impl AsyncWriteExt + Unpin),
    fault: Option<Fault>,
) -> io::Result<()> {
    let over = || Err(io::Error::other("cut"));
    let head = head(from).await?;
    let text = String::from_utf8_lossy(&head).into_owned();
    let has_none = request.starts_with("HEAD ") || text.contains(" 204 ") || text.contains(" 304 ");
    let length = if has_none { 0 } else { length(&text) };
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
    tokio::io::copy(&mut part, to).await?;
    Ok(())
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

fn length(head: &str) -> usize {
    assert!(!head.to_ascii_lowercase().contains("transfer-encoding"), "{head}");
    head.lines()
        .filter_map(|line| line.split_once(':'))
        .find(|(name, _)| name.eq_ignore_ascii_case("content-length"))
        .map_or(0, |(_, value)| value.trim().parse().unwrap())
}
