//! Pieces from anywhere in an image, as a hypervisor or a resumed download asks for them.

use super::{
    downloads::{delete, images, of},
    scenario,
};
use crate::{
    bench::{Bench, at_once},
    case::{Case, Scenario, Unit},
    contender::{Contender, Stored},
    harness::http::Receive,
    measure::{Outcome, Sample, measure},
};
use std::io;

const RANGE: u64 = 1 << 20;

pub(super) fn run(bench: &Bench) -> io::Result<Scenario> {
    let mut result = scenario("ranges", "Ranges of 1 MiB at random places of a cached image.");
    let images = images(bench, bench.options.pick(1 << 30, 64 << 20))?;
    let total = bench.options.pick(1024, 64);
    for count in [1, 8] {
        let mut case = Case::new(format!("{count} at once"), Unit::Bytes);
        for round in bench.rounds(|_| true) {
            for contender in round {
                if let Some(image) = of(&images, contender) {
                    case.record(contender.kind, turn(contender, image, count, total));
                }
            }
        }
        result.cases.push(case);
    }
    delete(&images)?;
    Ok(result)
}

fn turn(contender: &Contender, image: &Stored, count: usize, total: usize) -> io::Result<Sample> {
    let path = contender.data_path(&image.id);
    measure(contender, || {
        at_once(count, |client| {
            let mut connection = contender.connect();
            for request in 0..total / count {
                let start = spread(client * total + request) % (image.len - RANGE);
                let received = connection.download(&path, Some(start..start + RANGE), Receive::Discard)?;
                if received != RANGE {
                    return Err(io::Error::other(format!("{received} bytes came of a range")));
                }
            }
            Ok(())
        })?;
        Ok(Outcome {
            bytes: RANGE * (total / count * count) as u64,
            requests: (total / count * count) as u64,
            ..Outcome::default()
        })
    })
}

/// As if at random, and the same in every run and for every server.
pub(super) fn spread(number: usize) -> u64 {
    (number as u64 + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 8
}
