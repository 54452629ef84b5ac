//! Several hashes of the same bytes on one thread, in less time than one after the other.
//!
//! MD5 is a chain of instructions that wait for each other, a few for each byte; SHA-512 is many that need not. Between each
//! other's instructions both take little longer than the longer of them: a core has room for both. For the same reason MD5 of a stream
//! and of a part of it cost as much as one of them.

#[cfg(target_arch = "x86_64")]
pub(crate) mod x86;

use std::sync::LazyLock;

use crate::{
    md5::{Md5Stream, md5},
    sha512::{Sha512Stream, sha512},
    stream::Job,
};

/// States of MD5 that are computed over the same bytes, at most.
const LANES: usize = 4;

/// Of each word of the state the lanes.
type Md5Words = [[u32; LANES]; 4];

/// Whole blocks of MD5.
type Md5Blocks = fn(&mut Md5Words, &[u8]);
/// Whole blocks of SHA-512.
type BothBlocks = fn(&mut Md5Words, &mut [u64; 8], &[u8]);

/// The code for several hashes of the same bytes.
pub struct OnePass {
    md5: Option<Md5Blocks>,
    both: Option<BothBlocks>,
}

/// The fastest code that this processor runs for several hashes of the same bytes.
#[must_use]
pub fn one_pass() -> &'static OnePass {
    static ONE_PASS: LazyLock<OnePass> = LazyLock::new(|| {
        #[cfg(target_arch = "x86_64")]
        {
            #[allow(unsafe_code)]
            OnePass {
                // SAFETY: of both, what they need was just found to be there.
                md5: x86::has_md5().then_some(|states, blocks| unsafe { x86::md5(states, blocks) }),
                both: x86::has_both()
                    .then_some(|md5, sha512, blocks| unsafe { x86::both(md5, sha512, blocks) }),
            }
        }
        #[cfg(not(target_arch = "x86_64"))]
        one_pass_portable()
    });
    &ONE_PASS
}

/// The same one after the other: there on every host.
#[must_use]
pub fn one_pass_portable() -> OnePass {
    OnePass {
        md5: None,
        both: None,
    }
}

impl OnePass {
    /// Whether MD5 and SHA-512 of the same bytes take less time in one pass than one after the other.
    #[must_use]
    pub fn pays(&self) -> bool {
        self.both.is_some()
    }

    /// Hashes `bytes` after those before them with each of the streams. Those that are as far into a block as the first go on
    /// together.
    pub fn md5<const N: usize>(&self, mut streams: [&mut Md5Stream; N], bytes: &[u8]) {
        const { assert!(0 < N && N <= LANES) }
        let Some(kernel) = self.md5 else {
            return in_turn(streams, None, bytes);
        };
        let tail = streams.first().map_or(0, |stream| stream.tail_len);
        let (head, rest) = bytes.split_at(missing(tail, 64).min(bytes.len()));
        in_turn(streams.each_mut().map(|stream| &mut **stream), None, head);
        let (whole, end) = rest.split_at(rest.len() / 64 * 64);
        md5_blocks(&mut streams, whole, kernel);
        in_turn(streams, None, end);
    }

    /// Hashes `bytes` after those before them with each of the streams: of the MD5s, those that are at the beginning of a block where
    /// SHA-512 is go on together with it.
    pub fn both<const N: usize>(
        &self,
        mut md5s: [&mut Md5Stream; N],
        sha512: &mut Sha512Stream,
        bytes: &[u8],
    ) {
        const { assert!(0 < N && N <= LANES) }
        let Some(kernel) = self.both else {
            return in_turn(md5s, Some(sha512), bytes);
        };
        let head = missing(sha512.tail_len, 128).min(bytes.len());
        let (head, rest) = bytes.split_at(head);
        in_turn(md5s.each_mut().map(|stream| &mut **stream), Some(sha512), head);
        let (whole, end) = rest.split_at(rest.len() / 128 * 128);
        md5_blocks(&mut md5s, whole, |states, blocks| {
            kernel(states, &mut sha512.state, blocks);
        });
        sha512.length += whole.len() as u128;
        in_turn(md5s, Some(sha512), end);
    }
}

impl std::fmt::Debug for OnePass {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("OnePass")
            .field("md5", &self.md5.is_some())
            .field("both", &self.both.is_some())
            .finish()
    }
}

/// How many bytes complete the block.
fn missing(tail: usize, block: usize) -> usize {
    if tail == 0 { 0 } else { block.saturating_sub(tail) }
}

/// Hashes whole blocks: together with `kernel` of the streams that are at the beginning of one, the others by themselves.
fn md5_blocks(streams: &mut [&mut Md5Stream], blocks: &[u8], kernel: impl FnOnce(&mut Md5Words, &[u8])) {
    let mut states = Md5Words::default();
    for (lane, stream) in streams.iter_mut().enumerate() {
        if stream.tail_len == 0 {
            for (lanes, word) in states.iter_mut().zip(stream.state) {
                if let Some(place) = lanes.get_mut(lane) {
                    *place = word;
                }
            }
        } else {
            md5().update(stream, blocks);
        }
    }
    kernel(&mut states, blocks);
    for (lane, stream) in streams.iter_mut().enumerate() {
        if stream.tail_len == 0 {
            for (lanes, word) in states.iter().zip(&mut stream.state) {
                if let Some(value) = lanes.get(lane) {
                    *word = *value;
                }
            }
            stream.length += blocks.len() as u128;
        }
    }
}

/// One after the other.
fn in_turn<const N: usize>(
    md5s: [&mut Md5Stream; N],
    sha512_stream: Option<&mut Sha512Stream>,
    bytes: &[u8],
) {
    md5().update_many(&mut md5s.map(|stream| Job::new(stream, bytes)));
    if let Some(stream) = sha512_stream {
        sha512().update(stream, bytes);
    }
}
