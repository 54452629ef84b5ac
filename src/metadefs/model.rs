//! The records.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};

use uuid::Uuid;

use super::{AssociationDraft, NamespaceDraft, ObjectDraft, Property};
use crate::image::{Timestamp, Viewer};

/// A namespace with everything in it.
#[derive(Debug, Clone, PartialEq)]
pub struct Namespace {
    /// What tells it from an earlier or later namespace of the same name.
    pub id: NamespaceId,
    /// Grows by one with each change to the namespace or anything in it.
    pub revision: u64,
    /// What a list shows of it.
    pub head: Head,
    /// Definitions of properties, by name.
    pub properties: BTreeMap<String, Property>,
    /// Definitions of objects, by name.
    pub objects: BTreeMap<String, Object>,
    /// Tags, in the order they were made; each name once.
    pub tags: Vec<Tag>,
}

/// What a list shows of a namespace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Head {
    /// The name, by which it is addressed. It can be changed.
    pub name: String,
    /// The name for people.
    pub display_name: Option<String>,
    /// What it is for.
    pub description: Option<String>,
    /// Who sees it.
    pub visibility: Visibility,
    /// Whether it and what is in it is kept from deletion.
    pub protected: bool,
    /// The project that owns it.
    pub owner: Option<String>,
    /// The resource types it is for, in the order they were added; each name once.
    pub associations: Vec<Association>,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it was changed last; `None` for one that was loaded from a file, as in Glance.
    pub updated_at: Option<Timestamp>,
}

/// The identity of a namespace, whatever its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NamespaceId(Uuid);

/// One state of one namespace: what a change was computed from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Version {
    /// Which namespace.
    pub id: NamespaceId,
    /// Which state.
    pub revision: u64,
}

/// Who sees a namespace.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub enum Visibility {
    /// Its owner: the default.
    #[default]
    Private,
    /// Everybody.
    Public,
}

/// A group of properties.
#[derive(Debug, Clone, PartialEq)]
pub struct Object {
    /// What it is for.
    pub description: Option<String>,
    /// The properties that it always has.
    pub required: Vec<String>,
    /// Definitions of its properties, by name.
    pub properties: BTreeMap<String, Property>,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it was changed last.
    pub updated_at: Option<Timestamp>,
}

/// A name that may be attached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tag {
    /// The name.
    pub name: String,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it was changed last.
    pub updated_at: Option<Timestamp>,
}

/// That a namespace is for a resource type.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Association {
    /// The resource type.
    pub name: String,
    /// What properties' names begin with when they are applied to it.
    pub prefix: Option<String>,
    /// Which of the resource's sets of properties is meant.
    pub properties_target: Option<String>,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it was changed last.
    pub updated_at: Option<Timestamp>,
}

/// A resource type that some namespace is or was for. They are never removed, as in Glance.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ResourceType {
    /// Its name, such as `OS::Nova::Flavor`.
    pub name: String,
    /// When a namespace named it first.
    pub created_at: Timestamp,
}

/// What a namespace is made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Kind {
    Object,
    Property,
    Tag,
    ResourceType,
}

/// A name that is taken within its namespace. The sentences are Glance's.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}", self.sentence())]
pub struct Duplicate {
    /// Of what.
    pub kind: Kind,
    /// The name.
    pub name: String,
    /// The namespace.
    pub namespace: String,
}

impl Duplicate {
    fn sentence(&self) -> String {
        let Self {
            kind,
            name,
            namespace,
        } = self;
        match kind {
            Kind::Object => format!(
                "A metadata definition object with name={name} already exists in namespace={namespace}."
            ),
            Kind::Property => format!(
                "A metadata definition property with name={name} already exists in namespace={namespace}."
            ),
            Kind::Tag => {
                format!("A metadata tag with name={name} already exists in namespace={namespace}.")
            }
            Kind::ResourceType => format!(
                "The metadata definition resource-type association of resource-type={name} to \
                 namespace={namespace} already exists."
            ),
        }
    }
}

impl NamespaceId {
    /// A new one.
    pub fn random() -> Self {
        Self(Uuid::new_v4())
    }

    /// The id of these bytes.
    pub const fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(Uuid::from_bytes(bytes))
    }

    /// Its 16 bytes.
    pub const fn as_bytes(&self) -> &[u8; 16] {
        self.0.as_bytes()
    }
}

impl Visibility {
    /// The name in the API.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Private => "private",
            Self::Public => "public",
        }
    }

    /// The visibility of this name in the API.
    pub fn parse(name: &str) -> Option<Self> {
        [Self::Private, Self::Public]
            .into_iter()
            .find(|visibility| visibility.as_str() == name)
    }
}

impl fmt::Display for Visibility {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.as_str().fmt(f)
    }
}

impl Head {
    /// Whether the namespace is there for the viewer (`metadef_api/namespace.py`, `_is_namespace_visible`).
    pub fn is_visible_to(&self, viewer: &Viewer) -> bool {
        match viewer {
            Viewer::Admin(_) => true,
            Viewer::Project(project) => {
                self.visibility == Visibility::Public
                    || self.owner.as_ref().is_none_or(|owner| owner == project)
            }
        }
    }

    /// The association with the resource type.
    pub fn association(&self, resource_type: &str) -> Option<&Association> {
        self.associations
            .iter()
            .find(|association| association.name == resource_type)
    }
}

impl Namespace {
    /// The namespace that a draft describes, for `owner` where the draft names nobody.
    ///
    /// # Errors
    /// [`Duplicate`] when the draft has a name twice.
    pub fn new(draft: NamespaceDraft, owner: Option<&str>, at: Timestamp) -> Result<Self, Duplicate> {
        let mut namespace = Self {
            id: NamespaceId::random(),
            revision: 0,
            head: Head {
                name: draft.name,
                display_name: draft.display_name,
                description: draft.description,
                visibility: draft.visibility.unwrap_or_default(),
                protected: draft.protected.unwrap_or_default(),
                owner: draft.owner.or_else(|| owner.map(str::to_owned)),
                associations: Vec::new(),
                created_at: at,
                updated_at: Some(at),
            },
            properties: draft.properties,
            objects: BTreeMap::new(),
            tags: Vec::new(),
        };
        for association in draft.associations {
            namespace.associate(association, at)?;
        }
        for object in draft.objects {
            namespace.add_object(object, at)?;
        }
        namespace.add_tags(draft.tags, at)?;
        Ok(namespace)
    }

    /// What a change is computed from.
    pub fn version(&self) -> Version {
        Version {
            id: self.id,
            revision: self.revision,
        }
    }

    fn duplicate(&self, kind: Kind, name: &str) -> Duplicate {
        Duplicate {
            kind,
            name: name.to_owned(),
            namespace: self.head.name.clone(),
        }
    }

    /// Adds a definition of a property.
    ///
    /// # Errors
    /// [`Duplicate`].
    pub fn add_property(&mut self, name: String, property: Property) -> Result<(), Duplicate> {
        if self.properties.contains_key(&name) {
            return Err(self.duplicate(Kind::Property, &name));
        }
        self.properties.insert(name, property);
        Ok(())
    }

    /// Puts a definition of a property, perhaps of another name, in the place of one; `false` when there is none.
    ///
    /// # Errors
    /// [`Duplicate`].
    pub fn replace_property(
        &mut self,
        old: &str,
        name: String,
        property: Property,
    ) -> Result<bool, Duplicate> {
        if !self.properties.contains_key(old) {
            return Ok(false);
        }
        if old != name && self.properties.contains_key(&name) {
            return Err(self.duplicate(Kind::Property, &name));
        }
        self.properties.remove(old);
        self.properties.insert(name, property);
        Ok(true)
    }

    /// Adds a definition of an object.
    ///
    /// # Errors
    /// [`Duplicate`].
    pub fn add_object(&mut self, draft: ObjectDraft, at: Timestamp) -> Result<(), Duplicate> {
        if self.objects.contains_key(&draft.name) {
            return Err(self.duplicate(Kind::Object, &draft.name));
        }
        let (name, object) = draft.into_object(at, Some(at));
        self.objects.insert(name, object);
        Ok(())
    }

    /// Puts a definition of an object, perhaps of another name, in the place of one; `false` when there is none.
    ///
    /// # Errors
    /// [`Duplicate`].
    pub fn replace_object(
        &mut self,
        old: &str,
        draft: ObjectDraft,
        at: Timestamp,
    ) -> Result<bool, Duplicate> {
        let Some(created_at) = self.objects.get(old).map(|object| object.created_at) else {
            return Ok(false);
        };
        if old != draft.name && self.objects.contains_key(&draft.name) {
            return Err(self.duplicate(Kind::Object, &draft.name));
        }
        self.objects.remove(old);
        let (name, object) = draft.into_object(created_at, Some(at));
        self.objects.insert(name, object);
        Ok(true)
    }

    /// The tag of this name.
    pub fn tag(&self, name: &str) -> Option<&Tag> {
        self.tags.iter().find(|tag| tag.name == name)
    }

    /// Adds tags, all or none.
    ///
    /// # Errors
    /// [`Duplicate`].
    pub fn add_tags(&mut self, names: Vec<String>, at: Timestamp) -> Result<(), Duplicate> {
        let mut taken: BTreeSet<&str> = self.tags.iter().map(|tag| tag.name.as_str()).collect();
        if let Some(name) = names.iter().find(|name| !taken.insert(name)) {
            return Err(self.duplicate(Kind::Tag, name));
        }
        self.tags.extend(names.into_iter().map(|name| Tag {
            name,
            created_at: at,
            updated_at: Some(at),
        }));
        Ok(())
    }

    /// Gives a tag another name; `false` when there is none.
    ///
    /// # Errors
    /// [`Duplicate`].
    pub fn rename_tag(&mut self, old: &str, name: String, at: Timestamp) -> Result<bool, Duplicate> {
        if self.tag(old).is_none() {
            return Ok(false);
        }
        if old != name && self.tag(&name).is_some() {
            return Err(self.duplicate(Kind::Tag, &name));
        }
        for tag in self.tags.iter_mut().filter(|tag| tag.name == old) {
            tag.name.clone_from(&name);
            tag.updated_at = Some(at);
        }
        Ok(true)
    }

    /// Says that the namespace is for a resource type.
    ///
    /// # Errors
    /// [`Duplicate`].
    pub fn associate(&mut self, draft: AssociationDraft, at: Timestamp) -> Result<(), Duplicate> {
        if self.head.association(&draft.name).is_some() {
            return Err(self.duplicate(Kind::ResourceType, &draft.name));
        }
        self.head.associations.push(Association {
            name: draft.name,
            prefix: draft.prefix,
            properties_target: draft.properties_target,
            created_at: at,
            updated_at: Some(at),
        });
        Ok(())
    }

    /// Gives every property the name that it has on a resource type. Nothing changes when the namespace is not for the type.
    pub fn name_for(&mut self, resource_type: &str) {
        let association = self.head.association(resource_type);
        let Some(prefix) = association.and_then(|association| association.prefix.clone()) else {
            return;
        };
        let name = |name: &str| format!("{prefix}{name}");
        let rename = |properties: &mut BTreeMap<String, Property>| {
            let named = std::mem::take(properties).into_iter();
            *properties = named.map(|(own, property)| (name(&own), property)).collect();
        };
        rename(&mut self.properties);
        for object in self.objects.values_mut() {
            rename(&mut object.properties);
            for required in &mut object.required {
                *required = name(required);
            }
        }
    }

    /// About how many bytes the record takes.
    pub(super) fn weight(&self) -> usize {
        let head = &self.head;
        let texts = [&head.display_name, &head.description, &head.owner];
        let associations = head.associations.iter().map(|association| {
            let texts = [&association.prefix, &association.properties_target];
            association.name.len() + texts.into_iter().map(length).sum::<usize>() + ENTRY
        });
        let objects = self.objects.iter().map(|(name, object)| {
            let required: usize = object.required.iter().map(|name| name.len() + 4).sum();
            let own = name.len() + length(&object.description) + required + ENTRY;
            own + properties(&object.properties)
        });
        let tags = self.tags.iter().map(|tag| tag.name.len() + ENTRY);
        head.name.len()
            + texts.into_iter().map(length).sum::<usize>()
            + associations.sum::<usize>()
            + objects.sum::<usize>()
            + tags.sum::<usize>()
            + properties(&self.properties)
    }
}

/// Times, lengths and flags of one entry.
const ENTRY: usize = 32;

fn length(text: &Option<String>) -> usize {
    text.as_ref().map_or(0, String::len)
}

fn properties(properties: &BTreeMap<String, Property>) -> usize {
    let weights = properties
        .iter()
        .map(|(name, property)| name.len() + property.to_json().len() + ENTRY);
    weights.sum()
}
