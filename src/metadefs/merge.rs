//! Files over what is there (`glance/db/sqlalchemy/metadata.py`, `_populate_metadata`).

use super::{Association, Duplicate, Namespace, NamespaceDraft, Tag};
use crate::image::Timestamp;

/// Which of two definitions of the same name stays.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Precedence {
    /// The one that is there; what is not there is added.
    Existing,
    /// The new one (`--prefer_new`).
    New,
}

/// The namespace `current` with what a file says of it. Nothing is taken away: what the file does not name stays.
pub fn merge(
    current: &Namespace,
    draft: NamespaceDraft,
    default_owner: &str,
    at: Timestamp,
    precedence: Precedence,
) -> Namespace {
    let mut next = current.clone();
    let new_wins = precedence == Precedence::New;
    let head = &mut next.head;
    if new_wins {
        head.display_name = draft.display_name;
        head.description = draft.description;
        head.visibility = draft.visibility.unwrap_or_default();
        head.protected = draft.protected.unwrap_or_default();
        head.owner = Some(draft.owner.unwrap_or_else(|| default_owner.to_owned()));
        head.updated_at = Some(at);
    }
    for draft in draft.associations {
        match head
            .associations
            .iter_mut()
            .find(|association| association.name == draft.name)
        {
            None => head.associations.push(Association {
                name: draft.name,
                prefix: draft.prefix,
                properties_target: draft.properties_target,
                created_at: at,
                updated_at: None,
            }),
            Some(association) if new_wins => {
                association.prefix = draft.prefix;
                association.properties_target = draft.properties_target;
                association.updated_at = Some(at);
            }
            Some(_) => {}
        }
    }
    for (name, property) in draft.properties {
        if new_wins || !next.properties.contains_key(&name) {
            next.properties.insert(name, property);
        }
    }
    for draft in draft.objects {
        let existing = next.objects.get(&draft.name).map(|object| object.created_at);
        let (name, object) = match existing {
            None => draft.into_object(at, None),
            Some(created_at) if new_wins => draft.into_object(created_at, Some(at)),
            Some(_) => continue,
        };
        next.objects.insert(name, object);
    }
    for name in draft.tags {
        match next.tags.iter_mut().find(|tag| tag.name == name) {
            None => next.tags.push(Tag {
                name,
                created_at: at,
                updated_at: None,
            }),
            Some(tag) if new_wins => tag.updated_at = Some(at),
            Some(_) => {}
        }
    }
    next
}

impl Namespace {
    /// The namespace that a file describes: made, and never changed since.
    ///
    /// # Errors
    /// [`Duplicate`] when the file has a name twice.
    pub fn from_file(draft: NamespaceDraft, default_owner: &str, at: Timestamp) -> Result<Self, Duplicate> {
        let mut namespace = Self::new(draft, Some(default_owner), at)?;
        namespace.head.updated_at = None;
        let associations = namespace.head.associations.iter_mut();
        associations.for_each(|association| association.updated_at = None);
        namespace
            .objects
            .values_mut()
            .for_each(|object| object.updated_at = None);
        namespace.tags.iter_mut().for_each(|tag| tag.updated_at = None);
        Ok(namespace)
    }
}
