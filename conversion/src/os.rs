//! The system calls that no safe interface has.
#![allow(unsafe_code)]

use std::io;

use rustix::thread::{UnshareFlags, unshare_unsafe};

/// Marks every open file from `first` on to be closed when the process becomes another program.
///
/// # Errors
/// The kernel is older than 5.11.
pub(crate) fn close_on_exec_from(first: u32) -> io::Result<()> {
    // Safety: no file is closed and no memory touched, only a flag of the open files is set.
    let result = unsafe { libc::syscall(libc::SYS_close_range, first, u32::MAX, libc::CLOSE_RANGE_CLOEXEC) };
    match result {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Leaves these namespaces for new ones.
///
/// # Errors
/// The kernel does not allow it.
pub(crate) fn leave_namespaces(flags: UnshareFlags) -> io::Result<()> {
    // A table of open files that threads no longer share would break what they know of each other's files.
    if flags.contains(UnshareFlags::FILES) {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    // Safety: `CLONE_FILES`, for which alone the call is unsafe, was refused above.
    Ok(unsafe { unshare_unsafe(flags) }?)
}
