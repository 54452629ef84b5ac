//! Which version a request means: by its path, or by `Accept` (Glance 33, `api/middleware/version_negotiation.py`).

use std::{
    convert::Infallible,
    sync::Arc,
    task::{Context, Poll},
};

use axum::{
    Router,
    extract::Request,
    response::{IntoResponse, Response},
};
use futures_util::future::BoxFuture;
use http::{HeaderMap, StatusCode, Uri, header::ACCEPT, uri::PathAndQuery};
use tower::{Service, ServiceExt};

use super::{Settings, State, versions};

const MEDIA_TYPE: &str = "application/vnd.openstack.images-";
/// The first segment of every path of the API, whatever version was asked for.
const CANONICAL: &str = "/v2";

/// Sends requests for a version to the API, and answers all others with the list of versions.
#[derive(Clone)]
pub(super) struct Negotiate {
    api: Router,
    settings: Arc<Settings>,
}

/// What a request means.
#[derive(Debug, PartialEq, Eq)]
enum Meaning {
    /// The list of versions, asked for.
    Versions,
    /// No version: the list of versions, as a choice.
    Choices,
    /// This path of the API.
    Api(String),
}

impl Negotiate {
    pub(super) fn new(api: Router, state: &State) -> Self {
        Self {
            api,
            settings: state.settings.clone(),
        }
    }

    fn meaning(&self, path: &str, headers: &HeaderMap) -> Meaning {
        let path = normal(path);
        let path = path.as_str();
        let unrooted = path.trim_start_matches('/');
        let (first, rest) = match unrooted.find('/') {
            Some(end) => unrooted.split_at(end),
            None => (unrooted, ""),
        };
        if first == "versions" {
            return Meaning::Versions;
        }
        let accept = headers.get(ACCEPT).and_then(|accept| accept.to_str().ok());
        let (version, rest) = match accept.and_then(|accept| accept.strip_prefix(MEDIA_TYPE)) {
            Some(version) => (version, path),
            None => (first, rest),
        };
        if versions::is_known(version, &self.settings) {
            Meaning::Api(format!("{CANONICAL}{rest}"))
        } else {
            Meaning::Choices
        }
    }
}

impl Service<Request> for Negotiate {
    type Response = Response;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, mut request: Request) -> Self::Future {
        let status = match self.meaning(request.uri().path(), request.headers()) {
            Meaning::Versions => StatusCode::OK,
            Meaning::Choices => StatusCode::MULTIPLE_CHOICES,
            Meaning::Api(path) => match with_path(request.uri(), &path) {
                Some(uri) => {
                    *request.uri_mut() = uri;
                    return Box::pin(self.api.clone().oneshot(request));
                }
                None => StatusCode::MULTIPLE_CHOICES,
            },
        };
        let answer = versions::document(status, &request, &self.settings).into_response();
        Box::pin(std::future::ready(Ok(answer)))
    }
}

/// A path without empty segments (as paste's `urlmap` has it) and with no more escapes than it needs (RFC 3986, 6.2.2.2),
/// so that what means the same is the same route.
fn normal(path: &str) -> String {
    let mut normal = String::with_capacity(path.len());
    let mut rest = path;
    while let Some(c) = rest.chars().next() {
        let escaped = (rest.get(1..3))
            .filter(|_| c == '%')
            .and_then(|digits| u8::from_str_radix(digits, 16).ok())
            .filter(|byte| byte.is_ascii_alphanumeric() || b"-._~".contains(byte));
        match escaped {
            Some(byte) => {
                normal.push(char::from(byte));
                rest = rest.get(3..).unwrap_or_default();
            }
            None => {
                if c != '/' || !normal.ends_with('/') {
                    normal.push(c);
                }
                rest = rest.get(c.len_utf8()..).unwrap_or_default();
            }
        }
    }
    normal
}

/// The URI with another path and the same query.
fn with_path(uri: &Uri, path: &str) -> Option<Uri> {
    let path_and_query = match uri.query() {
        Some(query) => PathAndQuery::try_from(format!("{path}?{query}")),
        None => PathAndQuery::try_from(path),
    };
    let mut parts = uri.clone().into_parts();
    parts.path_and_query = Some(path_and_query.ok()?);
    Uri::from_parts(parts).ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::normal;

    #[test]
    fn paths_that_mean_the_same_become_the_same() {
        for (path, same) in [
            ("/v2/images", "/v2/images"),
            ("//v2///images//", "/v2/images/"),
            ("/v2/%69mages/%7Ea%2D", "/v2/images/~a-"),
            ("/v2/a%2Fb%20c%C3%a4%25", "/v2/a%2Fb%20c%C3%a4%25"),
            ("/%2569mages", "/%2569mages"),
            ("/%+1%6", "/%+1%6"),
            ("/%", "/%"),
        ] {
            assert_eq!(normal(path), same);
        }
    }

    proptest! {
        #[test]
        fn a_normal_path_has_no_empty_segment(path in "(/|%2F|%6|[a-z%]|é){0,20}") {
            prop_assert!(!normal(&path).contains("//"));
        }
    }
}
