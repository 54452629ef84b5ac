//! What a writer was given and has not written yet.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex},
};

use bytes::Bytes;
use tokio::sync::Notify;

use crate::{attempt::Piece, locks::unpoisoned};

/// Bytes that wait are one write when their turn comes, unless they are more than this; and no more wait. Longer writes do
/// not make a disk faster.
const BATCH: usize = 1 << 20;

/// Pieces that wait, at most: a chunk of the pool is a quarter of a MiB, and chunks may be smaller.
const MOST: usize = 4;

/// The chunks between a writer and the thread that writes for it: up to [`MOST`] or until they have [`BATCH`] bytes, and as
/// many that are being written.
#[derive(Debug, Default)]
pub(crate) struct Queue(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    waiting: Mutex<Waiting>,
    /// Told when there is room, or nobody writes any more.
    changed: Notify,
}

#[derive(Debug, Default)]
struct Waiting {
    pieces: VecDeque<Queued>,
    /// Where the first of them goes.
    offset: u64,
    /// Whether somebody writes, and will come for what is put here.
    is_written: bool,
}

/// One piece.
#[derive(Debug)]
pub(crate) enum Queued {
    Bytes(Bytes),
    Zeroes(u64),
}

/// What became of a piece.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Offered {
    /// It waits, and will be written.
    Taken,
    /// There is no room.
    Full,
    /// The last who wrote has ended: what came of it must be known before another begins.
    NobodyWrites,
}

impl Queue {
    /// Takes the piece if it can.
    pub(crate) fn offer(&self, piece: &mut Option<Queued>) -> Offered {
        let mut waiting = unpoisoned(&self.0.waiting);
        if !waiting.is_written {
            return Offered::NobodyWrites;
        }
        let bytes: usize = waiting.pieces.iter().map(Queued::memory).sum();
        if waiting.pieces.len() >= MOST || bytes >= BATCH {
            return Offered::Full;
        }
        waiting.pieces.extend(piece.take());
        Offered::Taken
    }

    /// Waits until there may be room, or nobody writes. For one caller at a time.
    pub(crate) async fn room(&self) {
        self.0.changed.notified().await;
    }

    /// What is to be written, beginning with this piece, until there is nothing more. When it is dropped before, what waits is
    /// dropped too.
    pub(crate) fn start(&self, first: Option<Queued>) -> Batches {
        let mut waiting = unpoisoned(&self.0.waiting);
        waiting.is_written = true;
        waiting.pieces.extend(first);
        Batches(Arc::clone(&self.0))
    }
}

/// The writes that are to be made, one after the other: where, and what.
#[derive(Debug)]
pub(crate) struct Batches(Arc<Shared>);

impl Batches {
    /// Whether there is nothing more; nobody writes from then on.
    pub(crate) fn are_over(&self) -> bool {
        let mut waiting = unpoisoned(&self.0.waiting);
        waiting.is_written = !waiting.pieces.is_empty();
        !waiting.is_written
    }
}

impl Iterator for Batches {
    type Item = (u64, Piece);

    fn next(&mut self) -> Option<Self::Item> {
        let mut waiting = unpoisoned(&self.0.waiting);
        let offset = waiting.offset;
        let (piece, len) = match waiting.pieces.pop_front() {
            None => {
                waiting.is_written = false;
                return None;
            }
            Some(Queued::Zeroes(len)) => (Piece::Zeroes(len), len),
            Some(Queued::Bytes(first)) => {
                let mut len = first.len();
                let mut batch = vec![first];
                while let Some(Queued::Bytes(next)) = waiting.pieces.front()
                    && len.saturating_add(next.len()) <= BATCH
                {
                    len = len.saturating_add(next.len());
                    if let Some(Queued::Bytes(next)) = waiting.pieces.pop_front() {
                        batch.push(next);
                    }
                }
                (Piece::Bytes(batch), u64::try_from(len).unwrap_or(u64::MAX))
            }
        };
        // The writer has added up all lengths.
        waiting.offset = offset.saturating_add(len);
        drop(waiting);
        self.0.changed.notify_one();
        Some((offset, piece))
    }
}

impl Drop for Batches {
    fn drop(&mut self) {
        let mut waiting = unpoisoned(&self.0.waiting);
        waiting.is_written = false;
        waiting.pieces.clear();
        drop(waiting);
        self.0.changed.notify_one();
    }
}

impl Queued {
    fn memory(&self) -> usize {
        match self {
            Self::Bytes(bytes) => bytes.len(),
            Self::Zeroes(_) => 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(len: usize) -> Option<Queued> {
        Some(Queued::Bytes(vec![1; len].into()))
    }

    fn lengths(piece: &Piece) -> Vec<usize> {
        match piece {
            Piece::Bytes(pieces) => pieces.iter().map(Bytes::len).collect(),
            Piece::Zeroes(_) => Vec::new(),
        }
    }

    #[test]
    fn what_waits_is_one_write_and_zeroes_are_one_of_their_own() {
        let queue = Queue::default();
        assert_eq!(queue.offer(&mut bytes(1)), Offered::NobodyWrites);
        let mut batches = queue.start(bytes(10));
        let (offset, first) = batches.next().unwrap();
        assert_eq!((offset, lengths(&first)), (0, vec![10]));
        for mut piece in [bytes(20), bytes(30), Some(Queued::Zeroes(5)), bytes(40)] {
            assert_eq!(queue.offer(&mut piece), Offered::Taken);
        }
        let (offset, second) = batches.next().unwrap();
        assert_eq!((offset, lengths(&second)), (10, vec![20, 30]));
        let (offset, third) = batches.next().unwrap();
        assert!(offset == 60 && matches!(third, Piece::Zeroes(5)));
        let (offset, last) = batches.next().unwrap();
        assert_eq!((offset, lengths(&last)), (65, vec![40]));
        assert!(batches.next().is_none());
        assert_eq!(queue.offer(&mut bytes(1)), Offered::NobodyWrites);
        let batches = queue.start(bytes(1));
        assert!(!batches.are_over());
        assert_eq!(queue.offer(&mut bytes(1)), Offered::Taken);
        assert_eq!(batches.fold(0, |sum, (_, piece)| sum + lengths(&piece).len()), 2);
        assert!(queue.start(None).are_over());
        assert_eq!(queue.offer(&mut bytes(1)), Offered::NobodyWrites);
    }

    #[test]
    fn few_pieces_wait_and_few_bytes() {
        for (len, most) in [(1, MOST), (BATCH / 2, 2), (BATCH, 1), (5 * BATCH, 1)] {
            let queue = Queue::default();
            let mut batches = queue.start(bytes(1));
            batches.next().unwrap();
            for _ in 0..most {
                assert_eq!(queue.offer(&mut bytes(len)), Offered::Taken);
            }
            let mut refused = bytes(len);
            assert_eq!(queue.offer(&mut refused), Offered::Full);
            assert!(refused.is_some(), "it is the caller's still");
        }
    }

    #[test]
    fn when_a_write_has_failed_nothing_waits_any_more() {
        let queue = Queue::default();
        let mut batches = queue.start(bytes(1));
        batches.next().unwrap();
        queue.offer(&mut bytes(1));
        drop(batches);
        assert_eq!(queue.offer(&mut bytes(1)), Offered::NobodyWrites);
        assert!(unpoisoned(&queue.0.waiting).pieces.is_empty());
    }

    #[tokio::test]
    async fn who_waits_for_room_hears_of_it_and_of_a_failure() {
        let queue = Queue::default();
        let mut batches = queue.start(bytes(1));
        batches.next().unwrap();
        queue.room().await;
        assert_eq!(queue.offer(&mut bytes(BATCH)), Offered::Taken);
        assert_eq!(queue.offer(&mut bytes(1)), Offered::Full);
        tokio::join!(queue.room(), async { drop(batches.next()) });
        assert_eq!(queue.offer(&mut bytes(BATCH)), Offered::Taken);
        tokio::join!(queue.room(), async { drop(batches) });
        assert_eq!(queue.offer(&mut bytes(1)), Offered::NobodyWrites);
    }
}
