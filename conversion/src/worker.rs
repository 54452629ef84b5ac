//! What the started process does: it locks itself in, and becomes `qemu-img`.

use std::{
    ffi::OsString,
    fs::{self, OpenOptions},
    io::{self, Write},
    os::{
        fd::{AsRawFd, OwnedFd},
        unix::process::CommandExt,
    },
    process::{Command, ExitCode},
};

use crate::{
    confine::{self, ConfineError, Files},
    format::{SourceFormat, TargetFormat},
    order::{Job, NotAnOrder, Order},
};

/// The exit status of a worker that never became `qemu-img` (`EX_UNAVAILABLE` of sysexits.h; `qemu-img` has none so high).
pub const NOT_BEGUN: u8 = 69;

/// Why a worker does nothing.
#[derive(Debug, thiserror::Error)]
enum WorkerError {
    #[error(transparent)]
    Order(#[from] NotAnOrder),
    #[error("cannot arrange its files: {0}")]
    Files(#[source] io::Error),
    #[error(transparent)]
    Confine(#[from] ConfineError),
    #[error("cannot start qemu-img: {0}")]
    Program(#[source] io::Error),
}

/// Does what the arguments say; returns only if it cannot. To be called by a process with one thread that has the source as
/// standard input and the destination as standard output, before it has done anything else.
///
/// The first line on standard error is what holds it ([`crate::Layers`]); what follows is what `qemu-img` says.
pub fn run(arguments: &[OsString]) -> ExitCode {
    let Err(error) = work(arguments);
    let _ = writeln!(io::stderr(), "{error}");
    ExitCode::from(NOT_BEGUN)
}

fn work(arguments: &[OsString]) -> Result<std::convert::Infallible, WorkerError> {
    let order = Order::parse(arguments)?;
    confine::hold_to_parent(order.parent)?;
    confine::keep_only_stdio()?;
    be_the_first_to_go();
    let destination = match order.job {
        Job::Check => None,
        Job::Convert { .. } => Some(move_stdout_away().map_err(WorkerError::Files)?),
    };
    let stdin = io::stdin();
    let files = destination.as_ref().map(|destination| Files {
        source: &stdin,
        destination,
    });
    let layers = confine::confine(&order, files)?;
    writeln!(io::stderr(), "{layers}").map_err(WorkerError::Files)?;
    let mut command = Command::new(&order.program);
    command.arg0("qemu-img").env_clear();
    // Each of its threads would reserve address space of its own.
    command.env("MALLOC_ARENA_MAX", "2");
    match (order.job, &destination) {
        (Job::Convert { from, to }, Some(destination)) => {
            command.args(arguments_of(from, to, &open_file(destination)));
        }
        _ => {
            command.arg("--version");
        }
    }
    Err(WorkerError::Program(command.exec()))
}

/// When memory runs out, the kernel ends this process rather than the daemon. Where that cannot be said, its own judgement holds.
fn be_the_first_to_go() {
    let _ = fs::write("/proc/self/oom_score_adj", "1000");
}

/// The destination under a number of its own, which `qemu-img` inherits; whatever it prints goes nowhere.
fn move_stdout_away() -> io::Result<OwnedFd> {
    let destination = rustix::io::dup(io::stdout())?;
    let nowhere = OpenOptions::new().write(true).open("/dev/null")?;
    rustix::stdio::dup2_stdout(&nowhere)?;
    Ok(destination)
}

fn open_file(file: &OwnedFd) -> String {
    format!("/proc/self/fd/{}", file.as_raw_fd())
}

/// The formats are said and never guessed, and the names are those of open files. The source is locked by nobody. The
/// destination is a scratch file: nobody needs it on stable storage.
fn arguments_of(from: SourceFormat, to: TargetFormat, destination: &str) -> Vec<String> {
    let source = format!(
        "{},read-only=on,file.driver=file,file.filename=/proc/self/fd/0,file.locking=off",
        from.driver()
    );
    let mut arguments: Vec<String> = ["convert", "-q", "-t", "unsafe", "-O", to.name()]
        .map(str::to_owned)
        .into();
    arguments.extend(["--image-opts".to_owned(), source, destination.to_owned()]);
    arguments
}
