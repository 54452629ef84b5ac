//! Keystone's v3 API over the local identity: as much of it as the stock clients need to log in and to look up users
//! and projects. Reading only: users and projects are made with `saccade user` and `saccade project`.

mod encode;
mod fault;
#[cfg(feature = "fuzzing")]
pub(super) mod fuzzing;
mod login;
mod query;
mod resources;
#[cfg(test)]
mod tests;
mod tokens;
mod versions;

use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::http::header::{HOST, VARY, WWW_AUTHENTICATE};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::middleware::map_response_with_state;
use axum::response::Response;
use axum::routing::get;

use self::fault::Fault;
use crate::identity::Identity;
use crate::identity::local::{Endpoint, LocalIdentity, Role, Scheme, Session};

/// How the API presents itself.
#[derive(Debug, Clone)]
pub struct KeystoneOptions {
    /// What the catalog and links name; `None`: whatever `Host` the client used.
    pub public_endpoint: Option<Endpoint>,
    /// How clients connect, for links that are made of their `Host`.
    pub scheme: Scheme,
}

#[derive(Debug, Clone)]
struct Keystone {
    identity: LocalIdentity,
    options: Arc<KeystoneOptions>,
}

/// `/v3`, all below it, and `/identity`, which points there.
///
/// Has no fallback and no layer beyond its own routes, so that it can be merged into a larger router. Request bodies are
/// bounded; how long a client may take to send one is up to the connection.
pub fn router(identity: LocalIdentity, options: KeystoneOptions) -> Router {
    let keystone = Keystone {
        identity,
        options: Arc::new(options),
    };
    let tokens = get(tokens::show).post(tokens::issue).delete(tokens::revoke);
    Router::new()
        .route("/identity", get(versions::list))
        .route("/identity/", get(versions::list))
        .route("/v3", get(versions::show))
        .route("/v3/", get(versions::show))
        .route("/v3/auth/tokens", tokens)
        .route("/v3/auth/catalog", get(resources::own_catalog))
        .route("/v3/auth/projects", get(resources::own_projects))
        .route("/v3/auth/domains", get(resources::own_domains))
        .route("/v3/auth/system", get(resources::own_system))
        .route("/v3/domains", get(resources::domains))
        .route("/v3/domains/{id}", get(resources::domain))
        .route("/v3/projects", get(resources::projects))
        .route("/v3/projects/{id}", get(resources::project))
        .route("/v3/roles", get(resources::roles))
        .route("/v3/roles/{id}", get(resources::role))
        .route("/v3/role_assignments", get(resources::role_assignments))
        .route("/v3/users", get(resources::users))
        .route("/v3/users/{id}", get(resources::user))
        .route("/v3/users/{id}/projects", get(resources::user_projects))
        .method_not_allowed_fallback(async || Fault::Method)
        .route(
            "/v3/{*rest}",
            axum::routing::any(async || Fault::NotFound("The resource could not be found.")),
        )
        .route_layer(map_response_with_state(keystone.clone(), finish))
        .with_state(keystone)
}

/// What every answer of Keystone has.
async fn finish(State(keystone): State<Keystone>, mut response: Response) -> Response {
    let unauthorized = response.status() == StatusCode::UNAUTHORIZED;
    let headers = response.headers_mut();
    headers.insert(VARY, HeaderValue::from_static("X-Auth-Token"));
    if unauthorized && let Ok(challenge) = HeaderValue::from_str(keystone.identity.challenge()) {
        headers.insert(WWW_AUTHENTICATE, challenge);
    }
    response
}

impl Keystone {
    /// What the client calls this daemon.
    fn endpoint(&self, headers: &HeaderMap) -> Endpoint {
        let of_host = || {
            let host = headers.get(HOST)?.to_str().ok()?;
            Endpoint::of_host(self.options.scheme, host).ok()
        };
        let configured = self.options.public_endpoint.clone();
        configured
            .or_else(of_host)
            .unwrap_or_else(|| self.identity.endpoint().clone())
    }

    /// Whose token the request carries.
    async fn session(&self, headers: &HeaderMap) -> Result<Session, Fault> {
        Ok(self.identity.authenticate(headers).await?)
    }

    /// The same, for what only administrators may do; `action` as Keystone's policy names it.
    async fn admin(&self, headers: &HeaderMap, action: &'static str) -> Result<Session, Fault> {
        let session = self.session(headers).await?;
        if is_admin(&session) {
            Ok(session)
        } else {
            Err(Fault::Forbidden(action))
        }
    }
}

fn is_admin(session: &Session) -> bool {
    session.roles.contains(Role::Admin)
}
