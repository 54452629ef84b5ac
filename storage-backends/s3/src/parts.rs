//! How long parts are, and how much memory they may take.

use std::{
    fmt, mem,
    sync::{Arc, Mutex, PoisonError},
};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

const MIB: u64 = 1 << 20;
/// Amazon's bounds: parts of an upload, bytes of a part, bytes of an object.
const MOST_PARTS: u32 = 10_000;
const LONGEST_PART: u64 = 5 << 30;
pub(crate) const LARGEST_OBJECT: u64 = 5 << 40;
/// So many parts have one length, where the size of the image is not known; the next are longer by a step.
const EQUAL_PARTS: u32 = 500;
const SMALLEST_STEP: u64 = 10 * MIB;
/// What all writers share, beside one part for each, in MiB.
const SHARED: u32 = 96;

/// The lengths of an image's parts.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Plan {
    /// As configured, in bytes.
    pub(crate) base: u64,
    pub(crate) declared: Option<u64>,
}

impl Plan {
    /// The length of a part, from 1 on, that has so many bytes before it; `None` when there are too many.
    ///
    /// Of a size that is known all parts are equal; otherwise they grow slowly, since memory is theirs: to 1 TiB with
    /// Glance's default of 10 MiB.
    pub(crate) fn part(&self, number: u32, before: u64) -> Option<u64> {
        let steps = u64::from(number.checked_sub(1)? / EQUAL_PARTS);
        let wanted = match self.declared.filter(|size| before < *size) {
            Some(size) => size.div_ceil(u64::from(MOST_PARTS)).next_multiple_of(MIB),
            None => steps
                .saturating_mul(self.base.max(SMALLEST_STEP))
                .saturating_add(self.base),
        };
        (number <= MOST_PARTS && before < LARGEST_OBJECT).then(|| wanted.max(self.base).min(LONGEST_PART))
    }
}

/// The memory for parts: each writer has that of one part of the configured length for itself, and what it needs beyond is
/// shared. A writer waits for shared memory only while it holds none that depends on its client, or for its own
/// requests: so all go on.
///
/// Buffers of that length are used again: freed ones stay with the allocator, and came to half as much once more.
#[derive(Debug, Clone)]
pub(crate) struct Memory {
    shared: Arc<Semaphore>,
    idle: Arc<Mutex<Vec<Vec<u8>>>>,
    /// The configured length, in bytes.
    base: u64,
}

/// The memory of one part.
#[derive(Debug, Default)]
pub(crate) struct Lease {
    /// Whether it is the writer's own.
    pub(crate) is_own: bool,
    shared: Vec<OwnedSemaphorePermit>,
}

impl Memory {
    pub(crate) fn new(base: u64) -> Self {
        Self {
            shared: Arc::new(Semaphore::new(usize::try_from(SHARED).unwrap_or_default())),
            idle: Arc::default(),
            base,
        }
    }

    /// An empty buffer for so many bytes. Memory that was never written to is not taken.
    pub(crate) fn buffer(&self, length: usize) -> Buffer {
        let idle = if self.is_usual(length) {
            self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop()
        } else {
            None
        };
        Buffer {
            bytes: idle.unwrap_or_else(|| Vec::with_capacity(length)),
            memory: self.clone(),
        }
    }

    fn is_usual(&self, length: usize) -> bool {
        u64::try_from(length) == Ok(self.base)
    }

    /// The writer's own, which it has back.
    pub(crate) fn own() -> Lease {
        Lease {
            is_own: true,
            shared: Vec::new(),
        }
    }

    /// As much as the writer's own, if there is so much at the moment.
    pub(crate) fn another(&self) -> Option<Lease> {
        let permit = Arc::clone(&self.shared)
            .try_acquire_many_owned(mib(self.base))
            .ok()?;
        Some(Lease {
            is_own: false,
            shared: vec![permit],
        })
    }

    /// Adds what a part needs beyond the configured length, as soon as it is there.
    pub(crate) async fn extend(&self, lease: &mut Lease, length: u64) {
        let more = mib(length.saturating_sub(self.base));
        if more > 0
            && let Ok(permit) = Arc::clone(&self.shared).acquire_many_owned(more).await
        {
            lease.shared.push(permit);
        }
    }
}

/// The bytes of a part; its memory is used again.
pub(crate) struct Buffer {
    pub(crate) bytes: Vec<u8>,
    memory: Memory,
}

impl fmt::Debug for Buffer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Buffer({} bytes)", self.bytes.len())
    }
}

impl AsRef<[u8]> for Buffer {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        let mut bytes = mem::take(&mut self.bytes);
        if self.memory.is_usual(bytes.capacity()) {
            let mut idle = self.memory.idle.lock().unwrap_or_else(PoisonError::into_inner);
            // Not more than were shared: what a crowd has taken goes with it.
            let most = usize::try_from(SHARED / mib(self.memory.base).max(1)).unwrap_or_default();
            if idle.len() < most {
                bytes.clear();
                idle.push(bytes);
            }
        }
    }
}

/// At most all that there is: a part that is longer waits until nobody else has any.
fn mib(bytes: u64) -> u32 {
    u32::try_from(bytes.div_ceil(MIB)).unwrap_or(SHARED).min(SHARED)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const DEFAULT: u64 = 10 * MIB;

    /// How many parts an image has, and how long the longest is.
    fn parts(plan: Plan, size: u64) -> Option<(u32, u64)> {
        let (mut before, mut longest, mut number) = (0_u64, 0, 0);
        while before < size {
            number += 1;
            let length = plan.part(number, before)?;
            longest = length.max(longest);
            before += length;
        }
        Some((number, longest))
    }

    fn plan(declared: Option<u64>) -> Plan {
        Plan {
            base: DEFAULT,
            declared,
        }
    }

    #[test]
    fn an_image_of_500_gb_fits_whether_its_size_is_known_or_not() {
        let size = 500_000_000_000;
        assert_eq!(parts(plan(Some(size)), size).unwrap().1, 48 * MIB);
        assert!(parts(plan(None), size).unwrap().1 <= 140 * MIB);
        assert!(parts(plan(None), 1 << 40).is_some());
        assert!(parts(plan(Some(LARGEST_OBJECT)), LARGEST_OBJECT).is_some());
    }

    #[test]
    fn parts_of_usual_images_are_as_configured() {
        assert_eq!(parts(plan(None), 5_000 * MIB), Some((500, DEFAULT)));
        assert_eq!(
            parts(plan(Some(90_000 * MIB)), 90_000 * MIB),
            Some((9000, DEFAULT))
        );
    }

    #[test]
    fn an_image_longer_than_declared_still_fits() {
        assert!(parts(plan(Some(1)), 500_000_000_000).is_some());
        assert!(parts(plan(Some(200 << 30)), 210 << 30).is_some());
    }

    proptest! {
        #[test]
        fn every_declared_size_fits(size in 0..=LARGEST_OBJECT, base in 5_u64..200) {
            let plan = Plan { base: base * MIB, declared: Some(size) };
            let length = plan.part(1, 0).unwrap_or(DEFAULT);
            prop_assert!(size.div_ceil(length) <= u64::from(MOST_PARTS));
            prop_assert!((5 * MIB..=LONGEST_PART).contains(&length));
        }
    }

    #[test]
    fn buffers_are_used_again_but_few_are_kept() {
        let memory = Memory::new(DEFAULT);
        let usual = usize::try_from(DEFAULT).unwrap();
        let buffers: Vec<_> = (0..20).map(|_| memory.buffer(usual)).collect();
        drop(buffers);
        drop(memory.buffer(usual * 2));
        assert_eq!(memory.idle.lock().unwrap().len(), 9);
        let mut buffer = memory.buffer(usual);
        buffer.bytes.push(1);
        drop(buffer);
        assert!(memory.buffer(usual).bytes.is_empty());
        assert_eq!(memory.idle.lock().unwrap().len(), 9);
    }

    #[tokio::test]
    async fn shared_memory_is_bounded_and_comes_back() {
        let memory = Memory::new(DEFAULT);
        let leases: Vec<_> = std::iter::from_fn(|| memory.another()).collect();
        assert_eq!(leases.len(), 9);
        drop(leases);
        let mut long = Memory::own();
        memory.extend(&mut long, 500 * MIB).await;
        assert!(memory.another().is_none());
        drop(long);
        assert!(memory.another().is_some());
    }
}
