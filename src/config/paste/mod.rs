//! The pipeline that requests take in Glance (`[paste_deploy]`): does it ask Keystone who the callers are, and does
//! anything else stand in it?
//!
//! Saccade has no pipeline. It reads Glance's to find out what would silently not happen: a filter that nobody knows
//! stops the start, and so does a pipeline that lets callers in unasked under a flavor that promises Keystone.

mod file;
#[cfg(feature = "fuzzing")]
pub(super) mod fuzzing;
mod resolve;
#[cfg(test)]
mod tests;

use self::{file::PasteFile, resolve::Problem};
use super::{
    error::{ConfigError, ErrorKind, OptionName, Origin, Warning},
    glance::{self, Given},
    reader::Reader,
    settings::CachePipeline,
    sources::{self, Sources},
    value,
};
use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
    sync::Arc,
};

const SECTION: &str = "paste_deploy";
/// What packages call Glance's own file; RDO's has `dist` in its name.
const STOCK_NAMES: [&str; 2] = ["glance-api-paste.ini", "glance-api-dist-paste.ini"];

/// Who says who the callers are, in Glance.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pipeline {
    /// `authtoken context`.
    Keystone,
    /// `unauthenticated-context`: every caller is an administrator.
    EveryoneIsAdmin,
    /// `context` alone, as in the flavor `trusted-auth` of old releases: whoever sends the headers.
    Headers,
}

/// What was found, and from where.
#[derive(Clone, Debug)]
pub(super) struct Found {
    pub(super) pipeline: Pipeline,
    /// What stands in it for the image cache.
    pub(super) caching: CachePipeline,
    /// Whether it compresses answers.
    pub(super) gzip: bool,
    /// For people: `[paste_deploy] flavor = "keystone"`, with the file where one was read.
    pub(super) because: String,
}

/// The pipeline that Glance would take with this configuration; `None` when that cannot be told, or must not be
/// built upon. The reader then knows why.
pub(super) fn pipeline(reader: &mut Reader<'_>, sources: &Sources) -> Option<Found> {
    let flavor = reader.text(SECTION, "flavor");
    let flavor = flavor.filter(|found| !found.text.is_empty());
    let name = flavor.as_ref().map(|found| found.text.clone());
    let shown = match &flavor {
        Some(found) => format!("[paste_deploy] flavor = {}", found.shown()),
        None => "[paste_deploy] flavor is not set".to_owned(),
    };
    let accepted: BTreeSet<String> = reader
        .optional("saccade", "accept_paste_filters", |text| Ok(value::list(text)))
        .into_iter()
        .flatten()
        .collect();
    let (pipeline, caching, gzip, because) = match locate(reader, sources)? {
        Located::Stock => {
            let pipeline = stock(reader, name.as_deref())?;
            // Glance's own file has the filter, and no pipeline with it.
            (pipeline, stock_caching(name.as_deref()), false, shown)
        }
        Located::File(path) => {
            let because = format!("{shown}, by {}", path.display());
            let resolved = from_file(reader, &path, name.as_deref(), &accepted)?;
            (resolved.pipeline, resolved.caching, resolved.gzip, because)
        }
    };
    if pipeline != Pipeline::Keystone && name.is_some_and(|name| name.contains("keystone")) {
        let message =
            "promises Keystone, and its pipeline has no `authtoken context`: everyone would be let in";
        reader.refuse(ErrorKind::Conflict, SECTION, "flavor", message);
        return None;
    }
    Some(Found {
        pipeline,
        caching,
        gzip,
        because,
    })
}

/// The pipelines of Glance's own file, in all releases since Train.
fn stock(reader: &mut Reader<'_>, flavor: Option<&str>) -> Option<Pipeline> {
    match flavor {
        None | Some("caching" | "cachemanagement") => Some(Pipeline::EveryoneIsAdmin),
        Some("keystone" | "keystone+caching" | "keystone+cachemanagement") => Some(Pipeline::Keystone),
        Some("trusted-auth" | "trusted-auth+cachemanagement") => Some(Pipeline::Headers),
        Some(_) => {
            let message = "there is no such flavor in Glance, and no paste file to find it in; give keystone, \
                           keystone+caching or keystone+cachemanagement";
            reader.refuse(ErrorKind::Value, SECTION, "flavor", message);
            None
        }
    }
}

fn stock_caching(flavor: Option<&str>) -> CachePipeline {
    match flavor.and_then(|name| name.rsplit('+').next()) {
        Some("caching") => CachePipeline::Cache,
        Some("cachemanagement") => CachePipeline::CacheManage,
        _ => CachePipeline::None,
    }
}

fn from_file(
    reader: &mut Reader<'_>,
    path: &Path,
    flavor: Option<&str>,
    accepted: &BTreeSet<String>,
) -> Option<resolve::Resolved> {
    let shared = Arc::new(path.to_owned());
    let at = |line| Origin::File {
        path: Arc::clone(&shared),
        line,
    };
    let text = match sources::read_text(path) {
        Ok(text) => text,
        Err(error) => {
            reader
                .errors
                .push(ConfigError::unreadable(path.to_owned(), error));
            return None;
        }
    };
    let is_token_option = |name: &str| {
        let known = reader
            .catalogue
            .find(&OptionName::new("keystone_authtoken", name));
        known.is_some()
    };
    let resolved = PasteFile::parse(&text)
        .map_err(|problem| vec![problem])
        .and_then(|file| resolve::resolve(&file, flavor, accepted, is_token_option));
    match resolved {
        Ok(resolved) => {
            for (name, line) in &resolved.left_out {
                reader.warnings.push(Warning {
                    option: None,
                    origin: at(*line),
                    message: format!(
                        "the filter {name} has no effect, and accept_paste_filters lets that pass"
                    ),
                });
            }
            Some(resolved)
        }
        Err(problems) => {
            reader.errors.extend(
                problems
                    .into_iter()
                    .map(|Problem { kind, line, message }| ConfigError::new(kind, at(line), message)),
            );
            None
        }
    }
}

enum Located {
    File(PathBuf),
    /// No file: Glance's own pipelines hold.
    Stock,
}

/// As `glance.common.config` does: the file that is named, else the one that goes by the name of the last
/// configuration file. Where Glance is not installed any more, its own file need not be there.
fn locate(reader: &mut Reader<'_>, sources: &Sources) -> Option<Located> {
    let places = glance::places(reader, &sources.dirs, Given::Glance);
    let find = |name: &Path| match name.is_absolute() {
        true => Some(name.to_owned()).filter(|path| path.is_file()),
        false => places
            .iter()
            .map(|dir| dir.join(name))
            .find(|path| path.is_file()),
    };
    let named = reader.text(SECTION, "config_file");
    if let Some(named) = named.filter(|found| !found.text.is_empty()) {
        let path = Path::new(&named.text);
        let is_stock = path
            .file_name()
            .is_some_and(|name| STOCK_NAMES.iter().any(|stock| name == *stock));
        return match find(path) {
            Some(path) => Some(Located::File(path)),
            None if is_stock => Some(Located::Stock),
            None => {
                let message = format!(
                    "{} does not exist: whom it lets in cannot be told. Name the file by its whole path, or remove the \
                     option if the pipelines are Glance's own",
                    named.shown()
                );
                reader.refuse(ErrorKind::Conflict, SECTION, "config_file", message);
                None
            }
        };
    }
    let last = reader.raw.last_of_glance();
    let by_its_name = last.and_then(|path| Some(path.file_name()?.to_str()?.replace(".conf", "-paste.ini")));
    let found = by_its_name
        .iter()
        .map(String::as_str)
        .chain(["glance-api-paste.ini"])
        .find_map(|name| find(Path::new(name)));
    Some(found.map_or(Located::Stock, Located::File))
}
