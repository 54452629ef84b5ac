//! The configured stores by id. Alone names the crates that implement them.

mod metered;
mod mountpoints;
mod open;
#[cfg(test)]
mod tests;

use std::{collections::BTreeMap, fmt, path::Path, sync::Arc};

use self::{metered::Metered, mountpoints::Mountpoints};
use saccade_outgoing as outgoing;
use saccade_store_contract::{BlobName, Location, OnBehalf, Store};

use crate::config::{self, UrlFilter};

/// The configured stores. Clones are handles to the same ones.
#[derive(Clone, Debug)]
pub struct Stores {
    stores: Arc<BTreeMap<String, Arc<dyn Store>>>,
    /// Those that are not 0.
    weights: Arc<BTreeMap<String, i64>>,
    mountpoints: Arc<BTreeMap<String, Mountpoints>>,
    /// What the addresses of what a store writes begin with, of those that know others for their own, too.
    homes: Arc<BTreeMap<String, String>>,
    default: Arc<str>,
    staging: Option<Staging>,
}

/// Where data waits for an import: files of this node alone. Clones are handles to the same place.
#[derive(Clone, Debug)]
pub struct Staging {
    store: Arc<dyn Store>,
    directory: Arc<str>,
}

/// The id of the place where data waits for an import, which no configured store may have (Glance's own).
pub const STAGING: &str = "os_glance_staging_store";

/// A store cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("the store {id} cannot be used")]
pub struct StoresError {
    id: String,
    #[source]
    source: Box<dyn std::error::Error + Send + Sync>,
}

impl StoresError {
    fn new(id: &str, source: Box<dyn std::error::Error + Send + Sync>) -> Self {
        Self {
            id: id.to_owned(),
            source,
        }
    }
}

/// Which store writes where.
#[derive(Default)]
struct Places(BTreeMap<open::Place, String>);

impl Places {
    /// # Errors
    /// Another store writes there.
    fn take(&mut self, id: &str, place: Option<open::Place>) -> Result<(), StoresError> {
        let Some(place) = place else { return Ok(()) };
        match self.0.insert(place, id.to_owned()) {
            None => Ok(()),
            Some(owner) => Err(StoresError::new(
                id,
                format!("its data would be where the store {owner} keeps its own: give each a container of its own").into(),
            )),
        }
    }
}

/// A record names a store that is not configured.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("no store named {0:?} is configured")]
pub struct UnknownStore(String);

impl Stores {
    /// Opens what is configured. Nobody is asked over the network: a store that does not answer is one that may answer
    /// later. Blocks.
    ///
    /// # Errors
    /// The first store that cannot be used.
    pub fn open(config: &config::Stores) -> Result<Self, StoresError> {
        let (mut stores, mut mountpoints) = (Vec::new(), BTreeMap::new());
        let (mut places, mut homes) = (Places::default(), BTreeMap::new());
        // Of what is wrong with the engine, the store that needs it says so.
        let engine = open::engine(config.file_engine)
            .map_err(|source| StoresError::new(&config.default, source.into()))?;
        for store in &config.list {
            let opened = open::store(store, &config.url_filter, &engine)
                .map_err(|source| StoresError::new(&store.id, source))?;
            places.take(&store.id, opened.place)?;
            stores.push((store.id.clone(), opened.store));
            if let Some(found) = opened.mountpoints {
                mountpoints.insert(store.id.clone(), found);
            }
            if let Some(home) = opened.home {
                homes.insert(store.id.clone(), home);
            }
        }
        let weights = config.list.iter().map(|store| (store.id.clone(), store.weight));
        Ok(Self {
            weights: Arc::new(weights.filter(|(_, weight)| *weight != 0).collect()),
            mountpoints: Arc::new(mountpoints),
            homes: Arc::new(homes),
            ..Self::of(stores, &config.default)
        })
    }

    /// Whether what is configured can be opened, as far as can be told without changing anything and without asking
    /// anybody: files of authorities are read. Blocks.
    ///
    /// # Errors
    /// The first store that cannot be used.
    pub fn check(config: &config::Stores) -> Result<(), StoresError> {
        let mut places = Places::default();
        config.list.iter().try_for_each(|store| {
            let place = open::check(store, &config.url_filter)
                .map_err(|source| StoresError::new(&store.id, source))?;
            places.take(&store.id, place)
        })
    }

    /// Whether any of the stores acts in its callers' names.
    pub fn are_per_caller(&self) -> bool {
        self.stores.values().any(|store| store.is_per_caller())
    }

    /// The same stores, of which those that act in their callers' names do so in this one's, for as long as it is kept.
    #[must_use]
    pub fn on_behalf(&self, caller: &OnBehalf) -> Self {
        let bound = self.stores.iter().map(|(id, store)| {
            let bound = store.on_behalf(caller);
            (id.clone(), bound.unwrap_or_else(|| Arc::clone(store)))
        });
        Self {
            stores: Arc::new(bound.collect()),
            ..self.clone()
        }
    }

    /// What a location carries whose data this store has just taken, beside its address (`filesystem_store_metadata_file`).
    pub fn metadata_of(&self, id: &str, location: &Location) -> BTreeMap<String, String> {
        let mountpoints = self.mountpoints.get(id);
        mountpoints.map_or_else(BTreeMap::new, |mountpoints| mountpoints.of(id, location))
    }

    /// How much a store is preferred for reading to others that have the same data; the greatest comes first.
    pub fn weight(&self, id: Option<&str>) -> i64 {
        let id = id.unwrap_or(&self.default);
        self.weights.get(id).copied().unwrap_or(0)
    }

    /// The given stores, their failures counted; `default` takes uploads that do not say where to.
    pub fn of(stores: impl IntoIterator<Item = (String, Arc<dyn Store>)>, default: &str) -> Self {
        let metered = |(id, store): (String, Arc<dyn Store>)| {
            let store: Arc<dyn Store> = Arc::new(Metered::new(id.clone(), store));
            (id, store)
        };
        Self {
            stores: Arc::new(stores.into_iter().map(metered).collect()),
            weights: Arc::default(),
            mountpoints: Arc::default(),
            homes: Arc::default(),
            default: default.into(),
            staging: None,
        }
    }

    /// The same with a place for data that waits for an import, in this directory, which is made if need be. Blocks.
    ///
    /// # Errors
    /// It cannot be used.
    pub fn with_staging(mut self, directory: &Path) -> Result<Self, StoresError> {
        let unusable = |source| StoresError {
            id: STAGING.to_owned(),
            source,
        };
        let path = directory
            .to_str()
            .ok_or_else(|| unusable("its path is not UTF-8".into()))?;
        let store = open::staging(STAGING, directory).map_err(unusable)?;
        self.staging = Some(Staging {
            store: Arc::new(Metered::new(STAGING.to_owned(), store)),
            directory: path.into(),
        });
        Ok(self)
    }

    /// Where data waits for an import.
    ///
    /// # Errors
    /// There is no such place.
    pub fn staging(&self) -> Result<&Staging, UnknownStore> {
        self.staging
            .as_ref()
            .ok_or_else(|| UnknownStore(STAGING.to_owned()))
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
        if id == STAGING {
            return self.staging().map(|staging| &staging.store);
        }
        self.stores.get(id).ok_or_else(|| UnknownStore(id.to_owned()))
    }

    /// The stores whose addresses begin as this one does, by their ids, the one first that writes there if it can be told: which
    /// of them it belongs to, they have to be asked.
    pub fn of_url<'a>(&'a self, url: &str) -> Vec<(&'a str, &'a Arc<dyn Store>)> {
        let scheme = url
            .split_once("://")
            .map(|(scheme, _)| scheme.to_ascii_lowercase());
        let stores = self.stores.iter().filter_map(|(id, store)| {
            let schemes = schemes(store.capabilities().kind);
            let is_its_own = schemes.iter().any(|own| Some(*own) == scheme.as_deref());
            is_its_own.then_some((id.as_str(), store))
        });
        let mut stores: Vec<_> = stores.collect();
        let address = Location::new(url);
        stores.sort_by_cached_key(|(id, store)| std::cmp::Reverse(self.nearness(id, &***store, &address)));
        stores
    }

    /// How much of an address is that of the store's home.
    fn nearness(&self, id: &str, store: &dyn Store, address: &Location) -> usize {
        let is_in = |home: &str| {
            let canonical = store.canonical(address)?;
            // Behind an underscore, one of several containers.
            let rest = canonical.as_str().strip_prefix(home)?;
            rest.starts_with(['/', '_']).then_some(home.len())
        };
        self.homes.get(id).and_then(|home| is_in(home)).unwrap_or(0)
    }

    /// The store that the data of an address is in, with its id: the one that the record names; where it names none, or one
    /// that is not configured (any more), the one that knows the address for its own; else, where none is named, the
    /// default one (Glance 33, `common/store_utils.py`, `update_store_in_locations`, which goes by prefixes).
    ///
    /// # Errors
    /// It is not configured.
    pub fn resolve(&self, id: Option<&str>, url: &str) -> Result<(&str, &Arc<dyn Store>), UnknownStore> {
        if let Some(id) = id.filter(|id| *id == STAGING) {
            return self.store(id).map(|store| (STAGING, store));
        }
        let configured = |id: &str| {
            let found = self.stores.get_key_value(id);
            found.map(|(id, store)| (id.as_str(), store))
        };
        let named = id.and_then(configured);
        named
            .or_else(|| self.owner(url))
            .or_else(|| configured(&self.default).filter(|_| id.is_none()))
            .ok_or_else(|| UnknownStore(id.unwrap_or(&self.default).to_owned()))
    }

    /// The store that knows an address for its own.
    fn owner(&self, url: &str) -> Option<(&str, &Arc<dyn Store>)> {
        let address = Location::new(url);
        let mut stores = self.of_url(url).into_iter();
        stores.find(|(_, store)| store.canonical(&address).is_some())
    }

    /// How a record says where data is: the id of its store and its address in the one spelling that the store has for it,
    /// without credentials. Where the store reads only, its address stays as it is: credentials in it may be needed.
    ///
    /// Where nobody knows the address, both stay as they are.
    pub fn spelled(&self, id: Option<&str>, url: &str) -> (Option<String>, String) {
        let named = id.and_then(|id| self.stores.get_key_value(id));
        let named = named.map(|(id, store)| (id.as_str(), store));
        let Some((found, store)) = named.or_else(|| self.owner(url)) else {
            return (id.map(str::to_owned), url.to_owned());
        };
        let canonical = match store.capabilities().writable {
            true => store.canonical(&Location::new(url)),
            false => None,
        };
        let url = canonical.map_or_else(|| url.to_owned(), Location::into_string);
        (Some(found.to_owned()), url)
    }

    /// What addresses of one blob have in common.
    pub fn identity(&self, id: Option<&str>, url: &str) -> String {
        let canonical = self
            .resolve(id, url)
            .ok()
            .and_then(|(_, store)| store.canonical(&Location::new(url)));
        canonical.map_or_else(|| url.to_owned(), Location::into_string)
    }

    /// The store of a location: the one it names, or, for those of a Glance with a single store, the default one.
    ///
    /// # Errors
    /// It is not configured.
    pub fn of_location(&self, id: Option<&str>) -> Result<&Arc<dyn Store>, UnknownStore> {
        self.store(id.unwrap_or(&self.default))
    }
}

impl Staging {
    /// The store.
    pub fn store(&self) -> &Arc<dyn Store> {
        &self.store
    }

    /// Where the data of this name is: the store's layout, which is glance_store's.
    pub fn location(&self, name: BlobName) -> Location {
        Location::new(format!("file://{}/{name}", self.directory))
    }
}

/// Where users may send the daemon.
///
/// # Errors
/// A host in the configuration is none.
pub fn outgoing_filter(filter: &UrlFilter) -> Result<outgoing::Filter, outgoing::InvalidHost> {
    outgoing::Filter::new(outgoing::FilterOptions {
        allowed_schemes: filter.allowed_schemes.clone(),
        disallowed_schemes: filter.disallowed_schemes.clone(),
        allowed_hosts: filter.allowed_hosts.clone(),
        disallowed_hosts: filter.disallowed_hosts.clone(),
        allowed_ports: filter.allowed_ports.clone(),
        disallowed_ports: filter.disallowed_ports.clone(),
    })
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
