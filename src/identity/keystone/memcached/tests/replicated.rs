//! With SASL or TLS: every server holds every key.

use std::{
    collections::HashMap,
    io::Write,
    sync::{Arc, Mutex},
    time::Duration,
};

use openssl::{
    asn1::Asn1Time,
    ec::{EcGroup, EcKey},
    hash::MessageDigest,
    nid::Nid,
    pkey::{PKey, Private},
    x509::{X509, X509NameBuilder, extension::SubjectAlternativeName},
};
use tempfile::NamedTempFile;
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::TcpListener,
    task::{JoinHandle, JoinSet},
};
use tokio_rustls::{
    TlsAcceptor,
    rustls::{
        ServerConfig,
        crypto::ring,
        pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer},
    },
};

use super::{
    super::{Cached, Memcached, MemcachedOptions, Sasl},
    BODY, MINUTE, Secret, key,
    liar::{Liar, Lie},
    options,
};
use crate::identity::keystone::options::MemcachedTls;

type Entries = Arc<Mutex<HashMap<String, (u32, Vec<u8>)>>>;

/// A small memcached of the binary protocol, whose only user is `user` with the password `password`.
struct BinaryPeer {
    address: String,
    entries: Entries,
    task: JoinHandle<()>,
}

impl Drop for BinaryPeer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

#[derive(Clone, Copy, PartialEq)]
enum Login {
    Needed,
    Unknown,
}

impl BinaryPeer {
    async fn start(login: Login, tls: Option<TlsAcceptor>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let entries = Entries::default();
        let all = entries.clone();
        let task = tokio::spawn(async move {
            let mut served = JoinSet::new();
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let (all, tls) = (all.clone(), tls.clone());
                served.spawn(async move {
                    let _ = match tls {
                        None => serve(stream, login, all).await,
                        Some(tls) => match tls.accept(stream).await {
                            Ok(stream) => serve(stream, login, all).await,
                            Err(error) => Err(error),
                        },
                    };
                });
            }
        });
        Self {
            address,
            entries,
            task,
        }
    }

    fn entry(&self, token: &str) -> Option<(u32, Vec<u8>)> {
        self.entries.lock().unwrap().get(&key(token)).cloned()
    }
}

async fn serve(
    mut stream: impl AsyncRead + AsyncWrite + Unpin,
    login: Login,
    entries: Entries,
) -> std::io::Result<()> {
    let mut authenticated = login == Login::Unknown;
    loop {
        let mut header = [0; 24];
        stream.read_exact(&mut header).await?;
        let length = u32::from_be_bytes(header[8..12].try_into().unwrap()) as usize;
        let mut body = vec![0; length];
        stream.read_exact(&mut body).await?;
        let key_length = u16::from_be_bytes([header[2], header[3]]) as usize;
        let (extras, rest) = body.split_at(header[4] as usize);
        let (key, value) = rest.split_at(key_length);
        let key = String::from_utf8(key.to_vec()).unwrap();
        let mut answer_extras = Vec::new();
        let mut answer = Vec::new();
        let status: u16 = match header[1] {
            0x21 if login == Login::Unknown => 0x81,
            0x21 => {
                assert_eq!(key, "PLAIN");
                authenticated = value == b"\0user\0password";
                if authenticated { 0 } else { 0x20 }
            }
            _ if !authenticated => 0x20,
            0x00 => match entries.lock().unwrap().get(&key) {
                Some((flags, data)) => {
                    answer_extras = flags.to_be_bytes().to_vec();
                    answer.clone_from(data);
                    0
                }
                None => {
                    answer = b"Not found".to_vec();
                    1
                }
            },
            0x01 => {
                assert_eq!(u32::from_be_bytes(extras[4..].try_into().unwrap()), 60);
                let flags = u32::from_be_bytes(extras[..4].try_into().unwrap());
                entries.lock().unwrap().insert(key, (flags, value.to_vec()));
                0
            }
            other => panic!("{other:#x}"),
        };
        let mut packet = vec![0x81, header[1], 0, 0, answer_extras.len() as u8, 0];
        packet.extend(status.to_be_bytes());
        packet.extend(((answer_extras.len() + answer.len()) as u32).to_be_bytes());
        packet.extend(&header[12..16]);
        packet.extend([0; 8]);
        packet.extend(answer_extras);
        packet.extend(answer);
        stream.write_all(&packet).await?;
        stream.flush().await?;
    }
}

fn with_sasl(servers: &[&str], password: &str) -> MemcachedOptions {
    MemcachedOptions {
        sasl: Some(Sasl {
            username: "user".into(),
            password: Secret::new(password.into()),
        }),
        ..options(servers)
    }
}

fn found() -> Option<Cached> {
    Some(Cached {
        body: BODY.into(),
        remaining: None,
    })
}

#[tokio::test]
async fn with_sasl_every_server_is_written_and_the_first_that_has_it_is_read() {
    let one = BinaryPeer::start(Login::Needed, None).await;
    let other = BinaryPeer::start(Login::Needed, None).await;
    let cache = Memcached::new(&with_sasl(&[&one.address, &other.address], "password")).unwrap();
    assert_eq!(cache.get("token").await, None);
    cache.set("token", BODY, MINUTE).await;
    assert_eq!(one.entry("token"), Some((16, BODY.to_vec())));
    assert_eq!(other.entry("token"), Some((16, BODY.to_vec())));
    assert_eq!(cache.get("token").await, found());
    one.entries.lock().unwrap().clear();
    assert_eq!(cache.get("token").await, found());
    drop(one);
    assert_eq!(cache.get("token").await, found(), "one of two is enough");
    cache.set("token2", BODY, MINUTE).await;
    assert_eq!(cache.get("token2").await, found());
}

#[tokio::test]
async fn wrong_credentials_are_a_dead_server() {
    let peer = BinaryPeer::start(Login::Needed, None).await;
    peer.entries
        .lock()
        .unwrap()
        .insert(key("token"), (16, BODY.to_vec()));
    let cache = Memcached::new(&with_sasl(&[&peer.address], "wrong")).unwrap();
    assert_eq!(cache.get("token").await, None);
    cache.set("token", BODY, MINUTE).await;
    assert_eq!(cache.get("token").await, None);
}

#[tokio::test]
async fn a_server_without_sasl_is_used_all_the_same() {
    let peer = BinaryPeer::start(Login::Unknown, None).await;
    let cache = Memcached::new(&with_sasl(&[&peer.address], "password")).unwrap();
    cache.set("token", BODY, MINUTE).await;
    assert_eq!(cache.get("token").await, found());
}

#[tokio::test]
async fn a_liar_in_binary_is_left_alone() {
    for (what, lie) in [
        ("text", b"ERROR\r\nERROR\r\nERROR\r\n".to_vec()),
        ("silence", Vec::new()),
        ("zeroes", vec![0; 64]),
        ("half a header", vec![0x81, 0x21]),
    ] {
        let liar = Liar::start(Lie::Says(lie)).await;
        let cache = Memcached::new(&MemcachedOptions {
            socket_timeout: Duration::from_millis(150),
            ..with_sasl(&[&liar.address], "password")
        })
        .unwrap();
        liar.is_left_alone_after(&cache, 1, what).await;
    }
}

/// An authority that has signed itself for `127.0.0.1`, as a file and ready to serve.
fn certificate() -> (NamedTempFile, TlsAcceptor) {
    let group = EcGroup::from_curve_name(Nid::X9_62_PRIME256V1).unwrap();
    let key: PKey<Private> = PKey::from_ec_key(EcKey::generate(&group).unwrap()).unwrap();
    let mut name = X509NameBuilder::new().unwrap();
    name.append_entry_by_text("CN", "memcached").unwrap();
    let name = name.build();
    let mut builder = X509::builder().unwrap();
    builder.set_version(2).unwrap();
    builder.set_subject_name(&name).unwrap();
    builder.set_issuer_name(&name).unwrap();
    builder.set_pubkey(&key).unwrap();
    builder
        .set_not_before(&Asn1Time::days_from_now(0).unwrap())
        .unwrap();
    builder
        .set_not_after(&Asn1Time::days_from_now(1).unwrap())
        .unwrap();
    let names = SubjectAlternativeName::new()
        .ip("127.0.0.1")
        .build(&builder.x509v3_context(None, None))
        .unwrap();
    builder.append_extension(names).unwrap();
    builder.sign(&key, MessageDigest::sha256()).unwrap();
    let certificate = builder.build();
    let mut file = NamedTempFile::new().unwrap();
    file.write_all(&certificate.to_pem().unwrap()).unwrap();
    let key = PrivatePkcs8KeyDer::from(key.private_key_to_pkcs8().unwrap());
    let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(
            vec![certificate.to_der().unwrap().into()],
            PrivateKeyDer::from(key),
        )
        .unwrap();
    (file, TlsAcceptor::from(Arc::new(config)))
}

#[tokio::test]
async fn tls_servers_are_believed_only_with_a_certificate_of_the_authority() {
    let (authority, acceptor) = certificate();
    let peer = BinaryPeer::start(Login::Needed, Some(acceptor)).await;
    let through_tls = |authority: &NamedTempFile, server: &str| {
        Memcached::new(&MemcachedOptions {
            tls: Some(MemcachedTls {
                cafile: Some(authority.path().to_owned()),
                client: None,
            }),
            ..with_sasl(&[server], "password")
        })
    };
    let cache = through_tls(&authority, &peer.address).unwrap();
    cache.set("token", BODY, MINUTE).await;
    assert_eq!(cache.get("token").await, found());
    assert_eq!(cache.get("token").await, found());

    let (another, _) = certificate();
    assert_eq!(
        through_tls(&another, &peer.address).unwrap().get("token").await,
        None
    );
    let by_name = peer.address.replace("127.0.0.1", "localhost");
    assert_eq!(
        through_tls(&authority, &by_name).unwrap().get("token").await,
        None
    );
    let error = through_tls(&authority, "unix:/run/memcached.sock").err().unwrap();
    assert!(error.to_string().contains("memcache_tls_enabled"), "{error}");
}
