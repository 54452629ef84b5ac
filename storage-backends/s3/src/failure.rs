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
        code: String,
        message: String,
        /// When to ask again, if the server says.
        pause: Option<Duration>,
    },
    /// The bucket is not there.
    NoBucket,
    /// There is no connection, or it broke.
    Connection(String),
    /// Nothing for so long.
    Timeout(Duration),
    /// The answer makes no sense.
    Nonsense(&'static str),
    /// It could not be asked at all.
    Unasked(String),
    /// The attempt was given up meanwhile.
    GivenUp,
}

impl Failure {
    /// Whether the same request may succeed soon.
    pub(crate) fn is_passing(&self) -> bool {
        match self {
            Self::Answer { status, code, .. } => {
                matches!(status.as_u16(), 408 | 429 | 500 | 502 | 503 | 504)
                    || matches!(
                        code.as_str(),
                        "ConditionalRequestConflict" | "OperationAborted" | "RequestTimeout" | "SlowDown"
                    )
            }
            Self::Connection(_) | Self::Timeout(_) => true,
            Self::NoBucket | Self::Nonsense(_) | Self::Unasked(_) | Self::GivenUp => false,
        }
    }

    /// Whether the server may have done it all the same.
    pub(crate) fn is_ambiguous(&self) -> bool {
        match self {
            Self::Answer { status, .. } => status.is_server_error(),
            Self::Connection(_) | Self::Timeout(_) | Self::Nonsense(_) => true,
            Self::NoBucket | Self::Unasked(_) | Self::GivenUp => false,
        }
    }

    pub(crate) fn pause(&self) -> Option<Duration> {
        match self {
            Self::Answer { pause, .. } => *pause,
            _ => None,
        }
    }

    /// Whether the answer has this status or one of these codes.
    pub(crate) fn is(&self, wanted: StatusCode, codes: &[&str]) -> bool {
        matches!(self, Self::Answer { status, code, .. } if *status == wanted || codes.contains(&code.as_str()))
    }

    /// Whether the answer names this code itself.
    pub(crate) fn has_code(&self, wanted: &str) -> bool {
        matches!(self, Self::Answer { code, .. } if code == wanted)
    }

    /// There is no such upload: it was completed or ended.
    pub(crate) fn is_no_such_upload(&self) -> bool {
        matches!(self, Self::Answer { code, .. } if code == "NoSuchUpload")
    }

    /// Something is there already.
    pub(crate) fn is_precondition(&self) -> bool {
        self.is(StatusCode::PRECONDITION_FAILED, &["PreconditionFailed"])
    }

    fn kind(&self) -> ErrorKind {
        let Self::Answer { status, code, .. } = self else {
            return ErrorKind::Unavailable;
        };
        match code.as_str() {
            "NoSuchKey" | "NoSuchVersion" => ErrorKind::NotFound,
            "QuotaExceeded"
            | "InsufficientCapacity"
            | "InsufficientStorage"
            | "EntityTooLarge"
            | "XMinioStorageFull"
            | "XMinioAdminBucketQuotaExceeded" => ErrorKind::Full,
            "BadDigest"
            | "InvalidDigest"
            | "InvalidPart"
            | "XAmzContentSHA256Mismatch"
            | "IncompleteBody" => ErrorKind::Corrupt,
            _ => match *status {
                StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => ErrorKind::Denied,
                StatusCode::INSUFFICIENT_STORAGE | StatusCode::PAYLOAD_TOO_LARGE => ErrorKind::Full,
                _ => ErrorKind::Unavailable,
            },
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
            Self::Answer {
                status,
                code,
                message,
                ..
            } => {
                write!(f, "the server answers {status}")?;
                if !code.is_empty() {
                    write!(f, " {code}")?;
                }
                if !message.is_empty() {
                    write!(f, ": {message}")?;
                }
                Ok(())
            }
            Self::NoBucket => f.write_str(
                "there is no such bucket (s3_store_bucket; s3_store_create_bucket_on_put would make it)",
            ),
            Self::Connection(why) | Self::Unasked(why) => f.write_str(why),
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

    fn answer(status: u16, code: &str) -> Failure {
        Failure::Answer {
            status: StatusCode::from_u16(status).unwrap(),
            code: code.to_owned(),
            message: String::new(),
            pause: None,
        }
    }

    #[test]
    fn answers_become_kinds_to_act_on() {
        for (status, code, kind) in [
            (403, "AccessDenied", ErrorKind::Denied),
            (403, "SignatureDoesNotMatch", ErrorKind::Denied),
            (403, "QuotaExceeded", ErrorKind::Full),
            (507, "", ErrorKind::Full),
            (404, "NoSuchKey", ErrorKind::NotFound),
            (404, "NoSuchUpload", ErrorKind::Unavailable),
            (400, "InvalidPart", ErrorKind::Corrupt),
            (503, "SlowDown", ErrorKind::Unavailable),
        ] {
            assert_eq!(answer(status, code).kind(), kind, "{status} {code}");
        }
        // Nobody may take a bucket that is not there for deleted blobs.
        assert_eq!(Failure::NoBucket.kind(), ErrorKind::Unavailable);
    }

    #[test]
    fn only_what_may_pass_is_tried_again() {
        for (status, code, passing) in [
            (503, "SlowDown", true),
            (500, "InternalError", true),
            (409, "ConditionalRequestConflict", true),
            (409, "BucketAlreadyExists", false),
            (403, "AccessDenied", false),
            (412, "PreconditionFailed", false),
            (507, "", false),
        ] {
            assert_eq!(answer(status, code).is_passing(), passing, "{status} {code}");
        }
    }
}
