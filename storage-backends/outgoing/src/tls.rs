//! Whom https believes.
//!
//! Unlike OpenSSL, rustls takes no server certificate that is its own authority (`CA:TRUE` and self-signed): the file
//! must hold the authority that signed it.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use rustls::{
    ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme,
    client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature},
    pki_types::{CertificateDer, ServerName, UnixTime, pem::PemObject},
};

use crate::OpenError;

/// How a server's certificate is verified.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verification {
    /// Not at all: whoever answers is believed.
    Off,
    /// By the authorities of the system.
    System,
    /// By the authorities in a file (PEM), and no others.
    Authorities(PathBuf),
}

/// What a client of TLS is made of, also for servers that the operator has named. Reads the authorities; blocks.
///
/// # Errors
/// The authorities cannot be read or used.
pub fn tls_client(verification: &Verification) -> Result<ClientConfig, OpenError> {
    let provider = Arc::new(ring::default_provider());
    let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(OpenError::Tls)?;
    let builder = match verification {
        Verification::Off => builder
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(Anyone(provider))),
        Verification::System => builder.with_root_certificates(of_the_system()),
        Verification::Authorities(path) => builder.with_root_certificates(of_a_file(path)?),
    };
    Ok(builder.with_no_client_auth())
}

fn of_the_system() -> RootCertStore {
    let mut roots = RootCertStore::empty();
    let found = rustls_native_certs::load_native_certs();
    for error in &found.errors {
        tracing::debug!(%error, "an authority of the system cannot be read");
    }
    // A system without any has no use for https; a handshake will say so.
    roots.add_parsable_certificates(found.certs);
    roots
}

fn of_a_file(path: &Path) -> Result<RootCertStore, OpenError> {
    let unusable = |cause: String| OpenError::Authorities {
        path: path.to_owned(),
        cause,
    };
    let certificates: Vec<_> = CertificateDer::pem_file_iter(path)
        .and_then(Iterator::collect)
        .map_err(|error| unusable(error.to_string()))?;
    let mut roots = RootCertStore::empty();
    // A distribution's bundle may hold some that rustls cannot use.
    let (added, ignored) = roots.add_parsable_certificates(certificates);
    if added == 0 {
        return Err(unusable(
            "it holds no certificate in PEM that could be used".to_owned(),
        ));
    }
    if ignored > 0 {
        tracing::warn!(path = %path.display(), ignored, "some authorities cannot be used");
    }
    Ok(roots)
}

/// Believes whoever answers.
#[derive(Debug)]
struct Anyone(Arc<CryptoProvider>);

impl ServerCertVerifier for Anyone {
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
