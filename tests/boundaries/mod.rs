//! The protocol over the real file store, the real ledger and RocksDB, in a process of its own that kills itself with
//! SIGKILL before, or after, the n-th step it makes: for every n there is. Then a second process starts on what is left,
//! finishes what was interrupted, and says what it finds.
//!
//! A step is a changing system call of file store or ledger, a commit to the metadata, or a request to the server of a store: that
//! is about to be sent, or was answered.
//!
//! At servers every run of the tests dies at some of the steps; `BOUNDARY_STRIDE=1` asks for every one.

mod child;
mod kill;

use crate::harness::{Bucket, Container, NO_PARTS, SwiftServer, free_address, names};
use std::{
    collections::BTreeSet,
    fs,
    net::SocketAddr,
    path::Path,
    process::{Command, Stdio},
    sync::atomic::{AtomicU64, Ordering},
    thread,
    time::{Duration, Instant},
};

use self::child::Remote;
pub(crate) use self::child::Scenario;

/// What a child said, line by line, and whether it lived to its end.
struct Said {
    lines: BTreeSet<String>,
    lived: bool,
}

impl Said {
    fn has(&self, line: &str) -> bool {
        self.lines.contains(line)
    }

    fn steps(&self) -> u64 {
        let steps = self.lines.iter().find_map(|line| line.strip_prefix("steps "));
        steps.expect("the child did not count its steps").parse().unwrap()
    }
}

/// Where the images of a scenario are.
enum Place {
    Files,
    Bucket(Bucket, SocketAddr),
    Container(SwiftServer, Container, SocketAddr),
}

/// Whether the store answers.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Reach {
    Answers,
    Unreachable,
}

impl Place {
    fn bucket() -> Self {
        Self::Bucket(Bucket::new(), front())
    }

    fn container(server: SwiftServer) -> Self {
        Self::Container(server, Container::new(server), front())
    }

    fn fresh(&self) -> Self {
        match self {
            Self::Files => Self::Files,
            Self::Bucket(..) => Self::bucket(),
            Self::Container(server, ..) => Self::container(*server),
        }
    }

    /// What the child is told of the server, and the server's address.
    fn remote(&self) -> Option<(Remote, SocketAddr)> {
        match self {
            Self::Files => None,
            Self::Bucket(bucket, address) => {
                let (access_key, secret_key) = bucket.keys();
                let remote = Remote::S3 {
                    address: *address,
                    bucket: bucket.name().to_owned(),
                    access_key: access_key.to_owned(),
                    secret_key: secret_key.to_owned(),
                };
                Some((remote, bucket.address()))
            }
            Self::Container(_, container, address) => {
                let (user, key) = container.credentials();
                let remote = Remote::Swift {
                    address: *address,
                    paths: container.paths().map(str::to_owned),
                    container: container.name().to_owned(),
                    user: user.to_owned(),
                    key: key.to_owned(),
                };
                Some((remote, container.address()))
            }
        }
    }

    /// With something in it that is somebody else's.
    fn prepare(&self, dir: &Path) {
        fs::create_dir(dir.join("images")).unwrap();
        match self {
            Self::Files => fs::write(dir.join("images/foreign"), "not ours").unwrap(),
            Self::Bucket(bucket, _) => bucket.plant("foreign"),
            Self::Container(_, container, _) => container.plant("foreign"),
        }
    }

    fn inventory(&self, dir: &Path) -> BTreeSet<String> {
        match self {
            Self::Files => {
                assert_eq!(fs::read(dir.join("images/foreign")).unwrap(), b"not ours");
                names(&dir.join("images")).into_iter().collect()
            }
            // One that was begun when the process died has an id that nobody knows; it has no parts, and expires.
            Self::Bucket(bucket, _) => {
                let found = bucket.inventory().into_iter();
                found.filter(|name| !name.ends_with(NO_PARTS)).collect()
            }
            Self::Container(_, container, _) => container.inventory().into_iter().collect(),
        }
    }

    /// What is there once the server has done what it was asked for before the death.
    fn settled_inventory(&self, dir: &Path) -> BTreeSet<String> {
        let mut found = self.inventory(dir);
        loop {
            thread::sleep(Duration::from_millis(300));
            let again = self.inventory(dir);
            if again == found {
                return found;
            }
            found = again;
        }
    }

    /// What is there of an image that is active: one object, or a manifest and its segments.
    fn is_image(&self, names: &BTreeSet<String>) -> bool {
        let is_segment = |name: &String| name.starts_with(&format!("{}.", child::IMAGE));
        let segments = names.iter().filter(|name| is_segment(name)).count();
        let expected = match self {
            Self::Files | Self::Bucket(..) => 0,
            Self::Container(..) => 3,
        };
        names.contains(child::IMAGE) && segments == expected && names.len() == segments + 1
    }
}

/// An address that stays the test's own while nobody listens there: each process of tests has a part of the loopback network.
fn front() -> SocketAddr {
    let [_, _, high, low] = std::process::id().to_be_bytes();
    SocketAddr::from(([127, high | 0x80, low, 2], free_address().port()))
}

/// Runs a scenario in a process of its own, which dies at the given step.
fn run(dir: &Path, scenario: Scenario, kill_at: u64, place: &Place, reach: Reach) -> Said {
    let mut command = Command::new(std::env::current_exe().unwrap());
    if let Some((remote, server)) = place.remote() {
        command.env(child::REMOTE, remote.words());
        if reach == Reach::Answers {
            command.env(child::SERVER, format!("http://{server}"));
        }
    }
    let output = command
        .args([
            "boundaries::child::the_child",
            "--exact",
            "--ignored",
            "--nocapture",
        ])
        .env(child::DIR, dir)
        .env(child::SCENARIO, scenario.name())
        .env(child::KILL_AT, kill_at.to_string())
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    let lines = text
        .lines()
        .filter_map(|line| line.strip_prefix("child: "))
        .map(str::to_owned)
        .collect();
    let said = Said {
        lines,
        lived: output.status.success(),
    };
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(
        said.lived || !error.contains("panicked"),
        "the child of {scenario:?} panicked: {error}{text}"
    );
    said
}

/// How many processes died, and at how many steps of how many.
#[derive(Debug, Default, Clone, Copy)]
struct Deaths {
    steps: u64,
    tried: u64,
    died: u64,
}

impl std::ops::AddAssign for Deaths {
    fn add_assign(&mut self, other: Self) {
        self.steps += other.steps;
        self.tried += other.tried;
        self.died += other.died;
    }
}

/// Most of the time of a process that has no server is waiting.
const AT_ONCE: usize = 6;

/// Kills the scenario at every `stride`th step it has from the first one on, and its recovery at one step each. A store that is not on this machine
/// does not answer the first recovery.
fn die_at_steps(scenario: Scenario, place: &Place, first: u64, stride: u64) -> Deaths {
    let whole = tempfile::tempdir().unwrap();
    let undisturbed = place.fresh();
    undisturbed.prepare(whole.path());
    let steps = run(whole.path(), scenario, u64::MAX, &undisturbed, Reach::Answers).steps();
    let (next, tried, died) = (AtomicU64::new(first), AtomicU64::new(0), AtomicU64::new(0));
    let workers = match place {
        Place::Files => 1,
        _ => AT_ONCE,
    };
    thread::scope(|scope| {
        for _ in 0..workers {
            scope.spawn(|| {
                loop {
                    let at = next.fetch_add(stride, Ordering::Relaxed);
                    if at > steps {
                        return;
                    }
                    tried.fetch_add(1, Ordering::Relaxed);
                    let when = format!("{scenario:?} killed at step {at} of {steps}");
                    died.fetch_add(die_once(scenario, &place.fresh(), at, &when), Ordering::Relaxed);
                }
            });
        }
    });
    Deaths {
        steps,
        tried: tried.into_inner(),
        died: died.into_inner(),
    }
}

/// One death, and the recovery from it; returns how many processes died.
fn die_once(scenario: Scenario, place: &Place, at: u64, when: &str) -> u64 {
    let dir = tempfile::tempdir().unwrap();
    place.prepare(dir.path());
    if scenario == Scenario::PartialImport {
        // Commit never replaces.
        fs::create_dir(dir.path().join(child::SECOND)).unwrap();
        fs::write(dir.path().join(child::SECOND).join(child::IMAGE), "theirs").unwrap();
    }
    let run = |scenario, kill_at, reach| run(dir.path(), scenario, kill_at, place, reach);
    let said = run(scenario, at, Reach::Answers);
    let mut deaths = u64::from(!said.lived);
    if !matches!(place, Place::Files) {
        let before = place.settled_inventory(dir.path());
        assert!(run(Scenario::Finish, u64::MAX, Reach::Unreachable).lived);
        assert_eq!(
            place.inventory(dir.path()),
            before,
            "{when}: and nothing could be done"
        );
    }
    // The recovery dies too, once; then another finishes.
    deaths += u64::from(!run(Scenario::Recover, 1 + at % 9, Reach::Answers).lived);
    let found = run(Scenario::Recover, u64::MAX, Reach::Answers);
    assert!(found.lived);
    judge(dir.path(), place, &said, &found, when);
    judge_second(dir.path(), scenario, &said, &found, when);
    deaths
}

/// The same of the second store, and of what imports say of themselves.
fn judge_second(dir: &Path, scenario: Scenario, said: &Said, found: &Said, when: &str) {
    let second = dir.join(child::SECOND);
    let is_in_second = found.has("in second");
    let path = second.join(child::IMAGE);
    match (is_in_second, scenario) {
        (true, _) => assert!(
            fs::read(&path).unwrap() == child::bytes(),
            "{when}: other bytes in the second store"
        ),
        (false, Scenario::PartialImport) => assert_eq!(fs::read(&path).unwrap(), b"theirs", "{when}"),
        (false, _) => assert_eq!(names(&second), Vec::<String>::new(), "{when}"),
    }
    assert_eq!(names(&second).len(), usize::from(path.exists()), "{when}");
    if said.has("copied") {
        assert!(is_in_second, "{when}: an acknowledged copy was lost");
    }
    let is_active = found.has("status active");
    let takes_part = matches!(
        scenario,
        Scenario::StageThenImport | Scenario::ImportFromElsewhere
    );
    assert!(
        !(takes_part && is_active) || is_in_second,
        "{when}: active in some of the stores"
    );
    assert!(
        !found.has("has os_glance_import_task"),
        "{when}: an import that is over"
    );
    if found.has("disk_format iso") {
        assert!(
            !is_active && !found.has("has hw_told"),
            "{when}: told of data that is not there"
        );
    }
    // What waits keeps the name beside its own by which it can be undone.
    let waiting = 2 * usize::from(found.has("status uploading"));
    assert_eq!(names(&dir.join("staging")).len(), waiting, "{when}");
}

/// Holds what is found after the recovery against what was acknowledged before the death.
fn judge(dir: &Path, place: &Place, said: &Said, found: &Said, when: &str) {
    let status = |wanted: &str| found.has(&format!("status {wanted}"));
    // The ledger keeps what waits for its import.
    assert_eq!(
        found.has("ledger empty"),
        !status("uploading"),
        "{when}: the ledger"
    );
    assert!(
        !status("uploading") || said.has("staged") || !said.lived,
        "{when}: waits, and was not staged"
    );
    assert!(
        status("uploading") || status("active") || status("queued") || status("deleted") || status("none"),
        "{when}: {:?}",
        found.lines
    );
    assert_eq!(
        status("active"),
        found.has("bytes whole"),
        "{when}: {:?}",
        found.lines
    );
    if said.has("created") {
        assert!(!status("none"), "{when}: the image was lost");
    }
    if said.has("uploaded") {
        assert!(
            status("active") || status("deleted"),
            "{when}: an acknowledged upload was lost: {:?}",
            found.lines
        );
    }
    if said.has("deleted") {
        assert!(status("deleted"), "{when}: an acknowledged deletion was undone");
    }
    if said.has("renamed") {
        assert!(
            found.has("name renamed"),
            "{when}: an acknowledged change was lost"
        );
    }
    let mut left = place.inventory(dir);
    assert!(left.remove("foreign"), "{when}: what is not ours is gone");
    let is_as_expected = match status("active") {
        true => place.is_image(&left),
        false => left.is_empty(),
    };
    assert!(
        is_as_expected,
        "{when}: something was left, or is missing: {left:?}"
    );
}

const SCENARIOS: [Scenario; 5] = [
    Scenario::Upload,
    Scenario::RefusedUpload,
    Scenario::UploadThenDelete,
    Scenario::TwoUploads,
    Scenario::UploadWithPatchAndDelete,
];

#[test]
fn nothing_is_lost_or_left_when_the_process_dies_between_any_two_steps() {
    let mut deaths = 0;
    for scenario in SCENARIOS {
        let Deaths { died, .. } = die_at_steps(scenario, &Place::Files, 1, 1);
        println!("{scenario:?}: {died} processes killed");
        deaths += died;
    }
    println!("{deaths} processes killed in all");
    assert!(deaths >= 200, "{deaths}");
}

/// Every so many steps are died at: `BOUNDARY_STRIDE=1` asks for all.
fn stride(unless_asked: u64) -> u64 {
    std::env::var("BOUNDARY_STRIDE").map_or(unless_asked, |text| {
        text.parse().expect("BOUNDARY_STRIDE is a number from 1 on")
    })
}

/// Some of the steps, unless all are asked for.
#[test]
fn nothing_is_lost_or_left_when_the_process_dies_between_two_steps_of_an_import() {
    let scenarios = [
        Scenario::StageThenImport,
        Scenario::ImportFromElsewhere,
        Scenario::PartialImport,
        Scenario::RefusedImport,
        Scenario::UploadThenCopy,
    ];
    let stride = stride(5);
    let mut deaths = 0;
    for scenario in scenarios {
        let died = die_at_steps(scenario, &Place::Files, 1, stride).died;
        println!("{scenario:?}: {died} processes killed");
        deaths += died;
    }
    println!("{deaths} processes killed in all");
    assert!(deaths >= 50, "{deaths}");
}

/// Each death costs the time that a store takes to be given up: some of the steps, from each scenario, unless all are asked for.
fn die_at_a_server(place: &Place) {
    let stride = stride(29);
    let begun = Instant::now();
    let mut all = Deaths::default();
    for (first, scenario) in (1..).step_by(5).zip(SCENARIOS) {
        // Others in each.
        let deaths = die_at_steps(scenario, place, first.min(stride), stride);
        println!("{scenario:?}: {deaths:?}");
        all += deaths;
    }
    println!("in all: {all:?}, {} s", begun.elapsed().as_secs());
    assert!(
        all.steps >= 200,
        "the steps of a server's protocol are missing: {all:?}"
    );
    assert!(all.died >= all.tried, "{all:?}");
}

#[test]
fn nothing_is_lost_or_left_in_a_bucket_whose_server_does_not_answer_the_next_start() {
    die_at_a_server(&Place::bucket());
}

#[test]
fn nothing_is_lost_or_left_in_a_container_whose_server_does_not_answer_the_next_start() {
    die_at_a_server(&Place::container(SwiftServer::OpenStack));
}
