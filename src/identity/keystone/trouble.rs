//! Why Keystone cannot be asked, told once to the operator.

use std::{
    fmt,
    sync::{Arc, Mutex, PoisonError},
};

/// What keeps tokens from being validated; nothing about the token itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Trouble {
    pub(super) kind: TroubleKind,
    /// For the operator, never for clients: it may name hosts, users and options.
    pub(super) detail: Arc<str>,
}

/// What an operator would do about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum TroubleKind {
    /// Wait, or repair Keystone or the way to it.
    Unreachable,
    /// Correct the credentials or `auth_url`.
    LoginRefused,
    /// Correct the catalog, `interface` or `region_name`.
    NoEndpoint,
    /// Give the service user the right to validate tokens.
    Denied,
    /// Nothing: more tokens at once than are taken on.
    Busy,
}

impl Trouble {
    pub(super) fn new(kind: TroubleKind, detail: impl fmt::Display) -> Self {
        Self {
            kind,
            detail: detail.to_string().into(),
        }
    }

    /// For the client, who may be anybody.
    pub(super) fn public(&self) -> &'static str {
        match self.kind {
            TroubleKind::Unreachable => "Keystone does not answer; try again later",
            TroubleKind::LoginRefused | TroubleKind::NoEndpoint | TroubleKind::Denied => {
                "this service cannot use Keystone; its operator finds the reason in its log"
            }
            TroubleKind::Busy => "too many tokens are being validated; try again later",
        }
    }
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.detail)
    }
}

/// Whether tokens can be validated, logged when it changes and not with each request.
#[derive(Debug, Default)]
pub(super) struct Health(Mutex<Option<TroubleKind>>);

impl Health {
    /// After an exchange that Keystone answered as it should.
    pub(super) fn works(&self) {
        let before = self.0.lock().unwrap_or_else(PoisonError::into_inner).take();
        if before.is_some() {
            tracing::info!("Keystone validates tokens again");
        }
    }

    /// After one that failed.
    pub(super) fn fails(&self, trouble: &Trouble) {
        let before = if trouble.kind == TroubleKind::Busy {
            Some(TroubleKind::Busy)
        } else {
            let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            state.replace(trouble.kind)
        };
        if before == Some(trouble.kind) {
            tracing::debug!(kind = ?trouble.kind, "tokens cannot be validated: {trouble}");
        } else {
            tracing::warn!(
                kind = ?trouble.kind,
                "tokens cannot be validated, requests are answered with 503: {trouble}"
            );
        }
    }
}
