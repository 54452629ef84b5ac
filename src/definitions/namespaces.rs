//! Namespaces: make, list, show, change, delete.

use std::collections::BTreeSet;

use super::{DefinitionError, DefinitionErrorKind, Definitions, MAX_TRIES, error};
use crate::{
    identity::Caller,
    image::Timestamp,
    metadata::DefineError,
    metadefs::{
        Change, ChangeKind, Direction, Head, Namespace, NamespaceDraft, NamespaceQuery, Rejection, SortKey,
        Visibility,
    },
    policy::Rule,
};

/// What a client wants to see.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListRequest {
    /// Only those of this visibility.
    pub visibility: Option<Visibility>,
    /// Only those for one of these resource types.
    pub resource_types: Option<BTreeSet<String>>,
    /// In which order.
    pub order: (SortKey, Direction),
    /// The name of the last namespace of the page before.
    pub marker: Option<String>,
    /// The most namespaces on the page; the operator has the last word.
    pub limit: Option<u64>,
}

/// One page of a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NamespaceList {
    /// The namespaces, in order.
    pub namespaces: Vec<Head>,
    /// The marker of the page that may follow.
    pub next: Option<String>,
}

impl Definitions {
    /// Makes a namespace with all that the draft has, or nothing.
    ///
    /// # Errors
    /// `Denied`, `Hidden`, `NamespaceExists`, `Exists` (a name twice), `TooLarge`; `Full`, `Unavailable`, `Unknown`, `Broken`.
    pub async fn create_namespace(
        &self,
        caller: &Caller,
        draft: NamespaceDraft,
    ) -> Result<Namespace, DefinitionError> {
        let contents = [
            (
                draft.associations.is_empty(),
                Rule::AddMetadefResourceTypeAssociation,
            ),
            (draft.objects.is_empty(), Rule::AddMetadefObject),
            (draft.properties.is_empty(), Rule::AddMetadefProperty),
            (draft.tags.is_empty(), Rule::AddMetadefTag),
        ];
        let contents = contents
            .into_iter()
            .filter_map(|(is_empty, rule)| (!is_empty).then_some(rule));
        let rules: Vec<Rule> = std::iter::once(Rule::AddMetadefNamespace)
            .chain(contents)
            .collect();
        self.permit_all(caller, &rules)?;
        let at = Timestamp::now();
        let namespace =
            Namespace::new(draft, caller.project_id.as_deref(), at).map_err(DefinitionErrorKind::Exists)?;
        let name = namespace.head.name.clone();
        let kind = ChangeKind::Create(Box::new(namespace));
        match self.shared.store.define(Change { at, kind }).await {
            Ok(Some(namespace)) => Ok(namespace),
            // A creation leaves a namespace.
            Ok(None) => Err(DefinitionErrorKind::Broken.into()),
            Err(error) => Err(error::of_change(error, &name)),
        }
    }

    /// One page of the namespaces that the caller may see. It can be shorter than the limit and yet be followed by another:
    /// namespaces that a rule hides are left out of it.
    ///
    /// # Errors
    /// `Denied`, `Hidden`, `NamespaceNotFound` (the marker); `Unavailable`, `Broken`.
    pub async fn list_namespaces(
        &self,
        caller: &Caller,
        request: ListRequest,
    ) -> Result<NamespaceList, DefinitionError> {
        self.permit_all(
            caller,
            &[Rule::GetMetadefNamespaces, Rule::ListMetadefResourceTypes],
        )?;
        let after = match &request.marker {
            Some(marker) => Some(Box::new(self.permitted(caller, marker, &[]).await?.head)),
            None => None,
        };
        let (sort, direction) = request.order;
        let limit = request.limit.map_or(self.shared.page_default, |limit| {
            usize::try_from(limit).unwrap_or(usize::MAX)
        });
        let query = NamespaceQuery {
            viewer: self.shared.policy.current().viewer(caller),
            visibility: request.visibility,
            resource_types: request.resource_types,
            sort,
            direction,
            after,
            limit: limit.min(self.shared.page_max),
        };
        let page = self.shared.store.namespaces(query).await?;
        let mut namespaces = page.namespaces;
        let last = namespaces.last().map(|head| head.name.clone());
        let policy = self.shared.policy.current();
        namespaces.retain(|head| Self::ask(&policy, caller, Rule::GetMetadefNamespace, Some(head)).is_ok());
        Ok(NamespaceList {
            namespaces,
            next: last.filter(|_| page.full),
        })
    }

    /// A namespace with all that is in it.
    ///
    /// # Errors
    /// `NamespaceNotFound`, `Denied`; `Unavailable`, `Broken`.
    pub async fn namespace(&self, caller: &Caller, name: &str) -> Result<Namespace, DefinitionError> {
        let rules = [
            Rule::GetMetadefNamespace,
            Rule::ListMetadefResourceTypes,
            Rule::GetMetadefObjects,
            Rule::GetMetadefProperties,
            Rule::GetMetadefTags,
        ];
        self.permitted(caller, name, &rules).await
    }

    /// Changes a namespace to what the draft says of it; what the draft leaves out falls back to what a new namespace has. What is in
    /// the namespace stays, whatever the draft says of that, as in Glance.
    ///
    /// # Errors
    /// `NamespaceNotFound`, `Denied`, `NamespaceExists`, `Contended`; `Full`, `Unavailable`, `Unknown`, `Broken`.
    pub async fn update_namespace(
        &self,
        caller: &Caller,
        name: &str,
        draft: &NamespaceDraft,
    ) -> Result<Namespace, DefinitionError> {
        self.edit(caller, name, &[Rule::ModifyMetadefNamespace], |namespace, at| {
            let head = &mut namespace.head;
            head.name.clone_from(&draft.name);
            head.display_name.clone_from(&draft.display_name);
            head.description.clone_from(&draft.description);
            head.visibility = draft.visibility.unwrap_or_default();
            head.protected = draft.protected.unwrap_or_default();
            head.owner = draft.owner.clone().or_else(|| caller.project_id.clone());
            head.updated_at = Some(at);
            Ok(())
        })
        .await
    }

    /// Deletes a namespace with all that is in it.
    ///
    /// # Errors
    /// `NamespaceNotFound`, `Denied`, `NamespaceProtected`, `Contended`; `Full`, `Unavailable`, `Unknown`, `Broken`.
    pub async fn delete_namespace(&self, caller: &Caller, name: &str) -> Result<(), DefinitionError> {
        for _ in 0..MAX_TRIES {
            let rules = [Rule::DeleteMetadefNamespace];
            let namespace = self.permitted(caller, name, &rules).await?;
            deletable(&namespace)?;
            let kind = ChangeKind::Delete {
                name: name.to_owned(),
                expected: namespace.version(),
            };
            let at = Timestamp::now();
            match self.shared.store.define(Change { at, kind }).await {
                Ok(_) => return Ok(()),
                Err(DefineError::Rejected(Rejection::Version)) => {}
                Err(error) => return Err(error::of_change(error, name)),
            }
        }
        Err(DefinitionErrorKind::Contended.into())
    }

    /// Deletes all objects of a namespace.
    ///
    /// # Errors
    /// As [`Self::delete_namespace`].
    pub async fn delete_objects(&self, caller: &Caller, name: &str) -> Result<(), DefinitionError> {
        let rules = [Rule::DeleteMetadefNamespace];
        self.empty(caller, name, &rules, |namespace| namespace.objects.clear())
            .await
    }

    /// Deletes all properties of a namespace.
    ///
    /// # Errors
    /// As [`Self::delete_namespace`].
    pub async fn delete_properties(&self, caller: &Caller, name: &str) -> Result<(), DefinitionError> {
        let rules = [Rule::DeleteMetadefNamespace];
        self.empty(caller, name, &rules, |namespace| namespace.properties.clear())
            .await
    }

    /// Deletes all tags of a namespace.
    ///
    /// # Errors
    /// As [`Self::delete_namespace`].
    pub async fn delete_tags(&self, caller: &Caller, name: &str) -> Result<(), DefinitionError> {
        let rules = [Rule::DeleteMetadefNamespace, Rule::DeleteMetadefTags];
        self.empty(caller, name, &rules, |namespace| namespace.tags.clear())
            .await
    }

    async fn empty(
        &self,
        caller: &Caller,
        name: &str,
        rules: &[Rule],
        empty: impl Fn(&mut Namespace) + Send + Sync,
    ) -> Result<(), DefinitionError> {
        let edited = self.edit(caller, name, rules, |namespace, _| {
            deletable(namespace)?;
            empty(namespace);
            Ok(())
        });
        edited.await.map(|_| ())
    }
}

fn deletable(namespace: &Namespace) -> Result<(), DefinitionErrorKind> {
    if namespace.head.protected {
        return Err(DefinitionErrorKind::NamespaceProtected {
            name: namespace.head.name.clone(),
        });
    }
    Ok(())
}
