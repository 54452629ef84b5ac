//! What a list of tasks may be asked for. Nothing is ever found; what is asked wrongly is refused all the same.

use uuid::Uuid;

use super::not_found;
use crate::http::{error::ApiError, query::QueryPairs};

/// The attributes of a task in Glance's database, by which it sorts.
const SORT_KEYS: [&str; 12] = [
    "id",
    "type",
    "status",
    "owner",
    "expires_at",
    "image_id",
    "request_id",
    "user_id",
    "created_at",
    "updated_at",
    "deleted_at",
    "deleted",
];

/// Of a parameter that is there twice, the first counts; unknown ones are passed over, as in Glance.
///
/// # Errors
/// 400 with the reason.
pub(super) fn check(query: &QueryPairs) -> Result<(), ApiError> {
    let one_of = |name: &str, allowed: &[&str], what: &str| match query.first(name) {
        Some(value) if !allowed.contains(&value) => {
            Err(ApiError::bad_request(format!("Invalid {what}: {value}")))
        }
        _ => Ok(()),
    };
    one_of("sort_dir", &["asc", "desc"], "sort direction")?;
    let statuses = ["", "pending", "processing", "success", "failure"];
    one_of("status", &statuses, "status value")?;
    one_of("type", &["", "import"], "type value")?;
    let marker = query.first("marker");
    if marker.is_some_and(|marker| !marker.is_empty() && Uuid::try_parse(marker).is_err()) {
        return Err(ApiError::bad_request("Invalid marker format"));
    }
    match query.first("limit").map(|limit| limit.trim().parse::<i128>()) {
        Some(Err(_)) => return Err(ApiError::bad_request("limit param must be an integer")),
        Some(Ok(limit)) if limit < 0 => return Err(ApiError::bad_request("limit param must be positive")),
        Some(Ok(_)) | None => {}
    }
    if let Some(marker) = marker {
        return Err(ApiError::bad_request(not_found(marker)));
    }
    if query
        .first("sort_key")
        .is_some_and(|key| !SORT_KEYS.contains(&key))
    {
        return Err(ApiError::bad_request("Sort key supplied was not valid."));
    }
    Ok(())
}
