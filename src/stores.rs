//! The configured stores by id. Alone names the crates that implement them.

use std::{collections::BTreeMap, fmt, sync::Arc};

use saccade_store_contract::Store;

/// The configured stores. Clones are handles to the same ones.
#[derive(Clone, Debug)]
pub struct Stores {
    stores: Arc<BTreeMap<String, Arc<dyn Store>>>,
    default: Arc<str>,
}

/// A record names a store that is not configured.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("no store named {0:?} is configured")]
pub struct UnknownStore(String);

impl Stores {
    /// The given stores; `default` takes uploads that do not say where to.
    pub fn of(stores: impl IntoIterator<Item = (String, Arc<dyn Store>)>, default: &str) -> Self {
        Self {
            stores: Arc::new(stores.into_iter().collect()),
            default: default.into(),
        }
    }

    /// The store that takes uploads that do not say where to, by its id.
    ///
    /// # Errors
    /// It is not configured.
    pub fn default_store(&self) -> Result<(&str, &Arc<dyn Store>), UnknownStore> {
        let store = self.store(&self.default)?;
        Ok((&self.default, store))
    }

    /// The id of the store that takes uploads that do not say where to.
    pub fn default_id(&self) -> &str {
        &self.default
    }

    /// The store of this id.
    ///
    /// # Errors
    /// It is not configured.
    pub fn store(&self, id: &str) -> Result<&Arc<dyn Store>, UnknownStore> {
        self.stores.get(id).ok_or_else(|| UnknownStore(id.to_owned()))
    }

    /// The store of a location: the one it names, or, for those of a Glance with a single store, the default one.
    ///
    /// # Errors
    /// It is not configured.
    pub fn of_location(&self, id: Option<&str>) -> Result<&Arc<dyn Store>, UnknownStore> {
        self.store(id.unwrap_or(&self.default))
    }
}

impl fmt::Display for Stores {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, store) in self.stores.values().enumerate() {
            let separator = if index == 0 { "" } else { ", " };
            write!(f, "{separator}{store}")?;
        }
        Ok(())
    }
}
