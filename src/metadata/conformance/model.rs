//! RocksDB against the model: the same random operations on both, and the same answers.

use proptest::{
    collection::{btree_map, btree_set, vec},
    option,
    prelude::{Just, Strategy, any, prop_oneof, proptest},
    sample::select,
    test_runner::Config,
};

use super::{
    super::{
        Comparison, Condition, Direction, Filter, Flag, Metadata, Number, Order, Query, SortKey, Text,
        TimeField,
    },
    Subject,
    fixtures::*,
};
use crate::image::{
    Allowance, Change, ChangeKind, Entry, Image, ImageId, Listing, Location, MemberChange, MemberStatus,
    RemovalId, Revision, Status, StorageBound, Timestamp, Viewer, Visibility, VisibilityFilter,
};

const IDS: u8 = 8;
const PROJECTS: [&str; 3] = ["a", "a\0", "b"];
const VISIBILITIES: [Visibility; 4] = [
    Visibility::Community,
    Visibility::Public,
    Visibility::Private,
    Visibility::Shared,
];
const DIRECTIONS: [Direction; 2] = [Direction::Ascending, Direction::Descending];

/// What is done next; an expected revision is the newest one when `fresh`.
#[derive(Debug, Clone)]
enum Step {
    Commit {
        number: u8,
        what: What,
        fresh: bool,
        allowance: Box<Allowance>,
    },
    Walk(Box<Query>),
    Reopen,
}

#[derive(Debug, Clone)]
enum What {
    Create(Box<Image>),
    Update(Box<Image>),
    Plain(ChangeKind),
    Member(String, MemberChange),
    Deactivate,
    Reactivate,
    Touch,
    Delete,
    Defer,
    Restore,
    Relocate(Vec<Location>),
    Erase,
}

/// The removal that every change of locations is.
const REMOVAL: RemovalId = RemovalId::from_bytes([7; 16]);

/// Some are the own data of one of the images.
fn locations() -> impl Strategy<Value = Vec<Location>> {
    let one = (0..IDS + 2).prop_map(|number| Location {
        url: format!("memory:///{}", id(number)),
        ..location()
    });
    vec(one, 0..3)
}

fn project() -> impl Strategy<Value = String> {
    select(&PROJECTS[..]).prop_map(str::to_owned)
}

fn member_status() -> impl Strategy<Value = MemberStatus> {
    select(vec![
        MemberStatus::Pending,
        MemberStatus::Accepted,
        MemberStatus::Rejected,
    ])
}

fn member_changes() -> impl Strategy<Value = MemberChange> {
    prop_oneof![
        2 => option::of(0..3_usize).prop_map(|maximum| MemberChange::Add { maximum }),
        2 => member_status().prop_map(MemberChange::SetStatus),
        1 => Just(MemberChange::Remove),
    ]
}

fn images() -> impl Strategy<Value = Image> {
    let statuses =
        prop_oneof![6 => Just(Status::Queued), 3 => Just(Status::Active), 1 => select(&Status::ALL[..])];
    let text = || option::of("[\u{0}ab\u{e9}]{0,2}");
    (
        (
            statuses,
            text(),
            select(&VISIBILITIES[..]),
            any::<(bool, bool)>(),
            option::weighted(0.8, project()),
        ),
        (
            option::weighted(0.8, "raw|iso"),
            option::weighted(0.8, "bare|ovf"),
            0..2_u32,
            0..3_u64,
            option::of(0..3_u64),
            0..3_usize,
        ),
        (
            btree_set("x|y", 0..2),
            btree_map("p|q", "1|2", 0..2),
            btree_map(project(), member_status(), 0..3),
        ),
    )
        .prop_map(
            |((status, name, visibility, flags, owner), numbers, (tags, properties, members))| {
                let (disk_format, container_format, min_disk, created, size, locations) = numbers;
                Image {
                    status,
                    name,
                    visibility,
                    protected: flags.0 && flags.1,
                    hidden: flags.1,
                    owner,
                    disk_format,
                    container_format,
                    min_disk,
                    content: size.map(|size| content(9, size)),
                    locations: vec![location(); locations],
                    tags,
                    properties,
                    members: members
                        .into_iter()
                        .map(|(project, status)| (project, member(status)))
                        .collect(),
                    ..Image::new(id(0), at(created * 400_000))
                }
            },
        )
}

fn what() -> impl Strategy<Value = What> {
    let plain = (0..3_u8, 0..5_u64, 0..5_u8).prop_map(|(number, size, kind)| {
        What::Plain(match kind {
            0 => ChangeKind::Claim(claim(number)),
            1 => ChangeKind::Renew {
                attempt: attempt(number),
                expires_at: at(size),
            },
            2 => ChangeKind::Commit {
                content: content(number, size),
                location: location(),
            },
            3 => ChangeKind::Fence {
                attempt: attempt(number),
            },
            _ => ChangeKind::Release {
                attempt: attempt(number),
            },
        })
    });
    prop_oneof![
        4 => images().prop_map(|image| What::Create(Box::new(image))),
        3 => images().prop_map(|image| What::Update(Box::new(image))),
        4 => plain,
        4 => (project(), member_changes()).prop_map(|(project, change)| What::Member(project, change)),
        1 => Just(What::Deactivate),
        1 => Just(What::Reactivate),
        1 => Just(What::Touch),
        2 => Just(What::Delete),
        2 => Just(What::Defer),
        2 => Just(What::Restore),
        3 => locations().prop_map(What::Relocate),
        1 => Just(What::Erase),
    ]
}

fn allowances() -> impl Strategy<Value = Allowance> {
    let limits = (
        option::weighted(0.2, 0..4_u64),
        option::weighted(0.2, 0..2_u64),
        option::weighted(0.2, 0..6_u64),
    );
    limits.prop_map(|(images, uploading, stored)| Allowance {
        images,
        uploading,
        stored: stored.map(StorageBound::Bytes),
    })
}

fn conditions() -> impl Strategy<Value = Condition> {
    prop_oneof![
        select(vec!["", "a", "b"])
            .prop_map(|name| Condition::OneOf(Text::Name, vec![name.into(), "ab".into()])),
        select(vec!["active", "queued"])
            .prop_map(|status| Condition::OneOf(Text::Status, vec![status.into()])),
        project().prop_map(|owner| Condition::OneOf(Text::Owner, vec![owner])),
        (0..IDS).prop_map(|number| Condition::OneOf(Text::Id, vec![id(number).to_string()])),
        (0..4_u64).prop_map(|size| Condition::AtLeast(Number::Size, size)),
        (0..2_u64).prop_map(|disk| Condition::Exactly(Number::MinDisk, disk)),
        any::<bool>().prop_map(|hidden| Condition::Is(Flag::Hidden, hidden)),
        Just(Condition::Time(TimeField::CreatedAt, Comparison::NotEqual, at(0))),
        Just(Condition::Tag("x".into())),
        Just(Condition::Property("p".into(), "1".into())),
    ]
}

fn queries() -> impl Strategy<Value = Query> {
    let viewer = prop_oneof![
        option::of(project()).prop_map(Viewer::Admin),
        project().prop_map(Viewer::Project),
    ];
    let visibility = option::of(prop_oneof![
        Just(VisibilityFilter::All),
        select(&VISIBILITIES[..]).prop_map(VisibilityFilter::Only),
    ]);
    let key = || (select(&SortKey::ALL[..]), select(&DIRECTIONS[..]));
    let order = prop_oneof![
        2 => key().prop_map(|(sort, direction)| Order::by([(sort, direction)], direction)),
        1 => (vec(key(), 0..3), select(&DIRECTIONS[..])).prop_map(|(keys, ties)| Order::by(keys, ties)),
    ];
    (
        (viewer, visibility, option::of(member_status())),
        vec(conditions(), 0..2),
        order,
        option::weighted(0.3, 0..IDS + 1),
        0..4_usize,
    )
        .prop_map(
            |((viewer, visibility, member_status), filter, order, marker, limit)| Query {
                listing: Listing {
                    viewer,
                    visibility,
                    member_status,
                },
                filter: Filter(filter),
                order,
                marker: marker.map(id),
                limit,
            },
        )
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        30 => (0..IDS, what(), proptest::bool::weighted(0.8), allowances())
            .prop_map(|(number, what, fresh, allowance)| Step::Commit { number, what, fresh, allowance: Box::new(allowance) }),
        20 => queries().prop_map(|query| Step::Walk(Box::new(query))),
        1 => Just(Step::Reopen),
    ];
    vec(step, 1..120)
}

async fn commit(
    model: &dyn Metadata,
    real: &dyn Metadata,
    (number, what, fresh, allowance): (u8, What, bool, Allowance),
) {
    let current = model.entry(id(number)).await.unwrap();
    let revision = current.as_ref().map_or(1, |entry| match entry {
        Entry::Live(image) => image.revision.number(),
        Entry::Deleted(tombstone) => tombstone.image.revision.number(),
    });
    let expected = Revision::from_number(if fresh { revision } else { revision.wrapping_sub(1) });
    let kind = match what {
        What::Create(image) => ChangeKind::Create(image),
        What::Update(image) => ChangeKind::Update { expected, image },
        What::Plain(kind) => kind,
        What::Member(project, change) => ChangeKind::Member {
            expected,
            project,
            change,
        },
        What::Deactivate => ChangeKind::Deactivate { expected },
        What::Reactivate => ChangeKind::Reactivate { expected },
        What::Touch => ChangeKind::Touch { expected },
        What::Delete => ChangeKind::Delete { expected },
        What::Defer => ChangeKind::Defer { expected },
        What::Restore => ChangeKind::Restore { expected },
        What::Erase => ChangeKind::Erase { removal: REMOVAL },
        What::Relocate(locations) => ChangeKind::Relocate {
            expected,
            image: Box::new(Image {
                locations,
                ..current
                    .and_then(|entry| entry.live().cloned())
                    .unwrap_or_else(|| image(number))
            }),
            content: Some(content(9, 1)),
            removal: REMOVAL,
        },
    };
    let change = Change {
        id: id(number),
        at: at(700_000),
        kind,
    };
    let left = model.commit_within(change.clone(), allowance).await;
    let right = real.commit_within(change, allowance).await;
    assert_eq!(
        left.map_err(|error| error.kind),
        right.map_err(|error| error.kind)
    );
    same_usage(model, real).await;
}

/// What was kept up to date is what a count of everything gives.
async fn same_usage(model: &dyn Metadata, real: &dyn Metadata) {
    for project in PROJECTS.iter().chain(&["nobody"]) {
        assert_eq!(
            model.usage(project).await.unwrap(),
            real.usage(project).await.unwrap(),
            "{project}"
        );
    }
}

/// Walks the list to its end in both, page by page.
async fn walk(model: &dyn Metadata, real: &dyn Metadata, mut query: Query) {
    loop {
        let (left, right) = (model.list(query.clone()).await, real.list(query.clone()).await);
        let (left, right) = (
            left.map_err(|error| error.kind),
            right.map_err(|error| error.kind),
        );
        assert_eq!(left, right, "{query:?}");
        let Ok(page) = left else { return };
        let Some(last) = page.images.last().filter(|_| page.full) else {
            return;
        };
        query.marker = Some(last.id);
    }
}

async fn run(steps: Vec<Step>) {
    let model = Subject::memory().store;
    let dir = tempfile::tempdir().unwrap();
    let open = || super::super::rocksdb::RocksMetadata::open(dir.path(), Default::default()).unwrap();
    let mut real = open();
    for step in steps {
        match step {
            Step::Commit {
                number,
                what,
                fresh,
                allowance,
            } => commit(&*model, &real, (number, what, fresh, *allowance)).await,
            Step::Walk(query) => walk(&*model, &real, *query).await,
            Step::Reopen => {
                real.close().await;
                real = open();
                same_usage(&*model, &real).await;
            }
        }
    }
    let (mut left, mut right) = (model.claims().await.unwrap(), real.claims().await.unwrap());
    left.sort_by_key(|(id, _)| *id);
    right.sort_by_key(|(id, _): &(ImageId, _)| *id);
    assert_eq!(left, right);
    let until = Timestamp::from_micros(u64::MAX);
    assert_eq!(
        model.pending(until, None, 99).await.unwrap(),
        real.pending(until, None, 99).await.unwrap()
    );
    for number in 0..IDS {
        assert_eq!(
            model.entry(id(number)).await.unwrap(),
            real.entry(id(number)).await.unwrap()
        );
    }
    for sort in SortKey::ALL {
        let order = Order::by([(sort, Direction::Ascending)], Direction::Ascending);
        walk(&*model, &real, Query { order, ..all() }).await;
    }
}

proptest! {
    #![proptest_config(Config { cases: 64, ..Config::default() })]
    #[test]
    fn rocksdb_answers_as_the_model_does(steps in steps()) {
        tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(run(steps));
    }
}
