//! Unified limits as Keystone keeps them, asked for with a login of their own (oslo.limit 2).
//!
//! Limits are asked for each time, as oslo.limit does: a change holds from the next request. Requests that ask for
//! the same project at once share one answer. The endpoint that the limits belong to is remembered for
//! [`ENDPOINT_KEPT`].

#[cfg(test)]
mod tests;

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use http::{HeaderMap, Method, StatusCode};
use jiff::Timestamp;
use serde::{Deserialize, de::DeserializeOwned};
use tokio::time::Instant;
use url::Url;

use super::{
    KeystoneError, KeystoneOptions, WallClock,
    breaker::{Breaker, PassKind},
    client::{Answer, Broken, Call, Client, Network, Transport, explanation},
    service_user::{ServiceUser, Session},
    single_flight::{Joined, SingleFlight},
    trouble::{Trouble, TroubleKind},
};

/// How long the endpoint, and that its limits are flat, is remembered.
const ENDPOINT_KEPT: Duration = Duration::from_secs(300);
/// Projects whose limits are asked for at once.
const MOST_AT_ONCE: usize = 64;

/// Which endpoint the limits belong to (`[oslo_limit]`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LimitsEndpoint {
    /// `endpoint_id`.
    Id(String),
    /// The only one of a service.
    OfService {
        /// `endpoint_service_type`.
        service_type: Option<String>,
        /// `endpoint_service_name`.
        service_name: Option<String>,
        /// `endpoint_region_name`.
        region: Option<String>,
        /// `endpoint_interface`, without `URL` at its end.
        interface: String,
    },
}

/// Why limits are not known. The texts are for the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LimitsFailure {
    /// Keystone does not answer as it should.
    Unavailable(String),
    /// Something has to be changed in the configuration or in Keystone.
    Misconfigured(String),
}

/// Asks Keystone for limits. Never more than one login, and one question for each project, at a time.
pub struct KeystoneLimits {
    shared: Arc<Shared>,
    flights: SingleFlight<String, Outcome>,
}

type Limits = BTreeMap<String, i64>;
type Outcome = Result<Arc<Limits>, LimitsFailure>;

struct Shared {
    client: Client,
    user: ServiceUser,
    breaker: Breaker,
    endpoint: LimitsEndpoint,
    found: Mutex<Option<(Instant, Endpoint)>>,
}

/// What limits are looked up by.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
struct Endpoint {
    service_id: String,
    region_id: Option<String>,
}

impl KeystoneLimits {
    /// Reads the certificates, and asks nobody yet. Of the options, those that concern the login and the network count.
    ///
    /// # Errors
    /// [`KeystoneError`]: options that could never work.
    pub fn new(options: &KeystoneOptions, endpoint: LimitsEndpoint) -> Result<Self, KeystoneError> {
        let network = Arc::new(Network::new(options)?);
        Self::over(options, endpoint, network, Timestamp::now)
    }

    fn over(
        options: &KeystoneOptions,
        endpoint: LimitsEndpoint,
        transport: Arc<dyn Transport>,
        now: WallClock,
    ) -> Result<Self, KeystoneError> {
        let client = Client::new(transport, options.request_timeout, options.max_retries);
        Ok(Self {
            shared: Arc::new(Shared {
                user: ServiceUser::new(options, client.clone(), now)?,
                client,
                breaker: Breaker::new(),
                endpoint,
                found: Mutex::default(),
            }),
            flights: SingleFlight::new(MOST_AT_ONCE),
        })
    }

    /// The project's limits by resource: its own, else the registered ones; negative is no limit. A resource that is not
    /// registered is not there. Ends within twice `timeout`.
    ///
    /// # Errors
    /// [`LimitsFailure`].
    pub async fn of_project(&self, project: &str, resources: &[&str]) -> Result<Limits, LimitsFailure> {
        let deadline = Instant::now() + self.shared.client.patience();
        let names: Vec<String> = resources.iter().map(|name| (*name).to_owned()).collect();
        let (shared, key) = (Arc::clone(&self.shared), project.to_owned());
        let fetch = || async move { shared.fetch(&key, &names, deadline).await.map(Arc::new) };
        let outcome = match self.flights.join(project.to_owned(), || None, fetch) {
            Joined::Settled(outcome) => outcome,
            Joined::Waiting(answer) => match tokio::time::timeout_at(deadline, answer).await {
                Ok(Ok(outcome)) => outcome,
                Ok(Err(_)) => Err(unavailable("the question was given up")),
                Err(_) => Err(unavailable("no answer in time")),
            },
            Joined::Full => Err(unavailable("too many projects at once")),
        };
        outcome.map(|limits| (*limits).clone())
    }
}

impl Shared {
    async fn fetch(
        &self,
        project: &str,
        names: &[String],
        deadline: Instant,
    ) -> Result<Limits, LimitsFailure> {
        let Some(pass) = self.breaker.admit() else {
            return Err(unavailable("Keystone did not answer a moment ago"));
        };
        let outcome = self.ask(project, names, pass.kind(), deadline).await;
        match &outcome {
            Err(Failure::Trouble(trouble)) if trouble.kind == TroubleKind::Unreachable => pass.failed(),
            _ => pass.answered(),
        }
        outcome.map_err(|failure| match failure {
            Failure::Missing(what) => LimitsFailure::Misconfigured(what),
            Failure::Trouble(trouble) => match trouble.kind {
                TroubleKind::LoginRefused | TroubleKind::NoEndpoint | TroubleKind::Denied => {
                    LimitsFailure::Misconfigured(trouble.to_string())
                }
                TroubleKind::Unreachable | TroubleKind::Faulty | TroubleKind::Busy => {
                    LimitsFailure::Unavailable(trouble.to_string())
                }
            },
        })
    }

    async fn ask(
        &self,
        project: &str,
        names: &[String],
        patience: PassKind,
        deadline: Instant,
    ) -> Result<Limits, Failure> {
        let asking = Asking {
            shared: self,
            patience,
            deadline,
        };
        let endpoint = asking.endpoint().await?;
        let mut query = vec![("service_id", endpoint.service_id.as_str())];
        if let Some(region) = &endpoint.region_id {
            query.push(("region_id", region));
        }
        let own = [query.as_slice(), &[("project_id", project)]].concat();
        let own: ProjectLimits = asking.get(&["limits"], &own).await?;
        let mut limits: Limits = own
            .limits
            .into_iter()
            // A filter that an older Keystone does not know would bring those of other projects.
            .filter(|limit| limit.project_id.as_deref() == Some(project))
            .map(|limit| (limit.resource_name, limit.resource_limit))
            .collect();
        if names.iter().any(|name| !limits.contains_key(name)) {
            let registered: RegisteredLimits = asking.get(&["registered_limits"], &query).await?;
            for limit in registered.registered_limits {
                limits.entry(limit.resource_name).or_insert(limit.default_limit);
            }
        }
        limits.retain(|name, _| names.contains(name));
        for name in names.iter().filter(|name| !limits.contains_key(*name)) {
            tracing::error!(
                resource = name,
                service = endpoint.service_id,
                region = endpoint.region_id,
                "Keystone has no registered limit of a resource, so that nobody may use it: openstack registered limit \
                 create"
            );
        }
        Ok(limits)
    }
}

/// One question, which may take several exchanges.
struct Asking<'s> {
    shared: &'s Shared,
    patience: PassKind,
    deadline: Instant,
}

enum Failure {
    Trouble(Trouble),
    /// Something that is not in Keystone as the options say.
    Missing(String),
}

enum Reply {
    Is(Answer),
    /// Our token is not accepted.
    Rejected,
}

impl Asking<'_> {
    async fn endpoint(&self) -> Result<Endpoint, Failure> {
        let known = self.shared.found();
        if let Some((found, endpoint)) = known
            && found.elapsed() < ENDPOINT_KEPT
        {
            return Ok(endpoint);
        }
        let model: ModelBody = self.get(&["limits", "model"], &[]).await?;
        if model.model.name != "flat" {
            return Err(Failure::Missing(format!(
                "Keystone's enforcement model is {:?}; only flat is supported, as by Glance ([unified_limit] \
                 enforcement_model of Keystone)",
                model.model.name
            )));
        }
        let endpoint = match &self.shared.endpoint {
            LimitsEndpoint::Id(id) => {
                let found: Option<EndpointBody> = self.find(&["endpoints", id], &[]).await?;
                found
                    .ok_or_else(|| {
                        Failure::Missing(format!("Keystone has no endpoint {id:?} (endpoint_id)"))
                    })?
                    .endpoint
            }
            LimitsEndpoint::OfService {
                service_type,
                service_name,
                region,
                interface,
            } => {
                let query = [("type", service_type), ("name", service_name)];
                let query: Vec<_> = query
                    .iter()
                    .filter_map(|(key, value)| Some((*key, value.as_deref()?)))
                    .collect();
                let services: ServicesBody = self.get(&["services"], &query).await?;
                let service = only(
                    services.services,
                    "service",
                    "endpoint_service_type and endpoint_service_name",
                )?;
                let mut query = vec![("service_id", service.id.as_str()), ("interface", interface)];
                if let Some(region) = region {
                    query.push(("region_id", region));
                }
                let endpoints: EndpointsBody = self.get(&["endpoints"], &query).await?;
                only(
                    endpoints.endpoints,
                    "endpoint",
                    "endpoint_interface and endpoint_region_name",
                )?
            }
        };
        self.shared.keep(endpoint.clone());
        Ok(endpoint)
    }

    async fn get<T: DeserializeOwned>(&self, path: &[&str], query: &[(&str, &str)]) -> Result<T, Failure> {
        let found = self.find(path, query).await?;
        found.ok_or_else(|| {
            let path = path.join("/");
            Failure::Missing(format!("Keystone has no /v3/{path}: is it older than Rocky?"))
        })
    }

    /// `None` is 404.
    async fn find<T: DeserializeOwned>(
        &self,
        path: &[&str],
        query: &[(&str, &str)],
    ) -> Result<Option<T>, Failure> {
        let user = &self.shared.user;
        let mut session = user.session(self.patience, self.deadline).await?;
        let mut reply = self.once(&session, path, query).await?;
        if matches!(reply, Reply::Rejected) {
            session = user.another(&session, self.patience, self.deadline).await?;
            reply = self.once(&session, path, query).await?;
        }
        let Reply::Is(answer) = reply else {
            return Err(session.useless().into());
        };
        match answer.status {
            StatusCode::OK => serde_json::from_slice(&answer.body).map(Some).map_err(|error| {
                let url = &session.tokens_url;
                Trouble::new(
                    TroubleKind::Faulty,
                    format_args!("what Keystone at {url} says of limits makes no sense: {error}"),
                )
                .into()
            }),
            StatusCode::NOT_FOUND => Ok(None),
            status => Err(Trouble::new(
                TroubleKind::Denied,
                format_args!(
                    "Keystone does not let {} ask for /v3/{}, with {status} ({}): its user needs the role reader in \
                     the system (openstack role add --user … --system all reader), and [oslo_limit] system_scope = all",
                    session.user,
                    path.join("/"),
                    explanation(&answer.body)
                ),
            )
            .into()),
        }
    }

    async fn once(
        &self,
        session: &Arc<Session>,
        path: &[&str],
        query: &[(&str, &str)],
    ) -> Result<Reply, Trouble> {
        let mut headers = HeaderMap::with_capacity(1);
        headers.insert("x-auth-token", session.token.clone());
        let call = Call {
            method: Method::GET,
            url: below(&session.tokens_url, path, query),
            headers,
            body: None,
        };
        let read = |answer: Answer| match answer.status {
            StatusCode::UNAUTHORIZED => Ok(Reply::Rejected),
            StatusCode::TOO_MANY_REQUESTS => Err(Broken::Server(answer.status)),
            _ => Ok(Reply::Is(answer)),
        };
        let reply = self
            .shared
            .client
            .call(&call, self.patience, self.deadline, read)
            .await;
        reply.map_err(|broken| {
            let kind = match broken.is_outage() {
                true => TroubleKind::Unreachable,
                false => TroubleKind::Faulty,
            };
            let text = format_args!(
                "Keystone at {} cannot be asked for limits: {broken}",
                session.tokens_url
            );
            Trouble::new(kind, text)
        })
    }
}

impl Shared {
    fn found(&self) -> Option<(Instant, Endpoint)> {
        self.found.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn keep(&self, endpoint: Endpoint) {
        let kept = Some((Instant::now(), endpoint));
        *self.found.lock().unwrap_or_else(PoisonError::into_inner) = kept;
    }
}

/// The address beside `…/v3/auth/tokens`.
fn below(tokens_url: &Url, path: &[&str], query: &[(&str, &str)]) -> Url {
    let mut url = tokens_url.clone();
    if let Ok(mut segments) = url.path_segments_mut() {
        segments.pop().pop().extend(path);
    }
    url.set_query(None);
    if !query.is_empty() {
        url.query_pairs_mut().extend_pairs(query);
    }
    url
}

fn only<T>(found: Vec<T>, what: &str, options: &str) -> Result<T, Failure> {
    let number = found.len();
    let mut found = found.into_iter();
    match (found.next(), number) {
        (Some(one), 1) => Ok(one),
        _ => Err(Failure::Missing(format!(
            "Keystone has {number} {what}s where there must be one: check {options}, or set endpoint_id, in [oslo_limit]"
        ))),
    }
}

fn unavailable(why: &str) -> LimitsFailure {
    LimitsFailure::Unavailable(why.to_owned())
}

impl From<Trouble> for Failure {
    fn from(trouble: Trouble) -> Self {
        Self::Trouble(trouble)
    }
}

#[derive(Deserialize)]
struct ModelBody {
    model: Model,
}

#[derive(Deserialize)]
struct Model {
    name: String,
}

#[derive(Deserialize)]
struct EndpointBody {
    endpoint: Endpoint,
}

#[derive(Deserialize)]
struct EndpointsBody {
    endpoints: Vec<Endpoint>,
}

#[derive(Deserialize)]
struct ServicesBody {
    services: Vec<Service>,
}

#[derive(Deserialize)]
struct Service {
    id: String,
}

#[derive(Deserialize)]
struct ProjectLimits {
    limits: Vec<ProjectLimit>,
}

#[derive(Deserialize)]
struct ProjectLimit {
    project_id: Option<String>,
    resource_name: String,
    resource_limit: i64,
}

#[derive(Deserialize)]
struct RegisteredLimits {
    registered_limits: Vec<RegisteredLimit>,
}

#[derive(Deserialize)]
struct RegisteredLimit {
    resource_name: String,
    default_limit: i64,
}
