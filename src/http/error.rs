//! The one place where failures become statuses, and statuses the bodies that Glance's clients know.
//!
//! Those are webob's (`webob/exc.py` of WebOb 1.8): text, HTML or JSON by the request's `Accept`.

use std::error::Error;

use axum::response::{IntoResponse, Response};
use http::{
    HeaderName, HeaderValue, StatusCode,
    header::{ACCEPT_RANGES, CONTENT_TYPE},
};

use crate::{
    catalog::{CatalogError, CatalogErrorKind},
    definitions::{DefinitionError, DefinitionErrorKind},
    identity::Unidentified,
    import::{ImportError, StageHostError},
    metadefs::DraftError,
    transfer::{Busy, DownloadError, DownloadErrorKind, UploadError, UploadErrorKind},
};

/// An answer that is no success. It has no body before `middleware::render` gives it one.
#[derive(Debug, Clone)]
pub(super) struct ApiError {
    pub(super) status: StatusCode,
    /// What went wrong, for a person.
    pub(super) explanation: String,
    /// More of it.
    pub(super) detail: String,
    headers: Vec<(HeaderName, HeaderValue)>,
}

impl ApiError {
    pub(super) fn new(status: StatusCode, explanation: impl Into<String>) -> Self {
        Self {
            status,
            explanation: explanation.into(),
            detail: String::new(),
            headers: Vec::new(),
        }
    }

    /// With webob's own explanation.
    pub(super) fn of(status: StatusCode) -> Self {
        Self::new(status, default_explanation(status))
    }

    pub(super) fn bad_request(explanation: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, explanation)
    }

    #[must_use]
    pub(super) fn detail(mut self, detail: impl Into<String>) -> Self {
        self.detail = detail.into();
        self
    }

    #[must_use]
    pub(super) fn header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.push((name, value));
        self
    }

    /// What webob calls the status.
    pub(super) fn title(&self) -> &'static str {
        match self.status {
            StatusCode::PAYLOAD_TOO_LARGE => "Request Entity Too Large",
            StatusCode::RANGE_NOT_SATISFIABLE => "Request Range Not Satisfiable",
            status => status.canonical_reason().unwrap_or("Error"),
        }
    }

    /// No such route, or none for the caller to know of.
    pub(super) fn unknown_path() -> Self {
        Self::of(StatusCode::NOT_FOUND)
    }

    /// A request whose path, query or body is not UTF-8.
    pub(super) fn undecodable() -> Self {
        Self::bad_request(
            "Error decoding your request. Either the URL or the request body contained characters that could not be \
             decoded by Glance",
        )
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let mut response = self.status.into_response();
        response.headers_mut().remove(CONTENT_TYPE);
        response.headers_mut().remove(ACCEPT_RANGES);
        response.headers_mut().extend(self.headers.iter().cloned());
        response.extensions_mut().insert(self);
        response
    }
}

fn default_explanation(status: StatusCode) -> &'static str {
    match status {
        StatusCode::UNAUTHORIZED => {
            "This server could not verify that you are authorized to access the document you requested. Either you \
             supplied the wrong credentials (e.g., bad password), or your browser does not understand how to supply \
             the credentials required."
        }
        StatusCode::FORBIDDEN => "Access was denied to this resource.",
        StatusCode::NOT_FOUND => "The resource could not be found.",
        StatusCode::PAYLOAD_TOO_LARGE => "The body of your request was too large for this server.",
        StatusCode::RANGE_NOT_SATISFIABLE => "The Range requested is not available.",
        StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE => "The request header fields were too large",
        StatusCode::INTERNAL_SERVER_ERROR => {
            "The server has either erred or is incapable of performing the requested operation."
        }
        StatusCode::SERVICE_UNAVAILABLE => {
            "The server is currently unavailable. Please try again at a later time."
        }
        _ => "",
    }
}

impl From<CatalogErrorKind> for ApiError {
    fn from(kind: CatalogErrorKind) -> Self {
        use CatalogErrorKind as Kind;
        let status = match &kind {
            Kind::NotFound { .. }
            | Kind::TagNotFound { .. }
            | Kind::NotInStore { .. }
            | Kind::MemberNotFound { .. } => StatusCode::NOT_FOUND,
            Kind::Invalid { .. }
            | Kind::InvalidMember { .. }
            | Kind::InvalidMemberStatus
            | Kind::UnknownMarker { .. }
            | Kind::LocationPosition { .. }
            | Kind::BadLocation
            | Kind::AddressRefused
            | Kind::DuplicateLocation
            | Kind::LocationsPresent
            | Kind::InvalidHash { .. }
            | Kind::FormatMissing
            | Kind::Transition { .. } => StatusCode::BAD_REQUEST,
            Kind::Denied { .. }
            | Kind::ForeignOwner { .. }
            | Kind::OwnerChange
            | Kind::ReadOnly { .. }
            | Kind::Reserved { .. }
            | Kind::NotRemovable { .. }
            | Kind::FormatFixed { .. }
            | Kind::LocationsInvisible { .. }
            | Kind::LastLocation
            | Kind::OnlyStore
            | Kind::LocationForServices
            | Kind::MarkerInvisible { .. }
            | Kind::Deactivated
            | Kind::NotShared { .. }
            | Kind::Activation { .. }
            | Kind::Protected { .. } => StatusCode::FORBIDDEN,
            Kind::Exists { .. }
            | Kind::MemberExists { .. }
            | Kind::PropertyPresent { .. }
            | Kind::PropertyMissing { .. }
            | Kind::Contended
            | Kind::LocationsFixed { .. }
            | Kind::LocationRetired
            | Kind::Busy { .. }
            | Kind::StoreFixed
            | Kind::NotPending { .. }
            | Kind::Validation { .. }
            | Kind::InUse { .. }
            | Kind::HasSnapshots { .. } => StatusCode::CONFLICT,
            Kind::TooManyProperties { .. }
            | Kind::OverLimit { .. }
            | Kind::TooManyTags { .. }
            | Kind::TooManyLocations { .. }
            | Kind::TooManyMembers { .. }
            | Kind::Full => StatusCode::PAYLOAD_TOO_LARGE,
            Kind::Unavailable | Kind::Limits => StatusCode::SERVICE_UNAVAILABLE,
            Kind::Unknown | Kind::Broken | Kind::LimitsMisconfigured => StatusCode::INTERNAL_SERVER_ERROR,
        };
        Self::new(status, kind.to_string())
    }
}

impl From<CatalogError> for ApiError {
    fn from(error: CatalogError) -> Self {
        let answer = Self::from(error.kind().clone());
        log(answer.status, &error);
        answer
    }
}

impl From<DraftError> for ApiError {
    fn from(error: DraftError) -> Self {
        let status = match error {
            DraftError::ReadOnly(_) => StatusCode::FORBIDDEN,
            DraftError::Invalid(_) => StatusCode::BAD_REQUEST,
        };
        Self::new(status, error.to_string())
    }
}

impl From<DefinitionError> for ApiError {
    fn from(error: DefinitionError) -> Self {
        use DefinitionErrorKind as Kind;
        let status = match error.kind() {
            Kind::NamespaceNotFound { .. } | Kind::NotFound { .. } | Kind::Prefix { .. } | Kind::Hidden => {
                StatusCode::NOT_FOUND
            }
            Kind::Denied { .. } | Kind::Protected { .. } | Kind::NamespaceProtected { .. } => {
                StatusCode::FORBIDDEN
            }
            Kind::NamespaceExists { .. } | Kind::Exists(_) | Kind::Contended => StatusCode::CONFLICT,
            Kind::TagTooLong { .. } => StatusCode::BAD_REQUEST,
            Kind::TooLarge(_) | Kind::Full => StatusCode::PAYLOAD_TOO_LARGE,
            Kind::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
            Kind::Unknown | Kind::Broken => StatusCode::INTERNAL_SERVER_ERROR,
        };
        log(status, &error);
        Self::new(status, error.to_string())
    }
}

impl From<UploadError> for ApiError {
    fn from(error: UploadError) -> Self {
        use UploadErrorKind as Kind;
        let status = match error.kind() {
            Kind::Busy(busy) => return Self::busy(busy),
            Kind::NotFound => StatusCode::NOT_FOUND,
            Kind::Gone => StatusCode::GONE,
            Kind::NotQueued { .. } | Kind::Lost | Kind::ClearingUp { .. } => StatusCode::CONFLICT,
            Kind::FormatMissing | Kind::SizeMismatch { .. } | Kind::Interrupted => StatusCode::BAD_REQUEST,
            Kind::TooLarge { .. } | Kind::OverLimit { .. } | Kind::StoreFull => StatusCode::PAYLOAD_TOO_LARGE,
            Kind::Refused(_) => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Kind::Stalled => StatusCode::REQUEST_TIMEOUT,
            // Nobody waits for it: the task says so.
            Kind::Origin { .. } => StatusCode::BAD_GATEWAY,
            // Told by the task: no request waits for it.
            Kind::Plugin { .. } => StatusCode::BAD_REQUEST,
            Kind::StoreDenied | Kind::Unavailable | Kind::Limits => StatusCode::SERVICE_UNAVAILABLE,
            Kind::LimitsMisconfigured => StatusCode::INTERNAL_SERVER_ERROR,
        };
        log(status, &error);
        let message = error.to_string();
        match status {
            // The body of a 415 has its own first line, and the reason after it.
            StatusCode::UNSUPPORTED_MEDIA_TYPE => Self::new(status, "").detail(message),
            _ => Self::new(status, message),
        }
    }
}

impl From<ImportError> for ApiError {
    fn from(error: ImportError) -> Self {
        let status = match error {
            ImportError::Catalog(error) => return error.into(),
            ImportError::Transfer(error) => return error.into(),
            ImportError::Invalid(_) => StatusCode::BAD_REQUEST,
            ImportError::Conflict(_) => StatusCode::CONFLICT,
            ImportError::NotFound(_) => StatusCode::NOT_FOUND,
            ImportError::Unavailable(_) => StatusCode::SERVICE_UNAVAILABLE,
            ImportError::StageHost(StageHostError::Unreachable { .. }) => StatusCode::GATEWAY_TIMEOUT,
            ImportError::StageHost(_) => StatusCode::BAD_GATEWAY,
            ImportError::Full(_) => StatusCode::PAYLOAD_TOO_LARGE,
        };
        log(status, &error);
        Self::new(status, error.to_string())
    }
}

impl From<DownloadError> for ApiError {
    fn from(error: DownloadError) -> Self {
        let status = match error.kind() {
            DownloadErrorKind::Busy(busy) => return Self::busy(&busy),
            DownloadErrorKind::NotFound => StatusCode::NOT_FOUND,
            DownloadErrorKind::Unsatisfiable { size } => return Self::unsatisfiable_start(size, "Range"),
            DownloadErrorKind::Unsupported => StatusCode::BAD_REQUEST,
            DownloadErrorKind::Denied | DownloadErrorKind::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
        };
        log(status, &error);
        Self::new(status, error.to_string())
    }
}

impl ApiError {
    /// A range of which the image has nothing.
    pub(super) fn unsatisfiable_start(size: u64, header: &str) -> Self {
        Self::unsatisfiable(match size.checked_sub(1) {
            Some(last) => format!(
                "Invalid start position in {header} header. Start position MUST be in the inclusive range [0, {last}]."
            ),
            None => format!("Invalid start position in {header} header. The image is empty."),
        })
    }

    /// 416 with the reason.
    pub(super) fn unsatisfiable(detail: impl Into<String>) -> Self {
        Self::of(StatusCode::RANGE_NOT_SATISFIABLE).detail(detail)
    }

    /// 503 for what did not get its turn. The log is told by whoever gives the turns, and not of each.
    fn busy(busy: &Busy) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, busy.to_string()).header(
            http::header::RETRY_AFTER,
            HeaderValue::from(busy.retry_after.as_secs()),
        )
    }

    /// 401 or 503, with what goes with it.
    pub(super) fn unidentified(error: &Unidentified, challenge: &str) -> Self {
        match error {
            Unidentified::Missing | Unidentified::Invalid => {
                let answer = Self::of(StatusCode::UNAUTHORIZED);
                match HeaderValue::from_str(challenge) {
                    Ok(challenge) => answer.header(http::header::WWW_AUTHENTICATE, challenge),
                    Err(_) => answer,
                }
            }
            Unidentified::Unavailable(_) => {
                // Whoever identifies says once in the log that it cannot; each request says so in its access line.
                tracing::debug!(%error, "a request was refused: its credentials could not be checked");
                let explanation = "Your token cannot be checked now, because the identity service does not answer. \
                                   Nothing was changed; try again in a moment.";
                Self::new(StatusCode::SERVICE_UNAVAILABLE, explanation)
                    .header(http::header::RETRY_AFTER, HeaderValue::from_static("1"))
            }
        }
    }
}

/// What the server is to blame for, with its causes, once.
fn log(status: StatusCode, error: &(dyn Error + 'static)) {
    if status.is_server_error() {
        let chain = std::iter::successors(error.source(), |&error| error.source());
        let causes = chain.map(ToString::to_string).collect::<Vec<_>>().join(": ");
        tracing::error!(%error, causes, "a request failed");
    }
}
