//! The requests that there are.

use std::{
    ops::Range,
    sync::atomic::{AtomicBool, Ordering},
};

use bytes::Bytes;
use http::{HeaderName, Method, StatusCode, header};
use saccade_outgoing::headers::{content_length, strong_etag};
use saccade_store_contract::Attempt;
use tokio::time::timeout;

use crate::{
    client::{COMPLETION, Call, Client, pause, short_body},
    failure::Failure,
    xml,
};

/// Whose an object is: kept with it as metadata, and never changed.
const ATTEMPT: HeaderName = HeaderName::from_static("x-amz-meta-saccade-attempt");

/// How often an upload is ended: parts that were on their way may outlive the first time (AbortMultipartUpload).
const ABORTS: usize = 3;

/// What is known of an object without reading it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Head {
    pub(crate) size: u64,
    pub(crate) tag: Option<String>,
    attempt: Option<String>,
}

impl Head {
    /// Whether this attempt has written it.
    pub(crate) fn is_of(&self, attempt: Attempt) -> bool {
        self.attempt.as_deref() == Some(attempt.to_string().as_str())
    }
}

impl Client {
    /// What is under a key, if anything is.
    pub(crate) async fn head(&self, key: &str) -> Result<Option<Head>, Failure> {
        let answer = match self.ask(&Call::new(Method::HEAD, Some(key))).await {
            Ok(answer) => answer,
            Err(failure) if failure.is(StatusCode::NOT_FOUND, &[]) => {
                // The answer to HEAD has no body to say what is not there.
                return if self.has_bucket().await? {
                    Ok(None)
                } else {
                    Err(Failure::NoBucket)
                };
            }
            Err(failure) => return Err(failure),
        };
        let attempt = answer.headers.get(&ATTEMPT).and_then(|value| value.to_str().ok());
        Ok(Some(Head {
            size: content_length(&answer.headers).ok_or(Failure::Nonsense("no length"))?,
            tag: strong_etag(&answer.headers).map(str::to_owned),
            attempt: attempt.map(str::to_owned),
        }))
    }

    /// The bytes of an object or of a range that is not empty; of a version of it, if that is named.
    pub(crate) async fn get(
        &self,
        key: &str,
        range: Option<Range<u64>>,
        version: Option<&str>,
    ) -> Result<reqwest::Response, Failure> {
        // The bytes of the object, not another form of them.
        let mut call = Call::new(Method::GET, Some(key)).header(header::ACCEPT_ENCODING, "identity");
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
        if let Some(tag) = version {
            call = call.header(header::IF_MATCH, tag);
        }
        self.open(&call).await
    }

    /// A short object of the store's own, if it is there.
    pub(crate) async fn get_short(&self, key: &str) -> Result<Option<Bytes>, Failure> {
        let response = match self.get(key, None, None).await {
            Ok(response) => response,
            Err(failure) => return self.absent(failure, "NoSuchKey").await.map(|()| None),
        };
        short_body(response).await.map(Some)
    }

    /// Writes a short object of the store's own, over whatever is there.
    pub(crate) async fn put_short(&self, key: &str, body: Bytes) -> Result<(), Failure> {
        let call = Call::new(Method::PUT, Some(key)).body(body);
        self.ask(&call).await.map(drop)
    }

    /// Writes an object under a key where nothing is, as far as the server knows conditions.
    pub(crate) async fn put_new(&self, key: &str, attempt: Attempt, body: Bytes) -> Result<(), Failure> {
        let call = Call::new(Method::PUT, Some(key))
            .header(ATTEMPT, &attempt.to_string())
            .body(body);
        self.ask_new(call, &self.conditions.put).await
    }

    /// Removes what is under a key; of a version of it, where the server knows conditions. Nothing there is no failure.
    pub(crate) async fn delete(&self, key: &str, version: Option<&str>) -> Result<(), Failure> {
        let mut call = Call::new(Method::DELETE, Some(key));
        if let Some(tag) = version {
            call = call.header(header::IF_MATCH, tag);
        }
        let answer = match self.ask(&call).await {
            // As with conditions on other requests.
            Err(failure)
                if version.is_some() && failure.is(StatusCode::NOT_IMPLEMENTED, &["NotImplemented"]) =>
            {
                self.ask(&Call::new(Method::DELETE, Some(key))).await
            }
            other => other,
        };
        match answer {
            Ok(_) => Ok(()),
            Err(failure) => self.absent(failure, "NoSuchKey").await,
        }
    }

    /// Whether a failure means that there is nothing, as this code says by itself. A 404 without it may be whatever stands
    /// before the server: it counts where the bucket is there.
    async fn absent(&self, failure: Failure, code: &str) -> Result<(), Failure> {
        if failure.has_code(code) {
            return Ok(());
        }
        if !failure.is(StatusCode::NOT_FOUND, &[]) {
            return Err(failure);
        }
        match self.has_bucket().await? {
            true => Ok(()),
            false => Err(Failure::NoBucket),
        }
    }

    /// Begins an upload in parts, and returns its id. Each try may begin one; of those whose reply was lost nobody knows
    /// the id, and nothing tells them from another writer's.
    pub(crate) async fn create_upload(&self, key: &str, attempt: Attempt) -> Result<String, Failure> {
        let call = Call::new(Method::POST, Some(key))
            .query("uploads", "")
            .header(ATTEMPT, &attempt.to_string());
        let (mut retried, mut lost) = (0, false);
        let answer = loop {
            match self.answer(&call).await {
                Ok(answer) => break Ok(answer),
                Err(failure) => {
                    lost |= matches!(failure, Failure::Connection(_) | Failure::Timeout(_));
                    if let Err(failure) = pause(&call, &mut retried, failure).await {
                        break Err(failure);
                    }
                }
            }
        };
        if lost {
            tracing::warn!(
                bucket = self.endpoint.bucket,
                key,
                "a reply was lost when an upload in parts was begun: one without parts may remain in the bucket until \
                 its lifecycle rules end it"
            );
        }
        let answer = answer?;
        let id = answer.document.field("UploadId");
        id.map(str::to_owned).ok_or(Failure::Nonsense("no UploadId"))
    }

    /// Sends a part, and returns its entity tag.
    pub(crate) async fn put_part(
        &self,
        key: &str,
        upload: &str,
        number: u32,
        body: Bytes,
        given_up: &AtomicBool,
    ) -> Result<String, Failure> {
        let number = number.to_string();
        let call = Call::new(Method::PUT, Some(key))
            .query("partNumber", &number)
            .query("uploadId", upload)
            .body(body)
            .unless(given_up);
        let answer = self.ask(&call).await?;
        let tag = answer.headers.get(header::ETAG);
        let tag = tag
            .and_then(|tag| tag.to_str().ok())
            .filter(|tag| !tag.is_empty());
        tag.map(str::to_owned)
            .ok_or(Failure::Nonsense("a part without an ETag"))
    }

    /// Puts the parts together under a key where nothing is, as far as the server knows conditions. After [`COMPLETION`], with
    /// all tries, it is given up: the server may do it all the same.
    pub(crate) async fn complete(&self, key: &str, upload: &str, tags: &[String]) -> Result<(), Failure> {
        let mut call = Call::new(Method::POST, Some(key))
            .query("uploadId", upload)
            .body(xml::complete(tags.iter().map(String::as_str)));
        call.patience = COMPLETION;
        timeout(COMPLETION, self.ask_new(call, &self.conditions.completion))
            .await
            .map_err(|_| Failure::Timeout(COMPLETION))?
    }

    /// Ends an upload and removes its parts; one that is over is left as it is.
    pub(crate) async fn abort(&self, key: &str, upload: &str) -> Result<(), Failure> {
        for _ in 0..ABORTS {
            let call = Call::new(Method::DELETE, Some(key)).query("uploadId", upload);
            match self.ask(&call).await {
                Ok(_) => {}
                Err(failure) => return self.absent(failure, "NoSuchUpload").await,
            }
        }
        Ok(())
    }

    pub(crate) async fn has_bucket(&self) -> Result<bool, Failure> {
        let mut call = Call::new(Method::HEAD, None);
        // Uploads begin with it: one that cannot be is to know soon.
        call.retries = 2;
        match self.ask(&call).await {
            Ok(_) => Ok(true),
            Err(failure) if failure.is(StatusCode::NOT_FOUND, &[]) => Ok(false),
            Err(Failure::NoBucket) => Ok(false),
            Err(failure) => Err(failure),
        }
    }

    pub(crate) async fn create_bucket(&self) -> Result<(), Failure> {
        let mut call = Call::new(Method::PUT, None);
        if let Some(region) = &self.endpoint.constraint {
            call = call.body(xml::constraint(region));
        }
        match self.ask(&call).await {
            // Somebody has been faster.
            Err(failure) if failure.is(StatusCode::CONFLICT, &["BucketAlreadyOwnedByYou"]) => {
                if self.has_bucket().await? {
                    Ok(())
                } else {
                    Err(failure)
                }
            }
            other => other.map(drop),
        }
    }

    /// Asks under the condition that nothing is there, until the server says that it does not know it.
    async fn ask_new(&self, call: Call<'_>, knows_it: &AtomicBool) -> Result<(), Failure> {
        if knows_it.load(Ordering::Relaxed) {
            let conditional = call.clone().header(header::IF_NONE_MATCH, "*");
            match self.ask(&conditional).await {
                Err(failure) if failure.is(StatusCode::NOT_IMPLEMENTED, &["NotImplemented"]) => {
                    knows_it.store(false, Ordering::Relaxed);
                }
                other => return other.map(drop),
            }
        }
        self.ask(&call).await.map(drop)
    }
}
