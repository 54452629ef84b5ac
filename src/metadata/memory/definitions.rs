//! Metadata definitions in memory.

use std::{
    collections::BTreeMap,
    sync::{MutexGuard, PoisonError},
};

use async_trait::async_trait;

use super::MemoryMetadata;
use crate::{
    metadata::{
        MetadataError,
        definitions::{DefineError, MetadefStore, in_order},
    },
    metadefs::{Change, Namespace, NamespacePage, NamespaceQuery, ResourceType},
};

/// What is known of definitions.
#[derive(Debug, Default)]
pub(super) struct Definitions {
    namespaces: BTreeMap<String, Namespace>,
    resource_types: BTreeMap<String, ResourceType>,
}

impl MemoryMetadata {
    fn definitions(&self) -> MutexGuard<'_, Definitions> {
        // A panic comes before the first insertion: what is there is whole.
        self.definitions.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl MetadefStore for MemoryMetadata {
    async fn define(&self, change: Change) -> Result<Option<Namespace>, DefineError> {
        let mut definitions = self.definitions();
        let (name, at) = (change.name().to_owned(), change.at);
        let current = definitions.namespaces.get(&name);
        let other = change
            .new_name()
            .and_then(|name| definitions.namespaces.get(name));
        let next = change.apply(current, other)?;
        definitions.namespaces.remove(&name);
        if let Some(next) = &next {
            for association in &next.head.associations {
                let name = association.name.clone();
                let first = ResourceType {
                    name: name.clone(),
                    created_at: at,
                };
                definitions.resource_types.entry(name).or_insert(first);
            }
            definitions
                .namespaces
                .insert(next.head.name.clone(), next.clone());
        }
        Ok(next)
    }

    async fn namespace(&self, name: &str) -> Result<Option<Namespace>, MetadataError> {
        Ok(self.definitions().namespaces.get(name).cloned())
    }

    async fn namespaces(&self, query: NamespaceQuery) -> Result<NamespacePage, MetadataError> {
        let definitions = self.definitions();
        let heads = definitions.namespaces.values();
        query.page(heads.map(|namespace| Ok(namespace.head.clone())))
    }

    async fn resource_types(&self) -> Result<Vec<ResourceType>, MetadataError> {
        Ok(in_order(
            self.definitions().resource_types.values().cloned().collect(),
        ))
    }
}
