//! What can go wrong with a request. No error shows credentials or queries.

use std::{error::Error as StdError, io, path::PathBuf};

use crate::{InvalidTarget, Refusal};

/// A request has no answer, or none that goes on. The texts are [`crate::Target`]s.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It was not made.
    #[error("{target} is not asked")]
    Refused {
        /// What was to be asked.
        target: String,
        /// Why not.
        source: Refusal,
    },
    /// Its name has no address now; only [`crate::Client::check`] says so.
    #[error("the name of {target} could not be resolved")]
    Unresolved {
        /// What was to be asked.
        target: String,
        /// Why.
        source: io::Error,
    },
    /// A redirect leads to what is no address, or nowhere.
    #[error("{from} redirects to what cannot be asked")]
    BadRedirect {
        /// Who redirects.
        from: String,
        /// What is wrong with it; nothing if it was not there.
        source: Option<InvalidTarget>,
    },
    /// More redirects than are followed.
    #[error("{target} redirects more than {most} times")]
    TooManyRedirects {
        /// What was asked first.
        target: String,
        /// How many are followed.
        most: u32,
    },
    /// No connection, or one that broke before an answer.
    #[error("{target} could not be reached")]
    Unreachable {
        /// Who.
        target: String,
        /// Why.
        source: reqwest::Error,
    },
    /// No answer, or no bytes, in time.
    #[error("{target} has not answered in time")]
    Timeout {
        /// Who.
        target: String,
    },
    /// Fewer bytes come than [`crate::Limits::slowest`].
    #[error("{target} sends too slowly")]
    TooSlow {
        /// Who.
        target: String,
    },
    /// The body broke off.
    #[error("{target} broke off")]
    Broken {
        /// Who.
        target: String,
        /// Why.
        source: reqwest::Error,
    },
}

/// A client cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The authorities cannot be used.
    #[error("the authorities in {} cannot be used: {cause}", path.display())]
    Authorities {
        /// The file.
        path: PathBuf,
        /// Why.
        cause: String,
    },
    /// The cryptography cannot be used.
    #[error("TLS cannot be used")]
    Tls(#[source] rustls::Error),
    /// The library refuses the options.
    #[error("no client can be made")]
    Client(#[source] reqwest::Error),
}

impl Error {
    /// The failure to send a request; a refusal in the connector is one of ours.
    pub(crate) fn unsent(target: String, error: reqwest::Error) -> Self {
        let mut cause: Option<&(dyn StdError + 'static)> = error.source();
        while let Some(found) = cause {
            if let Some(refusal) = found.downcast_ref::<Refusal>() {
                let source = refusal.clone();
                return Self::Refused { target, source };
            }
            cause = found.source();
        }
        let source = error.without_url();
        Self::Unreachable { target, source }
    }

    /// Whether the same request may have an answer soon.
    pub fn is_passing(&self) -> bool {
        matches!(
            self,
            Self::Unreachable { .. } | Self::Unresolved { .. } | Self::Timeout { .. }
        )
    }
}
