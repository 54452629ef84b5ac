//! A few clients who are quick, among thousands who are not.

use super::{
    downloads::{self, delete, images, of},
    scenario,
};
use crate::{
    bench::{Bench, at_once},
    case::{Case, Fact, Scenario, Unit},
    contender::{Contender, Kind, Stored},
    harness::http::{Connection, Framing, Receive},
    measure::{Outcome, Sample, measure},
    statistics::Summary,
};
use std::{
    io,
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::{Duration, Instant},
};

const QUICK: usize = 4;
/// How often a slow client moves a little.
const PERIOD: Duration = Duration::from_secs(5);
/// What it moves then.
const LITTLE: usize = 4096;
/// Slow uploads do not ask for room in advance: there may not be as much.
const FRAMING: Framing = Framing::Chunked;

pub(super) fn run(bench: &Bench) -> io::Result<Scenario> {
    let (readers, uploaders) = bench.options.pick((2000, 200), (200, 20));
    let mut result = scenario(
        "crowd",
        format!(
            "{QUICK} quick clients alone, and then among {readers} downloads that take 4 KiB every 5 s and {uploaders} uploads \
             that send as little (nginx: the downloads alone). Python Glance is left out: a slow client holds one of its \
             processes, so that a few stop it."
        ),
    );
    let images = images(bench, bench.options.size / 8)?;
    let mut cases = [
        "downloads, alone",
        "downloads, in the crowd",
        "uploads, alone",
        "uploads, in the crowd",
    ]
    .map(|name| Case::new(format!("{QUICK} {name}"), Unit::Bytes));
    for round in bench.rounds(|kind| kind != Kind::Glance) {
        for contender in round {
            let Some(image) = of(&images, contender) else {
                continue;
            };
            let [down_alone, down_crowd, up_alone, up_crowd] = &mut cases;
            let quick = |down: &mut Case, up: &mut Case| {
                let sample = downloads::turn(contender, image, QUICK, Receive::Discard);
                down.record(contender.kind, sample);
                if contender.kind.has_api() {
                    up.record(contender.kind, uploads(bench, contender));
                }
            };
            quick(down_alone, up_alone);
            let uploaders = if contender.kind.has_api() { uploaders } else { 0 };
            let crowd = Crowd::gather(contender, image, readers, uploaders)?;
            let stop = AtomicBool::new(false);
            let left = thread::scope(|scope| {
                let kept = scope.spawn(|| crowd.keep(&stop));
                quick(down_crowd, up_crowd);
                stop.store(true, Ordering::Relaxed);
                kept.join().unwrap()
            });
            if left > 0 {
                let lost = format!("{} lost {left} of the slow clients", contender.kind.name());
                down_crowd.failures.push(lost);
            }
        }
    }
    for pair in cases.chunks(2) {
        result.facts.extend(kept(&pair[0], &pair[1]));
    }
    result.cases.extend(cases);
    delete(&images)?;
    Ok(result)
}

/// What the quick ones keep of their rate among the others.
fn kept(alone: &Case, crowd: &Case) -> Vec<Fact> {
    let of = |(contender, samples): (&String, &Vec<Option<Sample>>)| {
        let rounds = samples.iter().zip(crowd.samples.get(contender)?);
        let shares = rounds.filter_map(|(alone, crowd)| {
            Some(crowd.as_ref()?.megabytes_per_second() / alone.as_ref()?.megabytes_per_second() * 100.0)
        });
        Some(Fact {
            contender: contender.clone(),
            name: format!("{}, % of its rate alone", crowd.name),
            value: Summary::of(shares)?.text(),
        })
    };
    alone.samples.iter().filter_map(of).collect()
}

fn uploads(bench: &Bench, contender: &Contender) -> io::Result<Sample> {
    let len = bench.options.size / 4;
    let create = |_| contender.create(&mut contender.connect());
    let ids = (0..QUICK).map(create).collect::<io::Result<Vec<_>>>()?;
    let contents: Vec<_> = ids.iter().map(|_| bench.content(len)).collect();
    let sample = measure(contender, || {
        at_once(QUICK, |at| {
            let path = contender.data_path(&ids[at]);
            contender.connect().upload(&path, &contents[at], Framing::Sized)
        })?;
        Ok(Outcome::bytes(len * QUICK as u64))
    });
    ids.iter().try_for_each(|id| contender.delete(id))?;
    sample
}

/// The slow ones.
struct Crowd<'a> {
    contender: &'a Contender,
    readers: Vec<Connection>,
    uploads: Vec<(String, Connection)>,
}

impl<'a> Crowd<'a> {
    fn gather(
        contender: &'a Contender,
        image: &Stored,
        readers: usize,
        uploaders: usize,
    ) -> io::Result<Self> {
        let path = contender.data_path(&image.id);
        let reader = |_| {
            let mut connection = contender.connect();
            connection.open_narrow()?;
            connection.begin_download(&path, None)?;
            Ok(connection)
        };
        let uploader = |_| {
            let mut connection = contender.connect();
            let id = contender.create(&mut connection)?;
            connection.begin_upload(&contender.data_path(&id), 1 << 30, FRAMING)?;
            connection.send_piece(&[0xA5; LITTLE], FRAMING)?;
            Ok((id, connection))
        };
        Ok(Self {
            contender,
            readers: (0..readers).map(reader).collect::<io::Result<_>>()?,
            uploads: (0..uploaders).map(uploader).collect::<io::Result<_>>()?,
        })
    }

    /// Moves a little on each connection every few seconds, until it is told to stop: how many broke before.
    fn keep(mut self, stop: &AtomicBool) -> usize {
        let mut lost = 0;
        while !stop.load(Ordering::Relaxed) {
            let begun = Instant::now();
            for reader in &mut self.readers {
                let received = reader.receive(LITTLE as u64, Receive::Discard);
                lost += usize::from(!received.is_ok_and(|bytes| bytes > 0));
            }
            for (_, upload) in &mut self.uploads {
                lost += usize::from(upload.send_piece(&[0xA5; LITTLE], FRAMING).is_err());
            }
            while begun.elapsed() < PERIOD && !stop.load(Ordering::Relaxed) {
                thread::sleep(Duration::from_millis(20));
            }
        }
        drop(self.readers);
        for (id, connection) in self.uploads {
            drop(connection);
            // Its upload may be given up before or after.
            let _ = self.contender.delete(&id);
        }
        self.contender.settle();
        lost
    }
}
