//! TLS to memcached, as keystonemiddleware asks for it: the server's certificate is always checked.

use std::{path::Path, sync::Arc};

use rustls_native_certs::load_native_certs;
use tokio_rustls::rustls::{
    ClientConfig, RootCertStore,
    crypto::ring,
    pki_types::{CertificateDer, PrivateKeyDer, pem, pem::PemObject},
};

use super::{super::options::MemcachedTls, MemcachedError};

/// Reads the certificates that `options` name.
///
/// # Errors
/// [`MemcachedError`], naming the option at fault.
pub(super) fn client_config(options: &MemcachedTls) -> Result<Arc<ClientConfig>, MemcachedError> {
    let authorities = match &options.cafile {
        Some(path) => authorities_of(path)?,
        None => authorities_of_the_system()?,
    };
    let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|source| MemcachedError::Tls {
            option: "memcache_tls_enabled",
            source,
        })?
        .with_root_certificates(authorities);
    let config = match &options.client {
        None => builder.with_no_client_auth(),
        Some(client) => {
            let chain = certificates("memcache_tls_certfile", &client.certfile)?;
            let (option, path) = match &client.keyfile {
                Some(path) => ("memcache_tls_keyfile", path),
                None => ("memcache_tls_certfile", &client.certfile),
            };
            let key = PrivateKeyDer::from_pem_file(path).map_err(|source| unusable(option, path, source))?;
            builder
                .with_client_auth_cert(chain, key)
                .map_err(|source| MemcachedError::Tls { option, source })?
        }
    };
    Ok(Arc::new(config))
}

fn authorities_of(path: &Path) -> Result<RootCertStore, MemcachedError> {
    let option = "memcache_tls_cafile";
    let mut authorities = RootCertStore::empty();
    // A distribution's bundle may hold some that rustls cannot use.
    authorities.add_parsable_certificates(certificates(option, path)?);
    if authorities.is_empty() {
        return Err(unusable(option, path, pem::Error::NoItemsFound));
    }
    Ok(authorities)
}

fn authorities_of_the_system() -> Result<RootCertStore, MemcachedError> {
    let found = load_native_certs();
    let mut authorities = RootCertStore::empty();
    // Distributions carry some that rustls cannot use; what counts is that there are any.
    authorities.add_parsable_certificates(found.certs);
    if authorities.is_empty() {
        let source = found.errors.into_iter().next().map(std::io::Error::other);
        return Err(MemcachedError::NoAuthorities(source));
    }
    Ok(authorities)
}

/// At least one certificate.
fn certificates(option: &'static str, path: &Path) -> Result<Vec<CertificateDer<'static>>, MemcachedError> {
    let found: Result<Vec<_>, _> = CertificateDer::pem_file_iter(path).and_then(Iterator::collect);
    match found {
        Ok(certificates) if certificates.is_empty() => Err(unusable(option, path, pem::Error::NoItemsFound)),
        Ok(certificates) => Ok(certificates),
        Err(source) => Err(unusable(option, path, source)),
    }
}

fn unusable(option: &'static str, path: &Path, source: pem::Error) -> MemcachedError {
    MemcachedError::Pem {
        option,
        path: path.to_owned(),
        source,
    }
}
