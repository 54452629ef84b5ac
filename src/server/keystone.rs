//! `[keystone_authtoken]` as configured → what the identity is told. Knows no rule: each value keeps its meaning.

use crate::{
    config::{self, keystone as told},
    identity::{
        Secret,
        keystone::{
            ApplicationCredentialReference, ClientCertificate, Credentials, DomainReference, Interface,
            KeystoneOptions, LoginScope, MemcachedOptions, MemcachedTls, Protection, Sasl, Tls, TokenBind,
            UserReference, Verification,
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
        interface: match keystone.interface {
            told::Interface::Public => Interface::Public,
            told::Interface::Internal => Interface::Internal,
            told::Interface::Admin => Interface::Admin,
        },
        region_name: keystone.region_name,
        tls: Tls {
            cafile: keystone.tls.cafile,
            client: keystone.tls.client.map(certificate),
            verification: match keystone.tls.verification {
                told::Verification::Full => Verification::Full,
                told::Verification::Off => Verification::Off,
            },
        },
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
