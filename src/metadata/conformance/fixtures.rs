//! Images, changes and queries in few words.

use super::super::{Filter, Metadata, MetadataError, MetadataErrorKind, Order, Query};
use crate::image::{
    AttemptId, Change, ChangeKind, Claim, ClaimPhase, Content, Entry, Image, ImageId, Listing, Location,
    Member, MemberChange, MemberStatus, NodeId, Rejection, Revision, Timestamp, Viewer, Visibility,
    VisibilityFilter,
};

pub(super) fn id(number: u8) -> ImageId {
    ImageId::from_bytes([number; 16])
}

pub(super) fn attempt(number: u8) -> AttemptId {
    AttemptId::from_bytes([number; 16])
}

pub(super) fn at(micros: u64) -> Timestamp {
    Timestamp::from_micros(micros)
}

/// An image of project `me`, ready for data; later numbers are newer.
pub(super) fn image(number: u8) -> Image {
    Image {
        name: Some(format!("image {number}")),
        owner: Some("me".into()),
        disk_format: Some("raw".into()),
        container_format: Some("bare".into()),
        ..Image::new(id(number), at(u64::from(number)))
    }
}

pub(super) fn theirs(number: u8, visibility: Visibility) -> Image {
    Image {
        owner: Some("them".into()),
        visibility,
        ..image(number)
    }
}

pub(super) fn member(status: MemberStatus) -> Member {
    Member {
        status,
        created_at: at(1),
        updated_at: at(1),
    }
}

pub(super) fn claim(number: u8) -> Claim {
    Claim {
        attempt: attempt(number),
        node: NodeId::from_bytes([number; 16]),
        expires_at: at(1000),
        phase: ClaimPhase::Open,
    }
}

pub(super) fn content(number: u8, size: u64) -> Content {
    Content {
        attempt: attempt(number),
        size,
        virtual_size: Some(size * 2),
        checksum: Some(format!("{size:032x}")),
        hash_algorithm: Some("sha512".into()),
        hash_value: Some(format!("{size:0128x}")),
    }
}

pub(super) fn location() -> Location {
    Location {
        store: None,
        url: "file:///a".into(),
        metadata: [("store".to_owned(), "a".to_owned())].into(),
    }
}

pub(super) fn change(number: u8, kind: ChangeKind) -> Change {
    Change {
        id: id(number),
        at: at(100),
        kind,
    }
}

pub(super) fn creation(image: Image) -> Change {
    Change {
        id: image.id,
        at: image.created_at,
        kind: ChangeKind::Create(Box::new(image)),
    }
}

pub(super) fn deletion(number: u8, revision: u64) -> Change {
    let expected = Revision::from_number(revision);
    change(number, ChangeKind::Delete { expected })
}

pub(super) fn update(image: Image, revision: u64) -> Change {
    Change {
        id: image.id,
        at: at(200),
        kind: ChangeKind::Update {
            expected: Revision::from_number(revision),
            image: Box::new(image),
        },
    }
}

pub(super) fn member_change(number: u8, revision: u64, project: &str, change: MemberChange) -> Change {
    let kind = ChangeKind::Member {
        expected: Revision::from_number(revision),
        project: project.into(),
        change,
    };
    self::change(number, kind)
}

pub(super) async fn fill(store: &dyn Metadata, images: impl IntoIterator<Item = Image>) {
    for image in images {
        store.commit(creation(image)).await.unwrap();
    }
}

pub(super) fn rejection(result: Result<Entry, MetadataError>) -> Rejection {
    match result.unwrap_err().kind {
        MetadataErrorKind::Rejected(rejection) => rejection,
        other => panic!("{other}"),
    }
}

pub(super) async fn live(store: &dyn Metadata, number: u8) -> Image {
    store
        .entry(id(number))
        .await
        .unwrap()
        .unwrap()
        .live()
        .unwrap()
        .clone()
}

pub(super) fn all() -> Query {
    Query {
        listing: Listing {
            viewer: Viewer::Admin(None),
            visibility: Some(VisibilityFilter::All),
            member_status: None,
        },
        filter: Filter::default(),
        order: Order::newest_first(),
        marker: None,
        limit: 1000,
    }
}

/// The default list of project `me`.
pub(super) fn mine() -> Query {
    Query {
        listing: Listing {
            viewer: Viewer::Project("me".into()),
            visibility: None,
            member_status: Some(MemberStatus::Accepted),
        },
        ..all()
    }
}

/// The numbers of the images on the page, in order.
pub(super) async fn numbers(store: &dyn Metadata, query: Query) -> Vec<u8> {
    let page = store.list(query).await.unwrap();
    page.images.iter().map(|image| image.id.as_bytes()[0]).collect()
}
