use std::num::NonZeroUsize;
use std::time::Duration;

use bytes::Bytes;
use md5::Digest as _;
use proptest::prelude::{ProptestConfig, any, prop_assert, prop_assert_eq, proptest};

use crate::digest::{Algorithm, DigestPool, DigestStream, PartDigests};

const PATIENCE: Duration = Duration::from_secs(30);

fn pool() -> DigestPool {
    DigestPool::new(NonZeroUsize::new(2).unwrap()).unwrap()
}

fn in_parts_of(length: u64) -> (DigestStream, PartDigests) {
    pool().start_with_parts(&[Algorithm::Sha512], Box::new(move |_| Some(length)))
}

fn hex(bytes: &[u8]) -> String {
    super::super::stream::hex(&md5::Md5::digest(bytes))
}

async fn in_time<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, future).await.expect("hung")
}

fn run<T>(future: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build();
    runtime.unwrap().block_on(in_time(future))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    /// Parts of planned lengths, of which some are ended before their time, whatever chunks the bytes come in.
    #[test]
    fn every_part_and_the_whole_have_the_digests_of_their_bytes(
        chunks in proptest::collection::vec((proptest::collection::vec(any::<u8>(), 0..700), any::<bool>()), 0..24),
        lengths in proptest::collection::vec(1..900_u64, 0..40),
    ) {
        let whole: Vec<u8> = chunks.iter().flat_map(|(bytes, _)| bytes.clone()).collect();
        // Where parts end, by counting bytes.
        let (mut ends, mut start, mut position) = (Vec::new(), 0, 0);
        for (bytes, early) in &chunks {
            for _ in bytes {
                position += 1;
                if lengths.get(ends.len()).is_some_and(|length| start + length == position) {
                    ends.push(position);
                    start = position;
                }
            }
            if *early && start < position {
                ends.push(position);
                start = position;
            }
        }
        if start < position || position == 0 {
            ends.push(position);
        }
        let plan = lengths.clone();
        let plan = move |number: u64| plan.get(usize::try_from(number).unwrap() - 1).copied();
        let (digests, sums) = run(async {
            let (mut stream, parts) = pool().start_with_parts(&[Algorithm::Md5, Algorithm::Sha512], Box::new(plan));
            let mut pushed = 0;
            for (bytes, early) in chunks {
                let before = pushed;
                pushed += bytes.len() as u64;
                stream.push(Bytes::from(bytes)).await.unwrap();
                assert!(pushed == before || !parts.end_part(before), "bytes behind it were pushed");
                if early {
                    parts.end_part(pushed);
                }
            }
            let digests = stream.finish().await.unwrap();
            let mut sums = Vec::new();
            while let Some(sum) = parts.md5(sums.len() as u64 + 1).await {
                sums.push(sum);
            }
            (digests, sums)
        });
        let starts = [0].into_iter().chain(ends.iter().copied());
        let expected: Vec<_> = starts
            .zip(&ends)
            .map(|(start, end)| hex(&whole[usize::try_from(start).unwrap()..usize::try_from(*end).unwrap()]))
            .collect();
        prop_assert_eq!(sums, expected);
        let md5 = hex(&whole);
        prop_assert_eq!(digests.hex(Algorithm::Md5), Some(md5.as_str()));
        prop_assert!(digests.hex(Algorithm::Sha512).is_some());
    }
}

#[tokio::test]
async fn a_part_is_told_while_the_stream_goes_on() {
    let (mut stream, parts) = in_parts_of(1000);
    let second = parts.md5(2);
    let waiting = tokio::spawn(second);
    stream.push(Bytes::from(vec![7; 1500])).await.unwrap();
    assert_eq!(in_time(parts.md5(1)).await, Some(hex(&[7; 1000])));
    assert!(!waiting.is_finished());
    stream.push(Bytes::from(vec![7; 500])).await.unwrap();
    assert_eq!(in_time(waiting).await.unwrap(), Some(hex(&[7; 1000])));
    assert!(!parts.end_part(2000), "the third part is empty");
    stream.push(Bytes::from(vec![8; 10])).await.unwrap();
    assert!(!parts.end_part(2000) && parts.end_part(2010) && !parts.end_part(2010));
    assert_eq!(in_time(parts.md5(3)).await, Some(hex(&[8; 10])));
    in_time(stream.finish()).await.unwrap();
    assert!(!parts.end_part(2010));
    assert_eq!(in_time(parts.md5(4)).await, None);
}

#[tokio::test]
async fn nobody_waits_for_the_part_of_a_stream_that_is_dropped() {
    let (mut stream, parts) = in_parts_of(1000);
    stream.push(Bytes::from(vec![7; 999])).await.unwrap();
    let waiting = tokio::spawn(parts.md5(1));
    tokio::task::yield_now().await;
    drop(stream);
    assert_eq!(in_time(waiting).await.unwrap(), None);
}

#[tokio::test]
async fn many_streams_with_parts_share_the_lanes() {
    let pool = DigestPool::new(NonZeroUsize::MIN).unwrap();
    let streams = (0..40_u8).map(|seed| {
        let (mut stream, parts) =
            pool.start_with_parts(&[Algorithm::Md5], Box::new(|number| Some(900 + number)));
        tokio::spawn(async move {
            let bytes = Bytes::from(vec![seed; 10_000]);
            for at in (0..10_000).step_by(777) {
                let chunk = bytes.slice(at..(at + 777).min(10_000));
                stream.push(chunk).await.unwrap();
            }
            let digests = stream.finish().await.unwrap();
            assert_eq!(digests.hex(Algorithm::Md5), Some(hex(&bytes).as_str()));
            let mut at = 0;
            for number in 1..=11 {
                let end = (at + 900 + number).min(10_000);
                let part = hex(&bytes[at..end]);
                assert_eq!(parts.md5(number as u64).await, Some(part));
                at = end;
            }
        })
    });
    for stream in streams.collect::<Vec<_>>() {
        in_time(stream).await.unwrap();
    }
}
