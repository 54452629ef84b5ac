//! The store.

use std::{fmt, ops::Range, sync::Arc, time::Duration};

use async_trait::async_trait;
use saccade_outgoing::{Verification, tls_client};
use saccade_store_contract::{
    Attempt, Blob, BlobName, BlobWriter, Capabilities, Capacity, ErrorKind, Handle, Location, Operation,
    Result, Store,
};

use crate::{
    account::LogIn,
    attempt::{AttemptState, KeyLocks, LiveAttempts},
    body,
    client::{Account, Whose},
    config::{OpenError, SwiftStoreConfig},
    deletion,
    failure::{Failure, refused},
    location::{AttemptNames, Names, Place, Standing, address_key},
    plan::Memory,
    references::{self, Reference},
    undo,
    writer::SwiftWriter,
};

/// glance_store's MB.
const MB: u64 = 1000 * 1024;
const CONNECT: Duration = Duration::from_secs(10);
const IDLE_CONNECTIONS: usize = 32;
/// How often a body that breaks off is continued without a byte in between, if not more often.
const CONTINUATIONS: usize = 3;

/// Blobs as objects in the containers of one account, and readable ones in others that are configured.
#[derive(Debug, Clone)]
pub struct SwiftStore(Arc<Inner>);

/// What the store and its writers share.
#[derive(Debug)]
pub(crate) struct Inner {
    pub(crate) id: String,
    /// That which is written to; others are read.
    default: Account,
    others: Vec<Account>,
    pub(crate) names: Names,
    pub(crate) memory: Arc<Memory>,
    pub(crate) keys: Arc<KeyLocks>,
    pub(crate) attempts: Arc<LiveAttempts>,
    /// In bytes.
    pub(crate) chunk: u64,
    pub(crate) large_object: u64,
    pub(crate) continuations: usize,
    creates_container: bool,
    description: String,
    written: String,
}

/// The numbers of a configuration as they are worked with.
pub(crate) struct Sizes {
    pub(crate) chunk: u64,
    pub(crate) large_object: u64,
    pub(crate) continuations: usize,
}

impl Sizes {
    /// # Errors
    /// The option that has a value which cannot be used, and what is wrong with it.
    pub(crate) fn of(config: &SwiftStoreConfig) -> Result<Self, (&'static str, &'static str)> {
        if config.swift_store_large_object_chunk_size == 0 {
            return Err(("swift_store_large_object_chunk_size", "must be at least 1 (MB)"));
        }
        let continuations = usize::try_from(config.swift_store_retry_get_count).unwrap_or(usize::MAX);
        Ok(Self {
            chunk: config.swift_store_large_object_chunk_size.saturating_mul(MB),
            large_object: config.swift_store_large_object_size.saturating_mul(MB),
            continuations: continuations.max(CONTINUATIONS),
        })
    }
}

impl SwiftStore {
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
        if config.swift_store_multi_tenant {
            return Err(option(
                "swift_store_multi_tenant",
                "makes another store of it (MultiTenantStore)",
            ));
        }
        let sizes = Sizes::of(&config).map_err(|(name, reason)| option(name, reason))?;
        let references = references::load(&config)?;
        let first = references.first();
        let description = first.map_or_else(String::new, |first| {
            format!(
                "swift store {} in {} by {} at {}",
                config.id, config.swift_store_container, first.name, first.auth_address
            )
        });
        let written = first.map_or_else(String::new, |first| written_place(&config, first));
        let http = http_client(&config)?;
        let mut accounts = Vec::new();
        for reference in references.clone() {
            let log_in =
                LogIn::new(&config, reference).map_err(|reason| option("swift_store_endpoint", reason))?;
            accounts.push(Account::new(http.clone(), Whose::Own(Box::new(log_in))));
        }
        let names = Names::new(&config, references)
            .map_err(|name| option(name, "has a value that cannot be used"))?;
        let mut accounts = accounts.into_iter();
        let default = accounts
            .next()
            .ok_or_else(|| option("default_swift_reference", "names no account"))?;
        Ok(Self(Arc::new(Inner {
            default,
            others: accounts.collect(),
            names,
            memory: Arc::new(Memory::new()),
            keys: Arc::default(),
            attempts: Arc::default(),
            chunk: sizes.chunk,
            large_object: sizes.large_object,
            continuations: sizes.continuations,
            creates_container: config.swift_store_create_container_on_put,
            description,
            written,
            id: config.id,
        })))
    }

    /// The account and the container that are written to, as far as they are known without asking: two stores with the same
    /// would have each other's objects for their own.
    pub fn place(&self) -> String {
        self.0.written.clone()
    }

    fn resolve(&self, location: &Location, operation: Operation) -> Result<Place> {
        self.0.names.resolve(location, operation).map(|(place, _)| place)
    }
}

/// Regions of one Keystone are other servers. An endpoint names the account by itself.
fn written_place(config: &SwiftStoreConfig, first: &Reference) -> String {
    let container = &config.swift_store_container;
    match config.swift_store_endpoint.as_deref() {
        Some(endpoint) if !endpoint.is_empty() => format!("{} {container:?}", address_key(endpoint)),
        _ => format!(
            "{} {:?} {:?} {:?} {container:?}",
            address_key(first.auth_address.as_str()),
            first.login.account(),
            config.swift_store_region,
            config.swift_store_service_type,
        ),
    }
}

pub(crate) fn http_client(config: &SwiftStoreConfig) -> Result<reqwest::Client, OpenError> {
    let verification = match &config.swift_store_cacert {
        _ if config.swift_store_auth_insecure => Verification::Off,
        Some(path) => Verification::Authorities(path.clone()),
        None => Verification::System,
    };
    let tls = tls_client(&verification).map_err(|source| OpenError::Tls {
        id: config.id.clone(),
        source,
    })?;
    reqwest::Client::builder()
        .tls_backend_preconfigured(tls)
        // Tokens and passwords are for the addresses that are configured, and in the catalogue.
        .redirect(reqwest::redirect::Policy::none())
        .referer(false)
        .http1_only()
        .no_proxy()
        .connect_timeout(CONNECT)
        .tcp_nodelay(true)
        .pool_max_idle_per_host(IDLE_CONNECTIONS)
        .pool_idle_timeout(Duration::from_secs(20))
        .user_agent(concat!("saccade/", env!("CARGO_PKG_VERSION")))
        .build()
        .map_err(|source| OpenError::Client {
            id: config.id.clone(),
            source,
        })
}

impl Inner {
    /// Of one project's account, with what all of a store's share.
    pub(crate) fn of_tenant(
        id: String,
        account: Account,
        names: Names,
        sizes: &Sizes,
        (memory, keys, attempts): (Arc<Memory>, Arc<KeyLocks>, Arc<LiveAttempts>),
    ) -> Self {
        Self {
            id,
            default: account,
            others: Vec::new(),
            names,
            memory,
            keys,
            attempts,
            chunk: sizes.chunk,
            large_object: sizes.large_object,
            continuations: sizes.continuations,
            // They are made when an attempt is marked.
            creates_container: false,
            description: String::new(),
            written: String::new(),
        }
    }

    pub(crate) fn account(&self, place: &Place) -> &Account {
        let other = place.account.checked_sub(1).and_then(|at| self.others.get(at));
        other.unwrap_or(&self.default)
    }

    /// Marks an attempt, before anything else of it is at the server. Where each image has a container of its own, that
    /// is made here, and not before the attempt is in the ledger.
    pub(crate) async fn mark(&self, names: &AttemptNames) -> Result<(), Failure> {
        let account = self.account(&names.place);
        if account.has_containers_of_images() {
            account.create_container(&names.place.container).await?;
        }
        account.put_note(&names.place, &names.mark, undo::MARK).await
    }

    pub(crate) async fn size(&self, place: &Place, operation: Operation) -> Result<u64> {
        let subject = place.to_string();
        let length = self.account(place).length(place).await;
        match length.map_err(|failure| failure.at(operation, &subject))? {
            Some(length) => Ok(length),
            None => Err(undo::not_there(operation, &subject)),
        }
    }

    async fn prepare_container(&self, place: &Place) -> Result<(), Failure> {
        let (account, container) = (self.account(place), &place.container);
        match account.assert_container(container).await {
            Err(Failure::NoContainer(_)) if self.creates_container => {
                tracing::info!(store = self.id, container, "the container is made");
                account.create_container(container).await
            }
            other => other,
        }
    }
}

#[async_trait]
impl Store for SwiftStore {
    fn capabilities(&self) -> Capabilities {
        Capabilities {
            kind: "swift",
            random_access: true,
            writable: true,
        }
    }

    async fn create(
        &self,
        name: BlobName,
        attempt: Attempt,
        size_hint: Option<u64>,
    ) -> Result<(Handle, Box<dyn BlobWriter>)> {
        let place = self.0.names.place(name);
        let prepared = self.0.prepare_container(&place).await;
        prepared.map_err(|failure| failure.at(Operation::Create, &self.to_string()))?;
        let names = AttemptNames::new(place, name, attempt);
        let handle = self.0.names.handle(&names)?;
        let state = Arc::new(AttemptState::default());
        self.0.attempts.add(name, attempt, &state);
        let writer = SwiftWriter::new(Arc::clone(&self.0), state, names, size_hint);
        Ok((handle, Box::new(writer)))
    }

    async fn read(&self, location: &Location, range: Option<Range<u64>>) -> Result<Blob> {
        let place = self.resolve(location, Operation::Read)?;
        body::open(&self.0, place, range).await
    }

    async fn size(&self, location: &Location) -> Result<u64> {
        let place = self.resolve(location, Operation::Size)?;
        self.0.size(&place, Operation::Size).await
    }

    /// The accounts' own credentials are used to read whatever a location names, so only those who know them may name
    /// one: they are in the address, as glance_store needs them there.
    async fn admit(&self, location: &Location) -> Result<()> {
        match self.0.names.resolve(location, Operation::Read)? {
            (_, Standing::KnowsTheKey) => Ok(()),
            (place, Standing::Nothing) => Err(refused(
                ErrorKind::Denied,
                Operation::Read,
                &place.to_string(),
                "an address that a client gives must have the user and the key of a configured account in it",
            )),
        }
    }

    fn canonical(&self, location: &Location) -> Option<Location> {
        let place = self.resolve(location, Operation::Size).ok()?;
        Some(self.0.names.location(&place))
    }

    async fn prepare_delete(&self, location: &Location) -> Result<()> {
        let place = self.resolve(location, Operation::PrepareDelete)?;
        deletion::prepare_delete(&self.0, &place).await
    }

    async fn delete(&self, location: &Location) -> Result<()> {
        let place = self.resolve(location, Operation::Delete)?;
        deletion::delete(&self.0, &place).await
    }

    async fn discard(&self, handle: &Handle) -> Result<()> {
        let names = self.0.names.parse_handle(handle, Operation::Discard)?;
        undo::discard(&self.0, &names, Operation::Discard).await
    }

    async fn settle(&self, handle: &Handle) -> Result<()> {
        let names = self.0.names.parse_handle(handle, Operation::Settle)?;
        undo::settle(&self.0, &names).await
    }

    async fn capacity(&self) -> Result<Option<Capacity>> {
        Ok(None)
    }
}

impl fmt::Display for SwiftStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.description)
    }
}
