//! Patches: Glance's two drafts of JSON Patch, and their pointers.

use http::StatusCode;
use serde_json::{Map, Value};

use crate::{
    catalog::{IfPresent, NewLocation, Operation, Position, Rules},
    http::error::ApiError,
};

/// Which of Glance's two formats a patch has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Draft {
    /// `{"add": "/path", "value": …}`: `add` does not overwrite.
    Four,
    /// `{"op": "add", "path": "/path", "value": …}`: `add` overwrites.
    Ten,
}

const DRAFT_FOUR: &str = "application/openstack-images-v2.0-json-patch";
const DRAFT_TEN: &str = "application/openstack-images-v2.1-json-patch";
const KINDS: &str = "add, remove, replace";

impl Draft {
    /// The format of this media type.
    pub(super) fn of(media_type: &str) -> Option<Self> {
        match media_type {
            DRAFT_FOUR => Some(Self::Four),
            DRAFT_TEN => Some(Self::Ten),
            _ => None,
        }
    }

    /// The media types, for `Accept-Patch`.
    pub(super) const fn accepted() -> &'static str {
        "application/openstack-images-v2.0-json-patch, application/openstack-images-v2.1-json-patch"
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Add,
    Remove,
    Replace,
}

impl Kind {
    const ALL: [(Self, &'static str); 3] = [
        (Self::Add, "add"),
        (Self::Remove, "remove"),
        (Self::Replace, "replace"),
    ];

    fn name(self) -> &'static str {
        match self {
            Self::Add => "add",
            Self::Remove => "remove",
            Self::Replace => "replace",
        }
    }
}

/// The operations of a patch, all of them checked before any is done.
///
/// # Errors
/// 400 for syntax, pointers and values; 403 for names that clients may not set.
pub(super) fn operations(draft: Draft, body: Value, rules: &Rules) -> Result<Vec<Operation>, ApiError> {
    let Value::Array(changes) = body else {
        return Err(ApiError::bad_request(
            "Request body must be a JSON array of operation objects.",
        ));
    };
    changes
        .into_iter()
        .map(|change| match change {
            Value::Object(change) => operation(draft, change, rules),
            _ => Err(ApiError::bad_request("Operations must be JSON objects.")),
        })
        .collect()
}

fn operation(draft: Draft, mut change: Map<String, Value>, rules: &Rules) -> Result<Operation, ApiError> {
    let (kind, pointer) = match draft {
        Draft::Four => kind_and_pointer_of_draft_four(&change)?,
        Draft::Ten => kind_and_pointer_of_draft_ten(&change)?,
    };
    let tokens = tokens(pointer)?;
    let name = root(kind, &tokens)?;
    // The place in a list; nothing but locations has one.
    let place = tokens.get(1).map(|token| Position::parse(token));
    if kind == Kind::Remove {
        return Ok(match place {
            Some(place) => Operation::RemoveLocation(place),
            None => Operation::remove(&name)?,
        });
    }
    let Some(value) = change.remove("value") else {
        let kind = kind.name();
        return Err(ApiError::bad_request(format!(
            "Operation \"{kind}\" requires a member named \"value\"."
        )));
    };
    if name == "locations" {
        return locations(place, value);
    }
    let operation = match (kind, draft) {
        (Kind::Add, Draft::Four) => Operation::add(&name, value, IfPresent::Refuse, rules)?,
        (Kind::Add, Draft::Ten) => Operation::add(&name, value, IfPresent::Overwrite, rules)?,
        (Kind::Replace | Kind::Remove, _) => Operation::replace(&name, value, rules)?,
    };
    Ok(operation)
}

/// A location for a place in the list, or all of the list.
fn locations(place: Option<Position>, value: Value) -> Result<Operation, ApiError> {
    if let Some(place) = place {
        return Ok(Operation::AddLocation(place, NewLocation::parse(value)?));
    }
    let locations = NewLocation::parse_all(value)?;
    if locations.is_empty() {
        return Err(ApiError::new(
            StatusCode::FORBIDDEN,
            "Cannot set locations to empty list.",
        ));
    }
    Ok(Operation::ReplaceLocations(locations))
}

fn kind_and_pointer_of_draft_ten(change: &Map<String, Value>) -> Result<(Kind, &str), ApiError> {
    let Some(op) = change.get("op").filter(|op| !op.is_null()) else {
        return Err(ApiError::bad_request(format!(
            "Unable to find `op` in JSON Schema change. It must be one of the following: {KINDS}."
        )));
    };
    let kind = Kind::ALL.into_iter().find(|(_, name)| op.as_str() == Some(*name));
    let Some((kind, _)) = kind else {
        let shown: String = op.to_string().chars().take(40).collect();
        return Err(ApiError::bad_request(format!(
            "Invalid operation: `{shown}`. It must be one of the following: {KINDS}."
        )));
    };
    let Some(path) = change.get("path") else {
        return Err(ApiError::bad_request(
            "Unable to find 'path' in JSON Schema change",
        ));
    };
    Ok((kind, text(path)?))
}

fn kind_and_pointer_of_draft_four(change: &Map<String, Value>) -> Result<(Kind, &str), ApiError> {
    let mut found = Kind::ALL
        .into_iter()
        .filter_map(|(kind, name)| Some((kind, change.get(name)?)));
    match (found.next(), found.next()) {
        (Some((kind, pointer)), None) => Ok((kind, text(pointer)?)),
        (None, _) => Err(ApiError::bad_request(
            "Operation objects must contain exactly one member named \"add\", \"remove\", or \"replace\".",
        )),
        (Some(_), Some(_)) => Err(ApiError::bad_request(
            "Operation objects must contain only one member named \"add\", \"remove\", or \"replace\".",
        )),
    }
}

fn text(pointer: &Value) -> Result<&str, ApiError> {
    pointer
        .as_str()
        .ok_or_else(|| ApiError::bad_request("A JSON pointer must be a string."))
}

/// The tokens of a pointer; at least one.
fn tokens(pointer: &str) -> Result<Vec<String>, ApiError> {
    let shown = || pointer.chars().take(255).collect::<String>();
    let Some(rest) = pointer.strip_prefix('/') else {
        return Err(ApiError::bad_request(format!(
            "Pointer `{}` does not start with \"/\".",
            shown()
        )));
    };
    let between: Vec<&str> = rest.split('/').collect();
    let inner = between
        .get(1..between.len().saturating_sub(1))
        .unwrap_or_default();
    if inner.iter().any(|token| token.trim().is_empty()) {
        return Err(ApiError::bad_request(format!(
            "Pointer `{}` contains adjacent \"/\".",
            shown()
        )));
    }
    if !rest.is_empty() && rest.ends_with('/') {
        return Err(ApiError::bad_request(format!(
            "Pointer `{}` end with \"/\".",
            shown()
        )));
    }
    if rest.trim() == "/" {
        return Err(ApiError::bad_request(format!(
            "Pointer `{}` does not contains valid token.",
            shown()
        )));
    }
    let mut escapes = pointer.split('~').skip(1);
    if escapes.any(|after| !after.starts_with(['0', '1'])) {
        return Err(ApiError::bad_request(format!(
            "Pointer `{}` contains \"~\" not part of a recognized escape sequence.",
            shown()
        )));
    }
    let tokens = pointer.trim_start_matches('/').split('/');
    Ok(tokens
        .map(|token| token.replace("~1", "/").replace("~0", "~").trim().to_owned())
        .collect())
}

/// The name that a pointer begins with, when it is as deep as the operation goes: only locations have parts.
fn root(kind: Kind, tokens: &[String]) -> Result<String, ApiError> {
    let depth = |name: &str| match (name, kind) {
        ("locations", Kind::Add | Kind::Remove) => 2,
        _ => 1,
    };
    match tokens.first() {
        Some(name) if tokens.len() == depth(name) => Ok(name.clone()),
        _ => {
            let shown: String = tokens.join("/").chars().take(255).collect();
            Err(ApiError::bad_request(format!(
                "Invalid JSON pointer for this resource: '/{shown}'"
            )))
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;
    use crate::{catalog::Attribute, http::tests::rules};

    fn ten(body: Value) -> Result<Vec<Operation>, (u16, String)> {
        operations(Draft::Ten, body, &rules()).map_err(|error| (error.status.as_u16(), error.explanation))
    }

    fn status(body: Value) -> u16 {
        ten(body).map_or_else(|(status, _)| status, |_| 200)
    }

    #[test]
    fn pointers_are_decoded_as_glance_decodes_them() {
        assert_eq!(tokens("/a~1b~0c").unwrap(), ["a/b~c"]);
        assert_eq!(tokens("/~01").unwrap(), ["~1"]);
        assert_eq!(tokens("/ name ").unwrap(), ["name"]);
        assert_eq!(tokens("/locations/-").unwrap(), ["locations", "-"]);
        for bad in ["", "name", "/a//b", "/a/ /b", "/a/", "/~2", "/a~", "/a~ b"] {
            assert!(tokens(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn both_drafts_are_read() {
        let name = Attribute::Name(Some("x".to_owned()));
        assert_eq!(
            ten(json!([{"op": "add", "path": "/name", "value": "x"}])).unwrap(),
            [Operation::Add(name.clone(), IfPresent::Overwrite)]
        );
        assert_eq!(
            operations(Draft::Four, json!([{"add": "/name", "value": "x"}]), &rules()).unwrap(),
            [Operation::Add(name, IfPresent::Refuse)]
        );
        assert_eq!(
            operations(Draft::Four, json!([{"remove": "/p"}]), &rules()).unwrap(),
            [Operation::Remove { name: "p".to_owned() }]
        );
        let both = json!([{"add": "/p", "remove": "/q", "value": "x"}]);
        assert!(operations(Draft::Four, both, &rules()).is_err());
    }

    #[test]
    fn syntax_is_400() {
        assert_eq!(status(json!({})), 400);
        assert_eq!(status(json!(["x"])), 400);
        assert_eq!(status(json!([{"path": "/name", "value": "x"}])), 400);
        assert_eq!(
            status(json!([{"op": "move", "path": "/name", "value": "x"}])),
            400
        );
        assert_eq!(status(json!([{"op": "add", "value": "x"}])), 400);
        assert_eq!(status(json!([{"op": "add", "path": 1, "value": "x"}])), 400);
        assert_eq!(status(json!([{"op": "add", "path": "/name"}])), 400);
        assert_eq!(
            status(json!([{"op": "add", "path": "/tags/-", "value": "x"}])),
            400
        );
        assert_eq!(
            status(json!([{"op": "add", "path": "/locations", "value": []}])),
            400
        );
        assert_eq!(
            status(json!([{"op": "replace", "path": "/name", "value": 1}])),
            400
        );
        assert_eq!(status(json!([{"op": "add", "path": "/p", "value": null}])), 400);
    }

    #[test]
    fn names_that_clients_may_not_set_are_403() {
        for name in [
            "created_at",
            "updated_at",
            "status",
            "checksum",
            "size",
            "virtual_size",
            "direct_url",
            "self",
            "file",
            "schema",
            "id",
            "os_hash_algo",
            "os_hash_value",
            "stores",
            "location",
            "deleted",
            "deleted_at",
            "os_glance_import_task",
            "os_glanceful",
        ] {
            for op in ["add", "replace", "remove"] {
                let body = json!([{"op": op, "path": format!("/{name}"), "value": "x"}]);
                assert_eq!(status(body), 403, "{op} {name}");
            }
        }
    }

    proptest! {
        #[test]
        fn no_pointer_panics(pointer in "\\PC*") {
            let _ = tokens(&pointer);
        }

        #[test]
        fn no_pointer_of_slashes_and_tildes_panics(pointer in "[/~01 a-]{0,12}") {
            if let Ok(tokens) = tokens(&pointer) {
                prop_assert!(!tokens.is_empty());
            }
        }
    }
}
