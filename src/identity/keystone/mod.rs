//! Tokens of a real Keystone, validated as OpenStack's keystonemiddleware does.

#[allow(dead_code)]
mod memcached;
mod options;

pub use self::memcached::MemcachedError;
pub use self::options::{
    ApplicationCredentialReference, ClientCertificate, Credentials, DomainReference, Interface,
    KeystoneOptions, LoginScope, MemcachedOptions, MemcachedTls, Protection, Sasl, Tls, TokenBind,
    UserReference, Verification,
};
