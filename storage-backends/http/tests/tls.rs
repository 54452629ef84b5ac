//! `https_ca_certificates_file` and `https_insecure`.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]
// Shared with the other tests, which use more of it.
#![allow(dead_code)]

mod server;

use std::{fs, sync::Arc};

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use saccade_outgoing::{Filter, FilterOptions, Proxies};
use saccade_store_contract::{Error, ErrorKind, Location, Store};
use saccade_store_http::{HttpStore, HttpStoreConfig};
use tempfile::TempDir;
use tokio_rustls::{
    TlsAcceptor,
    rustls::{
        ServerConfig,
        crypto::ring,
        pki_types::{PrivateKeyDer, pem::PemObject},
    },
};

use server::{Server, whole};

fn authority() -> CertifiedIssuer<'static, KeyPair> {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
}

async fn serve(authority: &CertifiedIssuer<'static, KeyPair>) -> Server {
    let key = KeyPair::generate().unwrap();
    let params = CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap();
    let certificate = params.signed_by(&key, authority).unwrap();
    let key = PrivateKeyDer::from_pem_slice(key.serialize_pem().as_bytes()).unwrap();
    let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate.der().clone()], key)
        .unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    Server::over(Some(acceptor), |_, _| whole(b"found")).await
}

fn config(change: impl FnOnce(&mut HttpStoreConfig)) -> HttpStoreConfig {
    let filter = FilterOptions {
        allowed_hosts: vec!["127.0.0.1".to_owned()],
        ..FilterOptions::default()
    };
    let mut config = HttpStoreConfig {
        id: "images".to_owned(),
        https_ca_certificates_file: None,
        https_insecure: true,
        http_proxy_information: Proxies::default(),
        filter: Filter::new(filter).unwrap(),
    };
    change(&mut config);
    config
}

async fn size(config: HttpStoreConfig, server: &Server) -> Result<u64, Error> {
    let location = Location::new(format!("https://127.0.0.1:{}/x", server.port));
    HttpStore::open(config).unwrap().size(&location).await
}

#[tokio::test]
async fn https_is_verified_as_the_options_say() {
    let (own, foreign) = (authority(), authority());
    let files = TempDir::new().unwrap();
    let path = |name: &str| files.path().join(name);
    fs::write(path("own.pem"), own.pem()).unwrap();
    fs::write(path("foreign.pem"), foreign.pem()).unwrap();
    let server = serve(&own).await;
    for (insecure, authorities, believed) in [
        (true, None, true),
        (false, None, false),
        (false, Some("own.pem"), true),
        (false, Some("foreign.pem"), false),
        // The file counts, then.
        (true, Some("foreign.pem"), false),
    ] {
        let config = config(|config| {
            config.https_insecure = insecure;
            config.https_ca_certificates_file = authorities.map(path);
        });
        match size(config, &server).await {
            Ok(size) => assert!(believed && size == 5, "{insecure} {authorities:?}"),
            Err(error) => {
                assert!(!believed, "{insecure} {authorities:?}: {error:?}");
                assert_eq!(error.kind(), ErrorKind::Unavailable);
            }
        }
    }
}

#[tokio::test]
async fn authorities_that_cannot_be_used_stop_the_start() {
    let files = TempDir::new().unwrap();
    let empty = files.path().join("empty.pem");
    fs::write(&empty, "no certificate").unwrap();
    for path in [empty, files.path().join("missing.pem")] {
        let config = config(|config| config.https_ca_certificates_file = Some(path.clone()));
        let error = HttpStore::open(config).unwrap_err();
        assert_eq!(error.to_string(), "the http store images cannot be used");
        let cause = std::error::Error::source(&error).unwrap().to_string();
        assert!(cause.contains(path.to_str().unwrap()), "{cause}");
    }
}
