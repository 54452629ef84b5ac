//! Users, projects, roles and the domain: reading, under Keystone's default policy for administrators and others.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, RawQuery, State};
use axum::http::HeaderMap;
use serde_json::{Value, json};

use super::fault::Fault;
use super::query::Query;
use super::{Keystone, encode, is_admin};
use crate::identity::local::{
    DOMAIN_ID, DOMAIN_NAME, Directory, Endpoint, Project, ProjectId, Role, Roles, User, UserId,
};

type Answer = Result<Json<Value>, Fault>;

const NO_PROJECT: Fault = Fault::NotFound("Could not find project.");
const NO_USER: Fault = Fault::NotFound("Could not find user.");
const NO_ROLE: Fault = Fault::NotFound("Could not find role.");
const NO_DOMAIN: Fault = Fault::NotFound("Could not find domain.");

/// `GET /v3/auth/catalog`.
pub(super) async fn own_catalog(State(keystone): State<Keystone>, headers: HeaderMap) -> Answer {
    let session = keystone.session(&headers).await?;
    if session.project.is_none() {
        return Err(Fault::Forbidden("identity:get_auth_catalog"));
    }
    let endpoint = keystone.endpoint(&headers);
    let links = json!({"self": format!("{endpoint}/v3/auth/catalog")});
    Ok(Json(
        json!({"catalog": encode::catalog(&endpoint), "links": links}),
    ))
}

/// `GET /v3/auth/projects`: where the caller can go.
pub(super) async fn own_projects(State(keystone): State<Keystone>, headers: HeaderMap) -> Answer {
    let session = keystone.session(&headers).await?;
    let directory = keystone.identity.directory();
    let endpoint = keystone.endpoint(&headers);
    let projects = directory.projects_of(session.user.id);
    let shown = projects
        .map(|project| encode::project(project, &endpoint))
        .collect();
    Ok(Json(encode::collection(
        "projects",
        "/auth/projects",
        shown,
        &endpoint,
    )))
}

/// `GET /v3/auth/domains`: nobody has a role on a domain.
pub(super) async fn own_domains(State(keystone): State<Keystone>, headers: HeaderMap) -> Answer {
    keystone.session(&headers).await?;
    Ok(Json(encode::collection(
        "domains",
        "/auth/domains",
        Vec::new(),
        &keystone.endpoint(&headers),
    )))
}

/// `GET /v3/auth/system`: nor on the system.
pub(super) async fn own_system(State(keystone): State<Keystone>, headers: HeaderMap) -> Answer {
    keystone.session(&headers).await?;
    let links = json!({"self": format!("{}/v3/auth/system", keystone.endpoint(&headers))});
    Ok(Json(json!({"system": [], "links": links})))
}

/// `GET /v3/domains`.
pub(super) async fn domains(
    State(keystone): State<Keystone>,
    headers: HeaderMap,
    RawQuery(query): RawQuery,
) -> Answer {
    keystone.admin(&headers, "identity:list_domains").await?;
    let query = Query::parse(query.as_deref());
    let endpoint = keystone.endpoint(&headers);
    let admitted = query.admits("name", DOMAIN_NAME) && query.admits_flag("enabled", true);
    let shown = admitted.then(|| encode::domain(&endpoint)).into_iter().collect();
    Ok(Json(encode::collection("domains", "/domains", shown, &endpoint)))
}

/// `GET /v3/domains/{id}`: administrators, and whoever has a token of a project in it.
pub(super) async fn domain(
    State(keystone): State<Keystone>,
    headers: HeaderMap,
    Path(id): Path<String>,
) -> Answer {
    let session = keystone.session(&headers).await?;
    if !is_admin(&session) && (session.project.is_none() || id != DOMAIN_ID) {
        return Err(Fault::Forbidden("identity:get_domain"));
    }
    if id != DOMAIN_ID {
        return Err(NO_DOMAIN);
    }
    Ok(Json(
        json!({"domain": encode::domain(&keystone.endpoint(&headers))}),
    ))
}

/// `GET /v3/projects`.
pub(super) async fn projects(
    State(keystone): State<Keystone>,
    headers: HeaderMap,
    RawQuery(query): RawQuery,
) -> Answer {
    keystone.admin(&headers, "identity:list_projects").await?;
    let query = Query::parse(query.as_deref());
    let endpoint = keystone.endpoint(&headers);
    let directory = keystone.identity.directory();
    let admitted = |project: &&Arc<Project>| {
        query.admits("name", project.name.as_str())
            && query.admits("domain_id", DOMAIN_ID)
            && query.admits("parent_id", DOMAIN_ID)
            && query.admits_flag("enabled", project.enabled)
            && query.admits_flag("is_domain", false)
    };
    let shown = directory
        .projects()
        .filter(admitted)
        .map(|project| encode::project(project, &endpoint))
        .collect();
    Ok(Json(encode::collection(
        "projects",
        "/projects",
        shown,
        &endpoint,
    )))
}

/// `GET /v3/projects/{id}`: administrators, and whoever has a token of the project.
pub(super) async fn project(
    State(keystone): State<Keystone>,
    headers: HeaderMap,
    Path(id): Path<String>,
) -> Answer {
    let session = keystone.session(&headers).await?;
    let id = ProjectId::parse(&id);
    let own = session
        .project
        .as_ref()
        .is_some_and(|project| Some(project.id) == id);
    if !is_admin(&session) && !own {
        return Err(Fault::Forbidden("identity:get_project"));
    }
    let directory = keystone.identity.directory();
    let project = id.and_then(|id| directory.project(id)).ok_or(NO_PROJECT)?;
    Ok(Json(
        json!({"project": encode::project(project, &keystone.endpoint(&headers))}),
    ))
}

/// `GET /v3/users`.
pub(super) async fn users(
    State(keystone): State<Keystone>,
    headers: HeaderMap,
    RawQuery(query): RawQuery,
) -> Answer {
    keystone.admin(&headers, "identity:list_users").await?;
    let query = Query::parse(query.as_deref());
    let endpoint = keystone.endpoint(&headers);
    let directory = keystone.identity.directory();
    let admitted = |user: &&Arc<User>| {
        query.admits("name", user.name.as_str())
            && query.admits("domain_id", DOMAIN_ID)
            && query.admits_flag("enabled", user.enabled)
    };
    let shown = directory
        .users()
        .filter(admitted)
        .map(|user| encode::user(user, &endpoint))
        .collect();
    Ok(Json(encode::collection("users", "/users", shown, &endpoint)))
}

/// `GET /v3/users/{id}`: administrators, and the user.
pub(super) async fn user(
    State(keystone): State<Keystone>,
    headers: HeaderMap,
    Path(id): Path<String>,
) -> Answer {
    let directory = keystone.identity.directory();
    let user = admitted_user(&keystone, &headers, &directory, &id, "identity:get_user").await?;
    Ok(Json(
        json!({"user": encode::user(user, &keystone.endpoint(&headers))}),
    ))
}

/// `GET /v3/users/{id}/projects`: administrators, and the user.
pub(super) async fn user_projects(
    State(keystone): State<Keystone>,
    headers: HeaderMap,
    Path(id): Path<String>,
) -> Answer {
    let directory = keystone.identity.directory();
    let user = admitted_user(
        &keystone,
        &headers,
        &directory,
        &id,
        "identity:list_user_projects",
    )
    .await?;
    let endpoint = keystone.endpoint(&headers);
    let projects = directory.projects_of(user.id);
    let shown = projects
        .map(|project| encode::project(project, &endpoint))
        .collect();
    Ok(Json(encode::collection(
        "projects",
        &format!("/users/{}/projects", user.id),
        shown,
        &endpoint,
    )))
}

async fn admitted_user<'d>(
    keystone: &Keystone,
    headers: &HeaderMap,
    directory: &'d Directory,
    id: &str,
    action: &'static str,
) -> Result<&'d Arc<User>, Fault> {
    let session = keystone.session(headers).await?;
    let id = UserId::parse(id);
    if !is_admin(&session) && Some(session.user.id) != id {
        return Err(Fault::Forbidden(action));
    }
    id.and_then(|id| directory.user(id)).ok_or(NO_USER)
}

/// `GET /v3/roles`.
pub(super) async fn roles(
    State(keystone): State<Keystone>,
    headers: HeaderMap,
    RawQuery(query): RawQuery,
) -> Answer {
    keystone.admin(&headers, "identity:list_roles").await?;
    let query = Query::parse(query.as_deref());
    let endpoint = keystone.endpoint(&headers);
    // Roles of a domain are others than these, and there are none.
    let global = query.value("domain_id").is_none();
    let admitted = |role: &Role| global && query.admits("name", role.name());
    let shown = Role::ALL
        .into_iter()
        .filter(admitted)
        .map(|role| encode::role(role, &endpoint))
        .collect();
    Ok(Json(encode::collection("roles", "/roles", shown, &endpoint)))
}

/// `GET /v3/roles/{id}`.
pub(super) async fn role(
    State(keystone): State<Keystone>,
    headers: HeaderMap,
    Path(id): Path<String>,
) -> Answer {
    keystone.admin(&headers, "identity:get_role").await?;
    let role = Role::ALL
        .into_iter()
        .find(|role| role.id() == id)
        .ok_or(NO_ROLE)?;
    Ok(Json(
        json!({"role": encode::role(role, &keystone.endpoint(&headers))}),
    ))
}

/// `GET /v3/role_assignments`.
pub(super) async fn role_assignments(
    State(keystone): State<Keystone>,
    headers: HeaderMap,
    RawQuery(query): RawQuery,
) -> Answer {
    keystone.admin(&headers, "identity:list_role_assignments").await?;
    let query = Query::parse(query.as_deref());
    let endpoint = keystone.endpoint(&headers);
    let directory = keystone.identity.directory();
    // Groups, domains, the system and inheritance: there is nothing of the kind.
    let elsewhere = [
        "group.id",
        "scope.domain.id",
        "scope.system",
        "scope.OS-INHERIT:inherited_to",
    ];
    let none = elsewhere.iter().any(|filter| query.value(filter).is_some());
    let names = if query.flag("include_names") {
        Shown::Names
    } else {
        Shown::Ids
    };
    let expand = |roles: Roles| {
        if query.flag("effective") {
            roles.expanded()
        } else {
            roles
        }
    };
    let shown = directory
        .assignments()
        .filter(|_| !none)
        .filter(|(user, project, _)| {
            query.admits("user.id", &user.to_string())
                && query.admits("scope.project.id", &project.to_string())
        })
        .flat_map(|(user, project, roles)| expand(roles).iter().map(move |role| (user, project, role)))
        .filter(|(.., role)| query.admits("role.id", role.id()))
        .filter_map(|(user, project, role)| {
            let (user, project) = (directory.user(user)?, directory.project(project)?);
            Some(assignment(user, project, role, names, &endpoint))
        })
        .collect();
    Ok(Json(encode::collection(
        "role_assignments",
        "/role_assignments",
        shown,
        &endpoint,
    )))
}

/// How a role assignment names what it joins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Shown {
    Ids,
    Names,
}

fn assignment(user: &User, project: &Project, role: Role, shown: Shown, endpoint: &Endpoint) -> Value {
    let (user_id, project_id) = (user.id.to_string(), project.id.to_string());
    let link = format!(
        "{endpoint}/v3/projects/{project_id}/users/{user_id}/roles/{}",
        role.id()
    );
    if shown == Shown::Ids {
        return json!({
            "role": {"id": role.id()},
            "user": {"id": user_id},
            "scope": {"project": {"id": project_id}},
            "links": {"assignment": link},
        });
    }
    let domain = json!({"id": DOMAIN_ID, "name": DOMAIN_NAME});
    json!({
        "role": {"id": role.id(), "name": role.name()},
        "user": {"id": user_id, "name": user.name.as_str(), "domain": domain},
        "scope": {"project": {"id": project_id, "name": project.name.as_str(), "domain": domain}},
        "links": {"assignment": link},
    })
}
