//! How bytes for one place become writes: which of them may go to the disk from where they are, and which are holes. Pure.

use bytes::Bytes;
use saccade_disk::{BLOCK, WriteMode};

use crate::engine::Write;

/// Finest hole that thin provisioning makes; glance_store's chunk.
const HOLE: usize = 64 << 10;

/// Bytes of one kind, which begin at `offset`.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Extent {
    pub(crate) offset: u64,
    pub(crate) len: u64,
    /// What is to be written; nothing where it is a hole.
    pub(crate) pieces: Option<Vec<Bytes>>,
}

/// The writes that bring these pieces to `offset` and behind it. With [`WriteMode::Direct`], what is no whole block in memory
/// and in the file goes through the page cache: the end of a blob, and what comes from elsewhere than the pool of uploads.
///
/// No offset passes the end of `u64`: the caller has added all lengths up.
pub(crate) fn writes(pieces: &[Bytes], mut offset: u64, mode: WriteMode) -> Vec<Write> {
    let mut writes: Vec<Write> = Vec::new();
    for piece in pieces {
        let mut rest = piece.clone();
        for (len, mode) in parts(&rest, offset, mode) {
            let part = rest.split_to(len.min(rest.len()));
            if part.is_empty() {
                continue;
            }
            let at = offset;
            offset = offset.saturating_add(length(part.len()));
            match writes.last_mut().filter(|last| last.mode == mode) {
                Some(last) => last.pieces.push(part),
                None => writes.push(Write {
                    pieces: vec![part],
                    offset: at,
                    mode,
                }),
            }
        }
    }
    writes
}

/// The lengths that a piece is divided into, and how each is written.
fn parts(piece: &[u8], offset: u64, mode: WriteMode) -> [(usize, WriteMode); 3] {
    let len = piece.len();
    let (head, middle) = if mode == WriteMode::Direct {
        // As far as the next block of the file.
        let head = offset.wrapping_neg() % length(BLOCK);
        let head = usize::try_from(head).unwrap_or(len).min(len);
        if piece.as_ptr().addr().wrapping_add(head).is_multiple_of(BLOCK) {
            let rest = len.saturating_sub(head);
            (head, rest - rest % BLOCK)
        } else {
            (len, 0)
        }
    } else {
        (0, len)
    };
    let tail = len.saturating_sub(head).saturating_sub(middle);
    [
        (head, WriteMode::Buffered),
        (middle, mode),
        (tail, WriteMode::Buffered),
    ]
}

/// Divides pieces into runs of what is zero and what is not.
pub(crate) fn runs(pieces: &[Bytes], mut offset: u64) -> Vec<Extent> {
    let mut runs: Vec<Extent> = Vec::new();
    for piece in pieces {
        let mut rest = piece.clone();
        while !rest.is_empty() {
            let is_hole = first(&rest).is_some_and(is_zero);
            let mut len = 0usize;
            for part in rest.chunks(HOLE) {
                if is_zero(part) != is_hole {
                    break;
                }
                len = len.saturating_add(part.len());
            }
            let part = rest.split_to(len.min(rest.len()));
            let len = length(part.len());
            match runs.last_mut().filter(|last| last.pieces.is_none() == is_hole) {
                Some(last) => {
                    last.len = last.len.saturating_add(len);
                    if let Some(pieces) = &mut last.pieces {
                        pieces.push(part);
                    }
                }
                None => runs.push(Extent {
                    offset,
                    len,
                    pieces: (!is_hole).then(|| vec![part]),
                }),
            }
            offset = offset.saturating_add(len);
        }
    }
    runs
}

fn first(bytes: &[u8]) -> Option<&[u8]> {
    bytes.chunks(HOLE).next()
}

fn is_zero(piece: &[u8]) -> bool {
    // Without an early exit inside a block, which lets the compiler use wide instructions.
    piece
        .chunks(4096)
        .all(|block| block.iter().fold(0, |seen, byte| seen | byte) == 0)
}

fn length(len: usize) -> u64 {
    u64::try_from(len).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::{collection::vec, prelude::*};

    /// Bytes that begin so many behind a block in memory.
    fn bytes(behind: usize, len: usize) -> Bytes {
        let memory: Vec<u8> = (0..2 * BLOCK + len).map(|at| (at % 251) as u8).collect();
        let memory = Bytes::from(memory);
        let start = memory.as_ptr().align_offset(BLOCK) + behind;
        memory.slice(start..start + len)
    }

    fn shape(writes: &[Write]) -> Vec<(WriteMode, u64, usize)> {
        writes
            .iter()
            .map(|write| {
                let len = write.pieces.iter().map(Bytes::len).sum();
                (write.mode, write.offset, len)
            })
            .collect()
    }

    #[test]
    fn whole_blocks_are_one_direct_write_and_the_end_goes_through_the_cache() {
        let pieces = [bytes(0, 4 * BLOCK), bytes(0, 2 * BLOCK + 7)];
        let (direct, buffered) = (WriteMode::Direct, WriteMode::Buffered);
        assert_eq!(
            shape(&writes(&pieces, 8192, direct)),
            [(direct, 8192, 6 * BLOCK), (buffered, 8192 + 6 * 4096, 7)]
        );
        assert_eq!(
            shape(&writes(&pieces, 8192, buffered)),
            [(buffered, 8192, 6 * BLOCK + 7)]
        );
    }

    #[test]
    fn bytes_that_lie_in_memory_as_in_the_file_are_direct_from_the_first_whole_block() {
        let (direct, buffered) = (WriteMode::Direct, WriteMode::Buffered);
        assert_eq!(
            shape(&writes(&[bytes(100, 3 * BLOCK)], 100, direct)),
            [
                (buffered, 100, BLOCK - 100),
                (direct, 4096, 2 * BLOCK),
                (buffered, 3 * 4096, 100)
            ]
        );
        assert_eq!(
            shape(&writes(&[bytes(100, 3 * BLOCK)], 0, direct)),
            [(buffered, 0, 3 * BLOCK)]
        );
    }

    #[test]
    fn zeroes_of_neighbouring_pieces_are_one_hole() {
        let zeroes = Bytes::from(vec![0; HOLE]);
        let ones = Bytes::from(vec![1; HOLE]);
        let mixed = Bytes::from([&zeroes[..], &ones[..]].concat());
        let found = runs(&[ones.clone(), zeroes.clone(), mixed, ones], 10);
        let shape: Vec<_> = found
            .iter()
            .map(|run| (run.offset, run.len, run.pieces.as_ref().map(Vec::len)))
            .collect();
        let hole = HOLE as u64;
        assert_eq!(
            shape,
            [
                (10, hole, Some(1)),
                (10 + hole, 2 * hole, None),
                (10 + 3 * hole, 2 * hole, Some(2))
            ]
        );
    }

    proptest! {
        #[test]
        fn writes_are_the_pieces_in_their_order_and_direct_ones_are_whole_blocks(
            shapes in vec((0..3 * BLOCK, 0..5 * BLOCK), 0..5), offset in 0..20_000_u64, aligned in any::<bool>()
        ) {
            let behind = |behind: usize| if aligned { 0 } else { behind };
            let pieces: Vec<Bytes> = shapes.iter().map(|(at, len)| bytes(behind(*at) % BLOCK, *len)).collect();
            let mut at = offset;
            let mut all = Vec::new();
            for write in writes(&pieces, offset, WriteMode::Direct) {
                prop_assert_eq!(write.offset, at);
                for piece in &write.pieces {
                    prop_assert!(!piece.is_empty());
                    if write.mode == WriteMode::Direct {
                        prop_assert_eq!(at % BLOCK as u64, 0);
                        prop_assert_eq!(piece.as_ptr().addr() % BLOCK, 0);
                        prop_assert_eq!(piece.len() % BLOCK, 0);
                    }
                    at += piece.len() as u64;
                    all.extend_from_slice(piece);
                }
            }
            prop_assert_eq!(all, pieces.concat());
        }

        #[test]
        fn runs_are_the_pieces_in_their_order(
            shapes in vec((any::<bool>(), 0..3 * HOLE), 0..5), offset in 0..1_000_000_u64
        ) {
            let pieces: Vec<Bytes> = shapes.iter().map(|(zero, len)| vec![u8::from(!zero); *len].into()).collect();
            let mut at = offset;
            let mut all = Vec::new();
            for run in runs(&pieces, offset) {
                prop_assert_eq!(run.offset, at);
                let before = all.len();
                match run.pieces {
                    Some(pieces) => pieces.iter().for_each(|piece| all.extend_from_slice(piece)),
                    None => all.resize(before + run.len as usize, 0),
                }
                prop_assert_eq!((all.len() - before) as u64, run.len);
                at += run.len;
            }
            prop_assert_eq!(all, pieces.concat());
        }
    }
}
