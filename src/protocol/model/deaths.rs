//! What goes wrong in the model by itself: calls that arrive late, tasks and processes that die.

use super::{
    super::{RemovalStep, UploadStep},
    world::{
        Actor, Budget, Deleter, FIRST, Janitor, Late, Mover, Operator, Patcher, Restorer, SECOND, Scrubber,
        Told, Uploader, World, change, claim, commit,
    },
};

impl World {
    pub(super) fn late_calls_arrive(&self, plain: &mut Vec<Self>) {
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

    pub(super) fn tasks_and_process_die(&self, faults: &mut Vec<Self>) {
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
            if let Mover::Removing(machine, retire, _) = &self.mover {
                let mut world = Self {
                    budget,
                    mover: Mover::Ended(Told::NotSuccess),
                    ..self.clone()
                };
                if machine.step() == RemovalStep::Retire {
                    world
                        .late
                        .push(Late::Change(Box::new(change((**retire).clone()))));
                }
                faults.push(world);
            }
            if let Scrubber::Running { begun, .. } = self.scrubber {
                faults.push(Self {
                    budget,
                    scrubber: Scrubber::Idle { begun },
                    ..self.clone()
                });
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
            if let Operator::Read { tries, .. } = world.operator {
                world.operator = Operator::Waiting { tries };
            }
            if !matches!(world.mover, Mover::Absent | Mover::Waiting) {
                world.mover = Mover::Ended(Told::NotSuccess);
            }
            if let Restorer::Read { tries, .. } = world.restorer {
                world.restorer = Restorer::Waiting { tries };
            }
            if let Scrubber::Running { begun, .. } = world.scrubber {
                world.scrubber = Scrubber::Idle { begun };
            }
            world.janitor = Janitor::Idle;
            // Calls to the local store die with the process; a change may be on its way in a database elsewhere.
            world.late.retain(|late| matches!(late, Late::Change(_)));
            faults.push(world);
        }
    }

    pub(super) fn abandon(&mut self, actor: Actor) {
        let told = match self.uploads.get(&actor) {
            Some(Uploader::Back(_, told)) => *told,
            Some(Uploader::Forward(_)) => Told::NotSuccess,
            _ => return,
        };
        self.uploads.insert(actor, Uploader::Ended(told));
    }
}
