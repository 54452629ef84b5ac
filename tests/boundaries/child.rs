//! What runs in the process that dies.

use std::{
    env,
    net::SocketAddr,
    num::NonZeroUsize,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use bytes::Bytes;
use futures_util::{StreamExt, stream};
use http_body_util::Full;
use saccade::{
    digest::{Algorithm, DigestPool},
    identity::{Caller, Scope},
    image::{
        Amendments, AttemptId, Change, ChangeKind, Entry, Image, ImageId, NodeId, Status, TaskId, Timestamp,
    },
    inspect::Rules,
    janitor::Janitor,
    ledger::Ledger,
    metadata::{
        Metadata,
        rocksdb::{Options, RocksMetadata},
    },
    policy::{ImportKind, Policy},
    quota::Configured,
    stores::Stores,
    transfer::{
        Arrival, Concurrency, Download, Import, Incoming, Limits, Origin, Original, Partial, Parts, Reserve,
        Source, Tenant, Transfers, Treatment,
    },
};
use saccade_disk::Disk;
use saccade_store_conformance::{bytes_of, proxy::Proxy};
use saccade_store_contract::{Blob, Store};
use saccade_store_file::{FileStore, FileStoreConfig};
use saccade_store_s3::{S3Store, S3StoreConfig, Secret};
use saccade_store_swift::{SwiftStore, SwiftStoreConfig};
use tokio_util::task::TaskTracker;

use super::kill::{KillingDisk, KillingMetadata, KillingStore, Steps};

pub(super) const DIR: &str = "SACCADE_TEST_DIR";
pub(super) const SCENARIO: &str = "SACCADE_TEST_SCENARIO";
pub(super) const KILL_AT: &str = "SACCADE_TEST_KILL_AT";

/// The one image of every scenario.
pub(super) const IMAGE: &str = "6a1c2b3d-0000-4000-8000-000000000001";

/// The store beside the default one, and its directory.
pub(super) const SECOND: &str = "second";
const BOTH: [&str; 2] = ["file", SECOND];

/// Long enough for several writes, and for several parts.
const SIZE: usize = 600_000;
const TWO_PARTS: usize = 6_000_000;
const THREE_SEGMENTS: usize = 2_500_000;

/// The server that images are at, instead of a directory; what [`Remote`] has, between blanks.
pub(super) const REMOTE: &str = "SACCADE_TEST_REMOTE";
/// Its address. Without it the server cannot be reached.
pub(super) const SERVER: &str = "SACCADE_TEST_SERVER";

/// What a child does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Scenario {
    Upload,
    /// Bytes that are not what the image says they are.
    RefusedUpload,
    UploadThenDelete,
    TwoUploads,
    UploadWithPatchAndDelete,
    /// What was staged, into two stores.
    StageThenImport,
    /// Another place's bytes, with what it says of them, into two stores.
    ImportFromElsewhere,
    /// The same, where the second store does not take them, and need not.
    PartialImport,
    /// Bytes that are not what the other place says they are.
    RefusedImport,
    /// Into the second store.
    UploadThenCopy,
    /// Finishes what was interrupted, and says what is there.
    Recover,
    /// Tries to finish what was interrupted.
    Finish,
}

impl Scenario {
    const ALL: [Self; 12] = [
        Self::Upload,
        Self::RefusedUpload,
        Self::UploadThenDelete,
        Self::TwoUploads,
        Self::UploadWithPatchAndDelete,
        Self::StageThenImport,
        Self::ImportFromElsewhere,
        Self::PartialImport,
        Self::RefusedImport,
        Self::UploadThenCopy,
        Self::Recover,
        Self::Finish,
    ];

    pub(super) fn name(self) -> String {
        format!("{self:?}")
    }
}

fn say(line: &str) {
    println!("child: {line}");
}

struct Child {
    metadata: Arc<dyn Metadata>,
    ledger: Ledger,
    janitor: Janitor,
    transfers: Transfers,
    tasks: TaskTracker,
}

impl Child {
    fn start(dir: &Path, steps: &Steps, remote: Option<&Remote>) -> Self {
        let disk: Arc<dyn Disk> = Arc::new(KillingDisk(steps.clone()));
        let node = NodeId::from_bytes([7; 16]);
        let rocks = RocksMetadata::open(&dir.join("metadata"), Options::default()).unwrap();
        let metadata: Arc<dyn Metadata> = Arc::new(KillingMetadata {
            inner: rocks,
            steps: steps.clone(),
        });
        let ledger = Ledger::open(dir, disk.clone()).unwrap().ledger;
        let store: Arc<dyn Store> = match remote {
            Some(remote) => Arc::new(KillingStore {
                inner: remote.store(),
                steps: steps.clone(),
            }),
            None => {
                let config = FileStoreConfig::new("file", dir.join("images"));
                Arc::new(FileStore::open(config, disk.clone()).unwrap())
            }
        };
        let second = FileStoreConfig::new(SECOND, dir.join(SECOND));
        std::fs::create_dir_all(&second.datadir).unwrap();
        let second: Arc<dyn Store> = Arc::new(FileStore::open(second, disk).unwrap());
        let stores = Stores::of([("file".to_owned(), store), (SECOND.to_owned(), second)], "file")
            .with_staging(&dir.join("staging"))
            .unwrap();
        let tasks = TaskTracker::new();
        let janitor = Janitor::new(
            ledger.clone(),
            stores.clone(),
            metadata.clone(),
            node,
            tasks.clone(),
        );
        let transfers = Transfers::new(Parts {
            ledger: ledger.clone(),
            stores,
            metadata: metadata.clone(),
            janitor: janitor.clone(),
            digests: DigestPool::new(NonZeroUsize::MIN).unwrap(),
            tasks: tasks.clone(),
            node,
            limits: Limits {
                hash_algorithm: Algorithm::Sha512,
                rules: Rules::default(),
                size_cap: u64::MAX,
                memory: 8 << 20,
                claim_lease: Duration::from_secs(30),
                hash_adopted: true,
                retries: 3,
                uploads: Concurrency::default(),
                downloads: Concurrency::default(),
                imported_at_once: std::num::NonZeroUsize::MIN,
                stage_host: None,
                reserve: Reserve {
                    dir: PathBuf::from("/"),
                    bytes: 0,
                },
            },
            quota: Arc::new(Configured::default()),
            cache: None,
        });
        Self {
            metadata,
            ledger,
            janitor,
            transfers,
            tasks,
        }
    }

    async fn change(&self, kind: ChangeKind) -> bool {
        let change = Change {
            id: id(),
            at: Timestamp::now(),
            kind,
        };
        self.metadata.commit(change).await.is_ok()
    }

    async fn create(&self, disk_format: &str) -> Image {
        let image = Image {
            owner: Some("project".into()),
            disk_format: Some(disk_format.into()),
            container_format: Some("bare".into()),
            ..Image::new(id(), Timestamp::now())
        };
        assert!(self.change(ChangeKind::Create(Box::new(image.clone()))).await);
        say("created");
        image
    }

    async fn upload(&self, image: &Image) {
        let may = Policy::with_defaults().authorize_upload(&admin(), image).unwrap();
        let source = Source {
            body: Full::new(bytes()),
            declared_size: Some(bytes().len() as u64),
            store: None,
            tenant: Tenant::new("project"),
        };
        if self.transfers.upload(may, image.clone(), source).await.is_ok() {
            say("uploaded");
        }
    }

    /// Says how it ends.
    async fn import(&self, image: &Image, origin: Origin, stores: &[&str], partial: Partial) {
        let kind = match origin {
            Origin::Own => ImportKind::Copy,
            Origin::Staged(_) | Origin::Elsewhere(_) => ImportKind::NewData,
        };
        let may = Policy::with_defaults()
            .authorize_import(&admin(), image, kind)
            .unwrap();
        let stores: Vec<String> = stores.iter().map(|&id| id.to_owned()).collect();
        let import = Import {
            task: TaskId::random(),
            attempt: AttemptId::random(),
            origin,
            shown: stores.clone(),
            stores,
            partial,
            treatment: Treatment::default(),
        };
        let Ok(end) = self.transfers.import(may, image.clone(), import).await else {
            return;
        };
        if end.await.unwrap().is_ok() {
            say(match kind {
                ImportKind::Copy => "copied",
                ImportKind::NewData => "uploaded",
            });
        }
    }

    async fn stage(&self, image: &Image) -> Option<AttemptId> {
        let may = Policy::with_defaults().authorize_stage(&admin(), image).unwrap();
        let source = Source {
            body: Full::new(bytes()),
            declared_size: None,
            store: None,
            tenant: Tenant::new("project"),
        };
        self.transfers.stage(may, image, source).await.ok()?;
        say("staged");
        self.read().await?.live()?.staged()
    }

    async fn read(&self) -> Option<Entry> {
        self.metadata.entry(id()).await.unwrap()
    }

    async fn patch(&self) {
        for _ in 0..5 {
            let Some(Entry::Live(image)) = self.read().await else {
                return;
            };
            let renamed = Image {
                name: Some("renamed".into()),
                ..image.clone()
            };
            if self
                .change(ChangeKind::Update {
                    expected: image.revision,
                    image: Box::new(renamed),
                })
                .await
            {
                say("renamed");
                return;
            }
        }
    }

    async fn delete(&self) {
        for _ in 0..5 {
            let Some(Entry::Live(image)) = self.read().await else {
                return;
            };
            if self.janitor.delete(&image).await.is_ok() {
                say("deleted");
                return;
            }
        }
    }

    async fn play(&self, scenario: Scenario) {
        match scenario {
            Scenario::Upload => self.upload(&self.create("raw").await).await,
            Scenario::RefusedUpload => self.upload(&self.create("qcow2").await).await,
            Scenario::UploadThenDelete => {
                self.upload(&self.create("raw").await).await;
                self.delete().await;
            }
            Scenario::TwoUploads => {
                let image = self.create("raw").await;
                tokio::join!(self.upload(&image), self.upload(&image));
            }
            Scenario::UploadWithPatchAndDelete => {
                let image = self.create("raw").await;
                tokio::join!(self.upload(&image), async {
                    self.patch().await;
                    self.delete().await;
                });
            }
            Scenario::StageThenImport => {
                let image = self.create("raw").await;
                let Some(staged) = self.stage(&image).await else {
                    return;
                };
                let Some(Entry::Live(image)) = self.read().await else {
                    return;
                };
                let origin = Origin::Staged(staged);
                self.import(&image, origin, &BOTH, Partial::Refused).await;
            }
            Scenario::ImportFromElsewhere => {
                let image = self.create("iso").await;
                self.import(&image, elsewhere(None), &BOTH, Partial::Refused)
                    .await;
            }
            Scenario::PartialImport => {
                let image = self.create("iso").await;
                self.import(&image, elsewhere(None), &BOTH, Partial::Accepted)
                    .await;
            }
            Scenario::RefusedImport => {
                let image = self.create("iso").await;
                let origin = elsewhere(Some("0".repeat(32)));
                self.import(&image, origin, &BOTH, Partial::Refused).await;
            }
            Scenario::UploadThenCopy => {
                self.upload(&self.create("raw").await).await;
                if let Some(Entry::Live(image)) = self.read().await
                    && image.status == Status::Active
                {
                    self.import(&image, Origin::Own, &[SECOND], Partial::Refused)
                        .await;
                }
            }
            Scenario::Finish => self.janitor.sweep().await,
            Scenario::Recover => {
                self.janitor.sweep().await;
                // What waited for an import that was interrupted is looked at again when that is undone.
                self.janitor.sweep().await;
                self.report().await;
            }
        }
    }

    async fn report(&self) {
        if self.ledger.is_empty() {
            say("ledger empty");
        }
        match self.read().await {
            None => say("status none"),
            Some(Entry::Deleted(tombstone)) => {
                say("status deleted");
                say(&format!("name {}", tombstone.image.name.unwrap_or_default()));
            }
            Some(Entry::Live(image)) => {
                say(&format!("status {}", image.status));
                say(&format!("name {}", image.name.clone().unwrap_or_default()));
                say(&format!("disk_format {}", image.disk_format.clone().unwrap()));
                for location in &image.locations {
                    say(&format!("in {}", location.store.as_ref().unwrap()));
                }
                for name in ["os_glance_import_task", "hw_told"] {
                    if image.properties.contains_key(name) {
                        say(&format!("has {name}"));
                    }
                }
                if image.status == Status::Active && self.download(&image).await == bytes() {
                    say("bytes whole");
                }
            }
        }
    }

    async fn download(&self, image: &Image) -> Vec<u8> {
        let may = Policy::with_defaults()
            .authorize_download(&admin(), image)
            .unwrap();
        let tenant = Tenant::new("project");
        let turn = self.transfers.download_turn(image, None, &tenant).await;
        let download = self
            .transfers
            .download(may, image.clone(), None, &[], turn.unwrap())
            .await
            .unwrap();
        let Download::Content { size, body, .. } = download else {
            panic!("no data")
        };
        bytes_of(Blob { size, body }).await.unwrap()
    }
}

/// Bytes with what is said of them.
fn elsewhere(checksum: Option<String>) -> Origin {
    Origin::Elsewhere(Box::pin(async {
        let pieces: Vec<Bytes> = bytes().chunks(100_000).map(Bytes::copy_from_slice).collect();
        let description = Amendments {
            disk_format: Some("raw".into()),
            container_format: None,
            properties: [("hw_told".to_owned(), "yes".to_owned())].into(),
        };
        let data = Incoming {
            size: Some(bytes().len() as u64),
            chunks: stream::iter(pieces.into_iter().map(Ok)).boxed(),
        };
        let original = Original {
            description,
            checksum,
            hash: None,
        };
        Ok(Arrival {
            data,
            original: Some(original),
        })
    }))
}

/// Where images are at a server, which is known by an address of the test's own, always the same: a proxy that counts requests is
/// there, while the server can be reached.
#[derive(Debug, Clone)]
pub(super) enum Remote {
    S3 {
        address: SocketAddr,
        bucket: String,
        access_key: String,
        secret_key: String,
    },
    Swift {
        address: SocketAddr,
        /// Of the log-in, and of the account.
        paths: [String; 2],
        container: String,
        user: String,
        key: String,
    },
}

impl Remote {
    fn address(&self) -> SocketAddr {
        let (Self::S3 { address, .. } | Self::Swift { address, .. }) = self;
        *address
    }

    /// As [`Remote::parse`] reads it.
    pub(super) fn words(&self) -> String {
        match self {
            Self::S3 {
                address,
                bucket,
                access_key,
                secret_key,
            } => format!("s3 {address} {bucket} {access_key} {secret_key}"),
            Self::Swift {
                address,
                paths: [auth, storage],
                container,
                user,
                key,
            } => format!("swift {address} {auth} {storage} {container} {user} {key}"),
        }
    }

    fn parse(text: &str) -> Self {
        let words: Vec<_> = text.split(' ').map(str::to_owned).collect();
        match <[String; 5]>::try_from(words) {
            Ok([_, address, bucket, access_key, secret_key]) => Self::S3 {
                address: address.parse().unwrap(),
                bucket,
                access_key,
                secret_key,
            },
            Err(words) => {
                let [_, address, auth, storage, container, user, key] = words.try_into().unwrap();
                let paths = [auth, storage];
                Self::Swift {
                    address: address.parse().unwrap(),
                    paths,
                    container,
                    user,
                    key,
                }
            }
        }
    }

    fn store(&self) -> Box<dyn Store> {
        let host = format!("http://{}", self.address());
        match self {
            Self::S3 {
                bucket,
                access_key,
                secret_key,
                ..
            } => {
                let (access_key, secret_key) = (Secret::new(access_key), Secret::new(secret_key));
                let config = S3StoreConfig {
                    s3_store_large_object_size: 5,
                    s3_store_large_object_chunk_size: 5,
                    ..S3StoreConfig::new("file", &host, access_key, secret_key, bucket)
                };
                Box::new(S3Store::open(config).unwrap())
            }
            Self::Swift {
                paths: [auth, storage],
                container,
                user,
                key,
                ..
            } => {
                let config = SwiftStoreConfig {
                    swift_store_auth_version: "1".into(),
                    swift_store_auth_address: Some(format!("{host}{auth}")),
                    swift_store_endpoint: Some(format!("{host}{storage}")),
                    swift_store_user: Some(user.clone()),
                    swift_store_key: Some(saccade_store_swift::Secret::new(key.clone())),
                    swift_store_container: container.clone(),
                    swift_store_large_object_size: 1,
                    swift_store_large_object_chunk_size: 1,
                    ..SwiftStoreConfig::new("file")
                };
                Box::new(SwiftStore::open(config).unwrap())
            }
        }
    }
}

fn remote() -> Option<Remote> {
    env::var(REMOTE).ok().map(|text| Remote::parse(&text))
}

fn id() -> ImageId {
    IMAGE.parse().unwrap()
}

pub(super) fn bytes() -> Bytes {
    let size = match remote() {
        None => SIZE,
        Some(Remote::S3 { .. }) => TWO_PARTS,
        Some(Remote::Swift { .. }) => THREE_SEGMENTS,
    };
    (0..size)
        .map(|at| (at.wrapping_mul(2_654_435_761) >> 11) as u8)
        .collect()
}

fn admin() -> Caller {
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

#[test]
#[ignore = "run by other tests, in a process of its own"]
fn the_child() {
    let scenario = env::var(SCENARIO).expect("run by hand: nothing says what to do");
    let scenario = Scenario::ALL
        .into_iter()
        .find(|known| known.name() == scenario)
        .unwrap();
    let dir = PathBuf::from(env::var(DIR).unwrap());
    let steps = Steps::new(env::var(KILL_AT).unwrap().parse().unwrap());
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let remote = remote();
        let _proxy = match (&remote, env::var(SERVER)) {
            (Some(remote), Ok(server)) => {
                let watched = steps.clone();
                Some(Proxy::watched(remote.address(), &server, move |_| watched.boundary()).await)
            }
            _ => None,
        };
        let child = Child::start(&dir, &steps, remote.as_ref());
        child.play(scenario).await;
        child.tasks.close();
        child.tasks.wait().await;
        say(&format!("steps {}", steps.made()));
    });
}
