//! One algorithm of a stream, and two that can be computed in one pass.

use std::collections::VecDeque;
use std::mem;

use super::algorithm::Algorithm;
use super::crowd::Arrangement;
use super::kernel::{Family, Kernel};
use super::parts::Piece;

/// The two hashes of a pair are arranged anew after so many chunks in a row for which that would have been better: not for each
/// moment in which streams have nothing to do. A stream that always has something to do waits for its end then, which costs a wake-up.
const CHUNKS_BEFORE_REARRANGING: u32 = 8;

/// One algorithm of the stream. (Not "lane": that is a stream's place in a SIMD register.)
pub(super) struct Track {
    pub(super) algorithm: Algorithm,
    pub(super) queue: VecDeque<Piece>,
    pub(super) status: Status,
}

/// Who holds the track's kernel. It is moved, never shared: two threads cannot run one unit.
pub(super) enum Status {
    /// The track does: nothing to hash.
    Resting(Kernel),
    /// The [`Unit`](super::stream::Unit) does, and waits for a thread.
    Ready,
    /// It does, and a thread hashes with it.
    Hashing,
    /// Another track of the stream does, which hashes the same chunks with it: see [`Pair`].
    Together,
    /// No one any more: the digest in hex.
    Done(String),
}

impl Track {
    pub(super) fn chunks_behind(&self) -> usize {
        let chunks = self.queue.iter().filter(|piece| matches!(piece, Piece::Chunk(_)));
        chunks.count() + usize::from(matches!(self.status, Status::Hashing))
    }

    /// Whether there is no unit of it.
    pub(super) fn is_at_rest(&self) -> bool {
        matches!(
            self.status,
            Status::Resting(_) | Status::Together | Status::Done(_)
        )
    }

    /// Hashes the other's chunks from now on, if both rest.
    fn take_in(&mut self, other: &mut Self) {
        let statuses = (
            mem::replace(&mut self.status, Status::Together),
            mem::replace(&mut other.status, Status::Together),
        );
        (self.status, other.status) = match statuses {
            (Status::Resting(own), Status::Resting(others)) => match own.together(others) {
                Ok(both) => (Status::Resting(both), Status::Together),
                Err((own, others)) => (Status::Resting(own), Status::Resting(others)),
            },
            statuses => statuses,
        };
    }

    /// Leaves the other its chunks again, if it rests.
    fn let_go(&mut self, other: &mut Self) {
        self.status = match mem::replace(&mut self.status, Status::Ready) {
            Status::Resting(kernel) => {
                let (own, others) = kernel.apart();
                if let Some(others) = others {
                    other.status = Status::Resting(others);
                }
                Status::Resting(own)
            }
            status => status,
        };
    }

    /// The kernel, if the track rests; the track is then ready.
    pub(super) fn rouse(&mut self) -> Option<Kernel> {
        match mem::replace(&mut self.status, Status::Ready) {
            Status::Resting(kernel) => Some(kernel),
            other => {
                self.status = other;
                None
            }
        }
    }
}

/// Two tracks whose hashes can be computed in one pass: by the unit of the first then.
pub(super) struct Pair {
    md5: usize,
    sha512: usize,
    /// `None` as long as there was no chunk.
    arrangement: Option<Arrangement>,
    /// How many chunks in a row another would have been better for.
    chunks_against: u32,
}

impl Pair {
    /// MD5 and SHA-512 of the stream, if it has both.
    pub(super) fn of(tracks: &[Track]) -> Option<Self> {
        let of = |family| {
            let is_of =
                |track: &Track| matches!(&track.status, Status::Resting(kernel) if kernel.family() == family);
            tracks.iter().position(is_of)
        };
        let (md5, sha512) = of(Family::Md5).zip(of(Family::Sha512))?;
        Some(Self {
            md5,
            sha512,
            arrangement: None,
            chunks_against: 0,
        })
    }

    /// The track whose hash is computed by the other's unit, when it is in one pass.
    pub(super) fn second(&self) -> usize {
        self.sha512
    }

    #[cfg(test)]
    pub(super) fn arrangement(&self) -> Option<Arrangement> {
        self.arrangement
    }

    /// Arranges the two as is best for a chunk that is about to come. False if that has to wait until both rest.
    pub(super) fn arrange(&mut self, tracks: &mut [Track], best: Arrangement) -> bool {
        if self.arrangement == Some(best) {
            self.chunks_against = 0;
            return true;
        }
        if self.arrangement.is_some() && self.chunks_against < CHUNKS_BEFORE_REARRANGING {
            self.chunks_against += 1;
            return true;
        }
        let Ok([md5, sha512]) = tracks.get_disjoint_mut([self.md5, self.sha512]) else {
            return true;
        };
        if !md5.is_at_rest() || !sha512.is_at_rest() {
            return false;
        }
        self.chunks_against = 0;
        self.arrangement = Some(best);
        match best {
            Arrangement::Together => md5.take_in(sha512),
            Arrangement::Apart => md5.let_go(sha512),
        }
        true
    }
}
