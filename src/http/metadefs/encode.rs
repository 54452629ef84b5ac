//! Bodies, with their members in Glance's order (`glance/api/v2/model/metadef_*.py`). What has no value is left out.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::{
    definitions::NamespaceList,
    image::Timestamp,
    metadefs::{Association, Head, Namespace, Object, Property, ResourceType, Tag},
};

pub(super) const NAMESPACES: &str = "/v2/metadefs/namespaces";

#[derive(Serialize)]
pub(super) struct NamespaceView<'a> {
    namespace: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    display_name: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    description: Option<&'a str>,
    visibility: &'static str,
    protected: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    owner: Option<&'a str>,
    created_at: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    updated_at: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    resource_type_associations: Vec<AssociationView<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    properties: Option<&'a BTreeMap<String, Property>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    objects: Vec<ObjectView<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tags: Vec<TagName<'a>>,
    #[serde(rename = "self")]
    href: String,
    schema: &'static str,
}

#[derive(Serialize)]
pub(super) struct NamespacesView<'a> {
    namespaces: Vec<NamespaceView<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<String>,
    schema: &'static str,
    first: String,
}

#[derive(Serialize)]
pub(super) struct ObjectView<'a> {
    name: &'a str,
    required: &'a [String],
    #[serde(skip_serializing_if = "Option::is_none")]
    description: Option<&'a str>,
    properties: &'a BTreeMap<String, Property>,
    created_at: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    updated_at: Option<String>,
    #[serde(rename = "self")]
    href: String,
    schema: &'static str,
}

#[derive(Serialize)]
pub(super) struct ObjectsView<'a> {
    objects: Vec<ObjectView<'a>>,
    schema: &'static str,
}

#[derive(Serialize)]
pub(super) struct AssociationView<'a> {
    name: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    prefix: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    properties_target: Option<&'a str>,
    created_at: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    updated_at: Option<String>,
}

#[derive(Serialize)]
pub(super) struct AssociationsView<'a> {
    resource_type_associations: Vec<AssociationView<'a>>,
}

#[derive(Serialize)]
pub(super) struct ResourceTypesView<'a> {
    resource_types: Vec<ResourceTypeView<'a>>,
}

#[derive(Serialize)]
struct ResourceTypeView<'a> {
    name: &'a str,
    created_at: String,
    updated_at: String,
}

#[derive(Serialize)]
pub(super) struct PropertiesView<'a> {
    pub(super) properties: &'a BTreeMap<String, Property>,
}

#[derive(Serialize)]
pub(super) struct TagView<'a> {
    name: &'a str,
    created_at: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    updated_at: Option<String>,
}

#[derive(Serialize)]
struct TagName<'a> {
    name: &'a str,
}

#[derive(Serialize)]
pub(super) struct TagsView<'a> {
    tags: Vec<TagName<'a>>,
}

pub(super) fn namespace_href(name: &str) -> String {
    format!("{NAMESPACES}/{name}")
}

fn time(at: Option<Timestamp>) -> Option<String> {
    at.map(|at| at.to_string())
}

impl<'a> NamespaceView<'a> {
    /// With nothing of what is in it.
    pub(super) fn bare(head: &'a Head) -> Self {
        Self {
            namespace: &head.name,
            display_name: head.display_name.as_deref(),
            description: head.description.as_deref(),
            visibility: head.visibility.as_str(),
            protected: head.protected,
            owner: head.owner.as_deref(),
            created_at: head.created_at.to_string(),
            updated_at: time(head.updated_at),
            resource_type_associations: Vec::new(),
            properties: None,
            objects: Vec::new(),
            tags: Vec::new(),
            href: namespace_href(&head.name),
            schema: "/v2/schemas/metadefs/namespace",
        }
    }

    /// As a list shows it.
    fn listed(head: &'a Head) -> Self {
        Self {
            resource_type_associations: head.associations.iter().map(AssociationView::new).collect(),
            ..Self::bare(head)
        }
    }

    /// With all that is in it; the newest tags first.
    pub(super) fn whole(namespace: &'a Namespace) -> Self {
        let Namespace {
            head,
            properties,
            objects,
            tags,
            ..
        } = namespace;
        Self {
            properties: (!properties.is_empty()).then_some(properties),
            objects: objects
                .iter()
                .map(|(name, object)| ObjectView::new(&head.name, name, object))
                .collect(),
            tags: tags.iter().rev().map(|tag| TagName { name: &tag.name }).collect(),
            ..Self::listed(head)
        }
    }
}

impl<'a> NamespacesView<'a> {
    pub(super) fn new(list: &'a NamespaceList, first: String, next: Option<String>) -> Self {
        Self {
            namespaces: list.namespaces.iter().map(NamespaceView::listed).collect(),
            next,
            schema: "/v2/schemas/metadefs/namespaces",
            first,
        }
    }
}

impl<'a> ObjectView<'a> {
    pub(super) fn new(namespace: &str, name: &'a str, object: &'a Object) -> Self {
        Self {
            name,
            required: &object.required,
            description: object.description.as_deref(),
            properties: &object.properties,
            created_at: object.created_at.to_string(),
            updated_at: time(object.updated_at),
            href: format!("{NAMESPACES}/{namespace}/objects/{name}"),
            schema: "/v2/schemas/metadefs/object",
        }
    }
}

impl<'a> ObjectsView<'a> {
    pub(super) fn new(namespace: &'a Namespace) -> Self {
        let objects = namespace.objects.iter();
        Self {
            objects: objects
                .map(|(name, object)| ObjectView::new(&namespace.head.name, name, object))
                .collect(),
            // Without the slash that all others have, in Glance too.
            schema: "v2/schemas/metadefs/objects",
        }
    }
}

impl<'a> AssociationView<'a> {
    pub(super) fn new(association: &'a Association) -> Self {
        Self {
            name: &association.name,
            prefix: association.prefix.as_deref(),
            properties_target: association.properties_target.as_deref(),
            created_at: association.created_at.to_string(),
            updated_at: time(association.updated_at),
        }
    }
}

impl<'a> AssociationsView<'a> {
    pub(super) fn new(associations: &'a [Association]) -> Self {
        Self {
            resource_type_associations: associations.iter().map(AssociationView::new).collect(),
        }
    }
}

impl<'a> ResourceTypesView<'a> {
    pub(super) fn new(types: &'a [ResourceType]) -> Self {
        let view = |resource_type: &'a ResourceType| ResourceTypeView {
            name: &resource_type.name,
            created_at: resource_type.created_at.to_string(),
            updated_at: resource_type.created_at.to_string(),
        };
        Self {
            resource_types: types.iter().map(view).collect(),
        }
    }
}

impl<'a> TagView<'a> {
    pub(super) fn new(tag: &'a Tag) -> Self {
        Self {
            name: &tag.name,
            created_at: tag.created_at.to_string(),
            updated_at: time(tag.updated_at),
        }
    }
}

impl<'a> TagsView<'a> {
    pub(super) fn new(names: &'a [String]) -> Self {
        Self {
            tags: names.iter().map(|name| TagName { name }).collect(),
        }
    }
}
