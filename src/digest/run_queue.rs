//! The units that are ready to be hashed, and which of them a thread takes together.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use super::kernel::Family;
use super::stream::Unit;

/// Units wait in the order in which they came, those of each family by themselves.
#[derive(Default)]
pub(super) struct RunQueue {
    inner: Mutex<Inner>,
    ready: Condvar,
    /// How many units wait, to be looked at without the lock.
    waiting: AtomicUsize,
}

#[derive(Default)]
struct Inner {
    /// In the order of [`Family::ALL`], each unit with its place among all.
    families: [VecDeque<(u64, Unit)>; Family::ALL.len()],
    arrivals: u64,
    sleepers: usize,
    closed: bool,
}

impl RunQueue {
    pub(super) fn push(&self, units: Vec<Unit>) {
        let mut inner = self.lock();
        let wake = inner.sleepers.min(units.len());
        units.into_iter().for_each(|unit| inner.add(unit));
        self.waiting.store(inner.len(), Ordering::Relaxed);
        drop(inner);
        // A thread that is awake looks at the queue before it sleeps: only sleepers cost a system call.
        for _ in 0..wake {
            self.ready.notify_one();
        }
    }

    /// Puts the units back at the end of the queue, and those to run next in their place: of one family, no more than it has lanes.
    /// Waits for some; false when the pool is closed and nothing is left.
    pub(super) fn next(&self, units: &mut Vec<Unit>) -> bool {
        let mut inner = self.lock();
        units.drain(..).for_each(|unit| inner.add(unit));
        loop {
            inner.take(units);
            if !units.is_empty() {
                self.waiting.store(inner.len(), Ordering::Relaxed);
                return true;
            }
            if inner.closed {
                return false;
            }
            inner.sleepers += 1;
            inner = self.ready.wait(inner).unwrap_or_else(PoisonError::into_inner);
            inner.sleepers -= 1;
        }
    }

    /// Whether a unit waits for a thread. May lag behind by an instant, which costs a unit one turn at most.
    pub(super) fn is_waited_for(&self) -> bool {
        self.waiting.load(Ordering::Relaxed) > 0
    }

    pub(super) fn close(&self) {
        self.lock().closed = true;
        self.ready.notify_all();
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        // No code under this lock leaves the queue half changed.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn len(&self) -> usize {
        self.families.iter().map(VecDeque::len).sum()
    }

    fn add(&mut self, unit: Unit) {
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
    fn take(&mut self, units: &mut Vec<Unit>) {
        let share = self.len().div_ceil(self.sleepers + 1);
        let queues = Family::ALL.into_iter().zip(&mut self.families);
        let longest = queues.min_by_key(|(_, queue)| queue.front().map_or(u64::MAX, |(arrival, _)| *arrival));
        if let Some((family, queue)) = longest {
            let count = share.min(family.lanes()).min(queue.len());
            units.extend(queue.drain(..count).map(|(_, unit)| unit));
        }
    }
}
