//! The model test: every interleaving of two uploads, a deletion and a PATCH of one image, with crashes, abandoned
//! tasks, failures, unknown outcomes and late arrivals at every step.
//!
//! The record is the real [`Entry`] under the real [`Change::apply`], and the machines are the real ones; only store and
//! ledger are modelled. A state is a [`World`]; [`World::successors`] is everything that can happen next. The
//! search is exhaustive within the budgets of a scenario, and keeps a fingerprint of each state it has seen.

use std::{
    collections::{BTreeMap, BTreeSet, HashSet},
    hash::{DefaultHasher, Hash, Hasher},
};

use super::{
    Deletion, DeletionEnd, DeletionStep, Outcome, Recovery, RecoveryEnd, RecoveryStep, Upload, UploadStep,
};
use crate::image::{
    AttemptId, Change, ChangeKind, Claim, ClaimPhase, Content, Entry, Image, ImageId, Location, NodeId,
    Rejection, Revision, Status, Timestamp,
};

const IMAGE: ImageId = ImageId::from_bytes([1; 16]);
const NODE: NodeId = NodeId::from_bytes([2; 16]);
const AT: Timestamp = Timestamp::from_micros(1);

/// Which of the actors.
type Actor = u8;
const FIRST: Actor = 0xA;
const SECOND: Actor = 0xB;

/// Every try to delete is an operation of its own in the ledger.
const fn deletion(tries: u8) -> Actor {
    0xD0 + tries
}

const fn attempt(actor: Actor) -> AttemptId {
    AttemptId::from_bytes([actor; 16])
}

/// What may go wrong in a scenario, in all.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Budget {
    /// The process dies: every task, every call under way.
    crashes: u8,
    /// A task is dropped between two steps, or while a call is under way.
    abandonments: u8,
    /// A call fails, or its outcome is unknown, or it takes effect only later.
    troubles: u8,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct World {
    entry: Option<Entry>,
    store: Store,
    ledger: BTreeMap<Actor, LedgerEntry>,
    late: Vec<Late>,
    uploads: BTreeMap<Actor, Uploader>,
    deleter: Deleter,
    patcher: Patcher,
    janitor: Janitor,
    budget: Budget,
}

/// One store and one blob name in it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Store {
    /// Temporaries, with whether all bytes are in them.
    temporaries: BTreeMap<Actor, Bytes>,
    published: Option<Published>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Bytes {
    Partial,
    Whole,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Published {
    By(Actor),
    /// By somebody else, before we came.
    Foreign,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum LedgerEntry {
    Upload,
    Deletion { expected: Revision },
}

/// A call whose caller has stopped waiting for it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Late {
    Change(Box<Change>),
    Publish(Actor),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Uploader {
    NotStarted,
    Forward(Upload),
    /// The uploader's own recovery, with whether the client has been told that the upload succeeded.
    Back(Recovery, Told),
    Ended(Told),
}

/// What the client knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Told {
    Success,
    NotSuccess,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Deleter {
    NotStarted {
        tries: u8,
    },
    Running {
        tries: u8,
        machine: Deletion,
        expected: Revision,
    },
    Ended(Told),
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Patcher {
    NotStarted { tries: u8 },
    Read { tries: u8, image: Box<Image> },
    Ended(Told),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Janitor {
    Idle,
    Upload(Actor, Recovery),
    Deletion(Actor, Deletion, Revision),
}

fn queued() -> Image {
    Image {
        disk_format: Some("raw".into()),
        container_format: Some("bare".into()),
        ..Image::new(IMAGE, AT)
    }
}

fn change(kind: ChangeKind) -> Change {
    Change {
        id: IMAGE,
        at: AT,
        kind,
    }
}

fn claim(actor: Actor) -> Change {
    change(ChangeKind::Claim(Claim {
        attempt: attempt(actor),
        node: NODE,
        expires_at: AT,
        phase: ClaimPhase::Open,
    }))
}

fn commit(actor: Actor) -> Change {
    let content = Content {
        attempt: attempt(actor),
        size: 1,
        virtual_size: None,
        checksum: None,
        hash_algorithm: None,
        hash_value: None,
    };
    let location = Location {
        store: None,
        url: String::new(),
        metadata: BTreeMap::new(),
    };
    change(ChangeKind::Commit { content, location })
}

impl World {
    fn new(published: Option<Published>, budget: Budget) -> Self {
        Self {
            entry: Some(Entry::Live(queued())),
            store: Store {
                temporaries: BTreeMap::new(),
                published,
            },
            ledger: BTreeMap::new(),
            late: Vec::new(),
            uploads: [(FIRST, Uploader::NotStarted), (SECOND, Uploader::NotStarted)].into(),
            deleter: Deleter::NotStarted { tries: 2 },
            patcher: Patcher::NotStarted { tries: 2 },
            janitor: Janitor::Idle,
            budget,
        }
    }

    /// Everything that can happen next, without what needs a budget (first) and with it (second).
    fn successors(&self) -> (Vec<Self>, Vec<Self>) {
        let (mut plain, mut faults) = (Vec::new(), Vec::new());
        self.uploads_go_on(&mut plain, &mut faults);
        self.deleter_goes_on(&mut plain, &mut faults);
        self.patcher_goes_on(&mut plain);
        self.janitor_goes_on(&mut plain, &mut faults);
        self.late_calls_arrive(&mut plain);
        self.tasks_and_process_die(&mut faults);
        (plain, faults)
    }

    // ---- the calls, each with everything that can come of it ----------------------------------------------------

    fn apply(&mut self, change: &Change) -> Outcome {
        match change.apply(self.entry.as_ref()) {
            Ok(next) => {
                self.entry = Some(next);
                Outcome::Done
            }
            Err(rejection) => Outcome::Refused(rejection),
        }
    }

    fn troubled(&self) -> Option<Self> {
        let troubles = self.budget.troubles.checked_sub(1)?;
        Some(Self {
            budget: Budget {
                troubles,
                ..self.budget
            },
            ..self.clone()
        })
    }

    /// A change to the record, and how it ends for its caller.
    fn metadata(&self, change: &Change) -> Calls {
        let mut calls = Calls::default();
        let mut world = self.clone();
        let outcome = world.apply(change);
        calls.plain.push((world, outcome));
        if let Some(troubled) = self.troubled() {
            let mut applied = troubled.clone();
            applied.apply(change);
            let mut late = troubled.clone();
            late.late.push(Late::Change(Box::new(change.clone())));
            calls.faults.extend([
                (applied, Outcome::Unknown),
                (late, Outcome::Unknown),
                (troubled.clone(), Outcome::Unknown),
                (troubled, Outcome::Failed),
            ]);
        }
        calls
    }

    /// A call to store or ledger: done, or in trouble done or not done without the caller knowing.
    fn call(&self, effect: impl Fn(&mut Self) -> Outcome) -> Calls {
        let mut calls = Calls::default();
        let mut world = self.clone();
        let outcome = effect(&mut world);
        calls.plain.push((world, outcome));
        if let Some(troubled) = self.troubled() {
            let mut done = troubled.clone();
            effect(&mut done);
            calls
                .faults
                .extend([(done, Outcome::Unknown), (troubled, Outcome::Failed)]);
        }
        calls
    }

    fn publish(&mut self, actor: Actor) -> Outcome {
        // A hard link: there must be something to link, and nothing under the name.
        if self.store.published.is_some() || !self.store.temporaries.contains_key(&actor) {
            return Outcome::Unknown;
        }
        assert_eq!(
            self.store.temporaries[&actor],
            Bytes::Whole,
            "a partial blob was published"
        );
        self.store.published = Some(Published::By(actor));
        Outcome::Done
    }

    fn discard(&mut self, actor: Actor) -> Outcome {
        if self.store.temporaries.remove(&actor).is_some()
            && self.store.published == Some(Published::By(actor))
        {
            self.store.published = None;
        }
        Outcome::Done
    }

    fn delete_blob(&mut self) -> Outcome {
        self.store.published = None;
        Outcome::Done
    }

    // ---- the actors ---------------------------------------------------------------------------------------------

    fn uploads_go_on(&self, plain: &mut Vec<Self>, faults: &mut Vec<Self>) {
        for (&actor, &uploader) in &self.uploads {
            match uploader {
                // The two are alike: who begins first is the first.
                Uploader::NotStarted if actor == SECOND && self.uploads[&FIRST] == Uploader::NotStarted => {}
                Uploader::NotStarted => {
                    let mut world = self.clone();
                    world.uploads.insert(actor, Uploader::Forward(Upload::new()));
                    plain.push(world);
                }
                Uploader::Forward(machine) => {
                    self.upload_step(actor, machine)
                        .into_worlds(plain, faults, |world, outcome| {
                            let mut machine = machine;
                            machine.on(outcome);
                            let next = match machine.step() {
                                UploadStep::HandOver(recovery) => {
                                    let told = if recovery == Recovery::SETTLE {
                                        Told::Success
                                    } else {
                                        Told::NotSuccess
                                    };
                                    Uploader::Back(recovery, told)
                                }
                                _ => Uploader::Forward(machine),
                            };
                            world.uploads.insert(actor, next);
                        });
                }
                Uploader::Back(recovery, told) => {
                    self.recovery_step(actor, recovery)
                        .into_worlds(plain, faults, |world, outcome| {
                            let mut recovery = recovery;
                            recovery.on(outcome);
                            let next = match recovery.step() {
                                RecoveryStep::Finished(RecoveryEnd::Kept | RecoveryEnd::KeptUnsettled) => {
                                    Uploader::Ended(Told::Success)
                                }
                                RecoveryStep::Finished(_) => Uploader::Ended(told),
                                _ => Uploader::Back(recovery, told),
                            };
                            world.uploads.insert(actor, next);
                        });
                }
                Uploader::Ended(_) => {}
            }
        }
    }

    fn upload_step(&self, actor: Actor, machine: Upload) -> Calls {
        match machine.step() {
            UploadStep::Begin => self.call(|world| {
                world.ledger.insert(actor, LedgerEntry::Upload);
                Outcome::Done
            }),
            UploadStep::Claim => self.metadata(&claim(actor)),
            UploadStep::Stream => {
                let mut calls = self.call(|world| {
                    world.store.temporaries.insert(actor, Bytes::Whole);
                    Outcome::Done
                });
                // The client may hang up at any byte: no trouble of ours, so it needs no budget.
                let mut partial = self.clone();
                partial.store.temporaries.insert(actor, Bytes::Partial);
                calls.plain.push((partial, Outcome::Failed));
                calls
            }
            UploadStep::CommitBlob => {
                let mut calls = self.call(|world| world.publish(actor));
                if let Some(mut late) = self.troubled() {
                    late.late.push(Late::Publish(actor));
                    calls.faults.push((late, Outcome::Unknown));
                }
                calls
            }
            UploadStep::CommitMetadata => self.metadata(&commit(actor)),
            UploadStep::HandOver(_) => Calls::default(),
        }
    }

    fn recovery_step(&self, actor: Actor, recovery: Recovery) -> Calls {
        let attempt = attempt(actor);
        match recovery.step() {
            RecoveryStep::Fence => self.metadata(&change(ChangeKind::Fence { attempt })),
            RecoveryStep::Discard => self.call(|world| world.discard(actor)),
            RecoveryStep::Release => self.metadata(&change(ChangeKind::Release { attempt })),
            RecoveryStep::Settle => self.call(|world| {
                world.store.temporaries.remove(&actor);
                Outcome::Done
            }),
            RecoveryStep::Forget => self.forget(actor),
            RecoveryStep::Finished(_) => Calls::default(),
        }
    }

    fn forget(&self, actor: Actor) -> Calls {
        self.call(|world| {
            world.ledger.remove(&actor);
            Outcome::Done
        })
    }

    fn deletion_step(&self, actor: Actor, machine: Deletion, expected: Revision) -> Calls {
        match machine.step() {
            DeletionStep::Prepare => self.call(|_| Outcome::Done),
            DeletionStep::Begin => self.call(|world| {
                world.ledger.insert(actor, LedgerEntry::Deletion { expected });
                Outcome::Done
            }),
            DeletionStep::Tombstone => self.metadata(&change(ChangeKind::Delete { expected })),
            DeletionStep::Touch => self.metadata(&change(ChangeKind::Touch { expected })),
            DeletionStep::Bytes => self.call(Self::delete_blob),
            DeletionStep::Forget => self.forget(actor),
            DeletionStep::Finished(_) => Calls::default(),
        }
    }

    fn deleter_goes_on(&self, plain: &mut Vec<Self>, faults: &mut Vec<Self>) {
        match self.deleter {
            Deleter::NotStarted { tries } => {
                let mut world = self.clone();
                world.deleter = match self.entry.as_ref().and_then(Entry::live) {
                    Some(image) => {
                        let machine = if image.locations.is_empty() {
                            Deletion::without_bytes()
                        } else {
                            Deletion::with_bytes()
                        };
                        Deleter::Running {
                            tries,
                            machine,
                            expected: image.revision,
                        }
                    }
                    None => Deleter::Ended(Told::NotSuccess),
                };
                plain.push(world);
            }
            Deleter::Running {
                tries,
                machine,
                expected,
            } => {
                self.deletion_step(deletion(tries), machine, expected)
                    .into_worlds(plain, faults, |world, outcome| {
                        let mut machine = machine;
                        machine.on(outcome);
                        world.deleter = match machine.step() {
                            DeletionStep::Finished(DeletionEnd::Deleted) => Deleter::Ended(Told::Success),
                            DeletionStep::Finished(DeletionEnd::Refused) if tries > 1 => {
                                Deleter::NotStarted { tries: tries - 1 }
                            }
                            DeletionStep::Finished(_) => Deleter::Ended(Told::NotSuccess),
                            _ => Deleter::Running {
                                tries,
                                machine,
                                expected,
                            },
                        };
                    });
            }
            Deleter::Ended(_) => {}
        }
    }

    fn patcher_goes_on(&self, plain: &mut Vec<Self>) {
        let mut world = self.clone();
        match &self.patcher {
            Patcher::NotStarted { tries } => {
                world.patcher = match self.entry.as_ref().and_then(Entry::live) {
                    Some(image) => Patcher::Read {
                        tries: *tries,
                        image: Box::new(image.clone()),
                    },
                    None => Patcher::Ended(Told::NotSuccess),
                };
            }
            Patcher::Read { tries, image } => {
                let renamed = Image {
                    name: Some("renamed".into()),
                    ..(**image).clone()
                };
                let update = ChangeKind::Update {
                    expected: image.revision,
                    image: Box::new(renamed),
                };
                world.patcher = match world.apply(&change(update)) {
                    Outcome::Done => Patcher::Ended(Told::Success),
                    Outcome::Refused(Rejection::Revision) if *tries > 1 => {
                        Patcher::NotStarted { tries: tries - 1 }
                    }
                    _ => Patcher::Ended(Told::NotSuccess),
                };
            }
            Patcher::Ended(_) => return,
        }
        plain.push(world);
    }

    /// Whether a task of this process still works on what the ledger has under this actor.
    fn is_alive(&self, actor: Actor) -> bool {
        let uploads = matches!(
            self.uploads.get(&actor),
            Some(Uploader::Forward(_) | Uploader::Back(..))
        );
        uploads || matches!(self.deleter, Deleter::Running { tries, .. } if deletion(tries) == actor)
    }

    fn janitor_goes_on(&self, plain: &mut Vec<Self>, faults: &mut Vec<Self>) {
        match self.janitor {
            Janitor::Idle => {
                let orphans = self.ledger.iter().filter(|(actor, _)| !self.is_alive(**actor));
                for (&actor, &entry) in orphans {
                    let mut world = self.clone();
                    world.janitor = match entry {
                        LedgerEntry::Upload => Janitor::Upload(actor, Recovery::FENCE),
                        LedgerEntry::Deletion { expected } => {
                            Janitor::Deletion(actor, Deletion::recover(), expected)
                        }
                    };
                    plain.push(world);
                }
                // A claim that came so late that the ledger has forgotten its attempt.
                for actor in [FIRST, SECOND] {
                    let claims = self
                        .entry
                        .as_ref()
                        .and_then(Entry::live)
                        .and_then(|image| image.claim);
                    let is_orphan = !self.ledger.contains_key(&actor) && !self.is_alive(actor);
                    if is_orphan && claims.is_some_and(|claim| claim.attempt == attempt(actor)) {
                        let mut world = self.clone();
                        world.janitor = Janitor::Upload(actor, Recovery::FENCE);
                        plain.push(world);
                    }
                }
            }
            Janitor::Upload(actor, recovery) => {
                self.recovery_step(actor, recovery)
                    .into_worlds(plain, faults, |world, outcome| {
                        let mut recovery = recovery;
                        recovery.on(outcome);
                        world.janitor = match recovery.step() {
                            RecoveryStep::Finished(_) => Janitor::Idle,
                            _ => Janitor::Upload(actor, recovery),
                        };
                    });
            }
            Janitor::Deletion(actor, machine, expected) => {
                self.deletion_step(actor, machine, expected)
                    .into_worlds(plain, faults, |world, outcome| {
                        let mut machine = machine;
                        machine.on(outcome);
                        world.janitor = match machine.step() {
                            DeletionStep::Finished(_) => Janitor::Idle,
                            _ => Janitor::Deletion(actor, machine, expected),
                        };
                    });
            }
        }
    }

    fn late_calls_arrive(&self, plain: &mut Vec<Self>) {
        for index in 0..self.late.len() {
            let mut world = self.clone();
            match world.late.remove(index) {
                Late::Change(change) => {
                    world.apply(&change);
                }
                Late::Publish(actor) => {
                    world.publish(actor);
                }
            }
            plain.push(world);
        }
    }

    fn tasks_and_process_die(&self, faults: &mut Vec<Self>) {
        if let Some(abandonments) = self.budget.abandonments.checked_sub(1) {
            let budget = Budget {
                abandonments,
                ..self.budget
            };
            for &actor in self.uploads.keys().filter(|actor| self.is_alive(**actor)) {
                let mut world = Self {
                    budget,
                    ..self.clone()
                };
                // What the task was waiting for may go on without it.
                if let Some(Uploader::Forward(machine)) = self.uploads.get(&actor) {
                    match machine.step() {
                        UploadStep::Claim => world.late.push(Late::Change(Box::new(claim(actor)))),
                        UploadStep::CommitBlob => world.late.push(Late::Publish(actor)),
                        UploadStep::CommitMetadata => world.late.push(Late::Change(Box::new(commit(actor)))),
                        _ => {}
                    }
                }
                world.abandon(actor);
                faults.push(world);
            }
            if let Deleter::Running { .. } = self.deleter {
                let mut world = Self {
                    budget,
                    ..self.clone()
                };
                world.deleter = Deleter::Ended(Told::NotSuccess);
                faults.push(world);
            }
            if self.janitor != Janitor::Idle {
                faults.push(Self {
                    budget,
                    janitor: Janitor::Idle,
                    ..self.clone()
                });
            }
        }
        if let Some(crashes) = self.budget.crashes.checked_sub(1) {
            let mut world = Self {
                budget: Budget {
                    crashes,
                    ..self.budget
                },
                ..self.clone()
            };
            for actor in [FIRST, SECOND] {
                world.abandon(actor);
            }
            if matches!(world.deleter, Deleter::Running { .. }) {
                world.deleter = Deleter::Ended(Told::NotSuccess);
            }
            if matches!(world.patcher, Patcher::Read { .. }) {
                world.patcher = Patcher::Ended(Told::NotSuccess);
            }
            world.janitor = Janitor::Idle;
            // Calls to the local store die with the process; a change may be on its way in a database elsewhere.
            world.late.retain(|late| matches!(late, Late::Change(_)));
            faults.push(world);
        }
    }

    fn abandon(&mut self, actor: Actor) {
        let told = match self.uploads.get(&actor) {
            Some(Uploader::Back(_, told)) => *told,
            Some(Uploader::Forward(_)) => Told::NotSuccess,
            _ => return,
        };
        self.uploads.insert(actor, Uploader::Ended(told));
    }

    // ---- what must hold -----------------------------------------------------------------------------------------

    fn told_success(&self, actor: Actor) -> bool {
        matches!(
            self.uploads.get(&actor),
            Some(Uploader::Back(_, Told::Success) | Uploader::Ended(Told::Success))
        )
    }

    /// Holds in every state.
    fn check_always(&self, foreign: bool) {
        if let Some(Entry::Live(image)) = &self.entry
            && image.status == Status::Active
        {
            let Some(Published::By(actor)) = self.store.published else {
                panic!("active without bytes")
            };
            let content = image.content.as_ref().expect("active without content");
            assert_eq!(
                content.attempt,
                attempt(actor),
                "active with another attempt's bytes"
            );
        }
        assert!(
            !foreign || self.store.published == Some(Published::Foreign),
            "a foreign blob was touched"
        );
        assert!(
            !(self.told_success(FIRST) && self.told_success(SECOND)),
            "two uploads succeeded"
        );
        for actor in [FIRST, SECOND] {
            let image = match self.entry.as_ref().expect("the record is gone") {
                Entry::Live(image) => image,
                Entry::Deleted(tombstone) => &tombstone.image,
            };
            let has_it = image
                .content
                .as_ref()
                .is_some_and(|content| content.attempt == attempt(actor));
            assert!(
                !self.told_success(actor) || has_it,
                "an acknowledged upload was lost"
            );
        }
        if self.patcher == Patcher::Ended(Told::Success) {
            let name = match self.entry.as_ref().expect("the record is gone") {
                Entry::Live(image) => &image.name,
                Entry::Deleted(tombstone) => &tombstone.image.name,
            };
            assert_eq!(name.as_deref(), Some("renamed"), "an acknowledged PATCH was lost");
        }
        if self.deleter == Deleter::Ended(Told::Success) {
            assert!(
                matches!(self.entry, Some(Entry::Deleted(_))),
                "an acknowledged deletion was undone"
            );
        }
    }

    /// Holds when nothing can happen any more of itself.
    fn check_at_rest(&self) {
        assert!(self.ledger.is_empty(), "the ledger was not emptied");
        assert!(self.store.temporaries.is_empty(), "a temporary was left");
        let (active, claimed) = match &self.entry {
            Some(Entry::Live(image)) => (image.status == Status::Active, image.claim.is_some()),
            _ => (false, false),
        };
        if let Some(Entry::Live(image)) = &self.entry {
            assert!(
                !image.status.is_transient(),
                "the image hangs in {}",
                image.status
            );
        }
        assert!(!claimed, "a claim was left");
        assert!(
            active || !matches!(self.store.published, Some(Published::By(_))),
            "bytes were left"
        );
    }

    fn fingerprint(&self) -> (u64, u64) {
        let mut one = DefaultHasher::new();
        self.hash(&mut one);
        let mut other = DefaultHasher::new();
        (0x05AC_CADE_u32, self).hash(&mut other);
        (one.finish(), other.finish())
    }
}

/// What can come of a call: the world after it, and what its caller is told.
#[derive(Default)]
struct Calls {
    plain: Vec<(World, Outcome)>,
    faults: Vec<(World, Outcome)>,
}

impl Calls {
    fn into_worlds(
        self,
        plain: &mut Vec<World>,
        faults: &mut Vec<World>,
        caller: impl Fn(&mut World, Outcome),
    ) {
        let told = |(mut world, outcome): (World, Outcome)| {
            caller(&mut world, outcome);
            world
        };
        plain.extend(self.plain.into_iter().map(told));
        faults.extend(self.faults.into_iter().map(told));
    }
}

#[derive(Debug, Default)]
struct Explored {
    states: usize,
    transitions: usize,
    at_rest: usize,
    ends: BTreeSet<String>,
}

/// Explores everything that can come of `start`.
fn explore(start: World) -> Explored {
    let foreign = start.store.published == Some(Published::Foreign);
    let mut seen = HashSet::from([start.fingerprint()]);
    let mut explored = Explored::default();
    let mut open = vec![start];
    while let Some(world) = open.pop() {
        explored.states += 1;
        world.check_always(foreign);
        let (plain, faults) = world.successors();
        if plain.is_empty() {
            explored.at_rest += 1;
            world.check_at_rest();
            explored.ends.insert(world.summary());
        }
        explored.transitions += plain.len() + faults.len();
        open.extend(
            plain
                .into_iter()
                .chain(faults)
                .filter(|next| seen.insert(next.fingerprint())),
        );
    }
    explored
}

impl World {
    fn summary(&self) -> String {
        let record = match &self.entry {
            Some(Entry::Live(image)) => image.status.as_str(),
            Some(Entry::Deleted(_)) => "deleted",
            None => "none",
        };
        let told = |actor| if self.told_success(actor) { "ok" } else { "no" };
        format!("{record} first={} second={}", told(FIRST), told(SECOND))
    }
}

fn report(name: &str, explored: &Explored) {
    println!(
        "{name}: {} states, {} transitions, {} at rest, ends: {:?}",
        explored.states, explored.transitions, explored.at_rest, explored.ends
    );
}

#[test]
fn without_trouble_the_image_ends_with_one_uploads_bytes_or_deleted() {
    let explored = explore(World::new(
        None,
        Budget {
            crashes: 0,
            abandonments: 0,
            troubles: 0,
        },
    ));
    report("no trouble", &explored);
    let ends = [
        "active first=ok second=no",
        "active first=no second=ok",
        "deleted first=no second=no",
    ];
    assert!(
        ends.iter().all(|end| explored.ends.contains(*end)),
        "{:?}",
        explored.ends
    );
}

/// Explores a scenario and prints how much that was.
fn holds(name: &str, published: Option<Published>, crashes: u8, abandonments: u8, troubles: u8) -> Explored {
    let explored = explore(World::new(
        published,
        Budget {
            crashes,
            abandonments,
            troubles,
        },
    ));
    report(name, &explored);
    explored
}

#[test]
fn a_crash_after_trouble_loses_nothing_and_leaves_nothing() {
    let explored = holds("a crash, a trouble", None, 1, 0, 1);
    assert!(explored.states > 100_000);
}

#[test]
fn a_dropped_task_amid_trouble_loses_nothing_and_leaves_nothing() {
    holds("a dropped task, a trouble", None, 0, 1, 1);
}

#[test]
fn two_troubles_lose_nothing_and_leave_nothing() {
    holds("two troubles", None, 0, 0, 2);
}

#[test]
fn two_crashes_lose_nothing_and_leave_nothing() {
    holds("two crashes", None, 2, 0, 0);
}

#[test]
#[ignore = "explores nine million states: minutes; run by `make test-model`"]
fn a_crash_a_dropped_task_and_a_trouble_lose_nothing_and_leave_nothing() {
    holds("a crash, a dropped task, a trouble", None, 1, 1, 1);
}

#[test]
#[ignore = "explores millions of states: minutes; run by `make test-model`"]
fn a_crash_and_two_troubles_lose_nothing_and_leave_nothing() {
    holds("a crash, two troubles", None, 1, 0, 2);
}

#[test]
fn a_foreign_blob_under_the_images_name_is_never_touched() {
    let explored = explore(World::new(
        Some(Published::Foreign),
        Budget {
            crashes: 1,
            abandonments: 1,
            troubles: 1,
        },
    ));
    report("foreign blob", &explored);
    assert!(explored.ends.iter().all(|end| !end.starts_with("active")));
}
