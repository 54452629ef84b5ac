//! Accounts, as the options name them or the file of references. Takes any text.

use std::{collections::BTreeMap, fs};

use url::Url;

use crate::config::{OpenError, Secret, SwiftStoreConfig};

/// An account, and how to log in to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Reference {
    pub(crate) name: String,
    pub(crate) auth_address: Url,
    pub(crate) login: Login,
}

/// What to log in with.
#[derive(Clone, PartialEq, Eq)]
pub(crate) enum Login {
    /// tempauth, and RGW's own.
    V1 { user: String, key: Secret },
    /// Keystone.
    Password {
        project: String,
        user: String,
        key: Secret,
        project_domain: Domain,
        user_domain: Domain,
    },
    /// Keystone.
    ApplicationCredential { id: String, secret: Secret },
}

/// A domain of Keystone's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Domain {
    Id(String),
    Name(String),
}

impl Login {
    /// As old locations have it.
    pub(crate) fn user(&self) -> Option<String> {
        match self {
            Self::V1 { user, .. } => Some(user.clone()),
            Self::Password { project, user, .. } => Some(format!("{project}:{user}")),
            Self::ApplicationCredential { .. } => None,
        }
    }

    /// What tells accounts of one server apart. Application credentials do not say whose they are.
    pub(crate) fn account(&self) -> (&str, Option<&Domain>) {
        match self {
            // Users of one account have its name before the colon.
            Self::V1 { user, .. } => (user.split_once(':').map_or(user, |(account, _)| account), None),
            Self::Password {
                project,
                project_domain,
                ..
            } => (project, Some(project_domain)),
            Self::ApplicationCredential { id, .. } => (id, None),
        }
    }

    pub(crate) fn key(&self) -> &Secret {
        match self {
            Self::V1 { key, .. } | Self::Password { key, .. } => key,
            Self::ApplicationCredential { secret, .. } => secret,
        }
    }
}

impl std::fmt::Debug for Login {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::V1 { .. } => "V1",
            Self::Password { .. } => "Password",
            Self::ApplicationCredential { .. } => "ApplicationCredential",
        })
    }
}

/// All accounts, that which is written to first. Blocks.
pub(crate) fn load(config: &SwiftStoreConfig) -> Result<Vec<Reference>, OpenError> {
    let option = |option, reason| OpenError::Option {
        id: config.id.clone(),
        option,
        reason,
    };
    let default = config.default_swift_reference.as_str();
    if default.is_empty()
        || default.contains(['/', '@', ':', '?', '#'])
        || default.contains(char::is_whitespace)
    {
        return Err(option("default_swift_reference", "is not a name of a reference"));
    }
    let Some(path) = &config.swift_store_config_file else {
        let reference = inline(config)
            .map_err(|(name, reason)| option(name, reason))?
            .build(default, &config.swift_store_auth_version)
            .map_err(|_| option("swift_store_auth_address", "or swift_store_user cannot be used"))?;
        return Ok(vec![reference]);
    };
    let text = fs::read_to_string(path).map_err(|source| OpenError::File {
        id: config.id.clone(),
        source,
    })?;
    let (mut first, mut others) = (None, Vec::new());
    for (name, values) in sections(&text) {
        let built = values.and_then(|values| Values(values).build(&name, &config.swift_store_auth_version));
        match built {
            Ok(reference) if name == default => first = Some(reference),
            Ok(reference) => others.push(reference),
            Err(reason) if name == default => {
                return Err(OpenError::Reference {
                    id: config.id.clone(),
                    reference: name,
                    reason,
                });
            }
            // As glance_store has it.
            Err(reason) => tracing::warn!(
                store = config.id,
                reference = name,
                reason,
                "a reference of swift_store_config_file cannot be used"
            ),
        }
    }
    let first = first.ok_or_else(|| {
        option(
            "default_swift_reference",
            "is not in the file of swift_store_config_file",
        )
    })?;
    Ok(std::iter::once(first).chain(others).collect())
}

fn inline(config: &SwiftStoreConfig) -> Result<Values, (&'static str, &'static str)> {
    let missing = "is missing, and so is swift_store_config_file";
    let mut values = BTreeMap::new();
    let mut put = |name: &str, value: &str| {
        values.insert(name.to_owned(), value.to_owned());
    };
    let address = config.swift_store_auth_address.as_deref().unwrap_or_default();
    if address.is_empty() {
        return Err(("swift_store_auth_address", missing));
    }
    put("auth_address", address);
    let text = |secret: &Option<Secret>| {
        secret
            .as_ref()
            .map(|secret| secret.reveal().to_owned())
            .unwrap_or_default()
    };
    let id = config
        .swift_store_application_credential_id
        .clone()
        .unwrap_or_default();
    let secret = text(&config.swift_store_application_credential_secret);
    if !id.is_empty() && !secret.is_empty() {
        put("application_credential_id", &id);
        put("application_credential_secret", &secret);
        return Ok(Values(values));
    }
    let (user, key) = (
        config.swift_store_user.clone().unwrap_or_default(),
        text(&config.swift_store_key),
    );
    if user.is_empty() {
        return Err(("swift_store_user", missing));
    }
    if key.is_empty() {
        return Err(("swift_store_key", missing));
    }
    put("user", &user);
    put("key", &key);
    Ok(Values(values))
}

/// What a section says.
struct Values(BTreeMap<String, String>);

impl Values {
    fn text(&self, name: &str) -> Option<&str> {
        self.0
            .get(name)
            .map(String::as_str)
            .filter(|text| !text.is_empty())
    }

    fn needed(&self, name: &str) -> Result<&str, String> {
        self.text(name).ok_or_else(|| format!("has no {name}"))
    }

    fn domain(&self, of: &str) -> Domain {
        let (name, id) = (
            self.text(&format!("{of}_domain_name")),
            self.text(&format!("{of}_domain_id")),
        );
        match (id, name) {
            (Some(id), _) => Domain::Id(id.to_owned()),
            (None, Some(name)) => Domain::Name(name.to_owned()),
            (None, None) => Domain::Id("default".to_owned()),
        }
    }

    fn build(&self, name: &str, version: &str) -> Result<Reference, String> {
        let address = self.needed("auth_address")?;
        let address = if address.starts_with("http://") || address.starts_with("https://") {
            address.to_owned()
        } else {
            format!("https://{address}")
        };
        let bad = || "has an auth_address that is no URL, or has credentials in it".to_owned();
        let auth_address = Url::parse(&address).map_err(|_| bad())?;
        let is_plain = auth_address.username().is_empty() && auth_address.password().is_none();
        if !auth_address.has_host() || !is_plain || auth_address.query().is_some() {
            return Err(bad());
        }
        let secret = |name| self.needed(name).map(Secret::new);
        let login = match (
            self.text("application_credential_id"),
            self.text("application_credential_secret"),
        ) {
            (Some(id), Some(_)) => Login::ApplicationCredential {
                id: id.to_owned(),
                secret: secret("application_credential_secret")?,
            },
            _ => {
                let (user, key) = (self.needed("user")?, secret("key")?);
                match self.text("auth_version").unwrap_or(version) {
                    "1" | "1.0" => Login::V1 {
                        user: user.to_owned(),
                        key,
                    },
                    _ => {
                        let (project, user) = user
                            .split_once(':')
                            .filter(|(_, user)| !user.contains(':'))
                            .ok_or("has a user that is not tenant:user")?;
                        Login::Password {
                            project: project.to_owned(),
                            user: user.to_owned(),
                            key,
                            project_domain: self.domain("project"),
                            user_domain: self.domain("user"),
                        }
                    }
                }
            }
        };
        Ok(Reference {
            name: name.to_owned(),
            auth_address,
            login,
        })
    }
}

/// The sections of a file as Python's `configparser` reads them, each with what `[DEFAULT]` says. A section with a value
/// that cannot be read is an error of its own.
pub(crate) type Sections = BTreeMap<String, Result<BTreeMap<String, String>, String>>;

pub(crate) fn sections(text: &str) -> Sections {
    let mut raw: BTreeMap<String, Vec<(String, String)>> = BTreeMap::new();
    let mut section = None;
    let mut is_entry = false;
    for line in text.trim_start_matches('\u{feff}').lines() {
        let content = line.trim();
        if content.is_empty() || content.starts_with(['#', ';']) {
            continue;
        }
        if line.starts_with(char::is_whitespace) && is_entry {
            let entries = section.as_ref().and_then(|name| raw.get_mut(name));
            if let Some((_, value)) = entries.and_then(|entries| entries.last_mut()) {
                value.push('\n');
                value.push_str(content);
            }
            continue;
        }
        is_entry = false;
        if let Some(name) = content
            .strip_prefix('[')
            .and_then(|rest| rest.rsplit_once(']'))
            .map(|(name, _)| name)
        {
            raw.entry(name.to_owned()).or_default();
            section = Some(name.to_owned());
            continue;
        }
        let entry = content
            .find(['=', ':'])
            .and_then(|at| Some((content.get(..at)?, content.get(at.saturating_add(1)..)?)));
        if let (Some(entries), Some((name, value))) =
            (section.as_ref().and_then(|name| raw.get_mut(name)), entry)
        {
            entries.push((name.trim().to_lowercase(), value.trim().to_owned()));
            is_entry = true;
        }
    }
    let defaults = raw.remove("DEFAULT").unwrap_or_default();
    raw.into_iter()
        .map(|(name, entries)| {
            let values = defaults
                .iter()
                .chain(&entries)
                .map(|(name, value)| Ok((name.clone(), read_value(name, value)?)))
                .collect();
            (name, values)
        })
        .collect()
}

/// Quotes around it go, and `%%` is one sign.
fn read_value(name: &str, value: &str) -> Result<String, String> {
    if value.replace("%%", "").contains('%') {
        return Err(format!("has a single % in {name}; write %% for the sign itself"));
    }
    let value = value.replace("%%", "%");
    match value.chars().next() {
        Some(quote @ ('"' | '\'')) => value
            .strip_prefix(quote)
            .and_then(|rest| rest.strip_suffix(quote))
            .map(str::to_owned)
            .ok_or_else(|| format!("has a quote without an end in {name}")),
        _ => Ok(value),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::io::Write;

    const FILE: &str = "
# accounts
[ref1]
user = service:glance
key = 'se%%cret'
auth_address = https://keystone:5000/v3
user_domain_name: Users
; another
[old]
user = test:tester
key = testing
auth_version = 1
auth_address = http://swift:8080/auth/v1.0
[broken]
user = nobody
[app]
application_credential_id = 1
application_credential_secret = x
auth_address = keystone
";

    fn load_text(text: &str, default: &str) -> Result<Vec<Reference>, OpenError> {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(text.as_bytes()).unwrap();
        let mut config = SwiftStoreConfig::new("s");
        config.swift_store_config_file = Some(file.path().to_owned());
        config.default_swift_reference = default.to_owned();
        load(&config)
    }

    #[test]
    fn references_are_read_and_the_default_comes_first() {
        let found = load_text(FILE, "old").unwrap();
        let names: Vec<_> = found.iter().map(|found| found.name.as_str()).collect();
        assert_eq!(names, ["old", "app", "ref1"]);
        assert_eq!(
            found[0].login,
            Login::V1 {
                user: "test:tester".to_owned(),
                key: Secret::new("testing")
            }
        );
        assert_eq!(found[1].auth_address.as_str(), "https://keystone/");
        assert_eq!(
            found[2].login,
            Login::Password {
                project: "service".to_owned(),
                user: "glance".to_owned(),
                key: Secret::new("se%cret"),
                project_domain: Domain::Id("default".to_owned()),
                user_domain: Domain::Name("Users".to_owned()),
            }
        );
        assert!(!format!("{found:?}").contains("testing"));
    }

    #[test]
    fn a_default_that_cannot_be_used_stops_the_start() {
        let error = load_text(FILE, "broken").unwrap_err();
        assert!(error.to_string().contains("has no auth_address"), "{error}");
        assert!(load_text(FILE, "none").is_err() && load_text("", "ref1").is_err());
        let text = FILE.replace("'se%%cret'", "'secret");
        let error = load_text(&text, "ref1").unwrap_err().to_string();
        assert!(error.contains("quote") && !error.contains("secret"), "{error}");
    }

    #[test]
    fn inline_options_are_one_reference() {
        let mut config = SwiftStoreConfig::new("s");
        assert!(load(&config).is_err());
        config.swift_store_auth_address = Some("http://k:5000/v3/".to_owned());
        config.swift_store_user = Some("a:b".to_owned());
        assert!(load(&config).is_err());
        config.swift_store_key = Some(Secret::new("c"));
        let found = load(&config).unwrap();
        assert_eq!((found.len(), found[0].name.as_str()), (1, "ref1"));
        assert_eq!(found[0].login.user().unwrap(), "a:b");
        config.swift_store_user = Some("ab".to_owned());
        assert!(load(&config).is_err());
        config.swift_store_auth_version = "1".to_owned();
        assert!(load(&config).is_ok());
    }

    proptest! {
        #[test]
        fn any_text_is_taken(text in "([\\[\\]a-z=:%'\"# \t\n]|\\PC){0,200}") {
            let _ = sections(&text);
        }
    }
}
