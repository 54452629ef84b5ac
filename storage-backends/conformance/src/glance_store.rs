//! glance_store's own drivers, in a Python of their own: what either has written, the other is to read.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::{
    env,
    ffi::OsStr,
    path::{Path, PathBuf},
    process::Stdio,
};

use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines},
    process::{Child, ChildStdin, ChildStdout, Command},
};

/// A script that does what each line of its input says, and answers with a line. It ends when it is dropped.
#[derive(Debug)]
pub struct GlanceStore {
    input: ChildStdin,
    output: Lines<BufReader<ChildStdout>>,
    _child: Child,
}

impl GlanceStore {
    /// Starts a script.
    ///
    /// # Panics
    /// There is no Python with glance_store.
    pub fn start<'a>(
        script: &Path,
        arguments: impl IntoIterator<Item = &'a str>,
        secrets: impl IntoIterator<Item = (&'a str, &'a str)>,
    ) -> Self {
        let python = python();
        assert!(
            python.exists(),
            "{} is missing: run `make glance-store`, or `make test`, which does (SACCADE_GLANCE_STORE names another \
             directory)",
            python.display()
        );
        let mut child = Command::new(python)
            .arg(script)
            .args(arguments)
            .envs(secrets.into_iter().map(|(name, value)| (OsStr::new(name), value)))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        Self {
            input: child.stdin.take().unwrap(),
            output: BufReader::new(child.stdout.take().unwrap()).lines(),
            _child: child,
        }
    }

    /// Does one operation, and returns the answer to it.
    ///
    /// # Panics
    /// The script has failed; it says why on its standard error.
    pub async fn ask(&mut self, operation: &[Word<'_>]) -> String {
        let words: Vec<_> = operation
            .iter()
            .map(|word| match word {
                Word::Text(text) => format!("{text:?}"),
                Word::Number(number) => number.to_string(),
            })
            .collect();
        let line = format!("[{}]\n", words.join(", "));
        self.input.write_all(line.as_bytes()).await.unwrap();
        let answer = self.output.next_line().await.unwrap();
        answer.unwrap_or_else(|| panic!("glance_store has failed at {line}"))
    }
}

/// A part of an operation.
#[derive(Debug, Clone, Copy)]
pub enum Word<'a> {
    /// Without quotes and backslashes.
    Text(&'a str),
    /// A number.
    Number(usize),
}

fn python() -> PathBuf {
    let directory = env::var_os("SACCADE_GLANCE_STORE").map_or_else(
        || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../.venv-glance-store/bin"),
        PathBuf::from,
    );
    directory.join("python")
}
