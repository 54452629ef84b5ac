//! Imports over the real catalogue, transfers and file stores.

use std::{io, net::IpAddr, sync::Arc, time::Duration};

use async_trait::async_trait;
use saccade_outgoing::{ClientOptions, Filter, FilterOptions, Limits, Proxies, Resolver, Verification};

use super::*;
use crate::metadata::memory::MemoryMetadata;

/// What is around imports in a test.
pub(crate) struct Around<'a> {
    pub(crate) catalog: Catalog,
    pub(crate) transfers: Transfers,
    pub(crate) metadata: Arc<dyn Metadata>,
    pub(crate) tracker: TaskTracker,
    pub(crate) node: NodeId,
    pub(crate) named: Option<&'a [&'a str]>,
    pub(crate) default_store: &'a str,
}

/// `mirror` is this machine, and there are no others.
#[derive(Debug)]
struct Names;

#[async_trait]
impl Resolver for Names {
    async fn resolve(&self, name: &str) -> io::Result<Vec<IpAddr>> {
        match name {
            "mirror" => Ok(vec![IpAddr::from([127, 0, 0, 1])]),
            _ => Err(io::ErrorKind::NotFound.into()),
        }
    }
}

impl Imports {
    /// The same, of which there are no other handles yet, with plugins.
    pub(crate) fn with_plugins(self, plugins: Plugins) -> Self {
        let parts = Arc::into_inner(self.shared).unwrap();
        Self::new(Parts { plugins, ..parts })
    }
}

/// Imports that may ask `mirror`, at any port.
pub(crate) fn imports(around: Around<'_>) -> Imports {
    let filter = Filter::new(FilterOptions {
        allowed_schemes: vec!["http".to_owned()],
        disallowed_schemes: Vec::new(),
        allowed_hosts: vec!["mirror".to_owned()],
        disallowed_hosts: Vec::new(),
        allowed_ports: Vec::new(),
        disallowed_ports: vec![22],
    });
    let web = Client::new(ClientOptions {
        filter: filter.unwrap(),
        verification: Verification::Off,
        proxies: Proxies::default(),
        limits: Limits {
            between_reads: Duration::from_secs(5),
            ..Limits::default()
        },
        resolver: Arc::new(Names),
    });
    let cloud = Client::new(ClientOptions {
        filter: Filter::none(),
        verification: Verification::Off,
        proxies: Proxies::default(),
        limits: Limits {
            redirects: 0,
            ..Limits::default()
        },
        resolver: Arc::new(Names),
    });
    let named = |id: &&str| NamedStore {
        id: (*id).to_owned(),
        writable: true,
    };
    Imports::new(Parts {
        catalog: around.catalog,
        transfers: around.transfers,
        metadata: around.metadata,
        tasks: Arc::new(MemoryMetadata::new()),
        tracker: around.tracker,
        web: web.unwrap(),
        cloud: cloud.unwrap(),
        plugins: Plugins::default(),
        node: around.node,
        rules: Rules {
            methods: vec![
                Method::GlanceDirect,
                Method::WebDownload,
                Method::CopyImage,
                Method::GlanceDownload,
            ],
            extra_properties: vec!["hw_".to_owned(), "os_".to_owned()],
            stores: around.named.map(|ids| ids.iter().map(named).collect()),
            default_store: around.default_store.to_owned(),
            retries: 2,
            time_to_live: Duration::from_secs(3600),
            page_default: 25,
            page_max: 1000,
        },
        since: Timestamp::now(),
    })
}
