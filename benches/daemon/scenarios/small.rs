//! Small images, where the requests cost more than the bytes.

use super::{ranges::spread, scenario};
use crate::{
    bench::{Bench, at_once},
    case::{Case, Scenario, Unit},
    contender::{Contender, Kind},
    harness::http::{Framing, Receive},
    measure::{Outcome, Sample, measure},
};
use std::io;

const LEN: u64 = 1 << 20;

pub(super) fn run(bench: &Bench) -> io::Result<Scenario> {
    let mut result = scenario(
        "small",
        "Images of 1 MiB: an upload is a new record, its data, and at the end of the turn all of it on the disk (Saccade \
         syncs each before it answers, Python Glance none); downloads are of any of them.",
    );
    let total = bench.options.pick(200, 24);
    for count in [1, 8] {
        let mut up = Case::new(format!("upload, {count} at once"), Unit::Requests);
        let mut down = Case::new(format!("download, {count} at once"), Unit::Requests);
        for round in bench.rounds(Kind::has_api) {
            for contender in round {
                match upload(bench, contender, count, total) {
                    Ok((sample, ids)) => {
                        up.record(contender.kind, Ok(sample));
                        down.record(contender.kind, download(contender, count, &ids));
                        ids.iter().try_for_each(|id| contender.delete(id))?;
                    }
                    Err(error) => up.record(contender.kind, Err(error)),
                }
            }
        }
        result.cases.extend([up, down]);
    }
    Ok(result)
}

fn upload(
    bench: &Bench,
    contender: &Contender,
    count: usize,
    total: usize,
) -> io::Result<(Sample, Vec<String>)> {
    let mut ids = Vec::new();
    let sample = measure(contender, || {
        let made = at_once(count, |_| {
            let mut connection = contender.connect();
            (0..total / count)
                .map(|_| {
                    let id = contender.create(&mut connection)?;
                    connection.upload(&contender.data_path(&id), &bench.content(LEN), Framing::Sized)?;
                    Ok(id)
                })
                .collect::<io::Result<Vec<_>>>()
        })?;
        contender.sync()?;
        ids = made.concat();
        Ok(outcome(ids.len()))
    })?;
    Ok((sample, ids))
}

fn download(contender: &Contender, count: usize, ids: &[String]) -> io::Result<Sample> {
    let each = ids.len() * 2 / count;
    measure(contender, || {
        at_once(count, |client| {
            let mut connection = contender.connect();
            for request in 0..each {
                let id = &ids[spread(client * each + request) as usize % ids.len()];
                connection.download(&contender.data_path(id), None, Receive::Discard)?;
            }
            Ok(())
        })?;
        Ok(outcome(each * count))
    })
}

fn outcome(images: usize) -> Outcome {
    Outcome {
        bytes: images as u64 * LEN,
        requests: images as u64,
        ..Outcome::default()
    }
}
