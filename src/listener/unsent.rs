//! How many bytes may wait in a socket that are not on their way yet.
//!
//! What is on its way has its own buffer, which the kernel fits to the path: a fixed one would be too small for a long path, or too large for
//! all others. The rest of that buffer would hold bytes too, up to 4 MiB of which a slow peer takes nothing for minutes. The kernel
//! counts them against a limit for all sockets of the machine (`tcp_mem`), and near it, it takes and gives less on each of
//! them: thousands of slow readers would slow every upload down. So a connection begins with little
//! (`TCP_NOTSENT_LOWAT`), and is allowed more for as long as its peer takes it quickly.

use std::task::Poll;

use socket2::SockRef;
use tokio::{
    net::TcpStream,
    time::{Duration, Instant},
};

/// What a connection begins with, in bytes. The socket asks for more when half is left.
const LEAST: u32 = 128 << 10;

/// What a quick peer gets: half of it, of which the socket is filled up again, is at 10 Gbit/s what goes out in the 0.4 ms that another
/// connection's turn may take.
const MOST: u32 = 1 << 20;

/// Twice the allowance, taken within so much time, and it is doubled.
const QUICK: Duration = Duration::from_millis(500);

/// The same within more than this, and it is halved. Far from [`QUICK`], so that a steady peer's stays as it is.
const SLOW: Duration = Duration::from_secs(2);

/// One connection's allowance, and what its peer has taken since it was last looked at.
#[derive(Debug)]
pub(super) struct Unsent {
    allowed: u32,
    taken: u64,
    /// How long the peer has let us wait meanwhile. What we were busy with ourselves, or had nothing to send, is not its doing.
    waited: Duration,
    waiting_since: Option<Instant>,
}

impl Unsent {
    /// The allowance of a new connection, which is the kernel's from now on.
    pub(super) fn begin(socket: &TcpStream) -> Self {
        allow(socket, LEAST);
        Self {
            allowed: LEAST,
            taken: 0,
            waited: Duration::ZERO,
            waiting_since: None,
        }
    }

    /// Notes what the peer has taken, or that it takes nothing for now. At most one system call for so many bytes as twice the allowance.
    pub(super) fn note<E>(&mut self, polled: &Poll<Result<usize, E>>, socket: &TcpStream) {
        let before = self.allowed;
        match polled {
            Poll::Pending => self.wait(),
            Poll::Ready(Ok(taken)) => self.take(*taken),
            Poll::Ready(Err(_)) => {}
        }
        if self.allowed != before {
            allow(socket, self.allowed);
        }
    }

    fn wait(&mut self) {
        self.waiting_since.get_or_insert_with(Instant::now);
    }

    fn take(&mut self, bytes: usize) {
        if let Some(since) = self.waiting_since.take() {
            self.waited += since.elapsed();
        }
        self.taken = self.taken.saturating_add(bytes as u64);
        if self.taken < 2 * u64::from(self.allowed) {
            return;
        }
        if self.waited <= QUICK {
            self.allowed = (self.allowed * 2).min(MOST);
        } else if self.waited > SLOW {
            self.allowed = (self.allowed / 2).max(LEAST);
        }
        (self.taken, self.waited) = (0, Duration::ZERO);
    }
}

fn allow(socket: &TcpStream, bytes: u32) {
    // Without it a slow peer costs memory, and all else works.
    if let Err(error) = SockRef::from(socket).set_tcp_notsent_lowat(bytes) {
        tracing::debug!(%error, "TCP_NOTSENT_LOWAT not set");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::{net::TcpListener, time::advance};

    async fn connection() -> (TcpStream, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let theirs = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        (listener.accept().await.unwrap().0, theirs)
    }

    /// The peer takes `bytes` in pieces, each after so long.
    async fn takes(unsent: &mut Unsent, socket: &TcpStream, bytes: u32, piece: u32, after: Duration) {
        for _ in 0..bytes.div_ceil(piece) {
            unsent.note::<()>(&Poll::Pending, socket);
            unsent.note::<()>(&Poll::Pending, socket);
            advance(after).await;
            unsent.note::<()>(&Poll::Ready(Ok(piece as usize)), socket);
        }
        let kernels = SockRef::from(socket).tcp_notsent_lowat().unwrap();
        assert_eq!(kernels, unsent.allowed, "what the kernel knows");
    }

    #[tokio::test(start_paused = true)]
    async fn a_quick_peer_gets_the_most_and_loses_it_when_it_becomes_slow() {
        let (socket, _theirs) = connection().await;
        let mut unsent = Unsent::begin(&socket);
        takes(&mut unsent, &socket, 4 * MOST, 64 << 10, Duration::from_millis(1)).await;
        assert_eq!(unsent.allowed, MOST);
        takes(&mut unsent, &socket, 4 * MOST, 4 << 10, Duration::from_millis(50)).await;
        assert_eq!(unsent.allowed, LEAST);
    }

    #[tokio::test(start_paused = true)]
    async fn a_peer_that_takes_little_never_gets_more() {
        let (socket, _theirs) = connection().await;
        let mut unsent = Unsent::begin(&socket);
        takes(&mut unsent, &socket, 2 * MOST, 4 << 10, Duration::from_secs(5)).await;
        assert_eq!(unsent.allowed, LEAST);
    }

    #[tokio::test(start_paused = true)]
    async fn a_steady_peer_keeps_what_it_takes_in_a_quarter_of_a_second_and_more() {
        let (socket, _theirs) = connection().await;
        let mut unsent = Unsent::begin(&socket);
        // 1 MiB/s.
        takes(
            &mut unsent,
            &socket,
            2 * MOST,
            32 << 10,
            Duration::from_micros(31_250),
        )
        .await;
        let settled = unsent.allowed;
        assert!((256 << 10..MOST).contains(&settled), "{settled}");
        takes(
            &mut unsent,
            &socket,
            8 * MOST,
            32 << 10,
            Duration::from_micros(31_250),
        )
        .await;
        assert_eq!(unsent.allowed, settled);
    }

    #[tokio::test(start_paused = true)]
    async fn a_pause_between_answers_is_not_the_peers() {
        let (socket, _theirs) = connection().await;
        let mut unsent = Unsent::begin(&socket);
        for _ in 0..64 {
            advance(Duration::from_secs(30)).await;
            takes(&mut unsent, &socket, 64 << 10, 64 << 10, Duration::from_millis(1)).await;
        }
        assert_eq!(unsent.allowed, MOST);
    }
}
