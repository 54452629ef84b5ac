//! What a list of tasks may be asked for.

use uuid::Uuid;

use crate::{
    http::{error::ApiError, query::QueryPairs},
    import::{TaskListing, TaskSort},
};

/// The attributes of a task in Glance's database, by which it sorts.
const SORT_KEYS: [(&str, TaskSort); 12] = [
    ("id", TaskSort::Id),
    ("type", TaskSort::Type),
    ("status", TaskSort::Status),
    ("owner", TaskSort::Owner),
    ("expires_at", TaskSort::ExpiresAt),
    ("image_id", TaskSort::ImageId),
    ("request_id", TaskSort::RequestId),
    ("user_id", TaskSort::UserId),
    ("created_at", TaskSort::CreatedAt),
    ("updated_at", TaskSort::UpdatedAt),
    ("deleted_at", TaskSort::Deleted),
    ("deleted", TaskSort::Deleted),
];

/// Of a parameter that is there twice, the first counts; unknown ones are passed over, as in Glance.
///
/// # Errors
/// 400 with the reason.
pub(super) fn listing(query: &QueryPairs) -> Result<TaskListing, ApiError> {
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
    let limit = match query.first("limit").map(|limit| limit.trim().parse::<i128>()) {
        Some(Err(_)) => return Err(ApiError::bad_request("limit param must be an integer")),
        Some(Ok(limit)) if limit < 0 => return Err(ApiError::bad_request("limit param must be positive")),
        Some(Ok(limit)) => Some(usize::try_from(limit).unwrap_or(usize::MAX)),
        None => None,
    };
    let sort = match query.first("sort_key") {
        None => TaskSort::CreatedAt,
        Some(key) => {
            let found = SORT_KEYS.iter().find(|(name, _)| *name == key);
            let refused = || ApiError::bad_request("Sort key supplied was not valid.");
            found.ok_or_else(refused)?.1
        }
    };
    let wanted = |name: &str| {
        query
            .first(name)
            .filter(|value| !value.is_empty())
            .map(str::to_owned)
    };
    Ok(TaskListing {
        status: wanted("status"),
        kind: wanted("type"),
        sort,
        descending: query.first("sort_dir") != Some("asc"),
        marker: marker.map(str::to_owned),
        limit,
    })
}
