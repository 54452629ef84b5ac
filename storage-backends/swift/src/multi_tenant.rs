//! Images in the accounts of those who bring them, each in a container of its own (`swift_store_multi_tenant`; glance_store's
//! `MultiTenantStore`).
//!
//! Requests carry the caller's token. Where there is no caller any more (what a crash has left, a deletion that was put off),
//! or the server refuses the token, the store's own account stands in, if it has one: it must be one that Swift lets into every
//! account (`reseller_admin_role`). It reads nothing for anybody: an object may be its owner's link to what only that account may
//! see, in any other. In an upload it stands in for a token that has ended, and for nothing else: who may
//! not write to an account is Swift's to say.
//!
//! A token is given to nobody but the server that the configuration or the catalogue of its owner names: a location, which
//! a user may have written, chooses among accounts there.

use std::{fmt, ops::Range, sync::Arc};

use async_trait::async_trait;
use http::HeaderValue;
use saccade_store_contract::{
    Attempt, Blob, BlobName, BlobWriter, Capabilities, Capacity, Error, ErrorKind, Handle, Location,
    OnBehalf, Operation, Readers, Result, Store,
};

use crate::{
    account::{LogIn, secret_value},
    attempt::{AttemptState, KeyLocks, LiveAttempts},
    body,
    client::{Account, Whose},
    config::{EndpointType, OpenError, SwiftStoreConfig},
    deletion,
    failure::{Failure, refused},
    location::{AttemptNames, Names, Place, is_container},
    plan::Memory,
    references,
    store::{Inner, Sizes, SwiftStore, http_client},
    tenant::{StandIn, TenantAccount},
    tenant_address::TenantAddress,
    undo,
    writer::SwiftWriter,
};

/// Blobs as objects in the accounts of those who bring them.
#[derive(Debug, Clone)]
pub struct MultiTenantStore {
    shared: Arc<Shared>,
    caller: Option<Caller>,
}

/// In whose name it acts.
#[derive(Clone)]
struct Caller {
    /// Marked as sensitive.
    token: HeaderValue,
    /// Where new images go, if the catalogue says it.
    home: Option<TenantAddress>,
    /// The caller's own accounts, by whatever address.
    accounts: Vec<TenantAddress>,
}

/// What the stores of all callers share.
struct Shared {
    id: String,
    http: reqwest::Client,
    service: Option<Arc<LogIn>>,
    /// What is in the store's own accounts: images from before this mode was chosen.
    own: Option<SwiftStore>,
    endpoint: Option<TenantAddress>,
    interface: EndpointType,
    service_type: String,
    region: Option<String>,
    container: String,
    admin_tenants: Vec<String>,
    sizes: Sizes,
    memory: Arc<Memory>,
    keys: Arc<KeyLocks>,
    attempts: Arc<LiveAttempts>,
    place: String,
}

impl MultiTenantStore {
    /// Makes a store from its options, and asks nobody. Reads the files of references and authorities, so it blocks.
    ///
    /// # Errors
    /// [`OpenError`]: an option that cannot be used.
    pub fn open(config: SwiftStoreConfig) -> Result<Self, OpenError> {
        let option = |option, reason| OpenError::Option {
            id: config.id.clone(),
            option,
            reason,
        };
        let sizes = Sizes::of(&config).map_err(|(name, reason)| option(name, reason))?;
        // An underscore and an id follow.
        if !is_container(&format!("{}_{}", config.swift_store_container, uuid::Uuid::nil())) {
            return Err(option("swift_store_container", "has a value that cannot be used"));
        }
        if config.swift_store_config_file.is_some() {
            return Err(option(
                "swift_store_config_file",
                "cannot be used with swift_store_multi_tenant; the store's own account is that of swift_store_auth_address, \
                 swift_store_user and swift_store_key",
            ));
        }
        let endpoint = match config.swift_store_endpoint.as_deref() {
            None | Some("") => None,
            Some(text) => {
                let address = TenantAddress::parse(text);
                Some(address.ok_or_else(|| option("swift_store_endpoint", "is not a URL"))?)
            }
        };
        let own_config = SwiftStoreConfig {
            swift_store_multi_tenant: false,
            ..config.clone()
        };
        let (own, service) = match has_account(&config) {
            false => {
                tracing::warn!(
                    store = config.id,
                    "the swift store has no account of its own: what a crash leaves in a project's account, and deletions that \
                     were put off, wait for a request of a user about the image"
                );
                (None, None)
            }
            true => {
                let first = references::load(&own_config)?.into_iter().next();
                let first = first.ok_or_else(|| option("default_swift_reference", "names no account"))?;
                let log_in = LogIn::new(&own_config, first)
                    .map_err(|reason| option("swift_store_endpoint", reason))?;
                (Some(SwiftStore::open(own_config)?), Some(Arc::new(log_in)))
            }
        };
        let place = format!(
            "projects' accounts {:?} {:?} {:?} {:?}",
            endpoint.as_ref().map(|endpoint| endpoint.url().as_str()),
            config.swift_store_region,
            config.swift_store_service_type,
            config.swift_store_container,
        );
        let http = http_client(&config)?;
        let shared = Shared {
            http,
            service,
            own,
            endpoint,
            interface: config.swift_store_endpoint_type,
            service_type: config.swift_store_service_type,
            region: config.swift_store_region.filter(|region| !region.is_empty()),
            container: config.swift_store_container,
            admin_tenants: config.swift_store_admin_tenants,
            sizes,
            memory: Arc::new(Memory::new()),
            keys: Arc::default(),
            attempts: Arc::default(),
            place,
            id: config.id,
        };
        Ok(Self {
            shared: Arc::new(shared),
            caller: None,
        })
    }

    /// Which containers are written, as far as it is known without asking: two stores with the same would have each other's
    /// objects for their own.
    pub fn place(&self) -> String {
        self.shared.place.clone()
    }

    /// What an account is reached with.
    fn at(&self, address: &TenantAddress, stand_in: StandIn) -> Arc<Inner> {
        let shared = &self.shared;
        let caller = self.caller.as_ref().filter(|caller| {
            let mut known = caller.accounts.iter().chain(&shared.endpoint);
            known.any(|known| known.is_beside(address))
        });
        let account = TenantAccount::new(
            address.clone(),
            caller.map(|caller| caller.token.clone()),
            shared.service.clone(),
            stand_in,
        );
        let account = Account::new(shared.http.clone(), Whose::Tenant(account));
        Arc::new(Inner::of_tenant(
            shared.id.clone(),
            account,
            Names::of_tenant(address.clone()),
            &shared.sizes,
            (
                Arc::clone(&shared.memory),
                Arc::clone(&shared.keys),
                Arc::clone(&shared.attempts),
            ),
        ))
    }

    /// The store of the images that are in its own accounts, if this location is of one.
    fn own(&self, location: &Location) -> Option<&SwiftStore> {
        let own = self.shared.own.as_ref()?;
        // What has the form of a project's address is in a project's account, also where the store's own has an address like it.
        if TenantAddress::resolve(location, Operation::Size).is_ok() {
            return None;
        }
        own.canonical(location).map(|_| own)
    }

    fn own_of_handle(&self, handle: &Handle) -> Option<&SwiftStore> {
        self.shared
            .own
            .as_ref()
            .filter(|_| !TenantAddress::is_handle(handle))
    }

    fn resolve(
        &self,
        location: &Location,
        operation: Operation,
        stand_in: StandIn,
    ) -> Result<(Arc<Inner>, Place)> {
        let (address, place) = TenantAddress::resolve(location, operation)?;
        Ok((self.at(&address, stand_in), place))
    }

    /// Whether a container is one image's alone, as this store makes them.
    fn is_of_image(&self, place: &Place) -> bool {
        let rest = place.container.strip_prefix(self.shared.container.as_str());
        rest.and_then(|rest| rest.strip_prefix('_')) == Some(place.object.as_str())
    }

    /// Removes the container of an image that has gone.
    async fn remove_container(&self, inner: &Inner, place: &Place, operation: Operation) -> Result<()> {
        if !self.is_of_image(place) {
            return Ok(());
        }
        let removed = inner.account(place).delete_container(&place.container).await;
        let is_removed = removed.map_err(|failure| failure.at(operation, &place.to_string()))?;
        if !is_removed {
            tracing::info!(
                store = self.shared.id,
                container = place.container,
                "the container of a deleted image stays: there is something else in it"
            );
        }
        Ok(())
    }
}

impl Shared {
    /// Where a caller's new images go: glance_store's `_get_endpoint`.
    fn home(&self, caller: &OnBehalf) -> Option<TenantAddress> {
        if self.endpoint.is_some() {
            return self.endpoint.clone();
        }
        let mut endpoints = caller.endpoints().iter();
        let found = endpoints.find(|endpoint| {
            endpoint.service_type == self.service_type
                && endpoint.interface == self.interface.interface()
                && (self.region.is_none() || endpoint.region == self.region)
        });
        TenantAddress::parse(&found?.url)
    }

    fn accounts(&self, caller: &OnBehalf) -> Vec<TenantAddress> {
        let endpoints = caller.endpoints().iter();
        let own = endpoints.filter(|endpoint| endpoint.service_type == self.service_type);
        own.filter_map(|endpoint| TenantAddress::parse(&endpoint.url))
            .collect()
    }
}

/// Whether the options name an account of the store's own, or mean to.
fn has_account(config: &SwiftStoreConfig) -> bool {
    let is_set = |text: &Option<String>| text.as_ref().is_some_and(|text| !text.is_empty());
    is_set(&config.swift_store_auth_address)
        || is_set(&config.swift_store_user)
        || is_set(&config.swift_store_application_credential_id)
}

/// One that carries no token cannot do anything.
fn nobody(operation: Operation, subject: &str, reason: &'static str) -> Error {
    refused(ErrorKind::Denied, operation, subject, reason)
}

/// Where an address is the same for all accounts (RGW without `rgw swift account in url`), a token chooses among them: with
/// another's, nothing is found, and what is there is taken for deleted.
fn assert_names_account(address: &TenantAddress, operation: Operation, subject: &str) -> Result<()> {
    match address.names_account() {
        true => Ok(()),
        false => Err(nobody(
            operation,
            subject,
            "the storage URL names no account, so that others' tokens lead elsewhere by it: it must end in one, such as \
             …/v1/AUTH_<project id> (RGW: rgw_swift_account_in_url)",
        )),
    }
}

#[async_trait]
impl Store for MultiTenantStore {
    fn capabilities(&self) -> Capabilities {
        Capabilities {
            kind: "swift",
            random_access: true,
            writable: true,
        }
    }

    fn is_per_caller(&self) -> bool {
        true
    }

    fn on_behalf(&self, caller: &OnBehalf) -> Option<Arc<dyn Store>> {
        let token = match secret_value(caller.token()) {
            Ok(token) => token,
            // Nobody has confirmed one with such characters.
            Err(_) => return None,
        };
        Some(Arc::new(Self {
            shared: Arc::clone(&self.shared),
            caller: Some(Caller {
                token,
                home: self.shared.home(caller),
                accounts: self.shared.accounts(caller),
            }),
        }))
    }

    async fn create(
        &self,
        name: BlobName,
        attempt: Attempt,
        size_hint: Option<u64>,
    ) -> Result<(Handle, Box<dyn BlobWriter>)> {
        let subject = self.to_string();
        let Some(caller) = &self.caller else {
            let reason =
                "an image goes into the account of whoever brings it, and there is no caller with a token";
            return Err(nobody(Operation::Create, &subject, reason));
        };
        let Some(home) = &caller.home else {
            let reason = format!(
                "the caller's catalogue has no {} endpoint of {} in region {}",
                self.shared.interface.interface(),
                self.shared.service_type,
                self.shared.region.as_deref().unwrap_or("(any)")
            );
            return Err(refused(
                ErrorKind::Unavailable,
                Operation::Create,
                &subject,
                reason,
            ));
        };
        assert_names_account(home, Operation::Create, &subject)?;
        let place = Place {
            account: 0,
            container: format!("{}_{name}", self.shared.container),
            object: name.to_string(),
        };
        let inner = self.at(home, StandIn::Expired);
        // It changes nothing, and whoever may not write there is told so at once.
        let asked = inner.account(&place).has_container(&place.container).await;
        asked.map_err(|failure| failure.at(Operation::Create, &subject))?;
        let names = AttemptNames::new(place, name, attempt);
        let handle = home.handle(&names)?;
        let state = Arc::new(AttemptState::default());
        self.shared.attempts.add(name, attempt, &state);
        Ok((handle, Box::new(SwiftWriter::new(inner, state, names, size_hint))))
    }

    async fn read(&self, location: &Location, range: Option<Range<u64>>) -> Result<Blob> {
        if let Some(own) = self.own(location) {
            return own.read(location, range).await;
        }
        let (inner, place) = self.resolve(location, Operation::Read, StandIn::Never)?;
        body::open(&inner, place, range).await
    }

    async fn size(&self, location: &Location) -> Result<u64> {
        if let Some(own) = self.own(location) {
            return own.size(location).await;
        }
        let (inner, place) = self.resolve(location, Operation::Size, StandIn::Never)?;
        inner.size(&place, Operation::Size).await
    }

    /// Only what is in the caller's own account, which the caller could delete there as well: it becomes the image's, and
    /// is deleted with it, with other rights than the caller's if need be.
    async fn admit(&self, location: &Location) -> Result<()> {
        if let Some(own) = self.own(location) {
            return own.admit(location).await;
        }
        let (address, place) = TenantAddress::resolve(location, Operation::Read)?;
        let is_own = self
            .caller
            .as_ref()
            .is_some_and(|caller| caller.accounts.contains(&address));
        if !is_own {
            let reason = "an address that a client gives must be in the account of the client's project";
            return Err(nobody(Operation::Read, &place.to_string(), reason));
        }
        assert_names_account(&address, Operation::Read, &place.to_string())?;
        let inner = self.at(&address, StandIn::Never);
        inner.size(&place, Operation::Read).await.map(drop)
    }

    /// By its form: containers of images are named after them.
    fn canonical(&self, location: &Location) -> Option<Location> {
        if let Some(own) = self.own(location) {
            return own.canonical(location);
        }
        let (address, place) = TenantAddress::resolve(location, Operation::Size).ok()?;
        self.is_of_image(&place).then(|| address.location(&place))
    }

    /// glance_store's `set_acls`. Containers that hold more than the image, where its address was given by a client, stay
    /// as they are.
    async fn set_readers(&self, location: &Location, readers: &Readers) -> Result<()> {
        if self.own(location).is_some() {
            return Ok(());
        }
        let (inner, place) = self.resolve(location, Operation::SetReaders, StandIn::Refused)?;
        if !self.is_of_image(&place) {
            return Ok(());
        }
        let everyone_of = |projects: &[String]| {
            let named = projects.iter().filter(|project| is_project(project));
            named
                .map(|project| format!("{project}:*"))
                .collect::<Vec<_>>()
                .join(",")
        };
        let read = match readers {
            Readers::Everyone => "*:*".to_owned(),
            Readers::Projects(projects) => everyone_of(projects),
        };
        let write = everyone_of(&self.shared.admin_tenants);
        let subject = place.to_string();
        let shared = inner
            .account(&place)
            .share_container(&place.container, &read, &write)
            .await;
        match shared.map_err(|failure: Failure| failure.at(Operation::SetReaders, &subject))? {
            true => Ok(()),
            false => Err(undo::not_there(Operation::SetReaders, &subject)),
        }
    }

    async fn prepare_delete(&self, location: &Location) -> Result<()> {
        if let Some(own) = self.own(location) {
            return own.prepare_delete(location).await;
        }
        let (inner, place) = self.resolve(location, Operation::PrepareDelete, StandIn::Refused)?;
        deletion::prepare_delete(&inner, &place).await
    }

    /// The container goes as well, also where the object has gone before.
    async fn delete(&self, location: &Location) -> Result<()> {
        if let Some(own) = self.own(location) {
            return own.delete(location).await;
        }
        let (inner, place) = self.resolve(location, Operation::Delete, StandIn::Refused)?;
        let deleted = deletion::delete(&inner, &place).await;
        if deleted
            .as_ref()
            .map_or_else(|error| error.kind() == ErrorKind::NotFound, |()| true)
        {
            self.remove_container(&inner, &place, Operation::Delete).await?;
        }
        deleted
    }

    async fn discard(&self, handle: &Handle) -> Result<()> {
        if let Some(own) = self.own_of_handle(handle) {
            return own.discard(handle).await;
        }
        let (address, names) = TenantAddress::parse_handle(handle, Operation::Discard)?;
        let inner = self.at(&address, StandIn::Refused);
        undo::discard(&inner, &names, Operation::Discard).await?;
        // Unless another's object is there.
        self.remove_container(&inner, &names.place, Operation::Discard)
            .await
    }

    async fn settle(&self, handle: &Handle) -> Result<()> {
        if let Some(own) = self.own_of_handle(handle) {
            return own.settle(handle).await;
        }
        let (address, names) = TenantAddress::parse_handle(handle, Operation::Settle)?;
        let inner = self.at(&address, StandIn::Refused);
        undo::settle(&inner, &names).await?;
        // A deletion that has come first had to leave the container, for the mark that was in it.
        let account = inner.account(&names.place);
        let found = account.has(&names.place, &names.place.object).await;
        match found.map_err(|failure| failure.at(Operation::Settle, &names.place.to_string()))? {
            true => Ok(()),
            false => {
                self.remove_container(&inner, &names.place, Operation::Settle)
                    .await
            }
        }
    }

    async fn capacity(&self) -> Result<Option<Capacity>> {
        Ok(None)
    }
}

/// A project that could be something else in a list of who may read is nobody's.
fn is_project(text: &str) -> bool {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
    !text.is_empty() && text.chars().all(is_plain)
}

impl fmt::Display for MultiTenantStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "swift store {} in containers {}_… of the projects' accounts",
            self.shared.id, self.shared.container
        )
    }
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared")
            .field("id", &self.id)
            .field("place", &self.place)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Caller {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Caller")
            .field("home", &self.home)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod own_token;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Secret;
    use saccade_store_contract::Endpoint;

    fn open(change: impl FnOnce(&mut SwiftStoreConfig)) -> Result<MultiTenantStore, OpenError> {
        let mut config = SwiftStoreConfig::new("s");
        config.swift_store_multi_tenant = true;
        change(&mut config);
        MultiTenantStore::open(config)
    }

    fn caller() -> OnBehalf {
        let endpoint = |service_type: &str, region: &str, interface: &str, url: &str| Endpoint {
            service_type: service_type.to_owned(),
            region: Some(region.to_owned()),
            interface: interface.to_owned(),
            url: url.to_owned(),
        };
        let endpoints = vec![
            endpoint("image", "R1", "public", "http://image"),
            endpoint("object-store", "R1", "internal", "http://in/v1/AUTH_a"),
            endpoint("object-store", "R1", "public", "http://one/v1/AUTH_a"),
            endpoint("object-store", "R2", "public", "http://two/v1/AUTH_a"),
        ];
        OnBehalf::new("token", endpoints)
    }

    #[test]
    fn the_catalogue_says_where_new_images_go() {
        type Change = fn(&mut SwiftStoreConfig);
        let cases: [(Change, Option<&str>); 5] = [
            (|_| {}, Some("http://one/v1/AUTH_a")),
            (
                |config| config.swift_store_region = Some("R2".to_owned()),
                Some("http://two/v1/AUTH_a"),
            ),
            (
                |config| config.swift_store_endpoint_type = EndpointType::Internal,
                Some("http://in/v1/AUTH_a"),
            ),
            (
                |config| config.swift_store_endpoint = Some("https://there/v1/AUTH_x/".to_owned()),
                Some("https://there/v1/AUTH_x"),
            ),
            (
                |config| config.swift_store_service_type = "other".to_owned(),
                None,
            ),
        ];
        for (change, expected) in cases {
            let store = open(change).unwrap();
            let found = store.shared.home(&caller());
            assert_eq!(found.as_ref().map(|found| found.url().as_str()), expected);
        }
    }

    #[test]
    fn options_that_cannot_be_used_are_named() {
        type Change = fn(&mut SwiftStoreConfig);
        let cases: [(&str, Change); 5] = [
            ("swift_store_config_file", |config| {
                config.swift_store_config_file = Some("swift.conf".into());
            }),
            ("swift_store_container", |config| {
                config.swift_store_container = "a".repeat(220);
            }),
            ("swift_store_endpoint", |config| {
                config.swift_store_endpoint = Some("swift".to_owned());
            }),
            ("swift_store_auth_address", |config| {
                config.swift_store_user = Some("a:b".to_owned());
            }),
            ("swift_store_large_object_chunk_size", |config| {
                config.swift_store_large_object_chunk_size = 0;
            }),
        ];
        for (option, change) in cases {
            let error = open(change).unwrap_err().to_string();
            assert!(error.contains(option), "{error}");
        }
    }

    #[test]
    fn only_containers_of_images_are_known_by_sight() {
        let store = open(|_| {}).unwrap();
        let id = "6a1c2b3d-0000-4000-8000-000000000001";
        let known = |text: String| store.canonical(&Location::new(text)).map(Location::into_string);
        assert_eq!(
            known(format!("swift://H:443/v1/AUTH_a/glance_{id}/{id}")),
            Some(format!("swift+https://h/v1/AUTH_a/glance_{id}/{id}"))
        );
        assert_eq!(known(format!("swift+https://h/v1/AUTH_a/glance/{id}")), None);
        assert_eq!(known(format!("swift+https://h/v1/AUTH_a/glance_{id}/x")), None);
        assert_eq!(known(format!("swift+config://ref1/glance/{id}")), None);
    }

    #[test]
    fn an_endpoint_does_not_make_projects_images_the_stores_own() {
        let store = open(|config| {
            config.swift_store_endpoint = Some("https://h/v1/AUTH_a".to_owned());
            config.swift_store_auth_address = Some("https://keystone/v3".to_owned());
            config.swift_store_user = Some("service:glance".to_owned());
            config.swift_store_key = Some(Secret::new("key".to_owned()));
        })
        .unwrap();
        let id = "6a1c2b3d-0000-4000-8000-000000000001";
        for address in ["h/v1/AUTH_a", "keystone/v3"] {
            let location = Location::new(format!("swift+https://{address}/glance_{id}/{id}"));
            assert!(store.own(&location).is_none(), "{address}");
            assert_eq!(store.canonical(&location), Some(location));
        }
        let own = format!("swift+https://service%3Aglance:key@keystone/v3/glance/{id}");
        assert!(store.own(&Location::new(own)).is_some());
    }

    #[tokio::test]
    async fn an_address_that_all_accounts_share_is_refused() {
        let url = "http://127.0.0.1:9/swift/v1";
        let endpoint = Endpoint {
            service_type: "object-store".to_owned(),
            region: None,
            interface: "public".to_owned(),
            url: url.to_owned(),
        };
        let caller = OnBehalf::new("token", vec![endpoint]);
        let store = open(|_| {}).unwrap().on_behalf(&caller).unwrap();
        let id = "6a1c2b3d-0000-4000-8000-000000000001".parse().unwrap();
        let begun = store.create(BlobName(id), Attempt(id), None).await;
        assert_eq!(begun.err().unwrap().kind(), ErrorKind::Denied);
        let location = Location::new(format!("swift+http://127.0.0.1:9/swift/v1/glance_{id}/{id}"));
        assert_eq!(
            store.admit(&location).await.unwrap_err().kind(),
            ErrorKind::Denied
        );
    }

    #[test]
    fn a_caller_shows_no_token() {
        let store = open(|_| {}).unwrap().on_behalf(&caller()).unwrap();
        assert!(!format!("{store:?} {store}").contains("token"));
        assert!(
            open(|_| {})
                .unwrap()
                .on_behalf(&OnBehalf::new("a\nb", Vec::new()))
                .is_none()
        );
    }
}
