//! What the daemon says: collected while it runs, judged when it ends.

use serde_json::Value;
use std::{
    io::{BufRead, BufReader, Read},
    sync::{Arc, Mutex},
    thread::JoinHandle,
};

/// The lines of one daemon's log, also while it writes them.
pub(super) struct Log {
    lines: Arc<Mutex<Vec<String>>>,
    reader: Option<JoinHandle<()>>,
}

impl Log {
    /// Reads until the writer is gone.
    pub(super) fn of(source: impl Read + Send + 'static) -> Self {
        let lines = Arc::new(Mutex::new(Vec::new()));
        let reader = std::thread::spawn({
            let lines = Arc::clone(&lines);
            move || {
                for line in BufReader::new(source).split(b'\n') {
                    let Ok(line) = line else { return };
                    let line = String::from_utf8_lossy(&line).into_owned();
                    lines.lock().unwrap().push(line);
                }
            }
        });
        Self {
            lines,
            reader: Some(reader),
        }
    }

    /// Everything until now.
    pub(super) fn lines(&self) -> Vec<String> {
        self.lines.lock().unwrap().clone()
    }

    /// Everything, once the writer is gone.
    pub(super) fn finish(&mut self) -> Vec<String> {
        if let Some(reader) = self.reader.take() {
            reader.join().unwrap();
        }
        self.lines()
    }
}

/// The lines that are warnings, errors or not of the log's format (a panic before there is a log), and contain none of
/// the texts expected.
pub(super) fn unexpected(lines: &[String], expected: &[String]) -> Vec<String> {
    let is_quiet = |line: &String| {
        serde_json::from_str::<Value>(line).is_ok_and(|event| {
            ["INFO", "DEBUG", "TRACE"].contains(&event["level"].as_str().unwrap_or_default())
        })
    };
    lines
        .iter()
        .filter(|line| !is_quiet(line) && !expected.iter().any(|text| line.contains(text.as_str())))
        .cloned()
        .collect()
}

#[test]
fn only_what_is_quiet_or_expected_passes() {
    let lines = [
        r#"{"level":"INFO","message":"serving"}"#,
        r#"{"level":"WARN","message":"disk nearly full"}"#,
        r#"{"level":"ERROR","message":"a request failed"}"#,
        "thread 'main' panicked",
    ]
    .map(str::to_owned);
    assert_eq!(unexpected(&lines, &["nearly full".to_owned()]), lines[2..]);
    assert_eq!(unexpected(&lines, &[]), lines[1..]);
}
