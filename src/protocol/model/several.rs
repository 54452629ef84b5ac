//! Imports into two stores, and copies from one to the other: every interleaving of two of them and a deletion, with stores
//! that fail, crashes, unknown outcomes and late arrivals at every step.
//!
//! The record and the machines are the real ones, as is what a fence means for one store's part ([`Brings`]). Stores, ledger and
//! the order in which parts are finished are modelled on `transfer::import` and `janitor::recovery`.

use std::{
    collections::{BTreeMap, BTreeSet, HashSet},
    hash::{DefaultHasher, Hash, Hasher},
    rc::Rc,
};

use super::{
    super::{
        Brings, Deletion, DeletionEnd, DeletionStep, Outcome, Recovery, RecoveryEnd, RecoveryStep, Upload,
        UploadStep,
    },
    world::{AT, Actor, Bytes, FIRST, IMAGE, NODE, Published, SECOND, Told, attempt, change, queued},
};
use crate::image::{
    Change, ChangeKind, Claim, ClaimPhase, Content, Entry, IMPORT_TASK, Image, Location, Revision, Status,
    StoreId,
};

/// Who brought the data that an image has before it is copied.
const ORIGIN: Actor = 1;

/// What becomes of an import that cannot write to one of its stores.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Partial {
    Refused,
    Accepted,
}

/// What may go wrong, in all.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Budget {
    crashes: u8,
    troubles: u8,
}

/// One of the two stores.
type Place = usize;

#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
struct Store {
    temporaries: BTreeMap<Actor, Bytes>,
    published: Option<Published>,
}

/// An attempt in one store: what the ledger has an entry for.
type Part = (Actor, Place);

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Late {
    Change(Box<Change>),
    Publish(Part),
}

/// What an importer knows of one of its stores.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Target {
    place: Place,
    held: bool,
    writes: bool,
    located: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Importer {
    NotStarted,
    /// The step is done for the targets before `at`.
    Forward {
        machine: Upload,
        targets: Vec<Target>,
        at: usize,
    },
    Back {
        way: Recovery,
        targets: Vec<Target>,
        doing: Option<(usize, Finishing)>,
        told: Told,
    },
    Ended(Told),
}

/// A recovery of one part, as the janitor drives it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Finishing {
    recovery: Recovery,
    /// The fence has ended so, and the record is yet to be read.
    fenced: Option<Outcome>,
    /// Another part of the attempt was there when the record could have been released.
    left: bool,
    /// The ledger's entry is gone, with this outcome; whoever left the release to this one has ended, too.
    forgotten: Option<Outcome>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Deleter {
    NotStarted,
    Running(Deletion, Revision, Vec<Place>),
    Ended(Told),
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct World {
    entry: Rc<Entry>,
    stores: [Store; 2],
    ledger: BTreeSet<Part>,
    /// The ledger's entry of the deletion.
    deletion: Option<(Revision, Vec<Place>)>,
    late: Vec<Late>,
    importers: BTreeMap<Actor, Importer>,
    brings: Brings,
    partial: Partial,
    deleter: Deleter,
    /// What the janitor finishes side by side.
    chores: BTreeMap<Part, Finishing>,
    undeleting: Option<(Deletion, Revision, Vec<Place>)>,
    /// A claim of which the ledger knows nothing, and whether it is fenced.
    reclaiming: Option<(Actor, bool)>,
    budget: Budget,
}

fn store_id(place: Place) -> StoreId {
    StoreId::new(["one", "two"][place])
}

fn location(place: Place) -> Location {
    Location {
        store: Some(store_id(place)),
        url: format!("memory:///{place}/{IMAGE}"),
        metadata: BTreeMap::new(),
    }
}

fn places(image: &Image) -> Vec<Place> {
    let is_in = |place: &Place| {
        let mut stores = image
            .locations
            .iter()
            .filter_map(|location| location.store.as_ref());
        stores.any(|store| *store == store_id(*place))
    };
    (0..2).filter(is_in).collect()
}

fn content(actor: Actor) -> Content {
    Content {
        attempt: attempt(actor),
        size: 1,
        virtual_size: None,
        checksum: None,
        hash_algorithm: None,
        hash_value: None,
    }
}

fn new_claim(actor: Actor) -> Claim {
    Claim {
        attempt: attempt(actor),
        node: NODE,
        expires_at: AT,
        phase: ClaimPhase::Open,
    }
}

impl Finishing {
    const fn new(recovery: Recovery) -> Self {
        Self {
            recovery,
            fenced: None,
            left: false,
            forgotten: None,
        }
    }
}

/// What can come of a step: worlds with what is told to whoever made it; without trouble, and with it.
struct Calls<T> {
    plain: Vec<(World, T)>,
    faults: Vec<(World, T)>,
}

impl<T> Calls<T> {
    fn one(world: World, told: T) -> Self {
        Self {
            plain: vec![(world, told)],
            faults: Vec::new(),
        }
    }

    fn map<U>(self, told: impl Fn(&World, T) -> U) -> Calls<U> {
        let all = |calls: Vec<(World, T)>| {
            let told = calls.into_iter().map(|(world, outcome)| {
                let told = told(&world, outcome);
                (world, told)
            });
            told.collect()
        };
        Calls {
            plain: all(self.plain),
            faults: all(self.faults),
        }
    }

    fn into_worlds(self, plain: &mut Vec<World>, faults: &mut Vec<World>, caller: impl Fn(&mut World, T)) {
        let done = |(mut world, told): (World, T)| {
            caller(&mut world, told);
            world
        };
        plain.extend(self.plain.into_iter().map(done));
        faults.extend(self.faults.into_iter().map(done));
    }
}

impl World {
    fn new(brings: Brings, partial: Partial, crashes: u8, troubles: u8) -> Self {
        let mut stores = [Store::default(), Store::default()];
        let mut image = queued();
        if brings == Brings::Copy {
            stores[0].published = Some(Published::By(ORIGIN));
            image.status = Status::Active;
            image.content = Some(content(ORIGIN));
            image.locations = vec![location(0)];
        }
        Self {
            entry: Rc::new(Entry::Live(image)),
            stores,
            ledger: BTreeSet::new(),
            deletion: None,
            late: Vec::new(),
            importers: [(FIRST, Importer::NotStarted), (SECOND, Importer::NotStarted)].into(),
            brings,
            partial,
            deleter: Deleter::NotStarted,
            chores: BTreeMap::new(),
            undeleting: None,
            reclaiming: None,
            budget: Budget { crashes, troubles },
        }
    }

    /// The same with one import, and nobody who deletes.
    fn alone(mut self) -> Self {
        self.importers.insert(SECOND, Importer::Ended(Told::NotSuccess));
        self.deleter = Deleter::Ended(Told::NotSuccess);
        self
    }

    /// The same with one import and the deletion.
    fn with_one(mut self) -> Self {
        self.importers.insert(SECOND, Importer::Ended(Told::NotSuccess));
        self
    }

    /// The same where somebody else's blob is in the second store already.
    fn with_foreign(mut self) -> Self {
        self.stores[1].published = Some(Published::Foreign);
        self
    }

    fn wanted(&self) -> &'static [Place] {
        match self.brings {
            Brings::NewData => &[0, 1],
            Brings::Copy => &[1],
        }
    }

    fn image(&self) -> &Image {
        match &*self.entry {
            Entry::Live(image) => image,
            Entry::Deleted(tombstone) => &tombstone.image,
        }
    }

    fn apply(&mut self, change: &Change) -> Outcome {
        match change.apply(Some(&*self.entry)) {
            Ok(next) => {
                self.entry = Rc::new(next);
                Outcome::Done
            }
            Err(rejection) => Outcome::Refused(rejection),
        }
    }

    fn troubled(&self) -> Option<Self> {
        let troubles = self.budget.troubles.checked_sub(1)?;
        let mut world = self.clone();
        world.budget.troubles = troubles;
        Some(world)
    }

    fn metadata(&self, kind: ChangeKind) -> Calls<Outcome> {
        let change = change(kind);
        let mut world = self.clone();
        let outcome = world.apply(&change);
        let mut calls = Calls::one(world, outcome);
        if let Some(troubled) = self.troubled() {
            let (mut applied, mut late) = (troubled.clone(), troubled.clone());
            applied.apply(&change);
            late.late.push(Late::Change(Box::new(change)));
            calls.faults.extend([
                (applied, Outcome::Unknown),
                (late, Outcome::Unknown),
                (troubled, Outcome::Failed),
            ]);
        }
        calls
    }

    fn call(&self, effect: impl Fn(&mut Self) -> Outcome) -> Calls<Outcome> {
        let mut world = self.clone();
        let outcome = effect(&mut world);
        let mut calls = Calls::one(world, outcome);
        if let Some(troubled) = self.troubled() {
            let mut done = troubled.clone();
            effect(&mut done);
            calls
                .faults
                .extend([(done, Outcome::Unknown), (troubled, Outcome::Failed)]);
        }
        calls
    }

    fn publish(&mut self, (actor, place): Part) -> Outcome {
        let store = &mut self.stores[place];
        let Some(bytes) = store.temporaries.get(&actor) else {
            return Outcome::Unknown;
        };
        if store.published.is_some() {
            return Outcome::Unknown;
        }
        assert_eq!(*bytes, Bytes::Whole, "a partial blob was published");
        store.published = Some(Published::By(actor));
        Outcome::Done
    }

    fn discard(&mut self, (actor, place): Part) -> Outcome {
        let store = &mut self.stores[place];
        if store.temporaries.remove(&actor).is_some() && store.published == Some(Published::By(actor)) {
            store.published = None;
        }
        Outcome::Done
    }

    /// One step of the recovery of a part: where it is then, or how it ended.
    fn finishing_step(&self, part: Part, finishing: Finishing) -> Calls<Result<Finishing, RecoveryEnd>> {
        let (actor, place) = part;
        let attempt = attempt(actor);
        let next = move |mut finishing: Finishing, outcome| {
            finishing.recovery.on(outcome);
            match finishing.recovery.step() {
                RecoveryStep::Finished(end) => Err(end),
                _ => Ok(finishing),
            }
        };
        if let Some(outcome) = finishing.forgotten {
            let release = self.metadata(ChangeKind::Release { attempt });
            return release.map(|_, _| next(finishing, outcome));
        }
        if finishing.fenced.is_some() {
            let there = places(self.image()).contains(&place);
            let looked = Finishing {
                fenced: None,
                ..finishing
            };
            let mut calls = Calls::one(self.clone(), next(looked, Brings::looked(there)));
            if let Some(troubled) = self.troubled() {
                calls.faults.push((troubled, next(looked, Outcome::Failed)));
            }
            return calls;
        }
        let knows = move |world: &Self| world.ledger.iter().any(|(of, _)| *of == actor);
        match finishing.recovery.step() {
            RecoveryStep::Fence => {
                let brings = self.brings;
                self.metadata(ChangeKind::Fence { attempt }).map(|_, outcome| {
                    match brings.needs_look(outcome) {
                        true => Ok(Finishing {
                            fenced: Some(outcome),
                            ..finishing
                        }),
                        false => next(finishing, outcome),
                    }
                })
            }
            RecoveryStep::Release if self.ledger.iter().any(|&(of, at)| of == actor && at != place) => {
                let left = Finishing {
                    left: true,
                    ..finishing
                };
                Calls::one(self.clone(), next(left, Outcome::Done))
            }
            RecoveryStep::Release => self
                .metadata(ChangeKind::Release { attempt })
                .map(|_, outcome| next(finishing, outcome)),
            RecoveryStep::Discard => self
                .call(|world| world.discard(part))
                .map(|_, outcome| next(finishing, outcome)),
            RecoveryStep::Settle => {
                let settled = self.call(|world| {
                    world.stores[place].temporaries.remove(&actor);
                    Outcome::Done
                });
                settled.map(|_, outcome| next(finishing, outcome))
            }
            RecoveryStep::Forget => {
                let forgotten = self.call(|world| {
                    world.ledger.remove(&part);
                    Outcome::Done
                });
                forgotten.map(|world, outcome| match finishing.left && !knows(world) {
                    true => Ok(Finishing {
                        forgotten: Some(outcome),
                        ..finishing
                    }),
                    false => next(finishing, outcome),
                })
            }
            RecoveryStep::Finished(end) => Calls::one(self.clone(), Err(end)),
        }
    }

    fn importers_go_on(&self, plain: &mut Vec<Self>, faults: &mut Vec<Self>) {
        for (&actor, importer) in &self.importers {
            match importer {
                Importer::NotStarted if actor == SECOND && self.importers[&FIRST] == Importer::NotStarted => {
                }
                Importer::NotStarted => {
                    let mut world = self.clone();
                    let wanted = self.wanted();
                    // Whoever is still being cleared up after keeps others out.
                    let is_free = !self.ledger.iter().any(|(_, place)| wanted.contains(place));
                    let next = match is_free {
                        true => Importer::Forward {
                            machine: Upload::new(),
                            targets: wanted.iter().map(|&place| target(place)).collect(),
                            at: 0,
                        },
                        false => Importer::Ended(Told::NotSuccess),
                    };
                    world.importers.insert(actor, next);
                    plain.push(world);
                }
                Importer::Forward { machine, targets, at } => {
                    self.forward(actor, *machine, targets, *at, plain, faults)
                }
                Importer::Back {
                    way,
                    targets,
                    doing,
                    told,
                } => self.back(actor, (*way, targets, *doing, *told), plain, faults),
                Importer::Ended(_) => {}
            }
        }
    }

    fn forward(
        &self,
        actor: Actor,
        machine: Upload,
        targets: &[Target],
        at: usize,
        plain: &mut Vec<Self>,
        faults: &mut Vec<Self>,
    ) {
        let go_on = |world: &mut Self, targets: Vec<Target>, outcome: Outcome| {
            let mut machine = machine;
            machine.on(outcome);
            let next = match machine.step() {
                UploadStep::HandOver(way) => Importer::Back {
                    way,
                    targets,
                    doing: None,
                    told: match way == Recovery::SETTLE {
                        true => Told::Success,
                        false => Told::NotSuccess,
                    },
                },
                _ => Importer::Forward {
                    machine,
                    targets,
                    at: 0,
                },
            };
            world.importers.insert(actor, next);
        };
        // The step for one target, and how the whole step ended when it was the last.
        let one = |world: &mut Self, targets: Vec<Target>, end: Option<Outcome>| match end {
            Some(outcome) => go_on(world, targets, outcome),
            None if at + 1 == targets.len() => go_on(world, targets, Outcome::Done),
            None => {
                world.importers.insert(
                    actor,
                    Importer::Forward {
                        machine,
                        targets,
                        at: at + 1,
                    },
                );
            }
        };
        let with = |change: &dyn Fn(&mut Target)| {
            let mut targets = targets.to_vec();
            change(&mut targets[at]);
            targets
        };
        let place = targets[at].place;
        let part = (actor, place);
        let is_partial = self.partial == Partial::Accepted;
        match machine.step() {
            UploadStep::Begin => {
                let begun = self.call(|world| {
                    world.ledger.insert(part);
                    Outcome::Done
                });
                begun.into_worlds(plain, faults, |world, outcome| match outcome {
                    Outcome::Done => one(world, with(&|target| target.held = true), None),
                    outcome => one(world, targets.to_vec(), Some(outcome)),
                });
            }
            UploadStep::Claim => {
                let (claim, task) = (new_claim(actor), "t".to_owned());
                let stores = self.wanted().iter().map(|&place| store_id(place)).collect();
                let kind = match self.brings {
                    Brings::NewData => ChangeKind::Import {
                        claim,
                        staged: None,
                        task,
                        stores,
                    },
                    Brings::Copy => ChangeKind::Copy { claim, task, stores },
                };
                self.metadata(kind).into_worlds(plain, faults, |world, outcome| {
                    go_on(world, targets.to_vec(), outcome);
                });
            }
            UploadStep::Stream => {
                let mut whole = self.clone();
                whole.stores[place].temporaries.insert(actor, Bytes::Whole);
                one(&mut whole, targets.to_vec(), None);
                plain.push(whole);
                // The source may break off at any byte: no trouble of ours, so it needs no budget.
                let mut broken = self.clone();
                broken.stores[place].temporaries.insert(actor, Bytes::Partial);
                go_on(&mut broken, targets.to_vec(), Outcome::Failed);
                plain.push(broken);
                if let Some(mut failed) = self.troubled() {
                    failed.stores[place].temporaries.insert(actor, Bytes::Partial);
                    let left = with(&|target| target.writes = false);
                    let goes_on = is_partial && left.iter().any(|target| target.writes);
                    one(&mut failed, left, (!goes_on).then_some(Outcome::Failed));
                    faults.push(failed);
                }
            }
            UploadStep::CommitBlob => {
                let all_or_nothing = |targets: &[Target]| {
                    let located = targets.iter().filter(|target| target.located).count();
                    let enough = located == targets.len() || (is_partial && located > 0);
                    (!enough).then_some(Outcome::Unknown)
                };
                let is_last = at + 1 == targets.len();
                let done = |world: &mut Self, targets: Vec<Target>| {
                    let end = if is_last { all_or_nothing(&targets) } else { None };
                    one(world, targets, end);
                };
                if !targets[at].writes {
                    let mut world = self.clone();
                    done(&mut world, targets.to_vec());
                    plain.push(world);
                    return;
                }
                let mut calls = self.call(|world| world.publish(part));
                if let Some(mut late) = self.troubled() {
                    late.late.push(Late::Publish(part));
                    calls.faults.push((late, Outcome::Unknown));
                }
                calls.into_worlds(plain, faults, |world, outcome| {
                    let located = outcome == Outcome::Done;
                    done(world, with(&|target| target.located = located));
                });
            }
            UploadStep::CommitMetadata => {
                let located = targets.iter().filter(|target| target.located);
                let locations = located.map(|target| location(target.place)).collect();
                let kind = match self.brings {
                    Brings::NewData => ChangeKind::Activate {
                        content: content(actor),
                        locations,
                        amendments: Box::default(),
                    },
                    Brings::Copy => ChangeKind::Copied {
                        attempt: attempt(actor),
                        locations,
                    },
                };
                self.metadata(kind).into_worlds(plain, faults, |world, outcome| {
                    go_on(world, targets.to_vec(), outcome);
                });
            }
            UploadStep::HandOver(_) => {}
        }
    }

    /// One target after the other.
    fn back(
        &self,
        actor: Actor,
        (way, targets, doing, told): (Recovery, &[Target], Option<(usize, Finishing)>, Told),
        plain: &mut Vec<Self>,
        faults: &mut Vec<Self>,
    ) {
        let Some((at, finishing)) = doing else {
            let mut world = self.clone();
            let next = match targets.iter().position(|target| target.held) {
                Some(at) => {
                    // A store that failed has no location in the record, and recovery finds that out.
                    let own = match way == Recovery::SETTLE && !targets[at].located {
                        true => Recovery::FENCE,
                        false => way,
                    };
                    Importer::Back {
                        way,
                        targets: targets.to_vec(),
                        doing: Some((at, Finishing::new(own))),
                        told,
                    }
                }
                None => Importer::Ended(told),
            };
            world.importers.insert(actor, next);
            plain.push(world);
            return;
        };
        let step = self.finishing_step((actor, targets[at].place), finishing);
        step.into_worlds(plain, faults, |world, told_so| {
            let (targets, doing, told) = match told_so {
                Ok(finishing) => (targets.to_vec(), Some((at, finishing)), told),
                Err(end) => {
                    let mut targets = targets.to_vec();
                    targets[at].held = false;
                    let is_kept = matches!(end, RecoveryEnd::Kept | RecoveryEnd::KeptUnsettled);
                    (targets, None, if is_kept { Told::Success } else { told })
                }
            };
            let next = Importer::Back {
                way,
                targets,
                doing,
                told,
            };
            world.importers.insert(actor, next);
        });
    }

    fn deletion_step(&self, machine: Deletion, expected: Revision, places: &[Place]) -> Calls<Outcome> {
        match machine.step() {
            DeletionStep::Prepare => self.call(|_| Outcome::Done),
            DeletionStep::Begin => self.call(|world| {
                world.deletion = Some((expected, places.to_vec()));
                Outcome::Done
            }),
            DeletionStep::Tombstone => self.metadata(ChangeKind::Delete { expected }),
            DeletionStep::Touch => self.metadata(ChangeKind::Touch { expected }),
            DeletionStep::Bytes => self.call(|world| {
                for &place in places {
                    world.stores[place].published = None;
                }
                Outcome::Done
            }),
            DeletionStep::Forget => self.call(|world| {
                world.deletion = None;
                Outcome::Done
            }),
            DeletionStep::Finished(_) => Calls::one(self.clone(), Outcome::Done),
        }
    }

    fn deleter_goes_on(&self, plain: &mut Vec<Self>, faults: &mut Vec<Self>) {
        match &self.deleter {
            Deleter::NotStarted => {
                let mut world = self.clone();
                let image = self.image();
                let places = places(image);
                let machine = match places.is_empty() {
                    true => Deletion::without_bytes(),
                    false => Deletion::with_bytes(),
                };
                world.deleter = Deleter::Running(machine, image.revision, places);
                plain.push(world);
            }
            Deleter::Running(machine, expected, places) => {
                self.deletion_step(*machine, *expected, places).into_worlds(
                    plain,
                    faults,
                    |world, outcome| {
                        let mut machine = *machine;
                        machine.on(outcome);
                        world.deleter = match machine.step() {
                            DeletionStep::Finished(DeletionEnd::Deleted) => Deleter::Ended(Told::Success),
                            DeletionStep::Finished(_) => Deleter::Ended(Told::NotSuccess),
                            _ => Deleter::Running(machine, *expected, places.clone()),
                        };
                    },
                );
            }
            Deleter::Ended(_) => {}
        }
    }

    /// Whether a task of this process works on the part.
    fn is_held(&self, part: Part) -> bool {
        let (actor, place) = part;
        let is_targets = |targets: &[Target]| {
            let mut own = targets.iter();
            own.any(|target| target.place == place && target.held)
        };
        let by_importer = match self.importers.get(&actor) {
            Some(Importer::Forward { targets, .. } | Importer::Back { targets, .. }) => is_targets(targets),
            _ => false,
        };
        by_importer || self.chores.contains_key(&part)
    }

    fn janitor_goes_on(&self, plain: &mut Vec<Self>, faults: &mut Vec<Self>) {
        for &part in self.ledger.iter().filter(|part| !self.is_held(**part)) {
            let mut world = self.clone();
            world.chores.insert(part, Finishing::new(Recovery::FENCE));
            plain.push(world);
        }
        for (&part, &finishing) in &self.chores {
            self.finishing_step(part, finishing)
                .into_worlds(plain, faults, |world, told| {
                    match told {
                        Ok(finishing) => world.chores.insert(part, finishing),
                        Err(_) => world.chores.remove(&part),
                    };
                });
        }
        let is_deleting =
            matches!(self.deleter, Deleter::Running(machine, ..) if machine.step() != DeletionStep::Prepare);
        match (&self.undeleting, &self.deletion) {
            (None, Some((expected, places))) if !is_deleting => {
                let mut world = self.clone();
                world.undeleting = Some((Deletion::recover(), *expected, places.clone()));
                plain.push(world);
            }
            (Some((machine, expected, places)), _) => {
                self.deletion_step(*machine, *expected, places).into_worlds(
                    plain,
                    faults,
                    |world, outcome| {
                        let mut machine = *machine;
                        machine.on(outcome);
                        world.undeleting = match machine.step() {
                            DeletionStep::Finished(_) => None,
                            _ => Some((machine, *expected, places.clone())),
                        };
                    },
                );
            }
            _ => {}
        }
        self.claims_are_released(plain, faults);
    }

    /// Claims of which the ledger knows nothing.
    fn claims_are_released(&self, plain: &mut Vec<Self>, faults: &mut Vec<Self>) {
        if let Some((actor, is_fenced)) = self.reclaiming {
            let attempt = attempt(actor);
            let kind = match is_fenced {
                false => ChangeKind::Fence { attempt },
                true => ChangeKind::Release { attempt },
            };
            self.metadata(kind).into_worlds(plain, faults, |world, outcome| {
                let goes_on = !is_fenced && outcome == Outcome::Done;
                world.reclaiming = goes_on.then_some((actor, true));
            });
            return;
        }
        let Some(claim) = self.entry.live().and_then(|image| image.claim) else {
            return;
        };
        let known = self
            .ledger
            .iter()
            .any(|(actor, _)| attempt(*actor) == claim.attempt);
        let actor = [FIRST, SECOND]
            .into_iter()
            .find(|actor| attempt(*actor) == claim.attempt);
        if let Some(actor) = actor.filter(|_| !known) {
            let mut world = self.clone();
            world.reclaiming = Some((actor, false));
            plain.push(world);
        }
    }

    fn late_calls_arrive(&self, plain: &mut Vec<Self>) {
        for index in 0..self.late.len() {
            let mut world = self.clone();
            match world.late.remove(index) {
                Late::Change(change) => {
                    world.apply(&change);
                }
                Late::Publish(part) => {
                    world.publish(part);
                }
            }
            plain.push(world);
        }
    }

    fn process_dies(&self, faults: &mut Vec<Self>) {
        let Some(crashes) = self.budget.crashes.checked_sub(1) else {
            return;
        };
        let mut world = self.clone();
        world.budget.crashes = crashes;
        for importer in world.importers.values_mut() {
            let told = match importer {
                Importer::NotStarted | Importer::Ended(_) => continue,
                Importer::Forward { .. } => Told::NotSuccess,
                Importer::Back { told, .. } => *told,
            };
            *importer = Importer::Ended(told);
        }
        if let Deleter::Running(..) = world.deleter {
            world.deleter = Deleter::Ended(Told::NotSuccess);
        }
        world.chores.clear();
        world.undeleting = None;
        world.reclaiming = None;
        // Calls to the local stores die with the process; a change may be on its way in a database elsewhere.
        world.late.retain(|late| matches!(late, Late::Change(_)));
        faults.push(world);
    }

    fn successors(&self) -> (Vec<Self>, Vec<Self>) {
        let (mut plain, mut faults) = (Vec::new(), Vec::new());
        self.importers_go_on(&mut plain, &mut faults);
        self.deleter_goes_on(&mut plain, &mut faults);
        self.janitor_goes_on(&mut plain, &mut faults);
        self.late_calls_arrive(&mut plain);
        self.process_dies(&mut faults);
        (plain, faults)
    }

    fn told_success(&self, actor: Actor) -> bool {
        matches!(
            self.importers[&actor],
            Importer::Back {
                told: Told::Success,
                ..
            } | Importer::Ended(Told::Success)
        )
    }

    fn check_always(&self, foreign: bool) {
        let image = self.image();
        let is_deleted = image.status == Status::Deleted;
        if !is_deleted {
            for place in places(image) {
                let Some(Published::By(actor)) = self.stores[place].published else {
                    panic!("a location without bytes: {self:?}")
                };
                let own = image.content.as_ref().expect("data without content").attempt;
                let is_right = match (self.brings, place) {
                    (Brings::Copy, 1) => actor != ORIGIN,
                    _ => own == attempt(actor),
                };
                assert!(is_right, "data with another attempt's bytes: {self:?}");
            }
            assert_eq!(
                image.status == Status::Active,
                !image.locations.is_empty(),
                "{self:?}"
            );
        }
        for actor in [FIRST, SECOND]
            .into_iter()
            .filter(|actor| self.told_success(*actor))
        {
            let there = places(image);
            let all = self.wanted().iter().all(|place| there.contains(place));
            let any = !there.is_empty();
            let is_kept = is_deleted || all || (self.partial == Partial::Accepted && any);
            assert!(is_kept, "an acknowledged import of {actor:x} was lost: {self:?}");
        }
        if self.deleter == Deleter::Ended(Told::Success) {
            assert!(is_deleted, "an acknowledged deletion was undone: {self:?}");
        }
        assert!(
            !foreign || self.stores[1].published == Some(Published::Foreign),
            "a foreign blob was touched: {self:?}"
        );
    }

    fn check_at_rest(&self) {
        let image = self.image();
        assert!(
            self.ledger.is_empty() && self.deletion.is_none(),
            "the ledger was not emptied: {self:?}"
        );
        assert!(image.claim.is_none(), "a claim was left: {self:?}");
        assert!(!image.status.is_transient(), "the image hangs: {self:?}");
        assert!(
            !image.properties.contains_key(IMPORT_TASK),
            "the image says that it is imported: {self:?}"
        );
        let kept = match image.status {
            Status::Deleted => Vec::new(),
            _ => places(image),
        };
        for (place, store) in self.stores.iter().enumerate() {
            assert!(store.temporaries.is_empty(), "a temporary was left: {self:?}");
            assert!(
                kept.contains(&place) || !matches!(store.published, Some(Published::By(_))),
                "bytes were left: {self:?}"
            );
        }
    }

    fn fingerprint(&self) -> (u64, u64) {
        let mut one = DefaultHasher::new();
        self.hash(&mut one);
        let mut other = DefaultHasher::new();
        (0x05AC_CADE_u32, self).hash(&mut other);
        (one.finish(), other.finish())
    }
}

fn target(place: Place) -> Target {
    Target {
        place,
        held: false,
        writes: true,
        located: false,
    }
}

/// Explores everything that can come of `start`; how many states, and how images ended.
fn explore(name: &str, start: World) -> BTreeSet<String> {
    let foreign = start.stores[1].published == Some(Published::Foreign);
    let mut seen = HashSet::from([start.fingerprint()]);
    let mut ends = BTreeSet::new();
    let mut open = vec![start];
    while let Some(world) = open.pop() {
        world.check_always(foreign);
        let (plain, faults) = world.successors();
        if plain.is_empty() {
            world.check_at_rest();
            let image = world.image();
            ends.insert(format!("{} in {:?}", image.status, places(image)));
        }
        let next = plain.into_iter().chain(faults);
        open.extend(next.filter(|next| seen.insert(next.fingerprint())));
    }
    println!("{name}: {} states, ends: {ends:?}", seen.len());
    ends
}

fn assert_ends(ends: &BTreeSet<String>, wanted: &[&str]) {
    let wanted: BTreeSet<String> = wanted.iter().map(|&end| end.to_owned()).collect();
    assert_eq!(*ends, wanted);
}

#[test]
fn an_import_is_in_all_its_stores_or_in_none() {
    for (crashes, troubles) in [(2, 1), (1, 2)] {
        let start = World::new(Brings::NewData, Partial::Refused, crashes, troubles).alone();
        let ends = explore("all stores", start);
        assert_ends(&ends, &["active in [0, 1]", "queued in []"]);
    }
}

#[test]
fn an_import_that_need_not_be_everywhere_is_where_the_record_says() {
    for (crashes, troubles) in [(2, 1), (1, 2)] {
        let start = World::new(Brings::NewData, Partial::Accepted, crashes, troubles).alone();
        let ends = explore("some stores", start);
        let wanted = [
            "active in [0, 1]",
            "active in [0]",
            "active in [1]",
            "queued in []",
        ];
        assert_ends(&ends, &wanted);
    }
}

#[test]
fn a_foreign_blob_in_one_store_is_not_touched_and_the_other_may_have_the_data() {
    for (partial, wanted) in [
        (Partial::Refused, &["queued in []"][..]),
        (Partial::Accepted, &["active in [0]", "queued in []"]),
    ] {
        let start = World::new(Brings::NewData, partial, 1, 1).alone().with_foreign();
        assert_ends(&explore("a foreign blob", start), wanted);
    }
}

#[test]
fn a_deletion_takes_all_that_an_import_has_brought() {
    for (crashes, troubles) in [(2, 0), (1, 1)] {
        for partial in [Partial::Refused, Partial::Accepted] {
            let start = World::new(Brings::NewData, partial, crashes, troubles).with_one();
            let ends = explore("an import and a deletion", start);
            assert!(ends.iter().any(|end| end.starts_with("deleted")), "{ends:?}");
        }
    }
}

#[test]
fn two_imports_lose_nothing_and_leave_nothing() {
    for (crashes, troubles) in [(1, 0), (0, 1)] {
        let mut start = World::new(Brings::NewData, Partial::Refused, crashes, troubles);
        start.deleter = Deleter::Ended(Told::NotSuccess);
        let ends = explore("two imports", start);
        assert_ends(&ends, &["active in [0, 1]", "queued in []"]);
    }
}

#[test]
fn copies_add_to_what_is_there_and_take_nothing_away() {
    for (crashes, troubles) in [(1, 1), (0, 2), (2, 0)] {
        let mut start = World::new(Brings::Copy, Partial::Refused, crashes, troubles);
        start.deleter = Deleter::Ended(Told::NotSuccess);
        let ends = explore("two copies", start);
        assert_ends(&ends, &["active in [0, 1]", "active in [0]"]);
    }
}

#[test]
fn a_deletion_takes_copies_with_it_whenever_it_comes() {
    for (crashes, troubles) in [(1, 0), (0, 1)] {
        let start = World::new(Brings::Copy, Partial::Refused, crashes, troubles);
        let ends = explore("two copies and a deletion", start);
        assert!(ends.iter().any(|end| end.starts_with("deleted")), "{ends:?}");
    }
}
