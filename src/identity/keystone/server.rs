//! Asks Keystone about a token: as few times as possible, within a bounded time, with the service's own token.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, StatusCode};
use tokio::{sync::Semaphore, time::Instant};

use super::{
    breaker::{Breaker, PassKind},
    client::{Answer, Broken, Call, Client, explanation},
    service_user::{ServiceUser, Session},
    token::{Token, Unusable},
    trouble::{Health, Trouble, TroubleKind},
};

/// The most validations under way at Keystone. Others wait, within their time.
const MOST_AT_ONCE: usize = 64;

/// What is done about a token that has expired.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Expired {
    Refused,
    /// A service carries on what a user has begun (`allow_expired`). Keystone still bounds it
    /// (`allow_expired_window`).
    Allowed,
}

/// Whether the catalog comes with a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum WithCatalog {
    Yes,
    No,
}

/// What is asked about a token.
#[derive(Clone, Copy)]
struct Question<'t> {
    token: &'t str,
    expired: Expired,
    catalog: WithCatalog,
}

/// Why a token is not confirmed.
#[derive(Debug, Clone)]
pub(super) enum Failure {
    /// Keystone does not know it, or says nothing about it that could be relied on.
    Invalid,
    /// It could not be asked.
    Unavailable(Trouble),
}

/// A token that Keystone has confirmed, and its words.
#[derive(Debug)]
pub(super) struct Confirmed {
    pub(super) token: Arc<Token>,
    pub(super) body: Bytes,
}

/// The identity service.
pub(super) struct Server {
    client: Client,
    user: ServiceUser,
    breaker: Breaker,
    health: Health,
    at_once: Semaphore,
    catalog: WithCatalog,
}

enum Verdict {
    Confirmed(Confirmed),
    Unknown,
    Unusable(&'static str),
    /// Our own token is not accepted.
    Rejected,
    Denied(StatusCode, String),
}

impl Server {
    pub(super) fn new(client: Client, user: ServiceUser, catalog: WithCatalog) -> Self {
        Self {
            client,
            user,
            breaker: Breaker::new(),
            health: Health::default(),
            at_once: Semaphore::new(MOST_AT_ONCE),
            catalog,
        }
    }

    /// See [`Client::patience`].
    pub(super) fn patience(&self) -> Duration {
        self.client.patience()
    }

    /// Logs in unless that is done, and reports what becomes of it.
    pub(super) async fn warm_up(&self) {
        let deadline = Instant::now() + self.patience();
        match self.user.session(PassKind::Normal, deadline).await {
            Ok(session) => tracing::info!(
                user = session.user,
                project = session.project,
                url = %session.tokens_url,
                "logged in at Keystone"
            ),
            Err(trouble) => self.health.fails(&trouble),
        }
    }

    /// Whether and as whose Keystone knows the token. Cancel safe.
    pub(super) async fn validate(
        &self,
        token: &str,
        expired: Expired,
        deadline: Instant,
    ) -> Result<Confirmed, Failure> {
        let catalog = self.catalog;
        let question = Question {
            token,
            expired,
            catalog,
        };
        self.confirm(question, deadline).await
    }

    /// As [`Server::validate`], of a token that has not expired, and with the catalog in any case.
    pub(super) async fn with_catalog(&self, token: &str, deadline: Instant) -> Result<Confirmed, Failure> {
        let question = Question {
            token,
            expired: Expired::Refused,
            catalog: WithCatalog::Yes,
        };
        self.confirm(question, deadline).await
    }

    async fn confirm(&self, question: Question<'_>, deadline: Instant) -> Result<Confirmed, Failure> {
        let begun = Instant::now();
        let outcome = self.within_bounds(question, deadline).await;
        let result = match &outcome {
            Ok(_) => "valid",
            Err(Failure::Invalid) => "invalid",
            Err(Failure::Unavailable(_)) => "unavailable",
        };
        metrics::counter!("saccade_token_validations_total", "result" => result).increment(1);
        metrics::histogram!("saccade_token_validation_duration_seconds")
            .record(begun.elapsed().as_secs_f64());
        outcome
    }

    async fn within_bounds(&self, question: Question<'_>, deadline: Instant) -> Result<Confirmed, Failure> {
        let Ok(Ok(_permit)) = tokio::time::timeout_at(deadline, self.at_once.acquire()).await else {
            return Err(busy("no turn came in time").into());
        };
        let Some(pass) = self.breaker.admit() else {
            return Err(
                Trouble::new(TroubleKind::Unreachable, "Keystone did not answer a moment ago").into(),
            );
        };
        let outcome = self.ask(question, pass.kind(), deadline).await;
        match &outcome {
            Err(Failure::Unavailable(trouble)) => {
                self.health.fails(trouble);
                if trouble.kind == TroubleKind::Unreachable {
                    pass.failed();
                } else {
                    pass.answered();
                }
            }
            Ok(_) | Err(Failure::Invalid) => {
                self.health.works();
                pass.answered();
            }
        }
        outcome
    }

    async fn ask(
        &self,
        question: Question<'_>,
        patience: PassKind,
        deadline: Instant,
    ) -> Result<Confirmed, Failure> {
        let mut session = self.user.session(patience, deadline).await?;
        let mut verdict = self.look_up(&session, question, patience, deadline).await?;
        if matches!(verdict, Verdict::Rejected) {
            session = self.user.another(&session, patience, deadline).await?;
            verdict = self.look_up(&session, question, patience, deadline).await?;
        }
        match verdict {
            Verdict::Confirmed(confirmed) => Ok(confirmed),
            Verdict::Unknown => Err(Failure::Invalid),
            Verdict::Unusable(cause) => {
                tracing::info!("what Keystone says about a token cannot be relied on: {cause}");
                Err(Failure::Invalid)
            }
            Verdict::Rejected => Err(session.useless().into()),
            Verdict::Denied(status, explanation) => Err(denied(&session, status, &explanation).into()),
        }
    }

    async fn look_up(
        &self,
        session: &Arc<Session>,
        question: Question<'_>,
        patience: PassKind,
        deadline: Instant,
    ) -> Result<Verdict, Failure> {
        let mut subject = HeaderValue::from_str(question.token).map_err(|_| Failure::Invalid)?;
        subject.set_sensitive(true);
        let mut headers = HeaderMap::with_capacity(4);
        headers.insert("x-auth-token", session.token.clone());
        headers.insert("x-subject-token", subject);
        // Says that access rules are enforced here; without it Keystone shows no token that has any.
        headers.insert("openstack-identity-access-rules", HeaderValue::from_static("1"));
        let mut url = session.tokens_url.clone();
        url.set_query(match (question.catalog, question.expired) {
            (WithCatalog::Yes, Expired::Refused) => None,
            (WithCatalog::Yes, Expired::Allowed) => Some("allow_expired=1"),
            (WithCatalog::No, Expired::Refused) => Some("nocatalog"),
            (WithCatalog::No, Expired::Allowed) => Some("nocatalog&allow_expired=1"),
        });
        let call = Call {
            method: Method::GET,
            url,
            headers,
            body: None,
        };
        let verdict = self.client.call(&call, patience, deadline, Verdict::read).await;
        verdict.map_err(|broken| {
            let kind = if broken.is_outage() {
                TroubleKind::Unreachable
            } else {
                TroubleKind::Faulty
            };
            let trouble = format_args!("Keystone at {} cannot be used: {broken}", session.tokens_url);
            Trouble::new(kind, trouble).into()
        })
    }
}

impl Verdict {
    fn read(answer: Answer) -> Result<Self, Broken> {
        match answer.status {
            StatusCode::OK => match Token::parse(&answer.body) {
                Ok(token) => Ok(Self::Confirmed(Confirmed {
                    token: Arc::new(token),
                    body: answer.body,
                })),
                Err(Unusable::NotJson) => Err(Broken::Garbage("it is not JSON".to_owned())),
                Err(Unusable::Contents(cause)) => Ok(Self::Unusable(cause)),
            },
            StatusCode::NOT_FOUND => Ok(Self::Unknown),
            StatusCode::UNAUTHORIZED => Ok(Self::Rejected),
            StatusCode::TOO_MANY_REQUESTS => Err(Broken::Server(answer.status)),
            status => Ok(Self::Denied(status, explanation(&answer.body))),
        }
    }
}

fn denied(session: &Session, status: StatusCode, explanation: &str) -> Trouble {
    let (kind, hint) = if status == StatusCode::FORBIDDEN {
        let hint = "its user needs the role service or admin in its project";
        (TroubleKind::Denied, hint.to_owned())
    } else if status.is_redirection() {
        let hint = "redirects are not followed; the catalog must hold the URL of Keystone itself";
        (TroubleKind::Denied, hint.to_owned())
    } else {
        let hint = format!("is {} the URL of Keystone?", session.tokens_url);
        (TroubleKind::Faulty, hint)
    };
    Trouble::new(
        kind,
        format_args!(
            "Keystone does not let this service ({}) validate tokens, with {status} ({explanation}): {hint}",
            session.user
        ),
    )
}

pub(super) fn busy(why: &str) -> Trouble {
    Trouble::new(TroubleKind::Busy, why)
}

impl From<Trouble> for Failure {
    fn from(trouble: Trouble) -> Self {
        Self::Unavailable(trouble)
    }
}
