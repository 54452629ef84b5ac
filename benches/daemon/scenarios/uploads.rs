//! Uploads of images into new records, one and many at once.

use super::{mebibytes, scenario};
use crate::{
    bench::{Bench, at_once},
    case::{Case, Scenario, Unit},
    contender::{Contender, Kind},
    harness::http::Framing,
    measure::{Outcome, Sample, measure},
};
use saccade_digest_kernels::md5;
use std::{hint::black_box, io, time::Instant};

pub(super) fn run(bench: &Bench) -> io::Result<Scenario> {
    let size = bench.options.size;
    let mut result = scenario(
        "uploads",
        format!(
            "{} in all, in so many images at once; until every byte is on the disk. With MD5 and SHA-512, as both servers \
             compute them.",
            mebibytes(size)
        ),
    );
    for count in bench.options.pick(vec![1, 2, 4, 8, 16, 32], vec![1, 4]) {
        result.cases.push(case(bench, count, Framing::Sized)?);
    }
    for count in bench.options.pick(vec![1, 8], vec![1]) {
        result.cases.push(case(bench, count, Framing::Chunked)?);
    }
    Ok(result)
}

fn case(bench: &Bench, count: usize, framing: Framing) -> io::Result<Case> {
    let framed = match framing {
        Framing::Sized => "",
        Framing::Chunked => ", chunked",
    };
    let mut case = Case::new(format!("{count} at once{framed}"), Unit::Bytes);
    for round in bench.rounds(Kind::has_api) {
        if count == 1 && framing == Framing::Sized {
            case.limit.push(md5_rate(bench));
        }
        for contender in round {
            case.record(contender.kind, turn(bench, contender, count, framing));
        }
    }
    Ok(case)
}

fn turn(bench: &Bench, contender: &Contender, count: usize, framing: Framing) -> io::Result<Sample> {
    let len = bench.options.size / count as u64;
    let ids = (0..count)
        .map(|_| contender.create(&mut contender.connect()))
        .collect::<io::Result<Vec<_>>>()?;
    let contents: Vec<_> = ids.iter().map(|_| bench.content(len)).collect();
    let sample = measure(contender, || {
        at_once(count, |at| {
            contender
                .connect()
                .upload(&contender.data_path(&ids[at]), &contents[at], framing)
        })?;
        contender.sync()?;
        Ok(Outcome::bytes(len * count as u64))
    });
    for id in &ids {
        contender.delete(id)?;
    }
    sample
}

/// MB/s of one core that does nothing but MD5, which has to have seen every byte of an upload in its order.
fn md5_rate(bench: &Bench) -> f64 {
    const LEN: u64 = 256 << 20;
    let content = bench.content(LEN);
    let kernels = md5();
    let mut stream = kernels.start();
    let begun = Instant::now();
    let hashed = content.pieces(|piece| {
        kernels.update(&mut stream, piece);
        Ok(())
    });
    black_box((hashed.is_ok(), kernels.finish(stream)));
    LEN as f64 / 1e6 / begun.elapsed().as_secs_f64()
}
