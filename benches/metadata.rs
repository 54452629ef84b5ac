//! How long a page takes with 100 and with 100,000 images, and how many commits a second the disk allows.
//!
//! `cargo bench --bench metadata`; with `-- /some/dir` the database is made there, so that it is on the disk that is
//! meant. It is removed afterwards.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]

use std::{
    ops::Range,
    path::PathBuf,
    time::{Duration, Instant},
};

use saccade::{
    image::{
        Change, ChangeKind, Image, ImageId, Listing, Member, MemberStatus, Revision, Timestamp, Viewer,
        Visibility,
    },
    metadata::{
        Condition, Direction, Filter, Flag, Metadata, Order, Query, SortKey,
        rocksdb::{Options, RocksMetadata},
    },
};

const ROUNDS: usize = 400;

fn id(number: u32) -> ImageId {
    // Spread as random ids are.
    let spread = u128::from(number).wrapping_mul(0x9E37_79B9_7F4A_7C15_F39C_C060_5CED_C835);
    ImageId::from_bytes(spread.to_be_bytes())
}

/// Of ten images two are mine, two are public, one is shared with me, and one offered to me.
fn image(number: u32) -> Image {
    let at = Timestamp::from_micros(u64::from(number));
    let member = |status| {
        let member = Member {
            status,
            created_at: at,
            updated_at: at,
        };
        [("me".to_owned(), member)].into()
    };
    let (owner, visibility, members) = match number % 10 {
        0 | 1 => ("me".to_owned(), Visibility::Private, [].into()),
        2 | 3 => (format!("project {}", number % 997), Visibility::Public, [].into()),
        4 => (
            "them".to_owned(),
            Visibility::Shared,
            member(MemberStatus::Accepted),
        ),
        5 => (
            "them".to_owned(),
            Visibility::Shared,
            member(MemberStatus::Pending),
        ),
        _ => (
            format!("project {}", number % 997),
            Visibility::Private,
            [].into(),
        ),
    };
    let properties = (0..6).map(|key| (format!("hw_property_{key}"), format!("value {number}")));
    Image {
        name: Some(format!("image {}", id(number))),
        owner: Some(owner),
        visibility,
        members,
        disk_format: Some("qcow2".into()),
        container_format: Some("bare".into()),
        properties: properties.collect(),
        ..Image::new(id(number), at)
    }
}

fn creation(number: u32) -> Change {
    Change {
        id: id(number),
        at: Timestamp::from_micros(0),
        kind: ChangeKind::Create(Box::new(image(number))),
    }
}

fn touch(number: u32) -> Change {
    Change {
        id: id(number),
        at: Timestamp::from_micros(0),
        kind: ChangeKind::Touch {
            expected: Revision::FIRST,
        },
    }
}

/// Commits the changes of these numbers, so many at once; how long it took.
async fn commit_all(
    store: &RocksMetadata,
    at_once: u32,
    numbers: Range<u32>,
    change: fn(u32) -> Change,
) -> Duration {
    let begun = Instant::now();
    let tasks: Vec<_> = (0..at_once)
        .map(|share| {
            let (store, numbers) = (store.clone(), numbers.clone());
            tokio::spawn(async move {
                for number in numbers.filter(|number| number % at_once == share) {
                    store.commit(change(number)).await.unwrap();
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    begun.elapsed()
}

fn summary(mut times: Vec<Duration>) -> (Duration, String) {
    times.sort();
    let (median, late) = (times[times.len() / 2], times[times.len() * 99 / 100]);
    (median, format!("{median:>9.1?} p99 {late:>9.1?}"))
}

/// The image in the middle of the list.
async fn middle(store: &RocksMetadata, mut query: Query) -> ImageId {
    query.limit = 1000;
    let mut ids = Vec::new();
    loop {
        let page = store.list(query.clone()).await.unwrap();
        ids.extend(page.images.iter().map(|image| image.id));
        if !page.full {
            return ids[ids.len() / 2];
        }
        query.marker = ids.last().copied();
    }
}

async fn pages(store: &RocksMetadata, images: u32) -> Vec<(String, Duration, String)> {
    let mut results = Vec::new();
    let viewers = [
        ("admin", Viewer::Admin(Some("admin".into()))),
        ("member", Viewer::Project("me".into())),
    ];
    let orders = [
        ("newest first", Order::newest_first()),
        (
            "by name",
            Order::by([(SortKey::Name, Direction::Ascending)], Direction::Ascending),
        ),
    ];
    for (who, viewer) in viewers {
        for (how, order) in &orders {
            let query = Query {
                listing: Listing {
                    viewer: viewer.clone(),
                    visibility: None,
                    member_status: Some(MemberStatus::Accepted),
                },
                filter: Filter(vec![Condition::Is(Flag::Hidden, false)]),
                order: order.clone(),
                marker: None,
                limit: 25,
            };
            let middle = middle(store, query.clone()).await;
            for (place, marker) in [("first", None), ("middle", Some(middle))] {
                let query = Query {
                    marker,
                    ..query.clone()
                };
                let mut times = Vec::new();
                for _ in 0..ROUNDS {
                    let begun = Instant::now();
                    store.list(query.clone()).await.unwrap();
                    times.push(begun.elapsed());
                }
                let (median, text) = summary(times);
                results.push((format!("{who:6} {how:12} {place:6} page"), median, text));
            }
        }
    }
    let mut times = Vec::new();
    for round in 0..ROUNDS {
        let wanted = id(u32::try_from(round).unwrap() * 7919 % images);
        let begun = Instant::now();
        store.entry(wanted).await.unwrap().unwrap();
        times.push(begun.elapsed());
    }
    let (median, text) = summary(times);
    results.push(("one image by id".to_owned(), median, text));
    results
}

fn resident() -> String {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find(|line| line.starts_with("VmRSS"));
    line.unwrap_or("VmRSS: unknown")
        .split_whitespace()
        .skip(1)
        .collect::<Vec<_>>()
        .join(" ")
}

#[tokio::main]
async fn main() {
    let wanted = std::env::args()
        .skip(1)
        .find(|argument| !argument.starts_with('-'));
    let parent = wanted.map_or_else(std::env::temp_dir, PathBuf::from);
    let dir = tempfile::tempdir_in(parent).unwrap();
    let mut figures = Vec::new();
    for images in [100, 100_000] {
        let path = dir.path().join(images.to_string());
        println!("resident before opening: {}", resident());
        let begun = Instant::now();
        let store = RocksMetadata::open(&path, Options::default()).unwrap();
        println!(
            "a new store opens in {:.1?}; resident: {}",
            begun.elapsed(),
            resident()
        );
        let took = commit_all(&store, 64, 0..images, creation).await;
        println!("{images} images created in {took:.1?}; resident: {}", resident());
        store.close().await;
        let begun = Instant::now();
        let store = RocksMetadata::open(&path, Options::default()).unwrap();
        println!("{images} images open in {:.1?}", begun.elapsed());
        // Compaction after the filling is not what is measured.
        tokio::time::sleep(Duration::from_secs(u64::from(images / 10_000))).await;
        figures.push(pages(&store, images).await);
        println!("resident after reading: {}", resident());
        for at_once in [1, 16, 64_u32] {
            let count = 100 * at_once.isqrt() * 5;
            let first = images + at_once * 1_000_000;
            let numbers = first..first + count;
            let took = commit_all(&store, at_once, numbers.clone(), creation).await;
            let touched = commit_all(&store, at_once, numbers, touch).await;
            let rate = |took: Duration| f64::from(count) / took.as_secs_f64();
            println!(
                "{at_once:>3} at once: {:>6.0} creations/s, {:>6.0} touches/s",
                rate(took),
                rate(touched)
            );
        }
        store.close().await;
    }
    println!(
        "{:34} {:>25} {:>25}  ratio",
        "median of pages of 25", "100", "100000"
    );
    for (few, many) in figures[0].iter().zip(&figures[1]) {
        println!(
            "{:34} {:>25} {:>25}  {:.1}",
            few.0,
            few.2,
            many.2,
            many.1.as_secs_f64() / few.1.as_secs_f64()
        );
    }
}
