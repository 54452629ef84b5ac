//! Exchanges with Keystone, bounded in time and size, and tried again where that can help.
//!
//! No redirect is followed: the requests carry passwords and tokens. Proxies are taken from the environment
//! (`HTTP_PROXY`, `HTTPS_PROXY`, `NO_PROXY`), as keystonemiddleware does.

use std::{fmt, sync::Arc, time::Duration};

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use tokio::time::Instant;
use url::Url;

use super::{KeystoneError, KeystoneOptions, breaker::PassKind, tls};

/// The largest answer that is read. Catalogs of large clouds take some 100 KiB.
pub(super) const MAX_ANSWER_BYTES: usize = 1024 * 1024;

/// The first pause between two tries; each next one is twice as long.
const FIRST_PAUSE: Duration = Duration::from_millis(250);

const USER_AGENT: &str = concat!("saccade/", env!("CARGO_PKG_VERSION"), " (identity)");

/// One request.
#[derive(Clone)]
pub(super) struct Call {
    pub(super) method: Method,
    pub(super) url: Url,
    /// Sensitive ones are marked so.
    pub(super) headers: HeaderMap,
    /// JSON.
    pub(super) body: Option<Bytes>,
}

/// Its answer, read whole.
#[derive(Clone)]
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
}

/// Why there is no answer that can be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Broken {
    /// No connection, or one that broke.
    Connection(String),
    /// Nothing in time.
    Timeout,
    /// A status of the 500s.
    Server(StatusCode),
    /// An answer that makes no sense.
    Garbage(String),
    /// An answer larger than [`MAX_ANSWER_BYTES`].
    TooLarge,
}

impl Broken {
    /// Whether it would happen to every call; otherwise Keystone answered, and what it makes of this one call may be
    /// this call's fault.
    pub(super) fn is_outage(&self) -> bool {
        match self {
            Self::Connection(_) | Self::Timeout => true,
            Self::Server(status) => *status != StatusCode::INTERNAL_SERVER_ERROR,
            Self::Garbage(_) | Self::TooLarge => false,
        }
    }

    /// How often the same call may be made again after this, given `http_request_max_retries`.
    fn retries(&self, max_retries: u32) -> u32 {
        match self {
            Self::Connection(_) => max_retries,
            Self::Timeout | Self::Server(_) | Self::Garbage(_) => max_retries.min(1),
            Self::TooLarge => 0,
        }
    }
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Connection(cause) => f.write_str(cause),
            Self::Timeout => f.write_str("no answer in time"),
            Self::Server(status) => write!(f, "it answers {status}"),
            Self::Garbage(cause) => write!(f, "its answer makes no sense: {cause}"),
            Self::TooLarge => write!(f, "its answer is larger than {MAX_ANSWER_BYTES} bytes"),
        }
    }
}

/// What carries a call; a test puts its own in place of the network.
#[async_trait]
pub(super) trait Transport: Send + Sync {
    /// Dropped when it takes too long.
    async fn exchange(&self, call: &Call) -> Result<Answer, Broken>;
}

/// Makes calls.
#[derive(Clone)]
pub(super) struct Client {
    transport: Arc<dyn Transport>,
    request_timeout: Duration,
    max_retries: u32,
}

impl Client {
    pub(super) fn new(transport: Arc<dyn Transport>, request_timeout: Duration, max_retries: u32) -> Self {
        Self {
            transport,
            request_timeout,
            max_retries,
        }
    }

    /// The longest time that all tries of everything for one token may take together.
    pub(super) fn patience(&self) -> Duration {
        self.request_timeout.saturating_mul(2)
    }

    /// Makes the call until `read` can use its answer, or the tries or the time are spent. `read` never sees a status
    /// of the 500s. A probe is one try.
    pub(super) async fn call<T>(
        &self,
        call: &Call,
        patience: PassKind,
        deadline: Instant,
        read: impl Fn(Answer) -> Result<T, Broken>,
    ) -> Result<T, Broken> {
        let mut retried = 0;
        loop {
            let broken = match self.once(call, deadline, &read).await {
                Ok(value) => return Ok(value),
                Err(broken) => broken,
            };
            let pause = pause(retried);
            let hopeless = patience == PassKind::Probe
                || retried >= broken.retries(self.max_retries)
                || Instant::now() + pause >= deadline;
            if hopeless {
                return Err(broken);
            }
            tracing::debug!(url = %call.url, "Keystone is asked again: {broken}");
            tokio::time::sleep(pause).await;
            retried += 1;
        }
    }

    async fn once<T>(
        &self,
        call: &Call,
        deadline: Instant,
        read: impl Fn(Answer) -> Result<T, Broken>,
    ) -> Result<T, Broken> {
        let until = deadline.min(Instant::now() + self.request_timeout);
        let answer = tokio::time::timeout_at(until, self.transport.exchange(call))
            .await
            .map_err(|_| Broken::Timeout)??;
        if answer.status.is_server_error() {
            return Err(Broken::Server(answer.status));
        }
        read(answer)
    }
}

/// Between the tries `retried` and `retried + 1`: doubled each time, less up to a half at random, so that many
/// processes do not come back in step.
fn pause(retried: u32) -> Duration {
    let longest = FIRST_PAUSE.saturating_mul(1 << retried.min(6));
    // Without randomness the pause is just the longest.
    let random = getrandom::u32().unwrap_or(u32::MAX);
    longest.mul_f64(0.5 + f64::from(random) / f64::from(u32::MAX) / 2.0)
}

/// The network.
pub(super) struct Network(reqwest::Client);

impl Network {
    pub(super) fn new(options: &KeystoneOptions) -> Result<Self, KeystoneError> {
        let mut headers = HeaderMap::new();
        headers.insert(header::ACCEPT, HeaderValue::from_static("application/json"));
        let tls = match tls::client(&options.tls) {
            // Installers name files that are only there with TLS. Should an endpoint turn out to be https, nobody is
            // believed.
            Err(error @ KeystoneError::File { .. }) if !is_https(&options.auth_url) => {
                tracing::warn!("{error}; not needed while auth_url is http");
                tls::nobody()?
            }
            tls => tls?,
        };
        let client = reqwest::Client::builder()
            .tls_backend_preconfigured(tls)
            .redirect(reqwest::redirect::Policy::none())
            .connect_timeout(options.request_timeout)
            .default_headers(headers)
            .user_agent(USER_AGENT)
            .build()
            .map_err(KeystoneError::Client)?;
        Ok(Self(client))
    }
}

fn is_https(url: &str) -> bool {
    url.get(..6)
        .is_some_and(|scheme| scheme.eq_ignore_ascii_case("https:"))
}

#[async_trait]
impl Transport for Network {
    async fn exchange(&self, call: &Call) -> Result<Answer, Broken> {
        let mut request = self
            .0
            .request(call.method.clone(), call.url.clone())
            .headers(call.headers.clone());
        if let Some(body) = &call.body {
            request = request
                .header(header::CONTENT_TYPE, "application/json")
                .body(body.clone());
        }
        let mut response = request.send().await.map_err(connection)?;
        let (status, headers) = (response.status(), std::mem::take(response.headers_mut()));
        let mut body = BytesMut::new();
        while let Some(chunk) = response.chunk().await.map_err(connection)? {
            if body.len().saturating_add(chunk.len()) > MAX_ANSWER_BYTES {
                return Err(Broken::TooLarge);
            }
            body.extend_from_slice(&chunk);
        }
        Ok(Answer {
            status,
            headers,
            body: body.freeze(),
        })
    }
}

fn connection(error: reqwest::Error) -> Broken {
    if error.is_timeout() {
        return Broken::Timeout;
    }
    // The useful part ("Connection refused", "certificate expired") is at the end of the chain.
    let error = error.without_url();
    let mut text = error.to_string();
    let mut source = std::error::Error::source(&error);
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    Broken::Connection(text)
}

/// What Keystone says about an error, shortened and in one line; nothing else of the body, which may hold anything.
pub(super) fn explanation(body: &[u8]) -> String {
    const LONGEST: usize = 200;
    #[derive(serde::Deserialize)]
    struct Body {
        error: Explanation,
    }
    #[derive(serde::Deserialize)]
    struct Explanation {
        message: String,
    }
    match serde_json::from_slice::<Body>(body) {
        Ok(body) => body
            .error
            .message
            .chars()
            .take(LONGEST)
            .flat_map(|c| -> Box<dyn Iterator<Item = char>> {
                if c.is_control() {
                    Box::new(c.escape_default())
                } else {
                    Box::new(std::iter::once(c))
                }
            })
            .collect(),
        Err(_) => "no explanation".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_and_vary_by_a_half() {
        for retried in 0..40 {
            let longest = FIRST_PAUSE * (1 << retried.min(6));
            let pause = pause(retried);
            assert!(pause <= longest && pause >= longest / 2, "{retried}: {pause:?}");
        }
    }

    #[test]
    fn explains_with_keystones_message_alone() {
        let body =
            br#"{"error":{"code":401,"message":"no\nsuch user","title":"Unauthorized"},"echo":"secret"}"#;
        assert_eq!(explanation(body), "no\\nsuch user");
        assert_eq!(explanation(b"<html>secret</html>"), "no explanation");
        let long = format!(r#"{{"error":{{"message":"{}"}}}}"#, "x".repeat(5000));
        assert_eq!(explanation(long.as_bytes()).len(), 200);
    }
}
