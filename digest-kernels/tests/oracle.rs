//! Every kernel of this host agrees with the plain hashes, whatever is side by side.

use md5::Digest;
use proptest::prelude::*;
use saccade_digest_kernels::{
    Job, Kernels, Stream, md5, md5_openssl, md5_portable, one_pass, one_pass_portable, sha512,
    sha512_portable,
};

/// Bytes that differ in every place and stream.
fn data(seed: u64, len: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()[3]
    };
    (0..len).map(|_| next()).collect()
}

/// Hashes streams in pieces side by side, and compares each with the oracle.
fn check<W: Copy + Default, const R: usize, const B: usize>(
    kernels: &Kernels<W, R, B>,
    start: impl Fn(&Kernels<W, R, B>) -> Stream<W, R, B>,
    oracle: impl Fn(&[u8]) -> Vec<u8>,
    pieces: &[Vec<usize>],
) {
    let mut streams: Vec<_> = pieces.iter().map(|_| start(kernels)).collect();
    let messages: Vec<Vec<u8>> = pieces
        .iter()
        .enumerate()
        .map(|(lane, pieces)| data(lane as u64 + 1, pieces.iter().sum()))
        .collect();
    let mut rests: Vec<&[u8]> = messages.iter().map(Vec::as_slice).collect();
    let turns = pieces.iter().map(Vec::len).max().unwrap_or(0);
    for turn in 0..turns {
        let mut jobs = Vec::new();
        for ((stream, rest), pieces) in streams.iter_mut().zip(&mut rests).zip(pieces) {
            if let Some(len) = pieces.get(turn) {
                let (piece, after) = rest.split_at(*len);
                *rest = after;
                jobs.push(Job::new(stream, piece));
            }
        }
        kernels.update_many(&mut jobs);
    }
    for (stream, message) in streams.into_iter().zip(&messages) {
        assert_eq!(
            kernels.finish(stream),
            oracle(message),
            "{kernels:?}: {} bytes",
            message.len()
        );
    }
}

fn everything(pieces: &[Vec<usize>]) {
    let md5_oracle = |bytes: &[u8]| md5::Md5::digest(bytes).to_vec();
    let mut all = md5().each();
    all.extend([md5_openssl(), md5_portable()]);
    for kernels in all.iter().chain([md5()]) {
        check(kernels, Kernels::<u32, 4, 64>::start, md5_oracle, pieces);
    }
    let mut all = sha512().each();
    all.push(sha512_portable());
    for kernels in all.iter().chain([sha512()]) {
        check(
            kernels,
            Kernels::<u64, 8, 128>::start,
            |bytes| sha2::Sha512::digest(bytes).to_vec(),
            pieces,
        );
        check(
            kernels,
            Kernels::<u64, 8, 128>::start_384,
            |bytes| sha2::Sha384::digest(bytes).to_vec(),
            pieces,
        );
    }
}

#[test]
fn any_number_of_equal_streams_is_hashed_as_one_by_one() {
    for streams in 0..=70 {
        everything(&vec![vec![1000, 24, 2048]; streams]);
    }
}

#[test]
fn every_length_around_a_block_is_padded_right() {
    for len in 0..=300 {
        everything(&[vec![len], vec![300 - len], vec![len, len]]);
    }
}

#[test]
fn streams_end_one_after_the_other() {
    let pieces: Vec<_> = (0..40).map(|lane| vec![lane * 129 + lane % 3; 3]).collect();
    everything(&pieces);
}

#[test]
fn a_stream_changes_its_kernel_at_any_piece() {
    let message = data(9, 50_000);
    let mut stream = sha512().start();
    let mut others: Vec<_> = (0..20).map(|_| sha512().start()).collect();
    for (turn, piece) in message.chunks(1111).enumerate() {
        let mut jobs = vec![Job::new(&mut stream, piece)];
        jobs.extend(
            others
                .iter_mut()
                .take(turn % 20)
                .map(|other| Job::new(other, piece)),
        );
        sha512().update_many(&mut jobs);
    }
    assert_eq!(sha512().finish(stream), sha2::Sha512::digest(&message).to_vec());
}

#[test]
fn bytes_are_read_wherever_they_begin() {
    let message = data(5, 4096 + 64);
    for offset in 0..64 {
        let bytes = &message[offset..offset + 4096];
        let mut streams: Vec<_> = (0..9).map(|_| md5().start()).collect();
        let mut jobs: Vec<_> = streams.iter_mut().map(|stream| Job::new(stream, bytes)).collect();
        md5().update_many(&mut jobs);
        for stream in streams {
            assert_eq!(md5().finish(stream), md5::Md5::digest(bytes).to_vec());
        }
    }
}

/// Hashes a message in pieces, each in one pass or not, with a part that begins somewhere in it.
fn check_one_pass(pieces: &[(usize, u8)], part_at: usize) {
    let message = data(3, pieces.iter().map(|(len, _)| len).sum());
    for kernels in [one_pass(), &one_pass_portable()] {
        let (mut whole, mut part) = (md5().start(), md5().start());
        let (mut sha, mut sha_384) = (sha512().start(), sha512().start_384());
        let mut rest = message.as_slice();
        let (mut at, mut part_start) = (0, message.len());
        for (number, (len, how)) in pieces.iter().enumerate() {
            let (piece, after) = rest.split_at(*len);
            let in_part = number >= part_at;
            if in_part && part_start == message.len() {
                part_start = at;
            }
            match (how % 3, in_part) {
                (0, false) => kernels.both([&mut whole], &mut sha, piece),
                (0, true) => kernels.both([&mut whole, &mut part], &mut sha, piece),
                (1, false) => {
                    kernels.md5([&mut whole], piece);
                    sha512().update(&mut sha, piece);
                }
                (1, true) => {
                    kernels.md5([&mut part, &mut whole], piece);
                    sha512().update(&mut sha, piece);
                }
                (_, _) => {
                    md5().update(&mut whole, piece);
                    sha512().update(&mut sha, piece);
                    if in_part {
                        md5_openssl().update(&mut part, piece);
                    }
                }
            }
            kernels.both([&mut md5().start()], &mut sha_384, piece);
            rest = after;
            at += len;
        }
        let (_, of_part) = message.split_at(part_start);
        assert_eq!(md5().finish(whole), md5::Md5::digest(&message).to_vec());
        assert_eq!(md5().finish(part), md5::Md5::digest(of_part).to_vec());
        assert_eq!(sha512().finish(sha), sha2::Sha512::digest(&message).to_vec());
        assert_eq!(sha512().finish(sha_384), sha2::Sha384::digest(&message).to_vec());
    }
}

#[test]
fn every_length_around_the_blocks_of_both_hashes_is_hashed_right_in_one_pass() {
    for len in 0..=600 {
        check_one_pass(&[(len, 0)], 0);
        check_one_pass(&[(len, 0), (600 - len, 0), (len, 1), (1000, 0)], 1);
    }
}

#[test]
fn bytes_are_read_wherever_they_begin_in_one_pass() {
    let message = data(5, 4096 + 128);
    for offset in 0..128 {
        let bytes = &message[offset..offset + 4096];
        let (mut whole, mut sha) = (md5().start(), sha512().start());
        one_pass().both([&mut whole], &mut sha, bytes);
        assert_eq!(md5().finish(whole), md5::Md5::digest(bytes).to_vec());
        assert_eq!(sha512().finish(sha), sha2::Sha512::digest(bytes).to_vec());
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]
    #[test]
    fn a_stream_changes_between_one_pass_and_others_at_any_piece(
        pieces in prop::collection::vec((0_usize..2000, any::<u8>()), 0..12),
        part_at in 0_usize..12,
    ) {
        check_one_pass(&pieces, part_at);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]
    #[test]
    fn whatever_is_side_by_side_in_whatever_pieces_is_hashed_right(
        pieces in prop::collection::vec(prop::collection::vec(0_usize..2000, 0..6), 0..40),
    ) {
        everything(&pieces);
    }
}
