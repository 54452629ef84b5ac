//! Tokens that are known already: in this process, in memcached, and only then at Keystone.
//!
//! A token is believed for `token_cache_time` after Keystone confirmed it, so a revoked one works for that long at
//! most; one found in memcached counts from when it was put there, where that is known, and 10 seconds longer where it
//! is not. What Keystone does not know is never remembered.

use std::{pin::pin, sync::Arc, time::Duration};

use jiff::Timestamp;
use quick_cache::{Weighter, sync::Cache};
use sha2::{Digest, Sha256};
use tokio::{sync::Semaphore, time::Instant};

use super::{
    WallClock,
    access_rules::AccessRules,
    server::{Confirmed, Expired, Failure, Server, busy},
    shared_cache::{Cached, SharedCache},
    single_flight::{Joined, SingleFlight},
    token::Token,
    trouble::{Trouble, TroubleKind},
};

/// Memory for remembered tokens: some 20,000 of them.
const MOST_BYTES: u64 = 32 * 1024 * 1024;

/// What a small token takes, with its place in the cache.
const SMALL_TOKEN_BYTES: u64 = 1024;

/// Tokens being looked up at a time, waiting ones included.
const MOST_FLIGHTS: usize = 1024;

/// How long memcached may take before Keystone is asked as well.
const HEDGE: Duration = Duration::from_millis(100);

/// How long a token from memcached is believed when nobody knows since when it is there.
const UNDATED: Duration = Duration::from_secs(10);

/// Writes to memcached under way at a time; what comes on top is not written.
const MOST_WRITES: usize = 32;

/// A token's digest, under which it is known here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Fingerprint([u8; 32]);

impl Fingerprint {
    pub(super) fn of(token: &str) -> Self {
        Self(Sha256::digest(token.as_bytes()).into())
    }
}

/// For the log: enough to tell tokens apart.
impl std::fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.iter().take(6).try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// A token, and until when it is believed.
#[derive(Debug, Clone)]
struct Entry {
    token: Arc<Token>,
    until: Instant,
}

#[derive(Debug, Clone)]
struct ByBytes;

impl Weighter<Fingerprint, Entry> for ByBytes {
    fn weight(&self, _key: &Fingerprint, entry: &Entry) -> u64 {
        const PLACE: usize = size_of::<Fingerprint>() + size_of::<Entry>() + 64;
        u64::try_from(entry.token.weight().saturating_add(PLACE)).unwrap_or(u64::MAX)
    }
}

type Outcome = Result<Arc<Token>, Failure>;

/// Looks tokens up.
pub(super) struct Tokens {
    shared: Arc<Shared>,
    flights: SingleFlight<(Fingerprint, Expired), Outcome>,
}

/// How long tokens are believed, and who else remembers them.
pub(super) struct Memory {
    cache_time: Duration,
    process: Cache<Fingerprint, Entry, ByBytes>,
    others: Option<Arc<dyn SharedCache>>,
    writes: Arc<Semaphore>,
}

impl Memory {
    pub(super) fn new(cache_time: Duration, others: Option<Arc<dyn SharedCache>>) -> Self {
        let items = usize::try_from(MOST_BYTES / SMALL_TOKEN_BYTES).unwrap_or(usize::MAX);
        Self {
            cache_time,
            process: Cache::with_weighter(items, MOST_BYTES, ByBytes),
            others,
            writes: Arc::new(Semaphore::new(MOST_WRITES)),
        }
    }
}

struct Shared {
    server: Server,
    memory: Option<Memory>,
    include_catalog: bool,
    now: WallClock,
}

/// A token with the time that it may be believed for, short of its life.
struct Found {
    token: Arc<Token>,
    believed: Duration,
}

impl Tokens {
    /// `memory`: `None` asks Keystone each time.
    pub(super) fn new(server: Server, memory: Option<Memory>, include_catalog: bool, now: WallClock) -> Self {
        Self {
            shared: Arc::new(Shared {
                server,
                memory,
                include_catalog,
                now,
            }),
            flights: SingleFlight::new(MOST_FLIGHTS),
        }
    }

    /// See [`Server::warm_up`].
    pub(super) fn warm_up(&self) -> impl Future<Output = ()> + Send + use<> {
        let shared = Arc::clone(&self.shared);
        async move { shared.server.warm_up().await }
    }

    /// How long one request waits at most.
    pub(super) fn patience(&self) -> Duration {
        self.shared.server.patience()
    }

    /// What Keystone says of the token now, catalog included: nothing that is remembered. Cancel safe.
    pub(super) async fn with_catalog(&self, token: &str, deadline: Instant) -> Result<Confirmed, Failure> {
        self.shared.server.with_catalog(token, deadline).await
    }

    /// The token, which may have expired since it was remembered: that is for the caller to check. Cancel safe.
    pub(super) async fn look_up(&self, token: &str, expired: Expired, deadline: Instant) -> Outcome {
        let fingerprint = Fingerprint::of(token);
        let hit = self.shared.remembered(&fingerprint);
        if self.shared.memory.is_some() {
            let result = if hit.is_some() { "hit" } else { "miss" };
            metrics::counter!("saccade_token_cache_requests_total", "tier" => "process", "result" => result)
                .increment(1);
        }
        if let Some(token) = hit {
            return Ok(token);
        }
        let shared = Arc::clone(&self.shared);
        let joined = self.flights.join(
            (fingerprint, expired),
            || self.shared.remembered(&fingerprint).map(Ok),
            || {
                let token = token.to_owned();
                async move { shared.fetch(fingerprint, &token, expired).await }
            },
        );
        let outcome = match joined {
            Joined::Settled(outcome) => outcome,
            Joined::Waiting(flight) => match tokio::time::timeout_at(deadline, flight).await {
                Ok(Ok(outcome)) => outcome,
                Ok(Err(_)) => Err(lost("the validation was given up")),
                Err(_) => Err(lost("no answer in time")),
            },
            Joined::Full => Err(busy("too many tokens at once").into()),
        };
        if let Err(failure) = &outcome {
            tracing::debug!(token = %fingerprint, ?failure, "a token is not confirmed");
        }
        outcome
    }
}

fn lost(why: &str) -> Failure {
    Trouble::new(TroubleKind::Unreachable, why).into()
}

impl Shared {
    fn remembered(&self, fingerprint: &Fingerprint) -> Option<Arc<Token>> {
        let process = &self.memory.as_ref()?.process;
        let entry = process.get(fingerprint)?;
        if Instant::now() < entry.until {
            return Some(entry.token);
        }
        // Not the one that somebody may have put there meanwhile.
        process.remove_if(fingerprint, |present| present.until == entry.until);
        None
    }

    async fn fetch(&self, fingerprint: Fingerprint, token: &str, expired: Expired) -> Outcome {
        let deadline = Instant::now() + self.server.patience();
        let found = match &self.memory {
            Some(Memory {
                others: Some(others), ..
            }) => {
                self.ask_both(others, fingerprint, token, expired, deadline)
                    .await?
            }
            _ => self.ask_keystone(fingerprint, token, expired, deadline).await?,
        };
        let alive = self.life_left(&found.token).unwrap_or(found.believed);
        let believed = found.believed.min(alive);
        let token = found.token;
        if let Some(memory) = &self.memory
            && !believed.is_zero()
        {
            let entry = Entry {
                token: Arc::clone(&token),
                until: Instant::now() + believed,
            };
            memory.process.insert(fingerprint, entry);
        }
        Ok(token)
    }

    /// Memcached first. When it is slow, both, and whoever knows first is believed.
    async fn ask_both(
        &self,
        others: &Arc<dyn SharedCache>,
        fingerprint: Fingerprint,
        token: &str,
        expired: Expired,
        deadline: Instant,
    ) -> Result<Found, Failure> {
        let mut cached = pin!(self.ask_memcached(others, token));
        let early = tokio::time::timeout(HEDGE, &mut cached).await;
        let mut asked = pin!(self.ask_keystone(fingerprint, token, expired, deadline));
        match early {
            Ok(Some(found)) => return Ok(found),
            Ok(None) => return asked.await,
            Err(_) => {}
        }
        tokio::select! {
            found = &mut cached => match found {
                Some(found) => Ok(found),
                None => asked.await,
            },
            answer = &mut asked => match answer {
                Err(Failure::Unavailable(trouble)) => match tokio::time::timeout_at(deadline, cached).await {
                    Ok(Some(found)) => Ok(found),
                    Ok(None) | Err(_) => Err(trouble.into()),
                },
                decided => decided,
            },
        }
    }

    async fn ask_memcached(&self, others: &Arc<dyn SharedCache>, token: &str) -> Option<Found> {
        let cache_time = self.memory.as_ref()?.cache_time;
        let Cached { body, remaining } = others.get(token).await?;
        // Put there by a service that believes tokens for longer than we are to. A second, because it counts in seconds.
        if remaining.is_some_and(|remaining| remaining > cache_time + Duration::from_secs(1)) {
            return None;
        }
        let token = Token::parse(&body)
            .inspect_err(|error| tracing::debug!("memcached holds a token that is none: {error}"))
            .ok()?;
        // Put there by a service that does without the catalog, while we need it to judge the rules.
        let blind = token
            .access_rules
            .as_ref()
            .is_some_and(|rules| !AccessRules::has_catalog(rules));
        if blind && self.include_catalog {
            return None;
        }
        Some(Found {
            token: Arc::new(token),
            believed: cache_time.min(remaining.unwrap_or(UNDATED)),
        })
    }

    async fn ask_keystone(
        &self,
        fingerprint: Fingerprint,
        token: &str,
        expired: Expired,
        deadline: Instant,
    ) -> Result<Found, Failure> {
        let Confirmed {
            token: confirmed,
            body,
        } = self.server.validate(token, expired, deadline).await?;
        tracing::debug!(token = %fingerprint, user = confirmed.caller.user_id, "Keystone knows a token");
        let Some(memory) = &self.memory else {
            return Ok(Found {
                token: confirmed,
                believed: Duration::ZERO,
            });
        };
        if let Some(others) = &memory.others
            && let Some(alive) = self.life_left(&confirmed)
            && let Ok(permit) = Arc::clone(&memory.writes).try_acquire_owned()
        {
            let (others, token) = (Arc::clone(others), token.to_owned());
            let ttl = memory.cache_time.min(alive);
            tokio::spawn(async move {
                others.set(&token, &body, ttl).await;
                drop(permit);
            });
        }
        Ok(Found {
            token: confirmed,
            believed: memory.cache_time,
        })
    }

    /// `None`: none. Such a token is only used where that is allowed, and checked for it each time.
    fn life_left(&self, token: &Token) -> Option<Duration> {
        let now: Timestamp = (self.now)();
        Duration::try_from(token.expires.duration_since(now))
            .ok()
            .filter(|left| !left.is_zero())
    }
}
