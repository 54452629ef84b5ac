//! `[keystone_authtoken]` as configured → what the identity is told. Knows no rule: each value keeps its meaning.

use crate::{
    config::{self, keystone as told},
    identity::{
        Secret,
        keystone::{
            ApplicationCredentialReference, ClientCertificate, Credentials, DomainReference, Interface,
            KeystoneOptions, LimitsEndpoint, LoginScope, MemcachedOptions, MemcachedTls, Protection, Sasl,
            Tls, TokenBind, UserReference, Verification,
        },
    },
};

/// What the identity is told.
pub(super) fn options(keystone: &told::Keystone) -> KeystoneOptions {
    let keystone = keystone.clone();
    KeystoneOptions {
        auth_url: keystone.auth_url,
        credentials: credentials(keystone.credentials),
        www_authenticate_uri: keystone.www_authenticate_uri,
        interface: interface(keystone.interface),
        region_name: keystone.region_name,
        tls: tls(keystone.tls),
        request_timeout: keystone.request_timeout,
        max_retries: keystone.max_retries,
        include_service_catalog: keystone.include_service_catalog,
        service_token_roles: keystone.service_token_roles,
        service_token_roles_required: keystone.service_token_roles_required,
        service_type: keystone.service_type,
        token_bind: match keystone.token_bind {
            told::TokenBind::Disabled => TokenBind::Disabled,
            told::TokenBind::Permissive => TokenBind::Permissive,
            told::TokenBind::Strict => TokenBind::Strict,
            told::TokenBind::Required => TokenBind::Required,
            told::TokenBind::Named(name) => TokenBind::Named(name),
        },
        token_cache_time: keystone.token_cache_time,
        memcached: keystone.memcached.map(memcached),
    }
}

/// What whoever asks for limits is told: how to log in, and which endpoint they belong to.
pub(super) fn limits(limits: &told::UnifiedLimits) -> (KeystoneOptions, LimitsEndpoint) {
    let limits = limits.clone();
    let options = KeystoneOptions {
        auth_url: limits.auth_url,
        credentials: credentials(limits.credentials),
        interface: interface(limits.interface),
        region_name: limits.region_name,
        tls: tls(limits.tls),
        request_timeout: limits.request_timeout,
        max_retries: limits.max_retries,
        // No token is validated with it.
        www_authenticate_uri: None,
        include_service_catalog: false,
        service_token_roles: Vec::new(),
        service_token_roles_required: true,
        service_type: None,
        token_bind: TokenBind::Permissive,
        token_cache_time: None,
        memcached: None,
    };
    let endpoint = match limits.endpoint {
        told::LimitsEndpoint::Id(id) => LimitsEndpoint::Id(id),
        told::LimitsEndpoint::OfService {
            service_type,
            service_name,
            region,
            interface,
        } => LimitsEndpoint::OfService {
            service_type,
            service_name,
            region,
            interface: match interface {
                told::Interface::Public => "public",
                told::Interface::Internal => "internal",
                told::Interface::Admin => "admin",
            }
            .to_owned(),
        },
    };
    (options, endpoint)
}

fn interface(interface: told::Interface) -> Interface {
    match interface {
        told::Interface::Public => Interface::Public,
        told::Interface::Internal => Interface::Internal,
        told::Interface::Admin => Interface::Admin,
    }
}

fn tls(tls: told::Tls) -> Tls {
    Tls {
        cafile: tls.cafile,
        client: tls.client.map(certificate),
        verification: match tls.verification {
            told::Verification::Full => Verification::Full,
            told::Verification::Off => Verification::Off,
        },
    }
}

fn credentials(credentials: told::Credentials) -> Credentials {
    match credentials {
        told::Credentials::Password {
            user: whose,
            password,
            scope: wanted,
        } => Credentials::Password {
            user: user(whose),
            password: secret(&password),
            scope: scope(wanted),
        },
        told::Credentials::ApplicationCredential {
            credential,
            secret: proof,
        } => Credentials::ApplicationCredential {
            credential: match credential {
                told::ApplicationCredentialReference::Id(id) => ApplicationCredentialReference::Id(id),
                told::ApplicationCredentialReference::Name { name, user: whose } => {
                    ApplicationCredentialReference::Name {
                        name,
                        user: user(whose),
                    }
                }
            },
            secret: secret(&proof),
        },
    }
}

fn user(user: told::UserReference) -> UserReference {
    match user {
        told::UserReference::Id(id) => UserReference::Id(id),
        told::UserReference::Name { name, domain: of } => UserReference::Name {
            name,
            domain: domain(of),
        },
    }
}

fn domain(domain: told::DomainReference) -> DomainReference {
    match domain {
        told::DomainReference::Id(id) => DomainReference::Id(id),
        told::DomainReference::Name(name) => DomainReference::Name(name),
    }
}

fn scope(scope: told::LoginScope) -> LoginScope {
    match scope {
        told::LoginScope::ProjectId(id) => LoginScope::ProjectId(id),
        told::LoginScope::ProjectName { name, domain: of } => LoginScope::ProjectName {
            name,
            domain: domain(of),
        },
        told::LoginScope::Domain(wanted) => LoginScope::Domain(domain(wanted)),
        told::LoginScope::System => LoginScope::System,
        told::LoginScope::Trust(id) => LoginScope::Trust(id),
    }
}

fn memcached(memcached: told::Memcached) -> MemcachedOptions {
    MemcachedOptions {
        servers: memcached.servers,
        protection: match memcached.protection {
            told::Protection::None => Protection::None,
            told::Protection::Mac(key) => Protection::Mac(secret(&key)),
            told::Protection::Encrypt(key) => Protection::Encrypt(secret(&key)),
        },
        socket_timeout: memcached.socket_timeout,
        dead_retry: memcached.dead_retry,
        pool_maxsize: memcached.pool_maxsize,
        pool_conn_get_timeout: memcached.pool_conn_get_timeout,
        pool_unused_timeout: memcached.pool_unused_timeout,
        tls: memcached.tls.map(|tls| MemcachedTls {
            cafile: tls.cafile,
            client: tls.client.map(certificate),
        }),
        sasl: memcached.sasl.map(|sasl| Sasl {
            username: sasl.username,
            password: secret(&sasl.password),
        }),
    }
}

fn certificate(certificate: told::ClientCertificate) -> ClientCertificate {
    ClientCertificate {
        certfile: certificate.certfile,
        keyfile: certificate.keyfile,
    }
}

fn secret(secret: &config::Secret) -> Secret {
    Secret::new(secret.expose().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Sources, load};
    use std::time::Duration;

    fn told(more: &str) -> KeystoneOptions {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("glance-api.conf");
        let text = format!(
            "[paste_deploy]\nflavor = keystone\n[keystone_authtoken]\nauth_url = https://k:5000\nregion_name = r\n\
             interface = admin\nenforce_token_bind = x509\nhttp_request_max_retries = 7\nkeyfile = /k\ncertfile = /c\n\
             memcached_servers = m:1\nmemcache_security_strategy = ENCRYPT\nmemcache_secret_key = s3cret-key\n\
             memcache_sasl_enabled = true\nmemcache_username = mu\nmemcache_password = s3cret-mp\n\
             memcache_tls_enabled = true\ntoken_cache_time = 60\nservice_type = image\n{more}"
        );
        std::fs::write(&file, text).unwrap();
        let loaded = load(&Sources {
            files: vec![file],
            env: vec![("HOME".to_owned(), "/home/op".to_owned())],
            ..Sources::default()
        });
        match loaded.unwrap().config.identity {
            config::Identity::Keystone(keystone) => options(&keystone),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_password_and_everything_around_it_arrive() {
        let told = told(
            "auth_type = password\nusername = glance\nuser_domain_id = d\npassword = s3cret-pw\n\
             project_name = service\nproject_domain_name = D\n",
        );
        let Credentials::Password {
            user:
                UserReference::Name {
                    name,
                    domain: DomainReference::Id(domain),
                },
            password,
            scope:
                LoginScope::ProjectName {
                    name: project,
                    domain: DomainReference::Name(of),
                },
        } = &told.credentials
        else {
            panic!("{:?}", told.credentials)
        };
        assert_eq!([name, domain, project, of], ["glance", "d", "service", "D"]);
        assert_eq!(password.expose(), "s3cret-pw");
        assert_eq!((told.auth_url.as_str(), told.max_retries), ("https://k:5000", 7));
        assert_eq!(
            (told.interface, told.region_name.as_deref()),
            (Interface::Admin, Some("r"))
        );
        assert_eq!(told.token_bind, TokenBind::Named("x509".to_owned()));
        assert_eq!(told.token_cache_time, Some(Duration::from_secs(60)));
        assert_eq!(told.service_type.as_deref(), Some("image"));
        assert!(
            told.tls
                .client
                .as_ref()
                .is_some_and(|client| client.keyfile.is_some())
        );
        let memcached = told.memcached.as_ref().unwrap();
        assert!(matches!(&memcached.protection, Protection::Encrypt(key) if key.expose() == "s3cret-key"));
        let sasl = memcached.sasl.as_ref().unwrap();
        assert_eq!(
            (sasl.username.as_str(), sasl.password.expose()),
            ("mu", "s3cret-mp")
        );
        assert!(memcached.tls.is_some());
        assert!(!format!("{told:?}").contains("s3cret"));
    }

    #[test]
    fn an_application_credential_arrives() {
        let told = told(
            "auth_type = v3applicationcredential\napplication_credential_name = ac\nuser_id = u\n\
             application_credential_secret = s3cret-ac\n",
        );
        let Credentials::ApplicationCredential {
            credential:
                ApplicationCredentialReference::Name {
                    name,
                    user: UserReference::Id(user),
                },
            secret,
        } = &told.credentials
        else {
            panic!("{:?}", told.credentials)
        };
        assert_eq!([name, user], ["ac", "u"]);
        assert_eq!(secret.expose(), "s3cret-ac");
    }
}
