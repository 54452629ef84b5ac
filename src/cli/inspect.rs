//! `saccade inspect`.

use super::{Exit, Streams};
use crate::inspect::{Accepted, Archives, Declared, Inspection, Inspector, Refusal, Report, Rules};
use clap::Args;
use serde_json::json;
use std::{
    fs::File,
    io::{self, Read},
    path::{Path, PathBuf},
};

/// What is read at once.
const CHUNK: usize = 1 << 20;

pub(super) const AFTER_HELP: &str = "\
Exit codes:
  0   the image is safe, and what --disk-format says, where that is given
  1   it cannot be read
  3   it is not safe, or would not be accepted
  64  wrong arguments";

#[derive(Debug, Args)]
pub(super) struct Inspect {
    /// The image; - reads standard input.
    file: PathBuf,
    /// Say as well whether an upload declared so would be accepted, under the default configuration.
    #[arg(long, value_name = "FORMAT")]
    disk_format: Option<String>,
    /// The container that is declared with it: ova looks at the disks in the archive, any other at nothing.
    #[arg(long, value_name = "FORMAT", default_value = "bare", requires = "disk_format")]
    container_format: String,
    /// One JSON object instead of text for people.
    #[arg(long)]
    json: bool,
}

/// What an upload would come to.
struct Answer {
    disk_format: String,
    verdict: Result<Accepted, Refusal>,
}

impl Inspect {
    pub(super) fn run(&self, streams: &mut Streams<'_>) -> Exit {
        let inspected = if self.file == Path::new("-") {
            self.read(streams.input)
        } else {
            File::open(&self.file).and_then(|mut file| self.read(&mut file))
        };
        let (report, answer) = match inspected {
            Ok(inspected) => inspected,
            Err(error) => return streams.fail(&format!("cannot read {}", self.file.display()), &error),
        };
        let refused = match &answer {
            Some(answer) => answer.verdict.is_err(),
            None => !report.is_safe(),
        };
        let text = if self.json {
            format!("{}\n", in_json(&report, answer.as_ref()))
        } else {
            format!("{report}{}\n", answer.as_ref().map(in_text).unwrap_or_default())
        };
        match streams.print(&text) {
            Exit::Success if refused => Exit::Unsafe,
            exit => exit,
        }
    }

    /// The image, from its first byte to its last, in bounded memory.
    fn read(&self, image: &mut dyn Read) -> io::Result<(Report, Option<Answer>)> {
        let mut inspector = Inspector::new();
        let mut upload = self.disk_format.as_ref().map(|disk_format| {
            let rules = Rules {
                archives: Archives::Inspected,
                ..Rules::default()
            };
            Inspection::new(Declared::new(disk_format, &self.container_format, rules))
        });
        let mut buffer = vec![0; CHUNK];
        loop {
            match image.read(&mut buffer) {
                Ok(0) => break,
                Ok(length) => {
                    let chunk = buffer.get(..length).unwrap_or_default();
                    inspector.push(chunk);
                    if let Some(upload) = &mut upload {
                        upload.push(chunk);
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        let answer = upload
            .zip(self.disk_format.clone())
            .map(|(upload, disk_format)| Answer {
                disk_format,
                verdict: upload.verdict(),
            });
        Ok((inspector.finish(), answer))
    }
}

fn in_text(answer: &Answer) -> String {
    let disk_format = &answer.disk_format;
    match &answer.verdict {
        Ok(Accepted { virtual_size }) => {
            let size = virtual_size.map_or_else(
                || "without a virtual size".to_owned(),
                |size| format!("with a virtual size of {size} bytes"),
            );
            format!("\naccepted:      yes, as {disk_format}, {size}")
        }
        Err(refusal) => format!("\naccepted:      no: {refusal}"),
    }
}

fn in_json(report: &Report, answer: Option<&Answer>) -> serde_json::Value {
    let mut object = report.to_json();
    if let (Some(answer), Some(object)) = (answer, object.as_object_mut()) {
        object.insert("disk_format".to_owned(), json!(answer.disk_format));
        object.insert("accepted".to_owned(), json!(answer.verdict.is_ok()));
        let refusal = answer.verdict.as_ref().err().map(ToString::to_string);
        object.insert("refusal".to_owned(), json!(refusal));
    }
    object
}
