//! Doors for `fuzz/`: patches and list queries.

use serde_json::Value;

use super::{filters, patch};
use crate::{
    catalog::{ListRequest, Operation, Rules},
    http::query::QueryPairs,
};

/// The operations of a patch of this media type, or the status that refuses it. `None` for other media types.
pub fn patch(media_type: &str, body: Value, rules: &Rules) -> Option<Result<Vec<Operation>, u16>> {
    let draft = patch::Draft::of(media_type)?;
    Some(patch::operations(draft, body, rules).map_err(|error| error.status.as_u16()))
}

/// The decoded pairs of a query, or the status that refuses it.
pub fn pairs(query: &str) -> Result<Vec<(String, String)>, u16> {
    let pairs = QueryPairs::parse(Some(query)).map_err(|error| error.status.as_u16())?;
    Ok(pairs
        .iter()
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect())
}

/// A link with the same pairs, but those of one name.
pub fn link(query: &str, without: &str) -> Result<String, u16> {
    let pairs = QueryPairs::parse(Some(query)).map_err(|error| error.status.as_u16())?;
    Ok(pairs.link("", without, None))
}

/// What a list is asked for.
pub fn list(query: &str) -> Result<ListRequest, u16> {
    QueryPairs::parse(Some(query))
        .and_then(|pairs| filters::request(&pairs))
        .map_err(|error| error.status.as_u16())
}
