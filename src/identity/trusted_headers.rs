//! Identity from an authenticating proxy: the headers that keystonemiddleware's `auth_token` would set.
//!
//! Whoever reaches the listener is believed, so [`check_bind`] keeps the listener where only the proxy can reach it.
//! The proxy must strip these headers from what clients send; a header that comes twice is refused, because that is
//! what a proxy that appends instead of replacing looks like.

use std::net::SocketAddr;
use std::path::Path;

use async_trait::async_trait;
use http::HeaderMap;

use super::headers::{self, single};
use super::{Caller, Delegation, Identity, RequestHead, Scope, Secret, Service, Unidentified, delegation};

/// Everything that is read, so that a second line of any of them is noticed even where the first alone is used.
const TRUSTED: [&str; 26] = [
    "x-identity-status",
    "x-user-id",
    "x-user",
    "x-user-name",
    "x-user-domain-id",
    "x-user-domain-name",
    "x-project-id",
    "x-tenant-id",
    "x-tenant",
    "x-project-name",
    "x-tenant-name",
    "x-project-domain-id",
    "x-project-domain-name",
    "x-domain-id",
    "x-domain-name",
    "x-roles",
    "x-role",
    "x-service-identity-status",
    "x-service-roles",
    "x-service-user-id",
    "x-service-user-domain-id",
    "x-service-project-id",
    "x-service-project-domain-id",
    "x-is-admin-project",
    "openstack-system-scope",
    "x-service-catalog",
];

/// The most roles that one caller may have: a bound, far above any cloud's.
const MAX_ROLES: usize = 256;

/// Believes the identity headers of every request.
#[derive(Debug, Clone)]
pub struct TrustedHeaders {
    challenge: String,
}

impl TrustedHeaders {
    /// Believes whoever connects; `www_authenticate_uri` is where a client without credentials is sent.
    pub fn new(www_authenticate_uri: &str) -> Self {
        let uri: String = www_authenticate_uri
            .chars()
            .filter(|c| c.is_ascii_graphic() && *c != '"')
            .collect();
        Self {
            challenge: format!("Keystone uri=\"{uri}\""),
        }
    }
}

#[async_trait]
impl Identity for TrustedHeaders {
    async fn identify(&self, request: RequestHead<'_>) -> Result<Caller, Unidentified> {
        caller(request.headers)
    }

    /// The proxy's word, too.
    async fn delegation(&self, headers: &HeaderMap) -> Result<Option<Delegation>, Unidentified> {
        let endpoints = single(headers, "x-service-catalog")?.and_then(delegation::of_header);
        let token = match headers::token(headers) {
            Err(Unidentified::Missing) => None,
            token => Some(Secret::new(token?.to_owned())),
        };
        Ok(token
            .zip(endpoints)
            .map(|(token, endpoints)| Delegation::new(token, endpoints)))
    }

    fn challenge(&self) -> &str {
        &self.challenge
    }
}

/// Reads the headers as oslo.context's `from_environ` does, older spellings included, with Glance's lower-cased roles.
///
/// Unlike Glance, which then works with a user of `None`, it refuses a confirmed request without a user.
fn caller(headers: &HeaderMap) -> Result<Caller, Unidentified> {
    for name in TRUSTED {
        single(headers, name)?;
    }
    match single(headers, "x-identity-status")? {
        Some("Confirmed") => {}
        Some(_) => return Err(Unidentified::Invalid),
        None => return Err(Unidentified::Missing),
    }
    let text = |names: &[&str]| -> Result<Option<String>, Unidentified> {
        for name in names {
            if let Some(value) = single(headers, name)? {
                return Ok(Some(value.to_owned()).filter(|value| !value.is_empty()));
            }
        }
        Ok(None)
    };
    let project_id = text(&["x-project-id", "x-tenant-id", "x-tenant"])?;
    // The order of oslo.policy: a request that claims several scopes gets the one with fewer rights here.
    let scope = if text(&["openstack-system-scope"])?.is_some() {
        Scope::System
    } else if text(&["x-domain-id", "x-domain-name"])?.is_some() {
        Scope::Domain
    } else if project_id.is_some() {
        Scope::Project
    } else {
        Scope::Unscoped
    };
    // auth_token leaves the roles out when a service token was bad; a proxy that says so is taken at its word.
    let service_roles = match single(headers, "x-service-identity-status")? {
        None | Some("Confirmed") => text(&["x-service-roles"])?,
        Some(_) => return Err(Unidentified::Invalid),
    };
    let service = match service_roles {
        None => None,
        Some(list) => Some(Service {
            user_id: text(&["x-service-user-id"])?,
            user_domain_id: text(&["x-service-user-domain-id"])?,
            project_id: text(&["x-service-project-id"])?,
            project_domain_id: text(&["x-service-project-domain-id"])?,
            roles: roles(&list)?,
        }),
    };
    Ok(Caller {
        user_id: text(&["x-user-id", "x-user"])?.ok_or(Unidentified::Invalid)?,
        user_name: text(&["x-user-name"])?,
        user_domain_id: text(&["x-user-domain-id"])?,
        project_id,
        project_name: text(&["x-project-name", "x-tenant-name"])?,
        project_domain_id: text(&["x-project-domain-id"])?,
        scope,
        roles: roles(&text(&["x-roles", "x-role"])?.unwrap_or_default())?,
        domain_id: text(&["x-domain-id"])?,
        service,
        is_admin_project: text(&["x-is-admin-project"])?
            .is_none_or(|value| value.eq_ignore_ascii_case("true")),
    })
}

fn roles(list: &str) -> Result<Vec<String>, Unidentified> {
    let roles: Vec<String> = list
        .split(',')
        .map(str::trim)
        .filter(|role| !role.is_empty())
        .map(str::to_lowercase)
        .collect();
    if roles.len() > MAX_ROLES {
        Err(Unidentified::Invalid)
    } else {
        Ok(roles)
    }
}

/// Where the daemon listens.
#[derive(Debug, Clone, Copy)]
pub enum Listener<'a> {
    /// A TCP address.
    Tcp(SocketAddr),
    /// A unix socket: its file permissions say who can connect.
    Unix(&'a Path),
}

/// Who is allowed to reach a listener that believes identity headers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reach {
    /// Processes of this machine.
    ThisMachine,
    /// Whoever the network lets through: the operator has said that only the proxy gets through.
    Network,
}

/// A listener that would let anyone name themselves.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "identity headers are trusted, so anyone who can reach {0} could act as any user: listen on 127.0.0.1, [::1] or a \
     unix socket behind the proxy, or allow remote proxies explicitly when a firewall lets only the proxy through"
)]
pub struct Exposed(SocketAddr);

/// Whether identity headers may be trusted on this listener.
///
/// # Errors
/// [`Exposed`] for every address but loopback, unless `reach` allows the network.
pub fn check_bind(listener: Listener<'_>, reach: Reach) -> Result<(), Exposed> {
    match listener {
        Listener::Tcp(address) if reach == Reach::ThisMachine && !is_loopback(address) => {
            Err(Exposed(address))
        }
        Listener::Tcp(_) | Listener::Unix(_) => Ok(()),
    }
}

fn is_loopback(address: SocketAddr) -> bool {
    address.ip().to_canonical().is_loopback()
}

#[cfg(test)]
mod tests {
    use http::{HeaderName, HeaderValue};
    use proptest::prelude::*;

    use super::*;

    fn headers(lines: &[(&str, &str)]) -> HeaderMap {
        let mut map = HeaderMap::new();
        for (name, value) in lines {
            map.append(
                HeaderName::from_bytes(name.as_bytes()).unwrap(),
                HeaderValue::from_bytes(value.as_bytes()).unwrap(),
            );
        }
        map
    }

    const CONFIRMED: [(&str, &str); 3] = [
        ("x-identity-status", "Confirmed"),
        ("x-user-id", "u1"),
        ("x-project-id", "p1"),
    ];

    fn with(more: &[(&str, &str)]) -> HeaderMap {
        headers(&[&CONFIRMED[..], more].concat())
    }

    #[test]
    fn believes_a_confirmed_request() {
        let caller = caller(&with(&[
            ("x-roles", "Admin, member ,,READER"),
            ("x-user-name", "ada"),
            ("x-user-domain-id", "default"),
            ("x-project-name", "demo"),
            ("x-project-domain-id", "default"),
            ("x-service-roles", "Service"),
        ]))
        .unwrap();
        assert_eq!(caller.roles, ["admin", "member", "reader"]);
        assert_eq!(caller.service_roles(), ["service"]);
        assert_eq!(caller.scope, Scope::Project);
        assert_eq!(caller.user_id, "u1");
        assert_eq!(caller.project_id.as_deref(), Some("p1"));
        assert!(caller.is_admin_project);
    }

    #[test]
    fn reads_the_older_tenant_spelling() {
        let caller = caller(&headers(&[
            ("x-identity-status", "Confirmed"),
            ("x-user", "u"),
            ("x-tenant-id", "t"),
        ]))
        .unwrap();
        assert_eq!(
            (caller.user_id.as_str(), caller.project_id.as_deref()),
            ("u", Some("t"))
        );
        assert!(caller.roles.is_empty());
    }

    #[test]
    fn refuses_any_other_status() {
        for status in ["Invalid", "confirmed", "Confirmed,Confirmed", ""] {
            let map = headers(&[("x-identity-status", status), ("x-user-id", "u1")]);
            assert_eq!(caller(&map), Err(Unidentified::Invalid), "{status:?}");
        }
        assert_eq!(
            caller(&headers(&[("x-user-id", "u1")])),
            Err(Unidentified::Missing)
        );
    }

    #[test]
    fn refuses_a_second_line_of_any_trusted_header() {
        for name in TRUSTED {
            let map = with(&[(name, "Confirmed"), (name, "Confirmed")]);
            assert_eq!(caller(&map), Err(Unidentified::Invalid), "{name}");
        }
    }

    #[test]
    fn refuses_a_confirmed_request_without_a_user() {
        assert_eq!(
            caller(&headers(&[("x-identity-status", "Confirmed")])),
            Err(Unidentified::Invalid)
        );
        assert_eq!(
            caller(&headers(&[("x-identity-status", "Confirmed"), ("x-user-id", "")])),
            Err(Unidentified::Invalid)
        );
    }

    #[test]
    fn refuses_an_unconfirmed_service() {
        let map = with(&[
            ("x-service-identity-status", "Invalid"),
            ("x-service-roles", "service"),
        ]);
        assert_eq!(caller(&map), Err(Unidentified::Invalid));
    }

    #[test]
    fn takes_the_scope_with_fewer_rights() {
        let scope = |more: &[(&str, &str)]| caller(&with(more)).unwrap().scope;
        assert_eq!(scope(&[("openstack-system-scope", "all")]), Scope::System);
        assert_eq!(scope(&[("x-domain-id", "default")]), Scope::Domain);
        let unscoped = headers(&[("x-identity-status", "Confirmed"), ("x-user-id", "u1")]);
        assert_eq!(caller(&unscoped).unwrap().scope, Scope::Unscoped);
    }

    #[tokio::test]
    async fn the_proxy_says_where_images_are_and_whose_token_it_is() {
        let identity = TrustedHeaders::new("http://keystone");
        let catalog = r#"[{"type": "image", "endpoints": [{"region": "Two", "publicURL": "http://two"}]}]"#;
        let both = headers(&[("x-service-catalog", catalog), ("x-auth-token", "t")]);
        let found = identity.delegation(&both).await.unwrap().unwrap();
        assert_eq!(found.image_endpoint("Two", "public"), Some("http://two"));
        assert_eq!(found.token().expose(), "t");
        for lacking in [
            headers(&[("x-auth-token", "t")]),
            headers(&[("x-service-catalog", catalog)]),
            headers(&[("x-service-catalog", "{"), ("x-auth-token", "t")]),
        ] {
            assert!(identity.delegation(&lacking).await.unwrap().is_none());
        }
    }

    #[test]
    fn reads_a_denied_admin_project() {
        assert!(
            !caller(&with(&[("x-is-admin-project", "False")]))
                .unwrap()
                .is_admin_project
        );
    }

    #[test]
    fn listens_only_where_the_proxy_alone_reaches() {
        let tcp = |address: &str| Listener::Tcp(address.parse().unwrap());
        for address in [
            "127.0.0.1:9292",
            "127.8.9.1:1",
            "[::1]:9292",
            "[::ffff:127.0.0.1]:9292",
        ] {
            assert!(check_bind(tcp(address), Reach::ThisMachine).is_ok(), "{address}");
        }
        for address in [
            "0.0.0.0:9292",
            "[::]:9292",
            "192.0.2.1:9292",
            "[::ffff:192.0.2.1]:1",
        ] {
            assert!(check_bind(tcp(address), Reach::ThisMachine).is_err(), "{address}");
            assert!(check_bind(tcp(address), Reach::Network).is_ok(), "{address}");
        }
        assert!(check_bind(Listener::Unix(Path::new("/run/saccade.sock")), Reach::ThisMachine).is_ok());
    }

    proptest! {
        #[test]
        fn never_panics_and_never_confirms_without_a_status(
            lines in proptest::collection::vec((0..TRUSTED.len(), proptest::collection::vec(any::<u8>(), 0..20)), 0..8)
        ) {
            let mut map = HeaderMap::new();
            for (name, value) in lines {
                if let Ok(value) = HeaderValue::from_bytes(&value) {
                    map.append(TRUSTED[name], value);
                }
            }
            let confirmed = map.get("x-identity-status").is_some_and(|status| status == "Confirmed");
            prop_assert!(caller(&map).is_err() || confirmed);
        }
    }
}
