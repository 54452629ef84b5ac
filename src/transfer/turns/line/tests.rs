use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

fn tenant(number: u8) -> Tenant {
    Tenant::new(&number.to_string())
}

fn line(places: usize, per_tenant: usize, waiting: usize) -> Line<u32> {
    Line::new(Bounds {
        places,
        per_tenant,
        waiting,
    })
}

/// Who gets a place when so many are given back by `by`.
fn served(line: &mut Line<u32>, by: &Tenant) -> Vec<u32> {
    line.give_back(by);
    std::iter::from_fn(|| line.next().map(|(_, waiter)| waiter)).collect()
}

#[test]
fn one_place_goes_round_among_tenants_and_in_order_within_each() {
    let (a, b) = (tenant(1), tenant(2));
    let mut line = line(1, usize::MAX, 100);
    assert_eq!(line.enter(&a, || 0), Entry::Placed);
    for waiter in 1..=3 {
        line.enter(&a, || waiter);
    }
    line.enter(&b, || 10);
    line.enter(&b, || 11);
    // b has gone without for longer than a, which has just had a place.
    assert_eq!(served(&mut line, &a), [10]);
    assert_eq!(served(&mut line, &b), [1]);
    assert_eq!(served(&mut line, &a), [11]);
    assert_eq!(served(&mut line, &b), [2]);
    assert_eq!(served(&mut line, &a), [3]);
    assert!(served(&mut line, &a).is_empty());
    assert_eq!(line.census(), (0, 0, 0));
}

#[test]
fn one_tenant_alone_never_takes_every_place() {
    for (places, taken) in [(1, 1), (2, 1), (4, 3), (8, 6), (32, 25), (256, 204)] {
        let mut line = line(places, usize::MAX, 10_000);
        let all = (0..1000).filter(|_| line.enter(&tenant(1), || 0) == Entry::Placed);
        assert_eq!(all.count(), taken, "of {places}");
        assert_eq!(
            line.limit_on(&tenant(1)),
            if places == 1 { Limit::Total } else { Limit::Tenant }
        );
        if places > 1 {
            assert_eq!(line.enter(&tenant(2), || 0), Entry::Placed, "of {places}");
        }
    }
}

#[test]
fn without_a_limit_on_the_total_only_that_of_the_tenant_holds() {
    let mut line = line(usize::MAX, 2, 100);
    for who in 1..=50 {
        assert_eq!(line.enter(&tenant(who), || 0), Entry::Placed);
        assert_eq!(line.enter(&tenant(who), || 0), Entry::Placed);
        assert!(matches!(line.enter(&tenant(who), || 0), Entry::Waits { .. }));
        assert_eq!(line.limit_on(&tenant(who)), Limit::Tenant);
    }
}

#[test]
fn a_full_line_makes_room_at_the_cost_of_who_fills_it() {
    let (a, b) = (tenant(1), tenant(2));
    let mut line = line(1, usize::MAX, 3);
    line.enter(&a, || 0);
    for waiter in 1..=3 {
        line.enter(&a, || waiter);
    }
    assert_eq!(line.enter(&a, || 4), Entry::Full);
    let Entry::Waits { pushed_out, .. } = line.enter(&b, || 10) else {
        panic!("b cannot wait");
    };
    assert_eq!(pushed_out, Some(3));
    // Now two of a's and one of b's wait: pushing another one out would only turn it round.
    assert_eq!(line.enter(&b, || 11), Entry::Full);
    assert_eq!(line.limit_on(&b), Limit::Total);
    assert_eq!(line.waiting(), 3);
}

#[test]
fn who_leaves_the_line_leaves_nothing_behind() {
    let mut line = line(1, 1, 10);
    line.enter(&tenant(1), || 0);
    let Entry::Waits { ticket, .. } = line.enter(&tenant(2), || 1) else {
        panic!("not waiting");
    };
    assert!(line.cancel(&tenant(2), ticket));
    assert!(!line.cancel(&tenant(2), ticket));
    assert_eq!(line.census(), (1, 1, 0));
    assert!(served(&mut line, &tenant(1)).is_empty());
    // What nobody has cannot be given back.
    line.give_back(&tenant(1));
    assert_eq!(line.census(), (0, 0, 0));
}

#[derive(Debug, Clone)]
enum Step {
    Enter(u8),
    /// The so-many-th place that is taken.
    GiveBack(usize),
    /// The so-many-th who waits.
    Cancel(usize),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        3 => (0_u8..5).prop_map(Step::Enter),
        2 => any::<usize>().prop_map(Step::GiveBack),
        1 => any::<usize>().prop_map(Step::Cancel),
    ];
    proptest::collection::vec(step, 0..200)
}

/// The same, told by lists only.
#[derive(Default)]
struct Model {
    /// Whose places are taken.
    taken: Vec<u8>,
    /// Who waits, in the order in which they came.
    waiting: Vec<(u8, u32, Ticket)>,
    /// By whom a tenant that holds nothing was overtaken since it began to wait, and how often.
    overtaken: BTreeMap<u8, BTreeMap<u8, u32>>,
}

impl Model {
    fn holds(&self, who: u8) -> usize {
        self.taken.iter().filter(|&&other| other == who).count()
    }

    fn placed(&mut self, who: u8) {
        self.overtaken.remove(&who);
        for (other, by) in &mut self.overtaken {
            if !self.taken.contains(other) {
                *by.entry(who).or_default() += 1;
            }
        }
        self.taken.push(who);
    }

    fn may_take(&self, who: u8, places: usize, per_tenant: usize) -> bool {
        let (holds, left) = (self.holds(who), places - self.taken.len());
        left > 0 && holds < per_tenant && (holds == 0 || holds < (left - 1) * SHARE)
    }
}

proptest! {
    #[test]
    fn places_are_given_as_the_rules_say(
        steps in steps(), places in 1_usize..6, per_tenant in 1_usize..4, longest in 0_usize..8,
    ) {
        let mut line = line(places, per_tenant, longest);
        let mut model = Model::default();
        for (number, step) in steps.into_iter().enumerate() {
            let number = number as u32;
            match step {
                Step::Enter(who) => match line.enter(&tenant(who), || number) {
                    Entry::Placed => {
                        prop_assert!(model.may_take(who, places, per_tenant));
                        prop_assert!(model.waiting.iter().all(|&(other, ..)| other != who), "overtook its own");
                        model.placed(who);
                    }
                    Entry::Waits { ticket, pushed_out } => {
                        if let Some(out) = pushed_out {
                            let at = model.waiting.iter().position(|&(_, waiter, _)| waiter == out).unwrap();
                            let (from, ..) = model.waiting.remove(at);
                            prop_assert!(model.waiting[at..].iter().all(|&(other, ..)| other != from), "not the last");
                            let counts = |of| model.waiting.iter().filter(|&&(other, ..)| other == of).count();
                            prop_assert!(counts(from) >= counts(who), "a shorter queue gave way to a longer one");
                        }
                        model.waiting.push((who, number, ticket));
                        if model.holds(who) == 0 {
                            model.overtaken.entry(who).or_default();
                        }
                    }
                    Entry::Full => prop_assert_eq!(model.waiting.len(), longest),
                },
                Step::GiveBack(at) if !model.taken.is_empty() => {
                    let who = model.taken.remove(at % model.taken.len());
                    line.give_back(&tenant(who));
                }
                Step::Cancel(at) if !model.waiting.is_empty() => {
                    let (who, _, ticket) = model.waiting.remove(at % model.waiting.len());
                    prop_assert!(line.cancel(&tenant(who), ticket));
                }
                Step::GiveBack(_) | Step::Cancel(_) => {}
            }
            while let Some((who, waiter)) = line.next() {
                let who: u8 = who.as_str().parse().unwrap();
                prop_assert!(model.may_take(who, places, per_tenant));
                let first = model.waiting.iter().position(|&(other, ..)| other == who).unwrap();
                prop_assert_eq!(model.waiting[first].1, waiter, "not the first of its tenant");
                let others = model.waiting.iter().map(|&(other, ..)| other);
                let mut may = others.filter(|&other| model.may_take(other, places, per_tenant));
                prop_assert!(may.all(|other| model.holds(other) >= model.holds(who)), "one with fewer waits");
                model.waiting.remove(first);
                model.placed(who);
            }
            model.overtaken.retain(|who, _| model.waiting.iter().any(|(other, ..)| other == who));
            for by in model.overtaken.values() {
                prop_assert!(by.values().all(|&times| times <= 1), "starved: {:?}", model.overtaken);
            }
            prop_assert!(model.waiting.iter().all(|&(who, ..)| !model.may_take(who, places, per_tenant)));
            prop_assert!(model.waiting.len() <= longest);
            let mut known: Vec<u8> = model.taken.clone();
            known.extend(model.waiting.iter().map(|&(who, ..)| who));
            known.sort_unstable();
            known.dedup();
            prop_assert_eq!(line.census(), (known.len(), model.taken.len(), model.waiting.len()));
        }
    }
}
