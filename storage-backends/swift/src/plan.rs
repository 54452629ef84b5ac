//! How long segments are, and how much memory they may take.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Swift pages listings by so many names. A manifest of more segments has no length, and glance_store deletes no more.
pub(crate) const MOST_SEGMENTS: u64 = 9_999;
/// What an object may have in Swift, as it is by default.
const LONGEST_SEGMENT: u64 = 5 << 30;
/// So many segments have one length, where the size of the image is not known; the next are twice as long.
const EQUAL_SEGMENTS: u64 = 2_000;
/// How many segments share what is beside each writer's own.
const SHARED: usize = 6;

/// The lengths of an image's segments.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Plan {
    /// As configured, in bytes.
    pub(crate) chunk: u64,
    pub(crate) declared: Option<u64>,
}

impl Plan {
    /// The length of a segment, counted from 1; `None` when there are too many.
    pub(crate) fn segment(&self, number: u64) -> Option<u64> {
        let doublings = u32::try_from(number.checked_sub(1)? / EQUAL_SEGMENTS).ok()?;
        let grown = self.chunk.saturating_mul(2_u64.checked_pow(doublings)?);
        // Half as many as there may be: slow clients make some shorter.
        let even = self.declared.unwrap_or_default().div_ceil(MOST_SEGMENTS / 2);
        (number <= MOST_SEGMENTS).then(|| grown.max(even).min(LONGEST_SEGMENT.max(self.chunk)))
    }
}

/// The memory for segments: each writer has that of one for itself, and a few more are shared.
#[derive(Debug)]
pub(crate) struct Memory(Arc<Semaphore>);

/// The memory of one segment.
#[derive(Debug)]
pub(crate) enum Lease {
    /// The writer's own.
    Own,
    Shared {
        _permit: OwnedSemaphorePermit,
    },
}

impl Memory {
    pub(crate) fn new() -> Self {
        Self(Arc::new(Semaphore::new(SHARED)))
    }

    /// One more, if there is one at the moment.
    pub(crate) fn another(&self) -> Option<Lease> {
        let permit = Arc::clone(&self.0).try_acquire_owned().ok()?;
        Some(Lease::Shared { _permit: permit })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const DEFAULT: u64 = 204_800_000;

    #[test]
    fn segments_of_usual_images_are_as_configured() {
        let plan = Plan {
            chunk: DEFAULT,
            declared: Some(400_000_000_000),
        };
        assert_eq!(plan.segment(1), Some(DEFAULT));
        assert_eq!(plan.segment(2000), Some(DEFAULT));
    }

    #[test]
    fn large_images_fit_whether_their_size_is_known_or_not() {
        for chunk in [1_024_000, DEFAULT] {
            let most = |declared| {
                let plan = Plan { chunk, declared };
                (1..)
                    .map_while(|number| plan.segment(number))
                    .fold(0_u64, u64::saturating_add)
            };
            // With segments as short as they can be: 60 GB.
            assert!(
                most(None)
                    > if chunk == DEFAULT {
                        10 << 40
                    } else {
                        60_000_000_000
                    }
            );
            assert!(most(Some(5 << 40)) > 5 << 40);
        }
        assert_eq!(
            Plan {
                chunk: 1,
                declared: None
            }
            .segment(10_000),
            None
        );
    }

    proptest! {
        #[test]
        fn no_segment_is_shorter_than_configured(number in 1..9_999_u64, declared in any::<Option<u64>>()) {
            let plan = Plan { chunk: DEFAULT, declared };
            let length = plan.segment(number).unwrap();
            let lengths = DEFAULT..=LONGEST_SEGMENT;
            prop_assert!(lengths.contains(&length));
        }
    }

    #[test]
    fn shared_memory_is_bounded_and_comes_back() {
        let memory = Memory::new();
        let leases: Vec<_> = std::iter::from_fn(|| memory.another()).collect();
        assert_eq!(leases.len(), SHARED);
        drop(leases);
        assert!(memory.another().is_some());
    }
}
