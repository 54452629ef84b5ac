//! In whose name a store acts, and who may read what it keeps.

use std::{fmt, sync::Arc};

use zeroize::Zeroizing;

/// A caller in whose name a store acts: what proves who that is, and where the caller's catalogue says that services are.
/// It lives as long as the caller's request and what that has begun; it is never written down.
///
/// `Debug` shows no token. Clones are handles to the same one.
#[derive(Clone)]
pub struct OnBehalf(Arc<Caller>);

struct Caller {
    token: Zeroizing<String>,
    endpoints: Vec<Endpoint>,
}

/// One address of a service in a catalogue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint {
    /// The type of the service, such as `object-store`.
    pub service_type: String,
    /// The region, if the catalogue says one.
    pub region: Option<String>,
    /// `public`, `internal` or `admin`.
    pub interface: String,
    /// The address, as the catalogue has it.
    pub url: String,
}

impl OnBehalf {
    /// A caller with this token, whose catalogue has these endpoints.
    pub fn new(token: impl Into<String>, endpoints: Vec<Endpoint>) -> Self {
        Self(Arc::new(Caller {
            token: Zeroizing::new(token.into()),
            endpoints,
        }))
    }

    /// What proves the caller.
    pub fn token(&self) -> &str {
        &self.0.token
    }

    /// Where services are, in the catalogue's order.
    pub fn endpoints(&self) -> &[Endpoint] {
        &self.0.endpoints
    }
}

impl fmt::Debug for OnBehalf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OnBehalf").finish_non_exhaustive()
    }
}

/// Who may read a blob where it is kept, beside whom it belongs to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Readers {
    /// Whoever is known to the cloud.
    Everyone,
    /// The users of these projects, by their ids; of none: nobody.
    Projects(Vec<String>),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_caller_shows_no_token() {
        let caller = OnBehalf::new("s3cret", Vec::new());
        assert_eq!(caller.token(), "s3cret");
        assert!(!format!("{caller:?}").contains("s3cret"));
    }
}
