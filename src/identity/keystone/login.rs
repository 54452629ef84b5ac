//! What is sent to log in, and what it means when Keystone refuses.

use http::StatusCode;
use serde_json::{Value, json};
use url::Url;

use super::{
    ApplicationCredentialReference, Credentials, DomainReference, KeystoneError, KeystoneOptions, LoginScope,
    UserReference,
    catalog::tokens_url_below,
    client::Broken,
    trouble::{Trouble, TroubleKind},
};

/// A login at `auth_url`.
pub(super) struct Login {
    url: Url,
    credentials: Credentials,
}

impl Login {
    pub(super) fn new(options: &KeystoneOptions) -> Result<Self, KeystoneError> {
        Ok(Self {
            url: tokens_url_below(&options.auth_url).map_err(KeystoneError::AuthUrl)?,
            credentials: options.credentials.clone(),
        })
    }

    /// `{auth_url}/v3/auth/tokens`.
    pub(super) fn url(&self) -> &Url {
        &self.url
    }

    /// Holds the password.
    pub(super) fn body(&self) -> Value {
        match &self.credentials {
            Credentials::Password {
                user,
                password,
                scope,
            } => {
                let mut user = user_of(user);
                if let Some(user) = user.as_object_mut() {
                    user.insert("password".to_owned(), password.expose().into());
                }
                let mut auth = json!({"identity": {"methods": ["password"], "password": {"user": user}}});
                if let (Some(scope), Some(auth)) = (scope_of(scope), auth.as_object_mut()) {
                    auth.insert("scope".to_owned(), scope);
                }
                json!({ "auth": auth })
            }
            Credentials::ApplicationCredential { credential, secret } => {
                let secret = secret.expose();
                let credential = match credential {
                    ApplicationCredentialReference::Id(id) => json!({"id": id, "secret": secret}),
                    ApplicationCredentialReference::Name { name, user } => {
                        json!({"name": name, "user": user_of(user), "secret": secret})
                    }
                };
                json!({"auth": {"identity": {
                    "methods": ["application_credential"],
                    "application_credential": credential,
                }}})
            }
        }
    }

    pub(super) fn unreachable(&self, broken: &Broken) -> Trouble {
        Trouble::new(
            TroubleKind::Unreachable,
            format_args!(
                "Keystone at {} (auth_url) cannot be used for the login: {broken}",
                self.url
            ),
        )
    }

    /// What to do about a refusal, by the options to look at.
    pub(super) fn refused(&self, status: StatusCode, explanation: &str) -> Trouble {
        let (who, options) = match &self.credentials {
            Credentials::Password { user, scope, .. } => (
                match user {
                    UserReference::Id(id) => format!("user id {id:?}"),
                    UserReference::Name { name, .. } => format!("user {name:?}"),
                },
                format!(
                    "{}, password and {}",
                    options_of_user(user),
                    options_of_scope(scope)
                ),
            ),
            Credentials::ApplicationCredential { credential, .. } => match credential {
                ApplicationCredentialReference::Id(id) => (
                    format!("application credential id {id:?}"),
                    "application_credential_id and application_credential_secret".to_owned(),
                ),
                ApplicationCredentialReference::Name { name, user } => (
                    format!("application credential {name:?}"),
                    format!(
                        "application_credential_name, application_credential_secret and {}",
                        options_of_user(user)
                    ),
                ),
            },
        };
        let hint = match status {
            StatusCode::UNAUTHORIZED => format!("check {options}"),
            StatusCode::FORBIDDEN => format!("is it enabled and not locked? check {options}"),
            StatusCode::NOT_FOUND => format!("is auth_url ({}) that of Keystone?", self.url),
            status if status.is_redirection() => {
                format!(
                    "redirects are not followed; auth_url ({}) must be that of Keystone",
                    self.url
                )
            }
            StatusCode::BAD_REQUEST => format!("check {options}, with their domains"),
            _ => format!("check auth_url ({}), {options}", self.url),
        };
        Trouble::new(
            TroubleKind::LoginRefused,
            format_args!("Keystone refuses the login of {who} with {status} ({explanation}): {hint}"),
        )
    }
}

fn user_of(user: &UserReference) -> Value {
    match user {
        UserReference::Id(id) => json!({ "id": id }),
        UserReference::Name { name, domain } => json!({"name": name, "domain": domain_of(domain)}),
    }
}

fn domain_of(domain: &DomainReference) -> Value {
    match domain {
        DomainReference::Id(id) => json!({ "id": id }),
        DomainReference::Name(name) => json!({ "name": name }),
    }
}

fn scope_of(scope: &LoginScope) -> Option<Value> {
    Some(match scope {
        LoginScope::ProjectId(id) => json!({"project": {"id": id}}),
        LoginScope::ProjectName { name, domain } => {
            json!({"project": {"name": name, "domain": domain_of(domain)}})
        }
        LoginScope::Domain(domain) => json!({ "domain": domain_of(domain) }),
        LoginScope::System => json!({"system": {"all": true}}),
        LoginScope::Trust(id) => json!({"OS-TRUST:trust": {"id": id}}),
        LoginScope::Unscoped => return None,
    })
}

fn options_of_user(user: &UserReference) -> &'static str {
    match user {
        UserReference::Id(_) => "user_id",
        UserReference::Name {
            domain: DomainReference::Id(_),
            ..
        } => "username, user_domain_id",
        UserReference::Name {
            domain: DomainReference::Name(_),
            ..
        } => "username, user_domain_name",
    }
}

fn options_of_scope(scope: &LoginScope) -> &'static str {
    match scope {
        LoginScope::ProjectId(_) => "project_id",
        LoginScope::ProjectName {
            domain: DomainReference::Id(_),
            ..
        } => "project_name, project_domain_id",
        LoginScope::ProjectName {
            domain: DomainReference::Name(_),
            ..
        } => "project_name, project_domain_name",
        LoginScope::Domain(DomainReference::Id(_)) => "domain_id",
        LoginScope::Domain(DomainReference::Name(_)) => "domain_name",
        LoginScope::System => "system_scope",
        LoginScope::Trust(_) => "trust_id",
        LoginScope::Unscoped => "the user's default project",
    }
}

#[cfg(test)]
mod tests {
    use super::{super::super::Secret, *};

    fn login(credentials: Credentials) -> Login {
        Login {
            url: tokens_url_below("http://keystone:5000").unwrap(),
            credentials,
        }
    }

    fn password(user: UserReference, scope: LoginScope) -> Login {
        login(Credentials::Password {
            user,
            password: Secret::new("s3cret".to_owned()),
            scope,
        })
    }

    fn glance() -> UserReference {
        UserReference::Name {
            name: "glance".to_owned(),
            domain: DomainReference::Name("Default".to_owned()),
        }
    }

    #[test]
    fn logs_in_with_a_password_in_every_scope() {
        let user = json!({"name": "glance", "domain": {"name": "Default"}, "password": "s3cret"});
        let project = LoginScope::ProjectName {
            name: "service".to_owned(),
            domain: DomainReference::Id("default".to_owned()),
        };
        for (scope, expected) in [
            (
                project,
                json!({"project": {"name": "service", "domain": {"id": "default"}}}),
            ),
            (
                LoginScope::ProjectId("p".to_owned()),
                json!({"project": {"id": "p"}}),
            ),
            (
                LoginScope::Domain(DomainReference::Name("D".to_owned())),
                json!({"domain": {"name": "D"}}),
            ),
            (LoginScope::System, json!({"system": {"all": true}})),
            (
                LoginScope::Trust("t".to_owned()),
                json!({"OS-TRUST:trust": {"id": "t"}}),
            ),
        ] {
            let body = password(glance(), scope).body();
            let identity = json!({"methods": ["password"], "password": {"user": user}});
            assert_eq!(body, json!({"auth": {"identity": identity, "scope": expected}}));
        }
        let body = password(UserReference::Id("u".to_owned()), LoginScope::Unscoped).body();
        let user = json!({"id": "u", "password": "s3cret"});
        let identity = json!({"methods": ["password"], "password": {"user": user}});
        assert_eq!(body, json!({"auth": {"identity": identity}}));
    }

    #[test]
    fn logs_in_with_an_application_credential() {
        let by = |credential| {
            login(Credentials::ApplicationCredential {
                credential,
                secret: Secret::new("s3cret".to_owned()),
            })
            .body()["auth"]["identity"]["application_credential"]
                .clone()
        };
        assert_eq!(
            by(ApplicationCredentialReference::Id("a".to_owned())),
            json!({"id": "a", "secret": "s3cret"})
        );
        assert_eq!(
            by(ApplicationCredentialReference::Name {
                name: "n".to_owned(),
                user: glance()
            }),
            json!({"name": "n", "secret": "s3cret", "user": {"name": "glance", "domain": {"name": "Default"}}})
        );
    }

    #[test]
    fn a_refusal_names_the_options_and_no_secret() {
        let login = password(glance(), LoginScope::ProjectId("p".to_owned()));
        for (status, option) in [
            (
                StatusCode::UNAUTHORIZED,
                "username, user_domain_name, password and project_id",
            ),
            (StatusCode::NOT_FOUND, "auth_url"),
            (StatusCode::FOUND, "auth_url"),
        ] {
            let trouble = login.refused(status, "no");
            assert_eq!(trouble.kind, TroubleKind::LoginRefused);
            assert!(trouble.detail.contains(option), "{trouble}");
            assert!(!trouble.detail.contains("s3cret"), "{trouble}");
        }
    }
}
