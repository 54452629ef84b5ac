//! `swift_store_cacert` and `swift_store_auth_insecure`, at the log-in and at the account.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

mod server;

use std::{fs, net::Ipv4Addr, path::PathBuf, sync::Arc};

use bytes::Bytes;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use saccade_store_contract::{Attempt, BlobName, ErrorKind, Store};
use saccade_store_swift::{SwiftStore, SwiftStoreConfig};
use server::{Container, Kind};
use tempfile::TempDir;
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::{
    TlsAcceptor,
    rustls::{
        ServerConfig,
        crypto::ring,
        pki_types::{PrivateKeyDer, pem::PemObject},
    },
};
use uuid::Uuid;

fn authority() -> CertifiedIssuer<'static, KeyPair> {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
}

/// Ends TLS before a server; returns its URL.
async fn end_tls(server: &str, authority: &CertifiedIssuer<'static, KeyPair>) -> String {
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
    let server = server.strip_prefix("http://").unwrap().to_owned();
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let url = format!("https://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        loop {
            let (client, _) = listener.accept().await.unwrap();
            let (acceptor, server) = (acceptor.clone(), server.clone());
            tokio::spawn(async move {
                let mut client = acceptor.accept(client).await?;
                let mut server = TcpStream::connect(server).await?;
                tokio::io::copy_bidirectional(&mut client, &mut server).await
            });
        }
    });
    url
}

/// The log-in at one address, the account at another.
fn config(container: &Container, log_in: &str, account: &str) -> SwiftStoreConfig {
    let (host, _) = container.server.parts();
    let mut config = container.config(Some(account));
    config.swift_store_auth_address = Some(container.server.auth.replace(&host, log_in));
    config
}

async fn upload(config: SwiftStoreConfig) -> Result<(), ErrorKind> {
    let store = SwiftStore::open(config).unwrap();
    let (name, attempt) = (BlobName(Uuid::new_v4()), Attempt(Uuid::new_v4()));
    let created = store.create(name, attempt, None).await;
    let (handle, mut writer) = created.map_err(|error| {
        assert!(
            format!("{error:?}").contains("invalid peer certificate"),
            "{error:?}"
        );
        error.kind()
    })?;
    writer.write(Bytes::from(vec![7; 3_000_000])).await.unwrap();
    let location = writer.commit().await.unwrap();
    assert_eq!(store.size(&location).await.unwrap(), 3_000_000);
    store.discard(&handle).await.unwrap();
    Ok(())
}

#[tokio::test]
async fn only_the_configured_authority_is_believed_unless_anybody_is() {
    let container = Container::new(Kind::Swift).await;
    let (plain, _) = container.server.parts();
    let files = TempDir::new().unwrap();
    let file = |authority: &CertifiedIssuer<'static, KeyPair>, name: &str| -> PathBuf {
        let path = files.path().join(name);
        fs::write(&path, authority.pem()).unwrap();
        path
    };
    let (own, foreign) = (authority(), authority());
    let (own_file, foreign_file) = (file(&own, "own.pem"), file(&foreign, "foreign.pem"));
    let secure = end_tls(&plain, &own).await;
    // The log-in, the account, or both.
    for (log_in, account) in [(&secure, &secure), (&secure, &plain), (&plain, &secure)] {
        let mut config = config(&container, log_in, account);
        for (authorities, is_believed) in [
            (None, false),
            (Some(foreign_file.clone()), false),
            (Some(own_file.clone()), true),
        ] {
            config.swift_store_cacert = authorities;
            let expected = if is_believed {
                Ok(())
            } else {
                Err(ErrorKind::Unavailable)
            };
            assert_eq!(upload(config.clone()).await, expected);
        }
        config.swift_store_cacert = Some(foreign_file.clone());
        config.swift_store_auth_insecure = true;
        assert_eq!(upload(config).await, Ok(()));
    }
    assert_eq!(container.inventory().await, [""; 0]);
}
