//! `saccade inspect`.

use super::{Exit, Streams};
use crate::inspect::{Inspector, Report};
use clap::Args;
use std::{
    fs::File,
    io::{self, Read},
    path::{Path, PathBuf},
};

/// What is read at once.
const CHUNK: usize = 1 << 20;

#[derive(Debug, Args)]
pub(super) struct Inspect {
    /// The image; - reads standard input.
    file: PathBuf,
    /// One JSON object instead of text for people.
    #[arg(long)]
    json: bool,
}

impl Inspect {
    pub(super) fn run(&self, streams: &mut Streams<'_>) -> Exit {
        let inspected = if self.file == Path::new("-") {
            inspect(streams.input)
        } else {
            File::open(&self.file).and_then(|mut file| inspect(&mut file))
        };
        let report = match inspected {
            Ok(report) => report,
            Err(error) => return streams.fail(&format!("cannot read {}", self.file.display()), &error),
        };
        let text = if self.json {
            format!("{}\n", report.to_json())
        } else {
            format!("{report}\n")
        };
        match streams.print(&text) {
            Exit::Success if !report.is_safe() => Exit::Unsafe,
            exit => exit,
        }
    }
}

fn inspect(image: &mut dyn Read) -> io::Result<Report> {
    let mut inspector = Inspector::new();
    let mut chunk = vec![0; CHUNK];
    loop {
        match image.read(&mut chunk) {
            Ok(0) => return Ok(inspector.finish()),
            Ok(length) => inspector.push(chunk.get(..length).unwrap_or_default()),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}
