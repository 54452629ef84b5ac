//! TLS to Keystone: `cafile`, `certfile`, `keyfile`, `insecure`.
//!
//! As with OpenSSL, a `cafile` replaces the system's authorities. Unlike OpenSSL, rustls takes no server certificate
//! that is its own authority (`CA:TRUE` and self-signed): `cafile` must hold the authority that signed it.

use std::{path::Path, sync::Arc};

use rustls::{
    ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme,
    client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature},
    pki_types::{
        CertificateDer, PrivateKeyDer, ServerName, UnixTime,
        pem::{self, PemObject},
    },
};

use super::{KeystoneError, Tls, Verification};

/// # Errors
/// A file that cannot be read or used, by its option and path.
pub(super) fn client(tls: &Tls) -> Result<ClientConfig, KeystoneError> {
    let provider = Arc::new(ring::default_provider());
    let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(|error| KeystoneError::Tls(error.to_string()))?;
    let builder = match tls.verification {
        Verification::Off => builder
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(Unverified(provider))),
        Verification::Full => builder.with_root_certificates(authorities(tls.cafile.as_deref())?),
    };
    let Some(own) = &tls.client else {
        return Ok(builder.with_no_client_auth());
    };
    let chain = certificates("certfile", &own.certfile)?;
    let (option, path) = match &own.keyfile {
        Some(keyfile) => ("keyfile", keyfile),
        None => ("certfile", &own.certfile),
    };
    let key = PrivateKeyDer::from_pem_file(path).map_err(|error| unreadable(option, path, &error))?;
    builder
        .with_client_auth_cert(chain, key)
        .map_err(|error| KeystoneError::File {
            option,
            path: path.clone(),
            cause: error.to_string(),
        })
}

/// TLS that trusts nobody.
///
/// # Errors
/// The cryptography cannot be used.
pub(super) fn nobody() -> Result<ClientConfig, KeystoneError> {
    ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|error| KeystoneError::Tls(error.to_string()))
        .map(|builder| {
            builder
                .with_root_certificates(RootCertStore::empty())
                .with_no_client_auth()
        })
}

fn authorities(cafile: Option<&Path>) -> Result<RootCertStore, KeystoneError> {
    let mut roots = RootCertStore::empty();
    let Some(path) = cafile else {
        let found = rustls_native_certs::load_native_certs();
        for error in &found.errors {
            tracing::debug!(%error, "an authority of the system cannot be read");
        }
        // A system without any has no use for https; the handshake will say so if there is one.
        roots.add_parsable_certificates(found.certs);
        return Ok(roots);
    };
    // A distribution's bundle may hold some that rustls cannot use.
    let (added, ignored) = roots.add_parsable_certificates(certificates("cafile", path)?);
    if added == 0 {
        return Err(KeystoneError::File {
            option: "cafile",
            path: path.to_owned(),
            cause: "it holds no authority that could be used".to_owned(),
        });
    }
    if ignored > 0 {
        tracing::warn!(path = %path.display(), ignored, "some authorities of cafile cannot be used");
    }
    Ok(roots)
}

fn certificates(option: &'static str, path: &Path) -> Result<Vec<CertificateDer<'static>>, KeystoneError> {
    let certificates: Vec<_> = CertificateDer::pem_file_iter(path)
        .and_then(Iterator::collect)
        .map_err(|error| unreadable(option, path, &error))?;
    if certificates.is_empty() {
        return Err(unreadable(option, path, &pem::Error::NoItemsFound));
    }
    Ok(certificates)
}

fn unreadable(option: &'static str, path: &Path, error: &pem::Error) -> KeystoneError {
    KeystoneError::File {
        option,
        path: path.to_owned(),
        cause: match error {
            pem::Error::NoItemsFound if option == "keyfile" => "it holds no private key in PEM".to_owned(),
            pem::Error::NoItemsFound => "it does not hold what is needed in PEM".to_owned(),
            pem::Error::Io(error) => error.to_string(),
            other => other.to_string(),
        },
    }
}

/// `insecure`: whoever answers is believed.
#[derive(Debug)]
struct Unverified(Arc<CryptoProvider>);

impl ServerCertVerifier for Unverified {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, cert, dss, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, cert, dss, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
