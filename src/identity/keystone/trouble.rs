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
    /// Look into Keystone, if it goes on: it answers, but not this.
    Faulty,
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
            TroubleKind::Unreachable | TroubleKind::Faulty => "Keystone does not answer; try again later",
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

/// So many faults in a row are Keystone's, not of a single token that somebody keeps sending.
const FAULTS_TOLD: u32 = 3;

/// Whether tokens can be validated, logged when it changes and not with each request.
#[derive(Debug, Default)]
pub(super) struct Health(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    told: Option<TroubleKind>,
    faults: u32,
}

impl Health {
    /// After an exchange that Keystone answered as it should.
    pub(super) fn works(&self) {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if std::mem::take(&mut *state).told.is_some() {
            tracing::info!("Keystone validates tokens again");
        }
    }

    /// After one that failed.
    pub(super) fn fails(&self, trouble: &Trouble) {
        let kind = trouble.kind;
        let news = {
            let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            let lasting = match kind {
                TroubleKind::Busy => false,
                TroubleKind::Faulty => {
                    state.faults = state.faults.saturating_add(1);
                    state.faults >= FAULTS_TOLD
                }
                _ => true,
            };
            lasting && state.told.replace(kind) != Some(kind)
        };
        if news {
            tracing::warn!(
                ?kind,
                "tokens cannot be validated, requests are answered with 503: {trouble}"
            );
        } else {
            tracing::debug!(?kind, "a token cannot be validated: {trouble}");
        }
    }
}
