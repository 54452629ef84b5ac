//! Who the service is at Keystone: the options of keystoneauth's plugins `password`, `v3password` and
//! `v3applicationcredential`.

use super::{
    ApplicationCredentialReference, Credentials, DomainReference, LoginScope, UserReference,
    read::{missing, text, warn},
};
use crate::config::{
    error::{ErrorKind, OptionName},
    reader::Reader,
    value::Secret,
};

const APPLICATION_CREDENTIAL: [&str; 3] = [
    "application_credential_id",
    "application_credential_name",
    "application_credential_secret",
];
const SCOPES: [&str; 6] = [
    "project_id",
    "project_name",
    "domain_id",
    "domain_name",
    "system_scope",
    "trust_id",
];

/// All is read before anything is judged, so that one start tells all that is missing.
pub(super) fn credentials(reader: &mut Reader<'_>, section: &str) -> Option<Credentials> {
    let plugin = reader
        .text(section, "auth_type")
        .filter(|found| !found.text.is_empty());
    match plugin.as_ref().map(|found| found.text.as_str()) {
        None => {
            missing(reader, section, "auth_type", "password");
            // Nearly everyone means this one; what else is missing is said with it.
            password(reader, section);
            None
        }
        Some("password" | "v3password") => password(reader, section),
        Some("v3applicationcredential") => application_credential(reader, section),
        Some(_) => {
            if let Some(found) = &plugin {
                let accepted =
                    "password, v3password or v3applicationcredential: no other way to log in is supported";
                reader.wrong(OptionName::new(section, "auth_type"), found, accepted);
            }
            None
        }
    }
}

fn password(reader: &mut Reader<'_>, section: &str) -> Option<Credentials> {
    let unused = APPLICATION_CREDENTIAL.into_iter();
    for name in unused
        .filter(|name| text(reader, section, name).is_some())
        .collect::<Vec<_>>()
    {
        let message = "is not used: auth_type asks for a password";
        warn(reader, section, name, message);
    }
    let user = user(reader, section);
    let password = secret(reader, section, "password", "GLANCE_PASS");
    let scope = scope(reader, section);
    Some(Credentials::Password {
        user: user?,
        password: password?,
        scope: scope?,
    })
}

fn application_credential(reader: &mut Reader<'_>, section: &str) -> Option<Credentials> {
    for name in SCOPES
        .into_iter()
        .filter(|name| text(reader, section, name).is_some())
        .collect::<Vec<_>>()
    {
        let message = "is not used: an application credential is of one project for good";
        warn(reader, section, name, message);
    }
    if text(reader, section, "password").is_some() {
        let message = "is not used: auth_type asks for an application credential";
        warn(reader, section, "password", message);
    }
    let secret = secret(reader, section, "application_credential_secret", "SECRET");
    let id = text(reader, section, "application_credential_id");
    let name = text(reader, section, "application_credential_name");
    let credential = match (id, name) {
        (Some(id), _) => ApplicationCredentialReference::Id(id),
        (None, Some(name)) => ApplicationCredentialReference::Name {
            name,
            user: user(reader, section)?,
        },
        (None, None) => {
            missing(
                reader,
                section,
                "application_credential_id",
                "423f19a4ac1e4f48bbb4180756e6eb6c",
            );
            return None;
        }
    };
    Some(Credentials::ApplicationCredential {
        credential,
        secret: secret?,
    })
}

fn secret(reader: &mut Reader<'_>, section: &str, name: &str, example: &str) -> Option<Secret> {
    let found = text(reader, section, name);
    if found.is_none() {
        missing(reader, section, name, example);
    }
    found.map(Secret::new)
}

/// An id stands before a name, as in keystoneauth.
fn user(reader: &mut Reader<'_>, section: &str) -> Option<UserReference> {
    let id = text(reader, section, "user_id");
    let name = text(reader, section, "username");
    let domain = domain(reader, section, ["user_domain_id", "user_domain_name"]);
    if let Some(id) = id {
        return Some(UserReference::Id(id));
    }
    if name.is_none() {
        missing(reader, section, "username", "glance");
    }
    if domain.is_none() {
        missing(reader, section, "user_domain_name", "Default");
    }
    Some(UserReference::Name {
        name: name?,
        domain: domain?,
    })
}

/// What the service's token is for: one thing, and nothing is not enough to have a catalog.
fn scope(reader: &mut Reader<'_>, section: &str) -> Option<LoginScope> {
    let [project_id, project_name, domain_id, domain_name, system, trust] =
        SCOPES.map(|name| text(reader, section, name));
    let project_domain = domain(reader, section, ["project_domain_id", "project_domain_name"]);
    let project = project_id.is_some() || project_name.is_some();
    let domain = domain_id.is_some() || domain_name.is_some();
    let wanted = [
        ("a project", project, "project_name"),
        ("a domain", domain, "domain_name"),
        ("the system", system.is_some(), "system_scope"),
        ("a trust", trust.is_some(), "trust_id"),
    ];
    let wanted: Vec<_> = wanted.into_iter().filter(|(_, is_set, _)| *is_set).collect();
    if let [_, .., (_, _, last)] = wanted.as_slice() {
        let scopes: Vec<&str> = wanted.iter().map(|(scope, ..)| *scope).collect();
        let message = format!(
            "a token is for one thing, and the options ask for {}: keep one",
            scopes.join(" and ")
        );
        reader.refuse(ErrorKind::Conflict, section, last, message);
        return None;
    }
    if let Some(id) = project_id {
        return Some(LoginScope::ProjectId(id));
    }
    if let Some(domain) = reference(domain_id, domain_name) {
        return Some(LoginScope::Domain(domain));
    }
    if let Some(id) = trust {
        return Some(LoginScope::Trust(id));
    }
    match system.as_deref() {
        None => {}
        Some("all") => return Some(LoginScope::System),
        Some(_) => {
            reader.refuse(ErrorKind::Value, section, "system_scope", "give all, or nothing");
            return None;
        }
    }
    if project_name.is_none() {
        missing(reader, section, "project_name", "service");
    }
    if project_domain.is_none() {
        missing(reader, section, "project_domain_name", "Default");
    }
    Some(LoginScope::ProjectName {
        name: project_name?,
        domain: project_domain?,
    })
}

/// The domain by these options, else the default one.
fn domain(reader: &mut Reader<'_>, section: &str, names: [&str; 2]) -> Option<DomainReference> {
    let [id, name] = names.map(|name| text(reader, section, name));
    let [default_id, default_name] =
        ["default_domain_id", "default_domain_name"].map(|name| text(reader, section, name));
    reference(id, name).or_else(|| reference(default_id, default_name))
}

fn reference(id: Option<String>, name: Option<String>) -> Option<DomainReference> {
    id.map(DomainReference::Id)
        .or_else(|| name.map(DomainReference::Name))
}
