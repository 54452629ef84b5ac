//! How a worker locks itself in, before it touches a byte of the image.
//!
//! Five layers, of which each holds without the others:
//!
//! | layer | what is left |
//! |---|---|
//! | limits | processor time, address space, length of files; no core |
//! | namespaces | a user without rights and a network without interfaces, where the kernel allows it |
//! | rights | none of the super-user's, whoever the daemon is |
//! | Landlock | reading the two files, the program and libraries; writing the destination |
//! | seccomp | what a program needs that reads and writes files with several threads: no new process, no socket |

mod files;
mod limits;
mod rights;
mod system_calls;

use std::{fmt, io, os::fd::AsFd, str::FromStr};

use rustix::{
    process::{Signal, getppid, set_parent_process_death_signal},
    thread::{UnshareFlags, set_no_new_privs},
};

use crate::{
    order::{Order, Sandbox},
    os,
};

/// The open files that a worker may reach by their names under `/proc/self/fd`.
#[derive(Clone, Copy)]
pub struct Files<'a> {
    /// Read.
    pub source: &'a dyn AsFd,
    /// Read and written.
    pub destination: &'a dyn AsFd,
}

/// What holds a worker. `Display` and `FromStr` are the first line that it writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Layers {
    /// Landlock holds.
    pub landlock: bool,
    /// The filter of system calls holds.
    pub seccomp: bool,
    /// Which namespaces are its own.
    pub namespaces: Namespaces,
}

/// Which namespaces are a worker's own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Namespaces {
    /// Users, network, and what processes share by name.
    Own,
    /// None: the kernel does not allow it.
    Inherited,
}

/// Why a worker is not locked in.
#[derive(Debug, thiserror::Error)]
pub enum ConfineError {
    /// The daemon is gone, or the system does not tell when it goes.
    #[error("the process that has started this is gone: {0}")]
    Orphan(#[source] io::Error),
    /// Files that are nobody's business would stay open.
    #[error("cannot close what is open beside the two files: {0}")]
    OpenFiles(#[source] io::Error),
    /// A limit cannot be set.
    #[error("cannot limit {what}: {source}")]
    Limit {
        /// Of what.
        what: &'static str,
        #[allow(missing_docs)]
        source: io::Error,
    },
    /// It would have rights of the super-user.
    #[error("cannot give up the rights of the super-user: {0}")]
    Rights(#[source] io::Error),
    /// A layer that is required does not hold.
    #[error("the kernel does not lock this process in: {0}")]
    Layer(String),
}

/// Ties the life of this process to that of `parent`, to be called from its first thread. The thread that has started it
/// must outlive it.
///
/// # Errors
/// `Orphan`.
pub fn hold_to_parent(parent: u32) -> Result<(), ConfineError> {
    set_parent_process_death_signal(Some(Signal::KILL))
        .map_err(|error| ConfineError::Orphan(error.into()))?;
    // It may have died before the signal was asked for.
    let is_child = getppid().is_some_and(|pid| u32::try_from(pid.as_raw_nonzero().get()) == Ok(parent));
    match is_child {
        true => Ok(()),
        false => Err(ConfineError::Orphan(io::ErrorKind::NotFound.into())),
    }
}

/// Standard input, output and error are all that is still open when this process becomes another program.
///
/// # Errors
/// `OpenFiles`.
pub fn keep_only_stdio() -> Result<(), ConfineError> {
    os::close_on_exec_from(3).map_err(ConfineError::OpenFiles)
}

/// Locks this process in, for good. It must have one thread.
///
/// # Errors
/// A limit does not hold, or a layer that the order requires. What has been locked stays so.
pub fn confine(order: &Order, files: Option<Files<'_>>) -> Result<Layers, ConfineError> {
    limits::set(&order.limits)?;
    let namespaces = leave_namespaces();
    if namespaces == Namespaces::Own {
        limits::set_threads()?;
    }
    rights::give_up().map_err(ConfineError::Rights)?;
    // Whether the kernel forgets it with the change of the user is its own business.
    hold_to_parent(order.parent)?;
    let required = |layer: &str, reason: String| match order.sandbox {
        Sandbox::Required => Err(ConfineError::Layer(format!("{layer}: {reason}"))),
        Sandbox::BestEffort => Ok(false),
    };
    set_no_new_privs(true).map_err(|error| ConfineError::Layer(format!("no_new_privs: {error}")))?;
    let landlock = match files::restrict(&order.program, files) {
        Ok(()) => true,
        Err(reason) => required("Landlock", reason)?,
    };
    let seccomp = match system_calls::filter() {
        Ok(()) => true,
        Err(reason) => required("seccomp", reason)?,
    };
    Ok(Layers {
        landlock,
        seccomp,
        namespaces,
    })
}

fn leave_namespaces() -> Namespaces {
    let flags = UnshareFlags::NEWUSER | UnshareFlags::NEWNET | UnshareFlags::NEWIPC | UnshareFlags::NEWUTS;
    match os::leave_namespaces(flags) {
        Ok(()) => Namespaces::Own,
        Err(_) => Namespaces::Inherited,
    }
}

impl Layers {
    /// What does not hold, for the log; empty where all does.
    #[must_use]
    pub fn missing(&self) -> Vec<&'static str> {
        let layers = [
            (self.landlock, "Landlock"),
            (self.seccomp, "seccomp"),
            (self.namespaces == Namespaces::Own, "user and network namespaces"),
        ];
        let missing = layers.into_iter().filter(|(holds, _)| !holds);
        missing.map(|(_, name)| name).collect()
    }
}

const INTRODUCTION: &str = "confined";

impl fmt::Display for Layers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let own = self.namespaces == Namespaces::Own;
        write!(f, "{INTRODUCTION} {} {} {own}", self.landlock, self.seccomp)
    }
}

impl FromStr for Layers {
    type Err = ();

    fn from_str(line: &str) -> Result<Self, ()> {
        let words: Vec<&str> = line.split(' ').collect();
        let [INTRODUCTION, landlock, seccomp, own] = words[..] else {
            return Err(());
        };
        let holds = |word: &str| word.parse::<bool>().map_err(drop);
        Ok(Self {
            landlock: holds(landlock)?,
            seccomp: holds(seccomp)?,
            namespaces: match holds(own)? {
                true => Namespaces::Own,
                false => Namespaces::Inherited,
            },
        })
    }
}
