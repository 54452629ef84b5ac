//! The body of `POST /v3/auth/tokens`.

use serde::Deserialize;
use serde_json::Value;

use super::fault::Fault;
use crate::identity::{
    Secret,
    local::{DomainReference, Proof, Reference, WantedScope},
};

#[derive(Deserialize)]
struct Body {
    auth: Auth,
}

#[derive(Deserialize)]
struct Auth {
    identity: Identity,
    scope: Option<Value>,
}

#[derive(Deserialize)]
struct Identity {
    methods: Vec<String>,
    password: Option<Password>,
    token: Option<Token>,
}

#[derive(Deserialize)]
struct Password {
    user: User,
}

#[derive(Deserialize)]
struct User {
    #[serde(flatten)]
    named: Named,
    password: Secret,
}

#[derive(Deserialize)]
struct Named {
    id: Option<String>,
    name: Option<String>,
    domain: Option<Domain>,
}

#[derive(Deserialize)]
struct Domain {
    id: Option<String>,
    name: Option<String>,
}

#[derive(Deserialize)]
struct Token {
    id: Secret,
}

/// Reads a login.
///
/// # Errors
/// [`Fault::Malformed`] where Keystone's schema would refuse it, [`Fault::Unauthorized`] for methods that there are not.
pub(super) fn parse(body: &[u8]) -> Result<(Proof, WantedScope), Fault> {
    // Serde's message could quote what was sent, passwords included: line and column are enough.
    let Body { auth } = serde_json::from_slice(body).map_err(|error| {
        malformed(&format!(
            "not a login at line {} column {}",
            error.line(),
            error.column()
        ))
    })?;
    let Identity {
        methods,
        password,
        token,
    } = auth.identity;
    let proof = match methods.as_slice() {
        [method] if method == "password" => {
            let user = password
                .ok_or_else(|| malformed("'password' is a required property of 'identity'"))?
                .user;
            Proof::Password {
                user: reference(user.named, "user")?,
                password: user.password,
            }
        }
        [method] if method == "token" => Proof::Token(
            token
                .ok_or_else(|| malformed("'token' is a required property of 'identity'"))?
                .id,
        ),
        [] => return Err(malformed("'methods' is empty")),
        _ => return Err(Fault::Unauthorized),
    };
    Ok((proof, scope(auth.scope)?))
}

fn scope(scope: Option<Value>) -> Result<WantedScope, Fault> {
    let mut scope = match scope {
        None | Some(Value::Null) => return Ok(WantedScope::Default),
        Some(Value::String(word)) if word == "unscoped" => return Ok(WantedScope::Unscoped),
        Some(Value::Object(scope)) => scope,
        Some(_) => return Err(malformed("'scope' is neither an object nor 'unscoped'")),
    };
    if scope.len() > 1 {
        return Err(malformed("'scope' names more than one scope"));
    }
    if let Some(project) = scope.remove("project") {
        let named = serde_json::from_value(project).map_err(|_| malformed("'project' is not a project"))?;
        return Ok(WantedScope::Project(reference(named, "project")?));
    }
    if scope.contains_key("unscoped") {
        return Ok(WantedScope::Unscoped);
    }
    if ["domain", "system", "OS-TRUST:trust"]
        .iter()
        .any(|key| scope.contains_key(*key))
    {
        return Ok(WantedScope::Elsewhere);
    }
    Err(malformed("'scope' names no scope"))
}

/// An id, or a name with its domain: an id wins, as in Keystone.
fn reference(named: Named, what: &str) -> Result<Reference, Fault> {
    match (named.id, named.name, named.domain) {
        (Some(id), ..) => Ok(Reference::Id(id)),
        (None, Some(name), Some(domain)) => {
            let domain = match (domain.id, domain.name) {
                (Some(id), _) => DomainReference::Id(id),
                (None, Some(name)) => DomainReference::Name(name),
                (None, None) => {
                    return Err(malformed(&format!(
                        "the domain of '{what}' has neither id nor name"
                    )));
                }
            };
            Ok(Reference::Name { name, domain })
        }
        _ => Err(malformed(&format!(
            "'{what}' needs an id, or a name and a domain"
        ))),
    }
}

fn malformed(what: &str) -> Fault {
    Fault::Malformed(format!(
        "{what}. The server could not comply with the request since it is either malformed or otherwise incorrect."
    ))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const USER: &str = r#""identity":{"methods":["password"],"password":{"user":{"id":"1","password":"p"}}}"#;

    fn scoped(scope: &str) -> Result<WantedScope, Fault> {
        parse(format!(r#"{{"auth":{{{USER},"scope":{scope}}}}}"#).as_bytes()).map(|(_, scope)| scope)
    }

    #[test]
    fn reads_every_kind_of_scope() {
        let id = |id: &str| Reference::Id(id.to_owned());
        assert_eq!(scoped("null"), Ok(WantedScope::Default));
        assert_eq!(scoped(r#""unscoped""#), Ok(WantedScope::Unscoped));
        assert_eq!(scoped(r#"{"unscoped":{}}"#), Ok(WantedScope::Unscoped));
        assert_eq!(
            scoped(r#"{"project":{"id":"p"}}"#),
            Ok(WantedScope::Project(id("p")))
        );
        let named = Reference::Name {
            name: "p".to_owned(),
            domain: DomainReference::Name("Default".to_owned()),
        };
        assert_eq!(
            scoped(r#"{"project":{"name":"p","domain":{"name":"Default"}}}"#),
            Ok(WantedScope::Project(named))
        );
        assert_eq!(
            scoped(r#"{"domain":{"id":"default"}}"#),
            Ok(WantedScope::Elsewhere)
        );
        assert_eq!(scoped(r#"{"system":{"all":true}}"#), Ok(WantedScope::Elsewhere));
    }

    #[test]
    fn refuses_what_keystones_schema_refuses() {
        for scope in [
            r#"{"project":{"name":"p"}}"#,
            r#"{"project":{"id":"p"},"domain":{}}"#,
            "{}",
            "7",
            r#"{"project":3}"#,
        ] {
            assert!(matches!(scoped(scope), Err(Fault::Malformed(_))), "{scope}");
        }
        for body in [
            "",
            "{}",
            "[]",
            r#"{"auth":{"identity":{"methods":[]}}}"#,
            r#"{"auth":{"identity":{"methods":["token"]}}}"#,
        ] {
            assert!(
                matches!(parse(body.as_bytes()), Err(Fault::Malformed(_))),
                "{body}"
            );
        }
        let totp = r#"{"auth":{"identity":{"methods":["totp"]}}}"#;
        assert_eq!(parse(totp.as_bytes()).unwrap_err(), Fault::Unauthorized);
    }

    #[test]
    fn quotes_no_password_in_an_error() {
        let body = r#"{"auth":{"identity":{"methods":["password"],"password":{"user":{"id":"1","password":["hunter2"]}}}}}"#;
        assert!(!format!("{:?}", parse(body.as_bytes())).contains("hunter2"));
    }

    proptest! {
        #[test]
        fn any_body_is_a_login_or_refused(
            bytes in proptest::collection::vec(any::<u8>(), 0..200),
            text in r#"[\[\]{}":, a-z0-9]{0,80}"#,
        ) {
            let _ = parse(&bytes);
            let _ = scoped(&text);
            let _ = parse(format!(r#"{{"auth":{{"identity":{text}}}}}"#).as_bytes());
        }
    }
}
