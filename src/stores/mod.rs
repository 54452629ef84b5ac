//! The configured stores by id. Alone names the crates that implement them.

mod metered;

use std::{collections::BTreeMap, fmt, sync::Arc};

use self::metered::Metered;
use saccade_disk::{Disk, RealDisk};
use saccade_store_contract::Store;
use saccade_store_file::{FileStore, FileStoreConfig, OpenError};

use crate::config::{self, StoreDriver, StoreNaming};

/// The name of the only store where `enabled_backends` is not set, as glance_store has it.
const SINGLE: &str = "file";

/// The configured stores. Clones are handles to the same ones.
#[derive(Clone, Debug)]
pub struct Stores {
    stores: Arc<BTreeMap<String, Arc<dyn Store>>>,
    default: Arc<str>,
}

/// A store cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("the store {id} cannot be used")]
pub struct StoresError {
    id: String,
    #[source]
    source: OpenError,
}

/// A record names a store that is not configured.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("no store named {0:?} is configured")]
pub struct UnknownStore(String);

impl Stores {
    /// Opens what is configured. Blocks.
    ///
    /// # Errors
    /// The first store that cannot be used.
    pub fn open(config: &config::Store) -> Result<Self, StoresError> {
        let id = match &config.naming {
            StoreNaming::Single => SINGLE.to_owned(),
            StoreNaming::Backend { id } => id.clone(),
        };
        let StoreDriver::File(file) = &config.driver;
        let disk: Arc<dyn Disk> = Arc::new(RealDisk);
        let config = FileStoreConfig {
            id: id.clone(),
            datadir: file.datadir.clone(),
            file_mode: file.file_mode.map(|mode| mode.bits()),
            thin_provisioning: file.thin_provisioning,
        };
        match FileStore::open(config, disk) {
            Ok(store) => Ok(Self::of([(id.clone(), Arc::new(store) as Arc<dyn Store>)], &id)),
            Err(source) => Err(StoresError { id, source }),
        }
    }

    /// The given stores, their failures counted; `default` takes uploads that do not say where to.
    pub fn of(stores: impl IntoIterator<Item = (String, Arc<dyn Store>)>, default: &str) -> Self {
        let metered = |(id, store): (String, Arc<dyn Store>)| {
            let store: Arc<dyn Store> = Arc::new(Metered::new(id.clone(), store));
            (id, store)
        };
        Self {
            stores: Arc::new(stores.into_iter().map(metered).collect()),
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

    /// The stores whose addresses begin as this one does, by their ids: which of them it belongs to, they have to be
    /// asked.
    pub fn of_url<'a>(&'a self, url: &str) -> impl Iterator<Item = (&'a str, &'a Arc<dyn Store>)> + use<'a> {
        let scheme = url
            .split_once("://")
            .map(|(scheme, _)| scheme.to_ascii_lowercase());
        self.stores.iter().filter_map(move |(id, store)| {
            let schemes = schemes(store.capabilities().kind);
            let is_its_own = schemes.iter().any(|own| Some(*own) == scheme.as_deref());
            is_its_own.then_some((id.as_str(), store))
        })
    }

    /// The store of a location: the one it names, or, for those of a Glance with a single store, the default one.
    ///
    /// # Errors
    /// It is not configured.
    pub fn of_location(&self, id: Option<&str>) -> Result<&Arc<dyn Store>, UnknownStore> {
        self.store(id.unwrap_or(&self.default))
    }
}

/// The schemes of a driver's addresses (glance_store, `get_schemes` of each driver).
fn schemes(kind: &'static str) -> Vec<&'static str> {
    match kind {
        "file" => vec!["file", "filesystem"],
        "http" => vec!["http", "https"],
        "s3" => vec!["s3", "s3+http", "s3+https"],
        "swift" => vec!["swift", "swift+http", "swift+https", "swift+config"],
        kind => vec![kind],
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
