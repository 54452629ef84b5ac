//! A small daemon without HTTP: the parts of the data path over a simulated disk.

use std::{
    num::NonZeroUsize, path::Path, path::PathBuf, pin::Pin, sync::Arc, task::Context, task::Poll,
    time::Duration,
};

use bytes::Bytes;
use http_body::{Body, Frame};
use http_body_util::{BodyExt, Full};
use saccade_disk::{Disk, simulated::SimulatedDisk};
use saccade_store_contract::{Body as BlobBody, Store};
use saccade_store_file::{FileStore, FileStoreConfig};
use tokio_util::task::TaskTracker;

use crate::{
    digest::{Algorithm, DigestPool},
    identity::{Caller, Scope},
    image::{Change, ChangeKind, Entry, Image, ImageId, NodeId, Timestamp},
    inspect::Rules,
    janitor::Janitor,
    ledger::Ledger,
    metadata::{Metadata, memory::MemoryMetadata},
    policy::Policy,
    quota::{self, Configured},
    stores::Stores,
    transfer::{
        Concurrency, Download, DownloadError, Limits, Parts, RangeRequest, ReadThrough, Reserve, Source,
        Tenant, Transfers, UploadError,
    },
};

pub(super) const STATE: &str = "/saccade";
pub(super) const IMAGES: &str = "/saccade/images";
const NODE: NodeId = NodeId::from_bytes([9; 16]);

pub(super) struct Rig {
    pub(super) disk: SimulatedDisk,
    pub(super) metadata: Arc<MemoryMetadata>,
    pub(super) ledger: Ledger,
    pub(super) janitor: Janitor,
    pub(super) transfers: Transfers,
    pub(super) tasks: TaskTracker,
}

impl Rig {
    /// An empty one.
    pub(super) fn new() -> Self {
        let disk = SimulatedDisk::new();
        disk.plant(&Path::new(IMAGES).join("foreign"), b"not ours")
            .unwrap();
        Self::start(disk, Arc::default())
    }

    /// The next start over what a disk and a metadata store hold.
    pub(super) fn start(disk: SimulatedDisk, metadata: Arc<MemoryMetadata>) -> Self {
        let store = file_store(&disk);
        Self::over(disk, metadata, store)
    }

    /// With a store of the test's own.
    pub(super) fn over(disk: SimulatedDisk, metadata: Arc<MemoryMetadata>, store: Arc<dyn Store>) -> Self {
        Self::limited(disk, metadata, store, Arc::new(Configured::default()))
    }

    /// Where projects may use so much.
    pub(super) fn limited(
        disk: SimulatedDisk,
        metadata: Arc<MemoryMetadata>,
        store: Arc<dyn Store>,
        quota: Arc<dyn quota::Limits>,
    ) -> Self {
        let stores = Stores::of([("file".to_owned(), store)], "file");
        Self::with_stores(disk, metadata, stores, quota)
    }

    /// With several stores.
    pub(super) fn with_stores(
        disk: SimulatedDisk,
        metadata: Arc<MemoryMetadata>,
        stores: Stores,
        quota: Arc<dyn quota::Limits>,
    ) -> Self {
        Self::assembled(disk, metadata, stores, quota, None)
    }

    /// With a cache before these stores.
    pub(super) fn caching(stores: Stores, cache: ReadThrough) -> Self {
        let disk = SimulatedDisk::new();
        disk.plant(&Path::new(IMAGES).join("foreign"), b"not ours")
            .unwrap();
        Self::assembled(
            disk,
            Arc::default(),
            stores,
            Arc::new(Configured::default()),
            Some(cache),
        )
    }

    fn assembled(
        disk: SimulatedDisk,
        metadata: Arc<MemoryMetadata>,
        stores: Stores,
        quota: Arc<dyn quota::Limits>,
        cache: Option<ReadThrough>,
    ) -> Self {
        let ledger = Ledger::open(Path::new(STATE), Arc::new(disk.clone()))
            .unwrap()
            .ledger;
        let tasks = TaskTracker::new();
        let shared: Arc<dyn Metadata> = metadata.clone();
        let janitor = Janitor::new(
            ledger.clone(),
            stores.clone(),
            shared.clone(),
            NODE,
            tasks.clone(),
        );
        let transfers = Transfers::new(Parts {
            ledger: ledger.clone(),
            stores,
            metadata: shared,
            janitor: janitor.clone(),
            digests: DigestPool::new(NonZeroUsize::MIN).unwrap(),
            tasks: tasks.clone(),
            node: NODE,
            limits: Limits {
                hash_algorithm: Algorithm::Sha512,
                rules: Rules::default(),
                size_cap: 16 << 20,
                memory: 8 << 20,
                uploads: Concurrency::default(),
                downloads: Concurrency::default(),
                claim_lease: Duration::from_secs(30),
                hash_adopted: true,
                retries: 1,
                imported_at_once: NonZeroUsize::MIN,
                stage_host: Some("http://here:9292".to_owned()),
                reserve: Reserve {
                    dir: PathBuf::from("/"),
                    bytes: 0,
                },
            },
            quota,
            cache,
        });
        Self {
            disk,
            metadata,
            ledger,
            janitor,
            transfers,
            tasks,
        }
    }

    /// A queued raw image.
    pub(super) async fn image(&self) -> Image {
        self.image_of("raw").await
    }

    pub(super) async fn image_of(&self, disk_format: &str) -> Image {
        let now = Timestamp::now();
        let image = Image {
            owner: Some("project".into()),
            disk_format: Some(disk_format.into()),
            container_format: Some("bare".into()),
            ..Image::new(ImageId::random(), now)
        };
        self.change(image.id, ChangeKind::Create(Box::new(image.clone())))
            .await;
        image
    }

    pub(super) async fn change(&self, id: ImageId, kind: ChangeKind) -> Entry {
        self.metadata
            .commit(Change {
                id,
                at: Timestamp::now(),
                kind,
            })
            .await
            .unwrap()
    }

    pub(super) async fn read(&self, id: ImageId) -> Image {
        match self.metadata.entry(id).await.unwrap().unwrap() {
            Entry::Live(image) => image,
            Entry::Deleted(tombstone) => tombstone.image,
        }
    }

    pub(super) async fn upload(&self, image: &Image, bytes: impl Into<Bytes>) -> Result<(), UploadError> {
        self.upload_from(image, Full::new(bytes.into()), None).await
    }

    pub(super) async fn upload_from<B>(
        &self,
        image: &Image,
        body: B,
        declared_size: Option<u64>,
    ) -> Result<(), UploadError>
    where
        B: Body<Data = Bytes> + Send + 'static,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let may = Policy::with_defaults().authorize_upload(&admin(), image).unwrap();
        self.transfers
            .upload(
                may,
                image.clone(),
                Source {
                    body,
                    declared_size,
                    store: None,
                    tenant: tenant(),
                },
            )
            .await
    }

    pub(super) async fn download(
        &self,
        image: &Image,
        range: Option<RangeRequest>,
    ) -> Result<Option<Vec<u8>>, DownloadError> {
        let may = Policy::with_defaults()
            .authorize_download(&admin(), image)
            .unwrap();
        let turn = self.transfers.download_turn(image, range, &tenant()).await?;
        match self
            .transfers
            .download(may, image.clone(), range, &[], turn)
            .await?
        {
            Download::NoData => Ok(None),
            Download::Content { body, .. } => Ok(Some(bytes_of(body).await)),
        }
    }

    /// Everything that runs has ended.
    pub(super) async fn rest(&self) {
        self.tasks.close();
        self.tasks.wait().await;
        self.tasks.reopen();
    }

    /// The files under the images' directory, but for the foreign one, which must be whole.
    pub(super) fn blobs(&self) -> Vec<(String, Vec<u8>)> {
        let mut files: Vec<_> = self
            .disk
            .files()
            .into_iter()
            .filter_map(|(path, bytes)| {
                let name = path.strip_prefix(IMAGES).ok()?.to_str()?.to_owned();
                Some((name, bytes))
            })
            .collect();
        let foreign = files
            .iter()
            .position(|(name, _)| name == "foreign")
            .expect("the foreign file is gone");
        assert_eq!(files.remove(foreign).1, b"not ours");
        files
    }
}

pub(super) fn file_store(disk: &SimulatedDisk) -> Arc<dyn Store> {
    let config = FileStoreConfig::new("file", IMAGES);
    let disk: Arc<dyn Disk> = Arc::new(disk.clone());
    Arc::new(FileStore::open(config, disk).unwrap())
}

pub(super) fn admin() -> Caller {
    Caller {
        user_id: "user".into(),
        user_name: None,
        user_domain_id: None,
        project_id: Some("project".into()),
        project_name: None,
        project_domain_id: None,
        scope: Scope::Project,
        roles: vec!["admin".into(), "member".into(), "reader".into()],
        domain_id: None,
        service: None,
        is_admin_project: true,
    }
}

pub(super) async fn bytes_of(body: BlobBody) -> Vec<u8> {
    match body {
        BlobBody::File(region) => {
            use std::os::unix::fs::FileExt;
            let mut bytes = vec![0; usize::try_from(region.len).unwrap()];
            region.file.read_exact_at(&mut bytes, region.offset).unwrap();
            bytes
        }
        BlobBody::Stream(mut stream) => {
            use futures_util::StreamExt;
            let mut bytes = Vec::new();
            while let Some(chunk) = stream.next().await {
                bytes.extend_from_slice(&chunk.unwrap());
            }
            bytes
        }
    }
}

pub(super) fn tenant() -> Tenant {
    Tenant::new("project")
}

/// A body that hands over chunks as the test sends them.
pub(in crate::transfer) struct SlowBody(tokio::sync::mpsc::Receiver<Result<Bytes, std::io::Error>>);

pub(in crate::transfer) fn slow_body() -> (tokio::sync::mpsc::Sender<Result<Bytes, std::io::Error>>, SlowBody)
{
    let (sender, receiver) = tokio::sync::mpsc::channel(1);
    (sender, SlowBody(receiver))
}

impl Body for SlowBody {
    type Data = Bytes;
    type Error = std::io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, std::io::Error>>> {
        self.0
            .poll_recv(cx)
            .map(|chunk| chunk.map(|chunk| chunk.map(Frame::data)))
    }
}

/// A body that breaks off after some bytes.
pub(super) fn broken_body(bytes: &'static [u8]) -> impl Body<Data = Bytes, Error = std::io::Error> + Send {
    let (sender, body) = slow_body();
    tokio::spawn(async move {
        let _ = sender.send(Ok(Bytes::from_static(bytes))).await;
        let _ = sender.send(Err(std::io::ErrorKind::ConnectionReset.into())).await;
    });
    body.map_err(|error| error)
}

/// Bytes that are not all alike.
pub(in crate::transfer) fn noise(len: usize) -> Vec<u8> {
    (0..len)
        .map(|at| (at.wrapping_mul(2_654_435_761) >> 13) as u8)
        .collect()
}
