//! What is asked of an image whose data waits on another node for its import (Glance 33, `api/v2/images.py`,
//! `_proxy_request_to_host`): that node is asked, with the caller's token, and its answer is the answer.
//!
//! It goes to the URL that the node itself has written into the record, which no client can write, and to no other: no
//! redirect is followed. It is sent on once: what comes to a node that has not got the data either is not sent further.

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use saccade_outgoing::{Error, InvalidTarget, Order, Response, Target};
use tracing::{info, warn};

use super::{Imports, reading::chain, request::ImportRequest};
use crate::{catalog::CatalogErrorKind, identity::Caller, image::ImageId};

/// How long the other node may take to answer, as in Glance.
const PATIENCE: Duration = Duration::from_secs(60);

/// The longest answer that is passed on, in bytes. Errors have a few hundred.
const MAX_ANSWER: usize = 64 * 1024;

/// Says that a request comes from another node.
const SENT_ON: HeaderName = HeaderName::from_static("x-saccade-sent-on");

/// What proves the caller, by either name (keystonemiddleware).
const TOKENS: [HeaderName; 2] = [
    HeaderName::from_static("x-auth-token"),
    HeaderName::from_static("x-storage-token"),
];

/// What else of a request matters to whoever answers it.
const PASSED_ON: [HeaderName; 2] = [header::ACCEPT, HeaderName::from_static("x-image-meta-store")];

const REQUEST_ID: HeaderName = HeaderName::from_static("x-openstack-request-id");

/// What another node is told of a request that is its to answer.
///
/// `Debug` shows no token.
#[derive(Debug, Clone)]
pub struct Onward {
    headers: HeaderMap,
    /// Another node has sent it here.
    is_sent_on: bool,
}

/// What has come of a request that may be another node's to answer.
#[derive(Debug)]
pub enum Outcome {
    /// It is done, or begun.
    Done,
    /// Another node is to do it, and has refused to.
    Refused(Answered),
}

/// What another node has answered.
#[derive(Debug)]
pub struct Answered {
    /// No redirect.
    pub status: StatusCode,
    /// What `body` is.
    pub content_type: Option<HeaderValue>,
    /// A bounded number of bytes.
    pub body: Bytes,
}

/// Another node is to do it, and does not. The texts are for clients, who do not know the nodes.
#[derive(Debug, thiserror::Error)]
pub enum StageHostError {
    /// It cannot be reached, or has not answered in time: whether it has done it is to be read from the image.
    #[error(
        "Stage host is unavailable: the data of image {image} waits on another node, which does not answer. Try again \
         later, or delete the image"
    )]
    Unreachable {
        /// The image.
        image: ImageId,
        /// Why.
        source: Error,
    },
    /// It is no node, or does not answer as one.
    #[error(
        "Stage host is unavailable: the data of image {image} waits on another node, which gives no answer of use"
    )]
    Unusable {
        /// The image.
        image: ImageId,
        /// Why.
        source: Unusable,
    },
    /// Another node says that the data is here.
    #[error(
        "The data of image {image} waits on a node that cannot be found: the request was sent on to one that has not \
         got it. Delete the image, or tell the operator"
    )]
    Astray {
        /// The image.
        image: ImageId,
    },
}

/// Why an answer is none.
#[derive(Debug, thiserror::Error)]
pub enum Unusable {
    /// The record does not say where to ask.
    #[error("the record names no URL of a node")]
    Url(#[from] InvalidTarget),
    /// It leads somewhere else.
    #[error("{target} answered {status}")]
    Redirect {
        /// Who.
        target: String,
        /// How.
        status: StatusCode,
    },
    /// It broke off, or there was no end to it.
    #[error("{0}")]
    Body(String),
}

impl Onward {
    /// What is passed on of a request with these headers and this id.
    pub fn of(headers: &HeaderMap, request_id: &str) -> Self {
        let mut passed = HeaderMap::new();
        for name in PASSED_ON {
            if let Some(value) = headers.get(&name) {
                passed.insert(name, value.clone());
            }
        }
        for name in TOKENS {
            if let Some(value) = headers.get(&name) {
                let mut value = value.clone();
                value.set_sensitive(true);
                passed.insert(name, value);
            }
        }
        if let Ok(id) = HeaderValue::from_str(request_id) {
            passed.insert(REQUEST_ID, id);
        }
        passed.insert(SENT_ON, HeaderValue::from_static("1"));
        Self {
            headers: passed,
            is_sent_on: headers.contains_key(SENT_ON),
        }
    }
}

impl Imports {
    /// Deletes an image: what waits on another node for its import, there first. If that node cannot be asked, the image is
    /// deleted all the same, and what waits is left to it.
    ///
    /// # Errors
    /// `Catalog`, as [`crate::catalog::Catalog::delete`].
    pub async fn delete(
        &self,
        caller: &Caller,
        id: &str,
        onward: &Onward,
    ) -> Result<Outcome, super::ImportError> {
        // What forbids it is told by the deletion itself.
        let image = self.catalog.deletable(caller, id).await.ok();
        let host = match &image {
            Some(image) => self
                .transfers
                .stage_host(image)
                .await
                .map(|host| (host, image.id)),
            None => None,
        };
        let mut is_deleted_there = false;
        if let Some((host, image)) = host {
            match self
                .ask(host, image, Method::DELETE, "", Bytes::new(), onward)
                .await
            {
                Ok(answered) if answered.status.is_success() => is_deleted_there = true,
                // Where catalogues are apart, that it is gone there says nothing of this one.
                Ok(answered) if matches!(answered.status, StatusCode::NOT_FOUND | StatusCode::GONE) => {}
                Ok(answered) => return Ok(Outcome::Refused(answered)),
                Err(error) => {
                    let causes = chain(&error);
                    warn!(%image, causes, "is deleted here: the data that waits for its import is left to its node");
                }
            }
        }
        match self.catalog.delete(caller, id).await {
            Err(error) if is_deleted_there && matches!(error.kind(), CatalogErrorKind::NotFound { .. }) => {
                Ok(Outcome::Done)
            }
            deleted => Ok(deleted.map(|()| Outcome::Done)?),
        }
    }

    /// Has another node import what waits there.
    ///
    /// # Errors
    /// `StageHost`.
    pub(super) async fn import_there(
        &self,
        host: &str,
        image: ImageId,
        request: &ImportRequest,
        onward: &Onward,
    ) -> Result<Outcome, super::ImportError> {
        let body = Bytes::from(request.of_staged().to_string());
        let answered = self
            .ask(host, image, Method::POST, "/import", body, onward)
            .await?;
        Ok(match answered.status.is_success() {
            true => Outcome::Done,
            false => Outcome::Refused(answered),
        })
    }

    async fn ask(
        &self,
        host: &str,
        image: ImageId,
        method: Method,
        part: &str,
        body: Bytes,
        onward: &Onward,
    ) -> Result<Answered, StageHostError> {
        if onward.is_sent_on {
            warn!(
                %image,
                "another node has sent on a request here, but what it is about does not wait here: \
                 worker_self_reference_url has to be a URL at which the node itself is reached, and no other"
            );
            return Err(StageHostError::Astray { image });
        }
        let unusable = |source: Unusable| StageHostError::Unusable { image, source };
        let url = format!("{}/v2/images/{image}{part}", host.trim_end_matches('/'));
        let target = Target::parse(&url).map_err(|why| unusable(why.into()))?;
        info!(%image, %method, %target, "sent on to the node on which the data waits for its import");
        let mut headers = onward.headers.clone();
        if !body.is_empty() {
            headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        }
        let order = Order {
            method,
            target: &target,
            headers,
            body,
            patience: PATIENCE,
        };
        let response = self.shared.cloud.place(order).await;
        let response = response.map_err(|source| StageHostError::Unreachable { image, source })?;
        let status = response.status();
        if status.is_redirection() {
            let target = target.to_string();
            return Err(unusable(Unusable::Redirect { target, status }));
        }
        let content_type = response.headers().get(header::CONTENT_TYPE).cloned();
        let body = whole(response)
            .await
            .map_err(|why| unusable(Unusable::Body(why)))?;
        Ok(Answered {
            status,
            content_type,
            body,
        })
    }
}

async fn whole(mut response: Response) -> Result<Bytes, String> {
    let mut text = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(|error| chain(&error))? {
        if text.len().saturating_add(chunk.len()) > MAX_ANSWER {
            return Err(format!(
                "{} answers with more than {MAX_ANSWER} bytes",
                response.target()
            ));
        }
        text.extend_from_slice(&chunk);
    }
    Ok(text.into())
}
