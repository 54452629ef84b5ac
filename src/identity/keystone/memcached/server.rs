//! One memcached: its connections, its health, and which protocol it understands.

use std::{
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU8, Ordering},
    },
    time::Duration,
};

use tokio::{
    sync::{Semaphore, SemaphorePermit},
    time::{Instant, timeout, timeout_at},
};

use super::{
    connection::{Connection, Endpoint, Fault},
    health::{Admission, Health, after},
    wire::{Answer, Command, Dialect, Refusal},
};

/// Limits on the use of one server.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    /// Connections at once; 0: any number.
    pub(super) connections: usize,
    /// The longest wait for one of them.
    pub(super) connection_wait: Duration,
    /// The longest exchange, with connecting.
    pub(super) exchange: Duration,
    /// How long a connection is kept that nobody uses.
    pub(super) unused: Duration,
    /// How long a server that failed is left alone.
    pub(super) dead_retry: Duration,
}

/// One memcached.
pub(super) struct Server {
    name: String,
    endpoint: Endpoint,
    limits: Limits,
    health: Health,
    speech: Speech,
    permits: Semaphore,
    /// Most recently used last.
    idle: Mutex<Vec<Idle>>,
}

struct Idle {
    connection: Connection,
    since: Instant,
}

/// Why a server gave no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Failure {
    /// It is dead, or could not be reached: the next one may be asked.
    Unreachable,
    /// It failed when it had been asked, and is dead now.
    Broken,
    /// All connections were in use for too long.
    Exhausted,
    /// It answered that it cannot.
    Refused,
}

impl Server {
    /// `name` is what the operator calls it.
    pub(super) fn new(name: String, endpoint: Endpoint, speech: Speech, limits: Limits) -> Self {
        let permits = match limits.connections {
            0 => Semaphore::MAX_PERMITS,
            connections => connections.min(Semaphore::MAX_PERMITS),
        };
        Self {
            name,
            endpoint,
            health: Health::new(limits.dead_retry, limits.exchange),
            speech,
            limits,
            permits: Semaphore::new(permits),
            idle: Mutex::default(),
        }
    }

    /// Asks the server. Takes no longer than `connection_wait` and `exchange` together.
    ///
    /// Cancel safe: a connection goes back only after a whole answer.
    ///
    /// # Errors
    /// [`Failure`]; the server's health is updated and logged already.
    pub(super) async fn ask(&self, command: &Command<'_>) -> Result<Answer, Failure> {
        let admission = self.health.admit().ok_or(Failure::Unreachable)?;
        let _permit = self.permit().await?;
        // It may have died under those who were waited for.
        if admission == Admission::Ordinary && self.health.is_dead() {
            return Err(Failure::Unreachable);
        }
        let deadline = after(self.limits.exchange);
        let mut reuse = Reuse::Allowed;
        // At most one stale connection and one dialect fewer lie between here and an answer.
        loop {
            let dialect = self.speech.dialect();
            let (mut connection, reused) = match self.idle_connection(reuse) {
                Some(connection) => (connection, true),
                None => (self.connect(deadline).await?, false),
            };
            let exchanged = match timeout_at(deadline, connection.exchange(dialect, command)).await {
                Ok(exchanged) => exchanged,
                Err(_) => Err(Fault::TimedOut),
            };
            let fault = match exchanged {
                // It was restarted, or closes what it finds idle.
                Err(Fault::Closed) if reused => {
                    self.forget_connections();
                    reuse = Reuse::Forbidden;
                    continue;
                }
                Err(Fault::Closed | Fault::Truncated | Fault::Garbage)
                | Ok(Answer::Refused(Refusal::Unknown))
                    if self.speech.fall_back(dialect, command, &exchanged) =>
                {
                    reuse = Reuse::Forbidden;
                    continue;
                }
                Ok(Answer::Refused(Refusal::Unknown)) => Fault::Unknown,
                Ok(Answer::Refused(Refusal::Unauthenticated)) => Fault::Unauthenticated,
                Ok(Answer::Refused(Refusal::Unable)) => {
                    self.answered();
                    return Err(Failure::Refused);
                }
                Ok(answer) => {
                    self.speech.understood(dialect, &answer);
                    self.answered();
                    self.keep(connection);
                    return Ok(answer);
                }
                Err(fault) => fault,
            };
            self.failed(&fault);
            return Err(Failure::Broken);
        }
    }

    async fn permit(&self) -> Result<SemaphorePermit<'_>, Failure> {
        match timeout(self.limits.connection_wait, self.permits.acquire()).await {
            Ok(Ok(permit)) => Ok(permit),
            _ => Err(Failure::Exhausted),
        }
    }

    async fn connect(&self, deadline: Instant) -> Result<Connection, Failure> {
        let fault = match timeout_at(deadline, Connection::open(&self.endpoint)).await {
            Ok(Ok(connection)) => return Ok(connection),
            Ok(Err(fault)) => fault,
            Err(_) => Fault::TimedOut,
        };
        self.failed(&fault);
        Err(Failure::Unreachable)
    }

    fn idle_connection(&self, reuse: Reuse) -> Option<Connection> {
        if reuse == Reuse::Forbidden {
            return None;
        }
        let mut idle = self.idle();
        idle.retain(|idle| idle.since.elapsed() < self.limits.unused);
        while let Some(Idle { mut connection, .. }) = idle.pop() {
            if connection.is_quiet() {
                return Some(connection);
            }
        }
        None
    }

    fn keep(&self, connection: Connection) {
        let since = Instant::now();
        self.idle().push(Idle { connection, since });
    }

    fn forget_connections(&self) {
        self.idle().clear();
    }

    fn failed(&self, fault: &Fault) {
        self.forget_connections();
        self.speech.forget();
        if self.health.failed() {
            tracing::warn!(
                server = %self.name,
                reason = %fault,
                retry_after_seconds = self.limits.dead_retry.as_secs(),
                "a memcached of the token cache is out of use",
            );
        }
    }

    fn answered(&self) {
        if self.health.answered() {
            tracing::info!(server = %self.name, "a memcached of the token cache is back");
        }
    }

    fn idle(&self) -> MutexGuard<'_, Vec<Idle>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Reuse {
    Allowed,
    Forbidden,
}

/// Which dialect a server is spoken to in, as far as that has been found out.
pub(super) struct Speech(AtomicU8);

impl Speech {
    const BINARY: u8 = 0;
    const CLASSIC: u8 = 1;
    const META: u8 = 2;
    const UNTRIED: u8 = 3;

    /// Text, in the richest form that the server turns out to understand.
    pub(super) fn text() -> Self {
        Self(AtomicU8::new(Self::UNTRIED))
    }

    /// The binary protocol and nothing else.
    pub(super) fn binary() -> Self {
        Self(AtomicU8::new(Self::BINARY))
    }

    fn dialect(&self) -> Dialect {
        match self.0.load(Ordering::Relaxed) {
            Self::BINARY => Dialect::Binary,
            Self::CLASSIC => Dialect::Classic,
            _ => Dialect::Meta,
        }
    }

    /// Whether the same is to be said in a simpler dialect, which is used from now on.
    ///
    /// Old servers do not know `mg`, early ones that do answer it differently, and proxies close the
    /// connection. A server that has answered it once is simply broken when it does not any more, unless it says so.
    fn fall_back(&self, dialect: Dialect, command: &Command<'_>, outcome: &Result<Answer, Fault>) -> bool {
        let from: &[u8] = match outcome {
            Ok(_) => &[Self::UNTRIED, Self::META],
            Err(_) => &[Self::UNTRIED],
        };
        dialect == Dialect::Meta
            && matches!(command, Command::Get { .. })
            && (self.dialect() == Dialect::Classic
                || from.iter().any(|state| {
                    self.0
                        .compare_exchange(*state, Self::CLASSIC, Ordering::Relaxed, Ordering::Relaxed)
                        .is_ok()
                }))
    }

    /// Notes what `answer` proves. A miss proves nothing: other servers say it alike.
    fn understood(&self, dialect: Dialect, answer: &Answer) {
        if dialect == Dialect::Meta && matches!(answer, Answer::Hit(_)) {
            let _ = self
                .0
                .compare_exchange(Self::UNTRIED, Self::META, Ordering::Relaxed, Ordering::Relaxed);
        }
    }

    /// The server is gone; another version may come back in its place.
    fn forget(&self) {
        if self.dialect() != Dialect::Binary {
            self.0.store(Self::UNTRIED, Ordering::Relaxed);
        }
    }
}
