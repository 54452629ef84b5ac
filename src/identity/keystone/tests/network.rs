//! Over sockets: TLS, redirects, sizes, times.

use std::{
    convert::Infallible,
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::{body::Incoming, service::service_fn};
use hyper_util::rt::TokioIo;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::{
    RootCertStore, ServerConfig,
    crypto::ring,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
    server::WebPkiClientVerifier,
};
use serde_json::json;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpListener,
};
use tokio_rustls::TlsAcceptor;

use super::{
    super::{
        ClientCertificate, Keystone, KeystoneError, KeystoneOptions, Tls, Verification,
        client::{Broken, Call, Network, Transport},
        fake::{FakeKeystone, Fault, options, token},
    },
    USER, identify, is_unavailable,
};

/// Serves until the test ends.
async fn serve(fake: &FakeKeystone, tls: Option<ServerConfig>) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let scheme = if tls.is_some() { "https" } else { "http" };
    fake.state().catalog = Some(json!([{"type": "identity", "endpoints": [
        {"interface": "internal", "region_id": "R1", "url": format!("{scheme}://localhost:{}", address.port())}]}]));
    let acceptor = tls.map(|config| TlsAcceptor::from(Arc::new(config)));
    let fake = fake.clone();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let (fake, acceptor) = (fake.clone(), acceptor.clone());
            tokio::spawn(async move {
                match acceptor {
                    None => answer_all(fake, stream).await,
                    Some(acceptor) => {
                        if let Ok(stream) = acceptor.accept(stream).await {
                            answer_all(fake, stream).await;
                        }
                    }
                }
            });
        }
    });
    address
}

async fn answer_all(fake: FakeKeystone, stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static) {
    let service = service_fn(move |request: Request<Incoming>| {
        let fake = fake.clone();
        async move {
            let (head, body) = request.into_parts();
            assert!(
                head.headers["user-agent"]
                    .to_str()
                    .unwrap()
                    .starts_with("saccade/")
            );
            assert_eq!(head.headers["accept"], "application/json");
            let body = body.collect().await.unwrap().to_bytes();
            let call = Call {
                method: head.method,
                url: format!("http://fake{}", head.uri).parse().unwrap(),
                headers: head.headers,
                body: Some(body).filter(|body| !body.is_empty()),
            };
            let answer = fake.exchange(&call).await.unwrap();
            let mut response = Response::new(Full::new(answer.body));
            *response.status_mut() = answer.status;
            *response.headers_mut() = answer.headers;
            Ok::<_, Infallible>(response)
        }
    });
    let connection =
        hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service);
    // A client that goes away is no matter.
    let _ = connection.await;
}

fn at(address: SocketAddr, scheme: &str) -> KeystoneOptions {
    KeystoneOptions {
        auth_url: format!("{scheme}://localhost:{}/v3", address.port()),
        request_timeout: Duration::from_secs(5),
        max_retries: 0,
        ..options()
    }
}

/// `wall` of the fake runs ahead of the real clock; these tests need the same for both sides.
fn keystone(options: KeystoneOptions) -> Keystone {
    let network = Arc::new(Network::new(&options).unwrap());
    Keystone::over(options, network, None, super::wall).unwrap()
}

fn knowing() -> FakeKeystone {
    let fake = FakeKeystone::new();
    fake.knows(USER, token("ada", &["member"], 3600));
    fake
}

#[tokio::test]
async fn validates_over_a_socket() {
    let fake = knowing();
    let keystone = keystone(at(serve(&fake, None).await, "http"));
    assert_eq!(identify(&keystone, USER).await.unwrap().user_id, "ada");
    assert!(identify(&keystone, "other").await.is_err());
    assert_eq!((fake.logins(), fake.validations()), (1, 2));
}

#[tokio::test]
async fn follows_no_redirect_with_a_token_or_password() {
    let elsewhere = knowing();
    let address = serve(&elsewhere, None).await;
    let fake = knowing();
    let keystone = keystone(at(serve(&fake, None).await, "http"));
    let there = format!("http://localhost:{}/v3/auth/tokens", address.port());
    fake.state()
        .login_faults
        .push_back(Fault::Redirect(there.clone()));
    assert!(is_unavailable(&identify(&keystone, USER).await));
    let fake = knowing();
    let keystone = self::keystone(at(serve(&fake, None).await, "http"));
    fake.fails([Fault::Redirect(there)]);
    assert!(is_unavailable(&identify(&keystone, USER).await));
    assert_eq!((elsewhere.logins(), elsewhere.validations()), (0, 0));
}

#[tokio::test]
async fn reads_no_more_than_its_bound() {
    let fake = knowing();
    let address = serve(&fake, None).await;
    fake.fails([Fault::Huge]);
    let network = Network::new(&at(address, "http")).unwrap();
    let call = Call {
        method: http::Method::GET,
        url: format!("http://{address}/v3/auth/tokens").parse().unwrap(),
        headers: http::HeaderMap::new(),
        body: None,
    };
    assert!(matches!(network.exchange(&call).await, Err(Broken::TooLarge)));
}

#[tokio::test]
async fn a_closed_port_and_a_silent_one_are_unavailable() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let mut options = at(address, "http");
    options.request_timeout = Duration::from_millis(100);
    // Accepts by its backlog, and says nothing.
    let begun = std::time::Instant::now();
    assert!(is_unavailable(&identify(&keystone(options.clone()), USER).await));
    assert!(begun.elapsed() < Duration::from_secs(2), "{:?}", begun.elapsed());
    drop(listener);
    assert!(is_unavailable(&identify(&keystone(options), USER).await));
}

/// An authority, and what it has signed, as PEM files.
struct Authority {
    directory: tempfile::TempDir,
    issuer: CertifiedIssuer<'static, KeyPair>,
}

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let own = Self {
            directory: tempfile::tempdir().unwrap(),
            issuer,
        };
        own.write("ca.pem", &own.issuer.pem());
        own
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.path(name);
        std::fs::write(&path, text).unwrap();
        path
    }

    /// Certificate and key.
    fn sign(&self, name: &str) -> (String, String) {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        (certificate.pem(), key.serialize_pem())
    }

    fn server(&self, name: &str, asks_clients: bool) -> ServerConfig {
        let (certificate, key) = self.sign(name);
        let provider = Arc::new(ring::default_provider());
        let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .unwrap();
        let builder = if asks_clients {
            let mut roots = RootCertStore::empty();
            roots.add(self.issuer.der().clone()).unwrap();
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
            builder.with_client_cert_verifier(verifier.build().unwrap())
        } else {
            builder.with_no_client_auth()
        };
        let chain = vec![CertificateDer::from_pem_slice(certificate.as_bytes()).unwrap()];
        let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap();
        builder.with_single_cert(chain, key).unwrap()
    }

    fn tls(&self) -> Tls {
        Tls {
            cafile: Some(self.path("ca.pem")),
            ..Tls::default()
        }
    }
}

/// Whether a Keystone of this name and authority is believed.
async fn believes(authority: &Authority, name: &str, tls: Tls) -> bool {
    let fake = knowing();
    let address = serve(&fake, Some(authority.server(name, false))).await;
    let keystone = keystone(KeystoneOptions {
        tls,
        ..at(address, "https")
    });
    let outcome = identify(&keystone, USER).await;
    assert!(outcome.is_ok() || (is_unavailable(&outcome) && fake.logins() == 0));
    outcome.is_ok()
}

#[tokio::test]
async fn believes_the_authority_it_is_told_and_no_other() {
    let (ours, other) = (Authority::new(), Authority::new());
    assert!(believes(&ours, "localhost", ours.tls()).await);
    assert!(!believes(&other, "localhost", ours.tls()).await);
    assert!(!believes(&ours, "localhost", Tls::default()).await);
    assert!(!believes(&ours, "elsewhere", ours.tls()).await);
    let insecure = Tls {
        verification: Verification::Off,
        ..Tls::default()
    };
    assert!(believes(&other, "elsewhere", insecure).await);
}

#[tokio::test]
async fn shows_its_own_certificate() {
    let authority = Authority::new();
    let (certificate, key) = authority.sign("glance");
    let apart = ClientCertificate {
        certfile: authority.write("cert.pem", &certificate),
        keyfile: Some(authority.write("key.pem", &key)),
    };
    let together = ClientCertificate {
        certfile: authority.write("both.pem", &format!("{key}{certificate}")),
        keyfile: None,
    };
    for (client, outcome) in [(None, false), (Some(apart), true), (Some(together), true)] {
        let fake = knowing();
        let address = serve(&fake, Some(authority.server("localhost", true))).await;
        let keystone = keystone(KeystoneOptions {
            tls: Tls {
                client,
                ..authority.tls()
            },
            ..at(address, "https")
        });
        assert_eq!(identify(&keystone, USER).await.is_ok(), outcome);
    }
}

#[test]
fn files_that_cannot_be_used_are_told_by_option_and_path() {
    let authority = Authority::new();
    let (certificate, _) = authority.sign("glance");
    let (_, key_of_another) = authority.sign("other");
    let ca = authority.path("ca.pem");
    let empty = authority.write("empty.pem", "");
    let broken = authority.write(
        "broken.pem",
        "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
    );
    let certfile = authority.write("cert.pem", &certificate);
    let wrong_key = authority.write("wrong-key.pem", &key_of_another);
    let absent = PathBuf::from("/nonexistent.pem");
    let with_ca = |path: &Path| Tls {
        cafile: Some(path.to_owned()),
        ..Tls::default()
    };
    let with_client = |certfile: &Path, keyfile: Option<&Path>| Tls {
        client: Some(ClientCertificate {
            certfile: certfile.to_owned(),
            keyfile: keyfile.map(Path::to_owned),
        }),
        ..with_ca(&ca)
    };
    for (tls, option, path) in [
        (with_ca(&absent), "cafile", &absent),
        (with_ca(&empty), "cafile", &empty),
        (with_ca(&broken), "cafile", &broken),
        (with_client(&absent, None), "certfile", &absent),
        (with_client(&certfile, None), "certfile", &certfile),
        (with_client(&certfile, Some(&absent)), "keyfile", &absent),
        (with_client(&certfile, Some(&empty)), "keyfile", &empty),
        (with_client(&certfile, Some(&wrong_key)), "keyfile", &wrong_key),
    ] {
        // Over http nothing needs it.
        let http = KeystoneOptions {
            tls: tls.clone(),
            ..options()
        };
        assert!(Keystone::new(http).is_ok(), "{option} {path:?}");
        let auth_url = "HTTPS://keystone:5000".to_owned();
        let https = KeystoneOptions {
            auth_url,
            tls,
            ..options()
        };
        let error = Keystone::new(https).err().unwrap();
        let KeystoneError::File {
            option: named,
            path: file,
            ..
        } = &error
        else {
            panic!("{error}")
        };
        assert_eq!((*named, file), (option, path), "{error}");
    }
}
