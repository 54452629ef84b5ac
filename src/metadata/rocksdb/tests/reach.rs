//! What is read where it is asked for, and what on a thread that may wait.

use futures_util::FutureExt;

use super::*;
use crate::metadata::{Direction, SortKey};

/// A store of so many images, all of them in its memory.
async fn filled(dir: &Path, images: u32) -> RocksMetadata {
    let store = open(dir);
    let commits: Vec<_> = (1..=images)
        .map(|number| store.commit(creation(number)))
        .collect();
    for commit in join_all(commits).await {
        commit.unwrap();
    }
    store
}

/// The same on disk, and nothing of it in memory.
async fn cold(dir: &Path, images: u32) -> RocksMetadata {
    filled(dir, images).await.close().await;
    open(dir)
}

/// Whether the record is read without waiting for the disk.
fn is_near(store: &RocksMetadata, id: ImageId) -> bool {
    let read = |db: &DB| {
        read_entry(
            id,
            db.get_pinned_opt(keys::entry(id), &read_options(Reach::Memory)),
        )
    };
    store.0.database.with_memory(read).is_some()
}

/// Whether the page is made without waiting for the disk.
fn is_page_near(store: &RocksMetadata, query: &Query) -> bool {
    let made = store
        .0
        .database
        .with_memory(|db| list::page(db, query, Reach::Memory));
    made.is_some()
}

fn page_of(limit: usize) -> Query {
    Query { limit, ..all() }
}

#[tokio::test]
async fn what_is_in_memory_is_read_without_another_thread() {
    let dir = tempfile::tempdir().unwrap();
    let store = filled(dir.path(), 30).await;
    let found = store.entry(id(7)).now_or_never().expect("at once").unwrap();
    assert_eq!(found.unwrap().live().unwrap().id, id(7));
    assert!(store.entry(id(99)).now_or_never().unwrap().unwrap().is_none());
    let page = store.list(page_of(20)).now_or_never().expect("at once").unwrap();
    assert_eq!(page.images.len(), 20);
    store.usage("us").now_or_never().expect("at once").unwrap();
}

#[tokio::test]
async fn what_is_on_disk_is_read_on_a_thread_that_may_wait_and_then_is_in_memory() {
    let dir = tempfile::tempdir().unwrap();
    // Many blocks: what is read at the start brings one.
    let store = cold(dir.path(), 1000).await;
    assert!(!is_near(&store, id(500)));
    let found = store.entry(id(500)).await.unwrap();
    assert_eq!(found.unwrap().live().unwrap().id, id(500));
    assert!(is_near(&store, id(500)));
    store.close().await;

    let store = open(dir.path());
    assert!(!is_page_near(&store, &page_of(20)));
    let read = store.list(page_of(20)).await.unwrap();
    assert_eq!(read.images.len(), 20);
    let again = store.list(page_of(20)).now_or_never().expect("at once").unwrap();
    assert_eq!(again, read);
}

#[tokio::test]
async fn nobody_waits_on_its_own_thread_for_a_database_that_is_opened_again() {
    let dir = tempfile::tempdir().unwrap();
    let store = filled(dir.path(), 1).await;
    let hold = store.0.database.hold();
    assert!(store.entry(id(1)).now_or_never().is_none());
    assert!(store.list(page_of(20)).now_or_never().is_none());
    drop(hold);
    assert!(store.entry(id(1)).await.unwrap().is_some());
}

#[tokio::test]
async fn lists_that_may_take_long_are_made_on_another_thread() {
    let dir = tempfile::tempdir().unwrap();
    let store = filled(dir.path(), 100).await;
    let named = Filter(vec![Condition::OneOf(Text::Name, vec!["x".into()])]);
    let none = Filter(vec![Condition::OneOf(Text::DiskFormat, vec!["qcow2".into()])]);
    let by_two = Order::by(
        [
            (SortKey::Name, Direction::Ascending),
            (SortKey::Size, Direction::Descending),
        ],
        Direction::Descending,
    );
    for (what, query, found) in [
        ("a long page", page_of(65), 65),
        (
            "looked up by a name",
            Query {
                filter: named,
                ..page_of(20)
            },
            0,
        ),
        (
            "many passed over",
            Query {
                filter: none,
                ..page_of(20)
            },
            0,
        ),
        (
            "by two keys",
            Query {
                order: by_two,
                ..page_of(20)
            },
            20,
        ),
    ] {
        assert!(!is_page_near(&store, &query), "{what}");
        assert_eq!(store.list(query).await.unwrap().images.len(), found, "{what}");
    }
    let ids = |count: u32| {
        let ids = (1..=count).map(|number| id(number).to_string()).collect();
        let filter = Filter(vec![Condition::OneOf(Text::Id, ids)]);
        Query {
            filter,
            ..page_of(20)
        }
    };
    assert!(!is_page_near(&store, &ids(65)));
    assert_eq!(
        store
            .list(ids(3))
            .now_or_never()
            .expect("at once")
            .unwrap()
            .images
            .len(),
        3
    );
}

#[tokio::test]
async fn damage_is_told_wherever_it_is_found() {
    let dir = tempfile::tempdir().unwrap();
    let store = filled(dir.path(), 2).await;
    store
        .0
        .database
        .with(|db| {
            db.put(keys::entry(id(1)), [1, 2, 3]).unwrap();
            Ok(())
        })
        .unwrap();
    let error = store.entry(id(1)).now_or_never().expect("at once").unwrap_err();
    assert_eq!(error.kind, MetadataErrorKind::Corrupt);
}
