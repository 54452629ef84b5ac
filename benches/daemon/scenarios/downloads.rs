//! Downloads of an image that is in the page cache.

use super::{mebibytes, scenario};
use crate::{
    bench::{Bench, at_once},
    case::{Case, Scenario, Unit},
    contender::{Contender, Stored},
    harness::http::Receive,
    measure::{Outcome, Sample, measure},
};
use std::{
    io,
    sync::atomic::{AtomicUsize, Ordering},
};

pub(super) fn run(bench: &Bench) -> io::Result<Scenario> {
    let len = (bench.options.size / 8).max(1 << 20);
    let mut result = scenario(
        "downloads",
        format!(
            "An image of {} from the page cache, at least 8 times. The client lets the kernel throw the bytes away, so that the \
             server is what is measured; \"copied\" is a client that takes them into memory.",
            mebibytes(len)
        ),
    );
    let images = images(bench, len)?;
    let discarded = bench.options.pick(vec![1, 2, 4, 8, 16, 32, 64], vec![1, 8]);
    let copied = bench.options.pick(vec![1, 4, 16], vec![1]);
    let discarded = discarded.into_iter().map(|count| (count, Receive::Discard));
    for (count, receive) in discarded.chain(copied.into_iter().map(|count| (count, Receive::Copy))) {
        let how = match receive {
            Receive::Discard => "",
            Receive::Copy => ", copied",
        };
        let mut case = Case::new(format!("{count} at once{how}"), Unit::Bytes);
        for round in bench.rounds(|_| true) {
            for contender in round {
                let Some(image) = of(&images, contender) else {
                    continue;
                };
                case.record(contender.kind, turn(contender, image, count, receive));
            }
        }
        result.cases.push(case);
    }
    delete(&images)?;
    Ok(result)
}

/// An image of each contender, in the page cache.
pub(super) fn images(bench: &Bench, len: u64) -> io::Result<Vec<(&Contender, Stored)>> {
    let number = bench.number();
    let store = |contender| {
        let image = Contender::store(contender, &bench.payload, number, len)?;
        contender
            .connect()
            .download(&contender.data_path(&image.id), None, Receive::Discard)?;
        Ok((contender, image))
    };
    bench.contenders.iter().map(store).collect()
}

pub(super) fn of<'a>(images: &'a [(&Contender, Stored)], contender: &Contender) -> Option<&'a Stored> {
    let found = images.iter().find(|(owner, _)| owner.kind == contender.kind);
    found.map(|(_, image)| image)
}

pub(super) fn delete(images: &[(&Contender, Stored)]) -> io::Result<()> {
    images
        .iter()
        .try_for_each(|(contender, image)| contender.delete(&image.id))
}

/// `count` clients together take the image at least 8 times.
pub(super) fn turn(
    contender: &Contender,
    image: &Stored,
    count: usize,
    receive: Receive,
) -> io::Result<Sample> {
    let transfers = count.max(8);
    let begun = AtomicUsize::new(0);
    let path = contender.data_path(&image.id);
    measure(contender, || {
        at_once(count, |_| {
            let mut connection = contender.connect();
            while begun.fetch_add(1, Ordering::Relaxed) < transfers {
                let received = connection.download(&path, None, receive)?;
                if received != image.len {
                    return Err(io::Error::other(format!(
                        "{received} bytes came of {}",
                        image.len
                    )));
                }
            }
            Ok(())
        })?;
        Ok(Outcome::bytes(image.len * transfers as u64))
    })
}
