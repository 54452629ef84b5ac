//! `s3_store_cacert`, and what of a body is signed.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]
// Shared with the other tests, which use more of it.
#![allow(dead_code)]

mod rgw;

use std::{fs, net::Ipv4Addr, path::PathBuf, sync::Arc};

use bytes::Bytes;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rgw::Bucket;
use saccade_store_conformance::proxy::Proxy;
use saccade_store_contract::{Attempt, BlobName, ErrorKind, Store};
use saccade_store_s3::{Checksums, OpenError, S3Store, S3StoreConfig};
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

/// Uploads one blob, and says how the bodies of requests were signed.
async fn upload(config: S3StoreConfig, proxy: &Proxy) -> Vec<String> {
    let store = S3Store::open(config).unwrap();
    proxy.requests();
    for size in [1000, 6 << 20] {
        let (name, attempt) = (BlobName(Uuid::new_v4()), Attempt(Uuid::new_v4()));
        let (handle, mut writer) = store.create(name, attempt, None).await.unwrap();
        writer.write(Bytes::from(vec![7; size])).await.unwrap();
        let location = writer.commit().await.unwrap();
        assert!(location.as_str().starts_with("s3+https://") == store.to_string().contains("https"));
        assert_eq!(store.size(&location).await.unwrap(), size as u64);
        store.discard(&handle).await.unwrap();
    }
    let requests = proxy.requests();
    let with_body = requests
        .iter()
        .filter(|head| !head.contains("content-length: 0") && head.contains("content-length"));
    with_body
        .map(|head| {
            let mut lines = head.lines();
            lines
                .find_map(|line| line.strip_prefix("x-amz-content-sha256: "))
                .unwrap()
                .to_owned()
        })
        .collect()
}

#[tokio::test]
async fn bodies_are_signed_where_tls_does_not_guard_them() {
    let bucket = Bucket::new().await;
    let proxy = Proxy::before(&bucket.rgw.host).await;
    let files = TempDir::new().unwrap();
    let (own, path) = (authority(), files.path().join("own.pem"));
    fs::write(&path, own.pem()).unwrap();
    let secure = end_tls(&proxy.url(), &own).await;

    let over_http = upload(bucket.config(&proxy.url()), &proxy).await;
    assert!(over_http.len() >= 5, "{over_http:?}");
    assert!(over_http.iter().all(|hash| hash.len() == 64), "{over_http:?}");

    let mut config = bucket.config(&secure);
    config.s3_store_cacert = Some(path);
    let over_https = upload(config.clone(), &proxy).await;
    assert!(over_https.len() >= 5 && over_https.iter().all(|hash| hash == "UNSIGNED-PAYLOAD"));

    config.s3_store_enable_data_integrity_protection = true;
    config.s3_store_request_checksum_calculation = Checksums::WhenSupported;
    let protected = upload(config, &proxy).await;
    assert!(protected.iter().all(|hash| hash.len() == 64), "{protected:?}");
}

#[tokio::test]
async fn only_the_configured_authority_is_believed() {
    let bucket = Bucket::new().await;
    let files = TempDir::new().unwrap();
    let (own, foreign) = (authority(), authority());
    let path = files.path().join("foreign.pem");
    fs::write(&path, foreign.pem()).unwrap();
    let secure = end_tls(&bucket.rgw.host, &own).await;
    for authorities in [None, Some(path)] {
        let mut config = bucket.config(&secure);
        config.s3_store_cacert = authorities;
        let store = S3Store::open(config).unwrap();
        let created = store
            .create(BlobName(Uuid::new_v4()), Attempt(Uuid::new_v4()), None)
            .await;
        let error = created.map(drop).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unavailable);
        assert!(
            format!("{error:?}").contains("invalid peer certificate"),
            "{error:?}"
        );
    }
}

#[tokio::test]
async fn options_that_cannot_be_used_stop_the_start() {
    let bucket = Bucket::missing().await;
    let open = |host: &str, change: &dyn Fn(&mut S3StoreConfig)| {
        let mut config = bucket.config(host);
        change(&mut config);
        S3Store::open(config).map(drop)
    };
    for (option, change) in [
        (
            "s3_store_large_object_chunk_size",
            &(|config: &mut S3StoreConfig| config.s3_store_large_object_chunk_size = 4)
                as &dyn Fn(&mut S3StoreConfig),
        ),
        ("s3_store_thread_pools", &|config| {
            config.s3_store_thread_pools = 0
        }),
        ("s3_store_bucket", &|config| {
            config.s3_store_bucket = String::new()
        }),
        ("s3_store_host", &|config| config.s3_store_host = String::new()),
        ("s3_store_secret_key", &|config| {
            config.s3_store_secret_key = saccade_store_s3::Secret::new(" ")
        }),
    ] {
        let error = open("http://h", change).unwrap_err();
        assert!(error.to_string().contains(option), "{error}");
    }
    let missing =
        |config: &mut S3StoreConfig| config.s3_store_cacert = Some(PathBuf::from("/nonexistent.pem"));
    assert!(matches!(open("https://h", &missing), Err(OpenError::Tls { .. })));
    // What is not needed stops nothing.
    open("http://h", &missing).unwrap();
}
