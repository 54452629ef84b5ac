//! Rule 6, and what is in which list in which order.

use super::{
    super::{
        Comparison, Condition, Direction, Filter, Flag, MetadataErrorKind, Number, Order, Query, SortKey,
        Text, TimeField,
    },
    Subject,
    fixtures::*,
};
use crate::image::{
    ChangeKind, Image, Listing, MemberChange, MemberStatus, Status, Viewer, Visibility, VisibilityFilter,
};

const NONE: [u8; 0] = [];

fn offered(number: u8, visibility: Visibility, status: MemberStatus) -> Image {
    Image {
        members: [
            ("me".to_owned(), member(status)),
            ("you".to_owned(), member(status)),
        ]
        .into(),
        ..theirs(number, visibility)
    }
}

/// One of each: mine 1 to 4, theirs 11 to 14, offered to me 21 to 23, offered but not shared any more 24.
async fn cast(subject: &Subject) {
    use Visibility::{Community, Private, Public, Shared};
    let visibilities = [Private, Shared, Public, Community];
    let own = visibilities.iter().zip(1..).map(|(visibility, number)| Image {
        visibility: *visibility,
        ..image(number)
    });
    let others = visibilities
        .iter()
        .zip(11..)
        .map(|(visibility, number)| theirs(number, *visibility));
    let offers = [
        offered(21, Shared, MemberStatus::Accepted),
        offered(22, Shared, MemberStatus::Pending),
        offered(23, Shared, MemberStatus::Rejected),
        offered(24, Private, MemberStatus::Accepted),
    ];
    fill(&*subject.store, own.chain(others).chain(offers)).await;
}

fn by_id(listing: Listing) -> Query {
    Query {
        listing,
        order: Order::by([(SortKey::Id, Direction::Ascending)], Direction::Ascending),
        ..all()
    }
}

fn sorted(sort: SortKey, direction: Direction) -> Query {
    Query {
        order: Order::by([(sort, direction)], direction),
        ..all()
    }
}

pub(super) async fn the_default_list_has_own_public_and_accepted_images(subject: &Subject) {
    cast(subject).await;
    assert_eq!(
        numbers(&*subject.store, by_id(mine().listing)).await,
        [1, 2, 3, 4, 13, 21]
    );
    assert_eq!(
        numbers(&*subject.store, mine()).await,
        [21, 13, 4, 3, 2, 1],
        "newest first"
    );
}

pub(super) async fn a_member_status_says_which_shared_images_are_listed(subject: &Subject) {
    cast(subject).await;
    for (member_status, expected) in [
        (Some(MemberStatus::Pending), vec![22]),
        (Some(MemberStatus::Rejected), vec![23]),
        (None, vec![21, 22, 23]),
    ] {
        let listing = Listing {
            member_status,
            ..mine().listing
        };
        assert_eq!(
            numbers(&*subject.store, by_id(listing)).await,
            [vec![1, 2, 3, 4, 13], expected].concat()
        );
    }
}

pub(super) async fn each_visibility_can_be_asked_for(subject: &Subject) {
    cast(subject).await;
    for (filter, expected) in [
        (VisibilityFilter::Only(Visibility::Private), vec![1]),
        (VisibilityFilter::Only(Visibility::Shared), vec![2, 21]),
        (VisibilityFilter::Only(Visibility::Public), vec![3, 13]),
        (VisibilityFilter::Only(Visibility::Community), vec![4, 14]),
        (VisibilityFilter::All, vec![1, 2, 3, 4, 13, 14, 21]),
    ] {
        let listing = Listing {
            visibility: Some(filter),
            ..mine().listing
        };
        assert_eq!(
            numbers(&*subject.store, by_id(listing)).await,
            expected,
            "{filter:?}"
        );
    }
}

pub(super) async fn an_administrator_lists_everything_but_the_community_images_of_others(subject: &Subject) {
    cast(subject).await;
    let listing = |visibility| Listing {
        viewer: Viewer::Admin(Some("me".into())),
        visibility,
        member_status: None,
    };
    for (filter, expected) in [
        (None, vec![1, 2, 3, 4, 11, 12, 13, 21, 22, 23, 24]),
        (
            Some(VisibilityFilter::All),
            vec![1, 2, 3, 4, 11, 12, 13, 14, 21, 22, 23, 24],
        ),
        (Some(VisibilityFilter::Only(Visibility::Community)), vec![4, 14]),
        (Some(VisibilityFilter::Only(Visibility::Private)), vec![1, 11, 24]),
    ] {
        assert_eq!(
            numbers(&*subject.store, by_id(listing(filter))).await,
            expected,
            "{filter:?}"
        );
    }
}

pub(super) async fn an_image_without_owner_is_in_nobodys_list_but_the_administrators(subject: &Subject) {
    let orphan = Image {
        owner: None,
        ..image(1)
    };
    fill(&*subject.store, [orphan]).await;
    assert_eq!(numbers(&*subject.store, mine()).await, NONE);
    assert_eq!(numbers(&*subject.store, all()).await, [1]);
}

pub(super) async fn every_sort_key_orders_both_ways(subject: &Subject) {
    let image = |number: u8, rank: u8| Image {
        name: Some(["", "a\0", "aa", "b"][usize::from(rank)].into()),
        disk_format: Some(["ami", "iso", "qcow2", "raw"][usize::from(rank)].into()),
        container_format: Some(["aki", "bare", "docker", "ovf"][usize::from(rank)].into()),
        status: [
            Status::Active,
            Status::Deactivated,
            Status::Queued,
            Status::Saving,
        ][usize::from(rank)],
        content: (rank > 0).then(|| content(1, [0, 2, 300, 70_000][usize::from(rank)])),
        created_at: at(u64::from(rank) * 300),
        updated_at: at(u64::from(rank) * 300),
        ..image(number)
    };
    // Ids in another order than everything else.
    fill(
        &*subject.store,
        [image(4, 0), image(2, 1), image(9, 2), image(7, 3)],
    )
    .await;
    for sort in SortKey::ALL {
        let mut expected = if sort == SortKey::Id {
            [2, 4, 7, 9]
        } else {
            [4, 2, 9, 7]
        };
        assert_eq!(
            numbers(&*subject.store, sorted(sort, Direction::Ascending)).await,
            expected,
            "{sort:?}"
        );
        expected.reverse();
        assert_eq!(
            numbers(&*subject.store, sorted(sort, Direction::Descending)).await,
            expected,
            "{sort:?}"
        );
    }
}

pub(super) async fn equal_values_are_told_apart_by_creation_and_id(subject: &Subject) {
    let image = |number, created| Image {
        name: None,
        created_at: at(created),
        ..image(number)
    };
    fill(&*subject.store, [image(3, 1), image(1, 2), image(2, 1)]).await;
    let ascending = numbers(&*subject.store, sorted(SortKey::Name, Direction::Ascending)).await;
    assert_eq!(ascending, [2, 3, 1]);
    let mixed = Query {
        order: Order::by([(SortKey::Name, Direction::Ascending)], Direction::Descending),
        ..all()
    };
    assert_eq!(numbers(&*subject.store, mixed).await, [1, 3, 2]);
}

pub(super) async fn several_keys_with_own_directions_order_a_list(subject: &Subject) {
    let image = |number, name: &str, size| Image {
        name: Some(name.into()),
        content: Some(content(1, size)),
        ..image(number)
    };
    let images = [
        image(1, "b", 1),
        image(2, "a", 1),
        image(3, "a", 2),
        image(4, "b", 9),
    ];
    fill(&*subject.store, images).await;
    let order = Order::by(
        [
            (SortKey::Name, Direction::Ascending),
            (SortKey::Size, Direction::Descending),
        ],
        Direction::Descending,
    );
    let query = Query { order, ..all() };
    assert_eq!(numbers(&*subject.store, query.clone()).await, [3, 2, 4, 1]);
    let rest = Query {
        marker: Some(id(2)),
        limit: 1,
        ..query
    };
    assert_eq!(numbers(&*subject.store, rest).await, [4]);
}

pub(super) async fn every_condition_filters(subject: &Subject) {
    let special = Image {
        name: Some("special".into()),
        status: Status::Active,
        disk_format: Some("iso".into()),
        container_format: Some("ovf".into()),
        content: Some(content(1, 500)),
        owner: Some("her".into()),
        min_disk: 7,
        min_ram: 8,
        protected: true,
        tags: ["x".to_owned(), "y".to_owned()].into(),
        properties: [("os".to_owned(), "linux".to_owned())].into(),
        created_at: at(5_000_000),
        updated_at: at(6_999_999),
        ..image(2)
    };
    let checksum = |c: fn(crate::image::Content) -> Option<String>| c(content(1, 500)).unwrap();
    fill(&*subject.store, [image(1), special, image(3)]).await;
    let one_of = |field, value: &str| Condition::OneOf(field, vec!["no such".into(), value.into()]);
    let conditions = [
        one_of(Text::Id, &id(2).to_string()),
        one_of(Text::Name, "special"),
        one_of(Text::Status, "active"),
        one_of(Text::Owner, "her"),
        one_of(Text::ContainerFormat, "ovf"),
        one_of(Text::DiskFormat, "iso"),
        one_of(Text::Checksum, &checksum(|c| c.checksum)),
        one_of(Text::HashAlgorithm, "sha512"),
        one_of(Text::HashValue, &checksum(|c| c.hash_value)),
        Condition::AtLeast(Number::Size, 500),
        Condition::AtMost(Number::Size, 500),
        Condition::Exactly(Number::VirtualSize, 1000),
        Condition::Exactly(Number::MinDisk, 7),
        Condition::AtLeast(Number::MinRam, 8),
        Condition::Time(TimeField::CreatedAt, Comparison::Greater, at(4_999_999)),
        Condition::Time(TimeField::CreatedAt, Comparison::Equal, at(5_300_000)),
        Condition::Time(TimeField::UpdatedAt, Comparison::GreaterOrEqual, at(6_000_000)),
        Condition::Is(Flag::Protected, true),
        Condition::Tag("y".into()),
        Condition::Property("os".into(), "linux".into()),
    ];
    for condition in conditions.clone() {
        let query = Query {
            filter: Filter(vec![condition]),
            ..all()
        };
        assert_eq!(
            numbers(&*subject.store, query.clone()).await,
            [2],
            "{:?}",
            query.filter
        );
    }
    let every = Query {
        filter: Filter(conditions.into()),
        limit: 1,
        ..all()
    };
    assert_eq!(numbers(&*subject.store, every).await, [2]);
    for (comparison, second) in [
        (Comparison::Less, 5),
        (Comparison::LessOrEqual, 4),
        (Comparison::NotEqual, 5),
    ] {
        let condition = Condition::Time(TimeField::CreatedAt, comparison, at(second * 1_000_000));
        let query = Query {
            filter: Filter(vec![condition]),
            ..all()
        };
        assert_eq!(numbers(&*subject.store, query).await, [3, 1], "{comparison:?}");
    }
}

pub(super) async fn hidden_images_are_listed_when_asked_for(subject: &Subject) {
    let hidden = Image {
        hidden: true,
        ..image(1)
    };
    fill(&*subject.store, [hidden, image(2)]).await;
    for (wanted, expected) in [(true, 1), (false, 2)] {
        let filter = Filter(vec![Condition::Is(Flag::Hidden, wanted)]);
        assert_eq!(
            numbers(&*subject.store, Query { filter, ..mine() }).await,
            [expected]
        );
    }
}

pub(super) async fn killed_images_are_never_listed(subject: &Subject) {
    let killed = Image {
        status: Status::Killed,
        ..image(1)
    };
    fill(&*subject.store, [killed, image(2)]).await;
    assert_eq!(numbers(&*subject.store, all()).await, [2]);
    assert_eq!(numbers(&*subject.store, mine()).await, [2]);
}

pub(super) async fn a_limit_of_nothing_gives_an_empty_page_that_is_not_full(subject: &Subject) {
    fill(&*subject.store, [image(1)]).await;
    let query = Query { limit: 0, ..all() };
    let page = subject.store.list(query.clone()).await.unwrap();
    assert_eq!((page.images.len(), page.full), (0, false));
    let lost = Query {
        marker: Some(id(9)),
        ..query
    };
    assert!(
        subject.store.list(lost).await.is_err(),
        "the marker is looked at all the same"
    );
}

pub(super) async fn a_page_is_full_when_it_is_as_long_as_it_may_be(subject: &Subject) {
    fill(&*subject.store, [image(1), image(2)]).await;
    for (limit, full) in [(1, true), (2, true), (3, false), (usize::MAX, false)] {
        let page = subject.store.list(Query { limit, ..all() }).await.unwrap();
        assert_eq!((page.images.len(), page.full), (limit.min(2), full));
    }
}

pub(super) async fn a_walk_sees_every_unchanged_image_once_while_others_come_and_go(subject: &Subject) {
    let store = &*subject.store;
    let mixed = Order::by(
        [
            (SortKey::DiskFormat, Direction::Ascending),
            (SortKey::Name, Direction::Descending),
        ],
        Direction::Descending,
    );
    let orders = SortKey::ALL
        .into_iter()
        .flat_map(|sort| [Direction::Ascending, Direction::Descending].map(|d| Order::by([(sort, d)], d)))
        .chain([mixed]);
    // Odd numbers stay as they are; even ones come and go. Each round has its own ids.
    for (round, order) in orders.enumerate() {
        let name = |number: u8| Image {
            id: crate::image::ImageId::from_bytes(std::array::from_fn(|i| {
                [number, u8::try_from(round).unwrap()][i.min(1)]
            })),
            ..image(number)
        };
        fill(store, (1..40).map(name)).await;
        let (mut seen, mut marker, mut step) = (Vec::new(), None, 0_u8);
        loop {
            let query = Query {
                order: order.clone(),
                limit: 3,
                marker,
                ..mine()
            };
            let page = store.list(query).await.unwrap();
            seen.extend(page.images.iter().map(|image| image.id));
            let Some(last) = page.images.last().filter(|_| page.full) else {
                break;
            };
            marker = Some(last.id);
            let gone = name((step * 2 + 2).min(38));
            let deletion = ChangeKind::Delete {
                expected: gone.revision,
            };
            let _ = store
                .commit(crate::image::Change {
                    id: gone.id,
                    at: at(300),
                    kind: deletion,
                })
                .await;
            fill(store, [name(40 + step)]).await;
            step += 1;
        }
        for number in (1..40).step_by(2) {
            let id = name(number).id;
            assert_eq!(
                seen.iter().filter(|seen| **seen == id).count(),
                1,
                "{order:?} {number}"
            );
        }
        for image in store.list(all()).await.unwrap().images {
            let kind = ChangeKind::Delete {
                expected: image.revision,
            };
            let id = image.id;
            store
                .commit(crate::image::Change {
                    id,
                    at: at(400),
                    kind,
                })
                .await
                .unwrap();
        }
    }
}

pub(super) async fn a_deleted_marker_still_says_where_to_go_on(subject: &Subject) {
    fill(&*subject.store, (1..=6).map(image)).await;
    subject.store.commit(deletion(4, 1)).await.unwrap();
    for order in [
        Order::newest_first(),
        Order::by([(SortKey::Name, Direction::Descending)], Direction::Ascending),
    ] {
        let query = Query {
            order,
            marker: Some(id(4)),
            limit: 2,
            ..mine()
        };
        assert_eq!(numbers(&*subject.store, query).await, [3, 2]);
    }
}

pub(super) async fn a_marker_deleted_from_a_list_by_status_loses_no_image(subject: &Subject) {
    let active = |number| Image {
        status: Status::Active,
        ..image(number)
    };
    fill(&*subject.store, [active(1), active(2), active(3), image(4)]).await;
    subject.store.commit(deletion(2, 1)).await.unwrap();
    let query = Query {
        marker: Some(id(2)),
        ..sorted(SortKey::Status, Direction::Ascending)
    };
    assert_eq!(numbers(&*subject.store, query).await, [3, 4]);
}

pub(super) async fn a_marker_that_was_never_an_image_is_unknown(subject: &Subject) {
    fill(&*subject.store, [image(1)]).await;
    let query = Query {
        marker: Some(id(2)),
        ..all()
    };
    let error = subject.store.list(query).await.unwrap_err();
    assert_eq!(error.kind, MetadataErrorKind::UnknownMarker);
}

pub(super) async fn a_change_moves_an_image_in_every_list(subject: &Subject) {
    let store = &*subject.store;
    let offered = Image {
        members: [("me".to_owned(), member(MemberStatus::Accepted))].into(),
        ..image(1)
    };
    fill(store, [offered, image(2)]).await;
    let given = Image {
        owner: Some("them".into()),
        visibility: Visibility::Public,
        name: Some("z".into()),
        ..image(1)
    };
    let private = Image {
        visibility: Visibility::Private,
        ..given.clone()
    };
    let shared = Image {
        visibility: Visibility::Shared,
        ..given.clone()
    };
    let by_name = Query {
        order: Order::by([(SortKey::Name, Direction::Descending)], Direction::Descending),
        ..mine()
    };
    assert_eq!(numbers(store, by_name.clone()).await, [2, 1]);
    for (revision, (next, expected)) in
        (1..).zip([(given, vec![1, 2]), (private, vec![2]), (shared, vec![1, 2])])
    {
        store.commit(update(next, revision)).await.unwrap();
        assert_eq!(numbers(store, by_name.clone()).await, expected);
    }
    assert_eq!(
        numbers(store, sorted(SortKey::UpdatedAt, Direction::Descending)).await,
        [1, 2]
    );
    store.commit(deletion(1, 4)).await.unwrap();
    assert_eq!(numbers(store, by_name).await, [2]);
    assert_eq!(numbers(store, all()).await, [2]);
}

pub(super) async fn a_member_change_moves_an_image_in_the_lists_of_that_project_alone(subject: &Subject) {
    let store = &*subject.store;
    fill(
        store,
        [theirs(1, Visibility::Shared), theirs(2, Visibility::Shared)],
    )
    .await;
    let offered_to = |project: &str, status| Query {
        listing: Listing {
            viewer: Viewer::Project(project.into()),
            visibility: Some(VisibilityFilter::Only(Visibility::Shared)),
            member_status: status,
        },
        ..all()
    };
    let steps = [
        (MemberChange::Add { maximum: None }, Some(MemberStatus::Pending)),
        (
            MemberChange::SetStatus(MemberStatus::Accepted),
            Some(MemberStatus::Accepted),
        ),
        (
            MemberChange::SetStatus(MemberStatus::Rejected),
            Some(MemberStatus::Rejected),
        ),
        (MemberChange::Remove, None),
    ];
    for (revision, (change, status)) in (1..).zip(steps) {
        store
            .commit(member_change(1, revision, "me", change))
            .await
            .unwrap();
        for wanted in MemberStatus::ALL {
            let expected: &[u8] = if status == Some(wanted) { &[1] } else { &NONE };
            assert_eq!(
                numbers(store, offered_to("me", Some(wanted))).await,
                expected,
                "{change:?} {wanted:?}"
            );
        }
        let any: &[u8] = if status.is_some() { &[1] } else { &NONE };
        assert_eq!(numbers(store, offered_to("me", None)).await, any, "{change:?}");
        assert_eq!(numbers(store, offered_to("you", None)).await, NONE);
        assert_eq!(numbers(store, offered_to("them", None)).await, [2, 1]);
    }
}

pub(super) async fn a_deactivated_image_moves_in_lists_by_status_and_nowhere_else(subject: &Subject) {
    let store = &*subject.store;
    let active = |number| Image {
        status: Status::Active,
        ..image(number)
    };
    fill(store, [active(1), active(2), image(3)]).await;
    let by_status = || sorted(SortKey::Status, Direction::Ascending);
    assert_eq!(numbers(store, by_status()).await, [1, 2, 3]);
    let expected = live(store, 1).await.revision;
    store
        .commit(change(1, ChangeKind::Deactivate { expected }))
        .await
        .unwrap();
    assert_eq!(numbers(store, by_status()).await, [2, 1, 3]);
    assert_eq!(
        numbers(store, sorted(SortKey::Name, Direction::Ascending)).await,
        [1, 2, 3]
    );
    let expected = live(store, 1).await.revision;
    store
        .commit(change(1, ChangeKind::Reactivate { expected }))
        .await
        .unwrap();
    assert_eq!(numbers(store, by_status()).await, [1, 2, 3]);
}
