//! What went wrong at the server, and what it means to the caller.

use std::{fmt, time::Duration};

use http::StatusCode;
use saccade_store_contract::{Error, ErrorKind, Operation};

/// Why a request has no good answer. Holds no credentials and no URL.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Failure {
    /// The server answers, but not as was hoped.
    Answer {
        status: StatusCode,
        message: String,
        /// When to ask again, if the server says.
        pause: Option<Duration>,
    },
    /// What was sent is older than what is there, by the server's clocks, and was not taken.
    Outdated,
    /// The log-in is refused.
    LogIn(String),
    /// Data in a project's account, and no user's token to read it with.
    NoReader,
    /// The container is not there.
    NoContainer(String),
    /// There is no connection, or it broke.
    Connection(String),
    /// Nothing for so long.
    Timeout(Duration),
    /// The answer makes no sense.
    Nonsense(&'static str),
    /// What is there is not what was sent.
    Corrupt(String),
    /// It could not be asked at all.
    Unasked(String),
    /// The attempt was given up meanwhile.
    GivenUp,
}

impl Failure {
    /// Whether the same request may succeed soon.
    pub(crate) fn is_passing(&self) -> bool {
        match self {
            // 498 is Swift's own throttling. With 409 it says that what is to be deleted is newer than the request.
            Self::Answer { status, .. } => {
                matches!(status.as_u16(), 408 | 409 | 429 | 498 | 500 | 502 | 503 | 504)
            }
            Self::Outdated | Self::Connection(_) | Self::Timeout(_) => true,
            _ => false,
        }
    }

    /// Whether the server may have done it all the same.
    pub(crate) fn is_ambiguous(&self) -> bool {
        match self {
            Self::Answer { status, .. } => status.is_server_error(),
            Self::Connection(_) | Self::Timeout(_) | Self::Nonsense(_) => true,
            _ => false,
        }
    }

    pub(crate) fn pause(&self) -> Option<Duration> {
        match self {
            Self::Answer { pause, .. } => *pause,
            _ => None,
        }
    }

    pub(crate) fn is(&self, wanted: StatusCode) -> bool {
        matches!(self, Self::Answer { status, .. } if *status == wanted)
    }

    fn kind(&self) -> ErrorKind {
        match self {
            Self::Answer { status, message, .. } => match *status {
                // RGW's word for it.
                StatusCode::FORBIDDEN if message.contains("QuotaExceeded") => ErrorKind::Full,
                StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => ErrorKind::Denied,
                StatusCode::INSUFFICIENT_STORAGE | StatusCode::PAYLOAD_TOO_LARGE => ErrorKind::Full,
                // Another MD5 than was announced.
                StatusCode::UNPROCESSABLE_ENTITY => ErrorKind::Corrupt,
                _ => ErrorKind::Unavailable,
            },
            Self::LogIn(_) | Self::NoReader => ErrorKind::Denied,
            Self::Corrupt(_) => ErrorKind::Corrupt,
            _ => ErrorKind::Unavailable,
        }
    }

    /// In the terms of the seam.
    pub(crate) fn at(self, operation: Operation, subject: &str) -> Error {
        Error::new(self.kind(), operation, subject).caused_by(self)
    }
}

impl std::error::Error for Failure {}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Answer { status, message, .. } => {
                write!(f, "the server answers {status}")?;
                if !message.is_empty() {
                    write!(f, ": {message}")?;
                }
                Ok(())
            }
            Self::Outdated => f.write_str(
                "the server has something newer under this name, also if that was deleted: the clocks of its nodes differ",
            ),
            Self::LogIn(why) => write!(f, "the store cannot log in: {why}"),
            Self::NoReader => f.write_str(
                "the image is in a project's account and is read with the token of whoever asks for it, and with no other: there \
                 is none at hand that may be used there",
            ),
            Self::NoContainer(name) => write!(
                f,
                "there is no container {name} (swift_store_container; swift_store_create_container_on_put would make it)"
            ),
            Self::Connection(why) | Self::Unasked(why) | Self::Corrupt(why) => f.write_str(why),
            Self::Timeout(after) => write!(f, "the server did not answer within {} s", after.as_secs()),
            Self::Nonsense(what) => write!(f, "the server's answer makes no sense: {what}"),
            Self::GivenUp => f.write_str("the attempt was given up"),
        }
    }
}

/// An error that is nobody's answer.
pub(crate) fn refused(
    kind: ErrorKind,
    operation: Operation,
    subject: &str,
    reason: impl Into<String>,
) -> Error {
    Error::new(kind, operation, subject).caused_by(reason.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_become_kinds_to_act_on() {
        for (status, message, kind, passing) in [
            (401, "", ErrorKind::Denied, false),
            (403, "Forbidden", ErrorKind::Denied, false),
            (403, "QuotaExceeded", ErrorKind::Full, false),
            (413, "Upload exceeds quota.", ErrorKind::Full, false),
            (507, "", ErrorKind::Full, false),
            (422, "", ErrorKind::Corrupt, false),
            (404, "", ErrorKind::Unavailable, false),
            (412, "", ErrorKind::Unavailable, false),
            (498, "", ErrorKind::Unavailable, true),
            (503, "", ErrorKind::Unavailable, true),
        ] {
            let failure = Failure::Answer {
                status: StatusCode::from_u16(status).unwrap(),
                message: message.to_owned(),
                pause: None,
            };
            assert_eq!(
                (failure.kind(), failure.is_passing()),
                (kind, passing),
                "{status}"
            );
        }
        // Nobody may take a container that is not there for deleted blobs.
        assert_eq!(Failure::NoContainer(String::new()).kind(), ErrorKind::Unavailable);
    }
}
