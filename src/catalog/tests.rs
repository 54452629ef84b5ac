//! The catalogue on the memory store and the real janitor; the fixture is the HTTP tests' too.

mod accounts;
mod elsewhere;
mod sharing;

use std::{
    num::NonZeroUsize,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use saccade_disk::RealDisk;
use saccade_store_contract::Store;
use saccade_store_memory::{MemoryStore, Shelf};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio_util::task::TaskTracker;

use self::accounts::Accounts;
use super::{
    Catalog, CatalogError, CatalogErrorKind as Kind, Filter, IfPresent, ListRequest, NewImage, Operation,
    Order, Parts, Rules,
};
use crate::{
    cache::Cache,
    config::{self, FileEngine, FileStore, FileWriteMode, StoreDriver, StoreNaming},
    digest::{Algorithm, DigestPool},
    identity::{Caller, Scope},
    image::{
        Allowance, Change, ChangeKind, Claim, Entry, Image, ImageId, MemberStatus, NodeId, Status, Timestamp,
        Tombstone, Usage, VisibilityFilter,
    },
    janitor::Janitor,
    ledger::Ledger,
    metadata::{Metadata, MetadataError, Page, Query, memory::MemoryMetadata},
    policy::{Policy, PropertyProtection},
    quota::{self, Configured},
    stores::Stores,
    transfer::{Concurrency, Fills, Limits, ReadThrough, Reserve, Transfers},
};

fn url_filter() -> config::UrlFilter {
    config::UrlFilter {
        allowed_schemes: Vec::new(),
        disallowed_schemes: Vec::new(),
        allowed_hosts: Vec::new(),
        disallowed_hosts: Vec::new(),
        allowed_ports: Vec::new(),
        disallowed_ports: Vec::new(),
    }
}

/// A whole daemon without its server.
pub(crate) struct Fixture {
    pub(crate) catalog: Catalog,
    pub(crate) transfers: Transfers,
    pub(crate) imports: crate::import::Imports,
    pub(crate) metadata: Arc<Racing>,
    pub(crate) janitor: Janitor,
    pub(crate) ledger: Ledger,
    pub(crate) node: NodeId,
    /// What is at `memory:///NAME`, and is deleted with its image.
    pub(crate) elsewhere: Arc<Shelf>,
    /// What is at `http://web/NAME`, and is only read.
    pub(crate) web: Arc<Shelf>,
    pub(crate) cache: Option<Cache>,
    /// What was asked of the store [`PER_CALLER`].
    pub(crate) accounts: Accounts,
    pub(crate) stores: Stores,
    pub(crate) dir: TempDir,
}

/// The id of a store that acts in its callers' names, where one is wanted.
pub(crate) const PER_CALLER: &str = "accounts";

/// Whether there is an image cache.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Caching {
    Off,
    On,
}

impl Fixture {
    /// With one store, without a name.
    pub(crate) fn new(rules: Rules) -> Self {
        Self::with_stores(StoreNaming::Single, &["file"], rules)
    }

    /// With a file store for each id, the first one the default.
    pub(crate) fn with_stores(naming: StoreNaming, ids: &[&str], rules: Rules) -> Self {
        let limits = Arc::new(Configured::default());
        Self::of(
            naming,
            ids,
            rules,
            PropertyProtection::none(),
            limits,
            Caching::Off,
        )
    }

    /// With one store, and a cache that every download fills.
    pub(crate) fn caching(rules: Rules) -> Self {
        let limits = Arc::new(Configured::default());
        let (naming, ids) = (StoreNaming::Single, &["file"]);
        Self::of(
            naming,
            ids,
            rules,
            PropertyProtection::none(),
            limits,
            Caching::On,
        )
    }

    /// With one store, and what else holds.
    pub(crate) fn with(rules: Rules, properties: PropertyProtection, limits: Arc<dyn quota::Limits>) -> Self {
        Self::of(
            StoreNaming::Single,
            &["file"],
            rules,
            properties,
            limits,
            Caching::Off,
        )
    }

    fn of(
        naming: StoreNaming,
        ids: &[&str],
        rules: Rules,
        properties: PropertyProtection,
        limits: Arc<dyn quota::Limits>,
        caching: Caching,
    ) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let cache =
            (caching == Caching::On).then(|| crate::cache::tests::open(&dir.path().join("cache"), 64 << 20));
        let store = |id: &&str| {
            let directory = if *id == ids[0] { "images" } else { id };
            let datadir = dir.path().join(directory);
            std::fs::create_dir(&datadir).unwrap();
            config::Store {
                id: (*id).to_owned(),
                description: None,
                weight: 0,
                driver: StoreDriver::File(FileStore {
                    datadirs: vec![config::DataDirectory {
                        path: datadir,
                        priority: 0,
                    }],
                    metadata_file: None,
                    file_mode: None,
                    thin_provisioning: false,
                    write_mode: FileWriteMode::Auto,
                }),
            }
        };
        let stores = config::Stores {
            naming,
            default: ids[0].to_owned(),
            list: ids.iter().map(store).collect(),
            url_filter: url_filter(),
            file_engine: FileEngine::Pwrite,
        };
        let opened = Stores::open(&stores).unwrap();
        let (elsewhere, web) = (Shelf::new(), Shelf::new());
        let memory: Arc<dyn Store> = Arc::new(MemoryStore::new("elsewhere", elsewhere.clone()));
        let read_only: Arc<dyn Store> = Arc::new(elsewhere::ReadOnly::new(web.clone()));
        let accounts = Accounts::default();
        let stores = ids.iter().map(|id| {
            let store = opened.store(id).unwrap().clone();
            let store = match *id {
                PER_CALLER => accounts.around(store),
                _ => store,
            };
            ((*id).to_owned(), store)
        });
        let others = [("elsewhere", memory), ("web", read_only)];
        let stores = stores.chain(others.map(|(id, store)| (id.to_owned(), store)));
        let stores = Stores::of(stores, ids[0])
            .with_staging(&dir.path().join("staging"))
            .unwrap();
        let ledger = Ledger::open(dir.path(), Arc::new(RealDisk)).unwrap().ledger;
        let metadata = Arc::new(Racing::default());
        let node = NodeId::random();
        let tasks = TaskTracker::new();
        let janitor = Janitor::new(
            ledger.clone(),
            stores.clone(),
            metadata.clone(),
            node,
            tasks.clone(),
        );
        let catalog = Catalog::new(Parts {
            metadata: metadata.clone(),
            policy: Arc::new(Policy::with_defaults().into()),
            properties,
            limits: limits.clone(),
            janitor: janitor.clone(),
            stores: stores.clone(),
            rules,
            cache: cache.clone(),
        });
        let transfers = Transfers::new(crate::transfer::Parts {
            ledger: ledger.clone(),
            stores: stores.clone(),
            metadata: metadata.clone(),
            janitor: janitor.clone(),
            digests: DigestPool::new(NonZeroUsize::MIN).unwrap(),
            tasks: tasks.clone(),
            node,
            limits: Limits {
                hash_algorithm: Algorithm::Sha512,
                rules: Default::default(),
                size_cap: 1 << 30,
                memory: 64 << 20,
                claim_lease: Duration::from_secs(60),
                hash_adopted: true,
                retries: 1,
                uploads: Concurrency::default(),
                // Of those that count, one: small ones do not.
                downloads: Concurrency {
                    total: Some(1),
                    waiting: 10,
                    patience: Duration::from_secs(60),
                    ..Concurrency::default()
                },
                imported_at_once: NonZeroUsize::MIN,
                stage_host: Some("http://here:9292".to_owned()),
                reserve: Reserve {
                    dir: dir.path().into(),
                    bytes: 0,
                },
            },
            quota: limits,
            cache: cache.clone().map(|cache| ReadThrough {
                cache,
                fills: Fills::Everything,
            }),
        });
        let named = match naming {
            StoreNaming::Named => Some(ids),
            StoreNaming::Single => None,
        };
        let imports = crate::import::tests::imports(crate::import::tests::Around {
            catalog: catalog.clone(),
            transfers: transfers.clone(),
            metadata: metadata.clone(),
            tracker: tasks,
            node,
            named,
            default_store: ids[0],
        });
        Self {
            catalog,
            transfers,
            imports,
            metadata,
            janitor,
            ledger,
            node,
            elsewhere,
            web,
            cache,
            accounts,
            stores,
            dir,
        }
    }

    /// Where the files of the images are.
    pub(crate) fn datadir(&self) -> std::path::PathBuf {
        self.dir.path().join("images")
    }

    /// Puts the image into the catalogue as it is.
    pub(crate) async fn put(&self, change: impl FnOnce(&mut Image)) -> ImageId {
        let mut image = Image::new(ImageId::random(), Timestamp::now());
        image.owner = Some("us".to_owned());
        change(&mut image);
        let id = image.id;
        self.commit(id, ChangeKind::Create(Box::new(image))).await;
        id
    }

    pub(crate) async fn commit(&self, id: ImageId, kind: ChangeKind) -> Entry {
        let at = Timestamp::now();
        self.metadata.inner.commit(Change { id, at, kind }).await.unwrap()
    }
}

/// Metadata in memory, where somebody else is sometimes faster.
#[derive(Default)]
pub(crate) struct Racing {
    inner: MemoryMetadata,
    /// So many updates find the image changed meanwhile.
    lost: AtomicU32,
}

#[async_trait]
impl Metadata for Racing {
    async fn commit_within(&self, change: Change, allowance: Allowance) -> Result<Entry, MetadataError> {
        if let ChangeKind::Update { expected, .. }
        | ChangeKind::Relocate { expected, .. }
        | ChangeKind::Member { expected, .. }
        | ChangeKind::Deactivate { expected }
        | ChangeKind::Reactivate { expected } = change.kind
        {
            let lose = self
                .lost
                .fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1));
            if lose.is_ok() {
                let touch = Change {
                    kind: ChangeKind::Touch { expected },
                    ..change.clone()
                };
                self.inner.commit(touch).await?;
            }
        }
        self.inner.commit_within(change, allowance).await
    }

    async fn usage(&self, project: &str) -> Result<Usage, MetadataError> {
        self.inner.usage(project).await
    }

    async fn entry(&self, id: ImageId) -> Result<Option<Entry>, MetadataError> {
        self.inner.entry(id).await
    }

    async fn list(&self, query: Query) -> Result<Page, MetadataError> {
        self.inner.list(query).await
    }

    async fn claims(&self) -> Result<Vec<(ImageId, Claim)>, MetadataError> {
        self.inner.claims().await
    }

    async fn pending(
        &self,
        until: Timestamp,
        after: Option<(Timestamp, ImageId)>,
        limit: usize,
    ) -> Result<Vec<Tombstone>, MetadataError> {
        self.inner.pending(until, after, limit).await
    }
}

/// A caller with these roles in the project.
pub(crate) fn caller(project: &str, roles: &[&str]) -> Caller {
    Caller {
        user_id: format!("user-of-{project}"),
        user_name: None,
        user_domain_id: Some("default".to_owned()),
        project_id: Some(project.to_owned()),
        project_name: None,
        project_domain_id: Some("default".to_owned()),
        scope: Scope::Project,
        roles: roles.iter().map(|role| (*role).to_owned()).collect(),
        domain_id: None,
        service: None,
        is_admin_project: false,
    }
}

fn member() -> Caller {
    caller("us", &["reader", "member"])
}

fn admin() -> Caller {
    caller("cloud", &["reader", "member", "admin"])
}

fn rules() -> Rules {
    Rules {
        disk_formats: vec!["raw".to_owned(), "qcow2".to_owned()],
        container_formats: vec!["bare".to_owned()],
        max_properties: Some(2),
        max_tags: Some(2),
        max_members: Some(2),
        max_locations: Some(2),
        show_locations: false,
        hash_algorithm: "sha512".to_owned(),
        hash_length: 128,
        deferred_deletion: false,
        page_default: 25,
        page_max: 3,
    }
}

fn fixture() -> Fixture {
    Fixture::new(rules())
}

fn new(body: Value) -> Result<NewImage, Kind> {
    let Value::Object(object) = body else {
        panic!("an object")
    };
    NewImage::parse(object, &rules())
}

async fn create(fixture: &Fixture, caller: &Caller, body: Value) -> Result<Image, Kind> {
    fixture
        .catalog
        .create(caller, &new(body)?)
        .await
        .map_err(|error| error.kind().clone())
}

fn add(name: &str, value: Value) -> Operation {
    Operation::add(name, value, IfPresent::Overwrite, &rules()).unwrap()
}

fn replace(name: &str, value: Value) -> Operation {
    Operation::replace(name, value, &rules()).unwrap()
}

fn remove(name: &str) -> Operation {
    Operation::remove(name).unwrap()
}

async fn update(
    fixture: &Fixture,
    caller: &Caller,
    id: ImageId,
    operations: &[Operation],
) -> Result<Image, Kind> {
    let updated = fixture.catalog.update(caller, &id.to_string(), operations).await;
    updated.map_err(|error| error.kind().clone())
}

fn kind<T>(result: Result<T, CatalogError>) -> Result<T, Kind> {
    result.map_err(|error| error.kind().clone())
}

#[tokio::test]
async fn a_new_image_is_queued_shared_and_owned_by_the_caller() {
    let image = create(&fixture(), &member(), json!({})).await.unwrap();
    assert_eq!(image.status, Status::Queued);
    assert_eq!(image.visibility.as_str(), "shared");
    assert_eq!(image.owner.as_deref(), Some("us"));
    assert_eq!(image.created_at, image.updated_at);
}

#[tokio::test]
async fn a_new_image_has_what_the_request_says() {
    let body = json!({
        "id": "3F9A1C2E-0b5d-4c43-9d0e-5a7f8b6c1d20", "name": "n", "disk_format": "raw", "min_ram": 1, "min_disk": 2.0,
        "tags": ["b", "a", "b"], "p": "v", "protected": true, "os_hidden": true, "visibility": "community",
    });
    let image = create(&fixture(), &member(), body).await.unwrap();
    assert_eq!(image.id.to_string(), "3f9a1c2e-0b5d-4c43-9d0e-5a7f8b6c1d20");
    assert_eq!(image.tags.len(), 2);
    assert_eq!((image.min_ram, image.min_disk), (1, 2));
    assert_eq!(image.properties.get("p").map(String::as_str), Some("v"));
    assert!(image.protected && image.hidden);
}

#[test]
fn values_that_the_schema_refuses_are_invalid() {
    let long = "x".repeat(256);
    for body in [
        json!({"name": 1}),
        json!({"name": long}),
        json!({"name": "\u{1f4be}"}),
        json!({"p": "\u{1f4be}"}),
        json!({"\u{1f4be}": "v"}),
        json!({"p": null}),
        json!({"p": 1}),
        json!({long: "v"}),
        json!({"owner": 7}),
        json!({"visibility": null}),
        json!({"visibility": "secret"}),
        json!({"protected": "true"}),
        json!({"min_disk": -1}),
        json!({"min_ram": 2_147_483_648_u64}),
        json!({"min_ram": 1.5}),
        json!({"disk_format": "vhd"}),
        json!({"container_format": "ova"}),
        json!({"tags": "a"}),
        json!({"tags": ["x".repeat(256)]}),
        json!({"id": "not-a-uuid"}),
        json!({"id": null}),
    ] {
        assert!(matches!(new(body.clone()), Err(Kind::Invalid { .. })), "{body}");
    }
    assert!(new(json!({"name": "é".repeat(255), "disk_format": null, "owner": null})).is_ok());
}

#[test]
fn names_that_clients_may_not_set_are_refused() {
    for name in [
        "direct_url",
        "self",
        "file",
        "schema",
        "stores",
        "checksum",
        "size",
        "status",
        "os_hash_algo",
    ] {
        assert!(
            matches!(new(json!({name: "x"})), Err(Kind::ReadOnly { .. })),
            "{name}"
        );
    }
    for name in [
        "location",
        "deleted",
        "deleted_at",
        "locations",
        "os_glance_import_task",
        "os_glances",
    ] {
        assert!(
            matches!(new(json!({name: "x"})), Err(Kind::Reserved { .. })),
            "{name}"
        );
    }
}

#[tokio::test]
async fn an_id_is_used_once_and_never_again() {
    let fixture = fixture();
    let id = ImageId::random().to_string();
    create(&fixture, &member(), json!({"id": id})).await.unwrap();
    assert!(matches!(
        create(&fixture, &member(), json!({"id": id})).await,
        Err(Kind::Exists { .. })
    ));
    fixture.catalog.delete(&member(), &id).await.unwrap();
    assert!(matches!(
        create(&fixture, &member(), json!({"id": id})).await,
        Err(Kind::Exists { .. })
    ));
}

#[tokio::test]
async fn only_administrators_make_images_for_others_or_for_everyone() {
    let fixture = fixture();
    let theirs = json!({"owner": "them"});
    let owner = "them".to_owned();
    assert_eq!(
        create(&fixture, &member(), theirs.clone()).await,
        Err(Kind::ForeignOwner { owner })
    );
    assert_eq!(
        create(&fixture, &admin(), theirs).await.unwrap().owner.as_deref(),
        Some("them")
    );
    let public = json!({"visibility": "public"});
    let rule = "publicize_image";
    assert_eq!(
        create(&fixture, &member(), public.clone()).await,
        Err(Kind::Denied { rule })
    );
    assert!(create(&fixture, &admin(), public).await.is_ok());
    let reader = caller("us", &["reader"]);
    assert_eq!(
        create(&fixture, &reader, json!({})).await,
        Err(Kind::Denied { rule: "add_image" })
    );
}

#[tokio::test]
async fn quotas_hold_when_an_image_is_made_and_changed() {
    let fixture = fixture();
    let three = json!({"a": "1", "b": "2", "c": "3"});
    assert!(matches!(
        create(&fixture, &member(), three).await,
        Err(Kind::TooManyProperties {
            attempted: 3,
            maximum: 2
        })
    ));
    let tags = json!({"tags": ["a", "b", "c"]});
    assert!(matches!(
        create(&fixture, &member(), tags).await,
        Err(Kind::TooManyTags { attempted: 3, .. })
    ));

    let image = create(
        &fixture,
        &member(),
        json!({"a": "1", "b": "2", "tags": ["a", "b"]}),
    )
    .await
    .unwrap();
    let too_many = update(&fixture, &member(), image.id, &[add("c", json!("3"))]).await;
    assert!(matches!(too_many, Err(Kind::TooManyProperties { .. })));
    update(
        &fixture,
        &member(),
        image.id,
        &[remove("a"), add("c", json!("3"))],
    )
    .await
    .unwrap();
    let id = image.id.to_string();
    let third = fixture.catalog.add_tag(&member(), &id, "c").await;
    assert!(matches!(kind(third), Err(Kind::TooManyTags { .. })));
    fixture.catalog.add_tag(&member(), &id, "a").await.unwrap();
}

#[tokio::test]
async fn an_image_over_the_quota_can_still_be_changed_but_not_grow() {
    let fixture = fixture();
    let properties = ["a", "b", "c"].map(|name| (name.to_owned(), "v".to_owned()));
    let id = fixture.put(|image| image.properties = properties.into()).await;
    update(&fixture, &member(), id, &[replace("a", json!("w"))])
        .await
        .unwrap();
    let grown = update(&fixture, &member(), id, &[add("d", json!("w"))]).await;
    assert!(matches!(grown, Err(Kind::TooManyProperties { attempted: 4, .. })));
}

#[tokio::test]
async fn a_patch_is_all_or_nothing() {
    let fixture = fixture();
    let id = fixture.put(|image| image.name = Some("before".to_owned())).await;
    let failed = update(
        &fixture,
        &member(),
        id,
        &[replace("name", json!("after")), remove("missing")],
    )
    .await;
    assert_eq!(
        failed,
        Err(Kind::PropertyMissing {
            name: "missing".to_owned()
        })
    );
    let image = fixture.catalog.show(&member(), &id.to_string()).await.unwrap();
    assert_eq!(image.name.as_deref(), Some("before"));
}

#[tokio::test]
async fn operations_see_what_earlier_ones_did() {
    let fixture = fixture();
    let id = fixture.put(|_| {}).await;
    let operations = [add("p", json!("1")), replace("p", json!("2"))];
    let image = update(&fixture, &member(), id, &operations).await.unwrap();
    assert_eq!(image.properties.get("p").map(String::as_str), Some("2"));
    let image = update(&fixture, &member(), id, &[remove("p")]).await.unwrap();
    assert!(image.properties.is_empty());
}

#[tokio::test]
async fn what_is_there_is_not_added_again_in_the_older_format() {
    let fixture = fixture();
    let id = fixture.put(|_| {}).await;
    let add = |name| Operation::add(name, json!("x"), IfPresent::Refuse, &rules()).unwrap();
    update(&fixture, &member(), id, &[add("p")]).await.unwrap();
    assert!(matches!(
        update(&fixture, &member(), id, &[add("p")]).await,
        Err(Kind::PropertyPresent { .. })
    ));
    assert!(matches!(
        update(&fixture, &member(), id, &[add("name")]).await,
        Err(Kind::PropertyPresent { .. })
    ));
}

#[tokio::test]
async fn attributes_are_replaced_and_never_removed() {
    let fixture = fixture();
    let id = fixture.put(|_| {}).await;
    assert!(matches!(
        update(&fixture, &member(), id, &[remove("name")]).await,
        Err(Kind::NotRemovable { .. })
    ));
    assert!(matches!(
        update(&fixture, &member(), id, &[replace("p", json!("x"))]).await,
        Err(Kind::PropertyMissing { .. })
    ));
}

#[tokio::test]
async fn a_member_cannot_give_an_image_away_by_either_operation() {
    let fixture = fixture();
    let id = fixture.put(|_| {}).await;
    for operation in [add("owner", json!("them")), replace("owner", json!("them"))] {
        assert_eq!(
            update(&fixture, &member(), id, &[operation]).await,
            Err(Kind::OwnerChange)
        );
    }
    let image = fixture.catalog.show(&member(), &id.to_string()).await.unwrap();
    assert_eq!(image.owner.as_deref(), Some("us"));
    let image = update(&fixture, &admin(), id, &[replace("owner", json!("them"))])
        .await
        .unwrap();
    assert_eq!(image.owner.as_deref(), Some("them"));
}

#[tokio::test]
async fn formats_are_fixed_once_there_is_data() {
    let fixture = fixture();
    let queued = fixture.put(|_| {}).await;
    update(
        &fixture,
        &member(),
        queued,
        &[replace("disk_format", json!("raw"))],
    )
    .await
    .unwrap();
    let active = fixture.put(|image| image.status = Status::Active).await;
    for (name, value) in [("disk_format", "raw"), ("container_format", "bare")] {
        let changed = update(&fixture, &member(), active, &[replace(name, json!(value))]).await;
        assert!(matches!(changed, Err(Kind::FormatFixed { .. })), "{name}");
    }
}

#[tokio::test]
async fn publishing_is_for_administrators() {
    let fixture = fixture();
    let id = fixture.put(|_| {}).await;
    let public = [replace("visibility", json!("public"))];
    let rule = "publicize_image";
    assert_eq!(
        update(&fixture, &member(), id, &public).await,
        Err(Kind::Denied { rule })
    );
    assert!(update(&fixture, &admin(), id, &public).await.is_ok());
}

#[tokio::test]
async fn a_lost_race_is_run_again_and_a_hopeless_one_given_up() {
    let fixture = fixture();
    let id = fixture.put(|_| {}).await;
    fixture.metadata.lost.store(3, Ordering::SeqCst);
    let image = update(&fixture, &member(), id, &[replace("name", json!("x"))])
        .await
        .unwrap();
    assert_eq!(image.name.as_deref(), Some("x"));
    fixture.metadata.lost.store(u32::MAX, Ordering::SeqCst);
    let given_up = update(&fixture, &member(), id, &[replace("name", json!("y"))]).await;
    assert_eq!(given_up, Err(Kind::Contended));
}

#[tokio::test]
async fn images_of_others_are_not_found() {
    let fixture = fixture();
    let id = fixture.put(|_| {}).await;
    let stranger = caller("them", &["reader", "member"]);
    let text = id.to_string();
    let missing = Kind::NotFound { id: text.clone() };
    assert_eq!(
        kind(fixture.catalog.show(&stranger, &text).await),
        Err(missing.clone())
    );
    assert_eq!(
        kind(fixture.catalog.delete(&stranger, &text).await),
        Err(missing.clone())
    );
    assert_eq!(
        update(&fixture, &stranger, id, &[remove("p")]).await,
        Err(missing.clone())
    );
    assert_eq!(update(&fixture, &stranger, id, &[]).await, Err(missing.clone()));
    assert_eq!(
        kind(fixture.catalog.add_tag(&stranger, &text, "t").await),
        Err(missing.clone())
    );
    assert_eq!(
        kind(
            fixture
                .catalog
                .authorize_upload(&stranger, &text)
                .await
                .map(|_| ())
        ),
        Err(missing)
    );
}

#[tokio::test]
async fn a_protected_image_is_not_deleted() {
    let fixture = fixture();
    let id = fixture.put(|image| image.protected = true).await.to_string();
    assert_eq!(
        kind(fixture.catalog.delete(&member(), &id).await),
        Err(Kind::Protected { id: id.clone() })
    );
    assert!(fixture.catalog.show(&member(), &id).await.is_ok());
}

#[tokio::test]
async fn a_deleted_image_is_gone() {
    let fixture = fixture();
    let id = fixture.put(|_| {}).await.to_string();
    fixture.catalog.delete(&member(), &id).await.unwrap();
    let missing = Kind::NotFound { id: id.clone() };
    assert_eq!(
        kind(fixture.catalog.show(&member(), &id).await),
        Err(missing.clone())
    );
    assert_eq!(kind(fixture.catalog.delete(&member(), &id).await), Err(missing));
}

#[tokio::test]
async fn a_tag_that_is_not_there_is_not_removed() {
    let fixture = fixture();
    let id = fixture
        .put(|image| image.tags.extend(["a".to_owned()]))
        .await
        .to_string();
    assert!(
        fixture
            .catalog
            .remove_tag(&member(), &id, "a")
            .await
            .unwrap()
            .tags
            .is_empty()
    );
    let missing = fixture.catalog.remove_tag(&member(), &id, "a").await;
    assert_eq!(kind(missing), Err(Kind::TagNotFound { tag: "a".to_owned() }));
    let long = fixture.catalog.add_tag(&member(), &id, &"x".repeat(256)).await;
    assert!(matches!(kind(long), Err(Kind::Invalid { .. })));
}

fn page(limit: Option<u64>, marker: Option<String>) -> ListRequest {
    ListRequest {
        visibility: None,
        member_status: Some(MemberStatus::Accepted),
        filter: Filter::default(),
        order: Order::newest_first(),
        marker,
        limit,
    }
}

#[tokio::test]
async fn a_walk_shows_every_image_once_and_has_a_next_page_while_pages_are_full() {
    let fixture = fixture();
    for _ in 0..4 {
        fixture.put(|_| {}).await;
    }
    let mut seen = Vec::new();
    let mut marker = None;
    let mut lengths = Vec::new();
    loop {
        let list = fixture
            .catalog
            .list(&member(), page(Some(2), marker))
            .await
            .unwrap();
        lengths.push(list.images.len());
        seen.extend(list.images.iter().map(|image| image.id));
        match list.next {
            Some(next) => marker = Some(next.to_string()),
            None => break,
        }
    }
    assert_eq!(lengths, [2, 2, 0]);
    seen.sort_unstable();
    seen.dedup();
    assert_eq!(seen.len(), 4);
}

#[tokio::test]
async fn the_operator_has_the_last_word_on_the_length_of_a_page() {
    let fixture = fixture();
    for _ in 0..4 {
        fixture.put(|_| {}).await;
    }
    for limit in [None, Some(1000), Some(u64::MAX)] {
        assert_eq!(
            fixture
                .catalog
                .list(&member(), page(limit, None))
                .await
                .unwrap()
                .images
                .len(),
            3
        );
    }
    let none = fixture
        .catalog
        .list(&member(), page(Some(0), None))
        .await
        .unwrap();
    assert!(none.images.is_empty() && none.next.is_none());
}

#[tokio::test]
async fn a_marker_has_to_be_an_image_that_the_caller_sees() {
    let fixture = fixture();
    let theirs = fixture
        .put(|image| image.owner = Some("them".to_owned()))
        .await
        .to_string();
    let list = async |marker: &str| {
        kind(
            fixture
                .catalog
                .list(&member(), page(None, Some(marker.to_owned())))
                .await,
        )
    };
    assert!(matches!(list("nonsense").await, Err(Kind::UnknownMarker { .. })));
    assert!(matches!(
        list(&ImageId::random().to_string()).await,
        Err(Kind::UnknownMarker { .. })
    ));
    assert!(matches!(list(&theirs).await, Err(Kind::MarkerInvisible { .. })));
}

#[tokio::test]
async fn a_walk_goes_on_after_its_marker_was_deleted() {
    let fixture = fixture();
    let first = fixture.put(|_| {}).await;
    let marker = fixture.put(|_| {}).await.to_string();
    fixture.catalog.delete(&member(), &marker).await.unwrap();
    let list = fixture
        .catalog
        .list(&member(), page(None, Some(marker)))
        .await
        .unwrap();
    assert_eq!(
        list.images.iter().map(|image| image.id).collect::<Vec<_>>(),
        [first]
    );
}

#[tokio::test]
async fn who_may_not_list_is_told_so() {
    let nobody = caller("us", &["member"]);
    let listed = fixture().catalog.list(&nobody, page(None, None)).await;
    assert_eq!(kind(listed), Err(Kind::Denied { rule: "get_images" }));
}

#[tokio::test]
async fn community_images_of_others_are_listed_only_when_asked_for() {
    let fixture = fixture();
    let stranger = caller("them", &["reader"]);
    fixture
        .put(|image| image.visibility = crate::image::Visibility::Community)
        .await;
    assert!(
        fixture
            .catalog
            .list(&stranger, page(None, None))
            .await
            .unwrap()
            .images
            .is_empty()
    );
    let all = ListRequest {
        visibility: Some(VisibilityFilter::All),
        ..page(None, None)
    };
    assert_eq!(
        fixture.catalog.list(&stranger, all).await.unwrap().images.len(),
        1
    );
}
