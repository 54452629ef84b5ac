//! What is left when the gateway, or the way to it, fails: nothing of the attempt's, and everything of others.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

mod rgw;

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use rgw::Bucket;
use saccade_store_conformance::{
    bytes_of,
    proxy::{Fault, Proxy, When},
};
use saccade_store_contract::{Attempt, BlobName, Error, ErrorKind, Handle, Location, Store};
use saccade_store_s3::{S3Store, S3StoreConfig};
use uuid::Uuid;

const MIB: usize = 1 << 20;

/// A store that reaches the gateway through a proxy, and another's object and open upload beside its own.
struct Rig {
    bucket: Bucket,
    proxy: Proxy,
    store: Arc<S3Store>,
    foreign: Vec<String>,
}

impl Rig {
    async fn new() -> Self {
        Self::with(|_| {}).await
    }

    async fn with(change: impl FnOnce(&mut S3StoreConfig)) -> Self {
        let bucket = Bucket::new().await;
        let proxy = Proxy::before(&bucket.rgw.host).await;
        let mut config = bucket.config(&proxy.url());
        change(&mut config);
        let store = Arc::new(S3Store::open(config).unwrap());
        bucket.put(&Uuid::new_v4().to_string(), b"another's").await;
        bucket.begin_upload(&Uuid::new_v4().to_string()).await;
        let foreign = bucket.inventory().await;
        assert_eq!(foreign.len(), 2);
        Self {
            bucket,
            proxy,
            store,
            foreign,
        }
    }

    fn location(&self, name: BlobName) -> Location {
        let host = self.proxy.url();
        let host = host.strip_prefix("http://").unwrap();
        Location::new(format!("s3://{host}/{}/{name}", self.bucket.name))
    }

    /// One upload in chunks, as the transfer makes it.
    async fn upload(&self, name: BlobName, bytes: &Bytes) -> (Handle, Result<Location, Error>) {
        let attempt = Attempt(Uuid::new_v4());
        let (handle, mut writer) = self.store.create(name, attempt, None).await.unwrap();
        let written = async {
            for at in (0..bytes.len()).step_by(MIB) {
                let end = (at + MIB).min(bytes.len());
                writer.write(bytes.slice(at..end)).await?;
            }
            writer.commit().await
        };
        (handle, written.await)
    }

    /// What is there beside another's.
    async fn left(&self) -> Vec<String> {
        let found = self.bucket.inventory().await;
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

fn when(method: &'static str, holds: &'static str) -> When {
    When::all(method, holds)
}

const ERROR_500: &str = "HTTP/1.1 500 Internal Server Error\r\nContent-Length: 51\r\n\r\n<Error><Code>InternalError</Code>  <A>b</A></Error>";
const SLOW_DOWN: &str = "HTTP/1.1 503 Slow Down\r\nRetry-After: 1\r\nContent-Length: 36\r\n\r\n<Error><Code>SlowDown</Code></Error>";
const DENIED: &str =
    "HTTP/1.1 403 Forbidden\r\nContent-Length: 40\r\n\r\n<Error><Code>AccessDenied</Code></Error>";
const QUOTA: &str =
    "HTTP/1.1 403 Forbidden\r\nContent-Length: 41\r\n\r\n<Error><Code>QuotaExceeded</Code></Error>";
const NO_ROOM: &str = "HTTP/1.1 507 Insufficient Storage\r\nContent-Length: 0\r\n\r\n";
const NOT_IMPLEMENTED: &str =
    "HTTP/1.1 501 Not Implemented\r\nContent-Length: 42\r\n\r\n<Error><Code>NotImplemented</Code></Error>";
const LATE_ERROR: &str =
    "HTTP/1.1 200 OK\r\nContent-Length: 42\r\n\r\n  \n<Error><Code>InternalError</Code></Error>";

/// Every kind of request of an upload: small ones, and those of one in parts.
fn phases() -> [(usize, &'static str, When); 7] {
    [
        (1000, "marking", when("PUT", "/.saccade.")),
        (1000, "looking", when("HEAD", "-").without("?")),
        (1000, "putting", when("PUT", "-").without(".saccade.")),
        (11 * MIB, "opening", when("POST", "?uploads")),
        (11 * MIB, "marking parts", when("PUT", "/.saccade.")),
        (11 * MIB, "sending parts", when("PUT", "partNumber=2")),
        (11 * MIB, "completing", when("POST", "?uploadId")),
    ]
}

fn faults() -> [(&'static str, Fault); 6] {
    [
        ("500", Fault::Answer(ERROR_500)),
        ("503", Fault::Answer(SLOW_DOWN)),
        ("cut before", Fault::CutBefore),
        ("cut within", Fault::CutWithin),
        ("cut after", Fault::CutAfter),
        ("slow", Fault::Slow(Duration::from_millis(300))),
    ]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_failure_of_any_request_is_overcome() {
    let phases = phases().map(async |(size, phase, when)| {
        let rig = Rig::new().await;
        for (what, fault) in faults() {
            let bytes = bytes(size);
            rig.proxy.disturb(when.once(), fault);
            let (handle, location) = rig.upload(name(), &bytes).await;
            rig.proxy.heal();
            let location = location.unwrap_or_else(|error| panic!("{phase}, {what}: {error:?}"));
            rig.holds(&location, &bytes).await;
            rig.store.settle(&handle).await.unwrap();
            rig.store.delete(&location).await.unwrap();
            let left = rig.left().await;
            // A beginning whose reply was lost is nobody's: it has no parts, and expires.
            let lost = phase == "opening" && matches!(what, "cut within" | "cut after");
            assert_eq!(left.len(), usize::from(lost), "{phase}, {what}: {left:#?}");
            for line in left {
                assert!(line.ends_with("(0 parts)"), "{line}");
                let (key, upload) = line
                    .trim_end_matches(" (0 parts)")
                    .split_once("?uploadId=")
                    .unwrap();
                let query = [("uploadId", upload)];
                rig.bucket.send(rusty_s3::Method::Delete, key, &query, b"").await;
            }
        }
    });
    futures_util::future::join_all(phases).await;
}

/// Requests that fail for good leave something for `discard` alone, after a restart as well.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_fails_for_good_leaves_nothing_once_it_is_discarded() {
    let rig = Rig::new().await;
    for (size, phase, when) in phases() {
        for (what, answer, kind) in [
            ("denied", DENIED, ErrorKind::Denied),
            ("quota", QUOTA, ErrorKind::Full),
            ("no room", NO_ROOM, ErrorKind::Full),
        ] {
            for restarted in [false, true] {
                if phase == "looking" && what == "no room" {
                    continue;
                }
                rig.proxy.disturb(when, Fault::Answer(answer));
                let (handle, location) = rig.upload(name(), &bytes(size)).await;
                rig.proxy.heal();
                let error = location.unwrap_err();
                // The answer to HEAD has no body to say which.
                if phase != "looking" {
                    assert_eq!(error.kind(), kind, "{phase}, {what}: {error:?}");
                }
                let store = match restarted {
                    true => rig.bucket.store(),
                    false => Arc::clone(&rig.store),
                };
                store.discard(&handle).await.unwrap();
                assert_eq!(rig.left().await, [""; 0], "{phase}, {what}");
            }
        }
    }
}

/// The process dies wherever it stands; another finds the handle in the ledger.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_was_done_when_the_process_died_is_undone() {
    let rig = Rig::new().await;
    for size in [1000, 11 * MIB] {
        for (phase, when) in [
            ("marked", when("HEAD", "-").without("?")),
            ("part sent", when("PUT", "partNumber=2")),
            ("published", when("DELETE", ".saccade.")),
        ] {
            let name = name();
            // The reply never comes, and nobody is there to ask again.
            rig.proxy.disturb(when, Fault::Answer(DENIED));
            let (handle, location) = rig.upload(name, &bytes(size)).await;
            rig.proxy.heal();
            let expected = phase == "published" || (phase == "part sent" && size == 1000);
            assert_eq!(location.is_ok(), expected, "{phase}: {location:?}");
            assert!(!rig.left().await.is_empty(), "{phase}");
            rig.bucket.store().discard(&handle).await.unwrap();
            assert_eq!(rig.left().await, [""; 0], "{phase}");
            rig.bucket.store().discard(&handle).await.unwrap();
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_publication_whose_reply_is_lost_each_time_is_still_found() {
    let rig = Rig::new().await;
    for (size, when) in [
        (1000, when("PUT", "-").without(".saccade.")),
        (6 * MIB, when("POST", "?uploadId")),
    ] {
        let bytes = bytes(size);
        rig.proxy.disturb(when, Fault::CutAfter);
        let (handle, location) = rig.upload(name(), &bytes).await;
        rig.proxy.heal();
        let location = location.unwrap();
        rig.holds(&location, &bytes).await;
        rig.store.discard(&handle).await.unwrap();
        assert_eq!(rig.left().await, [""; 0]);
    }
}

#[tokio::test]
async fn a_wrong_entity_tag_publishes_nothing() {
    let rig = Rig::new().await;
    rig.proxy.disturb(when("PUT", "partNumber=1&"), Fault::OtherTag);
    let (handle, location) = rig.upload(name(), &bytes(6 * MIB)).await;
    assert_eq!(location.unwrap_err().kind(), ErrorKind::Corrupt);
    rig.store.discard(&handle).await.unwrap();
    assert_eq!(rig.left().await, [""; 0]);
}

#[tokio::test]
async fn an_error_within_a_good_answer_is_an_error() {
    let rig = Rig::new().await;
    rig.proxy
        .disturb(when("POST", "?uploadId").times(2), Fault::Answer(LATE_ERROR));
    let bytes = bytes(6 * MIB);
    let (handle, location) = rig.upload(name(), &bytes).await;
    rig.holds(&location.unwrap(), &bytes).await;
    rig.store.discard(&handle).await.unwrap();
    assert_eq!(rig.left().await, [""; 0]);
}

#[tokio::test]
async fn another_writer_is_never_overwritten() {
    let rig = Rig::new().await;
    for (size, when) in [
        (1000, when("PUT", "-").without(".saccade.")),
        (6 * MIB, when("PUT", "partNumber=2")),
    ] {
        let name = name();
        // Between the last part and the end of the upload, or between the look and the PUT: held up in the proxy.
        rig.proxy
            .disturb(when.once(), Fault::Slow(Duration::from_secs(2)));
        let other = async {
            tokio::time::sleep(Duration::from_millis(1200)).await;
            rig.bucket.put(&name.to_string(), b"the other was faster").await;
        };
        let bytes = bytes(size);
        let ((handle, location), ()) = tokio::join!(rig.upload(name, &bytes), other);
        assert_eq!(location.unwrap_err().kind(), ErrorKind::Exists);
        rig.store.discard(&handle).await.unwrap();
        let found = rig.bucket.get(&name.to_string()).await;
        assert_eq!(found.as_deref(), Some("the other was faster"));
        rig.store.delete(&rig.location(name)).await.unwrap();
        assert_eq!(rig.left().await, [""; 0]);
    }
}

#[tokio::test]
async fn a_server_without_conditions_is_written_to_after_a_look() {
    let rig = Rig::new().await;
    rig.proxy.disturb(
        when("PUT", "-").without(".saccade.").once(),
        Fault::Answer(NOT_IMPLEMENTED),
    );
    rig.proxy.requests();
    let (handle, location) = rig.upload(name(), &bytes(10)).await;
    let location = location.unwrap();
    let requests = rig.proxy.requests();
    let conditional = |head: &&String| head.to_ascii_lowercase().contains("if-none-match");
    assert_eq!(requests.iter().filter(conditional).count(), 1);
    rig.store.settle(&handle).await.unwrap();
    let name = rig.bucket.inventory().await;
    assert!(name.iter().any(|line| location.as_str().ends_with(line)));
    rig.store.delete(&location).await.unwrap();
}

/// A server may know the one and not the other (Ceph's gateway ignores it at the end of an upload).
#[tokio::test]
async fn a_condition_that_is_unknown_at_the_end_of_uploads_is_still_put_to_small_images() {
    let rig = Rig::new().await;
    rig.proxy
        .disturb(when("POST", "?uploadId").once(), Fault::Answer(NOT_IMPLEMENTED));
    let mut conditional = Vec::new();
    for size in [6 * MIB, 6 * MIB, 10] {
        rig.proxy.requests();
        let (handle, location) = rig.upload(name(), &bytes(size)).await;
        location.unwrap();
        let requests = rig.proxy.requests();
        let of = |head: &&String| head.to_ascii_lowercase().contains("if-none-match");
        conditional.push(requests.iter().filter(of).count());
        rig.store.discard(&handle).await.unwrap();
    }
    assert_eq!(conditional, [1, 0, 1]);
    assert_eq!(rig.left().await, [""; 0]);
}

/// Parts of 58 MiB, of which two writers' take what is shared: both have clients that have stopped.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clients_that_have_stopped_hold_up_no_other_upload() {
    let rig = Rig::new().await;
    let begin = async || {
        let attempt = Attempt(Uuid::new_v4());
        let (_, mut writer) = rig
            .store
            .create(name(), attempt, Some(600_000_000_000))
            .await
            .unwrap();
        let written = tokio::time::timeout(Duration::from_secs(20), writer.write(bytes(6 * MIB))).await;
        written.expect("it waits for others' clients").unwrap();
        writer
    };
    let mut writers = Vec::new();
    for _ in 0..4 {
        writers.push(begin().await);
    }
    for writer in writers {
        writer.abort().await.unwrap();
    }
    assert_eq!(rig.left().await, [""; 0]);
}

#[tokio::test]
async fn throttling_is_obeyed() {
    let rig = Rig::new().await;
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
    let rig = Rig::new().await;
    rig.proxy.disturb(when("HEAD", ""), Fault::CutBefore);
    let begun = Instant::now();
    let created = rig.store.create(name(), Attempt(Uuid::new_v4()), None).await;
    assert_eq!(created.map(drop).unwrap_err().kind(), ErrorKind::Unavailable);
    assert!(begun.elapsed() < Duration::from_secs(3));
}

#[tokio::test]
async fn a_body_that_breaks_off_is_continued() {
    let rig = Rig::new().await;
    let (name, bytes) = (name(), bytes(8 * MIB));
    rig.bucket.put(&name.to_string(), &bytes).await;
    let location = rig.location(name);
    let get = || when("GET", "-");
    rig.proxy.disturb(get().times(2), Fault::CutAnswer(1_000_000));
    rig.holds(&location, &bytes).await;
    rig.proxy.disturb(get().once(), Fault::CutAnswer(70_000));
    let blob = rig
        .store
        .read(&location, Some(1_000_000..1_100_000))
        .await
        .unwrap();
    assert!(bytes_of(blob).await.unwrap() == bytes.slice(1_000_000..1_100_000));
    // Not from another version.
    rig.proxy.disturb(get().once(), Fault::CutAnswer(1000));
    let blob = rig.store.read(&location, None).await.unwrap();
    rig.bucket.put(&name.to_string(), &bytes.slice(1..)).await;
    assert_eq!(bytes_of(blob).await.unwrap_err().kind(), ErrorKind::Corrupt);
    // Nor for ever.
    rig.proxy.disturb(get(), Fault::CutAnswer(0));
    let blob = rig.store.read(&location, None).await.unwrap();
    assert_eq!(bytes_of(blob).await.unwrap_err().kind(), ErrorKind::Unavailable);
}

#[tokio::test]
async fn a_bucket_that_is_not_there_hides_no_blob() {
    let bucket = Bucket::missing().await;
    let (store, location) = (bucket.store(), bucket.location(name()));
    let created = store.create(name(), Attempt(Uuid::new_v4()), None).await;
    let error = created.map(drop).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    assert!(format!("{:?}", error).contains("NoBucket"));
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

#[tokio::test]
async fn a_bucket_is_made_where_that_is_wanted() {
    let bucket = Bucket::missing().await;
    let mut config = bucket.config(&bucket.rgw.host);
    config.s3_store_create_bucket_on_put = true;
    let store = S3Store::open(config).unwrap();
    for _ in 0..2 {
        let created = store.create(name(), Attempt(Uuid::new_v4()), None).await;
        let (_, mut writer) = created.unwrap();
        writer.write(Bytes::from_static(b"x")).await.unwrap();
        writer.commit().await.unwrap();
    }
    assert_eq!(bucket.inventory().await.len(), 4);
}

#[tokio::test]
async fn no_error_shows_a_key() {
    let bucket = Bucket::new().await;
    let mut config = bucket.config(&bucket.rgw.host);
    config.s3_store_secret_key = saccade_store_s3::Secret::new("wrongsecret");
    let store = S3Store::open(config).unwrap();
    let error = store.size(&bucket.location(name())).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Denied);
    let error = store.read(&bucket.location(name()), None).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Denied);
    let shown = format!("{error} {error:?} {store} {store:?}");
    assert!(shown.contains("SignatureDoesNotMatch"), "{shown}");
    for secret in ["wrongsecret", &bucket.rgw.access_key] {
        assert!(!shown.contains(secret), "{shown}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn parts_are_sent_several_at_once() {
    let rig = Rig::new().await;
    let bytes = bytes(36 * MIB);
    rig.proxy.disturb(
        when("PUT", "partNumber="),
        Fault::Slow(Duration::from_millis(500)),
    );
    let begun = Instant::now();
    let (handle, location) = rig.upload(name(), &bytes).await;
    // Eight parts, three at once.
    assert!(begun.elapsed() < Duration::from_secs(3), "{:?}", begun.elapsed());
    rig.holds(&location.unwrap(), &bytes).await;
    rig.store.discard(&handle).await.unwrap();
    assert_eq!(rig.left().await, [""; 0]);
}
