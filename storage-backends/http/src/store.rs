//! The store.

use std::{fmt, ops::Range};

use async_trait::async_trait;
use saccade_outgoing::{Client, Target};
use saccade_store_contract::{
    Attempt, Blob, BlobName, BlobWriter, Capabilities, Capacity, Error, ErrorKind, Handle, Location,
    Operation, Result, Store,
};

use crate::{
    HttpStoreConfig, OpenError,
    errors::{failed, unanswered},
    open::File,
    versions::Versions,
};

/// Blobs that are files on web servers.
#[derive(Debug)]
pub struct HttpStore {
    id: String,
    client: Client,
    versions: Versions,
}

impl HttpStore {
    /// A store of this configuration. Reads the authorities and asks nobody; blocks.
    ///
    /// # Errors
    /// The authorities or the proxies cannot be used.
    pub fn open(config: HttpStoreConfig) -> Result<Self, OpenError> {
        let id = config.id.clone();
        match config.client() {
            Ok(client) => Ok(Self::with_client(id, client)),
            Err(source) => Err(OpenError { id, source }),
        }
    }

    /// A store whose requests are made by this client, with bounds and names of its own.
    pub fn with_client(id: impl Into<String>, client: Client) -> Self {
        Self {
            id: id.into(),
            client,
            versions: Versions::default(),
        }
    }

    fn file<'a>(&'a self, target: &'a Target, operation: Operation) -> File<'a> {
        File {
            client: &self.client,
            versions: &self.versions,
            target,
            operation,
        }
    }
}

/// Never shows the location: what cannot be read may be a secret.
fn parse(location: &Location, operation: Operation) -> Result<Target> {
    Target::parse(location.as_str())
        .map_err(|error| Error::new(ErrorKind::Invalid, operation, "a location").caused_by(error))
}

fn stays(location: &Location, operation: Operation) -> Result<()> {
    let target = parse(location, operation)?;
    let cause = "files of web servers are read only: it stays where it is";
    Err(failed(ErrorKind::Unsupported, operation, &target, cause))
}

#[async_trait]
impl Store for HttpStore {
    fn capabilities(&self) -> Capabilities {
        Capabilities {
            kind: "http",
            // Of nearly all servers; the others refuse what would cost too much.
            random_access: true,
            writable: false,
        }
    }

    async fn create(
        &self,
        name: BlobName,
        _attempt: Attempt,
        _size_hint: Option<u64>,
    ) -> Result<(Handle, Box<dyn BlobWriter>)> {
        Err(Error::new(
            ErrorKind::Unsupported,
            Operation::Create,
            name.to_string(),
        ))
    }

    async fn read(&self, location: &Location, range: Option<Range<u64>>) -> Result<Blob> {
        let target = parse(location, Operation::Read)?;
        let file = self.file(&target, Operation::Read);
        match range {
            None => file.whole().await,
            Some(range) => file.part(range).await,
        }
    }

    async fn size(&self, location: &Location) -> Result<u64> {
        let target = parse(location, Operation::Size)?;
        self.file(&target, Operation::Size).size().await
    }

    fn canonical(&self, location: &Location) -> Option<Location> {
        let target = Target::parse(location.as_str()).ok()?;
        // To a server it means nothing; to clients, two locations that differ in it are two, as in Glance.
        let fragment = location.as_str().split_once('#').map(|(_, fragment)| fragment);
        let mut url = target.url().as_str().to_owned();
        url.extend(fragment.into_iter().flat_map(|fragment| ["#", fragment]));
        Some(Location::new(url))
    }

    async fn admit(&self, location: &Location) -> Result<()> {
        let target = parse(location, Operation::Size)?;
        let admitted = self.client.check(&target).await;
        admitted.map_err(|error| unanswered(Operation::Size, &target, error))
    }

    async fn prepare_delete(&self, location: &Location) -> Result<()> {
        stays(location, Operation::PrepareDelete)
    }

    async fn delete(&self, location: &Location) -> Result<()> {
        stays(location, Operation::Delete)
    }

    async fn discard(&self, _handle: &Handle) -> Result<()> {
        Err(no_handle(Operation::Discard))
    }

    async fn settle(&self, _handle: &Handle) -> Result<()> {
        Err(no_handle(Operation::Settle))
    }

    async fn capacity(&self) -> Result<Option<Capacity>> {
        Ok(None)
    }
}

fn no_handle(operation: Operation) -> Error {
    Error::new(ErrorKind::Invalid, operation, "a handle").caused_by("an http store makes none")
}

impl fmt::Display for HttpStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "http store {}", self.id)
    }
}

#[cfg(test)]
mod tests {
    use saccade_outgoing::{Filter, FilterOptions, Proxies};

    use super::*;

    fn store(options: FilterOptions) -> HttpStore {
        let store = HttpStore::open(HttpStoreConfig {
            id: "web".to_owned(),
            https_ca_certificates_file: None,
            https_insecure: true,
            http_proxy_information: Proxies::parse([]).unwrap(),
            filter: Filter::new(options).unwrap(),
        });
        store.unwrap()
    }

    async fn admitted(options: FilterOptions, url: &str) -> std::result::Result<(), ErrorKind> {
        let admitted = store(options).admit(&Location::new(url)).await;
        admitted.map_err(|error| error.kind())
    }

    #[tokio::test]
    async fn locations_are_the_same_however_the_host_is_written_and_two_by_their_fragments() {
        let store = store(FilterOptions::default());
        let canonical = |url: &str| {
            let canonical = store.canonical(&Location::new(url));
            canonical.map(Location::into_string)
        };
        let one = canonical("http://web.example/image");
        assert!(one.is_some());
        assert_eq!(canonical("HTTP://WEB.example:80/image"), one);
        let new = canonical("http://web.example/image#new");
        assert!(new.is_some() && new != one);
        assert_eq!(canonical("ftp://web.example/image"), None);
    }

    #[tokio::test]
    async fn an_address_that_a_client_gives_is_judged_by_the_operators_lists() {
        let glance = FilterOptions::default;
        assert_eq!(admitted(glance(), "http://192.0.2.1/image").await, Ok(()));
        for url in [
            "http://192.0.2.1:8080/image",
            "http://127.0.0.1/image",
            "http://169.254.169.254/latest",
            "ftp://192.0.2.1/image",
        ] {
            assert!(admitted(glance(), url).await.is_err(), "{url}");
        }
        let only = || FilterOptions {
            allowed_hosts: vec!["192.0.2.2".to_owned()],
            allowed_ports: vec![8080],
            ..FilterOptions::default()
        };
        assert_eq!(admitted(only(), "http://192.0.2.2:8080/image").await, Ok(()));
        let elsewhere = admitted(only(), "http://192.0.2.1:8080/image").await;
        assert_eq!(elsewhere, Err(ErrorKind::Denied));
    }
}
