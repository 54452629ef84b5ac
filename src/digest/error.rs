//! Why a stream could not be hashed.

use std::fmt;

use openssl::error::ErrorStack;

use super::algorithm::Algorithm;

/// A stream could not be hashed. The stream is over: every later call on it returns the same error, and it holds no
/// chunk any more. Other streams and the pool are not affected.
#[derive(Clone, Debug)]
pub struct DigestError {
    algorithm: Algorithm,
    kind: DigestErrorKind,
    source: Option<ErrorStack>,
}

/// What went wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DigestErrorKind {
    /// The library that computes the hash reported an error.
    Library,
    /// The code that computes the hash panicked: a defect, reported where panics are.
    Panicked,
}

impl DigestError {
    pub(super) fn library(algorithm: Algorithm, source: ErrorStack) -> Self {
        Self {
            algorithm,
            kind: DigestErrorKind::Library,
            source: Some(source),
        }
    }

    pub(super) fn panicked(algorithm: Algorithm) -> Self {
        Self {
            algorithm,
            kind: DigestErrorKind::Panicked,
            source: None,
        }
    }

    /// What went wrong.
    #[must_use]
    pub fn kind(&self) -> DigestErrorKind {
        self.kind
    }

    /// The algorithm that failed.
    #[must_use]
    pub fn algorithm(&self) -> Algorithm {
        self.algorithm
    }
}

impl fmt::Display for DigestError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let algorithm = self.algorithm;
        match self.kind {
            DigestErrorKind::Library => write!(f, "the cryptographic library could not compute {algorithm}"),
            DigestErrorKind::Panicked => write!(f, "computing {algorithm} panicked"),
        }
    }
}

impl std::error::Error for DigestError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.source.as_ref().map(|source| source as _)
    }
}
