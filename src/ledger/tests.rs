use std::{fs, path::Path, sync::Arc};

use proptest::prelude::*;
use saccade_disk::RealDisk;
use uuid::Uuid;

use super::*;

fn open(dir: &Path) -> Opened {
    Ledger::open(dir, Arc::new(RealDisk)).unwrap()
}

fn upload(image: u128) -> Entry {
    Entry::Upload(UploadEntry {
        image: Uuid::from_u128(image),
        attempt: Uuid::from_u128(image + 1),
        store: "file".into(),
        handle: "1:a:b".into(),
    })
}

#[tokio::test]
async fn what_was_begun_and_not_forgotten_is_there_after_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    {
        let ledger = open(dir.path()).ledger;
        let done = ledger.begin(upload(1)).await.unwrap();
        let _interrupted = ledger.begin(upload(2)).await.unwrap();
        done.forget().await.unwrap();
        assert!(ledger.orphans().is_empty());
    }
    let reopened = open(dir.path());
    let orphans: Vec<Entry> = reopened
        .ledger
        .orphans()
        .into_iter()
        .map(|(_, entry)| entry)
        .collect();
    assert_eq!(orphans, [upload(2)]);
    assert_eq!(reopened.unreadable_lines, 0);
}

#[tokio::test]
async fn an_operation_that_is_dropped_becomes_an_orphan_and_can_be_adopted_once() {
    let dir = tempfile::tempdir().unwrap();
    let ledger = open(dir.path()).ledger;
    let held = ledger.begin(upload(1)).await.unwrap();
    let id = held.id();
    assert!(ledger.adopt(id).is_none());
    drop(held);
    ledger.orphaned().await;
    let adopted = ledger.adopt(id).unwrap();
    assert!(ledger.adopt(id).is_none());
    adopted.forget().await.unwrap();
    assert!(ledger.is_empty());
}

#[tokio::test]
async fn a_torn_tail_is_not_damage() {
    let dir = tempfile::tempdir().unwrap();
    drop(open(dir.path()).ledger.begin(upload(1)).await.unwrap());
    let path = dir.path().join("ledger");
    let mut text = fs::read(&path).unwrap();
    text.extend_from_slice(b"0123abcd {\"v\":1,\"beg");
    fs::write(&path, text).unwrap();
    let reopened = open(dir.path());
    assert_eq!((reopened.ledger.len(), reopened.unreadable_lines), (1, 0));
}

#[tokio::test]
async fn a_damaged_line_is_counted_and_kept_and_the_others_count() {
    let dir = tempfile::tempdir().unwrap();
    {
        let ledger = open(dir.path()).ledger;
        for image in [10, 20, 30] {
            drop(ledger.begin(upload(image)).await.unwrap());
        }
    }
    let path = dir.path().join("ledger");
    let mut text = fs::read(&path).unwrap();
    let middle = text.len() / 2;
    text[middle] ^= 1;
    fs::write(&path, &text).unwrap();
    let reopened = open(dir.path());
    assert_eq!((reopened.ledger.len(), reopened.unreadable_lines), (2, 1));
    assert_eq!(fs::read(dir.path().join("ledger.damaged")).unwrap(), text);
}

#[tokio::test]
async fn a_long_life_does_not_make_a_long_file() {
    let dir = tempfile::tempdir().unwrap();
    let ledger = open(dir.path()).ledger;
    let kept = ledger.begin(upload(1)).await.unwrap();
    for image in 0..300 {
        let long = Entry::Deletion(DeletionEntry {
            image: Uuid::from_u128(image),
            revision: 1,
            locations: vec![StoredLocation {
                store: "file".into(),
                url: "x".repeat(8192),
            }],
        });
        ledger.begin(long).await.unwrap().forget().await.unwrap();
    }
    assert!(fs::metadata(dir.path().join("ledger")).unwrap().len() < 2 << 20);
    drop((kept, ledger));
    assert_eq!(open(dir.path()).ledger.len(), 1);
}

#[test]
fn an_address_of_bytes_is_not_shown() {
    let location = StoredLocation {
        store: "swift".into(),
        url: "swift://user:secret@host".into(),
    };
    assert!(!format!("{location:?}").contains("secret"));
}

proptest! {
    #[test]
    fn any_bytes_can_be_read_as_a_journal(text in proptest::collection::vec(any::<u8>(), 0..2000)) {
        let _ = journal::parse(&text);
    }
}
