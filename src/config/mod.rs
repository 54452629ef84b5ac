//! What the configuration files say → a checked [`Config`] with units in its types.
//!
//! Reads a `glance-api.conf` by the rules of oslo.config, and a section `[saccade]` for what Glance has no
//! option for. An option that Glance knows and Saccade does not act on stops the start when its value differs
//! from Glance's default and matters to what is stored, who may act or who is told; so does every option that
//! nobody has classified.

mod cache;
mod check;
mod cors;
mod error;
#[cfg(feature = "fuzzing")]
#[doc(hidden)]
pub mod fuzzing;
mod glance;
mod glance_options;
mod identity;
#[cfg(test)]
mod identity_tests;
mod ini;
pub mod keystone;
mod paste;
mod plugins;
mod reader;
mod report;
mod saccade;
mod settings;
mod sources;
mod stores;
mod substitute;
mod support;
#[cfg(test)]
mod tests;
mod value;

pub use error::{ConfigError, ErrorKind, OptionName, Origin, Warning};
pub use report::{Report, explain};
pub use saccade::DEFAULT_METRICS_BIND;
pub use settings::{
    Api, AtOnce, ByteSize, CacheDriver, CachePipeline, Config, ConversionSandbox, Cors, CountLimit,
    DataDirectory, DiskTarget, FileEngine, FileMode, FileStore, FileWriteMode, Formats, HashAlgorithm,
    Hashing, HttpStore, Identity, ImageCache, ImportMethod, ImportPlugin, Limits, Log, LogFormat, LogLevel,
    Node, Plugins, Policy, PolicyFile, PropertyProtection, PropertyRuleFormat, Quotas, S3BucketUrlFormat,
    S3Checksums, S3Store, Secret, Server, Store, StoreDriver, StoreNaming, Stores, SwiftAccounts,
    SwiftAuthentication, SwiftEndpointType, SwiftStore, TrustedPeers, UrlFilter,
};
pub use sources::{Overrides, Sources, User, glance_files};

use glance::Given;
use glance_options::Catalogue;
use reader::Reader;
use sources::Raw;
use std::path::PathBuf;

/// A configuration that may be started with.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// What holds.
    pub config: Config,
    /// For the log, once.
    pub warnings: Vec<Warning>,
    /// For `saccade config check`.
    pub report: Report,
}

/// Reads and checks everything. Blocks on the file system: files of at most 4 MiB each are read, and policy
/// files are looked for, but not opened.
///
/// # Errors
/// All that is wrong, not only the first; never empty.
pub fn load(sources: &Sources) -> Result<Loaded, Vec<ConfigError>> {
    let (raw, errors) = Raw::read(sources);
    let mut reader = Reader::new(&raw, Catalogue::new(saccade::OPTIONS.iter().copied()), errors);
    let built = build(&mut reader, sources);
    let callers = built.callers.as_ref().map(|choice| choice.kind);
    let (warnings, ignored) = check::every_option(&mut reader, callers);
    match (built.config, built.callers) {
        (Some(config), Some(callers)) if reader.errors.is_empty() => {
            let report = Report::new(
                callers.shown(),
                config.server.bind,
                reader.effective.values(),
                &overridden(sources),
                &ignored,
                &warnings,
            );
            Ok(Loaded {
                config,
                warnings,
                report,
            })
        }
        _ => Err(reader.errors),
    }
}

/// What could be built.
struct Built {
    config: Option<Config>,
    callers: Option<identity::Choice>,
}

/// Goes on after an error, with a default in the place of what is wrong, so that all errors are found.
fn build(reader: &mut Reader<'_>, sources: &Sources) -> Built {
    let backends = stores::enabled_backends(reader);
    keystone::find_auth_section(reader);
    let is_known = |option: &OptionName| reader.catalogue.find(option).is_some();
    let given = match reader.raw.configures_glance(is_known) {
        true => Given::Glance,
        false => Given::OwnAtMost,
    };
    let node = saccade::node(reader, sources);
    let images = match given {
        Given::Glance => PathBuf::from("/var/lib/glance/images"),
        Given::OwnAtMost => node.data_dir.join("images"),
    };
    let places = stores::Places {
        images,
        files: glance::places(reader, &sources.dirs, given),
    };
    let callers = identity::choose(reader, sources, given);
    let kind = callers.as_ref().map(|choice| choice.kind);
    let gzip = callers.as_ref().is_some_and(|choice| choice.gzip);
    let server = saccade::server(reader, sources, given, kind, gzip);
    let cors = cors::cors(reader);
    // Nobody's identity stands in for one that cannot be had.
    let identity = identity::identity(reader, kind, server.bind);
    let parts = (
        saccade::log(reader),
        glance::api(reader),
        glance::quotas(reader),
        glance::deletion(reader),
        glance::limits(reader),
        glance::hashing(reader),
        glance::formats(reader),
        stores::stores(reader, backends, &places),
        glance::policy(reader, &sources.dirs, given),
        plugins::plugins(reader),
    );
    let pipeline = callers
        .as_ref()
        .map_or(CachePipeline::None, |choice| choice.caching);
    let cache = cache::cache(reader, pipeline);
    let (log, api, quotas, deletion, limits, hashing, formats, stores, policy, plugins) = parts;
    let needed = identity.zip(hashing).zip(limits);
    let config = needed.map(|((identity, hashing), limits)| Config {
        server,
        cors,
        log,
        api,
        quotas,
        deletion,
        limits,
        hashing,
        formats,
        stores,
        cache,
        policy,
        plugins,
        identity,
        node,
    });
    Built { config, callers }
}

fn overridden(sources: &Sources) -> Vec<(&'static str, String)> {
    let data_dir = sources
        .overrides
        .data_dir
        .as_ref()
        .map(|dir| ("--data-dir", dir.display().to_string()));
    let bind = sources.overrides.bind.clone().map(|bind| ("--bind", bind));
    data_dir.into_iter().chain(bind).collect()
}
