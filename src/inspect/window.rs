//! What is kept of a stream: its first bytes, spans that a format asked for, and its last bytes.
//!
//! Which bytes are kept depends on the stream alone, never on how it was cut into chunks; so does every
//! answer computed from them. Kept bytes are copied: no caller's buffer is held.

use std::{collections::VecDeque, ops::Range};

/// Kept of every stream, from its start: the first cluster of a qcow2 image (up to this), the volume
/// descriptors of an ISO at 32 KiB, the partition table.
pub(super) const HEAD: u64 = 64 * 1024;

/// Kept of every stream, to its end: a stream-optimized VMDK's footer marker, footer and end marker.
pub(super) const TAIL: usize = 1536;

/// All that may be kept besides the tail, whatever the formats ask for.
pub(super) const KEPT_MAX: u64 = 1024 * 1024 + 128 * 1024;

/// Spans that may be asked for, so that a hostile table cannot make a list of them.
const SPANS_MAX: usize = 16;

/// Consecutive bytes of the stream, kept or being collected.
#[derive(Debug)]
struct Span {
    start: u64,
    end: u64,
    bytes: Vec<u8>,
}

impl Span {
    fn is_full(&self) -> bool {
        self.bytes.len() as u64 >= self.end - self.start
    }
}

/// The kept parts of a stream.
#[derive(Debug)]
pub(super) struct Evidence {
    head: Span,
    further: Vec<Span>,
    tail: VecDeque<u8>,
    received: u64,
    collecting: bool,
    ended: bool,
}

impl Evidence {
    pub(super) fn new() -> Self {
        Self {
            head: Span {
                start: 0,
                end: HEAD,
                bytes: Vec::new(),
            },
            further: Vec::new(),
            tail: VecDeque::with_capacity(TAIL),
            received: 0,
            collecting: true,
            ended: false,
        }
    }

    /// Take the next chunk. Whenever a span is full, `want` says which to keep next: a range that begins
    /// inside the newest span prolongs it, one further on becomes a span of its own, and bytes that have
    /// passed are gone. Once it answers `None`, a chunk of any length costs one copy of at most [`TAIL`]
    /// bytes.
    pub(super) fn push(&mut self, chunk: &[u8], want: impl Fn(&Self) -> Option<Range<u64>>) {
        let mut rest = chunk;
        while self.collecting && !rest.is_empty() {
            let received = self.received;
            let span = self.newest();
            let skipped = clamp(span.start.saturating_sub(received)).min(rest.len());
            let (_, after) = rest.split_at(skipped);
            let room = span.end - span.start - span.bytes.len() as u64;
            let (taken, after) = after.split_at(clamp(room).min(after.len()));
            span.bytes.extend_from_slice(taken);
            let full = span.is_full();
            self.received += (skipped + taken.len()) as u64;
            rest = after;
            if full {
                let wanted = want(self);
                self.collecting = wanted.is_some_and(|range| self.open(range));
            }
        }
        self.received += rest.len() as u64;

        if chunk.len() >= TAIL {
            self.tail.clear();
        } else {
            let excess = (self.tail.len() + chunk.len()).saturating_sub(TAIL);
            self.tail.drain(..excess);
        }
        let (_, last) = chunk.split_at(chunk.len().saturating_sub(TAIL));
        self.tail.extend(last);
    }

    fn newest(&mut self) -> &mut Span {
        self.further.last_mut().unwrap_or(&mut self.head)
    }

    /// Begin to keep `range`; false if there is nothing more of it to come, or no room.
    fn open(&mut self, range: Range<u64>) -> bool {
        let room = KEPT_MAX.saturating_sub(self.kept());
        let received = self.received;
        let newest = self.newest();
        let start = range.start.max(received);
        let end = range.end.min(start.saturating_add(room));
        if end <= start {
            return false;
        }
        if start == newest.end {
            newest.end = end;
            return true;
        }
        let more = self.further.len() < SPANS_MAX;
        if more {
            self.further.push(Span {
                start,
                end,
                bytes: Vec::new(),
            });
        }
        more
    }

    /// The stream has ended: from now on, what is missing is known to be missing.
    pub(super) fn end(&mut self) {
        self.ended = true;
        self.collecting = false;
        self.tail.make_contiguous();
    }

    /// Bytes kept, the tail aside.
    pub(super) fn kept(&self) -> u64 {
        let further: usize = self.further.iter().map(|span| span.bytes.len()).sum();
        (self.head.bytes.len() + further) as u64
    }

    /// Whether more of the stream may yet be kept.
    pub(super) fn is_collecting(&self) -> bool {
        self.collecting
    }

    /// Whether the stream has ended.
    pub(super) fn has_ended(&self) -> bool {
        self.ended
    }

    /// Bytes received so far.
    pub(super) fn received(&self) -> u64 {
        self.received
    }

    /// The bytes from the start of the stream on, as far as they are kept.
    pub(super) fn head(&self) -> &[u8] {
        &self.head.bytes
    }

    /// The last [`TAIL`] bytes (or all, if fewer); `None` before the stream has ended.
    pub(super) fn tail(&self) -> Option<&[u8]> {
        self.ended.then_some(self.tail.as_slices().0)
    }

    /// The kept bytes from `offset` on, at most `length` of them and possibly fewer.
    pub(super) fn bytes(&self, offset: u64, length: usize) -> &[u8] {
        std::iter::once(&self.head)
            .chain(&self.further)
            .find_map(|span| {
                let from = usize::try_from(offset.checked_sub(span.start)?).ok()?;
                let bytes = span.bytes.get(from..).filter(|bytes| !bytes.is_empty())?;
                Some(bytes.get(..length).unwrap_or(bytes))
            })
            .unwrap_or_default()
    }

    /// The `length` bytes from `offset` on, if all of them are kept.
    pub(super) fn part(&self, offset: u64, length: usize) -> Part<'_> {
        let bytes = self.bytes(offset, length);
        let passed = self.received.saturating_sub(offset);
        if bytes.len() == length {
            Part::Whole(bytes)
        } else if self.ended || !self.collecting || passed > bytes.len() as u64 {
            Part::Lost
        } else {
            Part::Pending
        }
    }

    /// Whether the stream carries `magic` at `offset`.
    pub(super) fn magic(&self, offset: u64, magic: &[u8]) -> Recognition {
        let bytes = self.bytes(offset, magic.len());
        if bytes == magic {
            Recognition::Yes
        } else if magic.starts_with(bytes) {
            self.missing(offset)
        } else {
            Recognition::No
        }
    }

    /// The answer when the bytes at `offset` that would decide are not there.
    pub(super) fn missing(&self, offset: u64) -> Recognition {
        let lost = !self.collecting && offset >= self.head.end;
        if self.ended || lost {
            Recognition::No
        } else {
            Recognition::Undecided
        }
    }
}

/// A part of the stream that was looked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part<'a> {
    Whole(&'a [u8]),
    /// It may yet come.
    Pending,
    /// It was not kept, or the stream ended before it.
    Lost,
}

/// Whether a stream is of a format.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Recognition {
    Yes,
    No,
    /// The deciding bytes have not come yet. Never answered once the stream has ended.
    Undecided,
}

impl Recognition {
    /// Whether either mark is there.
    pub(super) fn or(self, other: Self) -> Self {
        match (self, other) {
            (Self::Yes, _) | (_, Self::Yes) => Self::Yes,
            (Self::No, Self::No) => Self::No,
            _ => Self::Undecided,
        }
    }
}

fn clamp(length: u64) -> usize {
    usize::try_from(length).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn stream(length: usize) -> Vec<u8> {
        (0..length).map(|i| (i * 31 % 251) as u8).collect()
    }

    fn collect(data: &[u8], chunk: usize, wants: &[Range<u64>]) -> Evidence {
        let mut evidence = Evidence::new();
        for piece in data.chunks(chunk) {
            evidence.push(piece, |e| {
                wants.iter().find(|want| want.end > e.received()).cloned()
            });
        }
        evidence.end();
        evidence
    }

    #[test]
    fn keeps_the_head_the_wanted_spans_and_the_tail() {
        let data = stream(900_000);
        let wants = [0..100_000, 300_000..300_100, 700_000..700_001];
        let evidence = collect(&data, 4096, &wants);
        assert_eq!(evidence.head(), &data[..100_000]);
        assert_eq!(evidence.bytes(300_000, 100), &data[300_000..300_100]);
        assert_eq!(evidence.bytes(700_000, 9), &data[700_000..700_001]);
        assert_eq!(evidence.bytes(200_000, 9), b"");
        assert_eq!(evidence.tail().unwrap(), &data[data.len() - TAIL..]);
        assert_eq!(evidence.received(), 900_000);
    }

    #[test]
    fn keeps_no_more_than_its_bound_whatever_is_wanted() {
        let mut evidence = Evidence::new();
        let chunk = stream(1 << 20);
        for _ in 0..5 {
            evidence.push(&chunk, |_| Some(0..u64::MAX));
        }
        assert_eq!(evidence.kept(), KEPT_MAX);
        assert!(!evidence.is_collecting());
        assert!(evidence.tail.capacity() < 2 * TAIL + 64);
    }

    #[test]
    fn a_span_already_past_ends_the_collection() {
        let data = stream(200_000);
        let mut evidence = Evidence::new();
        evidence.push(&data, |_| Some(10..20));
        assert!(!evidence.is_collecting());
        assert_eq!(evidence.kept(), HEAD);
    }

    proptest! {
        #[test]
        fn the_kept_bytes_do_not_depend_on_the_chunks(length in 0usize..140_000, chunk in 1usize..70_000) {
            let data = stream(length);
            let wants = [0..70_000u64, 100_000..100_010];
            let (one, other) = (collect(&data, chunk, &wants), collect(&data, usize::MAX, &wants));
            prop_assert_eq!(one.head(), other.head());
            prop_assert_eq!(one.bytes(100_000, 10), other.bytes(100_000, 10));
            prop_assert_eq!(one.tail(), other.tail());
            prop_assert_eq!(one.tail().unwrap(), &data[length.saturating_sub(TAIL)..]);
        }
    }
}
