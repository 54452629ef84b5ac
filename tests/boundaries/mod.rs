//! The protocol over the real file store, the real ledger and RocksDB, in a process of its own that kills itself with
//! SIGKILL before, or after, the n-th step it makes: for every n there is. Then a second process starts on what is left,
//! finishes what was interrupted, and says what it finds.
//!
//! A step is a changing system call of file store or ledger, or a commit to the metadata.

mod child;
mod kill;

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

/// Runs a scenario in a process of its own, which dies at the given step.
fn run(dir: &Path, scenario: Scenario, kill_at: u64) -> Said {
    let output = Command::new(std::env::current_exe().unwrap())
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

/// Everything that is under the images' directory.
fn files(dir: &Path) -> BTreeSet<String> {
    let entries = fs::read_dir(dir.join("images")).unwrap();
    entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect()
}

/// Kills the scenario at every step it has, and its recovery at one step each; returns how many processes died.
fn die_at_every_step(scenario: Scenario) -> u64 {
    let whole = tempfile::tempdir().unwrap();
    prepare(whole.path());
    let steps = run(whole.path(), scenario, u64::MAX).steps();
    let mut deaths = 0;
    for at in 1..=steps {
        let dir = tempfile::tempdir().unwrap();
        prepare(dir.path());
        let said = run(dir.path(), scenario, at);
        deaths += u64::from(!said.lived);
        // The recovery dies too, once; then another finishes.
        deaths += u64::from(!run(dir.path(), Scenario::Recover, 1 + at % 9).lived);
        let found = run(dir.path(), Scenario::Recover, u64::MAX);
        assert!(found.lived);
        judge(
            dir.path(),
            &said,
            &found,
            &format!("{scenario:?} killed at step {at} of {steps}"),
        );
    }
    deaths
}

fn prepare(dir: &Path) {
    fs::create_dir(dir.join("images")).unwrap();
    fs::write(dir.join("images/foreign"), "not ours").unwrap();
}

/// Holds what is found after the recovery against what was acknowledged before the death.
fn judge(dir: &Path, said: &Said, found: &Said, when: &str) {
    let status = |wanted: &str| found.has(&format!("status {wanted}"));
    assert!(found.has("ledger empty"), "{when}: the ledger is not empty");
    assert!(
        status("active") || status("queued") || status("deleted") || status("none"),
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
    assert_eq!(
        fs::read(dir.join("images/foreign")).unwrap(),
        b"not ours",
        "{when}"
    );
    let mut expected = BTreeSet::from(["foreign".to_owned()]);
    if status("active") {
        expected.insert(child::IMAGE.to_owned());
    }
    assert_eq!(files(dir), expected, "{when}: something was left, or is missing");
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
        let died = die_at_every_step(scenario);
        println!("{scenario:?}: {died} processes killed");
        deaths += died;
    }
    println!("{deaths} processes killed in all");
    assert!(deaths >= 200, "{deaths}");
}
