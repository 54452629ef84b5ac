//! Requests to one account, tried again where that can help.

use std::{
    error::Error as _,
    fmt,
    sync::Arc,
    time::{Duration, SystemTime},
};

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use saccade_outgoing::{excerpt, headers::retry_after};
use tokio::time::{sleep, timeout};

use crate::{
    account::{LogIn, Session},
    attempt::AttemptState,
    failure::Failure,
    location::url,
    segment::Segment,
    tenant::TenantAccount,
};

/// How often a request is made again: for some six seconds, if the server does not want more.
const RETRIES: u32 = 5;
/// The first pause between two tries; each next one is twice as long, up to the last.
const FIRST_PAUSE: Duration = Duration::from_millis(200);
const LONGEST_PAUSE: Duration = Duration::from_secs(10);
/// A server that wants to be left alone for longer is not waited for.
const LONGEST_RETRY_AFTER: Duration = Duration::from_secs(30);
/// How long an answer may take, on top of its request's way, and a body may stand still.
pub(crate) const ANSWER: Duration = Duration::from_secs(60);
/// The longest body of an answer that is neither an object's nor a listing.
const LONGEST_ANSWER: usize = 64 << 10;

/// Asks for one account.
#[derive(Debug)]
pub(crate) struct Account {
    http: reqwest::Client,
    whose: Whose,
}

/// Whose account it is, and so whose token requests carry.
#[derive(Debug)]
pub(crate) enum Whose {
    /// One that the store logs in to.
    Own(Box<LogIn>),
    /// A project's.
    Tenant(TenantAccount),
}

impl Whose {
    async fn session(&self, http: &reqwest::Client) -> Result<Arc<Session>, Failure> {
        match self {
            Self::Own(log_in) => log_in.session(http).await,
            Self::Tenant(account) => account.session(http).await,
        }
    }

    /// The server has refused a token with this status.
    fn refused(&self, session: &Session, status: StatusCode) {
        match self {
            Self::Own(log_in) if status == StatusCode::UNAUTHORIZED => log_in.forget(session),
            Self::Own(_) => {}
            Self::Tenant(account) => account.refused(session, status),
        }
    }

    /// Whether a token was refused in whose place there is another.
    fn is_replaced(&self) -> bool {
        match self {
            Self::Own(_) => false,
            Self::Tenant(account) => account.is_replaced(),
        }
    }

    /// Whether a token is the store's own at somebody else's account.
    fn is_stand_in(&self, session: &Session) -> bool {
        match self {
            Self::Own(_) => false,
            Self::Tenant(account) => account.is_stand_in(session),
        }
    }

    /// What nobody may see.
    fn key(&self) -> &str {
        match self {
            Self::Own(log_in) => log_in.key(),
            Self::Tenant(account) => account.key(),
        }
    }
}

/// One request.
#[derive(Clone)]
pub(crate) struct Call<'a> {
    pub(crate) method: Method,
    pub(crate) container: &'a str,
    /// None: of the container.
    pub(crate) object: Option<&'a str>,
    pub(crate) query: Vec<(&'a str, &'a str)>,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Payload,
    /// How long its answer may take.
    pub(crate) patience: Duration,
    /// How often it is made again.
    pub(crate) retries: u32,
    /// The longest body that its answer may have.
    pub(crate) longest: usize,
    /// Whether it ends when the attempt is given up.
    pub(crate) attempt: Option<&'a AttemptState>,
}

/// The body of a request.
#[derive(Clone)]
pub(crate) enum Payload {
    Bytes(Bytes),
    Segment(Arc<Segment>),
}

/// A good answer with all of its body.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl<'a> Call<'a> {
    pub(crate) fn new(method: Method, container: &'a str, object: Option<&'a str>) -> Self {
        Self {
            method,
            container,
            object,
            query: Vec::new(),
            headers: HeaderMap::new(),
            body: Payload::Bytes(Bytes::new()),
            patience: ANSWER,
            retries: RETRIES,
            longest: LONGEST_ANSWER,
            attempt: None,
        }
    }

    pub(crate) fn query(mut self, name: &'a str, value: &'a str) -> Self {
        self.query.push((name, value));
        self
    }

    /// Asks about a link and not what it leads to (Swift's `symlink`).
    pub(crate) fn itself(self) -> Self {
        self.query("symlink", "get")
    }

    /// Whether its answer may be another object than the one that it names: then it shows whatever its token may see.
    fn may_be_led_elsewhere(&self) -> bool {
        self.object.is_some()
            && matches!(self.method, Method::GET | Method::HEAD)
            && !self.query.contains(&("symlink", "get"))
    }

    /// A value that is no header's is left out; ours are ids, numbers and encoded names.
    pub(crate) fn header(mut self, name: HeaderName, value: &str) -> Self {
        if let Ok(value) = HeaderValue::from_str(value) {
            self.headers.insert(name, value);
        }
        self
    }

    pub(crate) fn body(mut self, body: impl Into<Bytes>) -> Self {
        self.body = Payload::Bytes(body.into());
        self
    }

    /// Swift dates each request by its own clocks. Where something newer is, also what was deleted there, an object is not
    /// taken, and the answer is 202.
    fn is_outdated(&self, status: StatusCode) -> bool {
        self.object.is_some() && self.method == Method::PUT && status == StatusCode::ACCEPTED
    }

    fn is_given_up(&self) -> bool {
        self.attempt.is_some_and(AttemptState::is_given_up)
    }

    /// Makes ready for another try.
    fn rewind(&self) -> bool {
        match &self.body {
            Payload::Bytes(_) => true,
            Payload::Segment(segment) => segment.rewind(),
        }
    }
}

impl fmt::Debug for Call<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}/{:?}", self.method, self.container, self.object)
    }
}

impl Account {
    pub(crate) fn new(http: reqwest::Client, whose: Whose) -> Self {
        Self { http, whose }
    }

    /// Whether its containers are made for one image each, and go with it: where there is none, there is no object either.
    pub(crate) fn has_containers_of_images(&self) -> bool {
        matches!(self.whose, Whose::Tenant(_))
    }

    /// Makes a request and reads its answer, which is not an object's bytes.
    pub(crate) async fn ask(&self, call: &Call<'_>) -> Result<Answer, Failure> {
        let mut tries = Tries::default();
        loop {
            match self.answer(call).await {
                Ok(answer) => return Ok(answer),
                Err(failure) => tries.again(call, failure, self.whose.is_replaced()).await?,
            }
        }
    }

    /// Makes a request for an object's bytes; they come later.
    pub(crate) async fn open(&self, call: &Call<'_>) -> Result<reqwest::Response, Failure> {
        let mut tries = Tries::default();
        loop {
            match self.once(call).await {
                Ok(response) => return Ok(response),
                Err(failure) => tries.again(call, failure, self.whose.is_replaced()).await?,
            }
        }
    }

    async fn answer(&self, call: &Call<'_>) -> Result<Answer, Failure> {
        let response = self.once(call).await?;
        let headers = response.headers().clone();
        let body = match call.method {
            Method::HEAD => Bytes::new(),
            _ => timeout(call.patience, short_body(response, call.longest))
                .await
                .map_err(|_| Failure::Timeout(call.patience))??,
        };
        Ok(Answer { headers, body })
    }

    async fn once(&self, call: &Call<'_>) -> Result<reqwest::Response, Failure> {
        let session = self.whose.session(&self.http).await?;
        if self.whose.is_stand_in(&session) && call.may_be_led_elsewhere() {
            return Err(Failure::NoReader);
        }
        let url = url(&session.storage, call.container, call.object, &call.query);
        let mut headers = call.headers.clone();
        let (name, token) = session.header();
        headers.insert(name, token);
        let request = self.http.request(call.method.clone(), url);
        let sending = match &call.body {
            Payload::Bytes(bytes) => {
                if bytes.is_empty() && matches!(call.method, Method::PUT | Method::POST) {
                    // hyper leaves it out, and servers insist on it.
                    headers.insert(header::CONTENT_LENGTH, HeaderValue::from_static("0"));
                }
                request.headers(headers).body(bytes.clone()).send()
            }
            Payload::Segment(segment) => {
                if let Some((length, md5)) = segment.sum().await {
                    headers.insert(header::CONTENT_LENGTH, HeaderValue::from(length));
                    if let Ok(md5) = HeaderValue::from_str(&md5) {
                        headers.insert(header::ETAG, md5);
                    }
                }
                let body = reqwest::Body::wrap(segment.body());
                request.headers(headers).body(body).send()
            }
        };
        let answered = async { sending.await.map_err(|error| Failure::Connection(chain(error))) };
        let response = match &call.body {
            Payload::Bytes(_) => timeout(call.patience, answered)
                .await
                .map_err(|_| Failure::Timeout(call.patience))??,
            Payload::Segment(segment) => tokio::select! {
                response = answered => response?,
                () = standstill(segment, call.patience) => return Err(Failure::Timeout(call.patience)),
            },
        };
        let status = response.status();
        if call.is_outdated(status) {
            return Err(Failure::Outdated);
        }
        if status.is_success() {
            return Ok(response);
        }
        if matches!(status, StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN) {
            self.whose.refused(&session, status);
        }
        let pause = response
            .headers()
            .get(header::RETRY_AFTER)
            .and_then(|value| retry_after(value.as_bytes(), SystemTime::now()));
        let message = match call.method {
            Method::HEAD => String::new(),
            // What is wrong is known without it.
            _ => timeout(ANSWER, short_body(response, LONGEST_ANSWER))
                .await
                .ok()
                .and_then(Result::ok)
                .map_or_else(String::new, |body| {
                    let token = session.token.to_str().unwrap_or_default();
                    // Some servers repeat what they were sent.
                    excerpt(&plain(&body), &[self.whose.key(), token])
                }),
        };
        Err(Failure::Answer {
            status,
            message,
            pause,
        })
    }
}

/// How often a request was made again, and whether with another token.
#[derive(Default)]
struct Tries {
    retried: u32,
    is_anew: bool,
    is_replaced: bool,
}

impl Tries {
    /// Waits until the request may be made again, or says why it may not.
    async fn again(&mut self, call: &Call<'_>, failure: Failure, is_replaced: bool) -> Result<(), Failure> {
        if !call.rewind() {
            return Err(failure);
        }
        let is_refused = failure.is(StatusCode::UNAUTHORIZED) || failure.is(StatusCode::FORBIDDEN);
        if is_refused && is_replaced && !self.is_replaced {
            // The next try brings the token of the store's own account.
            self.is_replaced = true;
        } else if failure.is(StatusCode::UNAUTHORIZED) && !self.is_anew {
            // The token was forgotten: the next try brings another.
            self.is_anew = true;
        } else {
            pause(&format!("{call:?}"), call.retries, &mut self.retried, failure).await?;
        }
        if call.is_given_up() {
            return Err(Failure::GivenUp);
        }
        Ok(())
    }
}

/// Ends when a request has taken nothing for so long, although there is something for it, or its answer is due.
async fn standstill(segment: &Segment, patience: Duration) {
    while segment.stuck() < patience {
        sleep(patience.saturating_sub(segment.stuck()).max(FIRST_PAUSE)).await;
    }
}

/// The words of an error's page.
fn plain(body: &[u8]) -> String {
    let mut is_tag = false;
    let words: String = String::from_utf8_lossy(body)
        .chars()
        .map(|c| {
            let shown = !is_tag && c != '<' && !c.is_control();
            is_tag = (is_tag || c == '<') && c != '>';
            if shown { c } else { ' ' }
        })
        .collect();
    words.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// The body of an answer.
///
/// # Errors
/// It is longer than it may be.
pub(crate) async fn short_body(mut response: reqwest::Response, longest: usize) -> Result<Bytes, Failure> {
    let mut body = Vec::new();
    while let Some(chunk) = response
        .chunk()
        .await
        .map_err(|error| Failure::Connection(chain(error)))?
    {
        if body.len().saturating_add(chunk.len()) > longest {
            return Err(Failure::Nonsense("far too long"));
        }
        body.extend_from_slice(&chunk);
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

/// Waits until a request may be made again, or says why it may not.
pub(crate) async fn pause(
    what: &str,
    retries: u32,
    retried: &mut u32,
    failure: Failure,
) -> Result<(), Failure> {
    let pause = failure.pause().unwrap_or_else(|| backoff(*retried));
    if *retried >= retries || !failure.is_passing() || pause > LONGEST_RETRY_AFTER {
        return Err(failure);
    }
    tracing::debug!(what, %failure, ?pause, "Swift is asked again");
    sleep(pause).await;
    *retried = retried.saturating_add(1);
    Ok(())
}

/// A pause between half of what is due and all of it.
pub(crate) fn backoff(retried: u32) -> Duration {
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

    #[test]
    fn error_pages_become_a_line() {
        let page = b"<html><h1>Forbidden</h1><p>Access was\n denied.</p></html>";
        assert_eq!(plain(page), "Forbidden Access was denied.");
        assert_eq!(plain(b"NoSuchBucket"), "NoSuchBucket");
    }

    #[test]
    fn pauses_grow_to_a_bound() {
        for (retried, due) in [(0, 200), (1, 400), (5, 6400), (30, 10_000)] {
            let pause = backoff(retried).as_millis();
            assert!((due / 2..=due).contains(&pause), "{retried}: {pause}");
        }
    }
}
