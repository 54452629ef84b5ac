//! The parts of the daemon, joined: from the checked configuration to the router that answers.

use std::{io, num::NonZeroU32, sync::Arc, time::Duration};

use axum::Router;
use saccade_disk::RealDisk;
use saccade_outgoing as outgoing;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::{
    DataDir,
    conversion::{self, ConversionError},
    keystone,
};
use crate::{
    cache::{self, Cache},
    catalog::{self, Catalog},
    config::{self, Config, CountLimit},
    definitions::{self, Definitions},
    digest::{Algorithm, DigestPool, UnknownAlgorithm},
    http::{self, Settings, StoreNames},
    identity::{
        Identity,
        keystone::{KeystoneError, KeystoneLimits},
    },
    image::{NodeId, Timestamp},
    import::{self, Imports, Method, NamedStore},
    inspect::{Archives, FormatMatch, Rules},
    janitor::{Janitor, Scrubbing},
    ledger::{Ledger, LedgerError, Opened},
    lifecycle::Lifecycle,
    metadata::{
        Metadata,
        rocksdb::{OpenError, Options, RocksMetadata},
    },
    policy::{
        Defaults, LivePolicy, PolicyError, PolicyFile, PolicyFiles, PropertyProtection,
        PropertyProtectionError, RuleFormat,
    },
    quota::{self, Configured, Unified},
    stores::{Stores, StoresError, outgoing_filter},
    transfer::{Concurrency, Fills, Limits, Parts, ReadThrough, Reserve, Transfers},
};

/// The daemon's parts could not be opened. Nothing was served.
#[derive(Debug, thiserror::Error)]
pub enum ApplicationError {
    /// The policy files cannot be used.
    #[error(transparent)]
    Policy(#[from] PolicyError),
    /// The property protection file cannot be used.
    #[error(transparent)]
    PropertyProtection(#[from] PropertyProtectionError),
    /// Something that `[oslo_limit]` names cannot be used.
    #[error("[oslo_limit] cannot be used")]
    Limits(#[from] KeystoneError),
    /// The hashing algorithm is not one.
    #[error("hashing_algorithm")]
    Algorithm(#[from] UnknownAlgorithm),
    /// No threads to hash on.
    #[error("cannot start the hashing threads")]
    Digests(#[source] io::Error),
    /// The metadata cannot be opened.
    #[error(transparent)]
    Metadata(#[from] OpenError),
    /// The ledger cannot be opened.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// `[import_filtering_opts]` cannot be used.
    #[error("[import_filtering_opts] cannot be used")]
    Filter(#[source] outgoing::InvalidHost),
    /// No requests to other servers can be made.
    #[error("imports from the web cannot be made ready")]
    Web(#[source] outgoing::OpenError),
    /// Images cannot be converted.
    #[error(transparent)]
    Conversion(#[from] ConversionError),
    /// A store cannot be opened.
    #[error(transparent)]
    Stores(#[from] StoresError),
    /// The image cache cannot be opened.
    #[error(transparent)]
    Cache(#[from] cache::OpenError),
}

/// What answers, and what works behind it.
pub(super) struct Application {
    pub(super) router: Router,
    metadata: RocksMetadata,
    /// Uploads and deletions under way.
    tasks: TaskTracker,
    /// Tells the janitor to stop.
    stop: CancellationToken,
    janitor: tokio::task::JoinHandle<()>,
    scrubber: tokio::task::JoinHandle<()>,
    imports: tokio::task::JoinHandle<()>,
    cache: Option<Cache>,
    /// Fills the cache ahead, and keeps its index.
    cache_keepers: [tokio::task::JoinHandle<()>; 2],
}

impl Application {
    /// Opens everything, one line of the log a step, and starts finishing what was interrupted. Blocks for as long as
    /// the disk takes.
    pub(super) fn open(
        config: &Config,
        data_dir: &DataDir,
        node: NodeId,
        lifecycle: &Lifecycle,
        identity: Arc<dyn Identity>,
        extra: Router,
    ) -> Result<Self, ApplicationError> {
        let (properties, warnings) = property_protection(&config.policy)?;
        for warning in &warnings {
            tracing::warn!("property protection: {warning}");
        }
        let policy = LivePolicy::open(policy_files(&config.policy, &properties))?;
        properties.check(&policy.current())?;
        let quota = quota_of(&config.limits)?;
        let algorithm: Algorithm = config.hashing.algorithm.as_str().parse()?;
        let plugins = conversion::plugins(&config.plugins, data_dir.path())?;
        let threads = DigestPool::default_threads();
        let digests = DigestPool::new(threads).map_err(ApplicationError::Digests)?;
        tracing::info!(%algorithm, threads, "hashing");

        let rocks = RocksMetadata::open(&data_dir.path().join("metadata"), Options::default())?;
        let metadata: Arc<dyn Metadata> = Arc::new(rocks.clone());
        tracing::info!("metadata opened");
        let stores = Stores::open(&config.stores)?.with_staging(&data_dir.path().join("staging"))?;
        tracing::info!(%stores, "stores opened");
        let cache = open_cache(config, &digests)?;
        let Opened {
            ledger,
            unreadable_lines,
        } = Ledger::open(data_dir.path(), Arc::new(RealDisk))?;
        if unreadable_lines > 0 {
            tracing::error!(
                unreadable_lines,
                "the ledger was damaged: bytes of interrupted uploads may be left in the stores; \
                 the damaged file was kept as ledger.damaged"
            );
        }
        tracing::info!(interrupted = ledger.len(), "ledger opened");

        let tasks = TaskTracker::new();
        let janitor = Janitor::new(
            ledger.clone(),
            stores.clone(),
            metadata.clone(),
            node,
            tasks.clone(),
        );
        let transfers = Transfers::new(Parts {
            ledger,
            stores: stores.clone(),
            metadata: metadata.clone(),
            janitor: janitor.clone(),
            digests,
            tasks: tasks.clone(),
            node,
            limits: limits(config, data_dir, algorithm),
            quota: quota.clone(),
            cache: cache.clone(),
        });
        let policy = Arc::new(policy);
        let rules = rules(config, algorithm);
        let definitions = Definitions::new(definitions::Parts {
            store: Arc::new(rocks.clone()),
            policy: policy.clone(),
            page_default: rules.page_default,
            page_max: rules.page_max,
        });
        let cache = cache.map(|parts| parts.cache);
        let catalog = Catalog::new(catalog::Parts {
            metadata,
            policy,
            properties,
            limits: quota,
            janitor: janitor.clone(),
            stores,
            rules,
            cache: cache.clone(),
        });
        let settings = Settings::from(config);
        let imports = Imports::new(import::Parts {
            catalog: catalog.clone(),
            transfers: transfers.clone(),
            metadata: Arc::new(rocks.clone()),
            tasks: Arc::new(rocks.clone()),
            tracker: tasks.clone(),
            web: web_client(config)?,
            cloud: cloud_client(config)?,
            plugins,
            node,
            rules: import_rules(config, &settings),
            since: Timestamp::now(),
        });
        let keeper = cache.clone();
        let cache_keepers = [
            tokio::spawn(transfers.clone().run_cache()),
            tokio::spawn(async move {
                if let Some(cache) = keeper {
                    cache.run().await;
                }
            }),
        ];
        let state = http::State::from(http::Parts {
            catalog,
            definitions,
            transfers,
            imports: imports.clone(),
            identity,
            settings: Arc::new(settings),
            draining: lifecycle.draining(),
        });
        let stop = CancellationToken::new();
        // Without delayed deletion, too: images may wait since it was turned off.
        let scrubbing = Scrubbing {
            after: config.deletion.scrub_after,
            side_by_side: config.deletion.scrub_side_by_side,
        };
        Ok(Self {
            scrubber: tokio::spawn(janitor.clone().run_scrubber(scrubbing)),
            imports: tokio::spawn(imports.run()),
            cache,
            cache_keepers,
            router: http::router(state, extra),
            metadata: rocks,
            tasks,
            janitor: tokio::spawn(janitor.run(stop.clone())),
            stop,
        })
    }

    /// The image records.
    pub(super) fn metadata(&self) -> Arc<dyn Metadata> {
        Arc::new(self.metadata.clone())
    }

    /// Waits for uploads and deletions under way, for so long at most, and closes the metadata. Uploads whose
    /// connection is gone end by themselves; what is not finished is finished by the next start.
    pub(super) async fn close(self, patience: Duration) {
        let [keeper, saver] = self.cache_keepers;
        for task in [self.scrubber, self.imports, keeper, saver] {
            task.abort();
            // What it was doing is over then, and nothing is said of what is being closed.
            let _ = task.await;
        }
        self.tasks.close();
        if tokio::time::timeout(patience, self.tasks.wait()).await.is_err() {
            tracing::info!(operations = self.tasks.len(), "left to the next start");
        }
        if let Some(cache) = &self.cache {
            cache.close().await;
        }
        self.stop.cancel();
        // A panic of the janitor was logged where it happened; there is nothing left to do about it.
        let _ = self.janitor.await;
        self.metadata.close().await;
    }
}

/// Whether the stores that are configured, and the image cache, can be opened, and what plugins need is there, as far as can be
/// told without changing anything and without asking anybody. Blocks.
///
/// # Errors
/// The first that cannot be used.
pub fn check(config: &Config) -> Result<(), ApplicationError> {
    conversion::check(&config.plugins)?;
    Stores::check(&config.stores)?;
    if let Some(told) = &config.cache {
        Cache::check(&told.dir)?;
    }
    Ok(())
}

/// The configured image cache, if there is one. Trouble with its disk does not keep images from being served without it.
fn open_cache(config: &Config, digests: &DigestPool) -> Result<Option<ReadThrough>, cache::OpenError> {
    let Some(told) = &config.cache else {
        return Ok(None);
    };
    let options = cache::Options {
        dir: told.dir.clone(),
        limit: told.max_size.bytes(),
        free_space_reserve: config.node.free_space_reserve.bytes(),
        stall: told.stall_time,
    };
    let fills = match (told.pipeline, told.filesystem_stores) {
        (config::CachePipeline::None, _) => Fills::Nothing,
        (_, false) => Fills::Remote,
        (_, true) => Fills::Everything,
    };
    match Cache::open(&options, digests.clone()) {
        Ok(cache) => Ok(Some(ReadThrough { cache, fills })),
        Err(error) if error.is_misconfiguration() => Err(error),
        Err(error) => {
            let cause = std::error::Error::source(&error).map(ToString::to_string);
            tracing::warn!(%error, cause, "there is no image cache until the next start: images are read from their stores");
            Ok(None)
        }
    }
}

/// Who knows how much projects may use.
fn quota_of(limits: &config::Limits) -> Result<Arc<dyn quota::Limits>, KeystoneError> {
    Ok(match limits {
        config::Limits::Configured(storage) => Arc::new(Configured {
            storage: storage.map(|size| size.bytes()),
        }),
        config::Limits::Keystone(told) => {
            let (options, endpoint) = keystone::limits(told);
            tracing::info!("limits of projects: Keystone at {}", options.auth_url);
            Arc::new(Unified::new(KeystoneLimits::new(&options, endpoint)?))
        }
    })
}

/// The configured protection of properties, if there is one, and what its author should look at.
///
/// # Errors
/// As [`PropertyProtection::load`].
pub fn property_protection(
    config: &config::Policy,
) -> Result<(PropertyProtection, Vec<String>), PropertyProtectionError> {
    let Some(told) = &config.properties else {
        return Ok((PropertyProtection::none(), Vec::new()));
    };
    let format = match told.format {
        config::PropertyRuleFormat::Roles => RuleFormat::Roles,
        config::PropertyRuleFormat::Policies => RuleFormat::Policies,
    };
    PropertyProtection::load(&told.file, format)
}

/// Where the configuration has its policy files, and what else asks for rules in them.
pub fn policy_files(config: &config::Policy, properties: &PropertyProtection) -> PolicyFiles {
    PolicyFiles {
        file: match &config.file {
            config::PolicyFile::Named(path) => PolicyFile::Required(path.clone()),
            config::PolicyFile::Stock(places) => PolicyFile::FirstOf(places.clone()),
        },
        directories: config.dirs.clone(),
        default_rule: config.default_rule.clone(),
        defaults: match config.enforce_new_defaults {
            true => Defaults::New,
            false => Defaults::WithOld,
        },
        asked: properties.rules(),
    }
}

fn limits(config: &Config, data_dir: &DataDir, hash_algorithm: Algorithm) -> Limits {
    let format_match = match config.formats.require_image_format_match {
        true => FormatMatch::Required,
        false => FormatMatch::Optional,
    };
    let archives = match config.formats.inspect_ova {
        true => Archives::Inspected,
        false => Archives::Unseen,
    };
    Limits {
        hash_algorithm,
        rules: Rules {
            format_match,
            vmdk_allowed_types: config.formats.vmdk_allowed_types.clone(),
            gpt_safety_checks_nonfatal: config.formats.gpt_safety_checks_nonfatal.clone(),
            archives,
        },
        size_cap: config.quotas.image_size_cap.bytes(),
        memory: config.server.transfer_memory.bytes(),
        claim_lease: config.node.claim_lease,
        hash_adopted: config.hashing.do_secure_hash,
        retries: config.hashing.retries,
        uploads: concurrency(config.server.uploads, &config.server),
        downloads: concurrency(config.server.downloads, &config.server),
        imported_at_once: config.api.imported_at_once,
        stage_host: (config.api.worker_url.clone()).or_else(|| config.server.public_endpoint.clone()),
        reserve: Reserve {
            dir: data_dir.path().to_owned(),
            bytes: config.node.free_space_reserve.bytes(),
        },
    }
}

/// How many transfers of one direction may run at once.
fn concurrency(most: config::AtOnce, server: &config::Server) -> Concurrency {
    let count = |most: Option<NonZeroU32>| {
        let most = most?.get();
        Some(usize::try_from(most).unwrap_or(usize::MAX))
    };
    Concurrency {
        total: count(most.total),
        per_tenant: count(most.per_project),
        waiting: usize::try_from(server.transfer_queue_length).unwrap_or(usize::MAX),
        patience: server.transfer_queue_timeout,
    }
}

/// Asks the servers that users name for images.
fn web_client(config: &Config) -> Result<outgoing::Client, ApplicationError> {
    let filter = outgoing_filter(&config.stores.url_filter).map_err(ApplicationError::Filter)?;
    let options = outgoing::ClientOptions {
        filter,
        verification: outgoing::Verification::System,
        proxies: outgoing::Proxies::default(),
        limits: outgoing::Limits {
            retries: config.hashing.retries,
            ..outgoing::Limits::default()
        },
        resolver: Arc::new(outgoing::SystemResolver::new(outgoing::Lookup::Machine)),
    };
    outgoing::Client::new(options).map_err(ApplicationError::Web)
}

/// Asks the image services that the cloud's catalog names. It carries tokens, and follows no redirect.
fn cloud_client(config: &Config) -> Result<outgoing::Client, ApplicationError> {
    let options = outgoing::ClientOptions {
        filter: outgoing::Filter::none(),
        verification: outgoing::Verification::System,
        proxies: outgoing::Proxies::default(),
        limits: outgoing::Limits {
            redirects: 0,
            retries: config.hashing.retries,
            ..outgoing::Limits::default()
        },
        resolver: Arc::new(outgoing::SystemResolver::new(outgoing::Lookup::Machine)),
    };
    outgoing::Client::new(options).map_err(ApplicationError::Web)
}

fn import_rules(config: &Config, settings: &Settings) -> import::Rules {
    let offered = |name: &&str| match *name {
        "glance-direct" => Some(Method::GlanceDirect),
        "web-download" => Some(Method::WebDownload),
        "copy-image" => Some(Method::CopyImage),
        "glance-download" => Some(Method::GlanceDownload),
        _ => None,
    };
    let page = |tasks: u64| usize::try_from(tasks).unwrap_or(usize::MAX);
    import::Rules {
        methods: settings.import_methods.iter().filter_map(offered).collect(),
        stores: match &settings.stores {
            StoreNames::Hidden => None,
            StoreNames::Shown(stores) => {
                let named = stores.iter().map(|store| NamedStore {
                    id: store.id.clone(),
                    writable: !store.read_only,
                });
                Some(named.collect())
            }
        },
        default_store: config.stores.default.clone(),
        extra_properties: config.api.download_properties.clone(),
        retries: config.hashing.retries,
        time_to_live: config.api.task_time_to_live,
        page_default: page(config.api.limit_param_default),
        page_max: page(config.api.api_limit_max),
    }
}

fn rules(config: &Config, algorithm: Algorithm) -> catalog::Rules {
    let page = |images: u64| usize::try_from(images).unwrap_or(usize::MAX);
    catalog::Rules {
        disk_formats: config.formats.disk_formats.clone(),
        container_formats: config.formats.container_formats.clone(),
        max_properties: most(config.quotas.image_property_quota),
        max_tags: most(config.quotas.image_tag_quota),
        max_members: most(config.quotas.image_member_quota),
        max_locations: most(config.quotas.image_location_quota),
        show_locations: config.api.show_multiple_locations,
        hash_algorithm: algorithm.name().to_owned(),
        hash_length: algorithm.hex_digits(),
        deferred_deletion: config.deletion.delayed,
        page_default: page(config.api.limit_param_default),
        page_max: page(config.api.api_limit_max),
    }
}

fn most(limit: CountLimit) -> Option<usize> {
    match limit {
        CountLimit::Unlimited => None,
        CountLimit::AtMost(most) => Some(usize::try_from(most).unwrap_or(usize::MAX)),
    }
}
