//! Requests, one redirect after the other.

use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use tokio::time::{Instant, sleep, timeout, timeout_at};
use url::{Host, Url};

use crate::{
    Error, Filter, OpenError, Proxies, Resolver, Response, Target, Verification, headers,
    resolve::{Checked, Nowhere},
    tls,
};

/// The first pause between two tries; each next one is twice as long.
const FIRST_PAUSE: Duration = Duration::from_millis(250);

/// How many connections to one server are kept for the next request.
const IDLE_CONNECTIONS: usize = 8;

const USER_AGENT: &str = concat!("saccade/", env!("CARGO_PKG_VERSION"));

/// Bounds in time and number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// To a connection, name and TLS included.
    pub connect: Duration,
    /// From a request to its header, connection included.
    pub answer: Duration,
    /// To the last header, with all redirects, tries and pauses.
    pub opening: Duration,
    /// Between two pieces of a body.
    pub between_reads: Duration,
    /// Bytes in each second that is spent waiting for a body, over any `between_reads` of waiting.
    pub slowest: u64,
    /// How many redirects are followed (glance_store: 5).
    pub redirects: u32,
    /// How many times a request is repeated that met no server, or one that is overloaded or failing; never once the
    /// body has begun.
    pub retries: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(10),
            answer: Duration::from_secs(30),
            opening: Duration::from_secs(90),
            between_reads: Duration::from_secs(60),
            slowest: 1024,
            redirects: 5,
            retries: 2,
        }
    }
}

/// What a client is made of.
#[derive(Debug, Clone)]
pub struct ClientOptions {
    /// Where it may be sent.
    pub filter: Filter,
    /// Whom it believes.
    pub verification: Verification,
    /// Through whom it goes. A proxy resolves names itself: then only what the URL says is checked, as nothing else is
    /// known, and the proxy's own rules decide on addresses.
    pub proxies: Proxies,
    /// Its time.
    pub limits: Limits,
    /// Its names.
    pub resolver: Arc<dyn Resolver>,
}

/// Whose word a URL is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Provenance {
    /// Somebody's who asks now: it must pass the whole filter.
    Asked,
    /// A record's, made when the filter of that time let it pass: its addresses are checked, not the lists, which would
    /// make images unreadable that Glance reads. Redirects away from its origin pass the whole filter.
    Recorded,
}

/// One request: `GET`, or `HEAD`.
#[derive(Debug, Clone)]
pub struct Call<'a> {
    /// Whether it is `HEAD`.
    pub only_header: bool,
    /// Where to.
    pub target: &'a Target,
    /// Whose word that is.
    pub provenance: Provenance,
    /// Header fields; those marked sensitive stay within the first origin.
    pub headers: HeaderMap,
}

/// One request that does something where it is sent.
#[derive(Debug, Clone)]
pub struct Order<'a> {
    /// What is done.
    pub method: Method,
    /// Where to: the operator's word, so that only addresses are checked.
    pub target: &'a Target,
    /// Header fields.
    pub headers: HeaderMap,
    /// The whole body.
    pub body: Bytes,
    /// From the request to the answer's header, connection included.
    pub patience: Duration,
}

/// Makes requests. Clones share their connections.
#[derive(Debug, Clone)]
pub struct Client {
    checked: Checked,
    limits: Limits,
    direct: reqwest::Client,
    http: Option<reqwest::Client>,
    https: Option<reqwest::Client>,
}

impl Client {
    /// Reads the authorities; blocks.
    ///
    /// # Errors
    /// [`OpenError`].
    pub fn new(options: ClientOptions) -> Result<Self, OpenError> {
        let tls = tls::tls_client(&options.verification)?;
        let builder = || {
            reqwest::Client::builder()
                .tls_backend_preconfigured(tls.clone())
                .redirect(reqwest::redirect::Policy::none())
                .referer(false)
                .http1_only()
                // None of the environment.
                .no_proxy()
                .connect_timeout(options.limits.connect)
                .pool_max_idle_per_host(IDLE_CONNECTIONS)
                .user_agent(USER_AGENT)
        };
        // A proxy's own name is the operator's word, and the only one that its client resolves.
        let proxied = |proxy: Option<&Url>| {
            proxy
                .map(|proxy| builder().proxy(reqwest::Proxy::all(proxy.clone())?).build())
                .transpose()
                .map_err(OpenError::Client)
        };
        let checked = Checked {
            filter: Arc::new(options.filter),
            resolver: options.resolver,
        };
        Ok(Self {
            http: proxied(options.proxies.http())?,
            https: proxied(options.proxies.https())?,
            direct: builder()
                .dns_resolver(checked.clone())
                .build()
                .map_err(OpenError::Client)?,
            checked,
            limits: options.limits,
        })
    }

    /// Its bounds.
    pub fn limits(&self) -> &Limits {
        &self.limits
    }

    /// Judges a URL that somebody asks for now, name and addresses included, and asks nobody but the resolver: for an
    /// answer before the work begins (Glance's `validate_uri`). The request itself is judged again. Cancel safe.
    ///
    /// # Errors
    /// `Refused`, `Unresolved`, `Timeout` (of the name server).
    pub async fn check(&self, target: &Target) -> Result<(), Error> {
        let refused = |source| Error::Refused {
            target: target.to_string(),
            source,
        };
        self.admit(target, Provenance::Asked).map_err(refused)?;
        let Some(Host::Domain(name)) = target.url().host() else {
            return Ok(());
        };
        if self.proxied(target).is_some() {
            return Ok(());
        }
        match timeout(self.limits.connect, self.checked.addresses(name)).await {
            Err(_) => Err(timed_out(target)),
            Ok(Err(Nowhere::Refused(why))) => Err(refused(why)),
            Ok(Err(Nowhere::Unresolved(source))) => {
                let target = target.to_string();
                Err(Error::Unresolved { target, source })
            }
            Ok(Ok(_)) => Ok(()),
        }
    }

    /// Makes a request, follows its redirects, and repeats it where that can help; a `Retry-After` beyond the time there
    /// is ends that. An answer of any status but a redirect is an answer. Cancel safe.
    ///
    /// # Errors
    /// All but `Broken` and `TooSlow`.
    pub async fn fetch(&self, call: &Call<'_>) -> Result<Response, Error> {
        let deadline = Instant::now() + self.limits.opening;
        let mut retried = 0;
        loop {
            let answer = match timeout_at(deadline, self.once(call)).await {
                Ok(answer) => answer,
                Err(_) => Err(timed_out(call.target)),
            };
            let pause = match &answer {
                Ok(response) if is_passing(response.status()) => {
                    asked_pause(response.headers()).unwrap_or_else(|| pause(retried))
                }
                Err(error) if error.is_passing() => pause(retried),
                _ => return answer,
            };
            let again = Instant::now().checked_add(pause);
            if retried >= self.limits.retries || again.is_none_or(|again| again >= deadline) {
                return answer;
            }
            tracing::debug!(target = %call.target, ?pause, "asked again after {:?}", answer.map(|r| r.status()));
            sleep(pause).await;
            retried = retried.saturating_add(1);
        }
    }

    /// Makes a request, once and there only: what it does is not done twice, and nobody else learns what it says. So a
    /// redirect is an answer as any other. Dropping the future does not tell whether it was done; nor does `Timeout`.
    ///
    /// # Errors
    /// `Refused`, `Unreachable`, `Timeout`.
    pub async fn place(&self, order: Order<'_>) -> Result<Response, Error> {
        let Order {
            method,
            target,
            headers,
            body,
            patience,
        } = order;
        self.admit(target, Provenance::Recorded)
            .map_err(|source| Error::Refused {
                target: target.to_string(),
                source,
            })?;
        let sent = self.send(method, target, headers, body);
        let response = timeout(patience, sent).await.map_err(|_| timed_out(target))??;
        Ok(Response::new(response, target.clone(), self.limits))
    }

    async fn once(&self, call: &Call<'_>) -> Result<Response, Error> {
        let mut target = call.target.clone();
        let mut provenance = call.provenance;
        let mut headers = call.headers.clone();
        for _ in 0..=self.limits.redirects {
            self.admit(&target, provenance).map_err(|source| Error::Refused {
                target: target.to_string(),
                source,
            })?;
            let method = if call.only_header {
                Method::HEAD
            } else {
                Method::GET
            };
            let sent = self.send(method, &target, headers.clone(), Bytes::new());
            let response = timeout(self.limits.answer, sent)
                .await
                .map_err(|_| timed_out(&target))??;
            if !is_redirect(response.status()) {
                return Ok(Response::new(response, target, self.limits));
            }
            let next = redirect(&target, response.headers())?;
            if !next.is_same_origin(&target) {
                provenance = Provenance::Asked;
                headers = insensitive(&headers);
            }
            target = next;
        }
        Err(Error::TooManyRedirects {
            target: call.target.to_string(),
            most: self.limits.redirects,
        })
    }

    fn proxied(&self, target: &Target) -> Option<&reqwest::Client> {
        match target.scheme() {
            "https" => self.https.as_ref(),
            _ => self.http.as_ref(),
        }
    }

    fn admit(&self, target: &Target, provenance: Provenance) -> Result<(), crate::Refusal> {
        if provenance == Provenance::Asked {
            self.checked.filter.admit(target)?;
        }
        self.checked.filter.admit_literal(target)
    }

    async fn send(
        &self,
        method: Method,
        target: &Target,
        headers: HeaderMap,
        body: Bytes,
    ) -> Result<reqwest::Response, Error> {
        let mut request = self
            .proxied(target)
            .unwrap_or(&self.direct)
            .request(method, target.url().clone())
            // The bytes of the file, not another form of them.
            .header(header::ACCEPT_ENCODING, HeaderValue::from_static("identity"))
            .headers(headers);
        if !body.is_empty() {
            request = request.body(body);
        }
        if let Some(credentials) = target.credentials() {
            request = request.basic_auth(&credentials.user, Some(&credentials.password));
        }
        request
            .send()
            .await
            .map_err(|error| Error::unsent(target.to_string(), error))
    }
}

fn timed_out(target: &Target) -> Error {
    let target = target.to_string();
    Error::Timeout { target }
}

fn redirect(from: &Target, headers: &HeaderMap) -> Result<Target, Error> {
    let bad = |source| Error::BadRedirect {
        from: from.to_string(),
        source,
    };
    let location = headers.get(header::LOCATION).ok_or_else(|| bad(None))?;
    let location =
        std::str::from_utf8(location.as_bytes()).map_err(|_| bad(Some(crate::InvalidTarget::Characters)))?;
    from.redirected(location).map_err(|why| bad(Some(why)))
}

fn insensitive(headers: &HeaderMap) -> HeaderMap {
    let keep = headers.iter().filter(|(_, value)| !value.is_sensitive());
    keep.map(|(name, value)| (name.clone(), value.clone())).collect()
}

/// Those that leave GET and HEAD as they are, and 303, which makes GET of others. glance_store knows the first two.
fn is_redirect(status: StatusCode) -> bool {
    matches!(status.as_u16(), 301 | 302 | 303 | 307 | 308)
}

fn is_passing(status: StatusCode) -> bool {
    matches!(status.as_u16(), 408 | 429 | 500 | 502 | 503 | 504)
}

fn asked_pause(headers: &HeaderMap) -> Option<Duration> {
    let value = headers.get(header::RETRY_AFTER)?;
    headers::retry_after(value.as_bytes(), SystemTime::now())
}

fn pause(retried: u32) -> Duration {
    FIRST_PAUSE.saturating_mul(1 << retried.min(6))
}

#[cfg(test)]
mod tests {
    use std::{io, net::IpAddr};

    use async_trait::async_trait;

    use super::*;

    /// `inside` is this machine, `outside` is not, and there are no others.
    #[derive(Debug)]
    struct Names;

    #[async_trait]
    impl Resolver for Names {
        async fn resolve(&self, name: &str) -> io::Result<Vec<IpAddr>> {
            let address = match name {
                "inside" => "127.0.0.1",
                "outside" => "192.0.2.1",
                "hanging" => std::future::pending().await,
                _ => return Err(io::ErrorKind::NotFound.into()),
            };
            Ok(vec![address.parse().unwrap()])
        }
    }

    async fn check(url: &str) -> Result<(), Error> {
        let client = Client::new(ClientOptions {
            filter: Filter::default(),
            verification: Verification::Off,
            proxies: Proxies::parse([("https", "proxy:1")]).unwrap(),
            limits: Limits {
                connect: Duration::from_millis(100),
                ..Limits::default()
            },
            resolver: Arc::new(Names),
        });
        client.unwrap().check(&Target::parse(url).unwrap()).await
    }

    #[tokio::test]
    async fn a_url_is_judged_before_it_is_asked() {
        check("http://outside/x").await.unwrap();
        // Whom a proxy knows is the proxy's to say.
        check("https://nobody/x").await.unwrap();
        for url in ["http://inside/x", "https://127.0.0.1/x", "http://outside:22/x"] {
            assert!(matches!(check(url).await, Err(Error::Refused { .. })), "{url}");
        }
        assert!(matches!(
            check("http://nobody/x").await,
            Err(Error::Unresolved { .. })
        ));
        assert!(matches!(
            check("http://hanging/x").await,
            Err(Error::Timeout { .. })
        ));
    }

    #[test]
    fn sensitive_fields_stay_behind() {
        let mut secret = HeaderValue::from_static("secret");
        secret.set_sensitive(true);
        let mut headers = HeaderMap::new();
        headers.insert("x-auth-token", secret);
        headers.insert(header::RANGE, HeaderValue::from_static("bytes=0-1"));
        let kept = insensitive(&headers);
        assert_eq!(kept.len(), 1);
        assert!(kept.contains_key(header::RANGE));
    }

    #[test]
    fn pauses_double() {
        assert_eq!(pause(0), FIRST_PAUSE);
        assert_eq!(pause(2), FIRST_PAUSE * 4);
        assert_eq!(pause(u32::MAX), FIRST_PAUSE * 64);
    }
}
