//! Not the same line for each of a thousand requests.

use std::{
    sync::{Mutex, PoisonError},
    time::Duration,
};

use tokio::time::Instant;

const INTERVAL: Duration = Duration::from_secs(60);

/// Lets one warning a minute through.
#[derive(Default)]
pub(super) struct Warnings(Mutex<Option<(Instant, u64)>>);

impl Warnings {
    /// How many went unsaid since the last, when another may be said.
    pub(super) fn due(&self) -> Option<u64> {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match &mut *state {
            Some((last, unsaid)) if last.elapsed() < INTERVAL => {
                *unsaid = unsaid.saturating_add(1);
                None
            }
            state => {
                let unsaid = state.map_or(0, |(_, unsaid)| unsaid);
                *state = Some((Instant::now(), 0));
                Some(unsaid)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn one_a_minute_is_said_and_the_others_are_counted() {
        let warnings = Warnings::default();
        assert_eq!(warnings.due(), Some(0));
        assert_eq!(warnings.due(), None);
        tokio::time::advance(Duration::from_secs(59)).await;
        assert_eq!(warnings.due(), None);
        tokio::time::advance(Duration::from_secs(2)).await;
        assert_eq!(warnings.due(), Some(2));
        assert_eq!(warnings.due(), None);
    }
}
