//! The model test: every interleaving of two uploads, a deletion and a PATCH of one image, in one scenario with
//! deactivations as well, in others with one upload and removals of locations and deletions that can be undone, with crashes, abandoned tasks, failures, unknown outcomes and late arrivals at every step.
//!
//! The record is the real [`Entry`] under the real [`Change::apply`], and the machines are the real ones; only store and
//! ledger are modelled. A state is a [`World`]; [`World::successors`] is everything that can happen next. The
//! search is exhaustive within the budgets of a scenario, and keeps a fingerprint of each state it has seen.
//!
//! * `world`: what there is, and the calls that change it
//! * `actors`, `movers`: who does what
//! * `deaths`: what goes wrong by itself
//! * `promises`: what must hold
//! * `several`: a world of its own for attempts that bring data to two stores

mod actors;
mod deaths;
mod movers;
mod promises;
mod several;
mod world;

use std::collections::{BTreeSet, HashSet};

use self::world::{Budget, FIRST, Published, SECOND, World};
use crate::image::Entry;

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
        let record = match self.entry.as_deref() {
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
fn deactivation_disturbs_neither_uploads_nor_deletions() {
    for (crashes, troubles) in [(1, 0), (0, 1)] {
        let budget = Budget {
            crashes,
            abandonments: 0,
            troubles,
        };
        let explored = explore(World::new(None, budget).with_operator(2));
        report("with deactivation", &explored);
        let ends = ["deactivated first=ok", "active first=ok", "deleted first=no"];
        for end in ends {
            assert!(
                explored.ends.iter().any(|found| found.starts_with(end)),
                "{:?}",
                explored.ends
            );
        }
    }
}

/// The faults of the scenarios with one upload; more take minutes.
const FAULTS: [(u8, u8, u8); 4] = [(1, 0, 1), (0, 1, 1), (0, 0, 2), (2, 0, 0)];

fn start((crashes, abandonments, troubles): (u8, u8, u8)) -> World {
    let budget = Budget {
        crashes,
        abandonments,
        troubles,
    };
    World::new(None, budget).with_one_upload()
}

#[test]
fn a_location_that_is_removed_takes_its_data_with_it_and_no_more() {
    for faults in FAULTS {
        let explored = explore(start(faults).with_mover());
        report("removing a location", &explored);
        for end in ["active first=ok", "deleted first=ok"] {
            assert!(explored.ends.iter().any(|found| found.starts_with(end)));
        }
    }
}

#[test]
fn a_deleted_image_is_restored_whole_or_not_at_all() {
    for faults in FAULTS {
        let explored = explore(start(faults).with_restorer(2));
        report("restoring", &explored);
        for end in ["active first=ok", "deleted first=ok"] {
            assert!(explored.ends.iter().any(|found| found.starts_with(end)));
        }
    }
}

#[test]
fn removals_and_restorations_disturb_each_other_in_nothing() {
    for faults in [(1, 0, 0), (0, 1, 0), (0, 0, 1)] {
        report(
            "removing and restoring",
            &explore(start(faults).with_mover().with_restorer(1)),
        );
    }
}

#[test]
#[ignore = "explores millions of states: minutes; run by `make test-model`"]
fn removals_and_restorations_disturb_each_other_in_nothing_amid_more_trouble() {
    for faults in FAULTS {
        report(
            "removing and restoring",
            &explore(start(faults).with_mover().with_restorer(1)),
        );
    }
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
