use std::{convert::Infallible, pin::pin, time::Duration};

use futures_util::{FutureExt, StreamExt as _, stream};
use http_body::Frame;
use http_body_util::{Full, StreamBody};
use proptest::prelude::*;

use super::*;
use crate::transfer::tests::{noise, slow_body};

fn full(bytes: Vec<u8>, pool: &ChunkPool, tenant: &str) -> Chunks<Full<Bytes>> {
    Chunks::new(Full::new(bytes.into()), pool, &Tenant::new(tenant))
}

#[tokio::test]
async fn frames_of_any_size_become_chunks_of_one() {
    let (pool, bytes) = (ChunkPool::new(0), noise(3 * CHUNK + 17));
    let mut chunks = full(bytes.clone(), &pool, "a");
    let mut together = Vec::new();
    while let Some(chunk) = chunks.next().await.unwrap() {
        assert!(chunk.len() == CHUNK || together.len() + chunk.len() == bytes.len());
        together.extend_from_slice(&chunk);
    }
    assert_eq!(together, bytes);
    assert_eq!(pool.places.census(), (0, 0, 0));
}

#[tokio::test(start_paused = true)]
async fn a_sender_that_stands_still_holds_no_buffer() {
    let pool = ChunkPool::new(0);
    let mut stalled = Vec::new();
    for number in 0..500 {
        let (sender, body) = slow_body();
        let mut chunks = Chunks::new(body, &pool, &Tenant::new("a"));
        if number % 2 == 0 {
            // Stops within its data, not before.
            sender
                .send(Ok(Bytes::from_static(&[7; BLOCK + 1])))
                .await
                .unwrap();
            assert_eq!(chunks.next().await.unwrap().unwrap(), [7; BLOCK][..]);
        }
        stalled.push((sender, tokio::spawn(async move { chunks.next().await })));
    }
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert!(stalled.iter().all(|(_, waiting)| !waiting.is_finished()));
    assert_eq!(pool.places.census(), (0, 0, 0));
    assert!(pool.buffers_made() <= FEWEST);
}

#[tokio::test]
async fn buffers_of_one_tenants_many_uploads_leave_room_for_anothers_one() {
    let pool = ChunkPool::new(0);
    // Nobody gives a buffer back: their store stands still.
    let mut held = Vec::new();
    let mut waiting = Vec::new();
    for _ in 0..100 {
        let mut chunks = full(noise(CHUNK), &pool, "a");
        let mut next = Box::pin(async move { chunks.next().await });
        match next.as_mut().now_or_never() {
            Some(chunk) => held.push(chunk.unwrap().unwrap()),
            None => waiting.push(next),
        }
    }
    assert!(
        held.len() < FEWEST && !waiting.is_empty(),
        "{} of {FEWEST}",
        held.len()
    );
    let mut other = full(noise(10 * CHUNK), &pool, "b");
    for _ in 0..10 {
        let chunk = other.next().now_or_never().expect("b waits for a");
        assert_eq!(chunk.unwrap().unwrap().len(), CHUNK);
    }
    // What a gives back goes to its own others.
    held.pop();
    let served: Vec<_> = waiting
        .iter_mut()
        .filter_map(|next| next.now_or_never())
        .collect();
    assert_eq!(served.len(), 1);
}

#[tokio::test]
async fn the_next_buffer_goes_to_the_tenant_that_holds_the_fewest() {
    let pool = ChunkPool::new(0);
    let mut held = Vec::new();
    for tenant in ["a", "a", "a", "a", "a", "a", "b", "c"] {
        held.push(full(noise(CHUNK), &pool, tenant).next().await.unwrap().unwrap());
    }
    let mut of_a = full(noise(CHUNK), &pool, "a");
    let mut first = pin!(of_a.next());
    assert!(first.as_mut().now_or_never().is_none());
    let mut of_b = full(noise(CHUNK), &pool, "b");
    let mut second = pin!(of_b.next());
    assert!(second.as_mut().now_or_never().is_none());
    drop(held.remove(0));
    assert!(first.as_mut().now_or_never().is_none());
    // b holds one already, and another one would leave nothing for who comes next: it waits for one that is spare.
    assert!(second.as_mut().now_or_never().is_none());
    drop(held.remove(0));
    assert!(second.as_mut().now_or_never().is_some());
    assert!(first.as_mut().now_or_never().is_none());
}

/// A body that pauses where a length is 0.
fn body(frames: Vec<Vec<u8>>) -> impl Body<Data = Bytes, Error = Infallible> {
    let frames = stream::iter(frames).then(|frame| async move {
        if frame.is_empty() {
            tokio::task::yield_now().await;
        }
        Ok(Frame::data(Bytes::from(frame)))
    });
    StreamBody::new(frames)
}

fn chunks_of(frames: Vec<Vec<u8>>) -> Vec<Bytes> {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(async {
        let pool = ChunkPool::new(64 << 20);
        let mut chunks = Chunks::new(body(frames), &pool, &Tenant::new("a"));
        let mut all = Vec::new();
        while let Some(chunk) = chunks.next().await.unwrap() {
            all.push(chunk);
        }
        all
    })
}

#[test]
fn the_bound_counts_what_is_allocated() {
    let pool = ChunkPool::new(8 << 20);
    let idle = pool.idle();
    let taken: Vec<Chunk> = (0..100)
        .map_while(|tenant| pool.take(&idle, &Tenant::new(&tenant.to_string())).now_or_never())
        .collect();
    assert_eq!(taken.len(), 31);
    let buffer = Buffer::allocate();
    assert_eq!(buffer.memory.capacity(), ALLOCATED);
    assert!(31 * buffer.memory.capacity() <= 8 << 20);
}

#[tokio::test]
async fn buffers_are_used_again_and_go_with_the_last_stream() {
    let pool = ChunkPool::new(8 << 20);
    let mut one = full(noise(4 * CHUNK), &pool, "a");
    let mut other = full(noise(CHUNK), &pool, "b");
    for _ in 0..4 {
        one.next().await.unwrap().unwrap();
        assert_eq!(pool.buffers_made(), 1);
    }
    let last = other.next().await.unwrap().unwrap();
    drop((one, other));
    // Bytes that a store or the digests still hold are the last stream's.
    assert_eq!(pool.buffers_made(), 0, "the one that there is is in use");
    drop(last);
    let idle = pool.idle.lock().unwrap().upgrade();
    assert!(idle.is_none(), "{idle:?} is left of streams that have ended");
}

#[test]
fn a_buffer_that_is_used_again_has_nothing_of_before_and_has_not_moved() {
    let mut buffer = Buffer::allocate();
    let at = buffer.bytes().as_ptr();
    assert_eq!(buffer.append(&vec![7; CHUNK + 1]), CHUNK);
    buffer.truncate(0);
    assert_eq!(buffer.bytes(), b"");
    buffer.append(b"new");
    assert_eq!((buffer.bytes(), buffer.bytes().as_ptr()), (&b"new"[..], at));
    assert_eq!(buffer.memory.capacity(), ALLOCATED);
}

#[test]
fn less_than_a_block_waits_for_more_or_the_end() {
    let chunks = chunks_of(vec![vec![1; 100], vec![], vec![2; 5000], vec![], vec![3; 10]]);
    let lengths: Vec<usize> = chunks.iter().map(Bytes::len).collect();
    assert_eq!(lengths, [4096, 100 + 5000 + 10 - 4096]);
}

proptest! {
    #[test]
    fn all_chunks_but_the_last_are_whole_blocks_and_nothing_is_lost(
        lengths in proptest::collection::vec(prop_oneof![Just(0), 1..100_usize, 4000..5000_usize, 1..600_000_usize], 0..12)
    ) {
        let mut seed = 0_u32;
        let frames: Vec<Vec<u8>> = lengths.iter().map(|len| {
            (0..*len).map(|_| { seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223); (seed >> 24) as u8 }).collect()
        }).collect();
        let whole = frames.concat();
        let chunks = chunks_of(frames);
        prop_assert_eq!(chunks.concat(), whole);
        for chunk in &chunks {
            prop_assert_eq!(chunk.as_ptr().addr() % BLOCK, 0);
            prop_assert!((1..=CHUNK).contains(&chunk.len()));
        }
        for chunk in chunks.iter().rev().skip(1) {
            prop_assert_eq!(chunk.len() % BLOCK, 0);
        }
    }
}
