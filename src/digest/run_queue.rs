//! The units that are ready to be hashed, and which of them a thread takes together.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use super::kernel::Family;

/// What waits for a thread.
pub(super) trait Waiting {
    fn family(&self) -> Family;
}

/// Units wait in the order in which they came, those of each family by themselves.
pub(super) struct RunQueue<U> {
    inner: Mutex<Inner<U>>,
    ready: Condvar,
    /// How many units wait, and how many threads for them; to be looked at without the lock.
    waiting: AtomicUsize,
    sleeping: AtomicUsize,
}

struct Inner<U> {
    /// In the order of [`Family::ALL`], each unit with its place among all.
    families: [VecDeque<(u64, U)>; Family::ALL.len()],
    arrivals: u64,
    sleepers: usize,
    closed: bool,
}

impl<U> Default for RunQueue<U> {
    fn default() -> Self {
        Self {
            inner: Mutex::new(Inner {
                families: Default::default(),
                arrivals: 0,
                sleepers: 0,
                closed: false,
            }),
            ready: Condvar::new(),
            waiting: AtomicUsize::new(0),
            sleeping: AtomicUsize::new(0),
        }
    }
}

impl<U: Waiting> RunQueue<U> {
    pub(super) fn push(&self, units: Vec<U>) {
        let mut inner = self.lock();
        units.into_iter().for_each(|unit| inner.add(unit));
        self.waiting.store(inner.len(), Ordering::Relaxed);
        let wake = inner.sleepers > 0;
        drop(inner);
        // Whoever wakes wakes the next one. A thread that is awake looks at the queue before it sleeps: only sleepers cost a
        // system call.
        if wake {
            self.ready.notify_one();
        }
    }

    /// Puts the units back at the end of the queue, and those to run next in their place: of one family, no more than it has lanes.
    /// Waits for some; false when the pool is closed and nothing is left.
    pub(super) fn next(&self, units: &mut Vec<U>) -> bool {
        let mut inner = self.lock();
        units.drain(..).for_each(|unit| inner.add(unit));
        loop {
            inner.take(units);
            if !units.is_empty() {
                self.waiting.store(inner.len(), Ordering::Relaxed);
                let wake = inner.sleepers > 0 && inner.len() > 0;
                drop(inner);
                if wake {
                    self.ready.notify_one();
                }
                return true;
            }
            if inner.closed {
                return false;
            }
            inner.sleepers += 1;
            self.sleeping.store(inner.sleepers, Ordering::Relaxed);
            inner = self.ready.wait(inner).unwrap_or_else(PoisonError::into_inner);
            inner.sleepers -= 1;
            self.sleeping.store(inner.sleepers, Ordering::Relaxed);
        }
    }

    /// Whether a thread that has so many units should come back after this turn: because others wait for it, or because another
    /// thread has nothing to do and could take some of them. May lag behind by an instant, which costs a turn at most.
    pub(super) fn wants_back(&self, units: usize) -> bool {
        self.waiting.load(Ordering::Relaxed) > 0 || (units > 1 && self.sleeping.load(Ordering::Relaxed) > 0)
    }

    pub(super) fn close(&self) {
        self.lock().closed = true;
        self.ready.notify_all();
    }

    fn lock(&self) -> MutexGuard<'_, Inner<U>> {
        // No code under this lock leaves the queue half changed.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<U: Waiting> Inner<U> {
    fn len(&self) -> usize {
        self.families.iter().map(VecDeque::len).sum()
    }

    fn add(&mut self, unit: U) {
        let arrival = self.arrivals;
        self.arrivals += 1;
        let family = unit.family();
        let queues = Family::ALL.into_iter().zip(&mut self.families);
        if let Some((_, queue)) = queues.into_iter().find(|(of, _)| *of == family) {
            queue.push_back((arrival, unit));
        }
    }

    /// Takes those that wait longest and others of their family: this thread's share of all that wait, so that a thread that
    /// sleeps is not left without work. With no more units than threads each is hashed by itself, which is fastest for it; with more,
    /// side by side, which is fastest for all.
    fn take(&mut self, units: &mut Vec<U>) {
        let share = self.len().div_ceil(self.sleepers + 1);
        let queues = Family::ALL.into_iter().zip(&mut self.families);
        let longest = queues.min_by_key(|(_, queue)| queue.front().map_or(u64::MAX, |(arrival, _)| *arrival));
        if let Some((family, queue)) = longest {
            let count = share.min(family.lanes()).min(queue.len());
            units.extend(queue.drain(..count).map(|(_, unit)| unit));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, mpsc};
    use std::time::Duration;

    use super::*;

    impl Waiting for Family {
        fn family(&self) -> Family {
            *self
        }
    }

    fn taken(queue: &RunQueue<Family>) -> Vec<Family> {
        let mut units = Vec::new();
        assert!(queue.next(&mut units));
        units
    }

    #[test]
    fn a_thread_alone_takes_those_of_one_family_that_wait_longest() {
        let queue = RunQueue::default();
        queue.push(vec![Family::Alone, Family::Alone]);
        queue.push(vec![Family::Sha512, Family::Md5, Family::Sha512]);
        assert_eq!(taken(&queue), [Family::Alone]);
        assert_eq!(taken(&queue), [Family::Alone]);
        let lanes = Family::Sha512.lanes().min(2);
        assert_eq!(taken(&queue), vec![Family::Sha512; lanes]);
        assert!(queue.wants_back(1));
        assert_eq!(taken(&queue), [Family::Md5]);
        assert_eq!(queue.wants_back(1), lanes < 2);
    }

    #[test]
    fn no_thread_sleeps_while_units_wait_that_were_put_back() {
        const THREADS: usize = 3;
        let queue = Arc::new(RunQueue::default());
        let mut group = Vec::new();
        queue.push(vec![Family::Md5; 4]);
        while group.len() < 4 {
            group.extend(taken(&queue));
        }
        let (told, takes) = mpsc::channel();
        let threads: Vec<_> = (0..THREADS)
            .map(|_| {
                let (queue, told) = (Arc::clone(&queue), told.clone());
                std::thread::spawn(move || told.send(taken(&queue)).unwrap())
            })
            .collect();
        while queue.sleeping.load(Ordering::Relaxed) < THREADS {
            std::thread::yield_now();
        }
        assert!(queue.wants_back(4) && !queue.wants_back(1));
        assert!(queue.next(&mut group));
        let mut units = group.len();
        for _ in 0..THREADS {
            let took = takes.recv_timeout(Duration::from_secs(30));
            units += took.expect("a thread was not woken").len();
        }
        assert_eq!(units, 4);
        threads.into_iter().for_each(|thread| thread.join().unwrap());
    }

    #[test]
    fn what_waits_when_the_pool_closes_is_still_taken() {
        let queue = RunQueue::default();
        queue.push(vec![Family::Alone]);
        queue.close();
        assert_eq!(taken(&queue), [Family::Alone]);
        assert!(!queue.next(&mut Vec::new()));
    }
}
