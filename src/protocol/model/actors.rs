//! Who does what in the model, one step at a time.

use super::{
    super::{
        Deletion, DeletionEnd, DeletionStep, Outcome, Recovery, RecoveryEnd, RecoveryStep, Removal,
        RemovalStep, Upload, UploadStep,
    },
    world::{
        Actor, Bytes, Calls, Deleter, FIRST, Janitor, Late, LedgerEntry, Mover, Operator, Patcher, SECOND,
        Scrubber, Told, Uploader, World, attempt, change, claim, commit, deletion, removal, scrub,
    },
};
use crate::image::{ChangeKind, Entry, Image, Rejection, Revision, Status};

impl World {
    /// Everything that can happen next, without what needs a budget (first) and with it (second).
    pub(super) fn successors(&self) -> (Vec<Self>, Vec<Self>) {
        let (mut plain, mut faults) = (Vec::new(), Vec::new());
        self.uploads_go_on(&mut plain, &mut faults);
        self.deleter_goes_on(&mut plain, &mut faults);
        self.patcher_goes_on(&mut plain);
        self.operator_goes_on(&mut plain, &mut faults);
        self.mover_goes_on(&mut plain, &mut faults);
        self.restorer_goes_on(&mut plain, &mut faults);
        self.scrubber_goes_on(&mut plain, &mut faults);
        self.janitor_goes_on(&mut plain, &mut faults);
        self.late_calls_arrive(&mut plain);
        self.tasks_and_process_die(&mut faults);
        (plain, faults)
    }

    pub(super) fn uploads_go_on(&self, plain: &mut Vec<Self>, faults: &mut Vec<Self>) {
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

    pub(super) fn upload_step(&self, actor: Actor, machine: Upload) -> Calls {
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

    pub(super) fn recovery_step(&self, actor: Actor, recovery: Recovery) -> Calls {
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

    pub(super) fn forget(&self, actor: Actor) -> Calls {
        self.call(|world| {
            world.ledger.remove(&actor);
            Outcome::Done
        })
    }

    pub(super) fn deletion_step(&self, actor: Actor, machine: Deletion, expected: Revision) -> Calls {
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

    pub(super) fn deleter_goes_on(&self, plain: &mut Vec<Self>, faults: &mut Vec<Self>) {
        match self.deleter {
            Deleter::NotStarted { tries } => {
                let mut world = self.clone();
                world.deleter = match self.entry.as_deref().and_then(Entry::live) {
                    Some(image) => {
                        let own = image
                            .locations
                            .iter()
                            .filter(|location| location.is_own_of(image.id));
                        let has_bytes = own.count() + image.retired.len() > 0;
                        let machine = match has_bytes && !self.is_deferred() {
                            true => Deletion::with_bytes(),
                            false => Deletion::without_bytes(),
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
                let calls = match machine.step() {
                    DeletionStep::Tombstone if machine == Deletion::without_bytes() && self.defers => {
                        // The record tells whether there is anything to keep, as it did when it was read.
                        match self.is_deferred() {
                            true => self.metadata(&change(ChangeKind::Defer { expected })),
                            false => self.metadata(&change(ChangeKind::Delete { expected })),
                        }
                    }
                    _ => self.deletion_step(deletion(tries), machine, expected),
                };
                calls.into_worlds(plain, faults, |world, outcome| {
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

    /// Whether the data of the image is kept when it is deleted now.
    fn is_deferred(&self) -> bool {
        let image = self.entry.as_deref().and_then(Entry::live);
        self.defers
            && image.is_some_and(|image| {
                !image.locations.is_empty() && image.status.may_become(Status::PendingDelete)
            })
    }

    pub(super) fn patcher_goes_on(&self, plain: &mut Vec<Self>) {
        let mut world = self.clone();
        match &self.patcher {
            Patcher::NotStarted { tries } => {
                world.patcher = match self.entry.as_deref().and_then(Entry::live) {
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

    pub(super) fn operator_goes_on(&self, plain: &mut Vec<Self>, faults: &mut Vec<Self>) {
        match self.operator {
            Operator::Waiting { tries } => {
                let Some(tries) = tries.checked_sub(1) else { return };
                let Some(image) = self.entry.as_deref().and_then(Entry::live) else {
                    return;
                };
                // Nothing comes of the other statuses.
                if matches!(image.status, Status::Active | Status::Deactivated) {
                    let mut world = self.clone();
                    world.operator = Operator::Read {
                        tries,
                        expected: image.revision,
                        status: image.status,
                    };
                    plain.push(world);
                }
            }
            Operator::Read {
                tries,
                expected,
                status,
            } => {
                let kind = match status {
                    Status::Active => ChangeKind::Deactivate { expected },
                    _ => ChangeKind::Reactivate { expected },
                };
                self.metadata(&change(kind))
                    .into_worlds(plain, faults, |world, _| {
                        world.operator = Operator::Waiting { tries };
                    });
            }
        }
    }

    /// Whether a task of this process still works on what the ledger has under this actor.
    pub(super) fn is_alive(&self, actor: Actor) -> bool {
        let uploads = matches!(
            self.uploads.get(&actor),
            Some(Uploader::Forward(_) | Uploader::Back(..))
        );
        uploads
            || matches!(self.deleter, Deleter::Running { tries, .. } if deletion(tries) == actor)
            || matches!(self.mover, Mover::Removing(..) if removal() == actor)
            || matches!(self.scrubber, Scrubber::Running { begun, .. } if scrub(begun) == actor)
    }

    pub(super) fn janitor_goes_on(&self, plain: &mut Vec<Self>, faults: &mut Vec<Self>) {
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
                        LedgerEntry::Removal { expected } => {
                            Janitor::Removal(actor, Removal::recover(), expected)
                        }
                    };
                    plain.push(world);
                }
                // A claim that came so late that the ledger has forgotten its attempt.
                for actor in [FIRST, SECOND] {
                    let claims = self
                        .entry
                        .as_deref()
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
            Janitor::Removal(actor, machine, expected) => {
                // Recovery never comes to the change again.
                let nothing = ChangeKind::Touch { expected };
                self.removal_step(actor, machine, &nothing, expected).into_worlds(
                    plain,
                    faults,
                    |world, outcome| {
                        let mut machine = machine;
                        machine.on(outcome);
                        world.janitor = match machine.step() {
                            RemovalStep::Finished(_) => Janitor::Idle,
                            _ => Janitor::Removal(actor, machine, expected),
                        };
                    },
                );
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
}
