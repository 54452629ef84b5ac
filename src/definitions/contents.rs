//! What is in a namespace: objects, properties, tags.

use super::{DefinitionError, DefinitionErrorKind, Definitions, missing, unprotected};
use crate::{
    identity::Caller,
    metadefs::{Direction, Kind, Namespace, Object, ObjectDraft, Property, Tag, TagKey, page_of_tags},
    policy::Rule,
};

/// The longest name of a tag, in characters.
const MAX_TAG: usize = 80;

/// What is added to a namespace's tags, or takes their place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TagMode {
    /// The new tags are added.
    Append,
    /// The new tags take the place of all.
    Replace,
}

impl Definitions {
    /// A namespace, for its objects.
    ///
    /// # Errors
    /// `NamespaceNotFound`, `Denied`; `Unavailable`, `Broken`.
    pub async fn objects(&self, caller: &Caller, namespace: &str) -> Result<Namespace, DefinitionError> {
        let mut found = self
            .permitted(caller, namespace, &[Rule::GetMetadefObjects])
            .await?;
        if Self::ask(
            &self.shared.policy.current(),
            caller,
            Rule::GetMetadefObject,
            Some(&found.head),
        )
        .is_err()
        {
            found.objects.clear();
        }
        Ok(found)
    }

    /// One object.
    ///
    /// # Errors
    /// `NamespaceNotFound`, `NotFound`, `Denied`; `Unavailable`, `Broken`.
    pub async fn object(
        &self,
        caller: &Caller,
        namespace: &str,
        name: &str,
    ) -> Result<Object, DefinitionError> {
        let rules = [Rule::GetMetadefObject];
        let mut found = self.permitted(caller, namespace, &rules).await?;
        take_object(&mut found, name)
    }

    /// Adds an object.
    ///
    /// # Errors
    /// `NamespaceNotFound`, `Denied`, `Exists`, `TooLarge`, `Contended`; `Full`, `Unavailable`, `Unknown`, `Broken`.
    pub async fn create_object(
        &self,
        caller: &Caller,
        namespace: &str,
        draft: &ObjectDraft,
    ) -> Result<Object, DefinitionError> {
        let edited = self.edit(caller, namespace, &[Rule::AddMetadefObject], |namespace, at| {
            Ok(namespace.add_object(draft.clone(), at)?)
        });
        take_object(&mut edited.await?, &draft.name)
    }

    /// Puts an object in the place of another.
    ///
    /// # Errors
    /// As [`Self::create_object`], and `NotFound`.
    pub async fn update_object(
        &self,
        caller: &Caller,
        namespace: &str,
        name: &str,
        draft: &ObjectDraft,
    ) -> Result<Object, DefinitionError> {
        let rules = [Rule::ModifyMetadefObject];
        let edited = self.edit(caller, namespace, &rules, |namespace, at| {
            match namespace.replace_object(name, draft.clone(), at)? {
                true => Ok(()),
                false => Err(missing(Kind::Object, name)),
            }
        });
        take_object(&mut edited.await?, &draft.name)
    }

    /// Deletes an object.
    ///
    /// # Errors
    /// `NamespaceNotFound`, `NotFound`, `Denied`, `Protected`, `Contended`; `Full`, `Unavailable`, `Unknown`, `Broken`.
    pub async fn delete_object(
        &self,
        caller: &Caller,
        namespace: &str,
        name: &str,
    ) -> Result<(), DefinitionError> {
        let rules = [Rule::DeleteMetadefObject];
        let edited = self.edit(caller, namespace, &rules, |namespace, _| {
            let removed = namespace.objects.remove(name);
            removed.ok_or_else(|| missing(Kind::Object, name))?;
            unprotected(namespace, Kind::Object, name)
        });
        edited.await.map(|_| ())
    }

    /// A namespace, for its properties.
    ///
    /// # Errors
    /// `NamespaceNotFound`, `Denied`; `Unavailable`, `Broken`.
    pub async fn properties(&self, caller: &Caller, namespace: &str) -> Result<Namespace, DefinitionError> {
        let rules = [Rule::GetMetadefProperties];
        self.permitted(caller, namespace, &rules).await
    }

    /// One property and its name. With a resource type, `name` is what the property is called on such a resource.
    ///
    /// # Errors
    /// `NamespaceNotFound`, `NotFound` (of the property or the association), `Prefix`, `Denied`; `Unavailable`, `Broken`.
    pub async fn property(
        &self,
        caller: &Caller,
        namespace: &str,
        name: &str,
        resource_type: Option<&str>,
    ) -> Result<(String, Property), DefinitionError> {
        let rules: &[Rule] = match resource_type {
            None => &[Rule::GetMetadefProperty],
            Some(_) => &[Rule::GetMetadefProperty, Rule::GetMetadefResourceType],
        };
        let mut found = self.permitted(caller, namespace, rules).await?;
        let own_name = match resource_type {
            None => name,
            Some(resource_type) => {
                let association = found.head.association(resource_type);
                let association = association.ok_or_else(|| missing(Kind::ResourceType, resource_type))?;
                let prefix = association.prefix.as_deref().unwrap_or_default();
                name.strip_prefix(prefix)
                    .ok_or_else(|| DefinitionErrorKind::Prefix {
                        property: name.to_owned(),
                        prefix: prefix.to_owned(),
                    })?
            }
        };
        take_property(&mut found, own_name)
    }

    /// Adds a property.
    ///
    /// # Errors
    /// As [`Self::create_object`].
    pub async fn create_property(
        &self,
        caller: &Caller,
        namespace: &str,
        name: &str,
        property: &Property,
    ) -> Result<(String, Property), DefinitionError> {
        let edited = self.edit(caller, namespace, &[Rule::AddMetadefProperty], |namespace, _| {
            Ok(namespace.add_property(name.to_owned(), property.clone())?)
        });
        take_property(&mut edited.await?, name)
    }

    /// Puts a property in the place of another.
    ///
    /// # Errors
    /// As [`Self::create_object`], and `NotFound`.
    pub async fn update_property(
        &self,
        caller: &Caller,
        namespace: &str,
        name: &str,
        (new_name, property): (&str, &Property),
    ) -> Result<(String, Property), DefinitionError> {
        let rules = [Rule::ModifyMetadefProperty];
        let edited = self.edit(caller, namespace, &rules, |namespace, _| {
            match namespace.replace_property(name, new_name.to_owned(), property.clone())? {
                true => Ok(()),
                false => Err(missing(Kind::Property, name)),
            }
        });
        take_property(&mut edited.await?, new_name)
    }

    /// Deletes a property.
    ///
    /// # Errors
    /// As [`Self::delete_object`].
    pub async fn delete_property(
        &self,
        caller: &Caller,
        namespace: &str,
        name: &str,
    ) -> Result<(), DefinitionError> {
        let rules = [Rule::RemoveMetadefProperty];
        let edited = self.edit(caller, namespace, &rules, |namespace, _| {
            let removed = namespace.properties.remove(name);
            removed.ok_or_else(|| missing(Kind::Property, name))?;
            unprotected(namespace, Kind::Property, name)
        });
        edited.await.map(|_| ())
    }

    /// The names of one page of tags.
    ///
    /// # Errors
    /// `NamespaceNotFound`, `NotFound` (the marker), `Denied`; `Unavailable`, `Broken`.
    pub async fn tags(
        &self,
        caller: &Caller,
        namespace: &str,
        order: (TagKey, Direction),
        marker: Option<&str>,
        limit: Option<usize>,
    ) -> Result<Vec<String>, DefinitionError> {
        let rules = [Rule::GetMetadefTags];
        let found = self.permitted(caller, namespace, &rules).await?;
        let page = page_of_tags(&found.tags, order, marker, limit)
            .ok_or_else(|| missing(Kind::Tag, marker.unwrap_or_default()))?;
        Ok(page.into_iter().map(|tag| tag.name.clone()).collect())
    }

    /// One tag.
    ///
    /// # Errors
    /// `NamespaceNotFound`, `NotFound`, `Denied`; `Unavailable`, `Broken`.
    pub async fn tag(&self, caller: &Caller, namespace: &str, name: &str) -> Result<Tag, DefinitionError> {
        let rules = [Rule::GetMetadefTag];
        take_tag(&self.permitted(caller, namespace, &rules).await?, name)
    }

    /// Adds a tag.
    ///
    /// # Errors
    /// As [`Self::create_object`], and `TagTooLong`.
    pub async fn create_tag(
        &self,
        caller: &Caller,
        namespace: &str,
        name: &str,
    ) -> Result<Tag, DefinitionError> {
        if name.chars().count() > MAX_TAG {
            return Err(DefinitionErrorKind::TagTooLong { limit: MAX_TAG }.into());
        }
        let edited = self.edit(caller, namespace, &[Rule::AddMetadefTag], |namespace, at| {
            Ok(namespace.add_tags(vec![name.to_owned()], at)?)
        });
        take_tag(&edited.await?, name)
    }

    /// Adds tags, or puts them in the place of those that are there: all or none.
    ///
    /// # Errors
    /// As [`Self::create_object`].
    pub async fn create_tags(
        &self,
        caller: &Caller,
        namespace: &str,
        names: &[String],
        mode: TagMode,
    ) -> Result<(), DefinitionError> {
        let rules = [Rule::AddMetadefTags];
        // Glance leaves the tags alone when it is given none.
        if names.is_empty() {
            return self.permitted(caller, namespace, &rules).await.map(|_| ());
        }
        let edited = self.edit(caller, namespace, &rules, |namespace, at| {
            if mode == TagMode::Replace {
                namespace.tags.clear();
            }
            Ok(namespace.add_tags(names.to_vec(), at)?)
        });
        edited.await.map(|_| ())
    }

    /// Gives a tag another name.
    ///
    /// # Errors
    /// As [`Self::create_object`], and `NotFound`.
    pub async fn rename_tag(
        &self,
        caller: &Caller,
        namespace: &str,
        name: &str,
        new_name: &str,
    ) -> Result<Tag, DefinitionError> {
        let rules = [Rule::ModifyMetadefTag];
        let edited = self.edit(caller, namespace, &rules, |namespace, at| {
            match namespace.rename_tag(name, new_name.to_owned(), at)? {
                true => Ok(()),
                false => Err(missing(Kind::Tag, name)),
            }
        });
        take_tag(&edited.await?, new_name)
    }

    /// Deletes a tag.
    ///
    /// # Errors
    /// As [`Self::delete_object`].
    pub async fn delete_tag(
        &self,
        caller: &Caller,
        namespace: &str,
        name: &str,
    ) -> Result<(), DefinitionError> {
        let rules = [Rule::DeleteMetadefTag];
        let edited = self.edit(caller, namespace, &rules, |namespace, _| {
            namespace.tag(name).ok_or_else(|| missing(Kind::Tag, name))?;
            namespace.tags.retain(|tag| tag.name != name);
            unprotected(namespace, Kind::Tag, name)
        });
        edited.await.map(|_| ())
    }
}

fn take_object(namespace: &mut Namespace, name: &str) -> Result<Object, DefinitionError> {
    let object = namespace.objects.remove(name);
    object.ok_or_else(|| missing(Kind::Object, name).into())
}

fn take_property(namespace: &mut Namespace, name: &str) -> Result<(String, Property), DefinitionError> {
    let property = namespace.properties.remove_entry(name);
    property.ok_or_else(|| missing(Kind::Property, name).into())
}

fn take_tag(namespace: &Namespace, name: &str) -> Result<Tag, DefinitionError> {
    let tag = namespace.tag(name).cloned();
    tag.ok_or_else(|| missing(Kind::Tag, name).into())
}
