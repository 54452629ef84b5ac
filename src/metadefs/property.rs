//! Definitions of properties (`glance/api/v2/model/metadef_property_type.py`).

use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Number, Value};

use super::fields::{Fields, Invalid, Repeats};

/// What values a property may have. As JSON it has the form and the order of the API.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[allow(missing_docs)] // The names are those of JSON schema.
pub struct Property {
    /// The name that was given within the definition; the one that counts is the key under which it stands.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub name: Option<String>,
    #[serde(rename = "type")]
    pub kind: PropertyType,
    pub title: String,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub description: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub operators: Option<Vec<String>>,
    #[serde(
        skip_serializing_if = "Option::is_none",
        default,
        deserialize_with = "present"
    )]
    pub default: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub readonly: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub minimum: Option<Number>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub maximum: Option<Number>,
    #[serde(rename = "enum", skip_serializing_if = "Option::is_none", default)]
    pub choices: Option<Vec<Value>>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub pattern: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub min_length: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub max_length: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub confidential: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub items: Option<Items>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub unique_items: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub min_items: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub max_items: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub additional_items: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub required: Option<Vec<String>>,
}

/// What an array holds.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Items {
    /// Of which type its elements are.
    #[serde(rename = "type")]
    pub kind: PropertyType,
    /// Which elements it may have.
    #[serde(rename = "enum", skip_serializing_if = "Option::is_none", default)]
    pub choices: Option<Vec<Value>>,
}

/// The types of JSON schema.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[allow(missing_docs)]
pub enum PropertyType {
    Array,
    Boolean,
    Integer,
    Number,
    Object,
    String,
}

fn present<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Value>, D::Error> {
    Value::deserialize(deserializer).map(Some)
}

impl PropertyType {
    fn parse(name: &str) -> Option<Self> {
        Some(match name {
            "array" => Self::Array,
            "boolean" => Self::Boolean,
            "integer" => Self::Integer,
            "number" => Self::Number,
            "object" => Self::Object,
            "string" => Self::String,
            _ => return None,
        })
    }
}

impl Property {
    /// A property of which nothing is said but this.
    pub fn new(kind: PropertyType, title: impl Into<String>) -> Self {
        Self {
            name: None,
            kind,
            title: title.into(),
            description: None,
            operators: None,
            default: None,
            readonly: None,
            minimum: None,
            maximum: None,
            choices: None,
            pattern: None,
            min_length: None,
            max_length: None,
            confidential: None,
            items: None,
            unique_items: None,
            min_items: None,
            max_items: None,
            additional_items: None,
            required: None,
        }
    }

    /// Its JSON.
    pub fn to_json(&self) -> String {
        // A struct of texts, numbers and lists is always JSON.
        serde_json::to_string(self).unwrap_or_default()
    }

    pub(super) fn parse(mut fields: Fields) -> Result<Self, Invalid> {
        let kind = kind(&mut fields)?;
        let property = Self {
            name: fields.text("name", super::draft::MAX_NAME)?,
            description: fields.text("description", usize::MAX)?,
            operators: fields.texts("operators", Repeats::Allowed)?,
            default: fields.any("default").map(default),
            readonly: fields.flag("readonly")?,
            minimum: fields.number("minimum")?,
            maximum: fields.number("maximum")?,
            choices: fields.list("enum")?,
            pattern: fields.text("pattern", usize::MAX)?,
            min_length: fields.count("minLength")?,
            max_length: fields.count("maxLength")?,
            confidential: fields.flag("confidential")?,
            items: items(&mut fields)?,
            unique_items: fields.flag("uniqueItems")?,
            min_items: fields.count("minItems")?,
            max_items: fields.count("maxItems")?,
            additional_items: fields.flag("additionalItems")?,
            required: fields.texts("required", Repeats::Refused)?,
            ..Self::new(kind, fields.required_text("title", usize::MAX)?)
        };
        fields.finish()?;
        Ok(property)
    }
}

fn kind(fields: &mut Fields) -> Result<PropertyType, Invalid> {
    let name = fields.required_text("type", usize::MAX)?;
    PropertyType::parse(&name).ok_or_else(|| {
        let name = super::fields::shown(&name);
        fields.wrong(&format!(
            "type: '{name}' is not one of array, boolean, integer, number, object, string"
        ))
    })
}

fn items(fields: &mut Fields) -> Result<Option<Items>, Invalid> {
    let Some(value) = fields.any("items") else {
        return Ok(None);
    };
    let mut fields = fields.inner("items", value)?;
    let items = Items {
        kind: kind(&mut fields)?,
        choices: fields.list("enum")?,
    };
    fields.finish()?;
    Ok(Some(items))
}

/// Glance gives every default as text, in Python's spelling. (It forgets what is a list or an object, which stays as it is
/// here.)
fn default(value: Value) -> Value {
    Value::String(match value {
        Value::Bool(true) => "True".to_owned(),
        Value::Bool(false) => "False".to_owned(),
        Value::Number(number) => number.to_string(),
        other => return other,
    })
}
