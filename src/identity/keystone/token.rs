//! What Keystone says about a token: `{"token": {...}}`, read with care.

use jiff::Timestamp;
use serde::{Deserialize, de::IgnoredAny};
use serde_json::error::Category;
use std::collections::BTreeMap;

use super::{
    super::{Caller, Scope},
    access_rules::AccessRules,
    bind::Bind,
    catalog,
};

/// The most roles that one token may have: a bound, far above any cloud's.
const MAX_ROLES: usize = 256;

/// The longest id or name that is believed to be one; Keystone stores at most 255 characters.
const MAX_NAME_BYTES: usize = 1024;

/// A token that Keystone knows. Whether it is still good is asked at each use.
#[derive(Debug)]
pub(super) struct Token {
    /// Without the service that comes along.
    pub(super) caller: Caller,
    pub(super) expires: Timestamp,
    pub(super) bind: Bind,
    /// `None`: not restricted.
    pub(super) access_rules: Option<AccessRules>,
}

/// A body that says nothing about a token that could be relied on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum Unusable {
    /// No JSON, or cut off.
    #[error("it is not JSON")]
    NotJson,
    /// JSON, but something is missing, contradictory or beyond all bounds.
    #[error("{0}")]
    Contents(&'static str),
}

impl Token {
    /// # Errors
    /// [`Unusable`]; the text never holds anything of the body.
    pub(super) fn parse(body: &[u8]) -> Result<Self, Unusable> {
        let body: Body = serde_json::from_slice(body).map_err(|error| match error.classify() {
            Category::Data => Unusable::Contents("a field is missing or of another type"),
            Category::Io | Category::Syntax | Category::Eof => Unusable::NotJson,
        })?;
        body.token.check()
    }

    /// Bytes of memory, roughly.
    pub(super) fn weight(&self) -> usize {
        let caller = &self.caller;
        let texts = [
            Some(&caller.user_id),
            caller.user_name.as_ref(),
            caller.user_domain_id.as_ref(),
            caller.project_id.as_ref(),
            caller.project_name.as_ref(),
            caller.project_domain_id.as_ref(),
            caller.domain_id.as_ref(),
        ];
        let lists = caller.roles.iter().chain(&self.bind.0);
        size_of::<Self>()
            + texts.into_iter().flatten().map(String::len).sum::<usize>()
            + lists.map(|text| size_of::<String>() + text.len()).sum::<usize>()
            + self.access_rules.as_ref().map_or(0, AccessRules::weight)
    }
}

#[derive(Deserialize)]
struct Body {
    token: Raw,
}

#[derive(Deserialize)]
struct Raw {
    expires_at: String,
    user: User,
    #[serde(default)]
    project: Option<Project>,
    #[serde(default)]
    domain: Option<Domain>,
    #[serde(default)]
    system: Option<System>,
    #[serde(default)]
    roles: Option<Vec<Role>>,
    /// Absent means yes, as keystoneauth reads it; null means no.
    #[serde(default = "yes")]
    is_admin_project: Option<bool>,
    #[serde(default)]
    bind: Option<BTreeMap<String, IgnoredAny>>,
    #[serde(default)]
    application_credential: Option<ApplicationCredential>,
    #[serde(default)]
    catalog: Option<Vec<catalog::Service>>,
}

fn yes() -> Option<bool> {
    Some(true)
}

#[derive(Deserialize)]
struct User {
    id: String,
    #[serde(default)]
    name: Option<String>,
    #[serde(default)]
    domain: Option<OwnDomain>,
}

#[derive(Deserialize)]
struct Project {
    id: String,
    #[serde(default)]
    name: Option<String>,
    #[serde(default)]
    domain: Option<OwnDomain>,
}

/// The domain that a user or project is in.
#[derive(Deserialize)]
struct OwnDomain {
    #[serde(default)]
    id: Option<String>,
}

/// The domain that a token is for.
#[derive(Deserialize)]
struct Domain {
    id: String,
}

#[derive(Deserialize)]
struct System {
    #[serde(default)]
    all: Option<bool>,
}

#[derive(Deserialize)]
struct Role {
    name: String,
}

#[derive(Deserialize)]
struct ApplicationCredential {
    #[serde(default)]
    access_rules: Option<Vec<AccessRule>>,
}

#[derive(Deserialize)]
struct AccessRule {
    service: String,
    method: String,
    path: String,
}

impl Raw {
    fn check(self) -> Result<Token, Unusable> {
        let expires = self
            .expires_at
            .parse()
            .map_err(|_| Unusable::Contents("expires_at is no time"))?;
        let roles: Vec<String> = self
            .roles
            .unwrap_or_default()
            .into_iter()
            .map(|role| role.name.to_lowercase())
            .collect();
        if roles.len() > MAX_ROLES {
            return Err(Unusable::Contents("it has more roles than any token"));
        }
        let in_system = self.system.and_then(|system| system.all) == Some(true);
        // Keystone scopes a token once; one that claims more gets the scope with fewer rights here.
        let scope = match (&self.domain, &self.project) {
            _ if in_system => Scope::System,
            (Some(_), _) => Scope::Domain,
            (None, Some(_)) => Scope::Project,
            (None, None) => Scope::Unscoped,
        };
        let own_id = |domain: Option<OwnDomain>| domain.and_then(|domain| domain.id);
        let (project_id, project_name, project_domain_id) = match self.project {
            Some(project) => (Some(project.id), project.name, own_id(project.domain)),
            None => (None, None, None),
        };
        let caller = Caller {
            user_id: self.user.id,
            user_name: self.user.name,
            user_domain_id: own_id(self.user.domain),
            project_id,
            project_name,
            project_domain_id,
            scope,
            roles,
            domain_id: self.domain.map(|domain| domain.id),
            service: None,
            is_admin_project: self.is_admin_project.unwrap_or(false),
        };
        plausible(&caller)?;
        let access_rules = match self.application_credential.and_then(|own| own.access_rules) {
            None => None,
            Some(rules) => {
                let rules = rules
                    .into_iter()
                    .map(|rule| (rule.service, rule.method, rule.path));
                let catalog = self
                    .catalog
                    .map(|catalog| catalog.into_iter().map(|service| service.kind).collect());
                let rules = AccessRules::new(rules, catalog)
                    .map_err(|_| Unusable::Contents("its access rules are beyond all bounds"))?;
                Some(rules)
            }
        };
        Ok(Token {
            caller,
            expires,
            bind: Bind(self.bind.unwrap_or_default().into_keys().collect()),
            access_rules,
        })
    }
}

fn plausible(caller: &Caller) -> Result<(), Unusable> {
    let ids = [
        Some(&caller.user_id),
        caller.project_id.as_ref(),
        caller.domain_id.as_ref(),
    ];
    if ids.into_iter().flatten().any(String::is_empty) {
        return Err(Unusable::Contents("an id is empty"));
    }
    let names = [
        caller.user_name.as_ref(),
        caller.user_domain_id.as_ref(),
        caller.project_name.as_ref(),
        caller.project_domain_id.as_ref(),
    ];
    let mut all = ids.into_iter().chain(names).flatten().chain(&caller.roles);
    if all.any(|text| text.len() > MAX_NAME_BYTES) {
        return Err(Unusable::Contents("an id or name is longer than any"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;

    fn project_token() -> Value {
        json!({"token": {
            "methods": ["password"], "audit_ids": ["x"], "OS-TRUST:trust": {"id": "t"},
            "issued_at": "2026-01-01T00:00:00.000000Z", "expires_at": "2026-01-01T01:00:00.000000Z",
            "user": {"id": "u", "name": "ada", "domain": {"id": "default", "name": "Default"},
                     "password_expires_at": null, "OS-FEDERATION": {}},
            "project": {"id": "p", "name": "demo", "domain": {"id": "default", "name": "Default"}},
            "is_domain": false,
            "roles": [{"id": "r", "name": "Member"}, {"id": "s", "name": "reader"}],
            "catalog": [],
        }})
    }

    fn parse(value: &Value) -> Result<Token, Unusable> {
        Token::parse(&serde_json::to_vec(value).unwrap())
    }

    /// The token with one member replaced; by null, taken away.
    fn with(name: &str, value: Value) -> Value {
        let mut token = project_token();
        let members = token["token"].as_object_mut().unwrap();
        if value.is_null() {
            members.remove(name);
        } else {
            members.insert(name.to_owned(), value);
        }
        token
    }

    #[test]
    fn reads_a_project_token() {
        let token = parse(&project_token()).unwrap();
        assert_eq!(
            token.caller,
            Caller {
                user_id: "u".into(),
                user_name: Some("ada".into()),
                user_domain_id: Some("default".into()),
                project_id: Some("p".into()),
                project_name: Some("demo".into()),
                project_domain_id: Some("default".into()),
                scope: Scope::Project,
                roles: vec!["member".into(), "reader".into()],
                domain_id: None,
                service: None,
                is_admin_project: true,
            }
        );
        assert_eq!(token.expires, "2026-01-01T01:00:00Z".parse().unwrap());
        assert!(token.access_rules.is_none());
        assert_eq!(token.bind, Bind::default());
    }

    #[test]
    fn reads_every_scope() {
        let scoped = |scope: Value| {
            let mut token = with("project", Value::Null);
            for (name, value) in scope.as_object().unwrap() {
                token["token"][name] = value.clone();
            }
            parse(&token).map(|token| (token.caller.scope, token.caller.domain_id))
        };
        for (scope, expected) in [
            (json!({}), (Scope::Unscoped, None)),
            (
                json!({"project": null, "domain": null, "system": null}),
                (Scope::Unscoped, None),
            ),
            (json!({"project": {"id": "p"}}), (Scope::Project, None)),
            (
                json!({"domain": {"id": "d", "name": "D"}}),
                (Scope::Domain, Some("d".into())),
            ),
            (json!({"system": {"all": true}}), (Scope::System, None)),
            (json!({"system": {"all": false}}), (Scope::Unscoped, None)),
            (json!({"system": {}}), (Scope::Unscoped, None)),
            (
                json!({"system": {"all": true}, "project": {"id": "p"}}),
                (Scope::System, None),
            ),
        ] {
            assert_eq!(scoped(scope.clone()), Ok(expected), "{scope}");
        }
    }

    #[test]
    fn the_admin_project_is_believed_unless_denied() {
        for (value, expected) in [(json!(true), true), (json!(false), false)] {
            let token = parse(&with("is_admin_project", value)).unwrap();
            assert_eq!(token.caller.is_admin_project, expected);
        }
        let mut token = project_token();
        token["token"]["is_admin_project"] = Value::Null;
        assert!(!parse(&token).unwrap().caller.is_admin_project);
    }

    #[test]
    fn refuses_what_is_missing_or_contradictory() {
        for (name, value) in [
            ("expires_at", Value::Null),
            ("expires_at", json!("tomorrow")),
            ("expires_at", json!("2026-01-01T01:00:00")),
            ("expires_at", json!(1_767_229_200)),
            ("user", Value::Null),
            ("user", json!({"name": "ada"})),
            ("user", json!({"id": ""})),
            ("project", json!({"name": "demo"})),
            ("project", json!({"id": ""})),
            ("project", json!({"id": "p".repeat(MAX_NAME_BYTES + 1)})),
            ("domain", json!({"name": "d"})),
            ("roles", json!([{"id": "r"}])),
            ("roles", json!(vec![json!({"name": "r"}); MAX_ROLES + 1])),
            ("is_admin_project", json!("no")),
            ("bind", json!("kerberos")),
            ("application_credential", json!({"access_rules": "all"})),
            (
                "application_credential",
                json!({"access_rules": [{"path": "/", "method": "GET"}]}),
            ),
        ] {
            assert!(
                matches!(parse(&with(name, value.clone())), Err(Unusable::Contents(_))),
                "{name} {value}"
            );
        }
    }

    #[test]
    fn tells_no_json_from_no_token() {
        for body in ["", "<html>", r#"{"token": {"user"#, r#"{"token": {"x": 1,}}"#] {
            assert_eq!(Token::parse(body.as_bytes()).unwrap_err(), Unusable::NotJson);
        }
        let deep = "[".repeat(100_000);
        for body in [
            &deep,
            "{}",
            "[]",
            "null",
            r#"{"token": null}"#,
            r#"{"token":{},"token":{}}"#,
        ] {
            assert!(
                matches!(Token::parse(body.as_bytes()), Err(Unusable::Contents(_))),
                "{body}"
            );
        }
    }

    #[test]
    fn reads_access_rules_even_when_there_are_none() {
        let rules = |value: Value| {
            parse(&with("application_credential", value))
                .unwrap()
                .access_rules
        };
        assert!(rules(json!({"id": "a", "restricted": true})).is_none());
        assert!(rules(json!({"access_rules": null})).is_none());
        assert!(rules(json!({"access_rules": []})).is_some());
        let rule = json!({"id": "x", "service": "image", "method": "GET", "path": "/v2/images"});
        assert!(rules(json!({"access_rules": [rule]})).unwrap().has_catalog());
    }

    fn any_json() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            ".{0,8}".prop_map(Value::from),
        ];
        let name = prop_oneof![
            Just("id".to_owned()),
            Just("name".to_owned()),
            Just("all".to_owned()),
            Just("access_rules".to_owned()),
            ".{0,3}"
        ];
        leaf.prop_recursive(3, 16, 4, move |inner| {
            prop_oneof![
                proptest::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                proptest::collection::btree_map(name.clone(), inner, 0..4)
                    .prop_map(|map| Value::Object(map.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn any_bytes_end_in_an_answer(body in proptest::collection::vec(any::<u8>(), 0..200)) {
            prop_assert!(Token::parse(&body).is_err());
        }

        #[test]
        fn any_member_of_any_kind_ends_in_an_answer(
            name in prop_oneof![
                Just("expires_at"), Just("user"), Just("project"), Just("domain"), Just("system"), Just("roles"),
                Just("is_admin_project"), Just("bind"), Just("application_credential"), Just("catalog"),
            ],
            value in any_json(),
        ) {
            if let Ok(token) = parse(&with(name, value)) {
                prop_assert!(!token.caller.user_id.is_empty());
                prop_assert!(token.weight() < 100_000);
            }
        }
    }
}
