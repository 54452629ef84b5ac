//! What rules can refer to: the caller on the left, what is acted on on the right.

use std::borrow::Cow;

use crate::{
    identity::{Caller, Scope},
    image::{Image, Visibility},
};

use super::language::{Attributes, Value};

/// The caller, by the names that oslo.context gives to policy (`RequestContext.to_policy_values`). All are flat.
pub(super) struct Credentials<'a>(pub(super) &'a Caller);

impl Attributes for Credentials<'_> {
    fn attribute(&self, name: &str) -> Option<Value<'_>> {
        let caller = self.0;
        let service = caller.service.as_ref();
        Some(match name {
            "user_id" => text(&caller.user_id),
            "user_domain_id" => Value::optional(caller.user_domain_id.as_deref()),
            "project_id" => Value::optional(caller.project_id.as_deref()),
            "project_domain_id" => Value::optional(caller.project_domain_id.as_deref()),
            "roles" => Value::Texts(&caller.roles),
            "service_roles" => Value::Texts(caller.service_roles()),
            "service_user_id" => Value::optional(service.and_then(|it| it.user_id.as_deref())),
            "service_user_domain_id" => Value::optional(service.and_then(|it| it.user_domain_id.as_deref())),
            "service_project_id" => Value::optional(service.and_then(|it| it.project_id.as_deref())),
            "service_project_domain_id" => {
                Value::optional(service.and_then(|it| it.project_domain_id.as_deref()))
            }
            "domain_id" => Value::optional(caller.domain_id.as_deref()),
            "is_admin_project" => Value::Bool(caller.is_admin_project),
            "system_scope" if caller.scope == Scope::System => text("all"),
            // oslo.policy's own name for it, there only when it is set.
            "system" if caller.scope == Scope::System => text("all"),
            "system_scope" => Value::Null,
            _ => return None,
        })
    }
}

/// The caller as a target: what `context_is_admin` can refer to (`RequestContext.to_dict`).
pub(super) struct CallerTarget<'a>(pub(super) &'a Caller);

impl Attributes for CallerTarget<'_> {
    fn attribute(&self, name: &str) -> Option<Value<'_>> {
        let caller = self.0;
        Some(match name {
            "user" => text(&caller.user_id),
            "user_domain" => Value::optional(caller.user_domain_id.as_deref()),
            "project" | "project_id" => Value::optional(caller.project_id.as_deref()),
            "project_domain" => Value::optional(caller.project_domain_id.as_deref()),
            "is_admin_project" => Value::Bool(caller.is_admin_project),
            "system_scope" if caller.scope == Scope::System => text("all"),
            "system_scope" => Value::Null,
            _ => return None,
        })
    }
}

/// No particular thing.
pub(super) struct NoTarget;

impl Attributes for NoTarget {
    fn attribute(&self, _: &str) -> Option<Value<'_>> {
        None
    }
}

/// A project without any image: the target of lists.
pub(super) struct ProjectTarget<'a>(pub(super) Option<&'a str>);

impl Attributes for ProjectTarget<'_> {
    fn attribute(&self, name: &str) -> Option<Value<'_>> {
        (name == "project_id").then(|| Value::optional(self.0))
    }
}

/// What an image is going to be: the target of `add_image`, and no more of it than Glance shows to that rule.
#[derive(Debug, Clone, Copy)]
pub struct Proposal<'a> {
    /// The owner that the image will have: the caller's project, unless the request names another or none.
    pub owner: Option<&'a str>,
    /// The visibility that the request names.
    pub visibility: Option<Visibility>,
}

impl Attributes for Proposal<'_> {
    fn attribute(&self, name: &str) -> Option<Value<'_>> {
        match name {
            "project_id" | "owner" => Some(Value::optional(self.owner)),
            // Not the visibility that it will get (`shared`), but what Glance shows to the rule.
            "visibility" => Some(text(self.visibility.unwrap_or(Visibility::Private).as_str())),
            _ => None,
        }
    }
}

/// A namespace of metadata definitions, as far as rules can refer to it.
#[derive(Debug, Clone, Copy)]
pub struct NamespaceTarget<'a> {
    /// The project that owns it.
    pub owner: Option<&'a str>,
    /// Its visibility, by its name in the API.
    pub visibility: &'a str,
}

impl Attributes for NamespaceTarget<'_> {
    fn attribute(&self, name: &str) -> Option<Value<'_>> {
        match name {
            "project_id" => Some(Value::optional(self.owner)),
            "visibility" => Some(text(self.visibility)),
            _ => None,
        }
    }
}

/// An image as one caller sees it (Glance's `ImageTarget`): attributes first, then custom properties, so that a
/// property can never pass for an attribute.
pub(super) struct ImageTarget<'a> {
    pub(super) image: &'a Image,
    pub(super) caller: &'a Caller,
}

impl ImageTarget<'_> {
    /// The caller's project when the image is shared and not its own; what makes it a member, given that it sees
    /// the image at all.
    fn member(&self) -> Option<&str> {
        let project = self.caller.project_id.as_deref();
        let shared = self.image.visibility == Visibility::Shared && self.image.owner.as_deref() != project;
        project.filter(|_| shared)
    }
}

impl Attributes for ImageTarget<'_> {
    fn attribute(&self, name: &str) -> Option<Value<'_>> {
        let image = self.image;
        let content = image.content.as_ref();
        Some(match name {
            "project_id" | "owner" => Value::optional(image.owner.as_deref()),
            "member_id" | "member" => Value::optional(self.member()),
            "id" | "image_id" => Value::Text(Cow::Owned(image.id.to_string())),
            "name" => Value::optional(image.name.as_deref()),
            "status" => text(image.status.as_str()),
            "visibility" => text(image.visibility.as_str()),
            "protected" => Value::Bool(image.protected),
            "os_hidden" => Value::Bool(image.hidden),
            "disk_format" => Value::optional(image.disk_format.as_deref()),
            "container_format" => Value::optional(image.container_format.as_deref()),
            "min_disk" => Value::Number(image.min_disk.into()),
            "min_ram" => Value::Number(image.min_ram.into()),
            "size" => image.size().map_or(Value::Null, Value::Number),
            "virtual_size" => content
                .and_then(|content| content.virtual_size)
                .map_or(Value::Null, Value::Number),
            "checksum" => Value::optional(content.and_then(|content| content.checksum.as_deref())),
            "os_hash_algo" => Value::optional(content.and_then(|content| content.hash_algorithm.as_deref())),
            "os_hash_value" => Value::optional(content.and_then(|content| content.hash_value.as_deref())),
            "created_at" => Value::Text(Cow::Owned(image.created_at.to_string())),
            "updated_at" => Value::Text(Cow::Owned(image.updated_at.to_string())),
            // Attributes that have no useful text.
            "tags" | "locations" | "extra_properties" => return None,
            _ => text(image.properties.get(name)?),
        })
    }
}

fn text(text: &str) -> Value<'_> {
    Value::Text(Cow::Borrowed(text))
}
