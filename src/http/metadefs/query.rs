//! What lists are asked for by. Of a parameter that is there twice, the first counts; unknown ones are passed
//! over, as in Glance.

use crate::{
    definitions::ListRequest,
    http::{error::ApiError, query::QueryPairs},
    metadefs::{Direction, SortKey, TagKey, Visibility},
};

pub(super) fn namespaces(query: &QueryPairs) -> Result<ListRequest, ApiError> {
    let mut limit = limit(query)?;
    let visibility = match query.first("visibility") {
        None => None,
        // The visibility of nothing.
        Some("") => {
            limit = Some(0);
            None
        }
        Some(name) => Some(Visibility::parse(name).ok_or_else(|| invalid_visibility(name))?),
    };
    let types = query.first("resource_types");
    Ok(ListRequest {
        visibility,
        resource_types: types.map(|types| types.split(',').map(str::to_owned).collect()),
        order: (
            sort_key(query, SortKey::parse, SortKey::CreatedAt)?,
            direction(query)?,
        ),
        marker: query.first("marker").map(str::to_owned),
        limit,
    })
}

/// Objects are listed whole, as in Glance, which nevertheless checks what it passes over.
pub(super) fn objects(query: &QueryPairs) -> Result<(), ApiError> {
    if limit(query)? == Some(0) {
        return Err(ApiError::bad_request("limit param must be positive"));
    }
    direction(query)?;
    any_visibility(query)
}

pub(super) struct TagPage<'q> {
    pub(super) order: (TagKey, Direction),
    pub(super) marker: Option<&'q str>,
    pub(super) limit: Option<usize>,
}

pub(super) fn tags(query: &QueryPairs) -> Result<TagPage<'_>, ApiError> {
    any_visibility(query)?;
    let limit = limit(query)?.map(|limit| usize::try_from(limit).unwrap_or(usize::MAX));
    Ok(TagPage {
        order: (
            sort_key(query, TagKey::parse, TagKey::CreatedAt)?,
            direction(query)?,
        ),
        marker: query.first("marker").filter(|marker| !marker.is_empty()),
        limit,
    })
}

/// The resource type on which properties are asked for by name.
pub(super) fn resource_type(query: &QueryPairs) -> Option<&str> {
    query.first("resource_type").filter(|name| !name.is_empty())
}

fn limit(query: &QueryPairs) -> Result<Option<u64>, ApiError> {
    let Some(text) = query.first("limit") else {
        return Ok(None);
    };
    match text.trim().parse::<i128>() {
        Ok(limit) if limit < 0 => Err(ApiError::bad_request("limit param must be positive")),
        Ok(limit) => Ok(Some(u64::try_from(limit).unwrap_or(u64::MAX))),
        Err(_) => Err(ApiError::bad_request("limit param must be an integer")),
    }
}

fn direction(query: &QueryPairs) -> Result<Direction, ApiError> {
    let Some(name) = query.first("sort_dir") else {
        return Ok(Direction::Descending);
    };
    let invalid = || ApiError::bad_request(format!("Invalid sort direction: {name}"));
    Direction::parse(name).ok_or_else(invalid)
}

fn sort_key<K>(query: &QueryPairs, parse: fn(&str) -> Option<K>, default: K) -> Result<K, ApiError> {
    let Some(name) = query.first("sort_key") else {
        return Ok(default);
    };
    parse(name).ok_or_else(|| ApiError::bad_request(format!("Invalid sort key: {name}")))
}

fn any_visibility(query: &QueryPairs) -> Result<(), ApiError> {
    match query.first("visibility") {
        None | Some("" | "public" | "private" | "shared") => Ok(()),
        Some(other) => Err(invalid_visibility(other)),
    }
}

fn invalid_visibility(name: &str) -> ApiError {
    ApiError::bad_request(format!("Invalid visibility value: {name}"))
}
