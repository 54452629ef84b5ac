//! What is stored of metadata definitions: a byte that says which version, then the record in that version's form.
//!
//! The head of a namespace comes first, so that a list reads no more. Definitions of properties are stored as the JSON of the
//! API, which has its own rules for what may change.

use serde::{Deserialize, Serialize};

use crate::{
    image::Timestamp,
    metadefs::{Association, Head, Namespace, NamespaceId, Object, Property, ResourceType, Tag, Visibility},
};

const VERSION: u8 = 1;

/// Why stored bytes are no definition.
#[derive(Debug, thiserror::Error)]
pub(in crate::metadata::rocksdb) enum CorruptDefinition {
    /// There are none.
    #[error("the record is empty")]
    Empty,
    /// A later version of Saccade wrote it.
    #[error("the record has version {0}, which this version of Saccade does not know")]
    Version(u8),
    /// It does not have the form of its version.
    #[error("the record does not have the form of its version")]
    Form(#[from] postcard::Error),
    /// Bytes are left after it.
    #[error("the record is followed by {0} bytes")]
    Trailing(usize),
    /// A definition of a property is none.
    #[error("the definition of a property cannot be read")]
    Property(#[from] serde_json::Error),
    /// A number stands for no visibility.
    #[error("{0} is no visibility")]
    Visibility(u8),
    /// It is the record of another namespace.
    #[error("the record is that of another namespace")]
    OtherName,
}

#[derive(Serialize, Deserialize)]
struct StoredHead<'a> {
    name: &'a str,
    display_name: Option<&'a str>,
    description: Option<&'a str>,
    visibility: u8,
    protected: bool,
    owner: Option<&'a str>,
    #[serde(borrow)]
    associations: Vec<StoredAssociation<'a>>,
    created_at: u64,
    updated_at: Option<u64>,
}

#[derive(Serialize, Deserialize)]
struct StoredAssociation<'a> {
    name: &'a str,
    prefix: Option<&'a str>,
    properties_target: Option<&'a str>,
    created_at: u64,
    updated_at: Option<u64>,
}

#[derive(Serialize, Deserialize)]
struct StoredContent<'a> {
    id: [u8; 16],
    revision: u64,
    properties: Vec<(&'a str, String)>,
    #[serde(borrow)]
    objects: Vec<StoredObject<'a>>,
    #[serde(borrow)]
    tags: Vec<(&'a str, u64, Option<u64>)>,
}

#[derive(Serialize, Deserialize)]
struct StoredObject<'a> {
    name: &'a str,
    description: Option<&'a str>,
    #[serde(borrow)]
    required: Vec<&'a str>,
    properties: Vec<(&'a str, String)>,
    created_at: u64,
    updated_at: Option<u64>,
}

/// The bytes that are stored for a namespace.
///
/// # Errors
/// None that a complete namespace can cause.
pub(in crate::metadata::rocksdb) fn encode(namespace: &Namespace) -> Result<Vec<u8>, postcard::Error> {
    let head = postcard::to_extend(&StoredHead::from(&namespace.head), vec![VERSION])?;
    let content = StoredContent {
        id: *namespace.id.as_bytes(),
        revision: namespace.revision,
        properties: stored_properties(&namespace.properties),
        objects: namespace.objects.iter().map(StoredObject::from).collect(),
        tags: namespace
            .tags
            .iter()
            .map(|tag| {
                (
                    tag.name.as_str(),
                    tag.created_at.as_micros(),
                    micros(tag.updated_at),
                )
            })
            .collect(),
    };
    postcard::to_extend(&content, head)
}

/// The namespace that is stored under `name`. Total: any bytes give a namespace or an error, in memory that is bounded by a
/// multiple of their length.
///
/// # Errors
/// [`CorruptDefinition`].
pub(in crate::metadata::rocksdb) fn decode(name: &str, bytes: &[u8]) -> Result<Namespace, CorruptDefinition> {
    let (head, rest) = take_head(name, bytes)?;
    let (content, rest): (StoredContent<'_>, _) = postcard::take_from_bytes(rest)?;
    if !rest.is_empty() {
        return Err(CorruptDefinition::Trailing(rest.len()));
    }
    let objects = content.objects.into_iter().map(|stored| {
        let object = Object {
            description: stored.description.map(str::to_owned),
            required: stored.required.into_iter().map(str::to_owned).collect(),
            properties: properties(stored.properties)?,
            created_at: Timestamp::from_micros(stored.created_at),
            updated_at: stored.updated_at.map(Timestamp::from_micros),
        };
        Ok((stored.name.to_owned(), object))
    });
    Ok(Namespace {
        id: NamespaceId::from_bytes(content.id),
        revision: content.revision,
        head,
        properties: properties(content.properties)?,
        objects: objects.collect::<Result<_, CorruptDefinition>>()?,
        tags: content.tags.into_iter().map(tag).collect(),
    })
}

/// The head alone; what follows it is not looked at.
///
/// # Errors
/// [`CorruptDefinition`].
pub(in crate::metadata::rocksdb) fn decode_head(name: &str, bytes: &[u8]) -> Result<Head, CorruptDefinition> {
    take_head(name, bytes).map(|(head, _)| head)
}

/// The bytes that are stored for a resource type.
///
/// # Errors
/// None.
pub(in crate::metadata::rocksdb) fn encode_resource_type(
    created_at: Timestamp,
) -> Result<Vec<u8>, postcard::Error> {
    postcard::to_extend(&created_at.as_micros(), vec![VERSION])
}

/// The resource type that is stored under `name`.
///
/// # Errors
/// [`CorruptDefinition`].
pub(in crate::metadata::rocksdb) fn decode_resource_type(
    name: &str,
    bytes: &[u8],
) -> Result<ResourceType, CorruptDefinition> {
    let (created_at, rest): (u64, _) = postcard::take_from_bytes(versioned(bytes)?)?;
    if !rest.is_empty() {
        return Err(CorruptDefinition::Trailing(rest.len()));
    }
    Ok(ResourceType {
        name: name.to_owned(),
        created_at: Timestamp::from_micros(created_at),
    })
}

fn versioned(bytes: &[u8]) -> Result<&[u8], CorruptDefinition> {
    match bytes.split_first() {
        None => Err(CorruptDefinition::Empty),
        Some((&VERSION, rest)) => Ok(rest),
        Some((version, _)) => Err(CorruptDefinition::Version(*version)),
    }
}

fn take_head<'b>(name: &str, bytes: &'b [u8]) -> Result<(Head, &'b [u8]), CorruptDefinition> {
    let (stored, rest): (StoredHead<'_>, _) = postcard::take_from_bytes(versioned(bytes)?)?;
    if stored.name != name {
        return Err(CorruptDefinition::OtherName);
    }
    let head = Head {
        name: stored.name.to_owned(),
        display_name: stored.display_name.map(str::to_owned),
        description: stored.description.map(str::to_owned),
        visibility: match stored.visibility {
            0 => Visibility::Private,
            1 => Visibility::Public,
            code => return Err(CorruptDefinition::Visibility(code)),
        },
        protected: stored.protected,
        owner: stored.owner.map(str::to_owned),
        associations: stored.associations.into_iter().map(association).collect(),
        created_at: Timestamp::from_micros(stored.created_at),
        updated_at: stored.updated_at.map(Timestamp::from_micros),
    };
    Ok((head, rest))
}

impl<'a> From<&'a Head> for StoredHead<'a> {
    fn from(head: &'a Head) -> Self {
        let association = |association: &'a Association| StoredAssociation {
            name: &association.name,
            prefix: association.prefix.as_deref(),
            properties_target: association.properties_target.as_deref(),
            created_at: association.created_at.as_micros(),
            updated_at: micros(association.updated_at),
        };
        Self {
            name: &head.name,
            display_name: head.display_name.as_deref(),
            description: head.description.as_deref(),
            visibility: match head.visibility {
                Visibility::Private => 0,
                Visibility::Public => 1,
            },
            protected: head.protected,
            owner: head.owner.as_deref(),
            associations: head.associations.iter().map(association).collect(),
            created_at: head.created_at.as_micros(),
            updated_at: micros(head.updated_at),
        }
    }
}

impl<'a> From<(&'a String, &'a Object)> for StoredObject<'a> {
    fn from((name, object): (&'a String, &'a Object)) -> Self {
        Self {
            name,
            description: object.description.as_deref(),
            required: object.required.iter().map(String::as_str).collect(),
            properties: stored_properties(&object.properties),
            created_at: object.created_at.as_micros(),
            updated_at: micros(object.updated_at),
        }
    }
}

fn association(stored: StoredAssociation<'_>) -> Association {
    Association {
        name: stored.name.to_owned(),
        prefix: stored.prefix.map(str::to_owned),
        properties_target: stored.properties_target.map(str::to_owned),
        created_at: Timestamp::from_micros(stored.created_at),
        updated_at: stored.updated_at.map(Timestamp::from_micros),
    }
}

fn tag((name, created_at, updated_at): (&str, u64, Option<u64>)) -> Tag {
    Tag {
        name: name.to_owned(),
        created_at: Timestamp::from_micros(created_at),
        updated_at: updated_at.map(Timestamp::from_micros),
    }
}

type Properties = std::collections::BTreeMap<String, Property>;

fn stored_properties(properties: &Properties) -> Vec<(&str, String)> {
    properties
        .iter()
        .map(|(name, property)| (name.as_str(), property.to_json()))
        .collect()
}

fn properties(stored: Vec<(&str, String)>) -> Result<Properties, CorruptDefinition> {
    let decoded = stored
        .into_iter()
        .map(|(name, json)| Ok((name.to_owned(), serde_json::from_str(&json)?)));
    decoded.collect()
}

fn micros(at: Option<Timestamp>) -> Option<u64> {
    at.map(Timestamp::as_micros)
}

#[cfg(test)]
mod tests;
