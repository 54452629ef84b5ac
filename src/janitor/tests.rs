//! Removals of locations that were interrupted.

use bytes::Bytes;
use saccade_store_contract::BlobName;

use crate::{
    catalog::tests::Fixture,
    http::tests::rules,
    image::{AttemptId, ChangeKind, Content, Image, ImageId, Location, RemovalId, Revision, Status, StoreId},
    ledger::{Entry, RemovalEntry, StoredLocation},
    metadata::Metadata,
};

const ID: ImageId = ImageId::from_bytes([7; 16]);
const REMOVAL: RemovalId = RemovalId::from_bytes([8; 16]);

fn location(url: String, store: &str) -> Location {
    Location {
        store: Some(StoreId::new(store)),
        url,
        metadata: Default::default(),
    }
}

/// An active image with data of its own and another location, and a removal of the first that only the ledger knows of.
async fn interrupted(fixture: &Fixture) -> Image {
    fixture
        .elsewhere
        .plant(BlobName(ID.as_uuid()), Bytes::from_static(b"data"));
    let own = location(format!("memory:///{ID}"), "elsewhere");
    let id = fixture
        .put(|image| {
            image.id = ID;
            image.status = Status::Active;
            image.content = Some(Content {
                attempt: AttemptId::from_bytes([9; 16]),
                size: 4,
                virtual_size: None,
                checksum: None,
                hash_algorithm: None,
                hash_value: None,
            });
            image.locations = vec![own.clone(), location("http://web/x".into(), "web")];
        })
        .await;
    let entry = Entry::Removal(RemovalEntry {
        image: id.as_uuid(),
        revision: Revision::FIRST.number(),
        removal: REMOVAL.as_uuid(),
        locations: vec![StoredLocation {
            store: "elsewhere".into(),
            url: own.url,
        }],
    });
    drop(fixture.ledger.begin(entry).await.unwrap());
    live(fixture).await
}

async fn live(fixture: &Fixture) -> Image {
    let entry = fixture.metadata.entry(ID).await.unwrap().unwrap();
    entry.live().unwrap().clone()
}

fn retirement(image: &Image) -> ChangeKind {
    let mut wanted = image.clone();
    wanted.locations.remove(0);
    ChangeKind::Relocate {
        expected: image.revision,
        image: Box::new(wanted),
        content: None,
        removal: REMOVAL,
    }
}

#[tokio::test]
async fn a_removal_that_reached_the_record_is_finished() {
    let fixture = Fixture::new(rules());
    let image = interrupted(&fixture).await;
    fixture.commit(ID, retirement(&image)).await;
    assert_eq!(live(&fixture).await.retired.len(), 1);
    fixture.janitor.sweep().await;
    assert_eq!(fixture.elsewhere.inventory(), Vec::<String>::new());
    let image = live(&fixture).await;
    assert_eq!((image.retired.len(), image.locations.len()), (0, 1));
    assert!(fixture.ledger.is_empty());
}

#[tokio::test]
async fn a_removal_that_did_not_reach_the_record_is_given_up_and_can_come_no_more() {
    let fixture = Fixture::new(rules());
    let image = interrupted(&fixture).await;
    fixture.janitor.sweep().await;
    assert_eq!(fixture.elsewhere.inventory().len(), 1);
    assert_eq!(live(&fixture).await.locations, image.locations);
    assert!(fixture.ledger.is_empty());
    let late = crate::image::Change {
        id: ID,
        at: image.created_at,
        kind: retirement(&image),
    };
    assert!(fixture.metadata.commit(late).await.is_err());
}

#[tokio::test]
async fn what_was_removed_goes_with_the_image_when_that_is_deleted_first() {
    let fixture = Fixture::new(rules());
    let image = interrupted(&fixture).await;
    fixture.commit(ID, retirement(&image)).await;
    fixture.janitor.delete(&live(&fixture).await).await.unwrap();
    assert_eq!(fixture.elsewhere.inventory(), Vec::<String>::new());
    fixture.janitor.sweep().await;
    assert!(fixture.ledger.is_empty());
}

#[tokio::test]
async fn what_is_being_removed_is_not_taken_back() {
    let fixture = Fixture::new(rules());
    let image = interrupted(&fixture).await;
    fixture.commit(ID, retirement(&image)).await;
    let back = ChangeKind::Relocate {
        expected: live(&fixture).await.revision,
        image: Box::new(image.clone()),
        content: None,
        removal: RemovalId::random(),
    };
    let change = crate::image::Change {
        id: ID,
        at: image.created_at,
        kind: back,
    };
    let error = fixture.metadata.commit(change).await.unwrap_err();
    assert!(error.to_string().contains("being deleted"), "{error}");
}
