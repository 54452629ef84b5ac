//! A download of an image of which the page cache has nothing.

use super::{
    downloads::{delete, images, of},
    mebibytes, scenario,
};
use crate::{
    bench::Bench,
    case::{Case, Scenario, Unit},
    contender::{Contender, Stored},
    harness::http::Receive,
    measure::{Outcome, Sample, measure},
};
use rustix::fs::{Advice, fadvise};
use std::{fs::File, io};

pub(super) fn run(bench: &Bench) -> io::Result<Scenario> {
    let len = bench.options.size / 4;
    let mut result = scenario(
        "cold",
        format!(
            "One download of {} that is on the disk alone. A virtual machine's host may still have it in memory.",
            mebibytes(len)
        ),
    );
    let images = images(bench, len)?;
    let mut case = Case::new("1 cold", Unit::Bytes);
    for round in bench.rounds(|_| true) {
        for contender in round {
            if let Some(image) = of(&images, contender) {
                case.record(contender.kind, turn(contender, image));
            }
        }
    }
    result.cases.push(case);
    delete(&images)?;
    Ok(result)
}

fn turn(contender: &Contender, image: &Stored) -> io::Result<Sample> {
    let file = File::open(contender.file(&image.id))?;
    // Pages that are not written yet would stay.
    file.sync_all()?;
    fadvise(&file, 0, None, Advice::DontNeed)?;
    drop(file);
    let path = contender.data_path(&image.id);
    measure(contender, || {
        let received = contender.connect().download(&path, None, Receive::Discard)?;
        Ok(Outcome::bytes(received))
    })
}
