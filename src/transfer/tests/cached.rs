//! Downloads through the image cache, from stores that count and fail.

use std::{num::NonZeroUsize, sync::Arc, time::Duration};

use bytes::Bytes;
use saccade_store_conformance::{Fault, FaultyStore};
use saccade_store_contract::{Body, ErrorKind, Operation, Store};
use saccade_store_file::{FileStore, FileStoreConfig};
use saccade_store_memory::{MemoryStore, Shelf};
use tempfile::TempDir;

use super::rig::{Rig, admin, bytes_of, noise};
use crate::{
    cache::{Cache, Options},
    digest::DigestPool,
    image::{ChangeKind, Image, Status},
    policy::Policy,
    stores::Stores,
    transfer::{Download, DownloadError, DownloadErrorKind, Fills, RangeRequest, ReadThrough},
};

const LEN: usize = 3_000_001;

/// A slow store, and one of files on the local disk.
struct Slow {
    rig: Arc<Rig>,
    cache: Cache,
    store: Arc<FaultyStore>,
    _place: TempDir,
}

impl Slow {
    fn new(fills: Fills) -> Self {
        let place = tempfile::tempdir().unwrap();
        let options = Options {
            dir: place.path().join("cache"),
            limit: 64 << 20,
            free_space_reserve: 0,
            stall: Duration::from_secs(5),
        };
        let cache = Cache::open(&options, DigestPool::new(NonZeroUsize::MIN).unwrap()).unwrap();
        let shelf = Shelf::new();
        let store = Arc::new(FaultyStore::new(Arc::new(MemoryStore::new(
            "slow",
            shelf.clone(),
        ))));
        let files = place.path().join("files");
        std::fs::create_dir(&files).unwrap();
        let config = FileStoreConfig::new("here", files);
        let disk = Arc::new(saccade_disk::RealDisk);
        let here: Arc<dyn Store> = Arc::new(FileStore::open(config, disk).unwrap());
        let slow: Arc<dyn Store> = store.clone();
        let stores = Stores::of([("slow".to_owned(), slow), ("here".to_owned(), here)], "slow");
        let parts = ReadThrough {
            cache: cache.clone(),
            fills,
        };
        Self {
            rig: Arc::new(Rig::caching(stores, parts)),
            cache,
            store,
            _place: place,
        }
    }

    /// An active image in the slow store.
    async fn image(&self, bytes: &[u8]) -> Image {
        let image = self.rig.image().await;
        self.rig.upload(&image, bytes.to_vec()).await.unwrap();
        self.rig.read(image.id).await
    }

    /// An active image in the local one.
    async fn local_image(&self, bytes: &[u8]) -> Image {
        let image = self.rig.image().await;
        let may = Policy::with_defaults()
            .authorize_upload(&admin(), &image)
            .unwrap();
        let source = crate::transfer::Source {
            body: http_body_util::Full::new(Bytes::from(bytes.to_vec())),
            declared_size: None,
            store: Some("here".to_owned()),
            tenant: super::rig::tenant(),
        };
        self.rig
            .transfers
            .upload(may, image.clone(), source)
            .await
            .unwrap();
        self.rig.read(image.id).await
    }

    async fn open(&self, image: &Image, range: Option<RangeRequest>) -> Result<Body, DownloadError> {
        let may = Policy::with_defaults()
            .authorize_download(&admin(), image)
            .unwrap();
        let transfers = &self.rig.transfers;
        let turn = transfers
            .download_turn(image, range, &super::rig::tenant())
            .await?;
        match transfers.download(may, image.clone(), range, &[], turn).await? {
            Download::NoData => panic!("the image has data"),
            Download::Content { body, .. } => Ok(body),
        }
    }

    async fn bytes(&self, image: &Image) -> Vec<u8> {
        bytes_of(self.open(image, None).await.unwrap()).await
    }

    fn reads(&self) -> u64 {
        self.store.calls(Operation::Read)
    }

    async fn until_cached(&self, images: usize) {
        until(|| self.cache.cached().len() == images).await;
    }
}

async fn until(mut condition: impl FnMut() -> bool) {
    for _ in 0..5000 {
        if condition() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    panic!("it does not come to pass");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_readers_cost_a_slow_store_one_read() {
    let slow = Arc::new(Slow::new(Fills::Remote));
    let bytes = noise(LEN);
    let image = slow.image(&bytes).await;
    let readers: Vec<_> = (0..200)
        .map(|_| {
            let (slow, image) = (slow.clone(), image.clone());
            tokio::spawn(async move { slow.bytes(&image).await })
        })
        .collect();
    for reader in readers {
        assert!(reader.await.unwrap() == bytes);
    }
    slow.until_cached(1).await;
    assert!(matches!(slow.open(&image, None).await.unwrap(), Body::File(_)));
    let range = RangeRequest::Suffix(5);
    let tail = bytes_of(slow.open(&image, Some(range)).await.unwrap()).await;
    assert_eq!(tail, bytes[LEN - 5..]);
    assert_eq!(slow.reads(), 1);
}

#[tokio::test]
async fn what_a_store_says_is_told_as_without_a_cache() {
    let slow = Slow::new(Fills::Remote);
    let image = slow.image(&noise(LEN)).await;
    // The fill is refused, and then the reader.
    for _ in 0..2 {
        slow.store
            .fail(Operation::Read, 1, Fault::Fail(ErrorKind::Unavailable));
        slow.store
            .fail(Operation::Read, 2, Fault::Fail(ErrorKind::Unavailable));
        let error = slow.open(&image, None).await.unwrap_err();
        assert_eq!(error.kind(), DownloadErrorKind::Unavailable);
    }
    let first = RangeRequest::From {
        first: LEN as u64,
        last: None,
    };
    let error = slow.open(&image, Some(first)).await.unwrap_err();
    assert_eq!(
        error.kind(),
        DownloadErrorKind::Unsatisfiable { size: LEN as u64 }
    );
    slow.store
        .fail(Operation::Read, 1, Fault::Fail(ErrorKind::NotFound));
    slow.store
        .fail(Operation::Read, 2, Fault::Fail(ErrorKind::NotFound));
    let error = slow.open(&image, None).await.unwrap_err();
    assert_eq!(error.kind(), DownloadErrorKind::NotFound);
    assert_eq!(slow.cache.cached(), []);
}

#[tokio::test]
async fn a_store_that_breaks_within_the_data_breaks_the_download_and_nothing_is_cached() {
    let slow = Slow::new(Fills::Remote);
    let bytes = noise(LEN);
    let image = slow.image(&bytes).await;
    slow.store
        .fail(Operation::Read, 1, Fault::Partial(ErrorKind::Unavailable));
    let Body::Stream(chunks) = slow.open(&image, None).await.unwrap() else {
        panic!("a fill is followed")
    };
    use futures_util::TryStreamExt;
    assert!(chunks.try_collect::<Vec<_>>().await.is_err());
    assert!(slow.bytes(&image).await == bytes);
    slow.until_cached(1).await;
}

#[tokio::test]
async fn images_on_the_local_disk_are_not_cached_by_reading_them() {
    let slow = Slow::new(Fills::Remote);
    let bytes = noise(LEN);
    let image = slow.local_image(&bytes).await;
    assert!(matches!(slow.open(&image, None).await.unwrap(), Body::File(_)));
    assert!(slow.bytes(&image).await == bytes);
    assert_eq!(slow.cache.cached(), []);
    let all = Slow::new(Fills::Everything);
    let image = all.local_image(&bytes).await;
    assert!(all.bytes(&image).await == bytes);
    all.until_cached(1).await;
    let none = Slow::new(Fills::Nothing);
    let image = none.image(&bytes).await;
    assert!(none.bytes(&image).await == bytes && none.bytes(&image).await == bytes);
    assert_eq!((none.cache.cached(), none.reads()), (Vec::new(), 2));
}

#[tokio::test]
async fn deactivated_images_are_never_served_from_the_cache() {
    let slow = Slow::new(Fills::Remote);
    let bytes = noise(LEN);
    let image = slow.image(&bytes).await;
    assert!(slow.bytes(&image).await == bytes);
    slow.until_cached(1).await;
    let expected = image.revision;
    slow.rig
        .change(image.id, ChangeKind::Deactivate { expected })
        .await;
    let image = slow.rig.read(image.id).await;
    assert_eq!(image.status, Status::Deactivated);
    // An administrator may read it.
    assert!(slow.bytes(&image).await == bytes);
    assert_eq!(slow.reads(), 2);
}

#[tokio::test]
async fn what_is_queued_is_cached_in_its_turn_and_what_cannot_be_is_dropped() {
    let slow = Slow::new(Fills::Nothing);
    let bytes = noise(LEN);
    let (first, second) = (slow.image(&bytes).await, slow.local_image(&bytes[1..]).await);
    let queued = slow.rig.image().await;
    let worker = tokio::spawn(slow.rig.transfers.clone().run_cache());
    for id in [queued.id, first.id, crate::image::ImageId::random(), second.id] {
        assert!(slow.cache.enqueue(id));
    }
    slow.until_cached(2).await;
    until(|| slow.cache.queue().is_empty()).await;
    assert!(slow.bytes(&first).await == bytes);
    assert!(slow.bytes(&second).await == bytes[1..]);
    assert_eq!(slow.reads(), 1);
    // Evicted, and asked for again.
    assert!(slow.cache.evict(first.id) && slow.cache.enqueue(first.id));
    slow.until_cached(2).await;
    assert_eq!((slow.reads(), slow.cache.queue()), (2, Vec::new()));
    worker.abort();
}

#[tokio::test]
async fn what_cannot_be_cached_now_waits_in_the_queue() {
    let slow = Slow::new(Fills::Nothing);
    let image = slow.image(&noise(LEN)).await;
    slow.store
        .fail(Operation::Read, 1, Fault::Fail(ErrorKind::Unavailable));
    let worker = tokio::spawn(slow.rig.transfers.clone().run_cache());
    slow.cache.enqueue(image.id);
    until(|| slow.reads() == 1).await;
    // The worker has looked at the queue again, and waits.
    until(|| slow.cache.queue() == [image.id]).await;
    tokio::time::sleep(Duration::from_millis(20)).await;
    assert_eq!((slow.reads(), slow.cache.queue()), (1, vec![image.id]));
    worker.abort();
    // The next sweep, here the next start.
    let worker = tokio::spawn(slow.rig.transfers.clone().run_cache());
    slow.until_cached(1).await;
    assert_eq!((slow.reads(), slow.cache.queue()), (2, Vec::new()));
    worker.abort();
}

#[tokio::test]
async fn what_no_record_has_any_more_is_swept_out() {
    let slow = Slow::new(Fills::Remote);
    let bytes = noise(LEN);
    let (gone, kept) = (slow.image(&bytes).await, slow.image(&bytes).await);
    assert!(slow.bytes(&gone).await == bytes && slow.bytes(&kept).await == bytes);
    slow.until_cached(2).await;
    slow.rig.janitor.delete(&gone).await.unwrap();
    let worker = tokio::spawn(slow.rig.transfers.clone().run_cache());
    slow.until_cached(1).await;
    assert!(slow.cache.is_cached(kept.id));
    worker.abort();
}

#[tokio::test]
async fn an_image_that_is_deleted_while_it_is_filled_is_not_cached() {
    let slow = Slow::new(Fills::Remote);
    let bytes = noise(LEN);
    let image = slow.image(&bytes).await;
    let gate = slow.store.hold_after(Operation::Read, 1);
    let reading = slow.bytes(&image);
    let deleting = async {
        gate.reached().await;
        slow.rig.janitor.delete(&image).await.unwrap();
        gate.release();
    };
    let (read, ()) = tokio::join!(reading, deleting);
    assert!(read == bytes);
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert_eq!(slow.cache.cached(), []);
}
