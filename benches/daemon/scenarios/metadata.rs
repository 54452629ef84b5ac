//! Requests for records: no image data is moved.

use super::{ranges::spread, scenario};
use crate::{
    bench::{Bench, at_once},
    case::{Case, Scenario, Unit},
    contender::{Contender, Kind},
    harness::http::Connection,
    measure::{Outcome, Sample, measure},
};
use std::{
    io,
    time::{Duration, Instant},
};

const PATCH: &str = "application/openstack-images-v2.1-json-patch";

#[derive(Clone, Copy, PartialEq, Eq)]
enum Request {
    Show,
    List,
    Patch,
    Create,
}

impl Request {
    fn name(self) -> &'static str {
        match self {
            Self::Show => "show",
            Self::List => "list, 20 images",
            Self::Patch => "patch",
            Self::Create => "create",
        }
    }
}

pub(super) fn run(bench: &Bench) -> io::Result<Scenario> {
    let (seeds, seconds) = bench.options.pick((1000, 2.0), (100, 0.4));
    let mut result = scenario(
        "metadata",
        format!(
            "Requests for {seconds} s, with {seeds} images or more in the catalogue; connections are kept open where the server \
             keeps them. Saccade syncs each change to the disk, and so does MariaDB under Python Glance."
        ),
    );
    let seeded: Vec<(Kind, Vec<String>)> = bench
        .contenders
        .iter()
        .filter(|contender| contender.kind.has_api())
        .map(|contender| Ok((contender.kind, seed(contender, seeds)?)))
        .collect::<io::Result<_>>()?;
    // Creation is last: it makes catalogues of different lengths.
    for request in [Request::Show, Request::List, Request::Patch, Request::Create] {
        for count in bench.options.pick(vec![1, 8, 64], vec![1, 8]) {
            let mut case = Case::new(format!("{}, {count} at once", request.name()), Unit::Requests);
            for round in bench.rounds(Kind::has_api) {
                for contender in round {
                    let Some((_, ids)) = seeded.iter().find(|(kind, _)| *kind == contender.kind) else {
                        continue;
                    };
                    let span = Duration::from_secs_f64(seconds);
                    case.record(contender.kind, turn(contender, request, count, ids, span));
                }
            }
            result.cases.push(case);
        }
    }
    Ok(result)
}

fn seed(contender: &Contender, count: usize) -> io::Result<Vec<String>> {
    const THREADS: usize = 4;
    let made = at_once(THREADS, |_| {
        let mut connection = contender.connect();
        (0..count.div_ceil(THREADS))
            .map(|_| contender.create(&mut connection))
            .collect::<io::Result<Vec<_>>>()
    })?;
    Ok(made.concat())
}

fn turn(
    contender: &Contender,
    request: Request,
    count: usize,
    ids: &[String],
    span: Duration,
) -> io::Result<Sample> {
    measure(contender, || {
        let deadline = Instant::now() + span;
        let latencies = at_once(count, |client| {
            let mut connection = contender.connect();
            let mut latencies = Vec::new();
            while Instant::now() < deadline {
                let number = latencies.len();
                let id = match request {
                    // Each client changes an image of its own: what is measured is not their quarrel.
                    Request::Patch => &ids[client % ids.len()],
                    _ => &ids[spread(client + number * count) as usize % ids.len()],
                };
                let begun = Instant::now();
                ask(contender, &mut connection, request, id, number)?;
                latencies.push(begun.elapsed());
            }
            Ok(latencies)
        })?;
        let latencies = latencies.concat();
        Ok(Outcome {
            bytes: 0,
            requests: latencies.len() as u64,
            latencies,
        })
    })
}

fn ask(
    contender: &Contender,
    connection: &mut Connection,
    request: Request,
    id: &str,
    number: usize,
) -> io::Result<()> {
    let path = format!("/v2/images/{id}");
    match request {
        Request::Show => connection.expect(200, "GET", &path, None, b"").map(drop),
        Request::List => connection
            .expect(200, "GET", "/v2/images?limit=20", None, b"")
            .map(drop),
        Request::Create => contender.create(connection).map(drop),
        Request::Patch => {
            let body = format!(r#"[{{"op":"replace","path":"/name","value":"name {number}"}}]"#);
            connection
                .expect(200, "PATCH", &path, Some(PATCH), body.as_bytes())
                .map(drop)
        }
    }
}
