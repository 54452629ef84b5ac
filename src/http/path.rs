//! The variable parts of a path.

use axum::extract::{FromRequestParts, Path, rejection::PathRejection};
use http::request::Parts;
use serde::de::DeserializeOwned;

use super::error::ApiError;

/// The variable segments, decoded. None of them contains a slash: Glance decodes a path before it divides it, so that an
/// encoded slash leads nowhere.
pub(super) struct Segments<T>(pub(super) T);

/// Text of segments.
pub(super) trait Texts {
    fn texts(&self) -> impl Iterator<Item = &str>;
}

impl Texts for String {
    fn texts(&self) -> impl Iterator<Item = &str> {
        std::iter::once(self.as_str())
    }
}

impl Texts for (String, String) {
    fn texts(&self) -> impl Iterator<Item = &str> {
        [self.0.as_str(), self.1.as_str()].into_iter()
    }
}

impl<S: Send + Sync, T: DeserializeOwned + Texts + Send> FromRequestParts<S> for Segments<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        let found: Result<Path<T>, PathRejection> = Path::from_request_parts(parts, state).await;
        let Path(segments) = found.map_err(|_| ApiError::undecodable())?;
        if segments.texts().any(|text| text.contains('/')) {
            return Err(ApiError::unknown_path());
        }
        Ok(Self(segments))
    }
}
