//! A server that is no memcached.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
    task::{JoinHandle, JoinSet},
};

use super::Memcached;

/// What a liar does whenever it hears something.
pub(super) enum Lie {
    /// Says this, whatever it is asked, and goes on listening.
    Says(Vec<u8>),
    /// Says this and closes the connection.
    SaysAndCloses(Vec<u8>),
    /// Says these bytes one by one, so many milliseconds apart.
    Trickles(Vec<u8>, u64),
    /// Says this again and again without end.
    Floods(Vec<u8>),
}

pub(super) struct Liar {
    pub(super) address: String,
    pub(super) connections: Arc<AtomicUsize>,
    task: JoinHandle<()>,
}

impl Drop for Liar {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Liar {
    pub(super) async fn start(lie: Lie) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let connections = Arc::new(AtomicUsize::new(0));
        let (count, lie) = (connections.clone(), Arc::new(lie));
        let task = tokio::spawn(async move {
            let mut served = JoinSet::new();
            loop {
                let (mut stream, _) = listener.accept().await.unwrap();
                count.fetch_add(1, Ordering::Relaxed);
                let lie = lie.clone();
                served.spawn(async move {
                    let mut request = [0; 4096];
                    while stream.read(&mut request).await.unwrap_or(0) > 0 {
                        match &*lie {
                            Lie::Says(bytes) => _ = stream.write_all(bytes).await,
                            Lie::SaysAndCloses(bytes) => {
                                _ = stream.write_all(bytes).await;
                                return;
                            }
                            Lie::Trickles(bytes, pause) => {
                                for byte in bytes {
                                    _ = stream.write_all(&[*byte]).await;
                                    tokio::time::sleep(Duration::from_millis(*pause)).await;
                                }
                            }
                            Lie::Floods(bytes) => while stream.write_all(bytes).await.is_ok() {},
                        }
                    }
                });
            }
        });
        Self {
            address,
            connections,
            task,
        }
    }

    pub(super) async fn is_left_alone_after(&self, cache: &Memcached, connections: usize, what: &str) {
        let started = Instant::now();
        assert_eq!(cache.get("token").await, None, "{what}");
        assert!(started.elapsed() < Duration::from_secs(4), "{what}");
        let made = self.connections.load(Ordering::Relaxed);
        assert_eq!(made, connections, "{what}");
        assert_eq!(cache.get("token").await, None, "{what}");
        assert_eq!(
            self.connections.load(Ordering::Relaxed),
            made,
            "asked again: {what}"
        );
    }
}
