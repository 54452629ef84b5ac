//! Users, projects and tokens of our own, so that nothing else has to be installed.
//!
//! Everything but tokens is held in memory ([`Directory`]) and written to a small RocksDB before it is true. A token is
//! random, known at rest by its hash, and says only whose it is and where: roles are looked up at each use, so that
//! disabling a user or taking a role away works at once.

mod admin;
mod bootstrap;
mod client_files;
pub mod control;
mod database;
mod directory;
mod endpoint;
mod model;
mod password;
mod records;
#[cfg(test)]
mod tests;
mod tokens;

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use http::HeaderMap;
use tokio::sync::Semaphore;

pub use self::admin::{AdminError, AdminErrorKind, AdminReply, AdminRequest, ProjectRow, Switch, UserRow};
pub use self::bootstrap::Bootstrap;
pub use self::client_files::{ClientFile, ClientFileState, ClientFiles};
pub use self::database::OpenError;
use self::database::{Database, DatabaseError};
use self::directory::Change;
pub use self::directory::{Directory, DomainReference, Reference, Session};
pub use self::endpoint::{BadEndpoint, Endpoint, Scheme};
pub use self::model::{BadName, DOMAIN_ID, DOMAIN_NAME, Name, Project, ProjectId, Role, Roles, User, UserId};
use self::password::Verifier;
pub use self::password::{MAX_PASSWORD_BYTES, PasswordCost, PasswordHash};
pub use self::tokens::{Method, Token};
use self::tokens::{TokenCache, TokenHash};
use super::{
    Caller, CatalogEndpoint, Delegation, Identity, RequestHead, Scope, Secret, Service, Unidentified,
};
use super::{delegation, headers};

/// The only region.
pub const REGION: &str = "RegionOne";

/// Database reads for tokens that are not in memory, at once: whatever clients send, they take no more threads.
const LOOKUPS: usize = 4;

/// How often, in seconds, issuing a token also clears away expired ones.
const PURGE_EVERY: u64 = 600;

/// How the local identity behaves.
#[derive(Debug, Clone)]
pub struct LocalOptions {
    /// How long a token is valid. Keystone's default is an hour.
    pub token_lifetime: Duration,
    /// What checking a password costs.
    pub password_cost: PasswordCost,
    /// Where clients reach the daemon: named in 401 answers and in `clouds.yaml`.
    pub endpoint: Endpoint,
}

impl LocalOptions {
    /// Keystone's defaults, for a daemon that clients reach at `endpoint`.
    pub fn new(endpoint: Endpoint) -> Self {
        Self {
            token_lifetime: Duration::from_secs(3600),
            password_cost: PasswordCost::default(),
            endpoint,
        }
    }
}

/// The local identity. Clones are handles to the same one.
#[derive(Debug, Clone)]
pub struct LocalIdentity(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    data_dir: PathBuf,
    options: LocalOptions,
    challenge: String,
    database: Database,
    /// What the database says; replaced whole, by whoever holds `writer`.
    directory: RwLock<Arc<Directory>>,
    writer: Mutex<()>,
    cache: TokenCache,
    verifier: Verifier,
    lookups: Semaphore,
    purge_due: AtomicU64,
}

/// How a user proves who they are.
#[derive(Debug, Clone)]
pub enum Proof {
    /// A name and password.
    Password {
        /// Who.
        user: Reference,
        /// Their password.
        password: Secret,
    },
    /// A token that is still valid.
    Token(Secret),
}

/// What a new token shall be valid for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WantedScope {
    /// Nothing was said: the user's default project if they have a role there, else nothing.
    Default,
    /// Explicitly nothing.
    Unscoped,
    /// A project.
    Project(Reference),
    /// A domain or the system: nobody has a role there.
    Elsewhere,
}

/// Why there is no token.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LoginError {
    /// Wrong user, password, token or scope: deliberately not said which.
    #[error("the request requires authentication: user, password or project is not right")]
    Refused,
    /// Too many logins at once.
    #[error("too many logins at once: try again in a moment")]
    Busy,
    /// The database fails.
    #[error("tokens cannot be issued now: {0}")]
    Unavailable(String),
}

impl LocalIdentity {
    /// Opens the identity in `<data_dir>/identity`, or makes a new one with an administrator. Blocks.
    ///
    /// As long as [`Self::write_client_files`] has not said that the first password reached the operator, each opening
    /// gives the administrator a new one and returns it. Afterwards there is none to return.
    ///
    /// # Errors
    /// [`OpenError`]; `InUse` when the daemon or another command has it open.
    pub fn open(data_dir: &Path, options: LocalOptions) -> Result<(Self, Option<Bootstrap>), OpenError> {
        let verifier = Verifier::new(options.password_cost).map_err(OpenError::Passwords)?;
        let database = Database::open(&data_dir.join("identity"))?;
        let (directory, bootstrapped) = database.load()?;
        let challenge = format!("Keystone uri=\"{}/v3\"", options.endpoint);
        let shared = Shared {
            data_dir: data_dir.to_owned(),
            challenge,
            database,
            directory: RwLock::new(Arc::new(directory)),
            writer: Mutex::new(()),
            cache: TokenCache::default(),
            verifier,
            lookups: Semaphore::new(LOOKUPS),
            purge_due: AtomicU64::new(0),
            options,
        };
        let bootstrap = shared.bootstrap(bootstrapped)?;
        shared.purge(now());
        Ok((Self(Arc::new(shared)), bootstrap))
    }

    /// A snapshot of who and what exists.
    pub fn directory(&self) -> Arc<Directory> {
        self.0.snapshot()
    }

    /// Where clients reach the daemon, as configured.
    pub fn endpoint(&self) -> &Endpoint {
        &self.0.options.endpoint
    }

    /// What the token in `X-Auth-Token` (or `X-Storage-Token`) gives.
    ///
    /// # Errors
    /// As [`Self::validate`], and [`Unidentified::Missing`] without a token.
    pub async fn authenticate(&self, headers: &HeaderMap) -> Result<Session, Unidentified> {
        self.validate(headers::token(headers)?).await
    }

    /// Checks a proof and makes a token for the scope. Cancel safe: a token that nobody received expires.
    ///
    /// A token made of a token expires with it.
    ///
    /// # Errors
    /// [`LoginError`]; a wrong password and an unknown user cannot be told apart, by time either.
    pub async fn login(&self, proof: Proof, scope: WantedScope) -> Result<(Secret, Session), LoginError> {
        let now = now();
        let (user, method, expires_at, audit_chain) = match proof {
            Proof::Password { user, password } => {
                let user = self.0.snapshot().find_user(&user).cloned();
                let hash = user.as_ref().map(|user| user.password.clone());
                let verified = self
                    .0
                    .verifier
                    .verify(hash, password)
                    .await
                    .map_err(|_| LoginError::Busy)?;
                let user = user
                    .filter(|user| verified && user.enabled)
                    .ok_or(LoginError::Refused)?;
                let expires_at = now.saturating_add(self.0.options.token_lifetime.as_secs());
                (user, Method::Password, expires_at, None)
            }
            Proof::Token(token) => {
                let session = self.validate(token.expose()).await.map_err(|error| match error {
                    Unidentified::Unavailable(why) => LoginError::Unavailable(why),
                    Unidentified::Missing | Unidentified::Invalid => LoginError::Refused,
                })?;
                let first = session.token.audit_chain.unwrap_or(session.token.audit);
                (
                    session.user,
                    Method::PasswordThenToken,
                    session.token.expires_at,
                    Some(first),
                )
            }
        };
        let directory = self.0.snapshot();
        let project = match scope {
            WantedScope::Unscoped => None,
            WantedScope::Elsewhere => return Err(LoginError::Refused),
            WantedScope::Default => user
                .default_project
                .filter(|project| directory.scope(user.id, *project).is_some()),
            WantedScope::Project(reference) => {
                let project = directory.find_project(&reference).ok_or(LoginError::Refused)?;
                directory.scope(user.id, project.id).ok_or(LoginError::Refused)?;
                Some(project.id)
            }
        };
        let mut audit = [0; 16];
        let secret = Secret::random()
            .and_then(|secret| getrandom::fill(&mut audit).map(|()| secret))
            .map_err(|error| LoginError::Unavailable(error.to_string()))?;
        let token = Token {
            user: user.id,
            project,
            issued_at: now,
            expires_at,
            method,
            audit,
            audit_chain,
            generation: user.generation,
        };
        let hash = TokenHash::of(secret.expose()).ok_or(LoginError::Refused)?;
        let session = directory.session(token.clone(), now).ok_or(LoginError::Refused)?;
        self.blocking(move |shared| shared.issue(&hash, &token, now))
            .await
            .map_err(LoginError::Unavailable)?;
        Ok((secret, session))
    }

    /// What the token gives now. A token that was seen lately costs no read and no thread.
    ///
    /// Memory does not depend on how many unknown tokens are asked about. Cancel safe.
    ///
    /// # Errors
    /// [`Unidentified::Invalid`] for a token that is unknown, expired or revoked, or whose user or project is disabled
    /// or gone; [`Unidentified::Unavailable`] when the database cannot be read.
    pub async fn validate(&self, token: &str) -> Result<Session, Unidentified> {
        let hash = TokenHash::of(token).ok_or(Unidentified::Invalid)?;
        let token = match self.0.cache.lookup(&hash) {
            Ok(token) => token,
            Err(epoch) => {
                let closed = |_| Unidentified::Unavailable("the daemon is stopping".to_owned());
                let _permit = self.0.lookups.acquire().await.map_err(closed)?;
                let read = self.blocking(move |shared| shared.read_token(&hash));
                let token = read
                    .await
                    .map_err(Unidentified::Unavailable)?
                    .ok_or(Unidentified::Invalid)?;
                self.0.cache.insert(hash, token.clone(), epoch);
                token
            }
        };
        self.0
            .snapshot()
            .session(token, now())
            .ok_or(Unidentified::Invalid)
    }

    /// Makes a valid token void; durable when it returns.
    ///
    /// # Errors
    /// As [`Self::validate`]; when unavailable, the token may or may not be valid still.
    pub async fn revoke(&self, token: &str) -> Result<(), Unidentified> {
        let hash = TokenHash::of(token).ok_or(Unidentified::Invalid)?;
        let expires_at = self.validate(token).await?.token.expires_at;
        self.blocking(move |shared| shared.revoke(&hash, expires_at))
            .await
            .map_err(Unidentified::Unavailable)
    }

    /// Does what an administrator asked for on this machine. Once begun, it finishes even when cancelled.
    ///
    /// # Errors
    /// [`AdminError`], with a message for the administrator.
    pub async fn administer(&self, request: AdminRequest) -> Result<AdminReply, AdminError> {
        let shared = Arc::clone(&self.0);
        tokio::task::spawn_blocking(move || shared.administer(request))
            .await
            .unwrap_or_else(|error| Err(AdminError::unavailable(error.to_string())))
    }

    /// Writes `clouds.yaml` and `openrc` with the first password, or brings their address up to date. Blocks.
    ///
    /// # Errors
    /// When a file cannot be written, or the database does not take that the password was delivered. Asking again later
    /// is safe.
    pub fn write_client_files(&self, bootstrap: Option<&Bootstrap>) -> std::io::Result<ClientFiles> {
        let files = client_files::write(&self.0.data_dir, &self.0.options.endpoint, bootstrap)?;
        if bootstrap.is_some() {
            self.0.confirm_bootstrap().map_err(std::io::Error::other)?;
        }
        Ok(files)
    }

    async fn blocking<T, F>(&self, work: F) -> Result<T, String>
    where
        T: Send + 'static,
        F: FnOnce(&Shared) -> Result<T, DatabaseError> + Send + 'static,
    {
        let shared = Arc::clone(&self.0);
        let done = tokio::task::spawn_blocking(move || work(&shared))
            .await
            .map_err(|error| error.to_string())?;
        done.map_err(|error| chain(&error))
    }
}

#[async_trait]
impl Identity for LocalIdentity {
    async fn identify(&self, request: RequestHead<'_>) -> Result<Caller, Unidentified> {
        let headers = request.headers;
        // The user's first: without it, whether the service's is valid is nobody's business.
        let session = self.authenticate(headers).await?;
        let service = match headers::single(headers, "x-service-token")? {
            None | Some("") => None,
            Some(service) => {
                // keystonemiddleware's `service_token_roles`, which are required by default.
                let session = self.validate(service).await?;
                if !session.roles.contains(Role::Service) {
                    return Err(Unidentified::Invalid);
                }
                Some(as_service(&session))
            }
        };
        Ok(caller(&session, service))
    }

    /// The catalog has one region, and this daemon in it: at its configured address, not what a client calls it.
    async fn delegation(&self, headers: &HeaderMap) -> Result<Option<Delegation>, Unidentified> {
        let session = self.authenticate(headers).await?;
        let endpoint = |interface: &str| CatalogEndpoint {
            service_type: delegation::IMAGE.to_owned(),
            region: Some(REGION.to_owned()),
            interface: interface.to_owned(),
            url: self.0.options.endpoint.to_string(),
        };
        let endpoints = session.project.is_some().then(|| {
            ["public", "internal", "admin"]
                .iter()
                .map(|interface| endpoint(interface))
        });
        let token = Secret::new(headers::token(headers)?.to_owned());
        Ok(endpoints.map(|endpoints| Delegation::new(token, endpoints.collect())))
    }

    fn challenge(&self) -> &str {
        &self.0.challenge
    }
}

fn names(roles: Roles) -> Vec<String> {
    roles.iter().map(|role| role.name().to_owned()).collect()
}

fn as_service(session: &Session) -> Service {
    let project_id = session.project.as_ref().map(|project| project.id.to_string());
    Service {
        user_id: Some(session.user.id.to_string()),
        user_domain_id: Some(DOMAIN_ID.to_owned()),
        project_domain_id: project_id.as_ref().map(|_| DOMAIN_ID.to_owned()),
        project_id,
        roles: names(session.roles),
    }
}

fn caller(session: &Session, service: Option<Service>) -> Caller {
    let domain = || Some(DOMAIN_ID.to_owned());
    Caller {
        user_id: session.user.id.to_string(),
        user_name: Some(session.user.name.to_string()),
        user_domain_id: domain(),
        project_id: session.project.as_ref().map(|project| project.id.to_string()),
        project_name: session.project.as_ref().map(|project| project.name.to_string()),
        project_domain_id: session.project.as_ref().and_then(|_| domain()),
        scope: if session.project.is_some() {
            Scope::Project
        } else {
            Scope::Unscoped
        },
        roles: names(session.roles),
        domain_id: None,
        service,
        // As keystonemiddleware has it for a Keystone without an admin project.
        is_admin_project: true,
    }
}

impl Shared {
    fn snapshot(&self) -> Arc<Directory> {
        Arc::clone(&self.directory.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn replace(&self, directory: Directory) {
        *self.directory.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(directory);
    }

    /// Decides on the current state, writes, and only then lets anyone see the change.
    fn change<T, E: From<DatabaseError>>(
        &self,
        decide: impl FnOnce(&Directory) -> Result<(Vec<Change>, T), E>,
    ) -> Result<T, E> {
        let _writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner);
        self.recover()?;
        let current = self.snapshot();
        let (changes, answer) = decide(&current)?;
        self.database.commit(&changes)?;
        let mut next = Directory::clone(&current);
        changes.iter().for_each(|change| next.apply(change));
        self.replace(next);
        Ok(answer)
    }

    /// After a write that failed, takes the database's word for what happened. The caller holds `writer`.
    fn recover(&self) -> Result<(), DatabaseError> {
        self.database.recover(|directory| self.replace(directory))
    }

    fn read_token(&self, hash: &TokenHash) -> Result<Option<Token>, DatabaseError> {
        if self.database.is_closed() {
            self.recover_if_failed()?;
        }
        self.database.token(hash)
    }

    fn issue(&self, hash: &TokenHash, token: &Token, now: u64) -> Result<(), DatabaseError> {
        self.recover_if_failed()?;
        if now >= self.purge_due.load(Ordering::Relaxed) {
            self.purge(now);
        }
        let epoch = self.cache.lookup(hash).err();
        self.database.put_token(hash, token)?;
        if let Some(epoch) = epoch {
            self.cache.insert(*hash, token.clone(), epoch);
        }
        Ok(())
    }

    fn revoke(&self, hash: &TokenHash, expires_at: u64) -> Result<(), DatabaseError> {
        self.recover_if_failed()?;
        let deleted = self.database.delete_token(hash, expires_at);
        // Also when it failed: then the database decides at the next use.
        self.cache.revoke(hash);
        deleted
    }

    fn recover_if_failed(&self) -> Result<(), DatabaseError> {
        if !self.database.has_failed() {
            return Ok(());
        }
        let _writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner);
        self.recover()
    }

    /// Clears away expired tokens. What fails here is tried again later: expired tokens are refused anyway.
    fn purge(&self, now: u64) {
        self.purge_due
            .store(now.saturating_add(PURGE_EVERY), Ordering::Relaxed);
        match self.database.purge(now) {
            Ok(0) => {}
            Ok(count) => tracing::debug!(count, "expired tokens removed"),
            Err(error) => tracing::warn!(error = chain(&error), "expired tokens could not be removed"),
        }
    }
}

/// Seconds since 1970.
fn now() -> u64 {
    SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .map_or(0, |since| since.as_secs())
}

/// An error with its sources, on one line.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        text.push_str(": ");
        text.push_str(&error.to_string());
        source = error.source();
    }
    text
}
