//! The world of the model: what there is, and the calls that change it, each with everything that can come of it.

use std::{collections::BTreeMap, rc::Rc};

use super::super::{Deletion, Outcome, Recovery, Removal, Upload};
use crate::image::{
    AttemptId, Change, ChangeKind, Claim, ClaimPhase, Content, Entry, Image, ImageId, Location, NodeId,
    RemovalId, Revision, Status, Timestamp,
};

pub(super) const IMAGE: ImageId = ImageId::from_bytes([1; 16]);
pub(super) const NODE: NodeId = NodeId::from_bytes([2; 16]);
pub(super) const AT: Timestamp = Timestamp::from_micros(1);

/// Which of the actors.
pub(super) type Actor = u8;
pub(super) const FIRST: Actor = 0xA;
pub(super) const SECOND: Actor = 0xB;

/// Every try to delete is an operation of its own in the ledger.
pub(super) const fn deletion(tries: u8) -> Actor {
    0xD0 + tries
}

/// Every scrub, too.
pub(super) const fn scrub(begun: u8) -> Actor {
    0xC0 + begun
}

/// And the one removal of a location.
pub(super) const fn removal() -> Actor {
    0xE0
}

pub(super) const fn removal_id(actor: Actor) -> RemovalId {
    RemovalId::from_bytes([actor; 16])
}

pub(super) const fn attempt(actor: Actor) -> AttemptId {
    AttemptId::from_bytes([actor; 16])
}

/// What may go wrong in a scenario, in all.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Budget {
    /// The process dies: every task, every call under way.
    pub(super) crashes: u8,
    /// A task is dropped between two steps, or while a call is under way.
    pub(super) abandonments: u8,
    /// A call fails, or its outcome is unknown, or it takes effect only later.
    pub(super) troubles: u8,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct World {
    /// Shared between worlds, which differ mostly in other things.
    pub(super) entry: Option<Rc<Entry>>,
    pub(super) store: Store,
    pub(super) ledger: BTreeMap<Actor, LedgerEntry>,
    pub(super) late: Vec<Late>,
    pub(super) uploads: BTreeMap<Actor, Uploader>,
    pub(super) deleter: Deleter,
    pub(super) patcher: Patcher,
    pub(super) operator: Operator,
    /// Whether the deleter keeps the data for a time.
    pub(super) defers: bool,
    pub(super) mover: Mover,
    pub(super) restorer: Restorer,
    pub(super) scrubber: Scrubber,
    pub(super) janitor: Janitor,
    pub(super) budget: Budget,
}

/// One store and one blob name in it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Store {
    /// Temporaries, with whether all bytes are in them.
    pub(super) temporaries: BTreeMap<Actor, Bytes>,
    pub(super) published: Option<Published>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Bytes {
    Partial,
    Whole,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Published {
    By(Actor),
    /// By somebody else, before we came.
    Foreign,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum LedgerEntry {
    Upload,
    Deletion { expected: Revision },
    Removal { expected: Revision },
}

/// A call whose caller has stopped waiting for it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum Late {
    Change(Box<Change>),
    Publish(Actor),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Uploader {
    NotStarted,
    Forward(Upload),
    /// The uploader's own recovery, with whether the client has been told that the upload succeeded.
    Back(Recovery, Told),
    Ended(Told),
}

/// What the client knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Told {
    Success,
    NotSuccess,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Deleter {
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
pub(super) enum Patcher {
    NotStarted { tries: u8 },
    Read { tries: u8, image: Box<Image> },
    Ended(Told),
}

/// Deactivates the image, and reactivates it, each at most so often as there are tries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Operator {
    Waiting {
        tries: u8,
    },
    /// Has read the record, and not yet changed it.
    Read {
        tries: u8,
        expected: Revision,
        status: Status,
    },
}

/// Adds a location, removes the first one with its data, and tries to take it back.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum Mover {
    Absent,
    Waiting,
    Added,
    Removing(Removal, Box<ChangeKind>, Revision),
    Removed,
    Returning(Box<ChangeKind>),
    Ended(Told),
}

/// Restores the image, at most so often as there are tries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Restorer {
    Waiting { tries: u8 },
    Read { tries: u8, expected: Revision },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Scrubber {
    Idle {
        begun: u8,
    },
    Running {
        begun: u8,
        machine: Deletion,
        expected: Revision,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Janitor {
    Idle,
    Upload(Actor, Recovery),
    Deletion(Actor, Deletion, Revision),
    Removal(Actor, Removal, Revision),
}

/// Where the image's own data is.
pub(super) fn own() -> Location {
    location(&format!("memory:///{IMAGE}"))
}

/// Data that is nobody's.
pub(super) fn foreign() -> Location {
    location("http://web/data")
}

fn location(url: &str) -> Location {
    Location {
        store: None,
        url: url.to_owned(),
        metadata: BTreeMap::new(),
    }
}

pub(super) fn queued() -> Image {
    Image {
        disk_format: Some("raw".into()),
        container_format: Some("bare".into()),
        ..Image::new(IMAGE, AT)
    }
}

pub(super) fn change(kind: ChangeKind) -> Change {
    Change {
        id: IMAGE,
        at: AT,
        kind,
    }
}

pub(super) fn claim(actor: Actor) -> Change {
    change(ChangeKind::Claim(Claim {
        attempt: attempt(actor),
        node: NODE,
        expires_at: AT,
        phase: ClaimPhase::Open,
    }))
}

pub(super) fn commit(actor: Actor) -> Change {
    let content = Content {
        attempt: attempt(actor),
        size: 1,
        virtual_size: None,
        checksum: None,
        hash_algorithm: None,
        hash_value: None,
    };
    let location = own();
    change(ChangeKind::Commit { content, location })
}

impl World {
    pub(super) fn new(published: Option<Published>, budget: Budget) -> Self {
        Self {
            entry: Some(Rc::new(Entry::Live(queued()))),
            store: Store {
                temporaries: BTreeMap::new(),
                published,
            },
            ledger: BTreeMap::new(),
            late: Vec::new(),
            uploads: [(FIRST, Uploader::NotStarted), (SECOND, Uploader::NotStarted)].into(),
            deleter: Deleter::NotStarted { tries: 2 },
            patcher: Patcher::NotStarted { tries: 2 },
            operator: Operator::Waiting { tries: 0 },
            defers: false,
            mover: Mover::Absent,
            restorer: Restorer::Waiting { tries: 0 },
            scrubber: Scrubber::Idle { begun: 0 },
            janitor: Janitor::Idle,
            budget,
        }
    }

    /// The same with somebody who deactivates and reactivates the image.
    pub(super) fn with_operator(self, tries: u8) -> Self {
        Self {
            operator: Operator::Waiting { tries },
            ..self
        }
    }

    /// The same with one upload, and nobody who renames the image.
    pub(super) fn with_one_upload(mut self) -> Self {
        self.uploads.insert(SECOND, Uploader::Ended(Told::NotSuccess));
        self.patcher = Patcher::Ended(Told::NotSuccess);
        self
    }

    /// The same with somebody who moves the image's data.
    pub(super) fn with_mover(self) -> Self {
        Self {
            mover: Mover::Waiting,
            ..self
        }
    }

    /// The same where deletions can be undone for a time, and somebody who does.
    pub(super) fn with_restorer(self, tries: u8) -> Self {
        Self {
            defers: true,
            restorer: Restorer::Waiting { tries },
            ..self
        }
    }

    pub(super) fn apply(&mut self, change: &Change) -> Outcome {
        match change.apply(self.entry.as_deref()) {
            Ok(next) => {
                self.entry = Some(Rc::new(next));
                Outcome::Done
            }
            Err(rejection) => Outcome::Refused(rejection),
        }
    }

    pub(super) fn troubled(&self) -> Option<Self> {
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
    pub(super) fn metadata(&self, change: &Change) -> Calls {
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
    pub(super) fn call(&self, effect: impl Fn(&mut Self) -> Outcome) -> Calls {
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

    pub(super) fn publish(&mut self, actor: Actor) -> Outcome {
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

    pub(super) fn discard(&mut self, actor: Actor) -> Outcome {
        if self.store.temporaries.remove(&actor).is_some()
            && self.store.published == Some(Published::By(actor))
        {
            self.store.published = None;
        }
        Outcome::Done
    }

    pub(super) fn delete_blob(&mut self) -> Outcome {
        self.store.published = None;
        Outcome::Done
    }
}

/// What can come of a call: the world after it, and what its caller is told.
#[derive(Default)]
pub(super) struct Calls {
    pub(super) plain: Vec<(World, Outcome)>,
    pub(super) faults: Vec<(World, Outcome)>,
}

impl Calls {
    pub(super) fn into_worlds(
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
