//! The schema of an image: names, types and lengths of what clients may set (Glance 33, `api/v2/images.py`,
//! `get_base_properties` and the request deserializer).

use std::collections::BTreeSet;

use serde_json::Value;

use super::{CatalogErrorKind, Rules};
use crate::image::{INTERNAL_PROPERTY_PREFIX, Image, Visibility};

/// Set by the server alone. `stores` is among them although Glance forgets it in patches.
const READ_ONLY: [&str; 14] = [
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
];
const RESERVED: [&str; 3] = ["location", "deleted", "deleted_at"];
const BASE: [&str; 10] = [
    "name",
    "visibility",
    "protected",
    "os_hidden",
    "owner",
    "disk_format",
    "container_format",
    "min_disk",
    "min_ram",
    "tags",
];
/// The longest name, owner, tag or property name, in characters.
const MAX_TEXT: usize = 255;

/// What a name in a request means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NameKind {
    /// An attribute that every image has and clients may set.
    Base,
    /// An attribute that the server alone sets.
    ReadOnly,
    /// A name that nobody may use.
    Reserved,
    /// Where the data is.
    Locations,
    /// A property.
    Custom,
}

impl NameKind {
    /// What the name means.
    pub fn of(name: &str) -> Self {
        if READ_ONLY.contains(&name) {
            Self::ReadOnly
        } else if RESERVED.contains(&name) || is_internal(name) {
            Self::Reserved
        } else if name == "locations" {
            Self::Locations
        } else if BASE.contains(&name) {
            Self::Base
        } else {
            Self::Custom
        }
    }
}

/// Whether a property is Glance's own; those do not count against the quota.
pub(super) fn is_internal(name: &str) -> bool {
    name.starts_with(INTERNAL_PROPERTY_PREFIX)
}

/// One attribute with a value that the schema allows.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(missing_docs)] // The names are those of the record.
pub enum Attribute {
    Name(Option<String>),
    Visibility(Visibility),
    Protected(bool),
    Hidden(bool),
    Owner(Option<String>),
    DiskFormat(Option<String>),
    ContainerFormat(Option<String>),
    MinDisk(u32),
    MinRam(u32),
    Tags(BTreeSet<String>),
    Property(String, String),
}

impl Attribute {
    /// The attribute `name` with the value, if clients may set it and the schema allows the value.
    ///
    /// # Errors
    /// `ReadOnly`, `Reserved` by its name; `Invalid` by its value.
    pub fn parse(name: &str, value: Value, rules: &Rules) -> Result<Self, CatalogErrorKind> {
        let problem = |problem: String| invalid(name, problem);
        match NameKind::of(name) {
            NameKind::ReadOnly => {
                return Err(CatalogErrorKind::ReadOnly {
                    name: name.to_owned(),
                });
            }
            // Locations have operations of their own.
            NameKind::Reserved | NameKind::Locations => {
                return Err(CatalogErrorKind::Reserved {
                    name: name.to_owned(),
                });
            }
            NameKind::Base | NameKind::Custom => {}
        }
        let parsed = match name {
            "name" => Self::Name(optional(value, short).map_err(problem)?),
            "owner" => Self::Owner(optional(value, short).map_err(problem)?),
            "visibility" => Self::Visibility(visibility(&value).map_err(problem)?),
            "protected" => Self::Protected(boolean(&value).map_err(problem)?),
            "os_hidden" => Self::Hidden(boolean(&value).map_err(problem)?),
            "min_disk" => Self::MinDisk(minimum(&value).map_err(problem)?),
            "min_ram" => Self::MinRam(minimum(&value).map_err(problem)?),
            "disk_format" => {
                Self::DiskFormat(optional(value, |text| one_of(text, &rules.disk_formats)).map_err(problem)?)
            }
            "container_format" => Self::ContainerFormat(
                optional(value, |text| one_of(text, &rules.container_formats)).map_err(problem)?,
            ),
            "tags" => Self::Tags(tags(value).map_err(problem)?),
            _ => {
                let name = short(name.to_owned()).map_err(problem)?;
                let value = text(value).and_then(storable).map_err(problem)?;
                Self::Property(name, value)
            }
        };
        Ok(parsed)
    }

    /// A tag that an image may have.
    ///
    /// # Errors
    /// `Invalid`.
    pub fn tag(tag: &str) -> Result<String, CatalogErrorKind> {
        short(tag.to_owned()).map_err(|problem| invalid("tags", problem))
    }

    /// The image with the attribute.
    pub(super) fn set(&self, image: &mut Image) {
        match self.clone() {
            Self::Name(name) => image.name = name,
            Self::Visibility(visibility) => image.visibility = visibility,
            Self::Protected(protected) => image.protected = protected,
            Self::Hidden(hidden) => image.hidden = hidden,
            Self::Owner(owner) => image.owner = owner,
            Self::DiskFormat(format) => image.disk_format = format,
            Self::ContainerFormat(format) => image.container_format = format,
            Self::MinDisk(gib) => image.min_disk = gib,
            Self::MinRam(mib) => image.min_ram = mib,
            Self::Tags(tags) => image.tags = tags,
            Self::Property(name, value) => {
                image.properties.insert(name, value);
            }
        }
    }
}

impl Rules {
    /// Whether the image has no more properties than it may have.
    pub(super) fn check_properties(&self, image: &Image) -> Result<(), CatalogErrorKind> {
        let attempted = image.properties.keys().filter(|name| !is_internal(name)).count();
        match self.max_properties {
            Some(maximum) if attempted > maximum => {
                Err(CatalogErrorKind::TooManyProperties { attempted, maximum })
            }
            _ => Ok(()),
        }
    }

    /// Whether the image has no more tags than it may have.
    pub(super) fn check_tags(&self, image: &Image) -> Result<(), CatalogErrorKind> {
        let attempted = image.tags.len();
        match self.max_tags {
            Some(maximum) if attempted > maximum => Err(CatalogErrorKind::TooManyTags { attempted, maximum }),
            _ => Ok(()),
        }
    }
}

pub(super) fn invalid(name: &str, problem: String) -> CatalogErrorKind {
    // Names come from outside and may be as long as the body.
    let name = name.chars().take(MAX_TEXT).collect();
    CatalogErrorKind::Invalid { name, problem }
}

fn text(value: Value) -> Result<String, String> {
    match value {
        Value::String(text) => Ok(text),
        other => Err(format!("{} is not a string", kind(&other))),
    }
}

fn optional(
    value: Value,
    check: impl FnOnce(String) -> Result<String, String>,
) -> Result<Option<String>, String> {
    match value {
        Value::Null => Ok(None),
        value => text(value).and_then(check).map(Some),
    }
}

/// Glance's tables are MySQL's `utf8`, which has no characters beyond U+FFFF.
fn storable(text: String) -> Result<String, String> {
    if text.chars().all(|c| c <= '\u{ffff}') {
        Ok(text)
    } else {
        Err("it can't contain 4 byte unicode characters".to_owned())
    }
}

/// Text that Glance's columns hold.
pub(super) fn short(text: String) -> Result<String, String> {
    if text.chars().count() > MAX_TEXT {
        return Err(format!("it is longer than {MAX_TEXT} characters"));
    }
    storable(text)
}

fn one_of(text: String, allowed: &[String]) -> Result<String, String> {
    if allowed.contains(&text) {
        Ok(text)
    } else {
        let shown: String = text.chars().take(40).collect();
        Err(format!("'{shown}' is not one of {}", allowed.join(", ")))
    }
}

fn visibility(value: &Value) -> Result<Visibility, String> {
    value
        .as_str()
        .and_then(Visibility::parse)
        .ok_or_else(|| "it is not one of community, public, private, shared".to_owned())
}

fn boolean(value: &Value) -> Result<bool, String> {
    value
        .as_bool()
        .ok_or_else(|| format!("{} is not a boolean", kind(value)))
}

/// At most what Glance's column holds.
fn minimum(value: &Value) -> Result<u32, String> {
    value
        .as_i64()
        // JSON Schema takes 1.0 for an integer.
        .or_else(|| value.as_f64().filter(|n| n.fract() == 0.0).map(|n| n as i64))
        .and_then(|n| i32::try_from(n).ok())
        .and_then(|n| u32::try_from(n).ok())
        .ok_or_else(|| format!("it is not a whole number from 0 to {}", i32::MAX))
}

fn tags(value: Value) -> Result<BTreeSet<String>, String> {
    match value {
        Value::Array(tags) => tags.into_iter().map(|tag| text(tag).and_then(short)).collect(),
        other => Err(format!("{} is not an array", kind(&other))),
    }
}

const fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "an array",
        Value::Object(_) => "an object",
    }
}
