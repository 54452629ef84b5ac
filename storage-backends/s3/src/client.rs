//! Signed requests to the one server, tried again where that can help.

use std::{
    error::Error as _,
    fmt,
    sync::atomic::{AtomicBool, Ordering},
    time::{Duration, SystemTime},
};

use aws_credential_types::Credentials;
use aws_sigv4::{
    http_request::{
        PayloadChecksumKind, PercentEncodingMode, SignableBody, SignableRequest, SigningSettings,
        UriPathNormalizationMode, sign,
    },
    sign::v4,
};
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, StatusCode, header};
use saccade_outgoing::{Verification, excerpt, headers::retry_after, tls_client};
use sha2::{Digest, Sha256};
use tokio::time::{sleep, timeout};

use crate::{
    config::{Checksums, OpenError, S3StoreConfig},
    endpoint::Endpoint,
    failure::Failure,
    xml::Document,
};

/// How often a request is made again: for some six seconds, if the server does not want more.
const RETRIES: u32 = 5;
/// The first pause between two tries; each next one is twice as long, up to the last.
const FIRST_PAUSE: Duration = Duration::from_millis(200);
const LONGEST_PAUSE: Duration = Duration::from_secs(10);
/// A server that wants to be left alone for longer is not waited for.
const LONGEST_RETRY_AFTER: Duration = Duration::from_secs(30);
const CONNECT: Duration = Duration::from_secs(10);
/// How long an answer may take, on top of its request's way.
pub(crate) const ANSWER: Duration = Duration::from_secs(60);
/// The slowest way that is waited for, in bytes per second.
const SLOWEST: u64 = 64 << 10;
/// How long all tries to put parts together may take: Amazon needs minutes for large objects.
pub(crate) const COMPLETION: Duration = Duration::from_secs(600);
/// The longest body of an answer that is not an object's.
const LONGEST_ANSWER: usize = 64 << 10;
/// From here on, hashing is not for a thread that others wait for.
const LONG: usize = 64 << 10;
const IDLE_CONNECTIONS: usize = 32;

/// Asks one server, as one user.
pub(crate) struct Client {
    http: reqwest::Client,
    pub(crate) endpoint: Endpoint,
    credentials: Credentials,
    hashes_bodies: bool,
    pub(crate) conditions: Conditions,
}

/// Whether the server has never said that it knows no condition, of each request that has one: it may know the one and not the
/// other.
#[derive(Debug)]
pub(crate) struct Conditions {
    pub(crate) put: AtomicBool,
    pub(crate) completion: AtomicBool,
}

/// One request.
#[derive(Debug, Clone)]
pub(crate) struct Call<'a> {
    pub(crate) method: Method,
    /// None: of the bucket.
    pub(crate) key: Option<&'a str>,
    pub(crate) query: Vec<(&'a str, &'a str)>,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
    /// How long its answer may take.
    pub(crate) patience: Duration,
    /// How often it is made again.
    pub(crate) retries: u32,
    /// Whether it ends when the attempt is given up.
    pub(crate) given_up: Option<&'a AtomicBool>,
}

/// A good answer with all of its body.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) headers: HeaderMap,
    pub(crate) document: Document,
}

impl<'a> Call<'a> {
    pub(crate) fn new(method: Method, key: Option<&'a str>) -> Self {
        Self {
            method,
            key,
            query: Vec::new(),
            headers: HeaderMap::new(),
            body: Bytes::new(),
            patience: ANSWER,
            retries: RETRIES,
            given_up: None,
        }
    }

    pub(crate) fn query(mut self, name: &'a str, value: &'a str) -> Self {
        self.query.push((name, value));
        self
    }

    /// A value that is no header's is left out; ours are ids, numbers and entity tags that came in one.
    pub(crate) fn header(mut self, name: HeaderName, value: &str) -> Self {
        if let Ok(value) = HeaderValue::from_str(value) {
            self.headers.insert(name, value);
        }
        self
    }

    pub(crate) fn body(mut self, body: impl Into<Bytes>) -> Self {
        self.body = body.into();
        self
    }

    pub(crate) fn unless(mut self, given_up: &'a AtomicBool) -> Self {
        self.given_up = Some(given_up);
        self
    }

    fn is_given_up(&self) -> bool {
        self.given_up
            .is_some_and(|given_up| given_up.load(Ordering::SeqCst))
    }
}

impl Client {
    /// Reads the authorities; blocks. Asks nobody.
    pub(crate) fn new(config: &S3StoreConfig) -> Result<Self, OpenError> {
        let endpoint = Endpoint::new(config)?;
        let option = |option, reason| OpenError::Option {
            id: config.id.clone(),
            option,
            reason,
        };
        let key = config.s3_store_access_key.reveal().trim();
        let secret = config.s3_store_secret_key.reveal().trim();
        if key.is_empty() || !key.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(option("s3_store_access_key", "is missing or not a key's id"));
        }
        if secret.is_empty() {
            return Err(option("s3_store_secret_key", "is missing"));
        }
        let verification = match &config.s3_store_cacert {
            // What is not needed stops nothing.
            Some(path) if endpoint.is_https => Verification::Authorities(path.clone()),
            _ => Verification::System,
        };
        let tls = tls_client(&verification).map_err(|source| OpenError::Tls {
            id: config.id.clone(),
            source,
        })?;
        let http = reqwest::Client::builder()
            .tls_backend_preconfigured(tls)
            // A signature is for one address.
            .redirect(reqwest::redirect::Policy::none())
            .referer(false)
            .http1_only()
            .no_proxy()
            .connect_timeout(CONNECT)
            .tcp_nodelay(true)
            .pool_max_idle_per_host(IDLE_CONNECTIONS)
            .pool_idle_timeout(Duration::from_secs(20))
            .user_agent(concat!("saccade/", env!("CARGO_PKG_VERSION")))
            .build()
            .map_err(|source| OpenError::Client {
                id: config.id.clone(),
                source,
            })?;
        let protects = config.s3_store_enable_data_integrity_protection
            && config.s3_store_request_checksum_calculation == Checksums::WhenSupported;
        Ok(Self {
            http,
            credentials: Credentials::from_keys(key, secret, None),
            hashes_bodies: protects || !endpoint.is_https,
            endpoint,
            conditions: Conditions {
                put: AtomicBool::new(true),
                completion: AtomicBool::new(true),
            },
        })
    }

    /// Makes a request and reads its answer, which is not an object's bytes.
    pub(crate) async fn ask(&self, call: &Call<'_>) -> Result<Answer, Failure> {
        let mut retried = 0;
        loop {
            match self.answer(call).await {
                Ok(answer) => return Ok(answer),
                Err(failure) => pause(call, &mut retried, failure).await?,
            }
        }
    }

    /// Makes a request for an object's bytes; they come later.
    pub(crate) async fn open(&self, call: &Call<'_>) -> Result<reqwest::Response, Failure> {
        let mut retried = 0;
        loop {
            match self.once(call).await {
                Ok(response) => return Ok(response),
                Err(failure) => pause(call, &mut retried, failure).await?,
            }
        }
    }

    /// Asks once.
    pub(crate) async fn answer(&self, call: &Call<'_>) -> Result<Answer, Failure> {
        let response = self.once(call).await?;
        let headers = response.headers().clone();
        let body = match call.method {
            Method::HEAD => Bytes::new(),
            _ => timeout(call.patience, short_body(response))
                .await
                .map_err(|_| Failure::Timeout(call.patience))??,
        };
        let document = Document::parse(&body);
        if document.root == "Error" {
            // With status 200: the end of an upload takes so long that the head is sent before it is known.
            return Err(self.failure(StatusCode::INTERNAL_SERVER_ERROR, &headers, &document));
        }
        Ok(Answer { headers, document })
    }

    async fn once(&self, call: &Call<'_>) -> Result<reqwest::Response, Failure> {
        let request = self.signed(call).await?;
        let length = u64::try_from(call.body.len()).unwrap_or(u64::MAX);
        let way = Duration::from_secs(length / SLOWEST);
        let patience = call.patience.saturating_add(way);
        let response = timeout(patience, self.http.execute(request))
            .await
            .map_err(|_| Failure::Timeout(patience))?
            .map_err(|error| Failure::Connection(chain(error)))?;
        let status = response.status();
        if status.is_success() {
            return Ok(response);
        }
        let headers = response.headers().clone();
        let document = match call.method {
            Method::HEAD => Document::default(),
            // What is wrong is known without it.
            _ => timeout(ANSWER, short_body(response))
                .await
                .ok()
                .and_then(Result::ok)
                .map_or_else(Document::default, |body| Document::parse(&body)),
        };
        Err(self.failure(status, &headers, &document))
    }

    fn failure(&self, status: StatusCode, headers: &HeaderMap, document: &Document) -> Failure {
        let text = |name| {
            let text = document.field(name).unwrap_or_default();
            // Some servers repeat what they were sent.
            let secrets = [
                self.credentials.secret_access_key(),
                self.credentials.access_key_id(),
            ];
            excerpt(text, &secrets)
        };
        if text("Code") == "NoSuchBucket" {
            return Failure::NoBucket;
        }
        let pause = headers
            .get(header::RETRY_AFTER)
            .and_then(|value| retry_after(value.as_bytes(), SystemTime::now()));
        Failure::Answer {
            status,
            code: text("Code"),
            message: text("Message"),
            pause,
        }
    }

    /// A signature that is made anew for each try: it is dated.
    async fn signed(&self, call: &Call<'_>) -> Result<reqwest::Request, Failure> {
        let unasked = |what: &str| Failure::Unasked(format!("the request cannot be made: {what}"));
        let url = self.endpoint.url(call.key, &call.query);
        let mut request = Request::builder()
            .method(call.method.clone())
            .uri(url.as_str())
            .body(call.body.clone())
            .map_err(|_| unasked("its address"))?;
        *request.headers_mut() = call.headers.clone();
        let body = if call.body.is_empty() {
            SignableBody::Bytes(&[])
        } else if self.hashes_bodies {
            SignableBody::Precomputed(hash(call.body.clone()).await?)
        } else {
            SignableBody::UnsignedPayload
        };
        let mut settings = SigningSettings::default();
        settings.payload_checksum_kind = PayloadChecksumKind::XAmzSha256;
        settings.percent_encoding_mode = PercentEncodingMode::Single;
        settings.uri_path_normalization_mode = UriPathNormalizationMode::Disabled;
        let identity = self.credentials.clone().into();
        let parameters = v4::SigningParams::builder()
            .identity(&identity)
            .region(&self.endpoint.region)
            .name("s3")
            .time(SystemTime::now())
            .settings(settings)
            .build()
            .map_err(|_| unasked("its signature"))?
            .into();
        let headers = call
            .headers
            .iter()
            .filter_map(|(name, value)| Some((name.as_str(), value.to_str().ok()?)));
        let signable = SignableRequest::new(call.method.as_str(), url.as_str(), headers, body)
            .map_err(|_| unasked("its signature"))?;
        let (instructions, _) = sign(signable, &parameters)
            .map_err(|_| unasked("its signature"))?
            .into_parts();
        instructions.apply_to_request_http1x(&mut request);
        if call.body.is_empty() && matches!(call.method, Method::PUT | Method::POST) {
            // hyper leaves it out, and RGW insists on it.
            request
                .headers_mut()
                .insert(header::CONTENT_LENGTH, HeaderValue::from_static("0"));
        }
        reqwest::Request::try_from(request).map_err(|_| unasked("its form"))
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Neither key, nor the id of one.
        f.debug_struct("Client")
            .field("endpoint", &self.endpoint)
            .finish_non_exhaustive()
    }
}

async fn hash(body: Bytes) -> Result<String, Failure> {
    let is_short = body.len() < LONG;
    let hex = move || {
        let digest = Sha256::digest(&body);
        digest
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect::<String>()
    };
    if is_short {
        return Ok(hex());
    }
    tokio::task::spawn_blocking(hex)
        .await
        .map_err(|stopped| Failure::Unasked(format!("its body cannot be hashed: {stopped}")))
}

/// The body of an answer, at most [`LONGEST_ANSWER`] of it.
pub(crate) async fn short_body(mut response: reqwest::Response) -> Result<Bytes, Failure> {
    let mut body = Vec::new();
    while let Some(chunk) = response
        .chunk()
        .await
        .map_err(|error| Failure::Connection(chain(error)))?
    {
        let room = LONGEST_ANSWER.saturating_sub(body.len());
        body.extend(chunk.iter().take(room));
        if room <= chunk.len() {
            break;
        }
    }
    Ok(body.into())
}

/// The useful part ("Connection refused", "certificate expired") is at the end of the chain; the URL is in none.
pub(crate) fn chain(error: reqwest::Error) -> String {
    let error = error.without_url();
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}

/// Waits until the request may be made again, or says why it may not.
pub(crate) async fn pause(call: &Call<'_>, retried: &mut u32, failure: Failure) -> Result<(), Failure> {
    let pause = failure.pause().unwrap_or_else(|| backoff(*retried));
    if *retried >= call.retries || !failure.is_passing() || pause > LONGEST_RETRY_AFTER {
        return Err(failure);
    }
    tracing::debug!(method = %call.method, key = call.key, %failure, ?pause, "the S3 server is asked again");
    sleep(pause).await;
    *retried = retried.saturating_add(1);
    if call.is_given_up() {
        Err(Failure::GivenUp)
    } else {
        Ok(())
    }
}

/// A pause between half of what is due and all of it.
fn backoff(retried: u32) -> Duration {
    let due = FIRST_PAUSE
        .saturating_mul(2_u32.saturating_pow(retried))
        .min(LONGEST_PAUSE);
    let mut random = [0; 1];
    // Without chance it is only less fair.
    let _ = getrandom::fill(&mut random);
    let [random] = random;
    due.saturating_mul(256 + u32::from(random)) / 512
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Secret;
    use tokio::{io::AsyncReadExt, net::TcpListener, time::Instant};

    fn client(host: &str) -> Client {
        let secret = Secret::new("verysecret");
        Client::new(&S3StoreConfig::new(
            "s",
            host,
            Secret::new("keysid"),
            secret,
            "bucket",
        ))
        .unwrap()
    }

    #[test]
    fn no_part_of_a_key_is_left_where_a_message_is_cut() {
        for before in 185..=201 {
            let body = format!(
                "<Error><Code>X</Code><Message>{}keysid verysecret</Message></Error>",
                "-".repeat(before)
            );
            let document = Document::parse(body.as_bytes());
            let failure = client("http://h").failure(StatusCode::FORBIDDEN, &HeaderMap::new(), &document);
            let Failure::Answer { message, .. } = failure else {
                panic!("{failure}")
            };
            assert!(message.trim_matches(['-', '…', ' ']).is_empty(), "{message}");
        }
    }

    /// The clock goes on by itself while everybody waits.
    #[tokio::test(start_paused = true)]
    async fn putting_parts_together_ends_after_ten_minutes_with_all_tries() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let host = format!("http://{}", listener.local_addr().unwrap());
        let server = tokio::spawn(async move {
            let mut silent = Vec::new();
            loop {
                let (mut connection, _) = listener.accept().await.unwrap();
                let _ = connection.read(&mut [0; 100]).await;
                silent.push(connection);
            }
        });
        let begun = Instant::now();
        let tags = ["\"tag\"".to_owned()];
        let failure = client(&host).complete("key", "upload", &tags).await.unwrap_err();
        server.abort();
        assert!(failure.is_ambiguous(), "{failure}: what is there decides");
        assert!(begun.elapsed() <= COMPLETION, "{:?}", begun.elapsed());
    }
}
