//! The same requests to Python Glance and to Saccade: the answers must be the same.
//!
//! * `script/GROUP.yaml`: the requests, and which answers are meant to differ
//! * `recorded/GROUP.jsonl`: what Python Glance 33 answered, one line for each request
//!
//! A group is one file: what both sides are configured with, and requests that build on each other. Each group has services
//! of its own, which are empty at first. `everywhere.yaml` has the headers that differ in many answers. What a request may
//! have is in [`script::Step`].
//!
//! Without Glance, its recorded answers stand for it. With `SACCADE_GLANCE` (where `make glance` has put Python), it is
//! asked, and the recordings must be what it says; with `RECORD=1` they are written. `ONLY` names the groups to run, all
//! of them if it is not set.
//!
//! Identity comes from the headers of an authenticating proxy on both sides, so that the requests are the same to the
//! byte, and nobody has to be asked. What Keystone's tokens mean is tested in `tests/keystone/`.

mod compare;
mod difference;
mod glance;
mod peer;
mod reply;
mod script;
mod web;
mod wire;

use self::{
    compare::{Found, compare},
    difference::{Documented, Everywhere},
    glance::Glance,
    peer::Peer,
    reply::Reply,
    script::{Group, Step},
};
use crate::harness::Setup;
use std::{
    collections::BTreeSet,
    env, fs,
    path::{Path, PathBuf},
    sync::Mutex,
    sync::atomic::{AtomicUsize, Ordering},
    thread,
};

/// Groups that run at once: most of a group is waiting.
const AT_ONCE: usize = 4;

#[test]
fn every_answer_is_that_of_glance_or_differs_as_documented() {
    let meant = Meant {
        documented: Documented::read(),
        everywhere: Everywhere::read(),
    };
    let groups = Group::all(&env::var("ONLY").unwrap_or_default());
    let next = AtomicUsize::new(0);
    let results = Mutex::new(Vec::new());
    thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(|| {
                while let Some(group) = groups.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let result = run(group, &meant);
                    results.lock().unwrap().push(result);
                }
            });
        }
    });
    let mut results = results.into_inner().unwrap();
    results.sort_by(|one, other| one.group.cmp(&other.group));
    let is_whole = env::var_os("ONLY").is_none();
    report(&results, &meant, is_whole);
}

/// The differences that are meant.
struct Meant {
    documented: Documented,
    everywhere: Vec<Everywhere>,
}

/// What came of one group.
struct Outcome {
    group: String,
    requests: usize,
    equal: usize,
    explained: usize,
    /// What of [`Meant::everywhere`] has occurred.
    everywhere: BTreeSet<usize>,
    /// What must not be.
    failures: Vec<String>,
    /// Explanations that say the same in other words, or not the same.
    texts: Vec<String>,
}

fn run(group: &Group, meant: &Meant) -> Outcome {
    let mut failures = Vec::new();
    let expected = match Glance::python() {
        Some(python) => from_glance(group, &python, &mut failures),
        None => recorded(group),
    };
    let setup = Setup::default()
        .option("identity = trusted-headers")
        .glance_api(&group.glance_api_conf());
    let daemon = (group.expected_log.iter())
        .fold(setup, |setup, text| setup.expect_log(text))
        .start();
    let mut saccade = Peer::new(daemon.address(), daemon.data_dir().parent().unwrap(), group);
    let mut outcome = Outcome {
        group: group.name.clone(),
        requests: group.steps.len(),
        equal: 0,
        explained: 0,
        everywhere: BTreeSet::new(),
        failures,
        texts: Vec::new(),
    };
    for (number, step) in group.steps.iter().enumerate() {
        let reply = saccade.ask(step);
        let Some(theirs) = expected.get(number) else {
            break;
        };
        if theirs.ask != step.ask {
            let message = format!(
                "{}: the recording has {:?} here",
                place(group, number),
                theirs.ask
            );
            outcome.failures.push(message);
            break;
        }
        outcome.judge(
            &place(group, number),
            step,
            compare(theirs, &reply),
            reply.status,
            meant,
        );
    }
    if expected.len() != group.steps.len() {
        outcome.failures.push(format!(
            "{}: {} requests, {} recorded answers: `make test-against-glance RECORD=1`",
            group.name,
            group.steps.len(),
            expected.len()
        ));
    }
    outcome
}

fn place(group: &Group, number: usize) -> String {
    let step = &group.steps[number];
    format!("{} {}: {}", group.name, number + 1, shortened(&step.to_string()))
}

/// For people.
fn shortened(text: &str) -> String {
    match text.char_indices().nth(240) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

impl Outcome {
    fn judge(&mut self, place: &str, step: &Step, mut found: Found, status: u16, meant: &Meant) {
        for text in &found.texts {
            self.texts.push(format!("{place}\n{text}"));
        }
        for (index, everywhere) in meant.everywhere.iter().enumerate() {
            if everywhere.take_from(&mut found, status) {
                self.everywhere.insert(index);
            }
        }
        let failures = match &step.differs {
            None => (found.differences.iter())
                .map(|difference| shortened(&difference.to_string()))
                .collect(),
            Some(differs) => {
                let mut failures = differs.missing_from(&found);
                failures.extend(meant.documented.complaint(&differs.why));
                failures
            }
        };
        if !failures.is_empty() {
            self.failures
                .push(format!("{place}\n    {}", failures.join("\n    ")));
        } else if step.differs.is_some() {
            self.explained += 1;
        } else {
            self.equal += 1;
        }
    }
}

/// What Glance answers now. The recording is made, or must agree.
fn from_glance(group: &Group, python: &Path, failures: &mut Vec<String>) -> Vec<Reply> {
    let glance = Glance::start(python, group);
    let mut peer = Peer::new(glance.address(), &glance.root(), group);
    let replies: Vec<Reply> = group.steps.iter().map(|step| peer.ask(step)).collect();
    drop(glance);
    let path = group.recording();
    if env::var_os("RECORD").is_some_and(|value| !value.is_empty()) {
        let lines: String = replies.iter().map(|reply| reply.line() + "\n").collect();
        fs::write(&path, lines).unwrap();
        return replies;
    }
    let recorded = recorded(group);
    for (number, (old, new)) in recorded.iter().zip(&replies).enumerate() {
        if old != new {
            failures.push(format!(
                "{}\n    recorded {}\n    answered {}",
                place(group, number),
                old.line(),
                new.line()
            ));
        }
    }
    if recorded.len() != replies.len() {
        failures.push(format!("{}: the recording is not of this script", group.name));
    }
    replies
}

fn recorded(group: &Group) -> Vec<Reply> {
    let text = fs::read_to_string(group.recording()).unwrap_or_default();
    text.lines().map(Reply::from_line).collect()
}

fn report(results: &[Outcome], meant: &Meant, is_whole: bool) {
    let sum = |of: fn(&Outcome) -> usize| results.iter().map(of).sum::<usize>();
    let texts: Vec<&str> = (results.iter())
        .flat_map(|outcome| &outcome.texts)
        .map(String::as_str)
        .collect();
    let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("differential-texts");
    fs::write(&path, texts.join("\n") + "\n").unwrap();
    for outcome in results {
        println!(
            "{:24} {:4} requests, {:4} equal, {:3} explained",
            outcome.group, outcome.requests, outcome.equal, outcome.explained
        );
    }
    println!(
        "{} requests, {} equal, {} explained",
        sum(|outcome| outcome.requests),
        sum(|outcome| outcome.equal),
        sum(|outcome| outcome.explained),
    );
    println!("{} explanations in other words: {}", texts.len(), path.display());
    let mut failures: Vec<String> = (results.iter())
        .flat_map(|outcome| outcome.failures.iter().cloned())
        .collect();
    for (index, everywhere) in meant.everywhere.iter().enumerate() {
        failures.extend(meant.documented.complaint(&everywhere.why));
        if is_whole && !results.iter().any(|outcome| outcome.everywhere.contains(&index)) {
            failures.push(format!(
                "everywhere.yaml: {:?} does not occur any more",
                everywhere.why
            ));
        }
    }
    assert!(
        failures.is_empty(),
        "{} differ:\n{}",
        failures.len(),
        failures.join("\n")
    );
}
