//! Tokens, catalog, users and projects as Keystone writes them.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiff::Timestamp;
use serde_json::{Value, json};

use crate::identity::local::{
    DOMAIN_ID, DOMAIN_NAME, Endpoint, Method, Project, REGION, Role, Session, User,
};

/// Whether a token is shown with the catalog.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum WithCatalog {
    Yes,
    No,
}

pub(super) fn token(session: &Session, endpoint: &Endpoint, with: WithCatalog) -> Value {
    let token = &session.token;
    let methods: &[&str] = match token.method {
        Method::Password => &["password"],
        Method::PasswordThenToken => &["token", "password"],
    };
    let audit_ids: Vec<String> = std::iter::once(&token.audit)
        .chain(&token.audit_chain)
        .map(|id| URL_SAFE_NO_PAD.encode(id))
        .collect();
    let mut shown = json!({
        "methods": methods,
        "user": {
            "domain": {"id": DOMAIN_ID, "name": DOMAIN_NAME},
            "id": session.user.id.to_string(),
            "name": session.user.name.as_str(),
            "password_expires_at": null,
        },
        "audit_ids": audit_ids,
        "expires_at": time(token.expires_at),
        "issued_at": time(token.issued_at),
    });
    if let (Some(project), Some(fields)) = (&session.project, shown.as_object_mut()) {
        fields.insert(
            "project".to_owned(),
            json!({
                "domain": {"id": DOMAIN_ID, "name": DOMAIN_NAME},
                "id": project.id.to_string(),
                "name": project.name.as_str(),
            }),
        );
        fields.insert("is_domain".to_owned(), json!(false));
        let roles: Vec<Value> = session
            .roles
            .iter()
            .map(|role| json!({"id": role.id(), "name": role.name()}))
            .collect();
        fields.insert("roles".to_owned(), json!(roles));
        if with == WithCatalog::Yes {
            fields.insert("catalog".to_owned(), catalog(endpoint));
        }
    }
    json!({"token": shown})
}

/// The daemon itself, as both the identity and the image service.
pub(super) fn catalog(endpoint: &Endpoint) -> Value {
    // Ids are the same in every installation: nobody can change what they name.
    let service = |number: u8, kind: &str, name: &str, url: String| {
        let endpoints: Vec<Value> = ["public", "internal", "admin"]
            .iter()
            .zip(1u8..)
            .map(|(interface, index)| {
                json!({
                    "id": format!("5acc00000000000000000000000001{number}{index}"),
                    "interface": interface,
                    "region": REGION,
                    "region_id": REGION,
                    "url": url,
                })
            })
            .collect();
        json!({
            "id": format!("5acc00000000000000000000000000{number}0"),
            "type": kind,
            "name": name,
            "endpoints": endpoints,
        })
    };
    json!([
        service(1, "identity", "keystone", format!("{endpoint}/v3/")),
        service(2, "image", "glance", endpoint.to_string()),
    ])
}

pub(super) fn user(user: &User, endpoint: &Endpoint) -> Value {
    let id = user.id.to_string();
    let mut shown = json!({
        "id": id,
        "name": user.name.as_str(),
        "domain_id": DOMAIN_ID,
        "enabled": user.enabled,
        "password_expires_at": null,
        "options": {},
        "links": {"self": format!("{endpoint}/v3/users/{id}")},
    });
    if let (Some(project), Some(fields)) = (user.default_project, shown.as_object_mut()) {
        fields.insert("default_project_id".to_owned(), json!(project.to_string()));
    }
    shown
}

pub(super) fn project(project: &Project, endpoint: &Endpoint) -> Value {
    let id = project.id.to_string();
    json!({
        "id": id,
        "name": project.name.as_str(),
        "domain_id": DOMAIN_ID,
        "description": "",
        "enabled": project.enabled,
        "parent_id": DOMAIN_ID,
        "is_domain": false,
        "tags": [],
        "options": {},
        "links": {"self": format!("{endpoint}/v3/projects/{id}")},
    })
}

pub(super) fn domain(endpoint: &Endpoint) -> Value {
    json!({
        "id": DOMAIN_ID,
        "name": DOMAIN_NAME,
        "description": "The default domain",
        "enabled": true,
        "tags": [],
        "options": {},
        "links": {"self": format!("{endpoint}/v3/domains/{DOMAIN_ID}")},
    })
}

pub(super) fn role(role: Role, endpoint: &Endpoint) -> Value {
    json!({
        "id": role.id(),
        "name": role.name(),
        "domain_id": null,
        "description": null,
        "options": {},
        "links": {"self": format!("{endpoint}/v3/roles/{}", role.id())},
    })
}

/// A collection with its links, unpaged as Keystone's are by default; `path` below `/v3`.
pub(super) fn collection(name: &str, path: &str, items: Vec<Value>, endpoint: &Endpoint) -> Value {
    json!({name: items, "links": {"next": null, "previous": null, "self": format!("{endpoint}/v3{path}")}})
}

/// Seconds since 1970 as Keystone writes times.
fn time(seconds: u64) -> String {
    i64::try_from(seconds)
        .ok()
        .and_then(|seconds| Timestamp::from_second(seconds).ok())
        .unwrap_or(Timestamp::MAX)
        .strftime("%Y-%m-%dT%H:%M:%S.000000Z")
        .to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn writes_times_as_keystone_does() {
        assert_eq!(time(1_795_336_416), "2026-11-22T08:33:36.000000Z");
        assert_eq!(time(u64::MAX), "9999-12-30T22:00:00.000000Z");
    }
}
