//! A project's account: whose token reaches it.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use http::{HeaderValue, StatusCode};

use crate::{
    account::{LogIn, Session},
    failure::Failure,
    tenant_address::TenantAddress,
};

/// What the store's own account stands in for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum StandIn {
    /// A caller whose token has ended, in the middle of an upload; or no caller.
    Expired,
    /// Also a caller whom the server refuses, in what shows nobody anything: the daemon's own policy has decided.
    Refused,
    /// Nobody: what is read may be a link to what only the store's own account may see.
    Never,
}

/// A project's account, reached with a caller's token, and with that of the store's own account in its place.
pub(crate) struct TenantAccount {
    address: TenantAddress,
    /// Only if it may be given to this server. Marked as sensitive.
    caller: Option<HeaderValue>,
    service: Option<Arc<LogIn>>,
    stand_in: StandIn,
    /// The caller's token is worth nothing there any more.
    is_refused: AtomicBool,
}

impl TenantAccount {
    pub(crate) fn new(
        address: TenantAddress,
        caller: Option<HeaderValue>,
        service: Option<Arc<LogIn>>,
        stand_in: StandIn,
    ) -> Self {
        Self {
            address,
            caller,
            service: service.filter(|_| stand_in != StandIn::Never),
            stand_in,
            is_refused: AtomicBool::new(false),
        }
    }

    /// A token for this account, and its address. Cancel safe.
    pub(crate) async fn session(&self, http: &reqwest::Client) -> Result<Arc<Session>, Failure> {
        let storage = self.address.url().clone();
        if let Some(token) = &self.caller
            && !self.is_replaced()
        {
            return Ok(Arc::new(Session::lent(token.clone(), storage)));
        }
        if self.stand_in == StandIn::Never {
            return Err(Failure::NoReader);
        }
        let Some(service) = &self.service else {
            return Err(Failure::LogIn(
                "the image is in a project's account: nobody's token is at hand that may be used there, and the store has no \
                 account of its own to stand in (swift_store_auth_address, swift_store_user, swift_store_key)"
                    .to_owned(),
            ));
        };
        let session = service.session(http).await?;
        let home = TenantAddress::parse(session.storage.as_str());
        if !home.is_some_and(|home| home.is_beside(&self.address)) {
            return Err(Failure::LogIn(
                "the image is at another server than the store's own account, which is given no token"
                    .to_owned(),
            ));
        }
        Ok(Arc::new(Session::lent(session.token.clone(), storage)))
    }

    /// The server has refused the token of a session.
    pub(crate) fn refused(&self, session: &Session, status: StatusCode) {
        let is_expired = status == StatusCode::UNAUTHORIZED;
        if self.caller.as_ref() == Some(&session.token) {
            if self.service.is_some() && (is_expired || self.stand_in == StandIn::Refused) {
                self.is_refused.store(true, Ordering::Relaxed);
            }
        } else if let Some(service) = self.service.as_ref().filter(|_| is_expired) {
            service.forget(session);
        }
    }

    /// Whether another token stands in for the caller's, which was refused.
    pub(crate) fn is_replaced(&self) -> bool {
        self.is_refused.load(Ordering::Relaxed)
    }

    /// Whether a session's token is the store's own.
    pub(crate) fn is_stand_in(&self, session: &Session) -> bool {
        self.caller.as_ref() != Some(&session.token)
    }

    /// What nobody may see.
    pub(crate) fn key(&self) -> &str {
        self.service.as_ref().map_or("", |service| service.key())
    }
}

impl fmt::Debug for TenantAccount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TenantAccount")
            .field("address", &self.address)
            .field("stand_in", &self.stand_in)
            .finish_non_exhaustive()
    }
}
