//! The requests that there are.

use std::{ops::Range, sync::Arc};

use bytes::Bytes;
use http::{HeaderMap, HeaderName, Method, StatusCode, header};
use saccade_outgoing::headers::content_length;
use saccade_store_contract::Attempt;
use serde::Deserialize;

use crate::{
    attempt::AttemptState,
    client::{Account, Call, Payload},
    failure::Failure,
    location::{AttemptNames, Place},
    segment::Segment,
};

/// Whose an object is: kept with it as metadata, and never changed.
const ATTEMPT: HeaderName = HeaderName::from_static("x-object-meta-saccade-attempt");
const MANIFEST: HeaderName = HeaderName::from_static("x-object-manifest");
const STATIC: HeaderName = HeaderName::from_static("x-static-large-object");
/// Who may read a container, and who may write to it, beside whom its account belongs to.
const READERS: HeaderName = HeaderName::from_static("x-container-read");
const WRITERS: HeaderName = HeaderName::from_static("x-container-write");
/// All copies are asked, and the newest counts.
const NEWEST: HeaderName = HeaderName::from_static("x-newest");

/// A page has up to 10,000 names, of some 300 bytes each, and 1,400 the longest.
const LONGEST_PAGE: usize = 16 << 20;

/// What is known of an object without reading it.
#[derive(Debug, Clone)]
pub(crate) struct Head {
    pub(crate) size: u64,
    pub(crate) kind: Kind,
    attempt: Option<String>,
}

/// What an object is made of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Kind {
    Plain,
    /// `X-Object-Manifest`: whatever a listing shows (DLO).
    Dynamic(String),
    /// A list of segments (SLO).
    Static,
}

impl Head {
    fn read(headers: &HeaderMap) -> Result<Self, Failure> {
        let text = |name: &HeaderName| headers.get(name).and_then(|value| value.to_str().ok());
        let is_static = text(&STATIC).is_some_and(|text| text.eq_ignore_ascii_case("true"));
        let kind = match text(&MANIFEST) {
            _ if is_static => Kind::Static,
            Some(manifest) => Kind::Dynamic(manifest.to_owned()),
            None => Kind::Plain,
        };
        Ok(Self {
            size: content_length(headers).ok_or(Failure::Nonsense("no length"))?,
            kind,
            attempt: text(&ATTEMPT).map(str::to_owned),
        })
    }

    /// Whether this attempt has written it.
    pub(crate) fn is_of(&self, attempt: Attempt) -> bool {
        self.attempt.as_deref() == Some(attempt.to_string().as_str())
    }
}

/// What is asked about where there is a link to another object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Links {
    /// The link.
    Shown,
    /// What it leads to.
    Followed,
}

/// An object in a listing.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(crate) struct Listed {
    pub(crate) name: String,
    pub(crate) bytes: u64,
    pub(crate) hash: String,
}

/// A segment, as a manifest lists it: `/container/object`.
#[derive(Debug, Deserialize)]
struct Part {
    name: String,
    /// It is a list of segments itself.
    #[serde(default)]
    sub_slo: bool,
}

impl Account {
    /// What an object itself is, if it is there: in a project's account not what it links to.
    pub(crate) async fn head(&self, place: &Place) -> Result<Option<Head>, Failure> {
        let headers = self.head_of(place, &place.object, Links::Shown).await?;
        headers.map(|headers| Head::read(&headers)).transpose()
    }

    /// How long what is read there is, if it is there.
    pub(crate) async fn length(&self, place: &Place) -> Result<Option<u64>, Failure> {
        let headers = self.head_of(place, &place.object, Links::Followed).await?;
        let head = headers.map(|headers| Head::read(&headers)).transpose()?;
        Ok(head.map(|head| head.size))
    }

    /// A link in a project's account leads to wherever its writer likes, and may show it what only the token's owner may see.
    fn itself<'a>(&self, call: Call<'a>) -> Call<'a> {
        match self.has_containers_of_images() {
            true => call.itself(),
            false => call,
        }
    }

    /// Whether there is an object.
    pub(crate) async fn has(&self, place: &Place, object: &str) -> Result<bool, Failure> {
        Ok(self.head_of(place, object, Links::Shown).await?.is_some())
    }

    /// Whether there is an object in a container that is known to be there.
    pub(crate) async fn is_there(&self, container: &str, object: &str) -> Result<bool, Failure> {
        let call = self.itself(Call::new(Method::HEAD, container, Some(object)).header(NEWEST, "true"));
        match self.ask(&call).await {
            Ok(_) => Ok(true),
            Err(failure) if failure.is(StatusCode::NOT_FOUND) => Ok(false),
            Err(failure) => Err(failure),
        }
    }

    async fn head_of(&self, place: &Place, object: &str, links: Links) -> Result<Option<HeaderMap>, Failure> {
        let mut call = Call::new(Method::HEAD, &place.container, Some(object)).header(NEWEST, "true");
        if links == Links::Shown {
            call = self.itself(call);
        }
        match self.ask(&call).await {
            Ok(answer) => Ok(Some(answer.headers)),
            Err(failure) if failure.is(StatusCode::NOT_FOUND) => {
                self.assert_container(&place.container).await?;
                Ok(None)
            }
            Err(failure) => Err(failure),
        }
    }

    /// The bytes of an object or of a range that is not empty.
    pub(crate) async fn get(
        &self,
        place: &Place,
        range: Option<Range<u64>>,
    ) -> Result<reqwest::Response, Failure> {
        // The bytes of the object, not another form of them.
        let mut call = Call::new(Method::GET, &place.container, Some(&place.object))
            .header(header::ACCEPT_ENCODING, "identity");
        if let Some(range) = range {
            // Larger numbers overflow in servers.
            let last = range.end.saturating_sub(1);
            let text = if last >= i64::MAX.unsigned_abs() {
                format!("bytes={}-", range.start)
            } else {
                format!("bytes={}-{last}", range.start)
            };
            call = call.header(header::RANGE, &text);
        }
        self.open(&call).await
    }

    /// A note of the store's own, if it is there.
    pub(crate) async fn note(&self, place: &Place, name: &str) -> Result<Option<Bytes>, Failure> {
        let call = Call::new(Method::GET, &place.container, Some(name)).header(NEWEST, "true");
        let mut call = self.itself(call);
        call.longest = LONGEST_PAGE;
        match self.ask(&call).await {
            Ok(answer) => Ok(Some(answer.body)),
            Err(failure) if failure.is(StatusCode::NOT_FOUND) => Ok(None),
            Err(failure) => Err(failure),
        }
    }

    /// Writes a note of the store's own, over whatever is there.
    pub(crate) async fn put_note(&self, place: &Place, name: &str, text: &str) -> Result<(), Failure> {
        let call = Call::new(Method::PUT, &place.container, Some(name))
            .header(header::CONTENT_TYPE, "text/plain")
            .body(text.to_owned());
        self.in_container(&place.container, self.ask(&call).await)
            .await
            .map(drop)
    }

    /// Sends one segment of an attempt; returns its length and hash. One that does not fit into memory has one try.
    pub(crate) async fn put_segment(
        &self,
        names: &AttemptNames,
        number: u64,
        segment: &Arc<Segment>,
        attempt: &AttemptState,
    ) -> Result<(u64, String), Failure> {
        let name = names.segment(number);
        let mut call = Call::new(Method::PUT, &names.place.container, Some(&name))
            .header(header::CONTENT_TYPE, "application/octet-stream");
        call.attempt = Some(attempt);
        self.put_bytes(call, segment).await
    }

    /// Writes an object of one piece where nothing is, as far as the server knows conditions.
    pub(crate) async fn put_whole(&self, names: &AttemptNames, bytes: &Arc<Segment>) -> Result<(), Failure> {
        let call = new(names);
        self.put_bytes(call, bytes).await.map(drop)
    }

    async fn put_bytes(&self, mut call: Call<'_>, bytes: &Arc<Segment>) -> Result<(u64, String), Failure> {
        call.body = Payload::Segment(Arc::clone(bytes));
        let answer = self.in_container(call.container, self.ask(&call).await).await?;
        let (length, md5) = bytes.sum().await.ok_or(Failure::GivenUp)?;
        match etag(&answer.headers) {
            Some(tag) if tag == md5 => Ok((length, md5)),
            Some(tag) => Err(Failure::Corrupt(format!(
                "the server has other bytes than were sent: MD5 {tag} instead of {md5}"
            ))),
            None => Err(Failure::Nonsense("an object without an ETag")),
        }
    }

    /// Makes the segments one object where nothing is, as far as the server knows conditions.
    pub(crate) async fn put_manifest(&self, names: &AttemptNames) -> Result<(), Failure> {
        let call = new(names).header(MANIFEST, &names.manifest());
        self.ask(&call).await.map(drop)
    }

    /// Removes an object, and of a manifest only itself. Nothing there is no failure; where there is no container, that is one:
    /// nothing proves then that the object is gone.
    pub(crate) async fn delete(&self, container: &str, object: &str) -> Result<(), Failure> {
        let call = Call::new(Method::DELETE, container, Some(object));
        match self.ask(&call).await {
            Err(failure) if failure.is(StatusCode::NOT_FOUND) => self.assert_container(container).await,
            other => other.map(drop),
        }
    }

    /// The segments that a static large object lists, each as `container/object`, and `None` for one that is a list itself; or
    /// `None` where the server does not tell (RGW 16.2).
    pub(crate) async fn static_segments(
        &self,
        place: &Place,
    ) -> Result<Option<Vec<Option<String>>>, Failure> {
        let call = Call::new(Method::GET, &place.container, Some(&place.object))
            .query("multipart-manifest", "get")
            .header(NEWEST, "true");
        let mut call = self.itself(call);
        call.longest = LONGEST_PAGE;
        let answer = self.ask(&call).await?;
        if answer.body.is_empty() {
            return Ok(None);
        }
        let parts: Vec<Part> =
            serde_json::from_slice(&answer.body).map_err(|_| Failure::Nonsense("a manifest"))?;
        let parts = parts.into_iter();
        Ok(Some(
            parts.map(|part| (!part.sub_slo).then_some(part.name)).collect(),
        ))
    }

    /// One page of the objects whose names begin so, after a name; the server says how long it is. None: there are no more.
    pub(crate) async fn list(
        &self,
        container: &str,
        prefix: &str,
        after: &str,
    ) -> Result<Vec<Listed>, Failure> {
        let mut call = Call::new(Method::GET, container, None)
            .query("format", "json")
            .query("prefix", prefix)
            .header(NEWEST, "true");
        if !after.is_empty() {
            call = call.query("marker", after);
        }
        call.longest = LONGEST_PAGE;
        let answer = match self.ask(&call).await {
            Err(failure) if failure.is(StatusCode::NOT_FOUND) => {
                return match self.has_containers_of_images() {
                    true => Ok(Vec::new()),
                    false => Err(Failure::NoContainer(container.to_owned())),
                };
            }
            other => other?,
        };
        if answer.body.is_empty() {
            return Ok(Vec::new());
        }
        let listed: Vec<Listed> =
            serde_json::from_slice(&answer.body).map_err(|_| Failure::Nonsense("a listing"))?;
        Ok(listed
            .into_iter()
            .filter(|listed| listed.name.starts_with(prefix) && listed.name.as_str() > after)
            .collect())
    }

    pub(crate) async fn has_container(&self, container: &str) -> Result<bool, Failure> {
        let mut call = Call::new(Method::HEAD, container, None);
        // Uploads begin with it: one that cannot be is to know soon.
        call.retries = 2;
        match self.ask(&call).await {
            Ok(_) => Ok(true),
            Err(failure) if failure.is(StatusCode::NOT_FOUND) => Ok(false),
            Err(failure) => Err(failure),
        }
    }

    pub(crate) async fn create_container(&self, container: &str) -> Result<(), Failure> {
        self.ask(&Call::new(Method::PUT, container, None)).await.map(drop)
    }

    /// Removes a container; false if something is in it. One that is not there is removed.
    pub(crate) async fn delete_container(&self, container: &str) -> Result<bool, Failure> {
        let mut call = Call::new(Method::DELETE, container, None);
        // A listing that is behind still shows what was deleted; but then it may be there.
        call.retries = 3;
        match self.ask(&call).await {
            Err(failure) if failure.is(StatusCode::CONFLICT) => Ok(false),
            Err(failure) if failure.is(StatusCode::NOT_FOUND) => Ok(true),
            other => other.map(|_| true),
        }
    }

    /// Says who may read a container, and who may write to it. False: it is not there.
    pub(crate) async fn share_container(
        &self,
        container: &str,
        readers: &str,
        writers: &str,
    ) -> Result<bool, Failure> {
        let call = Call::new(Method::POST, container, None)
            .header(READERS, readers)
            .header(WRITERS, writers);
        match self.ask(&call).await {
            Err(failure) if failure.is(StatusCode::NOT_FOUND) => Ok(false),
            other => other.map(|_| true),
        }
    }

    /// Nobody may take a container that is not there for an object that is not, unless containers go with objects.
    pub(crate) async fn assert_container(&self, container: &str) -> Result<(), Failure> {
        if self.has_containers_of_images() {
            return Ok(());
        }
        match self.has_container(container).await? {
            true => Ok(()),
            false => Err(Failure::NoContainer(container.to_owned())),
        }
    }

    async fn in_container<T>(&self, container: &str, result: Result<T, Failure>) -> Result<T, Failure> {
        match result {
            Err(failure) if failure.is(StatusCode::NOT_FOUND) => {
                self.assert_container(container).await?;
                Err(failure)
            }
            other => other,
        }
    }
}

/// What publishes an attempt.
fn new(names: &AttemptNames) -> Call<'_> {
    Call::new(Method::PUT, &names.place.container, Some(&names.place.object))
        .header(header::CONTENT_TYPE, "application/octet-stream")
        .header(ATTEMPT, &names.attempt.to_string())
        .header(header::IF_NONE_MATCH, "*")
}

/// Swift has no quotes around the hash of a plain object, unless its operator wants them.
pub(crate) fn etag(headers: &HeaderMap) -> Option<&str> {
    let tag = headers.get(header::ETAG)?.to_str().ok()?;
    let tag = tag.trim_matches('"');
    (!tag.is_empty() && !tag.starts_with("W/")).then_some(tag)
}
