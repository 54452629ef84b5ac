//! Commands that run and end.

use std::process::{Command, Stdio};

/// The program under test.
pub(super) const BINARY: &str = env!("CARGO_BIN_EXE_saccade");

/// How a command ended.
#[derive(Debug)]
pub(crate) struct Output {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Output {
    /// Its standard output, if it succeeded. Panics if not.
    pub(crate) fn success(self) -> String {
        assert_eq!(self.code, Some(0), "{}{}", self.stdout, self.stderr);
        self.stdout
    }

    /// Its standard error, if it failed. Panics if not.
    pub(crate) fn failure(self) -> String {
        assert_ne!(self.code, Some(0), "succeeded: {}{}", self.stdout, self.stderr);
        self.stderr
    }
}

/// Runs a command to its end.
pub(crate) fn run(command: &mut Command) -> Output {
    let output = command
        .stdin(Stdio::null())
        .output()
        .unwrap_or_else(|error| panic!("cannot run {:?}: {error}", command.get_program()));
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    Output {
        code: output.status.code(),
        stdout: text(output.stdout),
        stderr: text(output.stderr),
    }
}

/// `saccade ARGUMENTS`.
pub(crate) fn saccade(arguments: &[&str]) -> Output {
    run(Command::new(BINARY).args(arguments))
}
