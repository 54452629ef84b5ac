use std::{
    fs::{self, File, FileTimes},
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use tempfile::TempDir;

use super::LivePolicy;
use crate::policy::{
    Policy, PolicyFile, PolicyFiles, Rule,
    language::{self, Check},
};

const ALICE: &str = "delete_image: role:alice\n";
const BOB: &str = "delete_image: role:bobby\n";

/// Policy files in a directory of their own: `policy.yaml`, or `policy.json`; `policy.d`.
struct Place(TempDir);

impl Place {
    fn new() -> Self {
        let place = Self(tempfile::tempdir().unwrap());
        fs::create_dir(place.at("policy.d")).unwrap();
        place
    }

    fn at(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn write(&self, name: &str, text: &str) {
        fs::write(self.at(name), text).unwrap();
    }

    /// As editors save.
    fn replace(&self, name: &str, text: &str) {
        self.write(".new", text);
        fs::rename(self.at(".new"), self.at(name)).unwrap();
    }

    fn files(&self) -> PolicyFiles {
        PolicyFiles {
            file: PolicyFile::FirstOf(vec![self.at("policy.yaml"), self.at("policy.json")]),
            directories: vec![vec![self.at("policy.d")], vec![self.at("later.d")]],
            ..PolicyFiles::default()
        }
    }

    fn open(&self) -> LivePolicy {
        LivePolicy::open(self.files()).unwrap()
    }
}

fn check(policy: &Policy, rule: &str) -> Option<Check> {
    policy.rules.defined(rule).cloned()
}

/// Whether `delete_image` is now what this file says.
#[track_caller]
fn assert_says(live: &LivePolicy, text: &str) {
    let expected = text.trim().strip_prefix("delete_image: ").unwrap();
    assert_eq!(
        check(&live.current(), "delete_image"),
        Some(language::parse(expected.trim_matches('\'')).check)
    );
}

#[track_caller]
fn assert_default(live: &LivePolicy) {
    assert_says(
        live,
        &format!("delete_image: {}", Rule::DeleteImage.default_check()),
    );
}

/// Lets the clock go past what stamps tell apart, so that only stamps are looked at.
fn settle(live: &LivePolicy) {
    std::thread::sleep(Duration::from_millis(3100));
    live.current();
    assert!(live.version().stamps.hold());
}

#[test]
fn every_edit_holds_at_once_however_it_is_made() {
    type Edit = fn(&Place);
    let edits: &[(&str, Edit, &str)] = &[
        ("written over", |p| p.write("policy.yaml", BOB), BOB),
        ("same length, at once", |p| p.write("policy.yaml", ALICE), ALICE),
        (
            "another file renamed to it",
            |p| p.replace("policy.yaml", BOB),
            BOB,
        ),
        (
            "an older file renamed to it",
            |p| {
                p.write(".old", ALICE);
                let times = FileTimes::new().set_modified(SystemTime::UNIX_EPOCH);
                File::options()
                    .write(true)
                    .open(p.at(".old"))
                    .unwrap()
                    .set_times(times)
                    .unwrap();
                fs::rename(p.at(".old"), p.at("policy.yaml")).unwrap();
            },
            ALICE,
        ),
        (
            "a file in the directory",
            |p| p.write("policy.d/1.yaml", BOB),
            BOB,
        ),
        (
            "a later file there",
            |p| p.write("policy.d/2.yaml", "delete_image: '!'\n"),
            "delete_image: '!'",
        ),
        (
            "the later file edited",
            |p| p.write("policy.d/2.yaml", "delete_image: role:carol\n"),
            "delete_image: role:carol",
        ),
        (
            "the later file removed",
            |p| fs::remove_file(p.at("policy.d/2.yaml")).unwrap(),
            BOB,
        ),
        (
            "the last file removed",
            |p| fs::remove_file(p.at("policy.d/1.yaml")).unwrap(),
            ALICE,
        ),
        (
            "a directory that was not there",
            |p| {
                fs::create_dir(p.at("later.d")).unwrap();
                p.write("later.d/a", BOB);
            },
            BOB,
        ),
    ];
    // Once with a clock that has not moved since, once with stamps alone.
    for wait in [false, true] {
        let place = Place::new();
        place.write("policy.yaml", ALICE);
        let live = place.open();
        assert_says(&live, ALICE);
        for (what, edit, expected) in edits {
            if wait && ["written over", "a later file there"].contains(what) {
                settle(&live);
            }
            edit(&place);
            println!("{what}");
            assert_says(&live, expected);
        }
    }
}

#[test]
fn a_file_that_appears_holds_and_the_better_place_wins() {
    let place = Place::new();
    let live = place.open();
    assert_default(&live);
    settle(&live);
    place.write("policy.json", r#"{"delete_image": "role:alice"}"#);
    assert_says(&live, ALICE);
    place.write("policy.yaml", BOB);
    assert_says(&live, BOB);
}

#[test]
fn a_version_that_cannot_be_used_changes_nothing() {
    for broken in [
        "delete_image: [",
        "delete_image: !\n",
        "delete_image:\n",
        "- delete_image\n",
        "delete_image: 5\n",
    ] {
        let place = Place::new();
        place.write("policy.yaml", ALICE);
        let live = place.open();
        place.write("policy.yaml", broken);
        assert_says(&live, ALICE);
        let failure = live.version().failure.clone().unwrap();
        assert!(failure.contains("policy.yaml"), "{failure}");
        // Not the good parts of a bad set of files, either.
        place.write("policy.d/1.yaml", BOB);
        assert_says(&live, ALICE);
        place.write("policy.yaml", "");
        assert_says(&live, BOB);
        assert_eq!(live.version().failure, None);
    }
}

#[test]
fn a_version_that_is_put_back_is_no_failure_any_more() {
    let place = Place::new();
    place.write("policy.yaml", ALICE);
    let live = place.open();
    place.write("policy.yaml", "[");
    assert_says(&live, ALICE);
    assert!(live.version().failure.is_some());
    place.write("policy.yaml", ALICE);
    assert_says(&live, ALICE);
    assert_eq!(live.version().failure, None);
}

#[test]
fn a_bad_rule_in_a_good_file_never_permits() {
    let place = Place::new();
    place.write("policy.yaml", ALICE);
    let live = place.open();
    place.write(
        "policy.yaml",
        "delete_image: role:alice or\nmodify_image: role:bob\n",
    );
    assert_eq!(check(&live.current(), "delete_image"), Some(Check::Unusable));
    assert_eq!(live.version().failure, None);
}

#[test]
fn what_the_configuration_names_may_not_disappear() {
    for gone in ["policy.yaml", "policy.d"] {
        let place = Place::new();
        place.write("policy.yaml", BOB);
        place.write("policy.d/1.yaml", ALICE);
        // Not even when a file of the second choice is there.
        place.write("policy.json", "{}");
        let live = place.open();
        fs::rename(place.at(gone), place.at("elsewhere")).unwrap();
        assert_says(&live, ALICE);
        let failure = live.version().failure.clone().unwrap();
        assert!(
            failure.contains(&format!("{gone} is gone")) && !failure.contains('\n'),
            "{failure}"
        );
        fs::rename(place.at("elsewhere"), place.at(gone)).unwrap();
        assert_says(&live, ALICE);
        assert_eq!(live.version().failure, None, "{gone}");
    }
}

#[test]
fn the_file_that_an_operator_named_may_not_disappear_either() {
    let place = Place::new();
    place.write("mine.yaml", ALICE);
    let live = LivePolicy::open(PolicyFiles {
        file: PolicyFile::Required(place.at("mine.yaml")),
        ..PolicyFiles::default()
    })
    .unwrap();
    fs::remove_file(place.at("mine.yaml")).unwrap();
    assert_says(&live, ALICE);
    assert!(live.version().failure.is_some());
    place.write("mine.yaml", BOB);
    assert_says(&live, BOB);
}

#[test]
fn a_file_that_cannot_be_read_is_tried_again_though_its_stamp_stays() {
    let place = Place::new();
    place.write("policy.yaml", ALICE);
    let live = place.open();
    // Not UTF-8: a failure to read.
    fs::write(place.at("policy.yaml"), b"delete_image: \xff\n").unwrap();
    assert_says(&live, ALICE);
    std::thread::sleep(Duration::from_millis(3100));
    assert_says(&live, ALICE);
    assert!(!live.version().stamps.hold());
    place.write("policy.yaml", BOB);
    assert_says(&live, BOB);
}

/// What a kubelet does: `policy.yaml -> ..data/policy.yaml`, `..data -> ..1`, then `..data` is renamed over.
#[test]
fn a_config_map_is_swapped_at_once() {
    fn version(place: &Path, name: &str, text: &str) {
        fs::create_dir(place.join(name)).unwrap();
        fs::write(place.join(name).join("rules.yaml"), text).unwrap();
        symlink(name, place.join("..data_tmp")).unwrap();
        fs::rename(place.join("..data_tmp"), place.join("..data")).unwrap();
    }
    for mounted in ["policy.yaml", "policy.d/rules.yaml"] {
        let place = Place::new();
        let directory = place.at(mounted).parent().unwrap().to_owned();
        version(&directory, "..1", ALICE);
        symlink("..data/rules.yaml", place.at(mounted)).unwrap();
        let live = place.open();
        assert_says(&live, ALICE);
        settle(&live);
        version(&directory, "..2", BOB);
        fs::remove_dir_all(directory.join("..1")).unwrap();
        assert_says(&live, BOB);
    }
}

#[test]
fn nothing_is_read_again_while_nothing_changes() {
    let place = Place::new();
    place.write("policy.yaml", ALICE);
    place.write("policy.d/1.yaml", BOB);
    let live = place.open();
    settle(&live);
    let (version, policy) = (live.version(), live.current());
    for _ in 0..100 {
        assert!(std::sync::Arc::ptr_eq(&live.current(), &policy));
    }
    assert!(std::sync::Arc::ptr_eq(&live.version(), &version));
}

#[test]
fn an_edit_is_seen_by_every_thread_that_asks_after_it() {
    let place = Place::new();
    place.write("policy.yaml", ALICE);
    let live = place.open();
    for round in 0..50 {
        let text = format!("delete_image: role:r{round}\nmodify_image: role:r{round}\n");
        place.replace("policy.yaml", &text);
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    let policy = live.current();
                    let expected = Some(language::parse(&format!("role:r{round}")).check);
                    assert_eq!(check(&policy, "delete_image"), expected);
                    assert_eq!(check(&policy, "modify_image"), expected);
                });
            }
        });
    }
}

/// Not a test of anything but speed: `cargo test --lib policy::live -- --ignored --nocapture`.
#[test]
#[ignore = "measures"]
fn what_a_look_at_the_files_costs() {
    let place = Place::new();
    place.write("policy.yaml", ALICE);
    for file in 0..3 {
        place.write(&format!("policy.d/{file}.yaml"), BOB);
    }
    let live = place.open();
    let time = |live: &LivePolicy, rounds: u32| {
        let start = std::time::Instant::now();
        for _ in 0..rounds {
            std::hint::black_box(live.current());
        }
        start.elapsed() / rounds
    };
    eprintln!("just changed: {:?}", time(&live, 1000));
    settle(&live);
    eprintln!("settled: {:?}", time(&live, 100_000));
}
