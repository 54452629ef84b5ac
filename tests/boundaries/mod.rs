//! The protocol over the real file store, the real ledger and RocksDB, in a process of its own that kills itself with
//! SIGKILL before, or after, the n-th step it makes: for every n there is. Then a second process starts on what is left,
//! finishes what was interrupted, and says what it finds.
//!
//! A step is a changing system call of file store or ledger, or a commit to the metadata.

mod child;
mod kill;

use crate::harness::{Bucket, free_address, names};
use std::{
    collections::BTreeSet,
    fs,
    path::Path,
    process::{Command, Stdio},
};

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
    Bucket(Bucket),
}

/// Whether the store answers.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Reach {
    Answers,
    Unreachable,
}

impl Place {
    /// What the child is told.
    fn variable(&self, reach: Reach) -> Option<String> {
        let Self::Bucket(bucket) = self else { return None };
        let address = match reach {
            Reach::Answers => bucket.address(),
            // Nobody listens there.
            Reach::Unreachable => free_address(),
        };
        let (access_key, secret_key) = bucket.keys();
        Some(format!(
            "http://{address} {} {access_key} {secret_key}",
            bucket.name()
        ))
    }

    fn fresh(&self) -> Self {
        match self {
            Self::Files => Self::Files,
            Self::Bucket(_) => Self::Bucket(Bucket::new()),
        }
    }

    /// With something in it that is somebody else's.
    fn prepare(&self, dir: &Path) {
        fs::create_dir(dir.join("images")).unwrap();
        match self {
            Self::Files => fs::write(dir.join("images/foreign"), "not ours").unwrap(),
            Self::Bucket(bucket) => bucket.plant("foreign"),
        }
    }

    fn inventory(&self, dir: &Path) -> BTreeSet<String> {
        match self {
            Self::Files => {
                assert_eq!(fs::read(dir.join("images/foreign")).unwrap(), b"not ours");
                names(&dir.join("images")).into_iter().collect()
            }
            Self::Bucket(bucket) => bucket.inventory().into_iter().collect(),
        }
    }
}

/// Runs a scenario in a process of its own, which dies at the given step.
fn run(dir: &Path, scenario: Scenario, kill_at: u64, bucket: Option<String>) -> Said {
    let mut command = Command::new(std::env::current_exe().unwrap());
    if let Some(bucket) = bucket {
        command.env(child::BUCKET, bucket);
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

/// Kills the scenario at every `stride`th step it has, and its recovery at one step each; returns how many processes died.
/// A store that is not on this machine does not answer the first recovery.
fn die_at_every_step(scenario: Scenario, place: &Place, stride: usize) -> u64 {
    let whole = tempfile::tempdir().unwrap();
    let first = place.fresh();
    first.prepare(whole.path());
    let answers = |place: &Place| place.variable(Reach::Answers);
    let steps = run(whole.path(), scenario, u64::MAX, answers(&first)).steps();
    let mut deaths = 0;
    for at in (1..=steps).step_by(stride) {
        let dir = tempfile::tempdir().unwrap();
        let place = place.fresh();
        place.prepare(dir.path());
        let when = format!("{scenario:?} killed at step {at} of {steps}");
        if scenario == Scenario::PartialImport {
            // Commit never replaces.
            fs::create_dir(dir.path().join(child::SECOND)).unwrap();
            fs::write(dir.path().join(child::SECOND).join(child::IMAGE), "theirs").unwrap();
        }
        let said = run(dir.path(), scenario, at, answers(&place));
        deaths += u64::from(!said.lived);
        if let Some(nowhere) = place.variable(Reach::Unreachable) {
            let before = place.inventory(dir.path());
            assert!(run(dir.path(), Scenario::Finish, u64::MAX, Some(nowhere)).lived);
            assert_eq!(
                place.inventory(dir.path()),
                before,
                "{when}: and nothing could be done"
            );
        }
        // The recovery dies too, once; then another finishes.
        deaths += u64::from(!run(dir.path(), Scenario::Recover, 1 + at % 9, answers(&place)).lived);
        let found = run(dir.path(), Scenario::Recover, u64::MAX, answers(&place));
        assert!(found.lived);
        judge(dir.path(), &place, &said, &found, &when);
        judge_second(dir.path(), scenario, &said, &found, &when);
    }
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
    let mut expected = BTreeSet::from(["foreign".to_owned()]);
    if status("active") {
        expected.insert(child::IMAGE.to_owned());
    }
    assert_eq!(
        place.inventory(dir),
        expected,
        "{when}: something was left, or is missing"
    );
}

#[test]
fn nothing_is_lost_or_left_when_the_process_dies_between_any_two_steps() {
    let scenarios = [
        Scenario::Upload,
        Scenario::RefusedUpload,
        Scenario::UploadThenDelete,
        Scenario::TwoUploads,
        Scenario::UploadWithPatchAndDelete,
    ];
    let mut deaths = 0;
    for scenario in scenarios {
        let died = die_at_every_step(scenario, &Place::Files, 1);
        println!("{scenario:?}: {died} processes killed");
        deaths += died;
    }
    println!("{deaths} processes killed in all");
    assert!(deaths >= 200, "{deaths}");
}

/// `CRASHES=1` asks for every step.
#[test]
fn nothing_is_lost_or_left_when_the_process_dies_between_two_steps_of_an_import() {
    let scenarios = [
        Scenario::StageThenImport,
        Scenario::ImportFromElsewhere,
        Scenario::PartialImport,
        Scenario::RefusedImport,
        Scenario::UploadThenCopy,
    ];
    let stride = if std::env::var_os("CRASHES").is_some() {
        1
    } else {
        5
    };
    let mut deaths = 0;
    for scenario in scenarios {
        let died = die_at_every_step(scenario, &Place::Files, stride);
        println!("{scenario:?}: {died} processes killed");
        deaths += died;
    }
    println!("{deaths} processes killed in all");
    assert!(deaths >= 50, "{deaths}");
}

/// Each death costs the time that a store takes to be given up: every other step is enough, and all scenarios have most
/// steps in common.
#[test]
fn nothing_is_lost_or_left_in_a_bucket_whose_server_does_not_answer_the_next_start() {
    let place = Place::Bucket(Bucket::new());
    let mut deaths = 0;
    for (scenario, stride) in [(Scenario::UploadThenDelete, 2), (Scenario::RefusedUpload, 3)] {
        let died = die_at_every_step(scenario, &place, stride);
        println!("{scenario:?}: {died} processes killed");
        deaths += died;
    }
    assert!(deaths >= 20, "{deaths}");
}
