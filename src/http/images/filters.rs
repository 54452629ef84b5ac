//! What a list is asked for, from its query (Glance 33, `api/v2/images.py`, `db/sqlalchemy/api.py`, `common/utils.py`).

mod values;

use std::collections::BTreeMap;

use self::values::{in_list, instant};
use crate::{
    catalog::{
        Comparison, Condition, Direction, Filter, Flag, ListRequest, Number, Order, SortKey, Text, TimeField,
    },
    http::{error::ApiError, query::QueryPairs},
    image::{MemberStatus, Timestamp, Visibility, VisibilityFilter},
};

/// Names in a query that are no filters.
const NOT_FILTERS: [&str; 7] = [
    "limit",
    "marker",
    "member_status",
    "tag",
    "sort",
    "sort_key",
    "sort_dir",
];

/// No image.
fn nothing() -> Condition {
    Condition::OneOf(Text::Id, Vec::new())
}

/// # Errors
/// 400 with the reason.
pub(super) fn request(query: &QueryPairs) -> Result<ListRequest, ApiError> {
    let mut conditions = Vec::new();
    // Of a filter that is given twice the last one counts.
    let filters: BTreeMap<&str, &str> = query
        .iter()
        .filter(|(name, _)| !NOT_FILTERS.contains(name))
        .collect();
    let visibility = visibility(filters.get("visibility").copied(), &mut conditions)?;
    if filters
        .get("changes-since")
        .is_some_and(|value| !value.is_empty())
    {
        return Err(ApiError::bad_request(
            "The \"changes-since\" filter is no longer available on v2.",
        ));
    }
    let hidden = filters.get("os_hidden").map(|value| value.to_lowercase());
    let hidden = flag("os_hidden", hidden.as_deref().unwrap_or("false"))?;
    conditions.push(Condition::Is(Flag::Hidden, hidden));
    conditions.extend(query.all("tag").map(|tag| Condition::Tag(tag.trim().to_owned())));
    for (name, value) in filters {
        conditions.extend(condition(name, value)?);
    }
    Ok(ListRequest {
        visibility,
        member_status: member_status(query.first("member_status"))?,
        filter: Filter(conditions),
        order: order(query)?,
        marker: query.first("marker").map(str::to_owned),
        limit: limit(query.first("limit"))?,
    })
}

fn visibility(
    value: Option<&str>,
    conditions: &mut Vec<Condition>,
) -> Result<Option<VisibilityFilter>, ApiError> {
    match value {
        None => Ok(None),
        Some("all") => Ok(Some(VisibilityFilter::All)),
        Some("") => {
            conditions.push(nothing());
            Ok(None)
        }
        Some(value) => match Visibility::parse(value) {
            Some(visibility) => Ok(Some(VisibilityFilter::Only(visibility))),
            None => Err(ApiError::bad_request(format!(
                "Invalid visibility value: {value}"
            ))),
        },
    }
}

fn member_status(value: Option<&str>) -> Result<Option<MemberStatus>, ApiError> {
    match value {
        None => Ok(Some(MemberStatus::Accepted)),
        Some("all") => Ok(None),
        Some(value) => match MemberStatus::parse(value) {
            Some(status) => Ok(Some(status)),
            None => Err(ApiError::bad_request(format!("Invalid status: {value}"))),
        },
    }
}

fn limit(value: Option<&str>) -> Result<Option<u64>, ApiError> {
    let Some(value) = value else { return Ok(None) };
    let limit: i128 = value
        .trim()
        .parse()
        .map_err(|_| ApiError::bad_request("limit param must be an integer"))?;
    if limit < 0 {
        return Err(ApiError::bad_request("limit param must be positive"));
    }
    Ok(Some(u64::try_from(limit).unwrap_or(u64::MAX)))
}

/// One filter. `None` for those that have been dealt with.
fn condition(name: &str, value: &str) -> Result<Option<Condition>, ApiError> {
    let condition = match name {
        "visibility" | "os_hidden" | "changes-since" | "deleted" => return Ok(None),
        "protected" => Condition::Is(Flag::Protected, flag(name, value)?),
        "name" => one_of(Text::Name, value)?,
        "id" => one_of(Text::Id, &value.to_lowercase())?,
        "status" => one_of(Text::Status, value)?,
        "container_format" => one_of(Text::ContainerFormat, value)?,
        "disk_format" => one_of(Text::DiskFormat, value)?,
        "owner" => exactly(Text::Owner, value),
        "checksum" => exactly(Text::Checksum, value),
        "os_hash_algo" => exactly(Text::HashAlgorithm, value),
        "os_hash_value" => exactly(Text::HashValue, value),
        "created_at" => time(TimeField::CreatedAt, name, value)?,
        "updated_at" => time(TimeField::UpdatedAt, name, value)?,
        // Of images that are not deleted none has it.
        "deleted_at" => nothing(),
        _ => number(name, value)?,
    };
    Ok(Some(condition))
}

fn exactly(field: Text, value: &str) -> Condition {
    Condition::OneOf(field, vec![value.to_owned()])
}

fn flag(name: &str, value: &str) -> Result<bool, ApiError> {
    match value {
        "true" => Ok(true),
        "false" => Ok(false),
        _ => Err(ApiError::bad_request(format!(
            "Invalid value '{value}' for '{name}' filter. Valid values are 'true' or 'false'."
        ))),
    }
}

/// A filter's value without the operator before it. A time may have a colon, and no operator.
fn operator(value: &str) -> (&str, &str) {
    match value.split_once(':') {
        Some((operator, operand)) if instant(value).is_none() => (operator, operand),
        _ => ("eq", value),
    }
}

fn one_of(field: Text, value: &str) -> Result<Condition, ApiError> {
    match operator(value) {
        ("eq", wanted) => Ok(exactly(field, wanted)),
        ("in", list) => Ok(Condition::OneOf(field, in_list(list)?)),
        (operator, _) => Err(ApiError::bad_request(format!(
            "Unable to filter by unknown operator '{operator}'."
        ))),
    }
}

fn time(field: TimeField, name: &str, value: &str) -> Result<Condition, ApiError> {
    let (operator, time) = operator(value);
    let time: Timestamp = instant(time).ok_or_else(|| {
        ApiError::bad_request(format!(
            "Bad \"{name}\" query filter format. Use ISO 8601 DateTime notation."
        ))
    })?;
    let comparison = match operator {
        "gt" => Comparison::Greater,
        "gte" => Comparison::GreaterOrEqual,
        "lt" => Comparison::Less,
        "lte" => Comparison::LessOrEqual,
        "eq" => Comparison::Equal,
        "neq" => Comparison::NotEqual,
        _ => return Err(ApiError::bad_request("Unable to filter on a unknown operator.")),
    };
    Ok(Condition::Time(field, comparison, time))
}

/// A number, a bound of one, or, for any other name, a property.
fn number(name: &str, value: &str) -> Result<Condition, ApiError> {
    let column = |name: &str| match name {
        "size" => Some(Number::Size),
        "virtual_size" => Some(Number::VirtualSize),
        "min_disk" => Some(Number::MinDisk),
        "min_ram" => Some(Number::MinRam),
        _ => None,
    };
    if let Some(field) = column(name) {
        // What is no number is the value of no image.
        let exactly = value
            .trim()
            .parse()
            .map(|wanted| Condition::Exactly(field, wanted));
        return Ok(exactly.unwrap_or_else(|_| nothing()));
    }
    let bound = || {
        value
            .trim()
            .parse::<i128>()
            .map_err(|_| ApiError::bad_request("Unable to filter on a range with a non-numeric value."))
    };
    if let Some(field) = name.strip_suffix("_min").and_then(column) {
        let least = bound()?.max(0);
        return Ok(u64::try_from(least).map_or_else(|_| nothing(), |least| Condition::AtLeast(field, least)));
    }
    if let Some(field) = name.strip_suffix("_max").and_then(column) {
        return Ok(match u64::try_from(bound()?) {
            Ok(most) => Condition::AtMost(field, most),
            Err(_) if value.trim().starts_with('-') => nothing(),
            Err(_) => Condition::AtMost(field, u64::MAX),
        });
    }
    if name.ends_with("_min") || name.ends_with("_max") {
        // Whatever it bounds.
        bound()?;
    }
    Ok(Condition::Property(name.to_owned(), value.to_owned()))
}

/// `sort=name:asc,size`, or `sort_key=name&sort_dir=asc`.
fn order(query: &QueryPairs) -> Result<Order, ApiError> {
    let classic = query.first("sort_key").is_some() || query.first("sort_dir").is_some();
    let (keys, directions): (Vec<SortKey>, Vec<Direction>) = match query.first("sort") {
        Some(_) if classic => {
            return Err(ApiError::bad_request(
                "Old and new sorting syntax cannot be combined",
            ));
        }
        Some(sort) => {
            let mut keys = Vec::new();
            let mut directions = Vec::new();
            for part in sort.trim().split(',') {
                let (key, wanted) = part.split_once(':').unwrap_or((part, ""));
                keys.push(sort_key(key)?);
                directions.push(direction(if wanted.is_empty() { "desc" } else { wanted })?);
            }
            (keys, directions)
        }
        None => (
            query.all("sort_key").map(sort_key).collect::<Result<_, _>>()?,
            query.all("sort_dir").map(direction).collect::<Result<_, _>>()?,
        ),
    };
    if directions.len() > 1 && directions.len() != keys.len() {
        return Err(ApiError::bad_request(
            "Number of sort dirs does not match the number of sort keys",
        ));
    }
    let keys = if keys.is_empty() {
        vec![SortKey::CreatedAt]
    } else {
        keys
    };
    // One direction is that of all keys and of the tie-breakers.
    match directions.as_slice() {
        [] => Ok(Order::by(
            keys.into_iter().map(|key| (key, Direction::Descending)),
            Direction::Descending,
        )),
        [direction] => Ok(Order::by(
            keys.into_iter().map(|key| (key, *direction)),
            *direction,
        )),
        directions => Ok(Order::by(
            keys.into_iter().zip(directions.iter().copied()),
            Direction::Descending,
        )),
    }
}

fn sort_key(name: &str) -> Result<SortKey, ApiError> {
    let name = name.trim();
    SortKey::ALL
        .into_iter()
        .find(|key| key.as_str() == name)
        .ok_or_else(|| {
            let available: Vec<&str> = SortKey::ALL.iter().map(|key| key.as_str()).collect();
            ApiError::bad_request(format!(
                "Invalid sort key: {name}. It must be one of the following: {}.",
                available.join(", ")
            ))
        })
}

fn direction(name: &str) -> Result<Direction, ApiError> {
    match name.trim() {
        "asc" => Ok(Direction::Ascending),
        "desc" => Ok(Direction::Descending),
        name => Err(ApiError::bad_request(format!("Invalid sort direction: {name}"))),
    }
}

#[cfg(test)]
mod tests;
