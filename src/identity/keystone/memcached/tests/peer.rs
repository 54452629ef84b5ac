//! A small memcached of the text protocol, with the habits of several.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};

use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::{TcpListener, TcpStream},
    task::{JoinHandle, JoinSet},
};

/// Flags, seconds and value by key.
pub(super) type Entries = Arc<Mutex<HashMap<String, (u32, u32, Vec<u8>)>>>;

/// A small memcached of the text protocol.
pub(super) struct Peer {
    pub(super) address: String,
    pub(super) entries: Entries,
    connections: Arc<AtomicUsize>,
    commands: Arc<Mutex<Vec<String>>>,
    task: JoinHandle<()>,
}

#[derive(Clone, Copy, PartialEq)]
pub(super) enum Habit {
    /// `mg` is known.
    Modern,
    /// `mg` is an error.
    Old,
    /// Whoever says `mg` is thrown out.
    Proxy,
    /// `mg` is answered as an early version did.
    Early,
    /// One answer per connection.
    Impatient,
}

impl Peer {
    pub(super) async fn start(habit: Habit) -> Self {
        Self::start_at("127.0.0.1:0", habit).await
    }

    pub(super) async fn start_at(address: &str, habit: Habit) -> Self {
        let listener = TcpListener::bind(address).await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let entries = Entries::default();
        let connections = Arc::new(AtomicUsize::new(0));
        let commands = Arc::new(Mutex::new(Vec::new()));
        let (all, count, log) = (entries.clone(), connections.clone(), commands.clone());
        let task = tokio::spawn(async move {
            let mut served = JoinSet::new();
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                count.fetch_add(1, Ordering::Relaxed);
                served.spawn(Self::serve(stream, habit, all.clone(), log.clone()));
            }
        });
        Self {
            address,
            entries,
            connections,
            commands,
            task,
        }
    }

    async fn serve(stream: TcpStream, habit: Habit, entries: Entries, commands: Arc<Mutex<Vec<String>>>) {
        let mut stream = BufReader::new(stream);
        let mut line = String::new();
        while stream.read_line(&mut line).await.unwrap_or(0) > 0 {
            commands.lock().unwrap().push(line.trim_end().to_owned());
            let words: Vec<_> = line.split_whitespace().map(str::to_owned).collect();
            let found = entries.lock().unwrap().get(&words[1]).cloned();
            let mut answer = Vec::new();
            match (words[0].as_str(), habit) {
                ("set", _) => {
                    let mut data = vec![0; words[4].parse::<usize>().unwrap() + 2];
                    stream.read_exact(&mut data).await.unwrap();
                    data.truncate(data.len() - 2);
                    let entry = (words[2].parse().unwrap(), words[3].parse().unwrap(), data);
                    entries.lock().unwrap().insert(words[1].clone(), entry);
                    answer = b"STORED\r\n".to_vec();
                }
                ("mg", Habit::Old) => answer = b"ERROR\r\n".to_vec(),
                ("mg", Habit::Proxy) => return,
                ("mg", Habit::Early) => match found {
                    Some((flags, _, data)) => {
                        answer = format!("VA kvft {flags} 9 {}\r\n", data.len()).into_bytes();
                        answer.extend(data);
                        answer.extend(b"\r\n");
                    }
                    None => answer = b"EN\r\n".to_vec(),
                },
                ("mg", _) => match found {
                    Some((flags, seconds, data)) => {
                        let life = if seconds == 0 { -1 } else { i64::from(seconds) - 1 };
                        answer = format!("VA {} k{} f{flags} t{life}\r\n", data.len(), words[1]).into_bytes();
                        answer.extend(data);
                        answer.extend(b"\r\n");
                    }
                    None => answer = b"EN\r\n".to_vec(),
                },
                ("get", _) => {
                    if let Some((flags, _, data)) = found {
                        answer = format!("VALUE {} {flags} {}\r\n", words[1], data.len()).into_bytes();
                        answer.extend(data);
                        answer.extend(b"\r\n");
                    }
                    answer.extend(b"END\r\n");
                }
                other => panic!("{}", other.0),
            }
            if stream.write_all(&answer).await.is_err() || habit == Habit::Impatient {
                return;
            }
            line.clear();
        }
    }

    pub(super) fn commands(&self) -> Vec<String> {
        let verb = |line: &String| line.split(' ').next().unwrap().to_owned();
        self.commands.lock().unwrap().iter().map(verb).collect()
    }

    pub(super) fn connections(&self) -> usize {
        self.connections.load(Ordering::Relaxed)
    }
}

/// Stops at once, connections included.
impl Drop for Peer {
    fn drop(&mut self) {
        self.task.abort();
    }
}
