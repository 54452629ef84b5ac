use std::collections::HashSet;
use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::thread::ThreadId;
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::FutureExt as _;
use proptest::prelude::{Just, ProptestConfig, Strategy, any, prop_assert_eq, proptest};
use saccade_digest_kernels::one_pass;
use sha2::Digest as _;

use super::algorithm::Algorithm;
use super::crowd::Arrangement;
use super::digests::Digests;
use super::kernel::{Hash, Kernel, Turn};
use super::pool::DigestPool;
use super::stream::{DigestStream, MAX_CHUNKS_BEHIND};

const PATIENCE: Duration = Duration::from_secs(30);

/// Name, digest of nothing, digest of "abc": from Python 3.11's hashlib, and for BLAKE3 the published values.
const KNOWN: [(&str, &str, &str); 13] = [
    (
        "md5",
        "d41d8cd98f00b204e9800998ecf8427e",
        "900150983cd24fb0d6963f7d28e17f72",
    ),
    (
        "sha1",
        "da39a3ee5e6b4b0d3255bfef95601890afd80709",
        "a9993e364706816aba3e25717850c26c9cd0d89d",
    ),
    (
        "sha224",
        "d14a028c2a3a2bc9476102bb288234c415a2b01f828ea62ac5b3e42f",
        "23097d223405d8228642a477bda255b32aadbce4bda0b3f7e36c9da7",
    ),
    (
        "sha256",
        "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
        "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
    ),
    (
        "sha384",
        "38b060a751ac96384cd9327eb1b1e36a21fdb71114be07434c0cc7bf63f6e1da274edebfe76f65fbd51ad2f14898b95b",
        "cb00753f45a35e8bb5a03d699ac65007272c32ab0eded1631a8b605a43ff5bed8086072ba1e7cc2358baeca134c825a7",
    ),
    (
        "sha512",
        "cf83e1357eefb8bdf1542850d66d8007d620e4050b5715dc83f4a921d36ce9ce47d0d13c5d85f2b0ff8318d2877eec2f63b931bd47417a81a538327af927da3e",
        "ddaf35a193617abacc417349ae20413112e6fa4e89a97ea20a9eeee64b55d39a2192992a274fc1a836ba3c23a3feebbd454d4423643ce80e2a9ac94fa54ca49f",
    ),
    (
        "sha3_224",
        "6b4e03423667dbb73b6e15454f0eb1abd4597f9a1b078e3f5b5a6bc7",
        "e642824c3f8cf24ad09234ee7d3c766fc9a3a5168d0c94ad73b46fdf",
    ),
    (
        "sha3_256",
        "a7ffc6f8bf1ed76651c14756a061d662f580ff4de43b49fa82d80a4b80f8434a",
        "3a985da74fe225b2045c172d6bd390bd855f086e3e9d525b46bfe24511431532",
    ),
    (
        "sha3_384",
        "0c63a75b845e4f7d01107d852e4c2485c51a50aaaa94fc61995e71bbee983a2ac3713831264adb47fb6bd1e058d5f004",
        "ec01498288516fc926459f58e2c6ad8df9b473cb0fc08c2596da7cf0e49be4b298d88cea927ac7f539f1edf228376d25",
    ),
    (
        "sha3_512",
        "a69f73cca23a9ac5c8b567dc185a756e97c982164fe25859e0d1dcc1475c80a615b2123af1f5f94c11e3e9402c3ac558f500199d95b6d3e301758586281dcd26",
        "b751850b1a57168a5693cd924b6b096e08f621827444f70d884f5d0240d2712e10e116e9192af3c91a7ec57647e3934057340b4cf408d5a56592f8274eec53f0",
    ),
    (
        "blake2b",
        "786a02f742015903c6c6fd852552d272912f4740e15847618a86e217f71f5419d25e1031afee585313896444934eb04b903a685b1448b755d56f701afe9be2ce",
        "ba80a53f981c4d0d6a2797b69f12f6e94c212f14685ac4b74b12bb6fdbffa2d17d87c5392aab792dc252d5de4533cc9518d38aa8dbf1925ab92386edd4009923",
    ),
    (
        "blake2s",
        "69217a3079908094e11121d042354a7c1f55b6482ca1a51e1b250dfd1ed0eef9",
        "508c5e8c327c14e2e1a72ba34eeb452f37458b209ed63a294d999b4c86675982",
    ),
    (
        "blake3",
        "af1349b9f5f9a1a6a0404dea36dcc9499bcb25c9adc112b7cc9a93cae41f3262",
        "6437b3ac38465133ffb63b75273a8db548c558465d79db03fd359c6cd5bd9d85",
    ),
];

fn pool(threads: usize) -> DigestPool {
    DigestPool::new(NonZeroUsize::new(threads).unwrap()).unwrap()
}

async fn in_time<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, future).await.expect("hung")
}

async fn digests(mut stream: DigestStream, chunks: impl IntoIterator<Item = Bytes>) -> Digests {
    in_time(async {
        for chunk in chunks {
            stream.push(chunk).await.unwrap();
        }
        stream.finish().await.unwrap()
    })
    .await
}

fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let start = Instant::now();
    while !holds() {
        assert!(start.elapsed() < PATIENCE, "not in time: {what}");
        std::thread::sleep(Duration::from_millis(1));
    }
}

fn hex(digest: &[u8]) -> String {
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A door that kernels of a test wait at.
#[derive(Default)]
struct Gate {
    state: Mutex<GateState>,
    changed: Condvar,
}

#[derive(Default)]
struct GateState {
    open: bool,
    /// In the order of arrival: which kernel, on which thread.
    log: Vec<(&'static str, ThreadId)>,
}

impl Gate {
    fn pass(&self, who: &'static str) {
        let mut state = self.state.lock().unwrap();
        state.log.push((who, std::thread::current().id()));
        self.changed.notify_all();
        drop(self.changed.wait_while(state, |state| !state.open).unwrap());
    }

    fn open(&self) {
        self.state.lock().unwrap().open = true;
        self.changed.notify_all();
    }

    fn wait_for_arrivals(&self, count: usize) {
        let state = self.state.lock().unwrap();
        let (_state, late) = self
            .changed
            .wait_timeout_while(state, PATIENCE, |state| state.log.len() < count)
            .unwrap();
        assert!(!late.timed_out(), "too few arrivals");
    }

    fn arrivals(&self) -> Vec<&'static str> {
        self.state
            .lock()
            .unwrap()
            .log
            .iter()
            .map(|(who, _)| *who)
            .collect()
    }

    fn threads(&self) -> HashSet<ThreadId> {
        self.state
            .lock()
            .unwrap()
            .log
            .iter()
            .map(|(_, thread)| *thread)
            .collect()
    }
}

/// Waits at the gate with each chunk. Its digest is the bytes themselves.
struct Gated {
    who: &'static str,
    gate: Arc<Gate>,
    bytes: Vec<u8>,
}

impl Gated {
    fn kernel(who: &'static str, gate: &Arc<Gate>) -> Kernel {
        Kernel::Alone(Box::new(Self {
            who,
            gate: Arc::clone(gate),
            bytes: Vec::new(),
        }))
    }
}

impl Hash for Gated {
    fn update(&mut self, bytes: &[u8]) {
        self.gate.pass(self.who);
        self.bytes.extend_from_slice(bytes);
    }

    fn finish(self: Box<Self>) -> Vec<u8> {
        self.bytes
    }
}

/// Panics where it is told to.
enum Faulty {
    AtChunk(Arc<Gate>),
    AtEnd,
}

impl Hash for Faulty {
    fn update(&mut self, _: &[u8]) {
        if let Self::AtChunk(gate) = self {
            gate.pass("faulty");
            panic!("on purpose");
        }
    }

    fn finish(self: Box<Self>) -> Vec<u8> {
        panic!("on purpose");
    }
}

/// Hashes with one kernel alone.
fn update(kernel: &mut Kernel, bytes: &'static [u8]) {
    let bytes = Bytes::from_static(bytes);
    Kernel::update_many(Turn::from_iter([(kernel, &bytes)]));
}

/// A chunk that counts itself in `alive` for as long as anyone holds it.
fn counted(alive: &Arc<AtomicUsize>) -> Bytes {
    struct Counted(Arc<AtomicUsize>);
    impl AsRef<[u8]> for Counted {
        fn as_ref(&self) -> &[u8] {
            b"chunk"
        }
    }
    impl Drop for Counted {
        fn drop(&mut self) {
            self.0.fetch_sub(1, Ordering::SeqCst);
        }
    }
    alive.fetch_add(1, Ordering::SeqCst);
    Bytes::from_owner(Counted(Arc::clone(alive)))
}

#[test]
fn every_kernel_gives_the_known_digests() {
    for (name, of_nothing, of_abc) in KNOWN {
        let algorithm: Algorithm = name.parse().unwrap();
        for start in [Algorithm::kernel, Algorithm::portable_kernel] {
            assert_eq!(hex(&start(algorithm).finish()), of_nothing, "{name}");
            let mut kernel = start(algorithm);
            update(&mut kernel, b"ab");
            update(&mut kernel, b"c");
            assert_eq!(hex(&kernel.finish()), of_abc, "{name}");
        }
    }
}

#[tokio::test]
async fn a_stream_yields_each_algorithms_digest_in_order() {
    let pool = pool(2);
    let empty = digests(pool.start(&Algorithm::ALL), []).await;
    assert!(
        empty
            .iter()
            .eq(KNOWN.map(|(name, hex, _)| (name.parse().unwrap(), hex)))
    );
    let chunks = ["a", "", "bc"].map(|chunk| Bytes::from_static(chunk.as_bytes()));
    let abc = digests(pool.start(&Algorithm::ALL), chunks).await;
    assert!(
        abc.iter()
            .eq(KNOWN.map(|(name, _, hex)| (name.parse().unwrap(), hex)))
    );
}

#[tokio::test]
async fn an_algorithm_named_twice_counts_once_and_none_is_no_error() {
    let pool = pool(1);
    let once = digests(pool.start(&[Algorithm::Md5, Algorithm::Md5]), []).await;
    assert_eq!(once.iter().count(), 1);
    assert_eq!(once.hex(Algorithm::Sha512), None);
    let none = digests(
        pool.start(&[]),
        vec![Bytes::from_static(b"x"); 3 * MAX_CHUNKS_BEHIND],
    )
    .await;
    assert_eq!(none, Digests::default());
}

fn divided_bytes() -> impl Strategy<Value = (Vec<u8>, Vec<usize>)> {
    proptest::collection::vec(any::<u8>(), 0..5000)
        .prop_flat_map(|bytes| (proptest::collection::vec(0..=bytes.len(), 0..20), Just(bytes)))
        .prop_map(|(mut cuts, bytes)| {
            cuts.sort_unstable();
            (bytes, cuts)
        })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn the_digests_do_not_depend_on_the_division_into_chunks((bytes, cuts) in divided_bytes()) {
        let whole = Bytes::from(bytes);
        let ends = cuts.iter().copied().chain([whole.len()]);
        let chunks: Vec<_> = cuts.iter().copied().zip(ends.skip(1)).map(|(from, to)| whole.slice(from..to)).collect();
        let first = whole.slice(..cuts.first().copied().unwrap_or(whole.len()));
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        let stream = pool(2).start(&Algorithm::ALL);
        let digests = runtime.block_on(digests(stream, [first].into_iter().chain(chunks)));
        for algorithm in Algorithm::ALL {
            let Kernel::Alone(mut oracle) = algorithm.portable_kernel() else { unreachable!() };
            oracle.update(&whole);
            let expected = hex(&oracle.finish());
            prop_assert_eq!(digests.hex(algorithm), Some(expected.as_str()));
        }
        let md5 = hex(&md5::Md5::digest(&whole));
        prop_assert_eq!(digests.hex(Algorithm::Md5), Some(md5.as_str()));
        let sha512 = hex(&sha2::Sha512::digest(&whole));
        prop_assert_eq!(digests.hex(Algorithm::Sha512), Some(sha512.as_str()));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn many_streams_at_once_keep_their_digests_apart() {
    let pool = pool(3);
    let streams = (0..64u8).map(|seed| {
        let pool = pool.clone();
        tokio::spawn(async move {
            let chunks: Vec<_> = (0..100u8)
                .map(|index| Bytes::from(vec![seed ^ index; 1 + usize::from(seed) * usize::from(index)]))
                .collect();
            let whole = chunks.concat();
            let digests = digests(pool.start(&[Algorithm::Md5, Algorithm::Sha512]), chunks).await;
            assert_eq!(
                digests.hex(Algorithm::Md5),
                Some(hex(&md5::Md5::digest(&whole)).as_str())
            );
            assert_eq!(
                digests.hex(Algorithm::Sha512),
                Some(hex(&sha2::Sha512::digest(&whole)).as_str())
            );
        })
    });
    for stream in streams.collect::<Vec<_>>() {
        stream.await.unwrap();
    }
}

#[tokio::test]
async fn streams_share_the_pools_threads() {
    let gate = Arc::new(Gate::default());
    gate.open();
    let pool = pool(2);
    for _ in 0..16 {
        let kernels = vec![
            (Algorithm::Md5, Gated::kernel("a", &gate)),
            (Algorithm::Sha512, Gated::kernel("b", &gate)),
        ];
        digests(pool.start_with(kernels), vec![Bytes::from_static(b"x"); 8]).await;
    }
    assert_eq!(gate.arrivals().len(), 16 * 2 * 8);
    assert!(gate.threads().len() <= 2, "{:?}", gate.threads());
    assert!(!gate.threads().contains(&std::thread::current().id()));
}

#[tokio::test]
async fn the_algorithms_of_a_stream_run_side_by_side() {
    let gate = Arc::new(Gate::default());
    let pool = pool(2);
    let mut stream = pool.start_with(vec![
        (Algorithm::Md5, Gated::kernel("a", &gate)),
        (Algorithm::Sha512, Gated::kernel("b", &gate)),
    ]);
    stream.push(Bytes::from_static(b"x")).await.unwrap();
    gate.wait_for_arrivals(2);
    gate.open();
    assert_eq!(in_time(stream.finish()).await.unwrap().iter().count(), 2);
}

#[tokio::test]
async fn push_waits_for_the_slowest_algorithm_and_a_dropped_push_leaves_no_trace() {
    let gate = Arc::new(Gate::default());
    let pool = pool(2);
    let mut stream = pool.start_with(vec![
        (Algorithm::Md5, Algorithm::Md5.kernel()),
        (Algorithm::Sha512, Gated::kernel("slow", &gate)),
    ]);
    for _ in 0..MAX_CHUNKS_BEHIND {
        assert!(stream.push(Bytes::from_static(b"x")).now_or_never().is_some());
    }
    gate.wait_for_arrivals(1);
    for _ in 0..3 {
        assert!(
            stream
                .push(Bytes::from_static(b"dropped"))
                .now_or_never()
                .is_none()
        );
    }
    let opener = std::thread::spawn({
        let gate = Arc::clone(&gate);
        move || {
            std::thread::sleep(Duration::from_millis(20));
            gate.open();
        }
    });
    in_time(stream.push(Bytes::from_static(b"y"))).await.unwrap();
    let digests = in_time(stream.finish()).await.unwrap();
    opener.join().unwrap();
    let mut pushed = vec![b'x'; MAX_CHUNKS_BEHIND];
    pushed.push(b'y');
    assert_eq!(digests.hex(Algorithm::Sha512), Some(hex(&pushed).as_str()));
    assert_eq!(
        digests.hex(Algorithm::Md5),
        Some(hex(&md5::Md5::digest(&pushed)).as_str())
    );
}

#[tokio::test]
async fn no_more_than_the_stated_chunks_are_held_and_none_after_they_are_hashed() {
    let gate = Arc::new(Gate::default());
    let alive = Arc::new(AtomicUsize::new(0));
    let pool = pool(2);
    let mut stream = pool.start_with(vec![
        (Algorithm::Md5, Gated::kernel("a", &gate)),
        (Algorithm::Sha512, Gated::kernel("b", &gate)),
    ]);
    while stream.push(counted(&alive)).now_or_never().is_some() {}
    assert_eq!(alive.load(Ordering::SeqCst), MAX_CHUNKS_BEHIND);
    gate.open();
    eventually("hashed chunks are released", || alive.load(Ordering::SeqCst) == 0);
    in_time(stream.finish()).await.unwrap();
}

#[tokio::test]
async fn dropping_a_stream_releases_its_queued_chunks_at_once() {
    let gate = Arc::new(Gate::default());
    let alive = Arc::new(AtomicUsize::new(0));
    let pool = pool(1);
    let mut stream = pool.start_with(vec![
        (Algorithm::Md5, Gated::kernel("a", &gate)),
        (Algorithm::Sha512, Gated::kernel("b", &gate)),
    ]);
    for _ in 0..MAX_CHUNKS_BEHIND {
        stream.push(counted(&alive)).await.unwrap();
    }
    gate.wait_for_arrivals(1);
    drop(stream);
    assert_eq!(alive.load(Ordering::SeqCst), 1, "only the chunk being hashed");
    gate.open();
    eventually("the last chunk is released", || alive.load(Ordering::SeqCst) == 0);
    let after = digests(pool.start(&[Algorithm::Md5]), [Bytes::from_static(b"abc")]).await;
    assert_eq!(
        after.hex(Algorithm::Md5),
        Some("900150983cd24fb0d6963f7d28e17f72")
    );
    assert_eq!(
        gate.arrivals(),
        ["a"],
        "the cancelled stream's other chunks were not hashed"
    );
}

#[tokio::test]
async fn a_dropped_finish_cancels_the_stream() {
    let gate = Arc::new(Gate::default());
    let alive = Arc::new(AtomicUsize::new(0));
    let pool = pool(1);
    let mut stream = pool.start_with(vec![(Algorithm::Md5, Gated::kernel("a", &gate))]);
    stream.push(counted(&alive)).await.unwrap();
    stream.push(counted(&alive)).await.unwrap();
    gate.wait_for_arrivals(1);
    assert!(stream.finish().now_or_never().is_none());
    assert_eq!(alive.load(Ordering::SeqCst), 1);
    gate.open();
    eventually("the last chunk is released", || alive.load(Ordering::SeqCst) == 0);
}

#[tokio::test]
async fn streams_take_turns_of_one_chunk() {
    let gate = Arc::new(Gate::default());
    let pool = pool(1);
    let mut streams = Vec::new();
    for who in ["a", "b", "c"] {
        let mut stream = pool.start_with(vec![(Algorithm::Md5, Gated::kernel(who, &gate))]);
        for _ in 0..3 {
            stream.push(Bytes::from_static(b"x")).await.unwrap();
        }
        streams.push(stream);
    }
    gate.open();
    for stream in streams {
        in_time(stream.finish()).await.unwrap();
    }
    assert_eq!(gate.arrivals(), ["a", "b", "c", "a", "b", "c", "a", "b", "c"]);
}

#[tokio::test]
async fn a_stalled_owner_does_not_stall_other_streams() {
    let pool = pool(1);
    let mut stalled = pool.start(&[Algorithm::Md5]);
    stalled.push(Bytes::from_static(b"a")).await.unwrap();
    let other = digests(pool.start(&[Algorithm::Md5]), vec![Bytes::from_static(b"x"); 100]).await;
    assert_eq!(
        other.hex(Algorithm::Md5),
        Some(hex(&md5::Md5::digest([b'x'; 100])).as_str())
    );
    stalled.push(Bytes::from_static(b"bc")).await.unwrap();
    let digests = in_time(stalled.finish()).await.unwrap();
    assert_eq!(
        digests.hex(Algorithm::Md5),
        Some("900150983cd24fb0d6963f7d28e17f72")
    );
}

#[tokio::test]
async fn a_failing_kernel_wakes_a_waiting_push_and_fails_every_later_call() {
    let gate = Arc::new(Gate::default());
    let alive = Arc::new(AtomicUsize::new(0));
    let pool = pool(1);
    let mut stream = pool.start_with(vec![
        (
            Algorithm::Md5,
            Kernel::Alone(Box::new(Faulty::AtChunk(Arc::clone(&gate)))),
        ),
        (Algorithm::Sha512, Algorithm::Sha512.kernel()),
    ]);
    for _ in 0..MAX_CHUNKS_BEHIND {
        stream.push(counted(&alive)).await.unwrap();
    }
    gate.wait_for_arrivals(1);
    let opener = std::thread::spawn({
        let gate = Arc::clone(&gate);
        move || {
            std::thread::sleep(Duration::from_millis(20));
            gate.open();
        }
    });
    let error = in_time(stream.push(Bytes::from_static(b"x"))).await.unwrap_err();
    opener.join().unwrap();
    assert_eq!(error.to_string(), "computing md5 panicked");
    eventually("chunks of a failed stream are released", || {
        alive.load(Ordering::SeqCst) == 0
    });
    let later = in_time(stream.push(Bytes::from_static(b"x"))).await.unwrap_err();
    assert_eq!(later.algorithm(), Algorithm::Md5);
    assert_eq!(
        in_time(stream.finish()).await.unwrap_err().algorithm(),
        Algorithm::Md5
    );
    let after = digests(pool.start(&[Algorithm::Md5]), [Bytes::from_static(b"abc")]).await;
    assert_eq!(
        after.hex(Algorithm::Md5),
        Some("900150983cd24fb0d6963f7d28e17f72"),
        "the pool lives on"
    );
}

#[tokio::test]
async fn a_kernel_failing_at_the_end_fails_finish() {
    let pool = pool(1);
    let stream = pool.start_with(vec![
        (Algorithm::Sha512, Algorithm::Sha512.kernel()),
        (Algorithm::Md5, Kernel::Alone(Box::new(Faulty::AtEnd))),
    ]);
    let error = in_time(stream.finish()).await.unwrap_err();
    assert_eq!(error.algorithm(), Algorithm::Md5);
}

#[tokio::test]
async fn streams_that_wait_for_a_thread_are_hashed_side_by_side() {
    let gate = Arc::new(Gate::default());
    let pool = pool(1);
    // The only thread is held, so that all others are ready when it is free.
    let mut held = pool.start_with(vec![(Algorithm::Sha1, Gated::kernel("held", &gate))]);
    held.push(Bytes::from_static(b"x")).await.unwrap();
    gate.wait_for_arrivals(1);
    let algorithms = [
        Algorithm::Md5,
        Algorithm::Sha384,
        Algorithm::Sha512,
        Algorithm::Sha256,
    ];
    let lengths = (0..40_usize).map(|n| n * 1000 + n);
    let mut streams = Vec::new();
    for (seed, length) in lengths.enumerate() {
        let chunk = Bytes::from(vec![seed as u8; length]);
        let mut stream = pool.start(&algorithms);
        for _ in 0..MAX_CHUNKS_BEHIND {
            stream.push(chunk.clone()).await.unwrap();
        }
        streams.push((stream, chunk.repeat(MAX_CHUNKS_BEHIND)));
    }
    gate.open();
    for (stream, whole) in streams {
        let digests = in_time(stream.finish()).await.unwrap();
        for algorithm in algorithms {
            let Kernel::Alone(mut oracle) = algorithm.portable_kernel() else {
                unreachable!()
            };
            oracle.update(&whole);
            assert_eq!(digests.hex(algorithm), Some(hex(&oracle.finish()).as_str()));
        }
    }
}

/// What a stream on a pool of two threads does beside so many others.
fn arrangement_beside(others: usize) -> Option<Arrangement> {
    let together = others == 0 && one_pass().pays();
    Some(if together {
        Arrangement::Together
    } else {
        Arrangement::Apart
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Beside a number of other streams that changes with every few chunks.
    #[test]
    fn the_digests_do_not_depend_on_how_often_a_stream_is_arranged_anew(
        turns in proptest::collection::vec((0..4_usize, 1..40_usize, 0..3000_usize), 1..8),
        has_parts in any::<bool>(),
        rests in any::<bool>(),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        let (digests, sums, whole) = runtime.block_on(in_time(async {
            let pool = pool(2);
            let algorithms = [Algorithm::Sha256, Algorithm::Sha512, Algorithm::Md5];
            let (mut stream, parts) = if has_parts {
                let (stream, parts) = pool.start_with_parts(&algorithms, Box::new(|_| Some(10_000)));
                (stream, Some(parts))
            } else {
                (pool.start(&algorithms), None)
            };
            let mut whole = Vec::new();
            for (number, (others, chunks, length)) in turns.into_iter().enumerate() {
                let others: Vec<_> = (0..others).map(|_| pool.crowd().busy()).collect();
                for chunk in 0..chunks {
                    let chunk = vec![(number * 40 + chunk) as u8; length];
                    whole.extend_from_slice(&chunk);
                    stream.push(Bytes::from(chunk)).await.unwrap();
                    if rests {
                        eventually("it is hashed", || pool.crowd().count() == others.len());
                    }
                }
                // One that always has something to do is allowed its time.
                if length > 0 && chunks > 10 {
                    assert_eq!(stream.arrangement(), arrangement_beside(others.len()));
                }
            }
            let digests = stream.finish().await.unwrap();
            let mut sums = Vec::new();
            if let Some(parts) = parts {
                while let Some(sum) = parts.md5(sums.len() as u64 + 1).await {
                    sums.push(sum);
                }
            }
            eventually("it is not busy any more", || pool.crowd().count() == 0);
            (digests, sums, whole)
        }));
        let md5_of = |bytes: &[u8]| hex(&md5::Md5::digest(bytes));
        let md5 = md5_of(&whole);
        prop_assert_eq!(digests.hex(Algorithm::Md5), Some(md5.as_str()));
        let sha512 = hex(&sha2::Sha512::digest(&whole));
        prop_assert_eq!(digests.hex(Algorithm::Sha512), Some(sha512.as_str()));
        let sha256 = hex(&sha2::Sha256::digest(&whole));
        prop_assert_eq!(digests.hex(Algorithm::Sha256), Some(sha256.as_str()));
        if has_parts {
            let expected: Vec<_> = if whole.is_empty() {
                vec![md5_of(&whole)]
            } else {
                whole.chunks(10_000).map(md5_of).collect()
            };
            prop_assert_eq!(sums, expected);
        }
    }
}

#[tokio::test]
async fn a_push_that_is_dropped_while_the_arrangement_changes_leaves_no_trace() {
    let pool = pool(2);
    let mut stream = pool.start(&[Algorithm::Md5, Algorithm::Sha512]);
    let mut whole = Vec::new();
    let mut others = Vec::new();
    for turn in 0..4000_usize {
        match turn % 200 {
            0 => others.extend([pool.crowd().busy(), pool.crowd().busy()]),
            100 => others.clear(),
            _ => {}
        }
        let chunk = Bytes::from(vec![turn as u8; 5000]);
        match stream.push(chunk.clone()).now_or_never() {
            Some(pushed) => {
                pushed.unwrap();
                whole.extend_from_slice(&chunk);
            }
            None => std::thread::yield_now(),
        }
    }
    let digests = in_time(stream.finish()).await.unwrap();
    let expected = hex(&md5::Md5::digest(&whole));
    assert_eq!(digests.hex(Algorithm::Md5), Some(expected.as_str()));
    let expected = hex(&sha2::Sha512::digest(&whole));
    assert_eq!(digests.hex(Algorithm::Sha512), Some(expected.as_str()));
}

#[tokio::test]
async fn a_stream_that_ends_before_its_time_is_not_busy_any_more() {
    let gate = Arc::new(Gate::default());
    let pool = pool(1);
    let mut held = pool.start_with(vec![(Algorithm::Sha1, Gated::kernel("held", &gate))]);
    held.push(Bytes::from_static(b"x")).await.unwrap();
    gate.wait_for_arrivals(1);
    let mut dropped = pool.start(&[Algorithm::Md5, Algorithm::Sha512]);
    dropped.push(Bytes::from_static(b"x")).await.unwrap();
    assert_eq!(pool.crowd().count(), 2);
    drop(dropped);
    assert_eq!(pool.crowd().count(), 1);
    gate.open();
    in_time(held.finish()).await.unwrap();
    assert_eq!(pool.crowd().count(), 0);
    let faulty = vec![(Algorithm::Md5, Kernel::Alone(Box::new(Faulty::AtEnd)))];
    in_time(pool.start_with(faulty).finish()).await.unwrap_err();
    assert_eq!(pool.crowd().count(), 0);
}

#[tokio::test]
async fn the_threads_serve_a_stream_whose_pool_is_dropped_and_then_end() {
    let pool = pool(2);
    let alive = pool.liveness();
    let clone = pool.clone();
    let mut stream = clone.start(&[Algorithm::Md5]);
    drop((pool, clone));
    for part in [&b"a"[..], b"b", b"c"] {
        stream.push(Bytes::from_static(part)).await.unwrap();
    }
    let digests = in_time(stream.finish()).await.unwrap();
    assert_eq!(
        digests.hex(Algorithm::Md5),
        Some("900150983cd24fb0d6963f7d28e17f72")
    );
    eventually("the threads end", || alive.strong_count() == 0);
}

#[test]
fn the_default_is_two_threads_or_more() {
    assert!(DigestPool::default_threads().get() >= 2);
}
