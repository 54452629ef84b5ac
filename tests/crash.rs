//! The daemon is killed at random instants while clients work, and started again. Nothing that it acknowledged may be
//! lost, nothing half-done may be seen, and nothing that is not its own may be touched.
//!
//! `CRASHES=200` asks for that many instead of the few that every run of the tests has time for. The instants between the
//! steps of an upload, one by one, are `boundaries`.

use crate::harness::{
    Body, Bucket, Client, Container, Daemon, NO_PARTS, Payload, Setup, SwiftServer, eventually, names, sha512,
};
use saccade_store_conformance::glance_store::{GlanceStore, Word};
use serde_json::json;
use std::{
    collections::BTreeMap,
    fs,
    path::Path,
    sync::{
        Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};
use uuid::Uuid;

pub(crate) fn crashes(default: u64) -> u64 {
    std::env::var("CRASHES").map_or(default, |text| text.parse().expect("CRASHES is a number"))
}

/// Where the random choices of a run begin; printed, so that a failure says which it was.
pub(crate) fn seed() -> u64 {
    let seed =
        u64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos() % 1_000_000).unwrap();
    println!("seed {seed}");
    seed
}

/// A number below `end`, by splitmix64.
pub(crate) fn random(state: &mut u64, end: u64) -> u64 {
    *state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
    let mut mixed = *state;
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    (mixed ^ (mixed >> 31)) % end
}

/// Something that may or may not have happened: asked for, not acknowledged.
#[derive(Clone, Debug, PartialEq)]
enum Change {
    Create,
    Upload(String),
    Rename(String),
    Delete,
}

/// What a client knows of an image.
#[derive(Clone, Debug, Default)]
struct Known {
    created: bool,
    /// The hash of the data that is there.
    hash: Option<String>,
    name: String,
    deleted: bool,
    open: Option<Change>,
    /// Compared after a crash; nobody has changed it since.
    compared: bool,
}

/// Which images are compared.
#[derive(Clone, Copy, PartialEq)]
enum Extent {
    /// Those that somebody worked on since the last time: hundreds of rounds would otherwise read the first round's images
    /// hundreds of times.
    Touched,
    All,
}

/// What all clients know.
struct World {
    images: Mutex<BTreeMap<String, Known>>,
    acknowledged: AtomicU64,
    /// The most bytes that an image has.
    longest: usize,
}

impl Default for World {
    fn default() -> Self {
        Self::of(3 << 20)
    }
}

impl World {
    fn of(longest: usize) -> Self {
        Self {
            images: Mutex::default(),
            acknowledged: AtomicU64::default(),
            longest,
        }
    }

    /// The data of an image, which its id says: from 1 byte on.
    fn data_of(&self, id: &str) -> Vec<u8> {
        let mut seed = u64::try_from(id.parse::<Uuid>().unwrap().as_u128() >> 64).unwrap();
        let length = random(&mut seed, u64::try_from(self.longest).unwrap()) + 1;
        Payload::bytes(seed, usize::try_from(length).unwrap())
    }

    /// Does something, and remembers how it ended. `false` when the daemon is gone.
    fn attempt(&self, api: &Client, id: &str, change: Change) -> bool {
        self.images.lock().unwrap().entry(id.to_owned()).or_default().open = Some(change.clone());
        let path = format!("/v2/images/{id}");
        let answer = match &change {
            Change::Create => {
                let body = json!({"id": id, "name": "new", "disk_format": "raw", "container_format": "bare"});
                api.try_request("POST", "/v2/images", &[], Body::Json(&body))
            }
            Change::Upload(_) => {
                let bytes = self.data_of(id);
                let body = Body::Sized("application/octet-stream", &bytes);
                api.try_request("PUT", &format!("{path}/file"), &[], body)
            }
            Change::Rename(name) => {
                let operations = json!([{"op": "replace", "path": "/name", "value": name}]);
                let content_type = [("Content-Type", "application/openstack-images-v2.1-json-patch")];
                api.try_request("PATCH", &path, &content_type, Body::Json(&operations))
            }
            Change::Delete => api.try_request("DELETE", &path, &[], Body::None),
        };
        let Ok(answer) = answer else { return false };
        assert!(
            (200..300).contains(&answer.status),
            "{change:?} of {id}: {}",
            answer.text()
        );
        let mut images = self.images.lock().unwrap();
        let known = images.get_mut(id).unwrap();
        known.open = None;
        apply(known, change);
        self.acknowledged.fetch_add(1, Ordering::Relaxed);
        true
    }

    /// Works until the daemon is gone.
    fn work(&self, api: &Client, mut state: u64) {
        loop {
            let id = Uuid::from_u64_pair(random(&mut state, u64::MAX), random(&mut state, u64::MAX));
            let id = uuid::Builder::from_bytes(*id.as_bytes())
                .with_version(uuid::Version::Random)
                .with_variant(uuid::Variant::RFC4122)
                .into_uuid()
                .to_string();
            let mut changes = vec![Change::Create, Change::Upload(sha512(&self.data_of(&id)))];
            changes.push(Change::Rename(format!("renamed {id}")));
            if random(&mut state, 2) == 0 {
                changes.push(Change::Delete);
            }
            for change in changes {
                if !self.attempt(api, &id, change) {
                    return;
                }
            }
        }
    }

    /// Compares what the daemon shows with what is known, decides what was open, and returns the ids that have data.
    fn verify(&self, api: &Client, extent: Extent) -> Vec<String> {
        let mut images = self.images.lock().unwrap();
        let mut with_data = Vec::new();
        let mut never_made = Vec::new();
        for (id, known) in images.iter_mut() {
            if known.compared && extent == Extent::Touched {
                if known.hash.is_some() && !known.deleted {
                    with_data.push(id.clone());
                }
                continue;
            }
            known.compared = true;
            let shown = api.get(&format!("/v2/images/{id}"));
            let open = known.open.take();
            if shown.status == 404 {
                if !known.created && open == Some(Change::Create) {
                    never_made.push(id.clone());
                    continue;
                }
                let deleted = known.deleted || open == Some(Change::Delete);
                assert!(
                    deleted,
                    "{id} was acknowledged and is lost: {known:?}, open: {open:?}"
                );
                known.deleted = true;
                continue;
            }
            let image = shown.expect_status(200).json();
            assert!(!known.deleted, "{id} was deleted and is back: {image}");
            assert!(known.created || open == Some(Change::Create), "{image}");
            known.created = true;
            match image["status"].as_str().unwrap() {
                "active" => {
                    let hash = sha512(&api.download(id).expect_status(200).body);
                    assert_eq!(
                        image["os_hash_value"],
                        hash.as_str(),
                        "{id} has other bytes than it says"
                    );
                    let expected = known.hash.clone().or_else(|| match &open {
                        Some(Change::Upload(hash)) => Some(hash.clone()),
                        _ => None,
                    });
                    assert_eq!(
                        Some(&hash),
                        expected.as_ref(),
                        "{id} has other bytes than were sent"
                    );
                    known.hash = Some(hash);
                    with_data.push(id.clone());
                }
                "queued" => assert_eq!(known.hash, None, "the data of {id} was acknowledged and is lost"),
                status => panic!("{id} hangs in {status}"),
            }
            let name = image["name"].as_str().unwrap();
            if name != known.name && !known.name.is_empty() {
                assert_eq!(
                    open,
                    Some(Change::Rename(name.to_owned())),
                    "{id} is not called {}",
                    known.name
                );
            }
            known.name = name.to_owned();
        }
        for id in never_made {
            images.remove(&id);
        }
        with_data.sort();
        with_data
    }
}

fn apply(known: &mut Known, change: Change) {
    match change {
        Change::Create => {
            known.created = true;
            known.name = "new".to_owned();
        }
        Change::Upload(hash) => known.hash = Some(hash),
        Change::Rename(name) => known.name = name,
        Change::Delete => known.deleted = true,
    }
}

/// No image in between, in the whole list.
fn nothing_is_transient(api: &Client) {
    let mut path = "/v2/images?limit=1000".to_owned();
    loop {
        let page = api.get(&path).expect_status(200).json();
        for image in page["images"].as_array().unwrap() {
            let status = image["status"].as_str().unwrap();
            assert!(["queued", "active"].contains(&status), "{image}");
        }
        match page["next"].as_str() {
            Some(next) => path = next.to_owned(),
            None => return,
        }
    }
}

#[test]
fn a_killed_daemon_keeps_what_it_acknowledged_and_nothing_else() {
    let mut state = seed();
    let mut daemon = Daemon::fresh();
    let foreign = daemon.images_dir().join("not-ours.raw");
    fs::write(&foreign, b"somebody's").unwrap();
    let world = World::default();
    let admin = daemon.admin();
    for _ in 0..crashes(15) {
        let delay = Duration::from_millis(30 + random(&mut state, 500));
        thread::scope(|scope| {
            for _ in 0..4 {
                let (world, admin, state) = (&world, &admin, random(&mut state, u64::MAX));
                scope.spawn(move || world.work(admin, state));
            }
            thread::sleep(delay);
            daemon.kill();
        });
        daemon.start();
        // The token outlives the daemon as well. What was interrupted is finished before, or soon after, the first request.
        eventually("nothing is saving", || {
            admin.list("limit=1000&status=saving").is_empty()
        });
        nothing_is_transient(&admin);
        let mut expected = world.verify(&admin, Extent::Touched);
        expected.push("not-ours.raw".to_owned());
        expected.sort();
        eventually("what is left over is gone", || daemon.stored() == expected);
        assert_eq!(fs::read(&foreign).unwrap(), b"somebody's");
    }
    world.verify(&admin, Extent::All);
    let acknowledged = world.acknowledged.load(Ordering::Relaxed);
    println!("{acknowledged} changes acknowledged");
    assert!(acknowledged > crashes(15), "too little happened to show anything");
    daemon.stop();
}

/// Another Glance's directory, and that Glance at work in it: files come in all the ways it makes them.
struct OtherWriter<'d> {
    directory: &'d Path,
    written: Mutex<Vec<(String, Vec<u8>)>>,
    stop: AtomicBool,
}

impl OtherWriter<'_> {
    fn write(&self, state: &mut u64) {
        let name = Uuid::from_u64_pair(random(state, u64::MAX), random(state, u64::MAX)).to_string();
        let bytes = Payload::bytes(
            random(state, u64::MAX),
            1 + usize::try_from(random(state, 20_000)).unwrap(),
        );
        let path = self.directory.join(&name);
        if random(state, 2) == 0 {
            fs::write(&path, &bytes).unwrap();
        } else {
            let temporary = self.directory.join(format!("{name}.part"));
            fs::write(&temporary, &bytes).unwrap();
            thread::sleep(Duration::from_millis(2));
            fs::rename(&temporary, &path).expect("nobody else takes the file");
        }
        self.written.lock().unwrap().push((name, bytes));
    }

    fn run(&self, mut state: u64) {
        while !self.stop.load(Ordering::Relaxed) {
            self.write(&mut state);
            thread::sleep(Duration::from_millis(3));
        }
    }

    fn check(&self) {
        for (name, bytes) in self.written.lock().unwrap().iter() {
            assert_eq!(&fs::read(self.directory.join(name)).unwrap(), bytes, "{name}");
        }
    }
}

#[test]
fn an_empty_catalogue_on_a_full_directory_harms_nothing() {
    let mut state = seed();
    let place = tempfile::tempdir().unwrap();
    let directory = place.path().join("images");
    fs::create_dir(&directory).unwrap();
    let other = OtherWriter {
        directory: &directory,
        written: Mutex::default(),
        stop: AtomicBool::new(false),
    };
    for _ in 0..500 {
        other.write(&mut state);
    }
    // What a crashed Glance leaves, and names that look like temporaries.
    for name in [
        ".saccade.d0000000-0000-4000-8000-000000000000.d0000000-0000-4000-8000-000000000001",
        "x.part",
        ".hidden",
    ] {
        fs::write(directory.join(name), name).unwrap();
        other
            .written
            .lock()
            .unwrap()
            .push((name.to_owned(), name.as_bytes().to_vec()));
    }
    let mut daemon = Setup::default()
        .option("identity = local")
        .glance(&format!(
            "[glance_store]\nfilesystem_store_datadir = {}",
            directory.display()
        ))
        .start();
    let admin = daemon.admin();
    assert!(admin.list("").is_empty());

    let world = World::default();
    thread::scope(|scope| {
        let writer_state = random(&mut state, u64::MAX);
        let (other, world, admin) = (&other, &world, &admin);
        scope.spawn(move || other.run(writer_state));
        let _stop = StopAtEnd(&other.stop);
        for _ in 0..crashes(20) {
            let delay = Duration::from_millis(20 + random(&mut state, 300));
            thread::scope(|scope| {
                for _ in 0..2 {
                    let state = random(&mut state, u64::MAX);
                    scope.spawn(move || world.work(admin, state));
                }
                thread::sleep(delay);
                daemon.kill();
            });
            daemon.start();
            eventually("nothing is saving", || {
                admin.list("limit=1000&status=saving").is_empty()
            });
            world.verify(admin, Extent::Touched);
            other.check();
        }
    });
    let ours = world.verify(&admin, Extent::All);
    let mut expected: Vec<String> = other
        .written
        .lock()
        .unwrap()
        .iter()
        .map(|(name, _)| name.clone())
        .collect();
    expected.extend(ours);
    expected.sort();
    eventually("there are their files and ours", || names(&directory) == expected);
    other.check();
    daemon.stop();
}

/// A server's bucket or container, seen by another program than the daemon.
enum Objects {
    Bucket(Bucket),
    Container(Container),
}

/// Each image that another program has there, in the layout of glance_store, and a name of each of its objects.
type Theirs = Mutex<BTreeMap<String, Vec<u8>>>;

/// glance_store's MB, of which segments have one.
const SEGMENT: usize = 1_024_000;

impl Objects {
    fn setup(&self) -> Setup {
        let (kind, options) = match self {
            Self::Bucket(bucket) => ("s3", bucket.options(bucket.address())),
            Self::Container(container) => ("swift", container.options(container.address())),
        };
        Setup::default().option("identity = local").glance(&format!(
            "[DEFAULT]\nenabled_backends = remote:{kind}\n[glance_store]\ndefault_backend = remote\n[remote]\n{options}"
        ))
    }

    fn inventory(&self) -> Vec<String> {
        match self {
            Self::Bucket(bucket) => bucket.inventory(),
            Self::Container(container) => container.inventory(),
        }
    }

    fn read(&self, name: &str) -> Vec<u8> {
        match self {
            Self::Bucket(bucket) => bucket.read(name),
            Self::Container(container) => container.read(name),
        }
    }

    fn put(&self, theirs: &Theirs, name: &str, bytes: Vec<u8>) {
        match self {
            Self::Bucket(bucket) => bucket.put(name, &bytes),
            Self::Container(container) => container.put(name, &bytes),
        }
        theirs.lock().unwrap().insert(name.to_owned(), bytes);
    }

    /// One more image of another program's, as glance_store writes it; every third one in segments, where there are any.
    fn write(&self, theirs: &Theirs, state: &mut u64) {
        let id = Uuid::from_u64_pair(random(state, u64::MAX), random(state, u64::MAX)).to_string();
        let length = 1 + usize::try_from(random(state, 20_000)).unwrap();
        let bytes = Payload::bytes(random(state, u64::MAX), length);
        match self {
            Self::Container(container) if random(state, 3) == 0 => {
                for (number, segment) in (1..).zip(bytes.chunks(8_000)) {
                    self.put(theirs, &format!("{id}-{number:05}"), segment.to_vec());
                }
                container.put_manifest(&id, &format!("{id}-"));
                theirs.lock().unwrap().insert(id, bytes);
            }
            _ => self.put(theirs, &id, bytes),
        }
    }

    /// How many objects one of our images has beside that with its id.
    fn segments(&self, length: usize) -> usize {
        match self {
            Self::Container(_) if length >= SEGMENT => length.div_ceil(SEGMENT),
            _ => 0,
        }
    }
}

/// Images that glance_store's own driver writes: in one piece, and in parts.
fn written_by_glance_store(bucket: &Bucket, theirs: &Theirs, state: &mut u64) {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("storage-backends/s3/tests/glance_driver.py");
    let host = format!("http://{}", bucket.address());
    let (access_key, secret_key) = bucket.keys();
    let place = tempfile::tempdir().unwrap();
    let file = place.path().join("image");
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let keys = [("ACCESS_KEY", access_key), ("SECRET_KEY", secret_key)];
        let mut driver = GlanceStore::start(&script, [&*host, bucket.name()], keys);
        for length in [1, 10_000, 7 << 20] {
            let id = Uuid::new_v4().to_string();
            let bytes = Payload::bytes(random(state, u64::MAX), length);
            fs::write(&file, &bytes).unwrap();
            let path = Word::Text(file.to_str().unwrap());
            driver.ask(&[Word::Text("write"), Word::Text(&id), path]).await;
            theirs.lock().unwrap().insert(id, bytes);
        }
    });
}

/// Waits for what a store's server takes its time for.
fn in_time(what: &str, mut is_so: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(90);
    while !is_so() {
        assert!(Instant::now() < deadline, "not within 90 s: {what}");
        thread::sleep(Duration::from_millis(50));
    }
}

/// The daemon with an empty catalogue on what another Glance has there, which goes on writing; killed again and again.
fn an_empty_catalogue_harms_nothing_of(objects: &Objects, longest: usize) {
    let mut state = seed();
    let theirs = Theirs::default();
    for _ in 0..40 {
        objects.write(&theirs, &mut state);
    }
    // Marks and notes of another daemon's, and names that look like segments.
    let (image, attempt) = (Uuid::new_v4(), Uuid::new_v4());
    for name in [
        format!(".saccade.{image}.{attempt}"),
        format!(".saccade.{image}.deletion"),
        format!("{image}.{attempt}-00001"),
    ] {
        objects.put(&theirs, &name, name.clone().into_bytes());
    }
    let others_upload = image.to_string();
    if let Objects::Bucket(bucket) = objects {
        bucket.begin_upload(&others_upload);
        written_by_glance_store(bucket, &theirs, &mut state);
    }
    let mut daemon = objects.setup().start();
    let admin = daemon.admin();
    assert!(admin.list("").is_empty());

    let world = World::of(longest);
    let stop = AtomicBool::new(false);
    let kills = crashes(20);
    thread::scope(|scope| {
        let mut writer_state = random(&mut state, u64::MAX);
        let (theirs, world, admin, stop) = (&theirs, &world, &admin, &stop);
        scope.spawn(move || {
            while !stop.load(Ordering::Relaxed) {
                objects.write(theirs, &mut writer_state);
                thread::sleep(Duration::from_millis(200));
            }
        });
        let _stop = StopAtEnd(stop);
        for _ in 0..kills {
            let delay = Duration::from_millis(50 + random(&mut state, 1000));
            thread::scope(|scope| {
                for _ in 0..2 {
                    let state = random(&mut state, u64::MAX);
                    scope.spawn(move || world.work(admin, state));
                }
                thread::sleep(delay);
                daemon.kill();
            });
            daemon.start();
            in_time("nothing is saving", || {
                admin.list("limit=1000&status=saving").is_empty()
            });
            world.verify(admin, Extent::Touched);
        }
    });
    let ours = world.verify(&admin, Extent::All);
    let theirs = theirs.into_inner().unwrap();
    let mut expected: Vec<(String, usize)> = theirs.keys().map(|name| (name.clone(), 0)).collect();
    expected.extend(
        ours.iter()
            .map(|id| (id.clone(), objects.segments(world.data_of(id).len()))),
    );
    if let Objects::Bucket(_) = objects {
        expected.push((format!("{others_upload} (an upload)"), 0));
    }
    expected.sort();
    // Each name with the number of segments of ours that belong to it.
    let found = || {
        let mut found: Vec<(String, usize)> = Vec::new();
        for name in objects.inventory() {
            let owner = name.split_once('.').map_or("", |(id, _)| id);
            match found.iter_mut().find(|(id, _)| id == owner && ours.contains(id)) {
                Some((_, segments)) => *segments += 1,
                // Its id was lost with the daemon; it has no parts, and expires.
                None if name.ends_with(NO_PARTS) => {}
                None => found.push((name, 0)),
            }
        }
        found.sort();
        found
    };
    in_time("there are their objects and ours", || found() == expected);
    for (name, bytes) in &theirs {
        assert!(&objects.read(name) == bytes, "{name} was somebody else's");
    }
    let acknowledged = world.acknowledged.load(Ordering::Relaxed);
    println!(
        "{kills} kills, {acknowledged} changes acknowledged, {} images of ours, {} objects of others",
        ours.len(),
        theirs.len()
    );
    assert!(acknowledged > kills, "too little happened to show anything");
    daemon.stop();
}

#[test]
fn an_empty_catalogue_on_a_full_bucket_harms_nothing() {
    // Two parts at most.
    an_empty_catalogue_harms_nothing_of(&Objects::Bucket(Bucket::new()), 8 << 20);
}

#[test]
fn an_empty_catalogue_on_a_full_container_harms_nothing() {
    let container = Container::new(SwiftServer::OpenStack);
    an_empty_catalogue_harms_nothing_of(&Objects::Container(container), 3 << 20);
}

/// Ends the other writer also when the test fails, so that the failure is told.
struct StopAtEnd<'s>(&'s AtomicBool);

impl Drop for StopAtEnd<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}
