//! What a server needs when it does nothing, and when it does a lot.

use super::{
    downloads::{delete, images, of},
    mebibytes, scenario,
};
use crate::{
    bench::{Bench, at_once},
    case::{Case, Fact, Scenario, Unit},
    contender::{Contender, Kind, Stored},
    harness::http::{Content, Framing, Receive},
    measure::{Outcome, Sample, measure},
};
use std::{
    io,
    time::{Duration, Instant},
};

/// Room for all of them is not asked for in advance: most are broken off.
const FRAMING: Framing = Framing::Chunked;

pub(super) fn run(bench: &Bench) -> io::Result<Scenario> {
    let (count, len, seconds) = bench.options.pick((64, 1 << 30, 15), (8, 64 << 20, 2));
    let mut result = scenario(
        "memory",
        format!(
            "{count} uploads and {count} downloads of {} at once, broken off after {seconds} s. Python Glance serves as many of \
             them as it has processes; the others wait.",
            mebibytes(len)
        ),
    );
    for contender in &bench.contenders {
        result.facts.push(Fact {
            contender: contender.kind.name().to_owned(),
            name: "resident when idle, shared pages once, MiB".to_owned(),
            value: format!("{:.0}", contender.idle as f64 / f64::from(1 << 20)),
        });
    }
    let images = images(bench, len)?;
    let mut case = Case::new(format!("{count} up, {count} down"), Unit::Bytes);
    for round in bench.rounds(Kind::has_api) {
        for contender in round {
            let Some(image) = of(&images, contender) else {
                continue;
            };
            let sample = turn(bench, contender, image, count, Duration::from_secs(seconds));
            case.record(contender.kind, sample);
        }
    }
    result.cases.push(case);
    delete(&images)?;
    Ok(result)
}

fn turn(
    bench: &Bench,
    contender: &Contender,
    image: &Stored,
    count: usize,
    span: Duration,
) -> io::Result<Sample> {
    let ids = (0..count)
        .map(|_| contender.create(&mut contender.connect()))
        .collect::<io::Result<Vec<_>>>()?;
    let contents: Vec<_> = ids.iter().map(|_| bench.content(image.len)).collect();
    let sample = measure(contender, || {
        let deadline = Instant::now() + span;
        let moved = at_once(count * 2, |at| match (ids.get(at), contents.get(at)) {
            (Some(id), Some(content)) => upload(contender, id, content, deadline),
            _ => download(contender, image, deadline),
        })?;
        Ok(Outcome::bytes(moved.iter().sum()))
    });
    // Those that were broken off are being given up; what remains of them is no part of the next turn.
    for id in &ids {
        let _ = contender.delete(id);
    }
    contender.settle();
    sample
}

/// Sends until it is over or time is up: the bytes that were sent.
fn upload(contender: &Contender, id: &str, content: &Content, deadline: Instant) -> io::Result<u64> {
    let mut connection = contender.connect();
    connection.limit(deadline)?;
    connection.begin_upload(&contender.data_path(id), content.len, FRAMING)?;
    let mut sent = 0;
    // A timeout is the end of the turn.
    let _ = content.pieces(|piece| {
        if Instant::now() > deadline {
            return Err(io::ErrorKind::TimedOut.into());
        }
        connection.send_piece(piece, FRAMING)?;
        sent += piece.len() as u64;
        Ok(())
    });
    Ok(sent)
}

fn download(contender: &Contender, image: &Stored, deadline: Instant) -> io::Result<u64> {
    let mut received = 0;
    while Instant::now() < deadline {
        let mut connection = contender.connect();
        connection.limit(deadline)?;
        let Ok(mut left) = connection.begin_download(&contender.data_path(&image.id), None) else {
            break;
        };
        while left > 0 && Instant::now() < deadline {
            match connection.receive(left, Receive::Discard) {
                Ok(bytes) if bytes > 0 => {
                    received += bytes;
                    left -= bytes;
                }
                _ => return Ok(received),
            }
        }
    }
    Ok(received)
}
