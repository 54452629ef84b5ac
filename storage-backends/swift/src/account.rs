//! Logging in to an account, and staying so.

use std::{
    fmt,
    sync::Arc,
    time::{Duration, SystemTime},
};

use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use jiff::Timestamp;
use saccade_outgoing::headers::retry_after;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::{
    sync::Mutex,
    time::{Instant, timeout},
};
use url::Url;

use crate::{
    client::{ANSWER, chain, pause, short_body},
    config::{EndpointType, Secret, SwiftStoreConfig},
    failure::Failure,
    references::{Domain, Login, Reference},
};

const RETRIES: u32 = 2;
/// Catalogues of large clouds.
const LONGEST_ANSWER: usize = 4 << 20;

/// An account that somebody has logged in to.
pub(crate) struct Session {
    /// Marked as sensitive.
    pub(crate) token: HeaderValue,
    pub(crate) storage: Url,
    /// By the server's own measure of time; `None`: it does not tell.
    ends: Option<Instant>,
    /// How long before its end it is replaced: at most half of its life, or it would be replaced at once.
    soon: Duration,
}

/// Logs in, and remembers it.
pub(crate) struct LogIn {
    reference: Reference,
    endpoint: Option<Url>,
    interface: EndpointType,
    service_type: String,
    region: Option<String>,
    soon: Duration,
    /// Held by whoever logs in.
    turn: Mutex<()>,
    known: std::sync::Mutex<Known>,
}

/// How long a session may be used.
#[derive(Clone, Copy)]
enum Until {
    /// Until it ends soon.
    Soon,
    /// Until it ends.
    End,
}

/// What log-ins have come to.
#[derive(Default)]
struct Known {
    session: Option<Arc<Session>>,
    /// The last one that failed, and when.
    failed: Option<(Instant, Failure)>,
}

impl LogIn {
    pub(crate) fn new(config: &SwiftStoreConfig, reference: Reference) -> Result<Self, &'static str> {
        let endpoint = match config.swift_store_endpoint.as_deref() {
            None | Some("") => None,
            Some(text) => Some(
                Url::parse(text)
                    .ok()
                    .filter(Url::has_host)
                    .ok_or("is not a URL")?,
            ),
        };
        Ok(Self {
            reference,
            endpoint,
            interface: config.swift_store_endpoint_type,
            service_type: config.swift_store_service_type.clone(),
            region: config
                .swift_store_region
                .clone()
                .filter(|region| !region.is_empty()),
            soon: Duration::from_secs(config.swift_store_expire_soon_interval),
            turn: Mutex::default(),
            known: std::sync::Mutex::default(),
        })
    }

    /// What nobody may see.
    pub(crate) fn key(&self) -> &str {
        self.reference.login.key().reveal()
    }

    /// A session that does not end soon; all who need one wait for one log-in, and for no other once it has failed. While
    /// one that ends soon is being replaced, the others go on with it. Cancel safe.
    pub(crate) async fn session(&self, http: &reqwest::Client) -> Result<Arc<Session>, Failure> {
        let begun = Instant::now();
        if let Some(session) = self.known_until(Until::Soon) {
            return Ok(session);
        }
        let _turn = match (self.turn.try_lock(), self.known_until(Until::End)) {
            (Ok(turn), _) => turn,
            (Err(_), Some(session)) => return Ok(session),
            (Err(_), None) => self.turn.lock().await,
        };
        if let Some(session) = self.known_until(Until::Soon) {
            return Ok(session);
        }
        if let Some((at, failure)) = &self.known().failed
            && *at >= begun
        {
            return Err(failure.clone());
        }
        match self.log_in_patiently(http).await {
            Ok(session) => {
                let session = Arc::new(session);
                *self.known() = Known {
                    session: Some(Arc::clone(&session)),
                    failed: None,
                };
                Ok(session)
            }
            Err(failure) => {
                self.known().failed = Some((Instant::now(), failure.clone()));
                match self.known_until(Until::End) {
                    // Keystone is away for a while: what there is may do.
                    Some(session) if failure.is_passing() => {
                        tracing::warn!(%failure, "the Swift store cannot log in anew yet");
                        Ok(session)
                    }
                    _ => Err(failure),
                }
            }
        }
    }

    /// A server does not take this session's token any more.
    pub(crate) fn forget(&self, session: &Session) {
        let mut known = self.known();
        if known
            .session
            .as_ref()
            .is_some_and(|held| held.token == session.token)
        {
            known.session = None;
        }
    }

    fn known(&self) -> std::sync::MutexGuard<'_, Known> {
        self.known
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// The session, if it may be used.
    fn known_until(&self, until: Until) -> Option<Arc<Session>> {
        let session = self.known().session.clone();
        session.filter(|session| {
            session.lasts(match until {
                Until::Soon => session.soon,
                Until::End => Duration::ZERO,
            })
        })
    }

    async fn log_in_patiently(&self, http: &reqwest::Client) -> Result<Session, Failure> {
        let mut retried = 0;
        loop {
            match self.log_in(http).await {
                Ok(session) => return Ok(session),
                Err(failure) => pause("log in", RETRIES, &mut retried, failure).await?,
            }
        }
    }

    async fn log_in(&self, http: &reqwest::Client) -> Result<Session, Failure> {
        // A token's life is counted from before it began.
        let begun = Instant::now();
        let request = match &self.reference.login {
            Login::V1 { user, key } => http
                .get(self.reference.auth_address.clone())
                .header("x-auth-user", secret_value(user)?)
                .header("x-auth-key", secret_value(key.reveal())?),
            login => http
                .request(Method::POST, self.tokens_url())
                .header(header::CONTENT_TYPE, "application/json")
                .header(header::ACCEPT, "application/json")
                .body(json!({ "auth": identity(login) }).to_string()),
        };
        let answer = timeout(ANSWER, async {
            let response = request
                .send()
                .await
                .map_err(|error| Failure::Connection(chain(error)))?;
            let (status, headers) = (response.status(), response.headers().clone());
            let body = short_body(response, LONGEST_ANSWER).await?;
            Ok((status, headers, body))
        });
        let (status, headers, body) = answer.await.map_err(|_| Failure::Timeout(ANSWER))??;
        match status {
            status if status.is_success() => {}
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
                let why = format!("{status} at the log-in of {}", self.reference.name);
                return Err(Failure::LogIn(why));
            }
            status => {
                let pause = headers
                    .get(header::RETRY_AFTER)
                    .and_then(|value| retry_after(value.as_bytes(), SystemTime::now()));
                return Err(Failure::Answer {
                    status,
                    message: "at the log-in".to_owned(),
                    pause,
                });
            }
        }
        let session = match &self.reference.login {
            Login::V1 { .. } => self.of_headers(&headers, begun),
            _ => self.of_keystone(&headers, &body, begun),
        }?;
        tracing::debug!(reference = self.reference.name, "logged in to Swift");
        Ok(session)
    }

    /// As keystoneauth makes it.
    fn tokens_url(&self) -> Url {
        let mut url = self.reference.auth_address.clone();
        let path = url.path().trim_end_matches('/').to_owned();
        let version = if path.ends_with("v3") { "" } else { "/v3" };
        url.set_path(&format!("{path}{version}/auth/tokens"));
        url
    }

    fn of_headers(&self, headers: &HeaderMap, begun: Instant) -> Result<Session, Failure> {
        let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
        let life = text("x-auth-token-expires")
            .and_then(|text| text.parse().ok())
            .map(Duration::from_secs);
        self.of_parts(
            text("x-auth-token"),
            text("x-storage-url").and_then(|url| Url::parse(url).ok()),
            life,
            begun,
        )
    }

    fn of_keystone(&self, headers: &HeaderMap, body: &[u8], begun: Instant) -> Result<Session, Failure> {
        let told: TokenAnswer =
            serde_json::from_slice(body).map_err(|_| Failure::Nonsense("Keystone's token"))?;
        let life = told.token.life();
        let storage = match &self.endpoint {
            Some(_) => None,
            None => Some(self.find(&told.token.catalog)?),
        };
        let token = headers
            .get("x-subject-token")
            .and_then(|value| value.to_str().ok());
        self.of_parts(token, storage, life, begun)
    }

    fn of_parts(
        &self,
        token: Option<&str>,
        storage: Option<Url>,
        life: Option<Duration>,
        begun: Instant,
    ) -> Result<Session, Failure> {
        let storage = self.endpoint.clone().or(storage);
        Ok(Session {
            token: secret_value(token.ok_or(Failure::Nonsense("a log-in without a token"))?)?,
            storage: storage
                .filter(Url::has_host)
                .ok_or(Failure::Nonsense("a log-in without a storage URL"))?,
            ends: life.and_then(|life| begun.checked_add(life)),
            soon: life.map_or(self.soon, |life| self.soon.min(life / 2)),
        })
    }

    fn find(&self, catalog: &[Service]) -> Result<Url, Failure> {
        let in_region = |endpoint: &&Endpoint| {
            let region = endpoint.region.as_ref().or(endpoint.region_id.as_ref());
            self.region.is_none() || self.region.as_ref() == region
        };
        let url = catalog
            .iter()
            .filter(|service| service.r#type == self.service_type)
            .flat_map(|service| &service.endpoints)
            .filter(in_region)
            .find(|endpoint| endpoint.interface == self.interface.interface());
        let url = url.and_then(|endpoint| Url::parse(&endpoint.url).ok());
        url.ok_or_else(|| {
            Failure::LogIn(format!(
                "Keystone's catalogue has no {} endpoint of {} in region {}",
                self.interface.interface(),
                self.service_type,
                self.region.as_deref().unwrap_or("(any)")
            ))
        })
    }
}

impl Session {
    /// With a token that somebody else has come by, whose end is not known.
    pub(crate) fn lent(token: HeaderValue, storage: Url) -> Self {
        Self {
            token,
            storage,
            ends: None,
            soon: Duration::ZERO,
        }
    }

    fn lasts(&self, so_long: Duration) -> bool {
        self.ends.is_none_or(|ends| {
            Instant::now()
                .checked_add(so_long)
                .is_some_and(|then| then < ends)
        })
    }

    pub(crate) fn header(&self) -> (HeaderName, HeaderValue) {
        (HeaderName::from_static("x-auth-token"), self.token.clone())
    }
}

impl fmt::Debug for LogIn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("LogIn").field(&self.reference).finish()
    }
}

pub(crate) fn secret_value(text: &str) -> Result<HeaderValue, Failure> {
    let mut value = HeaderValue::from_str(text).map_err(|_| {
        Failure::LogIn("a user, key or token has characters that no header can hold".to_owned())
    })?;
    value.set_sensitive(true);
    Ok(value)
}

fn identity(login: &Login) -> Value {
    let domain = |domain: &Domain| match domain {
        Domain::Id(id) => json!({ "id": id }),
        Domain::Name(name) => json!({ "name": name }),
    };
    let reveal = Secret::reveal;
    match login {
        Login::V1 { user, key } => json!({ "identity": { "methods": ["password"],
            "password": { "user": { "name": user, "password": reveal(key) } } } }),
        Login::Password {
            project,
            user,
            key,
            project_domain,
            user_domain,
        } => json!({
            "identity": { "methods": ["password"], "password": { "user": {
                "name": user, "domain": domain(user_domain), "password": reveal(key) } } },
            "scope": { "project": { "name": project, "domain": domain(project_domain) } },
        }),
        Login::ApplicationCredential { id, secret } => json!({ "identity": {
            "methods": ["application_credential"],
            "application_credential": { "id": id, "secret": reveal(secret) } } }),
    }
}

#[derive(Deserialize)]
struct TokenAnswer {
    token: Token,
}

#[derive(Deserialize)]
struct Token {
    issued_at: Option<String>,
    expires_at: Option<String>,
    #[serde(default)]
    catalog: Vec<Service>,
}

#[derive(Deserialize)]
struct Service {
    r#type: String,
    #[serde(default)]
    endpoints: Vec<Endpoint>,
}

#[derive(Deserialize)]
struct Endpoint {
    interface: String,
    region: Option<String>,
    region_id: Option<String>,
    url: String,
}

impl Token {
    /// By Keystone's own clock, whatever ours says.
    fn life(&self) -> Option<Duration> {
        let time = |text: &Option<String>| text.as_ref()?.parse::<Timestamp>().ok();
        let ends = time(&self.expires_at)?;
        let begins = time(&self.issued_at).unwrap_or_else(Timestamp::now);
        Duration::try_from(ends.duration_since(begins)).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn log_in(change: impl FnOnce(&mut SwiftStoreConfig)) -> LogIn {
        let mut config = SwiftStoreConfig::new("s");
        config.swift_store_auth_address = Some("http://k:5000/".to_owned());
        config.swift_store_user = Some("service:glance".to_owned());
        config.swift_store_key = Some(Secret::new("secret"));
        change(&mut config);
        let reference = crate::references::load(&config).unwrap().remove(0);
        LogIn::new(&config, reference).unwrap()
    }

    const ANSWER: &str = r#"{"token": {"issued_at": "2026-01-01T00:00:00.000000Z",
        "expires_at": "2026-01-01T01:00:00.000000Z", "catalog": [
        {"type": "image", "endpoints": [{"interface": "public", "region": "R1", "url": "http://image"}]},
        {"type": "object-store", "endpoints": [
            {"interface": "internal", "region": "R1", "url": "http://in/v1/AUTH_a"},
            {"interface": "public", "region": "R1", "url": "http://one/v1/AUTH_a"},
            {"interface": "public", "region_id": "R2", "url": "http://two/v1/AUTH_a"}]}]}}"#;

    fn session(log_in: &LogIn, body: &str) -> Result<Session, Failure> {
        let headers = HeaderMap::from_iter([(
            HeaderName::from_static("x-subject-token"),
            HeaderValue::from_static("t"),
        )]);
        log_in.of_keystone(&headers, body.as_bytes(), Instant::now())
    }

    #[test]
    fn the_catalogue_is_asked_by_type_interface_and_region() {
        let storage = |log_in: &LogIn| session(log_in, ANSWER).map(|session| session.storage.to_string());
        assert_eq!(storage(&log_in(|_| {})).unwrap(), "http://one/v1/AUTH_a");
        let second = log_in(|config| config.swift_store_region = Some("R2".to_owned()));
        assert_eq!(storage(&second).unwrap(), "http://two/v1/AUTH_a");
        let inside = log_in(|config| config.swift_store_endpoint_type = EndpointType::Internal);
        assert_eq!(storage(&inside).unwrap(), "http://in/v1/AUTH_a");
        let other = log_in(|config| config.swift_store_endpoint = Some("http://o/v1/AUTH_b".to_owned()));
        assert_eq!(storage(&other).unwrap(), "http://o/v1/AUTH_b");
        let none = log_in(|config| config.swift_store_region = Some("R3".to_owned()));
        assert!(matches!(storage(&none), Err(Failure::LogIn(_))));
    }

    #[test]
    fn a_token_lives_by_keystones_clock() {
        let session = session(&log_in(|_| {}), ANSWER).unwrap();
        assert!(session.lasts(Duration::from_secs(3500)) && !session.lasts(Duration::from_secs(3600)));
        assert!(session.token.is_sensitive());
    }

    #[test]
    fn the_address_gets_the_version_it_lacks() {
        assert_eq!(
            log_in(|_| {}).tokens_url().as_str(),
            "http://k:5000/v3/auth/tokens"
        );
        let with =
            log_in(|config| config.swift_store_auth_address = Some("https://k/identity/v3/".to_owned()));
        assert_eq!(with.tokens_url().as_str(), "https://k/identity/v3/auth/tokens");
    }

    #[test]
    fn application_credentials_have_no_scope() {
        let log_in = log_in(|config| {
            config.swift_store_application_credential_id = Some("i".to_owned());
            config.swift_store_application_credential_secret = Some(Secret::new("x"));
        });
        let body = identity(&log_in.reference.login);
        assert_eq!(body["identity"]["application_credential"]["secret"], "x");
        assert!(body.get("scope").is_none() && !format!("{log_in:?}").contains("\"x\""));
    }

    #[test]
    fn answers_without_sense_are_failures() {
        for body in ["", "{}", "[1]", r#"{"token": {"catalog": 1}}"#] {
            assert!(session(&log_in(|_| {}), body).is_err(), "{body}");
        }
    }
}
