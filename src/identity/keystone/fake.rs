//! A Keystone for the faults that a real one seldom shows.

use std::{
    collections::{HashMap, VecDeque},
    sync::{Arc, LazyLock, Mutex, MutexGuard},
    time::Duration,
};

use async_trait::async_trait;
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, StatusCode};
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use tokio::time::Instant;

use super::{
    super::Secret,
    Credentials, DomainReference, Interface, KeystoneOptions, LoginScope, Tls, TokenBind, UserReference,
    client::{Answer, Broken, Call, Transport},
    shared_cache::{Cached, SharedCache},
};

/// Follows tokio's clock, paused or not.
pub(super) fn wall() -> Timestamp {
    static START: LazyLock<Instant> = LazyLock::new(Instant::now);
    let (start, now) = (*START, Instant::now());
    let since = |late: Instant, early: Instant| SignedDuration::try_from(late - early).unwrap();
    let moved = if now >= start {
        since(now, start)
    } else {
        -since(start, now)
    };
    "2030-01-01T00:00:00Z".parse::<Timestamp>().unwrap() + moved
}

pub(super) fn in_seconds(seconds: i64) -> String {
    format!("{:.6}", wall() + SignedDuration::from_secs(seconds))
}

pub(super) fn options() -> KeystoneOptions {
    KeystoneOptions {
        auth_url: "http://keystone:5000".to_owned(),
        credentials: Credentials::Password {
            user: UserReference::Name {
                name: "glance".to_owned(),
                domain: DomainReference::Name("Default".to_owned()),
            },
            password: Secret::new("pass-of-glance".to_owned()),
            scope: LoginScope::ProjectName {
                name: "service".to_owned(),
                domain: DomainReference::Name("Default".to_owned()),
            },
        },
        www_authenticate_uri: Some("http://public:5000/\"v3\r\n".to_owned()),
        interface: Interface::Internal,
        region_name: Some("R1".to_owned()),
        tls: Tls::default(),
        request_timeout: Duration::from_secs(10),
        max_retries: 3,
        include_service_catalog: true,
        service_token_roles: vec!["service".to_owned()],
        service_token_roles_required: true,
        service_type: Some("image".to_owned()),
        token_bind: TokenBind::Permissive,
        token_cache_time: Some(Duration::from_secs(300)),
        memcached: None,
    }
}

/// The body of a project-scoped token of an ordinary user.
pub(super) fn token(user: &str, roles: &[&str], seconds: i64) -> Value {
    let roles: Vec<_> = roles
        .iter()
        .map(|name| json!({"id": name, "name": name}))
        .collect();
    json!({"token": {
        "methods": ["password"],
        "expires_at": in_seconds(seconds),
        "issued_at": in_seconds(0),
        "user": {"id": user, "name": user, "domain": {"id": "default", "name": "Default"}},
        "project": {"id": "p1", "name": "demo", "domain": {"id": "default", "name": "Default"}},
        "roles": roles,
        "catalog": [{"type": "image", "endpoints": []}],
    }})
}

/// What happens to one request instead of the right answer.
#[derive(Clone)]
pub(super) enum Fault {
    Status(u16),
    Body(&'static str),
    Hang,
    Late(Duration),
    Refused,
    Redirect(String),
    Huge,
}

#[derive(Default)]
pub(super) struct State {
    pub(super) tokens: HashMap<String, Value>,
    pub(super) validations: Vec<Call>,
    pub(super) logins: Vec<Value>,
    /// For the next requests of each kind, in turn.
    pub(super) faults: VecDeque<Fault>,
    pub(super) login_faults: VecDeque<Fault>,
    /// For all requests of both kinds.
    pub(super) always: Option<Fault>,
    pub(super) under_way: usize,
    pub(super) most_under_way: usize,
    /// Of the service's own tokens.
    pub(super) life: i64,
    pub(super) catalog: Option<Value>,
    /// The service's tokens that are accepted.
    pub(super) accepted: Vec<String>,
}

#[derive(Clone)]
pub(super) struct FakeKeystone(Arc<Mutex<State>>);

impl FakeKeystone {
    pub(super) fn new() -> Self {
        let catalog = json!([{"type": "identity", "name": "keystone", "endpoints": [
            {"interface": "public", "region_id": "R1", "region": "R1", "url": "http://public:5000/v3"},
            {"interface": "internal", "region_id": "R1", "region": "R1", "url": "http://internal:5000/identity/v3"},
        ]}]);
        Self(Arc::new(Mutex::new(State {
            life: 3600,
            catalog: Some(catalog),
            ..State::default()
        })))
    }

    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap()
    }

    pub(super) fn knows(&self, token: &str, body: Value) -> &Self {
        self.state().tokens.insert(token.to_owned(), body);
        self
    }

    pub(super) fn fails(&self, faults: impl IntoIterator<Item = Fault>) {
        self.state().faults.extend(faults);
    }

    pub(super) fn logins(&self) -> usize {
        self.state().logins.len()
    }

    pub(super) fn validations(&self) -> usize {
        self.state().validations.len()
    }

    pub(super) fn last_query(&self) -> Option<String> {
        let state = self.state();
        state.validations.last().unwrap().url.query().map(str::to_owned)
    }

    fn note(&self, call: &Call) -> Option<Fault> {
        let mut state = self.state();
        let fault = if call.method == Method::POST {
            let body = serde_json::from_slice(call.body.as_ref().unwrap()).unwrap();
            state.logins.push(body);
            state.login_faults.pop_front()
        } else {
            state.validations.push(call.clone());
            state.faults.pop_front()
        };
        fault.or_else(|| state.always.clone())
    }

    fn right_answer(&self, call: &Call) -> Answer {
        let mut state = self.state();
        if call.method == Method::POST {
            let token = format!("service-token-{}", state.logins.len());
            state.accepted.push(token.clone());
            let mut body = self::token("glance-id", &["service"], state.life);
            body["token"]["catalog"] = state.catalog.clone().unwrap_or_default();
            let mut answer = answer(201, &body.to_string());
            answer
                .headers
                .insert("x-subject-token", HeaderValue::from_str(&token).unwrap());
            return answer;
        }
        let own = call.headers["x-auth-token"].to_str().unwrap();
        if !state.accepted.iter().any(|token| token == own) {
            return answer(
                401,
                r#"{"error": {"message": "The request requires authentication."}}"#,
            );
        }
        let allow_expired = call
            .url
            .query()
            .is_some_and(|query| query.contains("allow_expired=1"));
        let subject = call.headers["x-subject-token"].to_str().unwrap();
        match state.tokens.get(subject) {
            Some(body) if allow_expired || alive(body) => answer(200, &body.to_string()),
            _ => answer(404, r#"{"error": {"message": "Could not find token."}}"#),
        }
    }
}

fn alive(body: &Value) -> bool {
    let expires = body["token"]["expires_at"].as_str();
    expires.is_none_or(|time| time.parse::<Timestamp>().is_ok_and(|time| time > wall()))
}

fn answer(status: u16, body: &str) -> Answer {
    Answer {
        status: StatusCode::from_u16(status).unwrap(),
        headers: HeaderMap::new(),
        body: Bytes::copy_from_slice(body.as_bytes()),
    }
}

/// Counts the requests under way, those given up included.
struct UnderWay(FakeKeystone);

impl UnderWay {
    fn new(fake: &FakeKeystone) -> Self {
        let mut state = fake.state();
        state.under_way += 1;
        state.most_under_way = state.most_under_way.max(state.under_way);
        Self(fake.clone())
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.0.state().under_way -= 1;
    }
}

#[async_trait]
impl Transport for FakeKeystone {
    async fn exchange(&self, call: &Call) -> Result<Answer, Broken> {
        let _under_way = UnderWay::new(self);
        let secret = r#"{"error": {"message": "m"}, "echo": "user-token pass-of-glance"}"#;
        match self.note(call) {
            None => Ok(self.right_answer(call)),
            Some(Fault::Status(status)) => Ok(answer(status, secret)),
            Some(Fault::Body(body)) => {
                let status = if call.method == Method::POST { 201 } else { 200 };
                Ok(answer(status, body))
            }
            Some(Fault::Hang) => std::future::pending().await,
            Some(Fault::Late(time)) => {
                tokio::time::sleep(time).await;
                Ok(self.right_answer(call))
            }
            Some(Fault::Refused) => Err(Broken::Connection("connection refused".to_owned())),
            Some(Fault::Redirect(to)) => {
                let mut answer = answer(302, "");
                answer
                    .headers
                    .insert("location", HeaderValue::from_str(&to).unwrap());
                Ok(answer)
            }
            Some(Fault::Huge) => Ok(answer(200, &" ".repeat(3 * 1024 * 1024))),
        }
    }
}

/// A memcached.
#[derive(Clone, Default)]
pub(super) struct FakeMemcached(Arc<Mutex<Memory>>);

#[derive(Default)]
pub(super) struct Memory {
    pub(super) bodies: HashMap<String, (Vec<u8>, Option<Duration>)>,
    pub(super) written: Vec<(String, Vec<u8>, Duration)>,
    /// Before each answer.
    pub(super) pause: Duration,
}

impl FakeMemcached {
    pub(super) fn state(&self) -> MutexGuard<'_, Memory> {
        self.0.lock().unwrap()
    }

    pub(super) fn holds(&self, token: &str, body: &str, remaining: Option<Duration>) {
        let body = (body.as_bytes().to_vec(), remaining);
        self.state().bodies.insert(token.to_owned(), body);
    }
}

#[async_trait]
impl SharedCache for FakeMemcached {
    async fn get(&self, token: &str) -> Option<Cached> {
        let pause = self.state().pause;
        tokio::time::sleep(pause).await;
        let (body, remaining) = self.state().bodies.get(token).cloned()?;
        Some(Cached { body, remaining })
    }

    async fn set(&self, token: &str, body: &[u8], ttl: Duration) {
        let pause = self.state().pause;
        tokio::time::sleep(pause).await;
        self.state().written.push((token.to_owned(), body.to_vec(), ttl));
    }
}
