//! What is left when the server, or the way to it, fails: nothing of the attempt's, and everything of others.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

mod server;
mod sums;

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use futures_util::StreamExt;
use reqwest::Method;
use saccade_store_conformance::{
    bytes_of,
    proxy::{Fault, Proxy, When},
};
use saccade_store_contract::{Attempt, BlobName, BlobWriter, Error, ErrorKind, Handle, Location, Store};
use saccade_store_swift::{Secret, SwiftStore, SwiftStoreConfig};
use server::{Container, Kind};
use sums::Sums;
use uuid::Uuid;

/// glance_store's MB.
const MB: usize = 1_024_000;

/// A store that reaches the server through a proxy, and others' objects beside its own: one whole, and one in segments.
struct Rig {
    container: Container,
    proxy: Proxy,
    store: Arc<SwiftStore>,
    foreign: Vec<String>,
}

impl Rig {
    async fn new(kind: Kind) -> Self {
        Self::with(kind, |_| {}).await
    }

    async fn with(kind: Kind, change: impl FnOnce(&mut SwiftStoreConfig)) -> Self {
        let container = Container::new(kind).await;
        let proxy = Proxy::before(&container.server.parts().0).await;
        let mut config = container.config(Some(&proxy.url()));
        change(&mut config);
        let store = Arc::new(SwiftStore::open(config).unwrap());
        container.put(&Uuid::new_v4().to_string(), b"another's").await;
        let segmented = Uuid::new_v4();
        for number in 1..3 {
            container
                .put(&format!("{segmented}-{number:05}"), b"another's segment")
                .await;
        }
        let manifest = format!("{}/{segmented}-", container.name);
        let headers = [("x-object-manifest", manifest.as_str())];
        container
            .send(Method::PUT, &segmented.to_string(), &headers, b"")
            .await;
        let foreign = container.inventory().await;
        assert_eq!(foreign.len(), 4);
        Self {
            container,
            proxy,
            store,
            foreign,
        }
    }

    fn location(&self, name: BlobName) -> Location {
        self.container.location(name)
    }

    async fn begin(&self, name: BlobName) -> (Handle, Box<dyn BlobWriter>) {
        let attempt = Attempt(Uuid::new_v4());
        self.store.create(name, attempt, None).await.unwrap()
    }

    /// One upload in chunks, as the transfer makes it: it hashes them as well, and is ahead of the writer.
    async fn upload(&self, name: BlobName, bytes: &Bytes) -> (Handle, Result<Location, Error>) {
        let (handle, mut writer) = self.begin(name).await;
        let sums = Sums::of(&mut *writer);
        let written = async {
            for at in (0..bytes.len()).step_by(1 << 20) {
                let end = (at + (1 << 20)).min(bytes.len());
                sums.push(&bytes[at..end]);
                writer.write(bytes.slice(at..end)).await?;
            }
            sums.finish();
            writer.commit().await
        };
        (handle, written.await)
    }

    /// The same by somebody who hashes nothing.
    async fn upload_unhashed(&self, name: BlobName, bytes: &Bytes) -> (Handle, Result<Location, Error>) {
        let (handle, mut writer) = self.begin(name).await;
        let written = async {
            for at in (0..bytes.len()).step_by(1 << 20) {
                let end = (at + (1 << 20)).min(bytes.len());
                writer.write(bytes.slice(at..end)).await?;
            }
            writer.commit().await
        };
        (handle, written.await)
    }

    /// What is there beside others'.
    async fn left(&self) -> Vec<String> {
        let found = self.container.inventory().await;
        let own = |line: &String| !self.foreign.contains(line);
        assert_eq!(
            found.iter().filter(|line| !own(line)).count(),
            self.foreign.len(),
            "{found:#?}"
        );
        found.into_iter().filter(own).collect()
    }

    async fn holds(&self, location: &Location, bytes: &Bytes) {
        let found = bytes_of(self.store.read(location, None).await.unwrap())
            .await
            .unwrap();
        assert!(
            found == *bytes,
            "{} bytes instead of {}",
            found.len(),
            bytes.len()
        );
    }
}

fn name() -> BlobName {
    BlobName(Uuid::new_v4())
}

fn bytes(len: usize) -> Bytes {
    (0..len)
        .map(|at| u8::try_from((at * at / 7 + at / 251) % 256).unwrap())
        .collect()
}

const fn when(method: &'static str, holds: &'static str) -> When {
    When::all(method, holds)
}

/// The object itself: not a mark, not a segment.
fn object(method: &'static str) -> When {
    when(method, "-").without(".")
}

const ERROR_500: &str = "HTTP/1.1 500 Internal Error\r\nContent-Length: 5\r\n\r\nerror";
const SLOW_DOWN: &str = "HTTP/1.1 503 Slow Down\r\nRetry-After: 1\r\nContent-Length: 0\r\n\r\n";
const TOKEN: &str = "HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n";
const DENIED: &str = "HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n";
const QUOTA: &str = "HTTP/1.1 413 Request Entity Too Large\r\nContent-Length: 0\r\n\r\n";
const NO_ROOM: &str = "HTTP/1.1 507 Insufficient Storage\r\nContent-Length: 0\r\n\r\n";

/// Every kind of request of an upload: small ones, and those of one in segments.
fn phases() -> [(usize, &'static str, When); 8] {
    [
        (1000, "preparing", when("HEAD", "/test").without("-")),
        (1000, "marking", when("PUT", "/.saccade.")),
        (1000, "looking", object("HEAD")),
        (1000, "putting", object("PUT")),
        (3 * MB, "marking segments", when("PUT", "/.saccade.")),
        (3 * MB, "sending segments", when("PUT", "-00002")),
        (3 * MB, "listing", when("GET", "prefix=")),
        (3 * MB, "publishing", object("PUT")),
    ]
}

fn faults() -> [(&'static str, Fault); 7] {
    [
        ("500", Fault::Answer(ERROR_500)),
        ("503", Fault::Answer(SLOW_DOWN)),
        ("token", Fault::Answer(TOKEN)),
        ("cut before", Fault::CutBefore),
        ("cut within", Fault::CutWithin),
        ("cut after", Fault::CutAfter),
        ("slow", Fault::Slow(Duration::from_millis(300))),
    ]
}

async fn one_failure_of_any_request_is_overcome(kind: Kind) {
    let phases = phases().map(async |(size, phase, when)| {
        let rig = Rig::new(kind).await;
        for (what, fault) in faults() {
            let bytes = bytes(size);
            rig.proxy.disturb(when.once(), fault);
            let (handle, location) = rig.upload(name(), &bytes).await;
            rig.proxy.heal();
            let location = location.unwrap_or_else(|error| panic!("{phase}, {what}: {error:?}"));
            rig.holds(&location, &bytes).await;
            rig.store.settle(&handle).await.unwrap();
            rig.store.delete(&location).await.unwrap();
            assert_eq!(rig.left().await, [""; 0], "{phase}, {what}");
        }
    });
    futures_util::future::join_all(phases).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_failure_of_any_request_is_overcome_at_swift() {
    one_failure_of_any_request_is_overcome(Kind::Swift).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_failure_of_any_request_is_overcome_at_rgw() {
    one_failure_of_any_request_is_overcome(Kind::Rgw).await;
}

/// Requests that fail for good leave something for `discard` alone, after a restart as well.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_fails_for_good_leaves_nothing_once_it_is_discarded() {
    for kind in [Kind::Swift, Kind::Rgw] {
        let rig = Rig::new(kind).await;
        for (size, phase, when) in phases() {
            for (what, answer, error_kind) in [
                ("denied", DENIED, ErrorKind::Denied),
                ("no token is good", TOKEN, ErrorKind::Denied),
                ("quota", QUOTA, ErrorKind::Full),
                ("no room", NO_ROOM, ErrorKind::Full),
            ] {
                for restarted in [false, true] {
                    if phase == "preparing" {
                        continue;
                    }
                    rig.proxy.disturb(when, Fault::Answer(answer));
                    let (handle, location) = rig.upload(name(), &bytes(size)).await;
                    rig.proxy.heal();
                    let error = location.unwrap_err();
                    assert_eq!(error.kind(), error_kind, "{phase}, {what}: {error:?}");
                    let store = match restarted {
                        true => rig.container.store(),
                        false => Arc::clone(&rig.store),
                    };
                    store.discard(&handle).await.unwrap();
                    assert_eq!(rig.left().await, [""; 0], "{phase}, {what}");
                }
            }
        }
    }
}

/// The process dies wherever it stands; another finds the handle in the ledger.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_was_done_when_the_process_died_is_undone() {
    for kind in [Kind::Swift, Kind::Rgw] {
        let rig = Rig::new(kind).await;
        for (size, phase, when, remain) in [
            (1000, "marked", object("HEAD"), 1),
            (1000, "published", when("DELETE", "-"), 2),
            // Of five segments at most four are under way at once.
            (5 * MB, "segments sent", when("PUT", "-00001"), 1),
            (5 * MB, "listed", object("HEAD"), 6),
            (5 * MB, "published", when("DELETE", "-"), 7),
        ] {
            // The reply never comes, and nobody is there to ask again.
            rig.proxy.disturb(when, Fault::Answer(DENIED));
            let (handle, location) = rig.upload(name(), &bytes(size)).await;
            let is_published = phase == "published";
            assert_eq!(location.is_ok(), is_published, "{phase}: {location:?}");
            if is_published {
                rig.store.settle(&handle).await.unwrap_err();
            }
            rig.proxy.heal();
            let left = rig.left().await;
            assert!(left.len() >= remain, "{phase}: {left:#?}");
            rig.container.store().discard(&handle).await.unwrap();
            assert_eq!(rig.left().await, [""; 0], "{phase}");
            rig.container.store().discard(&handle).await.unwrap();
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_publication_whose_reply_is_lost_each_time_is_still_found() {
    for kind in [Kind::Swift, Kind::Rgw] {
        let rig = Rig::new(kind).await;
        for size in [1000, 3 * MB] {
            let bytes = bytes(size);
            rig.proxy.disturb(object("PUT"), Fault::CutAfter);
            let (handle, location) = rig.upload(name(), &bytes).await;
            rig.proxy.heal();
            rig.holds(&location.unwrap(), &bytes).await;
            rig.store.discard(&handle).await.unwrap();
            assert_eq!(rig.left().await, [""; 0]);
        }
    }
}

/// Segments that are longer than the memory for them are sent while they come.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn long_segments_are_sent_while_they_come() {
    for kind in [Kind::Swift, Kind::Rgw] {
        let long = |config: &mut SwiftStoreConfig| config.swift_store_large_object_chunk_size = 20;
        let rig = Rig::with(kind, long).await;
        let bytes = bytes(45 * MB);
        rig.proxy.requests();
        let (handle, location) = rig.upload(name(), &bytes).await;
        let location = location.unwrap();
        rig.holds(&location, &bytes).await;
        let requests = rig.proxy.requests();
        let in_chunks = |head: &&String| head.to_ascii_lowercase().contains("transfer-encoding: chunked");
        assert_eq!(requests.iter().filter(in_chunks).count(), 2, "{kind:?}");
        // Three segments, the manifest, the mark.
        assert_eq!(rig.left().await.len(), 5);
        rig.store.settle(&handle).await.unwrap();
        rig.store.delete(&location).await.unwrap();
        assert_eq!(rig.left().await, [""; 0]);
    }
}

/// One try: what was sent and let go cannot be sent again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_long_segment_that_breaks_off_fails_the_attempt_and_leaves_nothing() {
    for kind in [Kind::Swift, Kind::Rgw] {
        let long = |config: &mut SwiftStoreConfig| config.swift_store_large_object_chunk_size = 30;
        let rig = Rig::with(kind, long).await;
        for fault in [Fault::CutAt(25 * MB), Fault::CutAfter] {
            rig.proxy.disturb(when("PUT", "-00002"), fault);
            let (handle, location) = rig.upload(name(), &bytes(70 * MB)).await;
            rig.proxy.heal();
            assert_eq!(location.unwrap_err().kind(), ErrorKind::Unavailable);
            assert!(!rig.left().await.is_empty());
            rig.container.store().discard(&handle).await.unwrap();
            assert_eq!(rig.left().await, [""; 0]);
        }
    }
}

/// What a server refuses before it takes the body of a long segment may be sent again: its beginning is still there.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_beginning_of_a_long_segment_is_sent_again() {
    let long = |config: &mut SwiftStoreConfig| config.swift_store_large_object_chunk_size = 30;
    let rig = Rig::with(Kind::Swift, long).await;
    let (bytes, refusal) = (bytes(20 * MB), when("PUT", "-00001"));
    for fault in [Fault::CutAt(1000), Fault::Refuse(SLOW_DOWN), Fault::Refuse(TOKEN)] {
        rig.proxy.disturb(refusal.once(), fault);
    }
    rig.proxy.requests();
    let (handle, location) = rig.upload(name(), &bytes).await;
    rig.proxy.heal();
    rig.holds(&location.unwrap(), &bytes).await;
    let requests = rig.proxy.requests();
    let sent = |head: &&String| head.starts_with("PUT") && head.contains("-00001");
    assert!(requests.iter().filter(sent).count() >= 3);
    rig.store.discard(&handle).await.unwrap();
    assert_eq!(rig.left().await, [""; 0]);
}

/// Servers give up a body that is silent for a minute.
async fn a_client_that_pauses_ends_a_segment_and_not_the_image(is_hashed: bool) {
    let long = |config: &mut SwiftStoreConfig| config.swift_store_large_object_chunk_size = 25;
    let rig = Rig::with(Kind::Swift, long).await;
    let (handle, mut writer) = rig.begin(name()).await;
    let sums = is_hashed.then(|| Sums::of(&mut *writer));
    let bytes = bytes(40 * MB);
    // Not a whole number of what the writer collects.
    let (before, after) = (bytes.slice(..10 * MB + 77), bytes.slice(10 * MB + 77..));
    let push = |bytes: &[u8]| sums.iter().for_each(|sums| sums.push(bytes));
    push(&before);
    writer.write(before).await.unwrap();
    tokio::time::sleep(Duration::from_secs(23)).await;
    // The segment that was under way, and the mark.
    assert_eq!(rig.left().await.len(), 2);
    push(&after);
    writer.write(after).await.unwrap();
    sums.iter().for_each(|sums| sums.finish());
    rig.holds(&writer.commit().await.unwrap(), &bytes).await;
    // Two more segments, and the manifest.
    assert_eq!(rig.left().await.len(), 5);
    rig.store.discard(&handle).await.unwrap();
    assert_eq!(rig.left().await, [""; 0]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_pauses_ends_a_segment_and_not_the_image_that_the_caller_hashes() {
    a_client_that_pauses_ends_a_segment_and_not_the_image(true).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_pauses_ends_a_segment_and_not_the_image_that_nobody_else_hashes() {
    a_client_that_pauses_ends_a_segment_and_not_the_image(false).await;
}

/// Whoever is cut off in the middle of a segment leaves no half of it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_writer_that_is_dropped_within_a_segment_leaves_no_part_of_it() {
    for kind in [Kind::Swift, Kind::Rgw] {
        let long = |config: &mut SwiftStoreConfig| config.swift_store_large_object_chunk_size = 100;
        let rig = Rig::with(kind, long).await;
        let (handle, mut writer) = rig.begin(name()).await;
        writer.write(bytes(20 * MB)).await.unwrap();
        drop(writer);
        tokio::time::sleep(Duration::from_secs(1)).await;
        let left = rig.left().await;
        assert!(
            left.len() == 1 && left[0].starts_with(".saccade."),
            "{kind:?}: {left:#?}"
        );
        rig.container.store().discard(&handle).await.unwrap();
        assert_eq!(rig.left().await, [""; 0]);
    }
}

#[tokio::test]
async fn a_wrong_hash_publishes_nothing() {
    let rig = Rig::new(Kind::Swift).await;
    for (size, when) in [
        (1000, object("PUT")),
        (3 * MB, when("PUT", "-00002")),
        (20 * MB, when("PUT", "-00019")),
    ] {
        rig.proxy.disturb(when, Fault::OtherTag);
        for is_hashed in [true, false] {
            let (handle, location) = match is_hashed {
                true => rig.upload(name(), &bytes(size)).await,
                false => rig.upload_unhashed(name(), &bytes(size)).await,
            };
            assert_eq!(location.unwrap_err().kind(), ErrorKind::Corrupt);
            rig.store.discard(&handle).await.unwrap();
            assert_eq!(rig.left().await, [""; 0]);
        }
        rig.proxy.heal();
    }
}

/// The next long segment is under way when the answer comes.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wrong_hash_of_a_long_segment_stops_the_next_one() {
    for kind in [Kind::Swift, Kind::Rgw] {
        let long = |config: &mut SwiftStoreConfig| config.swift_store_large_object_chunk_size = 20;
        let rig = Rig::with(kind, long).await;
        rig.proxy.disturb(when("PUT", "-00001"), Fault::OtherTag);
        let (handle, mut writer) = rig.begin(name()).await;
        let sums = Sums::of(&mut *writer);
        let bytes = bytes(1 << 20);
        let mut written = 0;
        let error = loop {
            sums.push(&bytes);
            match writer.write(bytes.clone()).await {
                Ok(()) => written += bytes.len(),
                Err(error) => break error,
            }
            // The client is slower than the answer.
            tokio::time::sleep(Duration::from_millis(20)).await;
        };
        rig.proxy.heal();
        assert_eq!(error.kind(), ErrorKind::Corrupt, "{kind:?}");
        assert!(written > 20 * MB, "{written}");
        drop(writer);
        rig.container.store().discard(&handle).await.unwrap();
        assert_eq!(rig.left().await, [""; 0]);
    }
}

/// A process that dies, or gives up, while one segment waits for its answer and the next is being sent.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_long_segments_under_way_leave_nothing() {
    for kind in [Kind::Swift, Kind::Rgw] {
        let long = |config: &mut SwiftStoreConfig| config.swift_store_large_object_chunk_size = 20;
        let rig = Rig::with(kind, long).await;
        for is_dropped in [true, false] {
            rig.proxy
                .disturb(when("PUT", "-00001"), Fault::Slow(Duration::from_secs(1)));
            let (handle, mut writer) = rig.begin(name()).await;
            let sums = Sums::of(&mut *writer);
            let bytes = bytes(33 * MB);
            sums.push(&bytes);
            writer.write(bytes).await.unwrap();
            match is_dropped {
                true => {
                    drop(writer);
                    sums.give_up();
                    rig.store.discard(&handle).await.unwrap();
                }
                false => writer.abort().await.unwrap(),
            }
            rig.proxy.heal();
            assert_eq!(rig.left().await, [""; 0], "{kind:?}");
            rig.container.store().discard(&handle).await.unwrap();
        }
    }
}

/// What cannot be compared is not published.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn segments_that_nobody_hashes_any_more_fail_the_attempt() {
    let rig = Rig::new(Kind::Swift).await;
    for size in [1000, 20 * MB] {
        let (handle, mut writer) = rig.begin(name()).await;
        let sums = Sums::of(&mut *writer);
        let bytes = bytes(size);
        sums.push(&bytes[..size / 2]);
        let given_up = tokio::time::sleep(Duration::from_millis(200));
        let written = async {
            writer.write(bytes).await?;
            writer.commit().await
        };
        let (written, ()) = tokio::join!(written, async {
            given_up.await;
            sums.give_up();
        });
        assert_eq!(written.unwrap_err().kind(), ErrorKind::Unavailable);
        rig.store.discard(&handle).await.unwrap();
        assert_eq!(rig.left().await, [""; 0]);
    }
}

/// What is published is what was sent.
#[tokio::test]
async fn another_segment_under_the_attempts_name_is_noticed() {
    let rig = Rig::new(Kind::Swift).await;
    rig.proxy
        .disturb(when("GET", "prefix=").once(), Fault::Slow(Duration::from_secs(2)));
    let other = async {
        let marked = loop {
            let found = rig.left().await;
            match found.into_iter().find(|name| name.ends_with("-00002")) {
                Some(name) => break name,
                None => tokio::time::sleep(Duration::from_millis(50)).await,
            }
        };
        rig.container.put(&marked, b"something else").await;
    };
    let bytes = bytes(3 * MB);
    let ((handle, location), ()) = tokio::join!(rig.upload(name(), &bytes), other);
    assert_eq!(location.unwrap_err().kind(), ErrorKind::Corrupt);
    rig.store.discard(&handle).await.unwrap();
    assert_eq!(rig.left().await, [""; 0]);
}

#[tokio::test]
async fn another_writer_is_never_overwritten() {
    for kind in [Kind::Swift, Kind::Rgw] {
        let rig = Rig::new(kind).await;
        for (size, when) in [
            // Held up in the proxy: before the look, or where the server knows the condition, after it.
            (
                1000,
                if kind == Kind::Swift {
                    object("PUT")
                } else {
                    object("HEAD")
                },
            ),
            (3 * MB, when("GET", "prefix=")),
        ] {
            let name = name();
            rig.proxy
                .disturb(when.once(), Fault::Slow(Duration::from_secs(3)));
            let other = async {
                tokio::time::sleep(Duration::from_millis(2000)).await;
                rig.container
                    .put(&name.to_string(), b"the other was faster")
                    .await;
            };
            let bytes = bytes(size);
            let ((handle, location), ()) = tokio::join!(rig.upload(name, &bytes), other);
            rig.proxy.heal();
            assert_eq!(location.unwrap_err().kind(), ErrorKind::Exists);
            rig.store.discard(&handle).await.unwrap();
            let found = rig.container.get(&name.to_string()).await;
            assert_eq!(found.as_deref(), Some("the other was faster"));
            rig.store.delete(&rig.location(name)).await.unwrap();
            assert_eq!(rig.left().await, [""; 0]);
        }
    }
}

/// An image that is deleted shows no part of itself, and a later call finishes what an earlier one has begun.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deletion_that_stops_anywhere_is_finished_later() {
    for kind in [Kind::Swift, Kind::Rgw] {
        let rig = Rig::new(kind).await;
        for (stopped, when) in [
            ("noting", when("PUT", ".deletion")),
            ("deleting the manifest", object("DELETE")),
            ("listing", when("GET", "prefix=")),
            ("deleting a segment", when("DELETE", "-00002")),
            ("deleting the note", when("DELETE", ".deletion")),
        ] {
            let bytes = bytes(4 * MB);
            let (handle, location) = rig.upload(name(), &bytes).await;
            let location = location.unwrap();
            rig.store.settle(&handle).await.unwrap();
            rig.proxy.disturb(when, Fault::Answer(DENIED));
            let error = rig.store.delete(&location).await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Denied, "{stopped}");
            rig.proxy.heal();
            match rig.store.read(&location, None).await {
                Ok(blob) => assert_eq!(blob.size, 4 * MB as u64, "{stopped}"),
                Err(error) => assert_eq!(error.kind(), ErrorKind::NotFound, "{stopped}"),
            }
            let store = rig.container.store();
            store.prepare_delete(&location).await.unwrap();
            store.delete(&location).await.unwrap();
            assert_eq!(rig.left().await, [""; 0], "{stopped}");
            assert_eq!(
                store.delete(&location).await.unwrap_err().kind(),
                ErrorKind::NotFound
            );
        }
    }
}

/// Not found: the answer of another account, or of whatever stands before the server.
const NOT_FOUND: &str = "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n";
/// What is there is newer than the request, also if it was deleted.
const ACCEPTED: &str = "HTTP/1.1 202 Accepted\r\nContent-Length: 0\r\n\r\n";
const DELETION: When = when("DELETE", "-");
const CONFLICT: &str = "HTTP/1.1 409 Conflict\r\nContent-Length: 0\r\n\r\n";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_forgotten_where_everything_is_said_to_be_missing() {
    for kind in [Kind::Swift, Kind::Rgw] {
        let rig = Rig::new(kind).await;
        for size in [1000, 3 * MB] {
            for settled in [false, true] {
                let (handle, location) = rig.upload(name(), &bytes(size)).await;
                let location = location.unwrap();
                if settled {
                    rig.store.settle(&handle).await.unwrap();
                }
                let left = rig.left().await;
                for method in ["HEAD", "GET", "PUT", "DELETE"] {
                    rig.proxy.disturb(when(method, ""), Fault::Answer(NOT_FOUND));
                }
                let failed = match settled {
                    true => rig.store.delete(&location).await,
                    false => rig.store.discard(&handle).await,
                };
                assert_eq!(failed.unwrap_err().kind(), ErrorKind::Unavailable);
                rig.proxy.heal();
                // It begins when the object was found.
                rig.proxy
                    .disturb(when("HEAD", "/test").without("-"), Fault::Answer(NOT_FOUND));
                rig.proxy.disturb(when("DELETE", "-"), Fault::Answer(NOT_FOUND));
                let failed = match settled {
                    true => rig.store.delete(&location).await,
                    false => rig.store.discard(&handle).await,
                };
                assert_eq!(failed.unwrap_err().kind(), ErrorKind::Unavailable);
                rig.proxy.heal();
                let found = rig.left().await;
                assert!(left.iter().all(|name| found.contains(name)), "{found:#?}");
                match settled {
                    true => rig.store.delete(&location).await.unwrap(),
                    false => rig.store.discard(&handle).await.unwrap(),
                }
                assert_eq!(rig.left().await, [""; 0]);
            }
        }
    }
}

/// The clocks of Swift's nodes differ: what is sent is older than what was deleted there.
#[tokio::test]
async fn what_the_server_has_not_taken_for_being_too_old_is_sent_again() {
    let rig = Rig::new(Kind::Swift).await;
    for (size, when) in [
        (1000, when("PUT", ".saccade.")),
        (1000, object("PUT")),
        (3 * MB, when("PUT", "-00002")),
        (3 * MB, object("PUT")),
    ] {
        let bytes = bytes(size);
        rig.proxy.disturb(when.once(), Fault::Answer(ACCEPTED));
        let (handle, location) = rig.upload(name(), &bytes).await;
        rig.holds(&location.unwrap(), &bytes).await;
        let left = rig.left().await;
        assert!(left.iter().any(|name| name.starts_with(".saccade.")), "{left:#?}");
        rig.proxy.disturb(DELETION.once(), Fault::Answer(CONFLICT));
        rig.store.discard(&handle).await.unwrap();
        assert_eq!(rig.left().await, [""; 0]);
        rig.proxy.heal();
    }
    // Not for ever, and then it is no success.
    rig.proxy.disturb(object("PUT"), Fault::Answer(ACCEPTED));
    let (handle, location) = rig.upload(name(), &bytes(1000)).await;
    let error = location.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    let source = std::error::Error::source(&error).unwrap().to_string();
    assert!(source.contains("clocks"), "{source}");
    rig.store.discard(&handle).await.unwrap();
    assert_eq!(rig.left().await, [""; 0]);
}

/// A deletion that stopped, and another image under the same id: what the first one has left goes with the second one.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_note_of_an_earlier_deletion_is_not_passed_over() {
    for kind in [Kind::Swift, Kind::Rgw] {
        let rig = Rig::new(kind).await;
        for size in [1000, 2 * MB] {
            let name = name();
            for size in [3 * MB, size] {
                let (handle, location) = rig.upload(name, &bytes(size)).await;
                location.unwrap();
                rig.store.settle(&handle).await.unwrap();
                if size == 3 * MB {
                    rig.proxy.disturb(when("DELETE", "-0000"), Fault::Answer(DENIED));
                    rig.store.delete(&rig.location(name)).await.unwrap_err();
                    rig.proxy.heal();
                    assert_eq!(rig.left().await.len(), 4, "the note and three segments");
                }
            }
            rig.holds(&rig.location(name), &bytes(size)).await;
            rig.store.delete(&rig.location(name)).await.unwrap();
            assert_eq!(rig.left().await, [""; 0]);
        }
    }
}

/// It may name segments that nothing else does: an operator decides.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_note_that_cannot_be_read_is_not_taken_for_none() {
    let rig = Rig::new(Kind::Swift).await;
    let name = name();
    let note = format!(".saccade.{name}.deletion");
    rig.container.put(&note, b"written by a later version").await;
    let location = rig.location(name);
    for deleted in [
        rig.store.prepare_delete(&location).await,
        rig.store.delete(&location).await,
    ] {
        assert_eq!(deleted.unwrap_err().kind(), ErrorKind::Corrupt);
    }
    let (handle, uploaded) = rig.upload(name, &bytes(1000)).await;
    uploaded.unwrap();
    rig.store.settle(&handle).await.unwrap();
    let error = rig.store.delete(&location).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Corrupt);
    rig.holds(&location, &bytes(1000)).await;
    rig.container.send(Method::DELETE, &note, &[], b"").await;
    rig.store.delete(&location).await.unwrap();
    assert_eq!(rig.left().await, [""; 0]);
}

/// Servers show as many names at once as their operators want.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn segments_of_several_pages_are_all_deleted() {
    for kind in [Kind::Swift, Kind::Rgw] {
        let rig = Rig::new(kind).await;
        let name = name();
        let puts = (1..=1100).map(|number| {
            let rig = &rig;
            async move { rig.container.put(&format!("{name}-{number:05}"), b"x").await }
        });
        let puts: Vec<_> = futures_util::stream::iter(puts).buffered(16).collect().await;
        assert_eq!(puts.len(), 1100);
        let manifest = format!("{}/{name}-", rig.container.name);
        let headers = [("x-object-manifest", manifest.as_str())];
        let object = name.to_string();
        rig.container.send(Method::PUT, &object, &headers, b"").await;
        let location = rig.location(name);
        assert_eq!(rig.store.size(&location).await.unwrap(), 1100);
        rig.store.delete(&location).await.unwrap();
        assert_eq!(rig.left().await, [""; 0]);
    }
}

#[tokio::test]
async fn throttling_is_obeyed() {
    let rig = Rig::new(Kind::Swift).await;
    rig.proxy
        .disturb(when("PUT", ".saccade.").times(2), Fault::Answer(SLOW_DOWN));
    let begun = Instant::now();
    let (handle, location) = rig.upload(name(), &bytes(10)).await;
    assert!(
        begun.elapsed() >= Duration::from_secs(2),
        "Retry-After is 1 s, twice"
    );
    location.unwrap();
    rig.store.discard(&handle).await.unwrap();
}

#[tokio::test]
async fn a_server_that_is_gone_is_told_soon() {
    let rig = Rig::new(Kind::Swift).await;
    rig.proxy.disturb(when("HEAD", ""), Fault::CutBefore);
    let begun = Instant::now();
    let created = rig.store.create(name(), Attempt(Uuid::new_v4()), None).await;
    assert_eq!(created.map(drop).unwrap_err().kind(), ErrorKind::Unavailable);
    assert!(begun.elapsed() < Duration::from_secs(3));
}

#[tokio::test]
async fn a_body_that_breaks_off_is_continued() {
    for kind in [Kind::Swift, Kind::Rgw] {
        let rig = Rig::new(kind).await;
        let bytes = bytes(8 * MB);
        let plain = name();
        rig.container.put(&plain.to_string(), &bytes).await;
        let (handle, segmented) = rig.upload(name(), &bytes).await;
        for location in [rig.location(plain), segmented.unwrap()] {
            rig.proxy
                .disturb(object("GET").times(2), Fault::CutAnswer(1_500_000));
            rig.holds(&location, &bytes).await;
            rig.proxy.disturb(object("GET").once(), Fault::CutAnswer(70_000));
            let range = 1_000_000..1_100_000;
            let blob = rig.store.read(&location, Some(range)).await.unwrap();
            assert!(bytes_of(blob).await.unwrap() == bytes.slice(1_000_000..1_100_000));
            // Not for ever.
            rig.proxy.disturb(object("GET"), Fault::CutAnswer(0));
            let blob = rig.store.read(&location, None).await.unwrap();
            assert_eq!(bytes_of(blob).await.unwrap_err().kind(), ErrorKind::Unavailable);
            rig.proxy.heal();
        }
        rig.store.discard(&handle).await.unwrap();
        // Not from another version.
        let location = rig.location(plain);
        rig.proxy.disturb(object("GET").once(), Fault::CutAnswer(1000));
        let blob = rig.store.read(&location, None).await.unwrap();
        rig.container.put(&plain.to_string(), &bytes.slice(1..)).await;
        assert_eq!(bytes_of(blob).await.unwrap_err().kind(), ErrorKind::Corrupt);
    }
}

#[tokio::test]
async fn static_large_objects_are_read_and_deleted() {
    for kind in [Kind::Swift, Kind::Rgw] {
        let rig = Rig::new(kind).await;
        let (name, bytes) = (name(), bytes(3 * MB));
        let mut manifest = Vec::new();
        for (number, at) in (0..bytes.len()).step_by(MB).enumerate() {
            let segment = format!("{name}-segment-{number}");
            rig.container.put(&segment, &bytes[at..at + MB]).await;
            manifest.push(format!("{{\"path\": \"/{}/{segment}\"}}", rig.container.name));
        }
        let manifest = format!("[{}]", manifest.join(","));
        let object = format!("{name}?multipart-manifest=put");
        rig.container.put(&object, manifest.as_bytes()).await;
        let location = rig.location(name);
        assert_eq!(rig.store.size(&location).await.unwrap(), 3 * MB as u64);
        rig.holds(&location, &bytes).await;
        let blob = rig
            .store
            .read(&location, Some(1_000_000..2_100_000))
            .await
            .unwrap();
        assert!(bytes_of(blob).await.unwrap() == bytes.slice(1_000_000..2_100_000));
        let store = rig.container.store();
        store.prepare_delete(&location).await.unwrap();
        store.delete(&location).await.unwrap();
        // RGW does not tell what is in the list, and removes it all or nothing.
        let left = if kind == Kind::Swift { 0 } else { 3 };
        assert_eq!(rig.left().await.len(), left);
        assert_eq!(
            store.delete(&location).await.unwrap_err().kind(),
            ErrorKind::NotFound
        );
    }
}

/// Of a list of segments too, those with other names than the image's may be another image's.
#[tokio::test]
async fn a_static_large_object_takes_only_its_own_segments_with_it() {
    for kind in [Kind::Swift, Kind::Rgw] {
        let rig = Rig::new(kind).await;
        let segments = Container::new(kind).await;
        let (one, other) = (name(), name());
        rig.container.put("shared-segment", &bytes(MB)).await;
        for name in [one, other] {
            let own = format!("{name}/slo/1");
            segments.put(&own, &bytes(MB)).await;
            let manifest = format!(
                "[{{\"path\": \"/{}/shared-segment\"}}, {{\"path\": \"/{}/{own}\"}}]",
                rig.container.name, segments.name
            );
            let object = format!("{name}?multipart-manifest=put");
            rig.container.put(&object, manifest.as_bytes()).await;
        }
        let store = rig.container.store();
        assert_eq!(store.size(&rig.location(one)).await.unwrap(), 2 * MB as u64);
        store.delete(&rig.location(one)).await.unwrap();
        let whole = Bytes::from([bytes(MB), bytes(MB)].concat());
        rig.holds(&rig.location(other), &whole).await;
        let left = segments.inventory().await;
        match kind {
            Kind::Swift => assert_eq!(left, [format!("{other}/slo/1")]),
            Kind::Rgw => assert_eq!(left.len(), 2, "it does not tell what is in the list"),
        }
        if kind == Kind::Swift {
            // Its segments' container may go before it. (At RGW it is as good as gone itself then.)
            segments.delete(&format!("{other}/slo/1")).await;
            segments.send(Method::DELETE, "", &[], b"").await;
        }
        store.delete(&rig.location(other)).await.unwrap();
        assert_eq!(rig.left().await, ["shared-segment"]);
    }
}

/// A secret that begins before the place where a long message is cut.
#[tokio::test]
async fn no_part_of_a_key_or_token_is_left_where_a_message_is_cut() {
    let rig = Rig::new(Kind::Swift).await;
    for secret in [&rig.container.server.key, &rig.container.server.token] {
        for before in 195..=200 {
            let body = format!("{} {secret}", "x".repeat(before - 1));
            let answer = format!(
                "HTTP/1.1 403 Forbidden\r\nContent-Length: {}\r\n\r\n{body}",
                body.len()
            );
            rig.proxy
                .disturb(object("GET"), Fault::Answer(Box::leak(answer.into_boxed_str())));
            let error = rig.store.read(&rig.location(name()), None).await.unwrap_err();
            rig.proxy.heal();
            let shown = std::error::Error::source(&error).unwrap().to_string();
            let (_, shown) = shown.split_once(": ").unwrap();
            assert!(shown.trim_matches(['x', ' ', '…']).is_empty(), "{shown}");
        }
    }
}

/// Of a manifest that names other objects than its own, these stay.
#[tokio::test]
async fn a_manifest_of_everything_deletes_only_itself() {
    let rig = Rig::new(Kind::Swift).await;
    let name = name();
    let all = format!("{}/{}", rig.container.name, &rig.foreign[0][..1]);
    let headers = [("x-object-manifest", all.as_str())];
    let (status, _) = rig
        .container
        .send(Method::PUT, &name.to_string(), &headers, b"")
        .await;
    assert_eq!(status, 201);
    rig.store.delete(&rig.location(name)).await.unwrap();
    assert_eq!(rig.left().await, [""; 0]);
}

#[tokio::test]
async fn a_container_that_is_not_there_hides_no_blob() {
    for kind in [Kind::Swift, Kind::Rgw] {
        let container = Container::missing(kind).await;
        let (store, location) = (container.store(), container.location(name()));
        let created = store.create(name(), Attempt(Uuid::new_v4()), None).await;
        let error = created.map(drop).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unavailable);
        assert!(format!("{error:?}").contains("NoContainer"));
        for result in [
            store.read(&location, None).await.map(drop),
            store.read(&location, Some(0..1)).await.map(drop),
            store.size(&location).await.map(drop),
            store.prepare_delete(&location).await,
            store.delete(&location).await,
        ] {
            assert_eq!(result.unwrap_err().kind(), ErrorKind::Unavailable);
        }
    }
}

#[tokio::test]
async fn containers_are_made_where_that_is_wanted() {
    for kind in [Kind::Swift, Kind::Rgw] {
        let container = Container::missing(kind).await;
        let mut config = container.config(None);
        config.swift_store_create_container_on_put = true;
        config.swift_store_multiple_containers_seed = 1;
        let store = SwiftStore::open(config).unwrap();
        for digit in ['0', 'a', 'a'] {
            let name = format!("{digit}{}", &Uuid::new_v4().to_string()[1..]);
            let name = BlobName(name.parse().unwrap());
            let (handle, mut writer) = store.create(name, Attempt(Uuid::new_v4()), None).await.unwrap();
            writer.write(Bytes::from_static(b"x")).await.unwrap();
            let location = writer.commit().await.unwrap();
            let expected = format!("swift+config://ref1/{}_{digit}/{name}", container.name);
            assert_eq!(location.as_str(), expected);
            store.settle(&handle).await.unwrap();
            assert_eq!(store.size(&location).await.unwrap(), 1);
            store.delete(&location).await.unwrap();
        }
    }
}

#[tokio::test]
async fn no_error_shows_a_key() {
    for kind in [Kind::Swift, Kind::Rgw] {
        let container = Container::new(kind).await;
        let mut config = container.config(None);
        config.swift_store_key = Some(Secret::new("wrongsecret"));
        let store = SwiftStore::open(config.clone()).unwrap();
        let error = store.size(&container.location(name())).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Denied, "{error:?}");
        let shown = format!("{error} {error:?} {store} {store:?} {config:?}");
        assert!(!shown.contains("wrongsecret"), "{shown}");
    }
}

/// A client's address must prove that he knows the account's key; the catalogue's own need not.
#[tokio::test]
async fn only_who_knows_the_key_may_name_an_address() {
    let container = Container::new(Kind::Swift).await;
    let store = container.store();
    let name = name();
    container.put(&name.to_string(), b"bytes").await;
    let auth = container.server.auth.strip_prefix("http://").unwrap();
    let at = |credentials: &str| {
        Location::new(format!(
            "swift+http://{credentials}{auth}/{}/{name}",
            container.name
        ))
    };
    for location in [
        container.location(name),
        at("test%3Atester:testing@"),
        at(""),
        at("test:tester:x@"),
    ] {
        assert_eq!(store.size(&location).await.unwrap(), 5);
    }
    store.admit(&at("test%3Atester:testing@")).await.unwrap();
    for location in [
        container.location(name),
        at("test:tester:x@"),
        at("test:tester:testin@"),
        at(""),
    ] {
        let error = store.admit(&location).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Denied);
    }
    let error = store.admit(&at("another:tester:testing@")).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Invalid);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn segments_are_sent_several_at_once() {
    let rig = Rig::new(Kind::Swift).await;
    let bytes = bytes(8 * MB);
    rig.proxy
        .disturb(when("PUT", "-0000"), Fault::Slow(Duration::from_millis(500)));
    let begun = Instant::now();
    let (handle, location) = rig.upload(name(), &bytes).await;
    // Eight segments, four at once.
    assert!(begun.elapsed() < Duration::from_secs(3), "{:?}", begun.elapsed());
    rig.holds(&location.unwrap(), &bytes).await;
    rig.store.discard(&handle).await.unwrap();
    assert_eq!(rig.left().await, [""; 0]);
}
