//! What a system error means to the caller.

use std::io;

use rustix::io::Errno;
use saccade_store_contract::{Error, ErrorKind, Operation};

/// The error of an operation on `subject`.
pub(crate) fn failed(operation: Operation, subject: impl Into<String>, source: io::Error) -> Error {
    Error::new(kind_for(operation, &source), operation, subject).caused_by(source)
}

/// An error with a sentence for its cause.
pub(crate) fn refused(
    kind: ErrorKind,
    operation: Operation,
    subject: impl Into<String>,
    reason: &'static str,
) -> Error {
    Error::new(kind, operation, subject).caused_by(reason)
}

/// While an attempt is written or undone, a name that is unexpectedly there or not there says nothing about a blob.
fn kind_for(operation: Operation, error: &io::Error) -> ErrorKind {
    let kind = kind_of(error);
    let of_a_blob = matches!(
        operation,
        Operation::Read | Operation::Size | Operation::PrepareDelete | Operation::Delete
    );
    match kind {
        ErrorKind::NotFound | ErrorKind::Exists | ErrorKind::Invalid if !of_a_blob => ErrorKind::Unavailable,
        kind => kind,
    }
}

fn kind_of(error: &io::Error) -> ErrorKind {
    // ELOOP is what an open that does not follow links says of a link.
    if error.raw_os_error() == Some(Errno::LOOP.raw_os_error()) {
        return ErrorKind::Invalid;
    }
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge => {
            ErrorKind::Full
        }
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => ErrorKind::Denied,
        io::ErrorKind::NotFound => ErrorKind::NotFound,
        io::ErrorKind::AlreadyExists => ErrorKind::Exists,
        io::ErrorKind::InvalidInput | io::ErrorKind::InvalidFilename | io::ErrorKind::IsADirectory => {
            ErrorKind::Invalid
        }
        _ => ErrorKind::Unavailable,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kind(errno: Errno, operation: Operation) -> ErrorKind {
        failed(operation, "x", io::Error::from_raw_os_error(errno.raw_os_error())).kind()
    }

    #[test]
    fn error_numbers_become_what_the_caller_can_do() {
        for errno in [Errno::NOSPC, Errno::DQUOT, Errno::FBIG] {
            assert_eq!(kind(errno, Operation::Write), ErrorKind::Full);
        }
        for errno in [Errno::ACCESS, Errno::PERM, Errno::ROFS] {
            assert_eq!(kind(errno, Operation::Create), ErrorKind::Denied);
        }
        for errno in [Errno::IO, Errno::STALE, Errno::NOTDIR] {
            assert_eq!(kind(errno, Operation::Read), ErrorKind::Unavailable);
        }
        assert_eq!(kind(Errno::NOENT, Operation::Read), ErrorKind::NotFound);
        assert_eq!(kind(Errno::LOOP, Operation::Read), ErrorKind::Invalid);
        assert_eq!(kind(Errno::NAMETOOLONG, Operation::Size), ErrorKind::Invalid);
    }

    #[test]
    fn a_missing_directory_is_not_a_missing_blob_while_writing() {
        assert_eq!(kind(Errno::NOENT, Operation::Write), ErrorKind::Unavailable);
        assert_eq!(kind(Errno::EXIST, Operation::Write), ErrorKind::Unavailable);
    }
}
