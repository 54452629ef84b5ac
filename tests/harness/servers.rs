//! Real object servers, started by the scripts of `tests/services` and shared by all tests.

use std::{collections::HashMap, path::Path, process::Command};

/// Starts the service of this name, or finds it running: what it says of itself, by name.
pub(super) fn up(name: &str) -> HashMap<String, String> {
    let script = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/services")
        .join(name);
    let home = Path::new(env!("CARGO_TARGET_TMPDIR"))
        .join("../services")
        .join(name);
    let output = Command::new(script).arg("up").arg(home).output().unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    let why = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "no {name}: {why}");
    let lines = said.lines().filter_map(|line| line.split_once('='));
    lines
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect()
}
