//! Who changes locations in the model, who restores deleted images, and who deletes them for good.

use super::{
    super::{Deletion, DeletionStep, Outcome, Removal, RemovalEnd, RemovalStep},
    world::{
        Actor, Calls, LedgerEntry, Mover, Restorer, Scrubber, Told, World, change, foreign, own, removal,
        removal_id, scrub,
    },
};
use crate::image::{ChangeKind, Entry, Image, Location, Rejection, Revision, Status};

/// So often the scrubber begins.
const SCRUBS: u8 = 3;

/// The image with these locations.
fn with(image: &Image, locations: Vec<Location>) -> Box<Image> {
    Box::new(Image {
        locations,
        ..image.clone()
    })
}

impl World {
    /// What puts the image's locations where they are to be, from the record at this revision.
    pub(super) fn relocation(&self, image: &Image, locations: Vec<Location>) -> ChangeKind {
        ChangeKind::Relocate {
            expected: image.revision,
            image: with(image, locations),
            content: None,
            removal: removal_id(removal()),
        }
    }

    fn live(&self) -> Option<&Image> {
        self.entry.as_deref().and_then(Entry::live)
    }

    /// Adds a location of data that is nobody's, removes the own one with its data, and tries to take it back.
    pub(super) fn mover_goes_on(&self, plain: &mut Vec<Self>, faults: &mut Vec<Self>) {
        let mut world = self.clone();
        match &self.mover {
            Mover::Absent | Mover::Ended(_) => {}
            Mover::Waiting => {
                let Some(image) = self.live().filter(|image| image.status == Status::Active) else {
                    return;
                };
                let added = self.relocation(image, vec![own(), foreign()]);
                world.apply(&change(added));
                world.mover = Mover::Added;
                plain.push(world);
            }
            Mover::Added => {
                world.mover = match self.live() {
                    Some(image) if image.status == Status::Active && image.locations.len() == 2 => {
                        let change = self.relocation(image, vec![foreign()]);
                        Mover::Removing(Removal::new(), Box::new(change), image.revision)
                    }
                    _ => Mover::Ended(Told::NotSuccess),
                };
                plain.push(world);
            }
            Mover::Removing(machine, change, expected) => {
                let calls = self.removal_step(removal(), *machine, change, *expected);
                calls.into_worlds(plain, faults, |world, outcome| {
                    let mut machine = *machine;
                    machine.on(outcome);
                    world.mover = match machine.step() {
                        RemovalStep::Finished(RemovalEnd::Removed) => Mover::Removed,
                        RemovalStep::Finished(_) => Mover::Ended(Told::NotSuccess),
                        _ => Mover::Removing(machine, change.clone(), *expected),
                    };
                });
            }
            Mover::Removed => {
                // The store is asked first: nothing is added where nothing is.
                world.mover = match self.live() {
                    Some(image) if image.status == Status::Active && self.store.published.is_some() => {
                        let change = self.relocation(image, vec![own(), foreign()]);
                        Mover::Returning(Box::new(change))
                    }
                    _ => Mover::Ended(Told::Success),
                };
                plain.push(world);
            }
            Mover::Returning(kind) => {
                world.apply(&change((**kind).clone()));
                world.mover = Mover::Ended(Told::Success);
                plain.push(world);
            }
        }
    }

    pub(super) fn removal_step(
        &self,
        actor: Actor,
        machine: Removal,
        retire: &ChangeKind,
        expected: Revision,
    ) -> Calls {
        let removal = removal_id(actor);
        match machine.step() {
            RemovalStep::Prepare => self.call(|_| Outcome::Done),
            RemovalStep::Begin => self.call(|world| {
                world.ledger.insert(actor, LedgerEntry::Removal { expected });
                Outcome::Done
            }),
            RemovalStep::Retire => self.metadata(&change(retire.clone())),
            RemovalStep::Touch => self.metadata(&change(ChangeKind::Touch { expected })),
            RemovalStep::Look => self.call(|world| {
                let image = match world.entry.as_deref() {
                    Some(Entry::Live(image)) => image,
                    Some(Entry::Deleted(tombstone)) => &tombstone.image,
                    None => return Outcome::Refused(Rejection::NotFound),
                };
                match image.retired.iter().any(|retired| retired.removal == removal) {
                    true => Outcome::Done,
                    false => Outcome::Refused(Rejection::NotRetired),
                }
            }),
            RemovalStep::Bytes => self.call(Self::delete_blob),
            RemovalStep::Erase => self.metadata(&change(ChangeKind::Erase { removal })),
            RemovalStep::Forget => self.forget(actor),
            RemovalStep::Finished(_) => Calls::default(),
        }
    }

    /// Restores the image whenever it waits to be deleted.
    pub(super) fn restorer_goes_on(&self, plain: &mut Vec<Self>, faults: &mut Vec<Self>) {
        match self.restorer {
            Restorer::Waiting { tries } => {
                let Some(tries) = tries.checked_sub(1) else { return };
                if let Some(Entry::Deleted(tombstone)) = self.entry.as_deref()
                    && tombstone.is_pending()
                {
                    let mut world = self.clone();
                    world.restorer = Restorer::Read {
                        tries,
                        expected: tombstone.image.revision,
                    };
                    plain.push(world);
                }
            }
            Restorer::Read { tries, expected } => {
                let calls = self.metadata(&change(ChangeKind::Restore { expected }));
                calls.into_worlds(plain, faults, |world, _| {
                    world.restorer = Restorer::Waiting { tries };
                });
            }
        }
    }

    /// Deletes for good what waits to be: its time has always come.
    pub(super) fn scrubber_goes_on(&self, plain: &mut Vec<Self>, faults: &mut Vec<Self>) {
        match self.scrubber {
            Scrubber::Idle { begun } => {
                let Some(Entry::Deleted(tombstone)) = self.entry.as_deref() else {
                    return;
                };
                if !tombstone.is_pending() || begun >= SCRUBS {
                    return;
                }
                let mut world = self.clone();
                world.scrubber = Scrubber::Running {
                    begun: begun + 1,
                    machine: Deletion::with_bytes(),
                    expected: tombstone.image.revision,
                };
                plain.push(world);
            }
            Scrubber::Running {
                begun,
                machine,
                expected,
            } => {
                self.deletion_step(scrub(begun), machine, expected).into_worlds(
                    plain,
                    faults,
                    |world, outcome| {
                        let mut machine = machine;
                        machine.on(outcome);
                        world.scrubber = match machine.step() {
                            DeletionStep::Finished(_) => Scrubber::Idle { begun },
                            _ => Scrubber::Running {
                                begun,
                                machine,
                                expected,
                            },
                        };
                    },
                );
            }
        }
    }

    /// Whether the scrubber will not begin again.
    pub(super) fn scrubber_is_tired(&self) -> bool {
        matches!(self.scrubber, Scrubber::Idle { begun } if begun >= SCRUBS)
    }
}
