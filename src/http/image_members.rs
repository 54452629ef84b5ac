//! `/v2/images/{id}/members` and `/v2/images/{id}/members/{member}` (Glance 33, `api/v2/image_members.py`).

use axum::{Extension, Json, Router, extract::State as Shared, routing::get};
use http::StatusCode;
use serde::Serialize;
use serde_json::Value;

use super::{
    State,
    at_stores::AtStores,
    body::{JsonBody, NoBody},
    error::ApiError,
    path::Segments,
    resource::resource,
};
use crate::{catalog::Membership, identity::Caller};

pub(super) fn routes() -> Router<State> {
    Router::new()
        .route(
            "/v2/images/{image_id}/members",
            resource("GET, POST", get(list).post(add)),
        )
        .route(
            "/v2/images/{image_id}/members/{member_id}",
            resource("GET, PUT, DELETE", get(show).put(set_status).delete(remove)),
        )
}

async fn list(
    Shared(state): Shared<State>,
    Extension(caller): Extension<Caller>,
    Segments(id): Segments<String>,
    _: NoBody,
) -> Result<Json<MembersView>, ApiError> {
    let members = state.catalog.list_members(&caller, &id).await?;
    Ok(Json(MembersView {
        members: members.into_iter().map(Into::into).collect(),
        schema: "/v2/schemas/members",
    }))
}

/// Other keys of the object mean nothing, as in Glance.
async fn add(
    AtStores(state): AtStores,
    Extension(caller): Extension<Caller>,
    Segments(id): Segments<String>,
    JsonBody(body, _held): JsonBody,
) -> Result<Json<MemberView>, ApiError> {
    let Value::Object(body) = body else {
        return Err(ApiError::bad_request(
            "Expected a member in the form: {\"member\": \"project_id\"}",
        ));
    };
    let member = match body.get("member") {
        None => return Err(ApiError::bad_request("Member to be added not specified")),
        Some(Value::Null) => "",
        Some(member) => member
            .as_str()
            .ok_or_else(|| ApiError::bad_request("Member has to be a string: the id of a project"))?,
    };
    if member.is_empty() {
        return Err(ApiError::bad_request("Member can't be empty"));
    }
    let added = state.catalog.add_member(&caller, &id, member).await?;
    Ok(Json(added.into()))
}

async fn show(
    Shared(state): Shared<State>,
    Extension(caller): Extension<Caller>,
    Segments((id, member)): Segments<(String, String)>,
    _: NoBody,
) -> Result<Json<MemberView>, ApiError> {
    let found = state.catalog.show_member(&caller, &id, &member).await?;
    Ok(Json(found.into()))
}

async fn set_status(
    Shared(state): Shared<State>,
    Extension(caller): Extension<Caller>,
    Segments((id, member)): Segments<(String, String)>,
    JsonBody(body, _held): JsonBody,
) -> Result<Json<MemberView>, ApiError> {
    let Value::Object(body) = body else {
        return Err(ApiError::bad_request(
            "Expected a status in the form: {\"status\": \"status\"}",
        ));
    };
    let Some(status) = body.get("status") else {
        return Err(ApiError::bad_request("Status not specified"));
    };
    // What is no text is no status, which is said to those who may set one.
    let status = status.as_str().unwrap_or_default();
    let changed = state.catalog.set_member_status(&caller, &id, &member, status);
    Ok(Json(changed.await?.into()))
}

async fn remove(
    AtStores(state): AtStores,
    Extension(caller): Extension<Caller>,
    Segments((id, member)): Segments<(String, String)>,
    _: NoBody,
) -> Result<StatusCode, ApiError> {
    state.catalog.remove_member(&caller, &id, &member).await?;
    Ok(StatusCode::NO_CONTENT)
}

#[derive(Serialize)]
struct MembersView {
    members: Vec<MemberView>,
    schema: &'static str,
}

/// A member as the API shows it, in Glance's order.
#[derive(Serialize)]
struct MemberView {
    member_id: String,
    image_id: String,
    status: &'static str,
    created_at: String,
    updated_at: String,
    schema: &'static str,
}

impl From<Membership> for MemberView {
    fn from(membership: Membership) -> Self {
        let member = &membership.member;
        Self {
            image_id: membership.image.to_string(),
            status: member.status.as_str(),
            created_at: member.created_at.to_string(),
            updated_at: member.updated_at.to_string(),
            schema: "/v2/schemas/member",
            member_id: membership.project,
        }
    }
}
