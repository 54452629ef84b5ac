//! Metadata definitions.

use std::{collections::BTreeSet, sync::Arc};

use proptest::{
    collection::vec,
    prelude::{Strategy, any, prop_oneof, proptest},
    test_runner::Config,
};
use serde_json::json;

use super::{Subject, fixtures::at};
use crate::{
    image::Viewer,
    metadata::{DefineError, MetadefStore},
    metadefs::{
        Change, ChangeKind, Direction, Namespace, NamespaceDraft, NamespaceQuery, Rejection, SortKey,
        Version, Visibility,
    },
};

/// A namespace with something in every part; later numbers are newer.
fn namespace(name: &str, number: u64) -> Namespace {
    let draft = NamespaceDraft::parse(json!({
        "namespace": name,
        "display_name": format!("display {name}"),
        "description": "né",
        "visibility": "public",
        "resource_type_associations": [
            { "name": "OS::A", "prefix": "a_", "properties_target": "image" }, { "name": "OS::B" },
        ],
        "properties": { "p": { "title": "P", "type": "array", "items": { "type": "string", "enum": ["x"] } } },
        "objects": [{ "name": "o", "required": ["q"], "properties": { "q": { "title": "Q", "type": "number" } } }],
        "tags": [{ "name": "z" }, { "name": "a" }],
    }));
    Namespace::new(draft.unwrap(), Some("me"), at(number)).unwrap()
}

/// With nothing in it.
fn bare(name: &str, number: u64, owner: &str, visibility: Visibility) -> Namespace {
    let draft = NamespaceDraft::parse(json!({ "namespace": name, "visibility": visibility.as_str() }));
    Namespace::new(draft.unwrap(), Some(owner), at(number)).unwrap()
}

async fn define(store: &dyn MetadefStore, kind: ChangeKind) -> Result<Option<Namespace>, DefineError> {
    store.define(Change { at: at(500), kind }).await
}

async fn create(store: &dyn MetadefStore, namespace: Namespace) -> Namespace {
    let kind = ChangeKind::Create(Box::new(namespace));
    define(store, kind).await.unwrap().unwrap()
}

fn replacing(name: &str, expected: Version, namespace: Namespace) -> ChangeKind {
    ChangeKind::Replace {
        name: name.to_owned(),
        expected,
        namespace: Box::new(namespace),
    }
}

fn deleting(name: &str, expected: Version) -> ChangeKind {
    ChangeKind::Delete {
        name: name.to_owned(),
        expected,
    }
}

fn rejection(result: Result<Option<Namespace>, DefineError>) -> Rejection {
    match result.unwrap_err() {
        DefineError::Rejected(rejection) => rejection,
        DefineError::Store(error) => panic!("{error}"),
    }
}

fn everything() -> NamespaceQuery {
    NamespaceQuery {
        viewer: Viewer::Admin(None),
        visibility: None,
        resource_types: None,
        sort: SortKey::CreatedAt,
        direction: Direction::Descending,
        after: None,
        limit: 100,
    }
}

async fn names(store: &dyn MetadefStore, query: NamespaceQuery) -> Vec<String> {
    let page = store.namespaces(query).await.unwrap();
    page.namespaces.into_iter().map(|head| head.name).collect()
}

pub(super) async fn a_namespace_that_was_made_is_there_with_all_that_is_in_it(subject: &Subject) {
    let store = &*subject.definitions;
    let wanted = namespace("OS::N", 1);
    let made = create(store, wanted.clone()).await;
    assert_eq!((made.revision, made.id), (1, wanted.id));
    assert_eq!(
        Namespace {
            revision: 0,
            ..made.clone()
        },
        wanted
    );
    assert_eq!(store.namespace("OS::N").await.unwrap(), Some(made.clone()));
    assert_eq!(store.namespace("os::n").await.unwrap(), None);
    assert_eq!(store.namespace("OS::").await.unwrap(), None);
    let page = store.namespaces(everything()).await.unwrap();
    assert_eq!(page.namespaces, [made.head]);
}

pub(super) async fn a_name_is_taken_once(subject: &Subject) {
    let store = &*subject.definitions;
    let first = create(store, namespace("n", 1)).await;
    let again = define(store, ChangeKind::Create(Box::new(namespace("n", 2)))).await;
    assert_eq!(rejection(again), Rejection::Exists);
    assert_eq!(store.namespace("n").await.unwrap(), Some(first));
}

pub(super) async fn of_many_namespaces_of_one_name_exactly_one_is_made(subject: &Subject) {
    let tries = (0..16).map(|number| {
        let store = Arc::clone(&subject.definitions);
        tokio::spawn(
            async move { define(&*store, ChangeKind::Create(Box::new(namespace("n", number)))).await },
        )
    });
    let mut made = 0;
    for attempt in tries.collect::<Vec<_>>() {
        match attempt.await.unwrap() {
            Ok(_) => made += 1,
            Err(error) => assert_eq!(rejection(Err(error)), Rejection::Exists),
        }
    }
    assert_eq!(made, 1);
}

pub(super) async fn a_change_from_an_older_version_is_refused_and_changes_nothing(subject: &Subject) {
    let store = &*subject.definitions;
    let first = create(store, namespace("n", 1)).await;
    let mut wanted = first.clone();
    wanted.tags.clear();
    let kind = replacing("n", first.version(), wanted.clone());
    let second = define(store, kind).await.unwrap().unwrap();
    assert_eq!(second.revision, first.revision + 1);
    wanted.objects.clear();
    for kind in [
        replacing("n", first.version(), wanted),
        deleting("n", first.version()),
        replacing("missing", first.version(), first.clone()),
        deleting("missing", first.version()),
    ] {
        assert_eq!(rejection(define(store, kind).await), Rejection::Version);
    }
    assert_eq!(store.namespace("n").await.unwrap(), Some(second));
    assert_eq!(store.namespace("missing").await.unwrap(), None);
}

pub(super) async fn a_namespace_of_the_same_name_is_not_the_one_that_was_deleted(subject: &Subject) {
    let store = &*subject.definitions;
    let first = create(store, namespace("n", 1)).await;
    assert_eq!(define(store, deleting("n", first.version())).await.unwrap(), None);
    assert_eq!(store.namespace("n").await.unwrap(), None);
    let second = create(store, namespace("n", 1)).await;
    assert_eq!(second.revision, first.revision);
    let kind = replacing("n", first.version(), first);
    assert_eq!(rejection(define(store, kind).await), Rejection::Version);
}

pub(super) async fn a_renamed_namespace_is_there_under_its_new_name_only(subject: &Subject) {
    let store = &*subject.definitions;
    let first = create(store, namespace("old", 1)).await;
    let mut wanted = first.clone();
    wanted.head.name = "new".to_owned();
    let kind = replacing("old", first.version(), wanted);
    let renamed = define(store, kind).await.unwrap().unwrap();
    assert_eq!(renamed.id, first.id);
    assert_eq!(renamed.objects, first.objects);
    assert_eq!(store.namespace("old").await.unwrap(), None);
    assert_eq!(store.namespace("new").await.unwrap(), Some(renamed));
    assert_eq!(names(store, everything()).await, ["new"]);
    create(store, namespace("old", 2)).await;
}

pub(super) async fn a_name_that_is_taken_is_given_to_nobody_else(subject: &Subject) {
    let store = &*subject.definitions;
    let first = create(store, namespace("a", 1)).await;
    let other = create(store, namespace("b", 2)).await;
    let mut wanted = first.clone();
    wanted.head.name = "b".to_owned();
    let kind = replacing("a", first.version(), wanted);
    assert_eq!(rejection(define(store, kind).await), Rejection::Exists);
    assert_eq!(store.namespace("a").await.unwrap(), Some(first));
    assert_eq!(store.namespace("b").await.unwrap(), Some(other));
}

pub(super) async fn changes_at_once_lose_nothing(subject: &Subject) {
    create(&*subject.definitions, bare("n", 1, "me", Visibility::Public)).await;
    let writers = (0..8).map(|number| {
        let store = Arc::clone(&subject.definitions);
        tokio::spawn(async move {
            loop {
                let current = store.namespace("n").await.unwrap().unwrap();
                let mut wanted = current.clone();
                wanted.add_tags(vec![format!("tag {number}")], at(2)).unwrap();
                match define(&*store, replacing("n", current.version(), wanted)).await {
                    Ok(_) => return,
                    Err(error) => assert_eq!(rejection(Err(error)), Rejection::Version),
                }
            }
        })
    });
    for writer in writers.collect::<Vec<_>>() {
        writer.await.unwrap();
    }
    let namespace = subject.definitions.namespace("n").await.unwrap().unwrap();
    assert_eq!(namespace.tags.len(), 8);
    assert_eq!(namespace.revision, 9);
}

pub(super) async fn resource_types_stay_when_their_namespaces_go(subject: &Subject) {
    let store = &*subject.definitions;
    assert!(store.resource_types().await.unwrap().is_empty());
    let made = create(store, namespace("n", 1)).await;
    let types = store.resource_types().await.unwrap();
    let names: Vec<&str> = types.iter().map(|found| found.name.as_str()).collect();
    assert_eq!(names, ["OS::A", "OS::B"]);
    assert_eq!(types[0].created_at, at(500));
    define(store, deleting("n", made.version())).await.unwrap();
    let kind = ChangeKind::Create(Box::new(namespace("m", 2)));
    store.define(Change { at: at(900), kind }).await.unwrap();
    assert_eq!(store.resource_types().await.unwrap(), types);
}

pub(super) async fn a_namespace_larger_than_the_limit_is_refused(subject: &Subject) {
    let store = &*subject.definitions;
    let mut large = namespace("n", 1);
    large.head.description = Some("x".repeat(17 << 20));
    let made = define(store, ChangeKind::Create(Box::new(large))).await;
    assert_eq!(rejection(made), Rejection::TooLarge);
    assert_eq!(store.namespace("n").await.unwrap(), None);
    assert!(store.resource_types().await.unwrap().is_empty());
}

async fn fill(store: &dyn MetadefStore) {
    use Visibility::{Private, Public};
    let all = [
        ("mine", 1, "me", Private),
        ("mine public", 2, "me", Public),
        ("theirs", 3, "them", Private),
        ("theirs public", 4, "them", Public),
    ];
    for (name, number, owner, visibility) in all {
        create(store, bare(name, number, owner, visibility)).await;
    }
}

pub(super) async fn a_list_has_what_the_viewer_sees(subject: &Subject) {
    let store = &*subject.definitions;
    fill(store).await;
    assert_eq!(
        names(store, everything()).await,
        ["theirs public", "theirs", "mine public", "mine"]
    );
    let mine = NamespaceQuery {
        viewer: Viewer::Project("me".into()),
        ..everything()
    };
    assert_eq!(names(store, mine).await, ["theirs public", "mine public", "mine"]);
}

pub(super) async fn lists_are_drawn_by_visibility_and_resource_type(subject: &Subject) {
    let store = &*subject.definitions;
    fill(store).await;
    create(store, namespace("typed", 5)).await;
    let private = NamespaceQuery {
        visibility: Some(Visibility::Private),
        ..everything()
    };
    assert_eq!(names(store, private).await, ["theirs", "mine"]);
    let typed = |types: &[&str]| NamespaceQuery {
        resource_types: Some(types.iter().map(|&name| name.to_owned()).collect()),
        ..everything()
    };
    assert_eq!(names(store, typed(&["OS::B", "other"])).await, ["typed"]);
    assert!(names(store, typed(&[""])).await.is_empty());
}

const KEYS: [SortKey; 9] = [
    SortKey::Name,
    SortKey::DisplayName,
    SortKey::Description,
    SortKey::Visibility,
    SortKey::Protected,
    SortKey::Owner,
    SortKey::CreatedAt,
    SortKey::UpdatedAt,
    SortKey::Id,
];

pub(super) async fn every_sort_key_orders_both_ways_without_gaps(subject: &Subject) {
    let store = &*subject.definitions;
    fill(store).await;
    for sort in KEYS {
        let query = |direction| NamespaceQuery {
            sort,
            direction,
            ..everything()
        };
        let up = names(store, query(Direction::Ascending)).await;
        let mut down = names(store, query(Direction::Descending)).await;
        down.reverse();
        assert_eq!(up, down, "{sort:?}");
        assert_eq!(up.len(), 4);
    }
    let by_owner = NamespaceQuery {
        sort: SortKey::Owner,
        direction: Direction::Ascending,
        ..everything()
    };
    assert_eq!(
        names(store, by_owner).await,
        ["mine", "mine public", "theirs", "theirs public"]
    );
}

pub(super) async fn a_walk_in_pages_sees_every_namespace_once(subject: &Subject) {
    let store = &*subject.definitions;
    for number in 0..9 {
        // Of several that were made at the same instant, the name decides.
        create(
            store,
            bare(&format!("n{number}"), number / 3, "me", Visibility::Public),
        )
        .await;
    }
    for sort in KEYS {
        let mut seen = BTreeSet::new();
        let mut query = NamespaceQuery {
            sort,
            limit: 2,
            ..everything()
        };
        loop {
            let page = store.namespaces(query.clone()).await.unwrap();
            for head in &page.namespaces {
                assert!(seen.insert(head.name.clone()), "{sort:?}: {} twice", head.name);
            }
            query.after = page.namespaces.last().cloned().map(Box::new);
            if !page.full {
                break;
            }
        }
        assert_eq!(seen.len(), 9, "{sort:?}");
    }
    let none = store.namespaces(NamespaceQuery {
        limit: 0,
        ..everything()
    });
    let none = none.await.unwrap();
    assert!(none.namespaces.is_empty() && !none.full);
}

pub(super) async fn a_deleted_marker_still_says_where_to_go_on_in_a_list_of_namespaces(subject: &Subject) {
    let store = &*subject.definitions;
    fill(store).await;
    let marker = store.namespace("theirs").await.unwrap().unwrap();
    define(store, deleting("theirs", marker.version())).await.unwrap();
    let rest = NamespaceQuery {
        after: Some(Box::new(marker.head)),
        ..everything()
    };
    assert_eq!(names(store, rest).await, ["mine public", "mine"]);
}

/// What is done next, to one of few names.
#[derive(Debug, Clone)]
enum Step {
    Create(u8),
    Rename(u8, u8),
    Tag(u8, u8),
    Delete(u8),
    Associate(u8, u8),
    /// From a version that is not the newest.
    Stale(u8),
    Close,
}

fn step() -> impl Strategy<Value = Step> {
    let name = || 0..4_u8;
    prop_oneof![
        3 => name().prop_map(Step::Create),
        2 => (name(), name()).prop_map(|(old, new)| Step::Rename(old, new)),
        3 => (name(), any::<u8>()).prop_map(|(name, tag)| Step::Tag(name, tag)),
        1 => name().prop_map(Step::Delete),
        2 => (name(), 0..6_u8).prop_map(|(name, kind)| Step::Associate(name, kind)),
        1 => name().prop_map(Step::Stale),
        1 => proptest::prelude::Just(Step::Close),
    ]
}

/// The change of a step, as the store is.
async fn kind(store: &dyn MetadefStore, step: &Step, number: u64) -> Option<ChangeKind> {
    let name = |name: &u8| format!("n{name}");
    type Edit<'s> = Box<dyn FnOnce(&mut Namespace) + 's>;
    let (of, edit): (u8, Edit<'_>) = match step {
        Step::Close => return None,
        Step::Create(of) => {
            let mut made = namespace(&name(of), number);
            // The same in both stores.
            made.id = crate::metadefs::NamespaceId::from_bytes(u128::from(number).to_be_bytes());
            return Some(ChangeKind::Create(Box::new(made)));
        }
        Step::Delete(of) => {
            let current = store.namespace(&name(of)).await.unwrap()?;
            return Some(deleting(&name(of), current.version()));
        }
        Step::Stale(of) => {
            let current = store.namespace(&name(of)).await.unwrap()?;
            let version = Version {
                revision: current.revision + 1,
                ..current.version()
            };
            return Some(deleting(&name(of), version));
        }
        Step::Rename(of, to) => (*of, Box::new(|namespace| namespace.head.name = name(to))),
        Step::Tag(of, tag) => (
            *of,
            Box::new(move |namespace| {
                let _ = namespace.add_tags(vec![format!("t{tag}")], at(number));
            }),
        ),
        Step::Associate(of, kind) => (
            *of,
            Box::new(move |namespace| {
                let draft = json!({ "name": format!("type {kind}") });
                let draft = crate::metadefs::AssociationDraft::parse(draft).unwrap();
                let _ = namespace.associate(draft, at(number));
            }),
        ),
    };
    let current = store.namespace(&name(&of)).await.unwrap()?;
    let mut wanted = current.clone();
    edit(&mut wanted);
    Some(replacing(&name(&of), current.version(), wanted))
}

proptest! {
    #![proptest_config(Config::with_cases(24))]
    /// Whatever is done, RocksDB answers as the model does, also after it was closed and opened.
    #[test]
    fn rocksdb_answers_as_memory_does(steps in vec(step(), 1..40)) {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        runtime.block_on(async {
            use crate::metadata::{memory::MemoryMetadata, rocksdb::RocksMetadata};
            let dir = tempfile::tempdir().unwrap();
            let open = || RocksMetadata::open(dir.path(), Default::default()).unwrap();
            let (model, mut rocks) = (MemoryMetadata::new(), open());
            for (number, step) in (1_u64..).zip(&steps) {
                if let Some(kind) = kind(&model, step, number).await {
                    let change = Change { at: at(number), kind };
                    let answers = (model.define(change.clone()).await, rocks.define(change).await);
                    match answers {
                        (Ok(a), Ok(b)) => assert_eq!(a, b),
                        (a, b) => assert_eq!(rejection(a), rejection(b)),
                    }
                } else if matches!(step, Step::Close) {
                    rocks.close().await;
                    rocks = open();
                }
                for name in 0..4 {
                    let name = format!("n{name}");
                    assert_eq!(
                        model.namespace(&name).await.unwrap(),
                        rocks.namespace(&name).await.unwrap()
                    );
                }
            }
            assert_eq!(
                model.resource_types().await.unwrap(),
                rocks.resource_types().await.unwrap()
            );
            for sort in KEYS {
                let query = NamespaceQuery { sort, limit: 3, ..everything() };
                assert_eq!(
                    model.namespaces(query.clone()).await.unwrap(),
                    rocks.namespaces(query).await.unwrap()
                );
            }
        });
    }
}
