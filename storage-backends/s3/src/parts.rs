//! How long parts are, and how much memory they may take.

use std::{
    fmt, mem,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
    time::Duration,
};

use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::timeout,
};

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
/// How much of it parts may take that are filled while others are on their way: four of the usual length. They only save time, and
/// more of them save none; the rest is for parts that must be longer.
const AHEAD: u32 = 48;
/// How long a part that cannot be shorter waits for its memory: others hold it for as long as their clients take.
const PATIENCE: Duration = Duration::from_secs(60);

/// The lengths of an image's parts.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Plan {
    /// As configured, in bytes.
    pub(crate) base: u64,
    pub(crate) declared: Option<u64>,
}

/// The length of one part.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Length {
    /// What it should have.
    pub(crate) wanted: u64,
    /// What it must have: with less, the image would need more parts than there may be.
    pub(crate) needed: u64,
}

impl Plan {
    /// The length of a part, from 1 on, that has so many bytes before it; `None` when there are too many.
    ///
    /// Of a size that is known all parts are equal, unless there was no memory for some: then the next ones make up for it.
    /// Otherwise they grow slowly, since memory is theirs: to 1 TiB with Glance's default of 10 MiB. There, too, later ones make up
    /// for what earlier ones were short of, as far as the memory that is shared goes.
    pub(crate) fn part(&self, number: u32, before: u64) -> Option<Length> {
        let earlier = u64::from(number.checked_sub(1)?);
        let later = u64::from(MOST_PARTS.checked_sub(number)?);
        let (steps, since) = (earlier / u64::from(EQUAL_PARTS), earlier % u64::from(EQUAL_PARTS));
        let with_shared = self.base.saturating_add(u64::from(SHARED).saturating_mul(MIB));
        let each = |bytes: u64, parts: u64| bytes.div_ceil(parts).next_multiple_of(MIB);
        let (wanted, needed) = match self.declared.filter(|size| before < *size) {
            Some(size) => {
                let (equal, left) = (each(size, u64::from(MOST_PARTS)), size.saturating_sub(before));
                let longest = equal.max(with_shared);
                let wanted = equal.max(each(left, later.saturating_add(1)));
                (wanted, left.saturating_sub(later.saturating_mul(longest)))
            }
            None => {
                let step = self.base.max(SMALLEST_STEP);
                let usual = steps.saturating_mul(step).saturating_add(self.base);
                // What there would be before it, had all parts been as long as they should: the sum of the steps.
                let grown = u64::from(EQUAL_PARTS)
                    .saturating_mul(steps.saturating_mul(steps.saturating_sub(1)) / 2)
                    .saturating_add(since.saturating_mul(steps));
                let due = (self.base.saturating_mul(earlier)).saturating_add(step.saturating_mul(grown));
                let behind = each(due.saturating_sub(before), u64::from(EQUAL_PARTS));
                (usual.max(usual.saturating_add(behind).min(with_shared)), 0)
            }
        };
        let wanted = wanted.clamp(self.base, LONGEST_PART.max(self.base));
        (before < LARGEST_OBJECT).then(|| Length {
            wanted,
            needed: needed.clamp(self.base, wanted),
        })
    }
}

/// The memory for parts: each writer has that of one part of the configured length for itself, and what it needs beyond is
/// shared, for parts ahead of those that are being sent up to [`AHEAD`]. With its own a writer always goes on: whoever holds the rest may have a client that has stopped. What is shared is
/// taken if it is free, all of a part's at once; a part that can be shorter takes what there is. Only a part that cannot be shorter waits for it, not for ever, and its
/// writer holds none meanwhile but what its own requests give back.
#[derive(Debug)]
pub(crate) struct Memory {
    shared: Arc<Semaphore>,
    ahead: Arc<Semaphore>,
    buffers: Mutex<Weak<Buffers>>,
    /// The configured length, in bytes.
    base: u64,
}

/// Buffers of parts. Those of the configured length are used again while anybody writes, and go with the last writer.
#[derive(Debug)]
pub(crate) struct Buffers {
    idle: Mutex<Vec<Vec<u8>>>,
    base: u64,
}

/// The memory of one part.
#[derive(Debug, Default)]
pub(crate) struct Lease {
    /// Whether it is the writer's own.
    pub(crate) is_own: bool,
    shared: Option<OwnedSemaphorePermit>,
    _ahead: Option<OwnedSemaphorePermit>,
}

impl Memory {
    pub(crate) fn new(base: u64) -> Self {
        Self {
            shared: Arc::new(Semaphore::new(usize::try_from(SHARED).unwrap_or_default())),
            ahead: Arc::new(Semaphore::new(usize::try_from(AHEAD).unwrap_or_default())),
            buffers: Mutex::default(),
            base,
        }
    }

    /// The buffers of all who write now.
    pub(crate) fn buffers(&self) -> Arc<Buffers> {
        let mut current = self.buffers.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(buffers) = current.upgrade() {
            return buffers;
        }
        let buffers = Arc::new(Buffers {
            idle: Mutex::default(),
            base: self.base,
        });
        *current = Arc::downgrade(&buffers);
        buffers
    }

    /// The writer's own, which it has back.
    pub(crate) fn own() -> Lease {
        Lease {
            is_own: true,
            shared: None,
            _ahead: None,
        }
    }

    /// What a part of this length takes beside the writer's own, if there is so much at the moment. One that is longer than all such
    /// may be goes alone.
    pub(crate) fn another(&self, length: u64) -> Option<Lease> {
        let take = |of: &Arc<Semaphore>, count| Arc::clone(of).try_acquire_many_owned(count).ok();
        let ahead = take(&self.ahead, mib(length).min(AHEAD))?;
        let shared = take(&self.shared, mib(length))?;
        Some(Lease {
            is_own: false,
            shared: Some(shared),
            _ahead: Some(ahead),
        })
    }

    /// Adds to the writer's own what a longer part takes, and returns how long it may be: as long as it should be, or as there is
    /// memory for, but at least as it must be.
    ///
    /// # Errors
    /// Others have held what it must have for a whole minute.
    pub(crate) async fn extend(&self, lease: &mut Lease, length: Length) -> Result<u64, Starved> {
        let beyond = |length: u64| mib(length.saturating_sub(self.base));
        let take = |count| Arc::clone(&self.shared).try_acquire_many_owned(count).ok();
        if length.wanted <= self.base {
            return Ok(self.base);
        }
        if let Some(permit) = take(beyond(length.wanted)) {
            lease.shared = Some(permit);
            return Ok(length.wanted);
        }
        // Others may take some of it meanwhile: then there is less.
        let mut some = u32::try_from(self.shared.available_permits()).unwrap_or(SHARED);
        some = some.min(beyond(length.wanted));
        while some > 0 && some >= beyond(length.needed) {
            if let Some(permit) = take(some) {
                lease.shared = Some(permit);
                let longer = self.base.saturating_add(u64::from(some).saturating_mul(MIB));
                return Ok(longer.min(length.wanted));
            }
            some /= 2;
        }
        if length.needed <= self.base {
            return Ok(self.base);
        }
        let waiting = Arc::clone(&self.shared).acquire_many_owned(beyond(length.needed));
        match timeout(PATIENCE, waiting).await {
            Ok(Ok(permit)) => lease.shared = Some(permit),
            _ => return Err(Starved),
        }
        Ok(length.needed)
    }
}

/// Other uploads hold the memory that a part must have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Starved;

impl fmt::Display for Starved {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "its parts are so long that they need memory which other large uploads have held for {} s; fewer at once, or a \
             larger s3_store_large_object_chunk_size, would do",
            PATIENCE.as_secs()
        )
    }
}

impl Buffers {
    /// An empty buffer for so many bytes. Memory that was never written to is not taken.
    pub(crate) fn take(self: &Arc<Self>, length: usize) -> Buffer {
        let idle = if self.is_usual(length) {
            self.idle().pop()
        } else {
            None
        };
        Buffer {
            bytes: idle.unwrap_or_else(|| Vec::with_capacity(length)),
            home: Arc::clone(self),
        }
    }

    fn is_usual(&self, length: usize) -> bool {
        u64::try_from(length) == Ok(self.base)
    }

    fn idle(&self) -> MutexGuard<'_, Vec<Vec<u8>>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The bytes of a part; its memory is used again.
pub(crate) struct Buffer {
    pub(crate) bytes: Vec<u8>,
    home: Arc<Buffers>,
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
        if self.home.is_usual(bytes.capacity()) {
            let mut idle = self.home.idle();
            // Not more than one writer fills ahead: what a crowd has taken goes with it.
            let most = usize::try_from(AHEAD / mib(self.home.base).max(1)).unwrap_or_default();
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
            let length = plan.part(number, before)?.wanted;
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
            let length = plan.part(1, 0).unwrap().wanted;
            prop_assert!(size.div_ceil(length) <= u64::from(MOST_PARTS));
            prop_assert!((5 * MIB..=LONGEST_PART).contains(&length));
        }
    }

    #[test]
    fn buffers_are_used_again_but_few_are_kept_and_none_behind_the_last_writer() {
        let memory = Memory::new(DEFAULT);
        let usual = usize::try_from(DEFAULT).unwrap();
        let (one, other) = (memory.buffers(), memory.buffers());
        let buffers: Vec<_> = (0..20).map(|_| one.take(usual)).collect();
        drop(buffers);
        drop(one.take(usual * 2));
        assert_eq!(other.idle().len(), 4);
        let mut buffer = other.take(usual);
        buffer.bytes.push(1);
        drop(buffer);
        assert!(one.take(usual).bytes.is_empty());
        assert_eq!(one.idle().len(), 4);
        // A part that is still on its way keeps them, too.
        let sent = one.take(usual);
        drop((one, other));
        assert_eq!(memory.buffers().idle().len(), 3);
        drop(sent);
        assert_eq!(memory.buffers().idle().len(), 0);
    }

    #[test]
    fn sixteen_uploads_hold_a_part_each_and_what_they_share() {
        let memory = Memory::new(DEFAULT);
        let mut held = 0;
        let writers: Vec<Vec<Lease>> = (0..16)
            .map(|_| {
                let ahead = std::iter::from_fn(|| memory.another(DEFAULT));
                let leases: Vec<_> = std::iter::once(Memory::own()).chain(ahead).collect();
                held += leases.len() as u64 * DEFAULT;
                leases
            })
            .collect();
        assert_eq!(writers[0].len(), 5, "one alone is not held up");
        assert!(held <= 16 * DEFAULT + u64::from(AHEAD) * MIB, "{held}");
        // None of it is what parts have to have that must be longer.
        let left = memory.shared.available_permits();
        assert!(left >= usize::try_from(SHARED - AHEAD).unwrap(), "{left}");
    }

    #[tokio::test]
    async fn shared_memory_is_bounded_and_comes_back() {
        let memory = Memory::new(DEFAULT);
        let leases: Vec<_> = std::iter::from_fn(|| memory.another(DEFAULT)).collect();
        assert_eq!(leases.len(), 4);
        drop(leases);
        let mut long = Memory::own();
        let all = Length {
            wanted: 500 * MIB,
            needed: 500 * MIB,
        };
        assert_eq!(memory.extend(&mut long, all).await, Ok(500 * MIB));
        assert!(memory.another(DEFAULT).is_none());
        drop(long);
        assert!(memory.another(DEFAULT).is_some());
    }

    #[tokio::test(start_paused = true)]
    async fn whoever_holds_shared_memory_holds_up_nobody() {
        // Lengths of which two take more than there is, once beside each own part and once instead of it.
        for base in [33, 40, 48].map(|mib| mib * MIB) {
            let (memory, wanted) = (Memory::new(base), 2 * base);
            let mut lease = Memory::own();
            let length = Length { wanted, needed: base };
            assert_eq!(memory.extend(&mut lease, length).await, Ok(wanted));
            let stalled = (lease, memory.another(base));
            assert!(stalled.1.is_some() && memory.another(wanted).is_none());
            let begun = tokio::time::Instant::now();
            let mut lease = Memory::own();
            let left = u64::from(SHARED) * MIB - 2 * base;
            let extended = memory.extend(&mut lease, length).await;
            assert_eq!(extended, Ok(base + left), "with its own, and what is left");
            assert_eq!(begun.elapsed(), Duration::ZERO);
            let mut lease = Memory::own();
            // One that cannot be shorter is told so.
            let needed = Length {
                wanted,
                needed: wanted,
            };
            assert_eq!(memory.extend(&mut lease, needed).await, Err(Starved));
            assert_eq!(begun.elapsed(), PATIENCE);
            drop(stalled);
            assert_eq!(memory.extend(&mut lease, needed).await, Ok(wanted));
        }
    }

    #[test]
    fn parts_that_had_no_memory_are_made_up_for() {
        let size = 500_000_000_000;
        let plan = plan(Some(size));
        let (mut before, mut number) = (0, 0);
        while before < size {
            number += 1;
            let length = plan.part(number, before).unwrap();
            // The first half has none but what is its writer's own.
            let starved = number <= 5000 && length.needed <= DEFAULT;
            before += if starved { DEFAULT } else { length.wanted };
        }
        assert!((9_000..=10_000).contains(&number), "{number}");
    }

    /// How many parts an image of undeclared size has while others hold so much of what is shared, all the time.
    async fn parts_beside(held: u64, size: u64) -> u32 {
        let (memory, plan) = (Memory::new(DEFAULT), plan(None));
        let _held = memory.another(held).unwrap();
        let (mut before, mut number) = (0, 0);
        while before < size {
            number += 1;
            let length = plan.part(number, before).unwrap();
            let mut lease = Memory::own();
            before += memory.extend(&mut lease, length).await.unwrap();
        }
        number
    }

    #[tokio::test]
    async fn an_undeclared_size_fits_beside_others_that_hold_shared_memory_all_the_time() {
        assert!(parts_beside(DEFAULT, 700_000_000_000).await <= 10_000);
        assert!(parts_beside(5 * DEFAULT, 400_000_000_000).await <= 10_000);
        assert!(parts_beside(80 * MIB, 200_000_000_000).await <= 10_000);
        assert!(parts_beside(96 * MIB, 100_000_000_000).await <= 10_000);
    }

    #[test]
    fn an_undeclared_size_makes_up_for_parts_that_had_no_memory() {
        let (mut before, mut number) = (0, 0);
        while before < 500_000_000_000 {
            number += 1;
            let length = plan(None).part(number, before).unwrap();
            assert!(length.wanted <= 200 * MIB);
            before += if number <= 5000 { DEFAULT } else { length.wanted };
        }
        assert!(number <= 10_000, "{number}");
    }

    proptest! {
        #[test]
        fn with_what_it_must_have_every_declared_size_fits(size in 1..=LARGEST_OBJECT, base in 5_u64..200) {
            let plan = Plan { base: base * MIB, declared: Some(size) };
            let (mut before, mut number) = (0, 0);
            while before < size {
                number += 1;
                let length = plan.part(number, before);
                prop_assert!(length.is_some(), "{} of {} in {} parts", before, size, number);
                let length = length.unwrap();
                prop_assert!(length.needed <= length.wanted && length.wanted <= LONGEST_PART);
                before += length.needed;
            }
        }
    }
}
