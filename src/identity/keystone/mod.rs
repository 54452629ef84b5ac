//! Tokens of a real Keystone, validated as OpenStack's keystonemiddleware does.

mod options;

pub use self::options::{
    ApplicationCredentialReference, ClientCertificate, Credentials, DomainReference, Interface,
    KeystoneOptions, LoginScope, MemcachedOptions, MemcachedTls, Protection, Sasl, Tls, TokenBind,
    UserReference, Verification,
};
