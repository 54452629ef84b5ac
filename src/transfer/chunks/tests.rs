use std::{pin::pin, time::Duration};

use futures_util::FutureExt;
use http_body_util::Full;

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
            sender.send(Ok(Bytes::from_static(b"some"))).await.unwrap();
            assert_eq!(chunks.next().await.unwrap().unwrap(), "some");
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
