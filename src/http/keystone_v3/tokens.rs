//! `/v3/auth/tokens`: logging in and out, and asking about tokens.

use axum::Json;
use axum::body::Body;
use axum::extract::{RawQuery, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};

use super::encode::{self, WithCatalog};
use super::fault::Fault;
use super::query::Query;
use super::{Keystone, is_admin, login};
use crate::identity::Unidentified;
use crate::identity::local::{Role, Session};

const SUBJECT: HeaderName = HeaderName::from_static("x-subject-token");

/// Above any login: the longest password, as JSON may escape it.
const MAX_BODY: usize = 64 * 1024;

const NO_TOKEN: Fault = Fault::NotFound("Could not find token.");

/// `POST`: logs in.
pub(super) async fn issue(
    State(keystone): State<Keystone>,
    headers: HeaderMap,
    RawQuery(query): RawQuery,
    body: Body,
) -> Result<Response, Fault> {
    let body = axum::body::to_bytes(body, MAX_BODY)
        .await
        .map_err(|_| Fault::TooLarge)?;
    let (proof, scope) = login::parse(&body)?;
    let (secret, session) = keystone.identity.login(proof, scope).await?;
    shown(
        &keystone,
        &headers,
        query.as_deref(),
        StatusCode::CREATED,
        secret.expose(),
        &session,
    )
}

/// `GET`, and `HEAD`: what a token is good for.
pub(super) async fn show(
    State(keystone): State<Keystone>,
    headers: HeaderMap,
    RawQuery(query): RawQuery,
) -> Result<Response, Fault> {
    let caller = keystone.session(&headers).await?;
    let (secret, session) = subject(&keystone, &headers).await?;
    if !(is_admin(&caller) || caller.roles.contains(Role::Service) || caller.user.id == session.user.id) {
        return Err(Fault::Forbidden("identity:validate_token"));
    }
    shown(
        &keystone,
        &headers,
        query.as_deref(),
        StatusCode::OK,
        secret,
        &session,
    )
}

/// `DELETE`: logs out.
pub(super) async fn revoke(
    State(keystone): State<Keystone>,
    headers: HeaderMap,
) -> Result<StatusCode, Fault> {
    let caller = keystone.session(&headers).await?;
    let (secret, session) = subject(&keystone, &headers).await?;
    if !(is_admin(&caller) || caller.user.id == session.user.id) {
        return Err(Fault::Forbidden("identity:revoke_token"));
    }
    keystone.identity.revoke(secret).await.map_err(no_token)?;
    Ok(StatusCode::NO_CONTENT)
}

/// The token that is asked about.
async fn subject<'h>(keystone: &Keystone, headers: &'h HeaderMap) -> Result<(&'h str, Session), Fault> {
    let mut values = headers.get_all(SUBJECT).iter();
    let (Some(value), None) = (values.next(), values.next()) else {
        return Err(NO_TOKEN);
    };
    let secret = value.to_str().map_err(|_| NO_TOKEN)?;
    let session = keystone.identity.validate(secret).await.map_err(no_token)?;
    Ok((secret, session))
}

fn no_token(error: Unidentified) -> Fault {
    match error {
        Unidentified::Missing | Unidentified::Invalid => NO_TOKEN,
        Unidentified::Unavailable(why) => Fault::Unavailable(why),
    }
}

fn shown(
    keystone: &Keystone,
    headers: &HeaderMap,
    query: Option<&str>,
    status: StatusCode,
    secret: &str,
    session: &Session,
) -> Result<Response, Fault> {
    // Keystone asks for the parameter's presence, not its value.
    let with = match Query::parse(query).value("nocatalog") {
        Some(_) => WithCatalog::No,
        None => WithCatalog::Yes,
    };
    let mut secret = HeaderValue::from_str(secret).map_err(|_| NO_TOKEN)?;
    secret.set_sensitive(true);
    let body = encode::token(session, &keystone.endpoint(headers), with);
    Ok((status, [(SUBJECT, secret)], Json(body)).into_response())
}
