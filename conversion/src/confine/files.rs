//! Landlock: which files a worker may open.

use std::{fs, os::fd::BorrowedFd, path::Path};

use landlock::{
    ABI, Access, AccessFs, AccessNet, BitFlags, PathBeneath, PathFd, Ruleset, RulesetAttr,
    RulesetCreatedAttr, RulesetError, RulesetStatus, Scope,
};

use super::Files;

/// The newest rules that are known here; an older kernel has fewer of them.
const KNOWN: ABI = ABI::V6;

/// Where libraries are. They hold nothing but programs' code and data, the same on every machine.
const LIBRARIES: &[&str] = &[
    "/lib",
    "/lib64",
    "/usr/lib",
    "/usr/lib64",
    "/usr/local/lib",
    "/usr/local/lib64",
    "/nix/store",
    "/gnu/store",
];

/// What else the start of a program reads.
const LOADER_FILES: &[&str] = &["/etc/ld.so.cache"];

/// What loads programs: the kernel asks for the right to execute it, too.
const LOADERS: &[&str] = &[
    "/lib64/ld-linux-x86-64.so.2",
    "/lib/ld-linux-aarch64.so.1",
    "/lib/ld-linux-riscv64-lp64d.so.1",
    "/lib64/ld64.so.2",
    "/lib/ld64.so.1",
    "/lib/ld-musl-x86_64.so.1",
    "/lib/ld-musl-aarch64.so.1",
];

/// Nothing can be opened any more but the two files, the program, and what it is loaded from.
///
/// # Errors
/// Why it does not hold.
pub(super) fn restrict(program: &Path, files: Option<Files<'_>>) -> Result<(), String> {
    match rules(program, files) {
        Ok(RulesetStatus::NotEnforced) => {
            Err("this kernel does not have it, or has it turned off".to_owned())
        }
        Ok(RulesetStatus::FullyEnforced | RulesetStatus::PartiallyEnforced) => Ok(()),
        Err(error) => Err(error.to_string()),
    }
}

fn rules(program: &Path, files: Option<Files<'_>>) -> Result<RulesetStatus, RulesetError> {
    let read = BitFlags::from(AccessFs::ReadFile);
    let execute = AccessFs::ReadFile | AccessFs::Execute;
    let write = AccessFs::ReadFile | AccessFs::WriteFile | AccessFs::Truncate;
    let mut rules = Ruleset::default()
        .handle_access(AccessFs::from_all(KNOWN))?
        .handle_access(AccessNet::from_all(KNOWN))?
        .scope(Scope::from_all(KNOWN))?
        .create()?;
    // What is not there needs no rule.
    for path in LIBRARIES.iter().chain(LOADER_FILES) {
        if let Ok(found) = PathFd::new(path) {
            rules = rules.add_rule(PathBeneath::new(found, read))?;
        }
    }
    let loaders = LOADERS.iter().filter_map(|path| fs::canonicalize(path).ok());
    for path in loaders.chain([program.to_owned()]) {
        if let Ok(found) = PathFd::new(path) {
            rules = rules.add_rule(PathBeneath::new(found, execute))?;
        }
    }
    if let Some(Files { source, destination }) = files {
        // The files themselves, whatever they are called, and if they have no name at all.
        let granted: [(BorrowedFd<'_>, _); 2] = [(source.as_fd(), read), (destination.as_fd(), write)];
        for (file, access) in granted {
            rules = rules.add_rule(PathBeneath::new(file, access))?;
        }
    }
    Ok(rules.restrict_self()?.ruleset)
}
