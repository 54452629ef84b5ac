//! All code there is for a hash on this host, and what a caller does with it.

use crate::{
    lanes::{self, Wide},
    stream::{Job, Stream},
};

/// The code for a hash whose state is `R` words and whose blocks have `B` bytes: for one stream, and for several at
/// once.
pub struct Kernels<W: 'static, const R: usize, const B: usize> {
    pub(crate) name: &'static str,
    /// Hashes whole blocks of one stream.
    pub(crate) scalar: fn(&mut [W; R], &[u8]),
    pub(crate) scalar_name: &'static str,
    /// For several streams, the one for most of them first.
    pub(crate) wides: Vec<Wide<W, R>>,
    /// What ends a message: its length in bits, as many bytes as there are.
    pub(crate) length: fn(u128, &mut [u8]),
    /// Bytes of the length.
    pub(crate) length_len: usize,
    pub(crate) bytes: fn(&[W; R]) -> Vec<u8>,
}

impl<W: Copy + Default, const R: usize, const B: usize> Kernels<W, R, B> {
    pub(crate) fn begin(state: [W; R], digest_len: usize) -> Stream<W, R, B> {
        Stream {
            state,
            tail: [0; B],
            tail_len: 0,
            length: 0,
            digest_len,
        }
    }

    /// Hashes `bytes` after those before it.
    pub fn update(&self, stream: &mut Stream<W, R, B>, bytes: &[u8]) {
        let mut job = Job::new(stream, bytes);
        job.complete_tail(self.scalar);
        let (whole, rest) = job.rest.split_at(job.blocks() * B);
        (self.scalar)(&mut job.stream.state, whole);
        job.rest = rest;
        job.keep_tail();
    }

    /// Hashes the bytes of every job after those before it in its stream: side by side, as far as they are equally
    /// long. The order of the jobs is changed.
    pub fn update_many(&self, jobs: &mut [Job<'_, W, R, B>]) {
        for job in jobs.iter_mut() {
            job.complete_tail(self.scalar);
        }
        lanes::run(jobs, &self.wides, self.scalar);
        for job in jobs {
            job.keep_tail();
        }
    }

    /// From how many streams on they are faster side by side than one after the other; `None` when they never are.
    #[must_use]
    pub fn least_lanes(&self) -> Option<usize> {
        self.wides.iter().map(|wide| wide.least).min()
    }

    /// How many streams side by side there is code for: more than that are taken in turns.
    #[must_use]
    pub fn most_lanes(&self) -> usize {
        self.wides.iter().map(|wide| wide.lanes).max().unwrap_or(1)
    }

    /// The digest of all bytes hashed.
    #[must_use]
    pub fn finish(&self, mut stream: Stream<W, R, B>) -> Vec<u8> {
        let bits = stream.length << 3;
        // At most a block and the length: a one, zeroes, and the length at the end of a block.
        let mut end = [[0; B]; 2];
        let end = end.as_flattened_mut();
        let (tail, _) = stream.tail.split_at(stream.tail_len);
        for (place, byte) in end.iter_mut().zip(tail.iter().chain(&[0x80])) {
            *place = *byte;
        }
        let blocks = (stream.tail_len + 1 + self.length_len).div_ceil(B);
        let (message, _) = end.split_at_mut(blocks * B);
        let (_, field) = message.split_at_mut(message.len().saturating_sub(self.length_len));
        (self.length)(bits, field);
        (self.scalar)(&mut stream.state, message);
        let mut digest = (self.bytes)(&stream.state);
        digest.truncate(stream.digest_len);
        digest
    }

    /// Each kernel by itself, used for any number of streams: so that each can be tested and measured.
    #[must_use]
    pub fn each(&self) -> Vec<Self> {
        let alone = |name, wides| Self { name, wides, ..*self };
        let wides = self
            .wides
            .iter()
            .map(|wide| alone(wide.name, vec![Wide { least: 1, ..*wide }]));
        std::iter::once(alone(self.scalar_name, Vec::new()))
            .chain(wides)
            .collect()
    }

    /// Itself, if it computes what it should from this state. The layout of a library's structure is believed after one look.
    pub(crate) fn checked(self, state: [W; R], portable: fn(&mut [W; R], &[u8])) -> Option<Self>
    where
        W: PartialEq,
    {
        let blocks = [0x5a; 1024];
        let (mut own, mut other) = (state, state);
        (self.scalar)(&mut own, &blocks);
        portable(&mut other, &blocks);
        (own == other).then_some(self)
    }

    /// What runs, for logs and benchmarks.
    #[must_use]
    pub fn name(&self) -> &'static str {
        self.name
    }
}

impl<W, const R: usize, const B: usize> std::fmt::Debug for Kernels<W, R, B> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let wides = self.wides.iter().map(|wide| wide.name);
        f.debug_struct("Kernels")
            .field("name", &self.name)
            .field("alone", &self.scalar_name)
            .field("together", &wides.collect::<Vec<_>>())
            .finish_non_exhaustive()
    }
}
