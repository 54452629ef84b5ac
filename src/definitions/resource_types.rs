//! Resource types, and which namespaces are for them.

use super::{DefinitionError, Definitions, missing, unprotected};
use crate::{
    identity::Caller,
    metadefs::{Association, AssociationDraft, Kind, ResourceType},
    policy::Rule,
};

impl Definitions {
    /// Every resource type that a namespace ever named.
    ///
    /// # Errors
    /// `Denied`, `Hidden`; `Unavailable`, `Broken`.
    pub async fn resource_types(&self, caller: &Caller) -> Result<Vec<ResourceType>, DefinitionError> {
        self.permit_all(caller, &[Rule::ListMetadefResourceTypes])?;
        Ok(self.shared.store.resource_types().await?)
    }

    /// The resource types that a namespace is for.
    ///
    /// # Errors
    /// `NamespaceNotFound`, `Denied`; `Unavailable`, `Broken`.
    pub async fn associations(
        &self,
        caller: &Caller,
        namespace: &str,
    ) -> Result<Vec<Association>, DefinitionError> {
        let rules = [Rule::ListMetadefResourceTypes];
        let found = self.permitted(caller, namespace, &rules).await?;
        match Self::ask(
            &self.shared.policy.current(),
            caller,
            Rule::GetMetadefResourceType,
            Some(&found.head),
        ) {
            Ok(()) => Ok(found.head.associations),
            Err(_) => Ok(Vec::new()),
        }
    }

    /// Says that a namespace is for a resource type.
    ///
    /// # Errors
    /// `NamespaceNotFound`, `Denied`, `Exists`, `TooLarge`, `Contended`; `Full`, `Unavailable`, `Unknown`, `Broken`.
    pub async fn associate(
        &self,
        caller: &Caller,
        namespace: &str,
        draft: &AssociationDraft,
    ) -> Result<Association, DefinitionError> {
        let rules = [Rule::AddMetadefResourceTypeAssociation];
        let edited = self.edit(caller, namespace, &rules, |namespace, at| {
            Ok(namespace.associate(draft.clone(), at)?)
        });
        let association = edited.await?.head.association(&draft.name).cloned();
        association.ok_or_else(|| missing(Kind::ResourceType, &draft.name).into())
    }

    /// Takes that back.
    ///
    /// # Errors
    /// `NamespaceNotFound`, `NotFound`, `Denied`, `Protected`, `Contended`; `Full`, `Unavailable`, `Unknown`, `Broken`.
    pub async fn dissociate(
        &self,
        caller: &Caller,
        namespace: &str,
        resource_type: &str,
    ) -> Result<(), DefinitionError> {
        let rules = [Rule::RemoveMetadefResourceTypeAssociation];
        let edited = self.edit(caller, namespace, &rules, |namespace, _| {
            let found = namespace.head.association(resource_type);
            found.ok_or_else(|| missing(Kind::ResourceType, resource_type))?;
            let associations = &mut namespace.head.associations;
            associations.retain(|association| association.name != resource_type);
            unprotected(namespace, Kind::ResourceType, resource_type)
        });
        edited.await.map(|_| ())
    }
}
