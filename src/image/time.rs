//! Instants as the API shows them.

use std::{
    fmt,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use serde::{Deserialize, Serialize};

/// An instant in UTC, in microseconds since the epoch; never before it.
///
/// Printed as `YYYY-MM-DDTHH:MM:SSZ`: the API has no fractions (Glance keeps whole seconds). The fraction is kept, so
/// that images made in the same second stay in the order they were made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Timestamp(u64);

impl Timestamp {
    /// The last instant there is: never.
    pub const LAST: Self = Self(u64::MAX);

    /// The instant this many microseconds after the epoch.
    pub const fn from_micros(micros: u64) -> Self {
        Self(micros)
    }

    /// Microseconds since the epoch.
    pub const fn as_micros(self) -> u64 {
        self.0
    }

    /// Whole seconds since the epoch: the precision that the API shows and filters by.
    pub const fn as_seconds(self) -> u64 {
        self.0 / 1_000_000
    }

    /// With microseconds, and without a zone: as Python writes it.
    pub fn with_fraction(self) -> String {
        let micros = i64::try_from(self.0).unwrap_or(i64::MAX);
        let instant = jiff::Timestamp::from_microsecond(micros).unwrap_or(jiff::Timestamp::MAX);
        instant.strftime("%Y-%m-%dT%H:%M:%S.%6f").to_string()
    }

    /// Now, by the system clock; the epoch when the clock is set before it.
    pub fn now() -> Self {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Self(u64::try_from(since.as_micros()).unwrap_or(u64::MAX))
    }

    /// The instant `duration` earlier; the epoch when that is before it.
    pub fn before(self, duration: Duration) -> Self {
        Self(
            self.0
                .saturating_sub(u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)),
        )
    }

    /// The instant `duration` later; the last one there is when that overflows.
    pub fn after(self, duration: Duration) -> Self {
        Self(
            self.0
                .saturating_add(u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)),
        )
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = i64::try_from(self.as_seconds()).unwrap_or(i64::MAX);
        let instant = jiff::Timestamp::from_second(seconds).unwrap_or(jiff::Timestamp::MAX);
        let at = jiff::tz::Offset::UTC.to_datetime(instant);
        // By hand: each image of a page has two, and `strftime` would take longer than the rest of its numbers together.
        let [y1, y2, y3, y4] = digits(at.year().into());
        let [m1, m2] = digits(at.month().into());
        let [d1, d2] = digits(at.day().into());
        let [h1, h2] = digits(at.hour().into());
        let [n1, n2] = digits(at.minute().into());
        let [s1, s2] = digits(at.second().into());
        let text = [
            y1, y2, y3, y4, b'-', m1, m2, b'-', d1, d2, b'T', h1, h2, b':', n1, n2, b':', s1, s2, b'Z',
        ];
        f.write_str(str::from_utf8(&text).map_err(|_| fmt::Error)?)
    }
}

/// The last so many decimal digits of what is not negative.
fn digits<const N: usize>(mut number: i32) -> [u8; N] {
    let mut digits = [b'0'; N];
    for digit in digits.iter_mut().rev() {
        *digit = b"0123456789"
            .get(usize::try_from(number % 10).unwrap_or(0))
            .copied()
            .unwrap_or(b'0');
        number /= 10;
    }
    digits
}
