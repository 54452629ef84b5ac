//! What all scenarios share: the servers, the bytes, whose turn it is.

use crate::{
    contender::{Contender, Kind},
    harness::http::{Content, Payload},
    options::Options,
};
use std::{
    io,
    sync::atomic::{AtomicU64, Ordering},
    thread,
};

pub(crate) struct Bench {
    pub(crate) options: Options,
    pub(crate) contenders: Vec<Contender>,
    pub(crate) payload: Payload,
    images: AtomicU64,
}

impl Bench {
    pub(crate) fn new(options: Options, contenders: Vec<Contender>) -> Self {
        Self {
            options,
            contenders,
            payload: Payload::new(),
            images: AtomicU64::new(0),
        }
    }

    /// The rounds: in each, every server that can takes its turn, and another one begins.
    pub(crate) fn rounds(&self, can: impl Fn(Kind) -> bool) -> Vec<Vec<&Contender>> {
        let able: Vec<&Contender> = self.contenders.iter().filter(|one| can(one.kind)).collect();
        (0..self.options.rounds)
            .map(|round| {
                let mut order = able.clone();
                order.rotate_left(round % able.len().max(1));
                order
            })
            .collect()
    }

    /// A number that no image has yet.
    pub(crate) fn number(&self) -> u64 {
        self.images.fetch_add(1, Ordering::Relaxed)
    }

    /// Bytes that no image has yet.
    pub(crate) fn content(&self, len: u64) -> Content {
        self.payload.content(self.number(), len)
    }
}

/// Does the work on so many threads at once: what each made of it, or the first trouble.
pub(crate) fn at_once<T: Send>(
    count: usize,
    work: impl Fn(usize) -> io::Result<T> + Sync,
) -> io::Result<Vec<T>> {
    thread::scope(|scope| {
        let work = &work;
        let threads: Vec<_> = (0..count)
            .map(|number| scope.spawn(move || work(number)))
            .collect();
        // All are waited for before the first error is told.
        let results: Vec<_> = threads.into_iter().map(|thread| thread.join().unwrap()).collect();
        results.into_iter().collect()
    })
}
