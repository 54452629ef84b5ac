//! The service's own login: one at a time, ahead of need, and never hammered.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, StatusCode};
use jiff::Timestamp;
use serde::Deserialize;
use tokio::time::Instant;
use url::Url;

use super::{
    Interface, KeystoneError, KeystoneOptions, WallClock,
    breaker::PassKind,
    catalog,
    client::{Answer, Broken, Call, Client, explanation},
    login::Login,
    single_flight::{Joined, SingleFlight},
    trouble::{Trouble, TroubleKind},
};

/// Renewed when less than this of a token's life is left, or less than a tenth. A token that lives shorter still is
/// renewed at half its life.
const RENEWED_WITH_LEFT: Duration = Duration::from_secs(60);

/// Not used when less than this is left: it would expire on its way.
const UNUSED_WITH_LEFT: Duration = Duration::from_secs(5);

/// How long nobody logs in after a refusal; doubled with each one in a row, up to the longest. A user can be locked
/// out by too many.
const FIRST_REST: Duration = Duration::from_secs(5);
const LONGEST_REST: Duration = Duration::from_secs(60);

/// The same when Keystone did not answer.
const REST_UNREACHABLE: Duration = Duration::from_secs(1);

/// Keystone's rejections make for no more than one login in this time: when it rejects a new token as well, the next
/// would fare no better.
const BETWEEN_REPLACEMENTS: Duration = Duration::from_secs(5);

/// A login that Keystone has granted.
#[derive(Debug)]
pub(super) struct Session {
    /// Marked sensitive.
    pub(super) token: HeaderValue,
    /// Where tokens are validated.
    pub(super) tokens_url: Url,
    /// `name (id)` of the user, and of the project if there is one.
    pub(super) user: String,
    pub(super) project: Option<String>,
    renewed_from: Instant,
    unused_from: Instant,
}

type Outcome = Result<Arc<Session>, Trouble>;

/// Who this service is at Keystone.
pub(super) struct ServiceUser {
    shared: Arc<Shared>,
    logins: SingleFlight<(), Outcome>,
}

struct Shared {
    client: Client,
    login: Login,
    interface: Interface,
    region_name: Option<String>,
    now: WallClock,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    session: Option<Arc<Session>>,
    rest: Option<Rest>,
    /// When a token was last given up because Keystone had rejected it.
    replaced: Option<Instant>,
}

/// Nobody logs in for a while.
struct Rest {
    until: Instant,
    refusals: u32,
    trouble: Trouble,
}

enum Standing {
    Good(Arc<Session>),
    /// Good for now, and to be renewed.
    Old(Arc<Session>),
    /// The last login failed a moment ago.
    Resting(Trouble),
    None,
}

impl ServiceUser {
    pub(super) fn new(
        options: &KeystoneOptions,
        client: Client,
        now: WallClock,
    ) -> Result<Self, KeystoneError> {
        Ok(Self {
            shared: Arc::new(Shared {
                client,
                login: Login::new(options)?,
                interface: options.interface,
                region_name: options.region_name.clone(),
                now,
                state: Mutex::default(),
            }),
            logins: SingleFlight::new(1),
        })
    }

    /// The current login; a new one when there is none. One that nears its end is renewed in the background.
    pub(super) async fn session(&self, patience: PassKind, deadline: Instant) -> Outcome {
        match self.shared.standing() {
            Standing::Good(session) => Ok(session),
            Standing::Old(session) => {
                self.log_in(PassKind::Normal);
                Ok(session)
            }
            Standing::Resting(trouble) => Err(trouble),
            Standing::None => match self.log_in(patience) {
                Joined::Settled(outcome) => outcome,
                Joined::Waiting(login) => match tokio::time::timeout_at(deadline, login).await {
                    Ok(Ok(outcome)) => outcome,
                    Ok(Err(_)) => Err(Trouble::new(TroubleKind::Unreachable, "the login was given up")),
                    Err(_) => Err(self.shared.login.unreachable(&Broken::Timeout)),
                },
                Joined::Full => Err(Trouble::new(TroubleKind::Busy, "more than one login")),
            },
        }
    }

    /// Another login than the one whose token Keystone has rejected.
    pub(super) async fn another(
        &self,
        rejected: &Arc<Session>,
        patience: PassKind,
        deadline: Instant,
    ) -> Outcome {
        {
            let mut state = self.shared.state();
            let current = state.session.as_ref();
            if current.is_some_and(|current| Arc::ptr_eq(current, rejected)) {
                if state
                    .replaced
                    .is_some_and(|at| at.elapsed() < BETWEEN_REPLACEMENTS)
                {
                    return Err(rejected.useless());
                }
                state.replaced = Some(Instant::now());
                state.session = None;
            }
        }
        self.session(patience, deadline).await
    }

    fn log_in(&self, patience: PassKind) -> Joined<Outcome> {
        let settled = || match self.shared.standing() {
            Standing::Good(session) => Some(Ok(session)),
            Standing::Resting(trouble) => Some(Err(trouble)),
            // Old, and resting: the last attempt to renew it failed.
            Standing::Old(session) if self.shared.rests() => Some(Ok(session)),
            Standing::Old(_) | Standing::None => None,
        };
        let shared = Arc::clone(&self.shared);
        self.logins
            .join((), settled, || async move { shared.log_in(patience).await })
    }
}

impl Session {
    /// What it means that Keystone rejects even this token.
    pub(super) fn useless(&self) -> Trouble {
        Trouble::new(
            TroubleKind::Denied,
            format_args!(
                "{} rejects the token that this service has just been given: does it belong to the same Keystone as \
                 auth_url, with the same keys and clock?",
                self.tokens_url
            ),
        )
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn rests(&self) -> bool {
        let state = self.state();
        state
            .rest
            .as_ref()
            .is_some_and(|rest| Instant::now() < rest.until)
    }

    fn standing(&self) -> Standing {
        let state = self.state();
        let now = Instant::now();
        match (&state.session, &state.rest) {
            (Some(session), _) if now < session.renewed_from => Standing::Good(Arc::clone(session)),
            (Some(session), _) if now < session.unused_from => Standing::Old(Arc::clone(session)),
            (_, Some(rest)) if now < rest.until => Standing::Resting(rest.trouble.clone()),
            _ => Standing::None,
        }
    }

    async fn log_in(&self, patience: PassKind) -> Outcome {
        let outcome = self.attempt(patience).await;
        let mut state = self.state();
        let result = match &outcome {
            Ok(session) => {
                tracing::debug!(user = session.user, "logged in at Keystone");
                state.session = Some(Arc::clone(session));
                state.rest = None;
                "success"
            }
            Err(trouble) => {
                let refusals = state.rest.as_ref().map_or(0, |rest| rest.refusals);
                let (refusals, rest) = if trouble.kind == TroubleKind::Unreachable {
                    (refusals, REST_UNREACHABLE)
                } else {
                    let rest = FIRST_REST.saturating_mul(1 << refusals.min(8)).min(LONGEST_REST);
                    (refusals.saturating_add(1), rest)
                };
                tracing::debug!("no login at Keystone: {trouble}");
                state.rest = Some(Rest {
                    until: Instant::now() + rest,
                    refusals,
                    trouble: trouble.clone(),
                });
                match trouble.kind {
                    TroubleKind::LoginRefused => "refused",
                    TroubleKind::NoEndpoint => "no_endpoint",
                    _ => "unreachable",
                }
            }
        };
        drop(state);
        metrics::counter!("saccade_keystone_logins_total", "result" => result).increment(1);
        outcome
    }

    async fn attempt(&self, patience: PassKind) -> Outcome {
        let begun = Instant::now();
        let deadline = begun + self.client.patience();
        let call = Call {
            method: Method::POST,
            url: self.login.url().clone(),
            headers: HeaderMap::new(),
            body: Some(Bytes::from(self.login.body().to_string())),
        };
        let reply = self
            .client
            .call(&call, patience, deadline, Reply::read)
            .await
            .map_err(|broken| self.login.unreachable(&broken))?;
        match reply {
            Reply::Granted {
                token,
                expires,
                granted,
            } => self.session(begun, token, expires, granted),
            Reply::Refused(status, explanation) => Err(self.login.refused(status, &explanation)),
        }
    }

    fn session(
        &self,
        begun: Instant,
        mut token: HeaderValue,
        expires: Timestamp,
        granted: Granted,
    ) -> Outcome {
        let tokens_url = match &granted.catalog {
            Some(catalog) => catalog::tokens_url(catalog, self.interface, self.region_name.as_deref())
                .map_err(|error| {
                    let error: &dyn std::error::Error = &error;
                    let cause = error.source().map(|cause| format!(": {cause}"));
                    Trouble::new(
                        TroubleKind::NoEndpoint,
                        format_args!("{error}{}", cause.unwrap_or_default()),
                    )
                })?,
            // A token without scope comes without a catalog.
            None => self.login.url().clone(),
        };
        token.set_sensitive(true);
        // By the clock of Keystone where it is told: ours may differ.
        let issued = granted.issued_at.and_then(|time| time.parse().ok());
        let issued: Timestamp = issued.unwrap_or_else(self.now);
        let life = Duration::try_from(expires.duration_since(issued)).unwrap_or_default();
        if life.is_zero() {
            return Err(Trouble::new(
                TroubleKind::Faulty,
                "the token of a login has no life left: do the clocks agree?",
            ));
        }
        let renewed_with_left = (life / 10).max(RENEWED_WITH_LEFT).min(life / 2);
        let unused_with_left = UNUSED_WITH_LEFT.min(life / 4);
        Ok(Arc::new(Session {
            token,
            tokens_url,
            user: granted.user.to_string(),
            project: granted.project.map(|project| project.to_string()),
            renewed_from: begun + (life - renewed_with_left),
            unused_from: begun + (life - unused_with_left),
        }))
    }
}

enum Reply {
    Granted {
        token: HeaderValue,
        expires: Timestamp,
        granted: Granted,
    },
    Refused(StatusCode, String),
}

#[derive(Deserialize)]
struct GrantedBody {
    token: Granted,
}

#[derive(Deserialize)]
struct Granted {
    expires_at: String,
    #[serde(default)]
    issued_at: Option<String>,
    user: Named,
    #[serde(default)]
    project: Option<Named>,
    #[serde(default)]
    catalog: Option<Vec<catalog::Service>>,
}

#[derive(Deserialize)]
struct Named {
    id: String,
    #[serde(default)]
    name: Option<String>,
}

impl std::fmt::Display for Named {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.name {
            Some(name) => write!(f, "{} ({})", name.escape_debug(), self.id.escape_debug()),
            None => write!(f, "{}", self.id.escape_debug()),
        }
    }
}

impl Reply {
    fn read(answer: Answer) -> Result<Self, Broken> {
        match answer.status {
            StatusCode::CREATED | StatusCode::OK => {}
            StatusCode::TOO_MANY_REQUESTS => return Err(Broken::Server(answer.status)),
            status => return Ok(Self::Refused(status, explanation(&answer.body))),
        }
        let mut headers = answer.headers;
        let token = headers
            .remove("x-subject-token")
            .filter(|token| !token.is_empty());
        let token = token.ok_or_else(|| Broken::Garbage("a login without X-Subject-Token".to_owned()))?;
        // The error of serde may cite the body.
        let body: GrantedBody = serde_json::from_slice(&answer.body)
            .map_err(|_| Broken::Garbage("a login that does not read as a token".to_owned()))?;
        let granted = body.token;
        let expires = granted
            .expires_at
            .parse()
            .map_err(|_| Broken::Garbage("a login whose expires_at is no time".to_owned()))?;
        Ok(Self::Granted {
            token,
            expires,
            granted,
        })
    }
}
