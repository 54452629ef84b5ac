//! A catalogue of a million images, each with ten properties and three tags, asked over HTTP: how long a page takes that
//! begins a list, one from its middle, and one that is filtered; and how long the daemon takes to start, after a stop and after a
//! kill in the midst of changes. `cargo bench --bench catalogue -- 1000000`; without a number 100,000
//! images. `BENCH_DIR` names where the database is made; a million take about 2 GiB there.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

#[allow(dead_code, reason = "what this benchmark needs no part of")]
mod harness;

use std::{
    fs,
    path::Path,
    thread,
    time::{Duration, Instant},
};

use harness::saccade::{Identity, Saccade};
use saccade::{
    image::{Change, ChangeKind, Content, Image, ImageId, Location, Status, Timestamp, Visibility},
    metadata::{
        Metadata,
        rocksdb::{Options, RocksMetadata},
    },
};

/// Requests of each kind; the first few are not counted.
const ROUNDS: usize = 300;
const WARM_UP: usize = 20;
const PROJECTS: u32 = 1000;
/// Before the kill: as many as the log may hold that is read again at the next start, more or less.
const CHANGES: u32 = 5000;
/// Few images have one of these, so that it finds about as many as a person looks for.
const RARE: u32 = 20_000;

fn main() {
    let wanted = std::env::args()
        .skip(1)
        .find(|argument| !argument.starts_with('-'));
    let images: u32 = wanted.map_or(100_000, |text| text.parse().expect("the number of images"));
    let dir = tempfile::tempdir_in(std::env::var_os("BENCH_DIR").unwrap_or_else(|| "/tmp".into())).unwrap();
    let data = dir.path().join("data");
    let metadata = data.join("metadata");
    // The daemon makes its directory.
    drop(Saccade::start(&data, Identity::Local));
    fill(&metadata, images);
    println!("{images} images: the database has {} MiB", size(&metadata) >> 20);
    let begun = Instant::now();
    let daemon = Saccade::start(&data, Identity::Local);
    println!("start, until the first answer: {:.0?}", begun.elapsed());
    thread::sleep(Duration::from_secs(5));

    println!("| request | p50 ms | p99 ms | images |");
    println!("|---|---|---|---|");
    let middle = id(images / 2);
    row(&daemon, "show", |round| {
        format!("/v2/images/{}", id((round as u32).wrapping_mul(7919) % images))
    });
    for sort in [
        "created_at:desc",
        "created_at:asc",
        "name:asc",
        "name:desc",
        "status:asc",
        "container_format:asc",
        "disk_format:asc",
        "size:desc",
        "id:asc",
        "updated_at:desc",
    ] {
        let path = format!("/v2/images?limit=25&sort={sort}");
        row(&daemon, &format!("first page by {sort}"), |_| path.clone());
        row(&daemon, &format!("middle page by {sort}"), |_| {
            format!("{path}&marker={middle}")
        });
    }
    row(&daemon, "by name", |round| {
        format!("/v2/images?name=image-{}", round as u32 * 31 % images)
    });
    row(&daemon, "by tag (few)", |round| {
        format!("/v2/images?tag=rare-{}", round as u32 % RARE)
    });
    row(&daemon, "by tag (every third image)", |round| {
        format!("/v2/images?tag=common-{}", round % 3)
    });
    row(&daemon, "by owner", |round| {
        format!("/v2/images?owner=project-{}", round as u32 % PROJECTS)
    });
    row(&daemon, "by custom property (few)", |round| {
        format!("/v2/images?build={}", round as u32 % RARE)
    });
    row(&daemon, "by custom property (every image)", |_| {
        "/v2/images?hw_disk_bus=virtio".to_owned()
    });
    row(&daemon, "by property and tag", |round| {
        format!("/v2/images?build={}&tag=common-1", round as u32 % RARE)
    });
    row(&daemon, "limit=1000", |_| "/v2/images?limit=1000".to_owned());
    println!("resident: {} MiB", daemon.server.memory("VmRSS") >> 20);

    let mut connection = daemon.connect();
    for change in 0..CHANGES {
        let path = format!("/v2/images/{}", id(change.wrapping_mul(7919) % images));
        let patch = format!(r#"[{{"op": "replace", "path": "/name", "value": "changed-{change}"}}]"#);
        let format = Some("application/openstack-images-v2.1-json-patch");
        connection
            .expect(200, "PATCH", &path, format, patch.as_bytes())
            .unwrap();
    }
    daemon.server.kill();
    let begun = Instant::now();
    let daemon = Saccade::start(&data, Identity::Local);
    println!(
        "start after a kill, {CHANGES} changes after the last start: {:.0?}",
        begun.elapsed()
    );
    let last = id((CHANGES - 1).wrapping_mul(7919) % images);
    let body = daemon
        .connect()
        .expect(200, "GET", &format!("/v2/images/{last}"), None, b"")
        .unwrap();
    let json: serde_json::Value = serde_json::from_slice(&body).unwrap();
    assert_eq!(json["name"], format!("changed-{}", CHANGES - 1));
}

fn id(number: u32) -> ImageId {
    // Spread as random ids are.
    let spread = u128::from(number).wrapping_mul(0x9E37_79B9_7F4A_7C15_F39C_C060_5CED_C835);
    ImageId::from_bytes(spread.to_be_bytes())
}

fn image(number: u32) -> Image {
    let hw = [
        "disk_bus",
        "scsi_model",
        "vif_model",
        "video_model",
        "machine_type",
        "qemu_guest_agent",
    ];
    let hw = hw.map(|key| (format!("hw_{key}"), "virtio".to_owned()));
    let os = [
        ("os_distro", "ubuntu".to_owned()),
        ("os_version", format!("{}.04", 18 + number % 8)),
        ("build", (number % RARE).to_string()),
        ("build_id", format!("{:032x}", u128::from(number))),
    ];
    let os = os.map(|(key, value)| (key.to_owned(), value));
    let content = Content {
        attempt: saccade::image::AttemptId::from_bytes(*id(number).as_bytes()),
        size: u64::from(number) << 10,
        virtual_size: Some(10 << 30),
        checksum: Some(format!("{number:032x}")),
        hash_algorithm: Some("sha512".into()),
        hash_value: Some(format!("{number:0128x}")),
    };
    let location = Location {
        store: None,
        url: format!("file:///var/lib/saccade/images/{}", id(number)),
        metadata: [].into(),
    };
    Image {
        status: Status::Active,
        name: Some(format!("image-{number}")),
        owner: Some(format!("project-{}", number % PROJECTS)),
        visibility: if number.is_multiple_of(10) {
            Visibility::Public
        } else {
            Visibility::Private
        },
        disk_format: Some("qcow2".into()),
        container_format: Some("bare".into()),
        content: Some(content),
        locations: vec![location],
        tags: [
            format!("rare-{}", number % RARE),
            format!("common-{}", number % 3),
            "image".to_owned(),
        ]
        .into(),
        properties: hw.into_iter().chain(os).collect(),
        ..Image::new(
            id(number),
            Timestamp::from_micros(1_700_000_000_000_000 + u64::from(number) * 1000),
        )
    }
}

fn fill(path: &Path, images: u32) {
    const AT_ONCE: u32 = 256;
    let begun = Instant::now();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let store = RocksMetadata::open(path, Options::default()).unwrap();
        let tasks: Vec<_> = (0..AT_ONCE)
            .map(|share| {
                let store = store.clone();
                tokio::spawn(async move {
                    for number in (share..images).step_by(AT_ONCE as usize) {
                        let kind = ChangeKind::Create(Box::new(image(number)));
                        let change = Change {
                            id: id(number),
                            at: Timestamp::from_micros(0),
                            kind,
                        };
                        store.commit(change).await.unwrap();
                    }
                })
            })
            .collect();
        for task in tasks {
            task.await.unwrap();
        }
        store.close().await;
    });
    println!("filled in {:.0?}", begun.elapsed());
}

fn size(directory: &Path) -> u64 {
    let files = fs::read_dir(directory).unwrap();
    files.map(|file| file.unwrap().metadata().unwrap().len()).sum()
}

fn row(daemon: &Saccade, what: &str, path: impl Fn(usize) -> String) {
    let mut connection = daemon.connect();
    let mut times = Vec::new();
    let mut found = 0;
    for round in 0..WARM_UP + ROUNDS {
        let path = path(round);
        let begun = Instant::now();
        let body = connection.expect(200, "GET", &path, None, b"").unwrap();
        if round >= WARM_UP {
            times.push(begun.elapsed());
        }
        let json: serde_json::Value = serde_json::from_slice(&body).unwrap();
        found = json["images"].as_array().map_or(1, Vec::len);
    }
    times.sort();
    let milliseconds = |time: Duration| time.as_secs_f64() * 1000.0;
    println!(
        "| {what} | {:.2} | {:.2} | {found} |",
        milliseconds(times[times.len() / 2]),
        milliseconds(times[times.len() * 99 / 100])
    );
}
