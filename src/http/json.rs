//! Answers in JSON.

use axum::{
    body::Body,
    response::{IntoResponse, Response},
};
use http::{HeaderValue, StatusCode, header::CONTENT_TYPE};
use serde::Serialize;

use super::error::ApiError;

/// Room for an image of some properties, in bytes.
const IMAGE: usize = 1024;

/// The answer that so many images are, written in one pass and mostly into memory that has not to grow.
///
/// # Errors
/// 500 for what cannot be written: none of ours.
pub(super) fn json(value: &impl Serialize, images: usize) -> Result<Response, ApiError> {
    let mut text = Vec::with_capacity(images.max(1).saturating_mul(IMAGE));
    serde_json::to_writer(&mut text, value).map_err(|error| {
        tracing::error!(%error, "an answer could not be written");
        ApiError::of(StatusCode::INTERNAL_SERVER_ERROR)
    })?;
    let json = HeaderValue::from_static("application/json");
    Ok(([(CONTENT_TYPE, json)], Body::from(text)).into_response())
}
