//! What a client or a file says, checked against the schemas that the API publishes
//! (`glance/api/v2/metadef_namespaces.py`, `get_schema_definitions`, and its siblings).

use std::collections::BTreeMap;

use serde_json::Value;

use super::{
    Object, Property, Visibility,
    fields::{Fields, Invalid, Repeats, shown},
};
use crate::image::Timestamp;

/// The longest name, prefix or display name, in characters: Glance's columns.
pub(super) const MAX_NAME: usize = 80;
const MAX_DESCRIPTION: usize = 500;
const MAX_OWNER: usize = 255;

/// What the server alone writes. A request that names it is forbidden; within what it holds, it is passed over, so that what
/// was shown can be sent back.
const READ_ONLY: [&str; 4] = ["self", "schema", "created_at", "updated_at"];
const READ_ONLY_TIMES: [&str; 2] = ["created_at", "updated_at"];

/// Why what a client says is no definition.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DraftError {
    /// It names what the server alone writes.
    #[error("Attribute '{0}' is read-only.")]
    ReadOnly(&'static str),
    /// It is not what the schema says.
    #[error(transparent)]
    Invalid(#[from] Invalid),
}

/// A namespace as it is to be.
#[derive(Debug, Clone, PartialEq)]
#[allow(missing_docs)] // The fields are those of the namespace.
pub struct NamespaceDraft {
    pub name: String,
    pub display_name: Option<String>,
    pub description: Option<String>,
    pub visibility: Option<Visibility>,
    pub protected: Option<bool>,
    pub owner: Option<String>,
    pub associations: Vec<AssociationDraft>,
    pub properties: BTreeMap<String, Property>,
    pub objects: Vec<ObjectDraft>,
    pub tags: Vec<String>,
}

/// An object as it is to be.
#[derive(Debug, Clone, PartialEq)]
#[allow(missing_docs)] // The fields are those of the object.
pub struct ObjectDraft {
    pub name: String,
    pub description: Option<String>,
    pub required: Vec<String>,
    pub properties: BTreeMap<String, Property>,
}

/// An association as it is to be.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(missing_docs)] // The fields are those of the association.
pub struct AssociationDraft {
    pub name: String,
    pub prefix: Option<String>,
    pub properties_target: Option<String>,
}

impl NamespaceDraft {
    /// From the body of a request.
    ///
    /// # Errors
    /// [`DraftError`].
    pub fn parse(body: Value) -> Result<Self, DraftError> {
        let fields = Fields::of("namespace", body)?;
        refuse(&fields, &READ_ONLY)?;
        Ok(Self::take(fields)?)
    }

    /// From one of the files that Glance comes with (`etc/metadefs/*.json`): absent values may be null there.
    ///
    /// # Errors
    /// [`Invalid`].
    pub fn parse_file(mut content: Value) -> Result<Self, Invalid> {
        if let Value::Object(members) = &mut content {
            members.retain(|_, value| !value.is_null());
            for association in members
                .get_mut("resource_type_associations")
                .and_then(Value::as_array_mut)
                .into_iter()
                .flatten()
                .filter_map(Value::as_object_mut)
            {
                association.retain(|_, value| !value.is_null());
            }
        }
        let mut fields = Fields::of("namespace", content)?;
        fields.ignore(&READ_ONLY);
        Self::take(fields)
    }

    fn take(mut fields: Fields) -> Result<Self, Invalid> {
        let name = fields.required_text("namespace", MAX_NAME)?;
        // Glance makes such a namespace, and no path leads to it.
        if name.is_empty() || name.contains('/') {
            return Err(fields.wrong("namespace: a name is not empty and has no slash"));
        }
        let visibility = match fields.text("visibility", usize::MAX)? {
            None => None,
            Some(text) => Some(Visibility::parse(&text).ok_or_else(|| {
                fields.wrong(&format!(
                    "visibility: '{}' is not one of public, private",
                    shown(&text)
                ))
            })?),
        };
        let associations = fields.objects("resource_type_associations")?;
        let objects = fields.objects("objects")?;
        let tags = fields.objects("tags")?;
        let draft = Self {
            name,
            display_name: fields.text("display_name", MAX_NAME)?,
            description: fields.text("description", MAX_DESCRIPTION)?,
            visibility,
            protected: fields.flag("protected")?,
            owner: fields.text("owner", MAX_OWNER)?,
            associations: associations
                .into_iter()
                .map(AssociationDraft::take)
                .collect::<Result<_, _>>()?,
            properties: properties(&mut fields)?,
            objects: objects
                .into_iter()
                .map(ObjectDraft::take)
                .collect::<Result<_, _>>()?,
            tags: tags.into_iter().map(tag).collect::<Result<_, _>>()?,
        };
        fields.finish()?;
        Ok(draft)
    }
}

impl ObjectDraft {
    /// From the body of a request.
    ///
    /// # Errors
    /// [`DraftError`].
    pub fn parse(body: Value) -> Result<Self, DraftError> {
        let fields = Fields::of("object", body)?;
        refuse(&fields, &READ_ONLY)?;
        Ok(Self::take(fields)?)
    }

    fn take(mut fields: Fields) -> Result<Self, Invalid> {
        fields.ignore(&READ_ONLY);
        let draft = Self {
            name: fields.required_text("name", MAX_NAME)?,
            description: fields.text("description", usize::MAX)?,
            required: fields.texts("required", Repeats::Refused)?.unwrap_or_default(),
            properties: properties(&mut fields)?,
        };
        fields.finish()?;
        Ok(draft)
    }

    pub(super) fn into_object(
        self,
        created_at: Timestamp,
        updated_at: Option<Timestamp>,
    ) -> (String, Object) {
        let object = Object {
            description: self.description,
            required: self.required,
            properties: self.properties,
            created_at,
            updated_at,
        };
        (self.name, object)
    }
}

impl AssociationDraft {
    /// From the body of a request.
    ///
    /// # Errors
    /// [`DraftError`].
    pub fn parse(body: Value) -> Result<Self, DraftError> {
        let fields = Fields::of("resource_type_association", body)?;
        refuse(&fields, &READ_ONLY_TIMES)?;
        Ok(Self::take(fields)?)
    }

    fn take(mut fields: Fields) -> Result<Self, Invalid> {
        fields.ignore(&READ_ONLY_TIMES);
        let draft = Self {
            name: fields.required_text("name", MAX_NAME)?,
            prefix: fields.text("prefix", MAX_NAME)?,
            properties_target: fields.text("properties_target", MAX_NAME)?,
        };
        fields.finish()?;
        Ok(draft)
    }
}

/// A property and its name, from the body of a request.
///
/// # Errors
/// [`DraftError`].
pub fn parse_property(body: Value) -> Result<(String, Property), DraftError> {
    let fields = Fields::of("property", body)?;
    refuse(&fields, &READ_ONLY_TIMES)?;
    let nameless = fields.wrong("'name' is a required property");
    let property = Property::parse(fields)?;
    let name = property.name.clone().ok_or(nameless)?;
    Ok((name, property))
}

/// A tag's name, from the body of a request.
///
/// # Errors
/// [`DraftError`].
pub fn parse_tag(body: Value) -> Result<String, DraftError> {
    let mut fields = Fields::of("tag", body)?;
    refuse(&fields, &READ_ONLY_TIMES)?;
    let name = fields.required_text("name", MAX_NAME)?;
    fields.finish()?;
    Ok(name)
}

/// The names of many tags, from the body of a request.
///
/// # Errors
/// [`DraftError`].
pub fn parse_tags(body: Value) -> Result<Vec<String>, DraftError> {
    let mut fields = Fields::of("tags", body)?;
    refuse(&fields, &READ_ONLY_TIMES)?;
    if !fields.has("tags") {
        return Err(fields.wrong("'tags' is a required property").into());
    }
    let tags = fields.objects("tags")?;
    let names: Vec<String> = tags.into_iter().map(tag).collect::<Result<_, _>>()?;
    fields.finish()?;
    Ok(names)
}

fn tag(mut fields: Fields) -> Result<String, Invalid> {
    fields.ignore(&READ_ONLY_TIMES);
    let name = fields.required_text("name", MAX_NAME)?;
    fields.finish()?;
    Ok(name)
}

fn properties(fields: &mut Fields) -> Result<BTreeMap<String, Property>, Invalid> {
    let named = fields.named_objects("properties")?;
    let parsed = named.into_iter().map(|(name, property)| {
        property.check_text("the name of a property", &name, MAX_NAME)?;
        Ok((name, Property::parse(property)?))
    });
    parsed.collect()
}

fn refuse(fields: &Fields, read_only: &[&'static str]) -> Result<(), DraftError> {
    match read_only.iter().find(|name| fields.has(name)) {
        Some(name) => Err(DraftError::ReadOnly(name)),
        None => Ok(()),
    }
}
