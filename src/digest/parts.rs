//! The MD5 of a stream's parts, computed beside that of all of it.

use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;
use std::task::Waker;

use bytes::Bytes;

use super::pool::Threads;
use super::stream::Shared;

/// The lengths of parts in bytes, by their numbers from 1; `None`: what follows is one part.
pub type PartLengths = Box<dyn Fn(u64) -> Option<u64> + Send>;

/// The MD5 of each part of a [`DigestStream`](super::DigestStream), and where parts end before their time. Outlives the stream: what
/// was hashed can still be asked for.
///
/// Memory: some 60 bytes for each part.
pub struct PartDigests {
    pub(super) threads: Arc<Threads>,
    pub(super) shared: Arc<Shared>,
}

impl PartDigests {
    /// The MD5 of a part (from 1) in lower-case hex, once all of it is hashed. The last part ends when the stream is finished.
    /// `None`: the stream has failed, was cancelled, or has ended before.
    ///
    /// # Cancel safety
    /// Nothing is lost.
    pub fn md5(&self, number: u64) -> impl Future<Output = Option<String>> + Send + use<> {
        let shared = Arc::clone(&self.shared);
        std::future::poll_fn(move |cx| shared.poll_part(cx, number))
    }

    /// Ends the open part behind this byte of the stream, if there is one, it has bytes, and none behind it has been pushed.
    pub fn end_part(&self, at: u64) -> bool {
        let ready = self.shared.end_part(at);
        let ended = ready.is_some();
        self.threads.run(ready.unwrap_or_default());
        ended
    }
}

impl fmt::Debug for PartDigests {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PartDigests").finish_non_exhaustive()
    }
}

/// What a track has to do.
pub(super) enum Piece {
    Chunk(Bytes),
    /// What follows belongs to the next part.
    EndOfPart,
}

/// Where the parts of a stream end, and what they came to.
pub(super) struct Parts {
    /// Which of the stream's tracks hashes them.
    pub(super) track: usize,
    lengths: PartLengths,
    /// Of the open part.
    number: u64,
    start: u64,
    /// Bytes that were pushed.
    position: u64,
    /// Of those that are hashed, in their order.
    pub(super) sums: Vec<String>,
    pub(super) waiting: Vec<Waker>,
}

impl Parts {
    pub(super) fn new(track: usize, lengths: PartLengths) -> Self {
        Self {
            track,
            lengths,
            number: 1,
            start: 0,
            position: 0,
            sums: Vec::new(),
            waiting: Vec::new(),
        }
    }

    /// Divides a chunk where parts end in it.
    pub(super) fn divide(&mut self, mut chunk: Bytes, queue: &mut VecDeque<Piece>) {
        while !chunk.is_empty() {
            let length = (self.lengths)(self.number).filter(|length| *length > 0);
            let end = length.and_then(|length| self.start.checked_add(length));
            let room = end.map_or(u64::MAX, |end| end.saturating_sub(self.position));
            let taken = usize::try_from(room).unwrap_or(usize::MAX).min(chunk.len());
            queue.push_back(Piece::Chunk(chunk.split_to(taken)));
            self.position = self.position.saturating_add(taken as u64);
            if end == Some(self.position) {
                self.end(queue);
            }
        }
    }

    /// Ends the open part if it has bytes and ends here.
    pub(super) fn end_at(&mut self, at: u64, queue: &mut VecDeque<Piece>) -> bool {
        let ends = self.position == at && self.start < at;
        if ends {
            self.end(queue);
        }
        ends
    }

    /// Ends the last part. That of an empty stream is empty.
    pub(super) fn end_last(&mut self, queue: &mut VecDeque<Piece>) {
        if self.start < self.position || self.position == 0 {
            self.end(queue);
        }
    }

    fn end(&mut self, queue: &mut VecDeque<Piece>) {
        queue.push_back(Piece::EndOfPart);
        self.start = self.position;
        self.number = self.number.saturating_add(1);
    }

    pub(super) fn sum(&self, number: u64) -> Option<&String> {
        let index = usize::try_from(number.checked_sub(1)?).ok()?;
        self.sums.get(index)
    }
}

#[cfg(test)]
mod tests;
