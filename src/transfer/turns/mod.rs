//! Which transfers run, where their number is limited, and which wait for their turn.
//!
//! * `line`: who gets a place next, as rules alone
//! * `places`: the same to wait for; the buffers of uploads are given out by it, too
//!
//! A transfer that waits has done nothing yet: its body is not asked for, nothing is claimed, no blob is open. Whoever drops the wait
//! has left the line.

mod line;
mod places;

use std::{
    fmt,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use tokio::time::Instant;
use tracing::{info, warn};

pub use self::line::{Limit, Tenant};
pub(super) use self::{
    line::Bounds,
    places::{Asked, Place, Places},
};

/// How often at most the log says that a limit is reached.
const LOG_INTERVAL: Duration = Duration::from_secs(60);

/// How many transfers may run at once. Without a limit there is no waiting.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Concurrency {
    /// All together. One tenant alone leaves some of it to others.
    pub total: Option<usize>,
    /// Of one tenant.
    pub per_tenant: Option<usize>,
    /// Those that wait.
    pub waiting: usize,
    /// How long they wait.
    pub patience: Duration,
}

/// Which way the bytes go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// From the client.
    Upload,
    /// To the client.
    Download,
}

/// No place was free, nor became free in time. Nothing was done, and nothing changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Busy {
    /// Which transfers there are too many of.
    pub direction: Direction,
    /// Whose.
    pub limit: Limit,
    /// What became of the wait.
    pub wait: Wait,
    /// How long to wait before trying again.
    pub retry_after: Duration,
}

/// What became of a wait that came to nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wait {
    /// It took too long.
    TooLong,
    /// Too many wait already.
    TooMany,
}

impl fmt::Display for Busy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let transfers = self.direction.transfers();
        match self.limit {
            Limit::Total => write!(f, "the server has as many {transfers} under way as it may")?,
            Limit::Tenant => write!(f, "your project has as many {transfers} under way as it may")?,
        }
        match self.wait {
            Wait::TooLong => f.write_str(", and none of them ended in time")?,
            Wait::TooMany => f.write_str(", and too many are waiting already")?,
        }
        let seconds = self.retry_after.as_secs();
        write!(f, ": nothing was changed, try again in {seconds} s")
    }
}

impl Direction {
    const fn transfers(self) -> &'static str {
        match self {
            Self::Upload => "uploads",
            Self::Download => "downloads",
        }
    }

    /// As metrics call it.
    const fn label(self) -> &'static str {
        match self {
            Self::Upload => "in",
            Self::Download => "out",
        }
    }

    const fn option(self, limit: Limit) -> &'static str {
        match (self, limit) {
            (Self::Upload, Limit::Total) => "max_uploads",
            (Self::Upload, Limit::Tenant) => "max_uploads_per_project or max_uploads",
            (Self::Download, Limit::Total) => "max_downloads",
            (Self::Download, Limit::Tenant) => "max_downloads_per_project or max_downloads",
        }
    }
}

/// The turns of one direction.
#[derive(Debug)]
pub(super) struct Turns {
    direction: Direction,
    /// `None` without a limit.
    places: Option<Places>,
    patience: Duration,
    told: Told,
}

/// A transfer may run for as long as it has this.
#[derive(Debug)]
pub struct Turn {
    _place: Option<Place>,
    was_waited_for: bool,
}

impl Turn {
    /// That of a transfer that counts for nothing.
    pub(super) const fn uncounted() -> Self {
        Self {
            _place: None,
            was_waited_for: false,
        }
    }

    /// Whether it did not come at once: whatever was known before it was asked for may have changed.
    pub const fn was_waited_for(&self) -> bool {
        self.was_waited_for
    }
}

impl From<Place> for Turn {
    fn from(place: Place) -> Self {
        Self {
            _place: Some(place),
            was_waited_for: false,
        }
    }
}

impl Turns {
    pub(super) fn new(direction: Direction, concurrency: Concurrency) -> Self {
        let limited = concurrency.total.is_some() || concurrency.per_tenant.is_some();
        let places = limited.then(|| {
            Places::new(Bounds {
                places: concurrency.total.unwrap_or(usize::MAX),
                per_tenant: concurrency.per_tenant.unwrap_or(usize::MAX),
                waiting: concurrency.waiting,
            })
        });
        Self {
            direction,
            places,
            patience: concurrency.patience,
            told: Told::default(),
        }
    }

    /// The tenant's turn, as soon as it comes. Cancel safe: whoever does not wait any more has left the line.
    ///
    /// # Errors
    /// It does not come in time, or too many wait.
    pub(super) async fn take(&self, tenant: &Tenant) -> Result<Turn, Busy> {
        let Some(places) = &self.places else {
            return Ok(Turn::uncounted());
        };
        let waiting = match places.ask(tenant) {
            Asked::Placed(place) => return Ok(place.into()),
            Asked::Full => return Err(self.refuse(places, tenant, Wait::TooMany)),
            Asked::Waits(waiting) => waiting,
        };
        self.tell_waiting(places, tenant);
        let measured = WaitMeter::begin(self.direction);
        let waited = tokio::time::timeout(self.patience, waiting).await;
        drop(measured);
        match waited {
            Ok(Ok(place)) => Ok(Turn {
                was_waited_for: true,
                ..place.into()
            }),
            Ok(Err(_)) => Err(self.refuse(places, tenant, Wait::TooMany)),
            Err(_) => Err(self.refuse(places, tenant, Wait::TooLong)),
        }
    }

    fn refuse(&self, places: &Places, tenant: &Tenant, wait: Wait) -> Busy {
        let limit = places.limit_on(tenant);
        let (direction, reason) = (self.direction, wait.label());
        metrics::counter!("saccade_transfers_refused_total", "direction" => direction.label(), "reason" => reason)
            .increment(1);
        if self.told.refusing.is_due() {
            let (project, waiting) = (tenant.as_str(), places.waiting());
            let (transfers, option) = (direction.transfers(), direction.option(limit));
            warn!(
                project,
                waiting, reason, "{transfers} are refused: their turn does not come ({option})"
            );
        }
        Busy {
            direction,
            limit,
            wait,
            // A second, and no more than a minute: by then anything may have changed.
            retry_after: self.patience.clamp(Duration::from_secs(1), LOG_INTERVAL),
        }
    }

    fn tell_waiting(&self, places: &Places, tenant: &Tenant) {
        if self.told.waiting.is_due() {
            let (transfers, project) = (self.direction.transfers(), tenant.as_str());
            let option = self.direction.option(places.limit_on(tenant));
            info!(
                project,
                "{option} reached: further {transfers} wait for their turn"
            );
        }
    }

    /// What is known of whom: for tests.
    #[cfg(test)]
    pub(super) fn census(&self) -> (usize, usize, usize) {
        self.places.as_ref().map_or((0, 0, 0), Places::census)
    }
}

impl Wait {
    const fn label(self) -> &'static str {
        match self {
            Self::TooLong => "timeout",
            Self::TooMany => "queue_full",
        }
    }
}

/// What the log was told.
#[derive(Debug, Default)]
struct Told {
    waiting: Occasionally,
    refusing: Occasionally,
}

/// Something that is said now and then.
#[derive(Debug, Default)]
struct Occasionally(Mutex<Option<Instant>>);

impl Occasionally {
    fn is_due(&self) -> bool {
        let mut last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let is_due = last.is_none_or(|last| last.elapsed() > LOG_INTERVAL);
        if is_due {
            *last = Some(Instant::now());
        }
        is_due
    }
}

/// One that waits, as metrics see it, until it is dropped.
struct WaitMeter {
    direction: Direction,
    begun: Instant,
}

impl WaitMeter {
    fn begin(direction: Direction) -> Self {
        metrics::gauge!("saccade_transfers_waiting", "direction" => direction.label()).increment(1);
        Self {
            direction,
            begun: Instant::now(),
        }
    }
}

impl Drop for WaitMeter {
    fn drop(&mut self) {
        let direction = self.direction.label();
        metrics::gauge!("saccade_transfers_waiting", "direction" => direction).decrement(1);
        metrics::histogram!("saccade_transfer_wait_duration_seconds", "direction" => direction)
            .record(self.begun.elapsed());
    }
}

#[cfg(test)]
mod tests;
