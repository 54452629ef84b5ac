//! What a server's failure means to the caller.

use http::StatusCode;
use saccade_outgoing::{Error as Outgoing, Target};
use saccade_store_contract::{Error, ErrorKind, Operation};

/// An error with a sentence for its cause.
pub(crate) fn failed(
    kind: ErrorKind,
    operation: Operation,
    target: &Target,
    cause: impl Into<String>,
) -> Error {
    Error::new(kind, operation, target.to_string()).caused_by(cause.into())
}

/// There is no answer.
pub(crate) fn unanswered(operation: Operation, target: &Target, cause: Outgoing) -> Error {
    let kind = match cause {
        Outgoing::Refused { .. } => ErrorKind::Denied,
        Outgoing::Unresolved { .. }
        | Outgoing::BadRedirect { .. }
        | Outgoing::TooManyRedirects { .. }
        | Outgoing::Unreachable { .. }
        | Outgoing::Timeout { .. }
        | Outgoing::TooSlow { .. }
        | Outgoing::Broken { .. } => ErrorKind::Unavailable,
    };
    Error::new(kind, operation, target.to_string()).caused_by(cause)
}

/// The answer is not one that could be used.
pub(crate) fn refused(operation: Operation, target: &Target, status: StatusCode) -> Error {
    let kind = match status {
        StatusCode::NOT_FOUND | StatusCode::GONE => ErrorKind::NotFound,
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN | StatusCode::PROXY_AUTHENTICATION_REQUIRED => {
            ErrorKind::Denied
        }
        _ => ErrorKind::Unavailable,
    };
    failed(kind, operation, target, format!("the server answers {status}"))
}

/// The answer contradicts itself or the question.
pub(crate) fn nonsense(operation: Operation, target: &Target, what: &str) -> Error {
    failed(
        ErrorKind::Unavailable,
        operation,
        target,
        format!("the server's answer makes no sense: {what}"),
    )
}
