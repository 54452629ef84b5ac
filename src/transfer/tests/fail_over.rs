//! Downloads of images that are in several stores, some of which fail.

use std::sync::Arc;

use bytes::Bytes;
use futures_util::{StreamExt, TryStreamExt};
use saccade_disk::simulated::SimulatedDisk;
use saccade_store_conformance::{Fault, FaultyStore};
use saccade_store_contract::{BlobName, Body, Error, ErrorKind, Operation, Store};
use saccade_store_memory::{MemoryStore, Shelf};

use super::rig::{Rig, admin, file_store, noise};
use crate::{
    image::{AttemptId, ChangeKind, Content, Image, Location, RemovalId, Status, StoreId},
    policy::Policy,
    quota::Configured,
    stores::Stores,
    transfer::{Download, DownloadError, DownloadErrorKind, RangeRequest},
};

const STORES: [&str; 3] = ["a", "b", "c"];

/// Three stores that have the same image.
struct Copies {
    rig: Rig,
    stores: Vec<Arc<FaultyStore>>,
    shelves: Vec<Arc<Shelf>>,
    image: Image,
    bytes: Vec<u8>,
}

impl Copies {
    async fn new() -> Self {
        let shelves: Vec<Arc<Shelf>> = STORES.iter().map(|_| Shelf::new()).collect();
        let faulty = |(id, shelf): (&&str, &Arc<Shelf>)| {
            let memory = MemoryStore::new(*id, shelf.clone());
            Arc::new(FaultyStore::new(Arc::new(memory)))
        };
        let stores: Vec<Arc<FaultyStore>> = STORES.iter().zip(&shelves).map(faulty).collect();
        let named = STORES.iter().zip(&stores).map(|(id, store)| {
            let store: Arc<dyn Store> = store.clone();
            ((*id).to_owned(), store)
        });
        let disk = SimulatedDisk::new();
        let _ = file_store(&disk);
        let rig = Rig::with_stores(
            disk,
            Arc::default(),
            Stores::of(named, "a"),
            Arc::new(Configured::default()),
        );
        let bytes = noise(100_001);
        let image = rig.image().await;
        let name = BlobName(image.id.as_uuid());
        for shelf in &shelves {
            shelf.plant(name, Bytes::from(bytes.clone()));
        }
        let location = |id: &&str| Location {
            store: Some(StoreId::new(*id)),
            url: MemoryStore::location(name).into_string(),
            metadata: Default::default(),
        };
        let content = Content {
            attempt: AttemptId::random(),
            size: bytes.len() as u64,
            virtual_size: None,
            checksum: None,
            hash_algorithm: None,
            hash_value: None,
        };
        let wanted = Image {
            locations: STORES.iter().map(location).collect(),
            ..rig.read(image.id).await
        };
        let kind = ChangeKind::Relocate {
            expected: wanted.revision,
            image: Box::new(wanted),
            content: Some(content),
            removal: RemovalId::random(),
        };
        rig.change(image.id, kind).await;
        let image = rig.read(image.id).await;
        assert_eq!((image.status, image.locations.len()), (Status::Active, 3));
        Self {
            rig,
            stores,
            shelves,
            image,
            bytes,
        }
    }

    /// The next read of a store goes wrong.
    fn fail(&self, store: usize, fault: Fault) {
        self.stores[store].fail(Operation::Read, 1, fault);
    }

    fn reads(&self) -> Vec<u64> {
        let reads = |store: &Arc<FaultyStore>| store.calls(Operation::Read);
        self.stores.iter().map(reads).collect()
    }

    async fn open(&self, range: Option<RangeRequest>, preferred: &[&str]) -> Result<Body, DownloadError> {
        let may = Policy::with_defaults()
            .authorize_download(&admin(), &self.image)
            .unwrap();
        let tenant = super::rig::tenant();
        let transfers = &self.rig.transfers;
        let turn = transfers.download_turn(&self.image, range, &tenant).await?;
        let download = transfers.download(may, self.image.clone(), range, preferred, turn);
        match download.await? {
            Download::NoData => panic!("the image has data"),
            Download::Content { body, size, .. } => {
                assert_eq!(size, self.bytes.len() as u64);
                Ok(body)
            }
        }
    }

    /// What comes before the end, or before an error.
    async fn read(&self, range: Option<RangeRequest>) -> (Vec<u8>, Result<(), Error>) {
        let Body::Stream(mut chunks) = self.open(range, &[]).await.unwrap() else {
            panic!("memory has no files")
        };
        let mut bytes = Vec::new();
        loop {
            match chunks.try_next().await {
                Ok(Some(chunk)) => bytes.extend_from_slice(&chunk),
                Ok(None) => return (bytes, Ok(())),
                Err(error) => return (bytes, Err(error)),
            }
        }
    }

    async fn assert_whole(&self) {
        let (bytes, end) = self.read(None).await;
        end.unwrap();
        assert!(bytes == self.bytes, "{} bytes came, or others", bytes.len());
    }
}

#[tokio::test]
async fn the_next_store_is_asked_whatever_the_first_says_before_the_first_byte() {
    for kind in [
        ErrorKind::Unavailable,
        ErrorKind::NotFound,
        ErrorKind::Denied,
        ErrorKind::Corrupt,
        ErrorKind::Invalid,
        ErrorKind::Unsupported,
    ] {
        let copies = Copies::new().await;
        copies.fail(0, Fault::Fail(kind));
        copies.fail(1, Fault::Fail(kind));
        copies.assert_whole().await;
        assert_eq!(copies.reads(), [1, 1, 1], "{kind:?}");
    }
}

#[tokio::test]
async fn a_download_goes_on_where_it_broke_off() {
    let copies = Copies::new().await;
    copies.fail(0, Fault::Partial(ErrorKind::Unavailable));
    copies.assert_whole().await;
    assert_eq!(copies.reads(), [1, 1, 0]);
}

#[tokio::test]
async fn a_download_goes_on_after_every_store_has_failed_once() {
    let copies = Copies::new().await;
    copies.fail(0, Fault::Fail(ErrorKind::Unavailable));
    copies.fail(1, Fault::Partial(ErrorKind::Unavailable));
    copies.fail(2, Fault::Partial(ErrorKind::Corrupt));
    // The first one is back by then.
    copies.assert_whole().await;
    assert_eq!(copies.reads(), [2, 1, 1]);
}

#[tokio::test]
async fn ranges_go_on_too_and_give_the_bytes_they_name() {
    let from = |first, last| RangeRequest::From { first, last };
    for (range, expected) in [
        (from(10, Some(50_009)), 10..50_010),
        (from(100_000, None), 100_000..100_001),
        (from(3, Some(4)), 3..5),
        (RangeRequest::Suffix(7), 99_994..100_001),
    ] {
        let copies = Copies::new().await;
        copies.fail(0, Fault::Partial(ErrorKind::Unavailable));
        copies.fail(1, Fault::Partial(ErrorKind::Unavailable));
        let (bytes, end) = copies.read(Some(range)).await;
        end.unwrap();
        assert_eq!(bytes, copies.bytes[expected], "{range:?}");
    }
}

#[tokio::test]
async fn what_came_before_the_last_store_failed_is_right_and_the_end_is_an_error() {
    let copies = Copies::new().await;
    for store in 0..3 {
        copies.fail(store, Fault::Partial(ErrorKind::Unavailable));
    }
    let (bytes, end) = copies.read(None).await;
    assert_eq!(end.unwrap_err().kind(), ErrorKind::Unavailable);
    assert!(bytes.len() < copies.bytes.len() && copies.bytes.starts_with(&bytes));
}

#[tokio::test]
async fn a_store_without_the_same_data_is_passed_over() {
    let copies = Copies::new().await;
    let name = BlobName(copies.image.id.as_uuid());
    copies.shelves[1].plant(name, Bytes::from_static(b"another length"));
    copies.fail(0, Fault::Partial(ErrorKind::Unavailable));
    copies.assert_whole().await;
    assert_eq!(copies.reads(), [1, 1, 1]);
}

#[tokio::test]
async fn the_preferred_store_is_asked_first_and_the_others_stand_in_for_it() {
    let copies = Copies::new().await;
    drop(copies.open(None, &["c"]).await.unwrap());
    assert_eq!(copies.reads(), [0, 0, 1]);
    copies.fail(2, Fault::Fail(ErrorKind::NotFound));
    drop(copies.open(None, &["c"]).await.unwrap());
    assert_eq!(copies.reads(), [1, 0, 2]);
}

#[tokio::test]
async fn an_image_that_no_store_has_is_not_found_and_one_that_fails_is_unavailable() {
    let copies = Copies::new().await;
    for store in 0..3 {
        copies.fail(store, Fault::Fail(ErrorKind::NotFound));
    }
    let error = copies.open(None, &[]).await.unwrap_err();
    assert_eq!(error.kind(), DownloadErrorKind::NotFound);
    for (store, kind) in [ErrorKind::NotFound, ErrorKind::Unavailable, ErrorKind::NotFound]
        .into_iter()
        .enumerate()
    {
        copies.fail(store, Fault::Fail(kind));
    }
    let error = copies.open(None, &[]).await.unwrap_err();
    assert_eq!(error.kind(), DownloadErrorKind::Unavailable);
}

#[tokio::test]
async fn a_client_that_goes_away_leaves_nothing_running() {
    let copies = Copies::new().await;
    copies.fail(0, Fault::Partial(ErrorKind::Unavailable));
    let Body::Stream(mut chunks) = copies.open(None, &[]).await.unwrap() else {
        panic!("memory has no files")
    };
    assert!(chunks.next().await.unwrap().is_ok());
    drop(chunks);
    copies.rig.rest().await;
    copies.assert_whole().await;
}

#[tokio::test]
async fn data_is_kept_when_its_store_has_another_name_by_the_time_that_it_is_settled() {
    let disk = SimulatedDisk::new();
    disk.plant(
        &std::path::Path::new(super::rig::IMAGES).join("foreign"),
        b"not ours",
    )
    .unwrap();
    let faulty = Arc::new(FaultyStore::new(file_store(&disk)));
    let store: Arc<dyn Store> = faulty.clone();
    let both = ["file", "renamed"].map(|id| (id.to_owned(), store.clone()));
    let rig = Rig::with_stores(
        disk,
        Arc::default(),
        Stores::of(both, "file"),
        Arc::new(Configured::default()),
    );
    faulty.fail(Operation::Settle, 1, Fault::Fail(ErrorKind::Unavailable));
    let image = rig.image().await;
    rig.upload(&image, noise(1000)).await.unwrap();
    rig.rest().await;
    assert_eq!(rig.ledger.len(), 1, "the attempt is not settled");
    let image = rig.read(image.id).await;
    let locations = image.locations.iter().cloned().map(|location| Location {
        store: Some(StoreId::new("renamed")),
        ..location
    });
    let kind = ChangeKind::Readdress {
        expected: image.revision,
        locations: locations.collect(),
        retired: Vec::new(),
    };
    rig.change(image.id, kind).await;
    rig.janitor.sweep().await;
    assert_eq!(rig.ledger.len(), 0);
    let image = rig.read(image.id).await;
    assert_eq!(rig.download(&image, None).await.unwrap().unwrap(), noise(1000));
}
