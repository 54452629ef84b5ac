//! From a flavor to the filters before the image API, as PasteDeploy and Glance's factories put them together.

use super::{
    super::{error::ErrorKind, settings::CachePipeline},
    Pipeline,
    file::{Item, PasteFile, Section},
};
use std::collections::BTreeSet;

/// Apps within apps within apps: Glance has three levels.
const DEEPEST: usize = 8;
/// Paths through all apps together; Glance has five.
const MOST_APPS: usize = 1_000;

/// Why a paste file is not built upon.
#[derive(Debug)]
pub(super) struct Problem {
    pub(super) kind: ErrorKind,
    pub(super) line: usize,
    pub(super) message: String,
}

/// What a paste file comes down to.
#[derive(Debug)]
pub(super) struct Resolved {
    pub(super) pipeline: Pipeline,
    pub(super) caching: CachePipeline,
    /// Whether answers are compressed.
    pub(super) gzip: bool,
    /// Filters that the operator lets pass, with their lines.
    pub(super) left_out: BTreeSet<(String, usize)>,
}

/// A filter that says who the caller is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Identifies {
    AuthToken,
    Context,
    Unauthenticated,
}

const AUTHTOKEN: &str = "keystonemiddleware.auth_token:filter_factory";

/// Filters of Glance that say who the caller is.
const IDENTIFYING: [(&str, Identifies); 3] = [
    (AUTHTOKEN, Identifies::AuthToken),
    (
        "glance.api.middleware.context:ContextMiddleware.factory",
        Identifies::Context,
    ),
    (
        "glance.api.middleware.context:UnauthenticatedContextMiddleware.factory",
        Identifies::Unauthenticated,
    ),
];
/// Filters of Glance whose work Saccade does itself, or that only add speed or measurements.
const OTHERS: [&str; 11] = [
    "glance.api.middleware.version_negotiation:VersionNegotiationFilter.factory",
    "glance.api.middleware.cache:CacheFilter.factory",
    "glance.api.middleware.cache_manage:CacheManageFilter.factory",
    "osprofiler.web:WsgiMiddleware.factory",
    "oslo_middleware.cors:filter_factory",
    "oslo_middleware:CORS.factory",
    "oslo_middleware:HTTPProxyToWSGI.factory",
    "oslo_middleware.http_proxy_to_wsgi:HTTPProxyToWSGI.factory",
    "oslo_middleware:Healthcheck.factory",
    "oslo_middleware.healthcheck:Healthcheck.factory",
    "oslo_middleware:RequestId.factory",
];
/// Compresses answers for clients that ask for it.
const GZIP: &str = "glance.api.middleware.gzip:GzipMiddleware.factory";
/// Those of them that stand for the image cache.
const CACHING: [(&str, CachePipeline); 2] = [
    (
        "glance.api.middleware.cache:CacheFilter.factory",
        CachePipeline::Cache,
    ),
    (
        "glance.api.middleware.cache_manage:CacheManageFilter.factory",
        CachePipeline::CacheManage,
    ),
];
/// Options in a paste file win over the sections of the same purpose, where Saccade reads them. These do not matter, or
/// say what holds anyway (with this value).
const STOCK_OPTIONS: [(&str, Option<&str>); 7] = [
    ("paste.filter_factory", None),
    ("oslo_config_project", None),
    ("oslo_config_program", None),
    ("hmac_keys", None),
    ("enabled", None),
    ("backends", Some("disable_by_file")),
    ("disable_by_file_path", Some("/etc/glance/healthcheck_disable")),
];
const IMAGE_API: &str = "glance.api.v2.router:API.factory";
/// Apps that show no image.
const OTHER_APPS: [&str; 4] = [
    "glance.api.versions:create_resource",
    "glance.api.v1.router:API.factory",
    "oslo_middleware:Healthcheck.app_factory",
    "oslo_middleware.healthcheck:Healthcheck.app_factory",
];
const URL_MAPS: [&str; 3] = [
    "glance.api:root_app_factory",
    "egg:Paste#urlmap",
    "egg:paste#urlmap",
];

/// What callers of the app `glance-api` with this flavor have to pass.
///
/// # Errors
/// Everything that is not understood, at least one problem.
pub(super) fn resolve(
    file: &PasteFile,
    flavor: Option<&str>,
    accepted: &BTreeSet<String>,
    is_token_option: impl Fn(&str) -> bool,
) -> Result<Resolved, Vec<Problem>> {
    let mut walk = Walk {
        file,
        flavor,
        accepted,
        is_token_option: &is_token_option,
        seen: 0,
        found: Vec::new(),
        left_out: BTreeSet::new(),
        caching: CachePipeline::None,
        gzip: false,
        problems: Vec::new(),
    };
    let name = flavor.map_or("glance-api".to_owned(), |flavor| format!("glance-api-{flavor}"));
    walk.app(&name, 0, &[], DEEPEST);
    walk.finish()
}

struct Walk<'a> {
    file: &'a PasteFile,
    flavor: Option<&'a str>,
    accepted: &'a BTreeSet<String>,
    is_token_option: &'a dyn Fn(&str) -> bool,
    seen: usize,
    /// What each way to the image API passes.
    found: Vec<Option<Pipeline>>,
    left_out: BTreeSet<(String, usize)>,
    caching: CachePipeline,
    gzip: bool,
    problems: Vec<Problem>,
}

impl<'a> Walk<'a> {
    fn finish(mut self) -> Result<Resolved, Vec<Problem>> {
        // One problem would otherwise be told once for each way that leads by it.
        self.problems
            .sort_by(|a, b| (a.line, &a.message).cmp(&(b.line, &b.message)));
        self.problems
            .dedup_by(|a, b| a.line == b.line && a.message == b.message);
        if !self.problems.is_empty() {
            return Err(self.problems);
        }
        let flavor = self.flavor.unwrap_or("default");
        let whole = |message: String| {
            vec![Problem {
                kind: ErrorKind::Conflict,
                line: 0,
                message,
            }]
        };
        match self.found.split_first() {
            Some((Some(first), rest)) if rest.iter().all(|other| other.as_ref() == Some(first)) => {
                Ok(Resolved {
                    pipeline: *first,
                    caching: self.caching,
                    gzip: self.gzip,
                    left_out: self.left_out,
                })
            }
            Some(_) => Err(whole(format!(
                "the pipeline of the flavor {flavor} does not tell who the callers are: it needs `authtoken context` \
                 before the image API, in this order, and no other context"
            ))),
            None => Err(whole(format!(
                "the pipeline of the flavor {flavor} does not lead to the image API ({IMAGE_API})"
            ))),
        }
    }

    fn problem(&mut self, kind: ErrorKind, line: usize, message: String) {
        self.problems.push(Problem { kind, line, message });
    }

    /// Follows an app that is referred to in `line`, behind these filters.
    fn app(&mut self, name: &str, line: usize, before: &[Identifies], depth: usize) {
        self.seen = self.seen.saturating_add(1);
        let Some(depth) = depth.checked_sub(1).filter(|_| self.seen <= MOST_APPS) else {
            self.problem(
                ErrorKind::Value,
                line,
                format!("{name} leads in a circle, or through too many apps"),
            );
            return;
        };
        const KINDS: [&str; 6] = [
            "app",
            "application",
            "composite",
            "composit",
            "pipeline",
            "filter-app",
        ];
        let Some((kind, section)) = self.section(&KINDS, name, line, "app") else {
            return;
        };
        match kind {
            "pipeline" => match section.item("pipeline") {
                Some(item) if section.items.len() == 1 => self.pipeline(item, before, depth),
                _ => self.not_understood(name, section),
            },
            "composite" | "composit" => self.composite(name, section, before, depth),
            "app" | "application" => match only(section, &["paste.app_factory"]) {
                Some(IMAGE_API) => self.found.push(identified(before)),
                Some(factory) if OTHER_APPS.contains(&factory) => {}
                _ => self.not_understood(name, section),
            },
            _ => self.not_understood(name, section),
        }
    }

    fn composite(&mut self, name: &str, section: &'a Section, before: &[Identifies], depth: usize) {
        let keys = ["paste.composite_factory", "paste.composit_factory", "use"];
        match only(section, &keys) {
            Some(factory) if URL_MAPS.contains(&factory) => {
                for item in section
                    .items
                    .iter()
                    .filter(|item| !keys.contains(&item.key.as_str()))
                {
                    self.app(&item.value, item.line, before, depth);
                }
            }
            Some("glance.api:pipeline_factory") => {
                let flavor = self.flavor.unwrap_or("default");
                match section.item(flavor) {
                    Some(item) => self.pipeline(item, before, depth),
                    None => self.problem(
                        ErrorKind::Value,
                        section.line,
                        format!("{name} has no pipeline for the flavor {flavor}"),
                    ),
                }
            }
            _ => self.not_understood(name, section),
        }
    }

    fn pipeline(&mut self, item: &'a Item, before: &[Identifies], depth: usize) {
        let mut names: Vec<&str> = item.value.split_whitespace().collect();
        let Some(app) = names.pop() else {
            self.problem(ErrorKind::Value, item.line, "the pipeline is empty".to_owned());
            return;
        };
        let mut filters = before.to_vec();
        for name in names {
            filters.extend(self.filter(name, item.line));
        }
        self.app(app, item.line, &filters, depth);
    }

    fn filter(&mut self, name: &str, line: usize) -> Option<Identifies> {
        let (_, section) = self.section(&["filter"], name, line, "filter")?;
        let factory = only(section, &["paste.filter_factory"]);
        if let Some((_, identifies)) = IDENTIFYING.iter().find(|(known, _)| factory == Some(known)) {
            if *identifies == Identifies::AuthToken {
                self.authtoken(name, section);
            }
            return Some(*identifies);
        }
        let lost = |item: &&Item| {
            let stock = STOCK_OPTIONS.iter().find(|(key, _)| *key == item.key);
            stock.is_none_or(|(_, value)| value.is_some_and(|value| value != item.value))
        };
        if let Some((_, caching)) = CACHING.iter().find(|(known, _)| factory == Some(known)) {
            self.caching = self.caching.max(*caching);
        }
        self.gzip |= factory == Some(GZIP);
        let is_known = factory.is_some_and(|factory| factory == GZIP || OTHERS.contains(&factory));
        let lost = section.items.iter().find(lost).filter(|_| is_known);
        if is_known && lost.is_none() {
            return None;
        }
        if self.accepted.contains(name) {
            self.left_out.insert((name.to_owned(), section.line));
            return None;
        }
        if let Some(Item { key, line, .. }) = lost {
            let message = format!(
                "{key} of the filter {name} is not read from here: write it in the configuration, or, to start without it, \
                 set `[saccade] accept_paste_filters = {name}`"
            );
            self.problem(ErrorKind::Unsupported, *line, message);
            return None;
        }
        let what = match section.item("paste.filter_factory") {
            Some(item) => format!("the filter {name} ({}) is not one of Glance's", item.value),
            None => format!("the filter {name} is not one of Glance's"),
        };
        let message = format!(
            "{what}: what it does to requests would not happen. Take it out of the pipeline, or, to start without it, set \
             `[saccade] accept_paste_filters = {name}`"
        );
        self.problem(ErrorKind::Unsupported, section.line, message);
        None
    }

    /// Options here win over `[keystone_authtoken]`, and would be lost. So would those of `[DEFAULT]`.
    fn authtoken(&mut self, name: &str, section: &'a Section) {
        const HARMLESS: [&str; 3] = ["paste.filter_factory", "delay_auth_decision", "log_name"];
        let file = self.file;
        let own = section
            .items
            .iter()
            .filter(|item| !HARMLESS.contains(&item.key.as_str()));
        let shared = file.sections.get("DEFAULT");
        let shared = shared
            .into_iter()
            .flat_map(|section| &section.items)
            .filter(|item| item.key != "delay_auth_decision" && (self.is_token_option)(&item.key));
        let lost: Vec<(usize, &str)> = own
            .chain(shared)
            .map(|item| (item.line, item.key.as_str()))
            .collect();
        for (line, key) in lost {
            let message =
                format!("{key} of the filter {name} is not read from here: write it in [keystone_authtoken]");
            self.problem(ErrorKind::Unsupported, line, message);
        }
    }

    /// The one section of these kinds with this name.
    fn section(
        &mut self,
        kinds: &[&'static str],
        name: &str,
        line: usize,
        what: &str,
    ) -> Option<(&'static str, &'a Section)> {
        let file = self.file;
        let mut found = Vec::new();
        for (title, section) in &file.sections {
            if let Some((kind, own)) = title.split_once(':')
                && own.trim() == name
                && let Some(kind) = kinds.iter().find(|known| **known == kind)
            {
                found.push((*kind, section));
            }
        }
        match found.as_slice() {
            [one] => return Some(*one),
            [] => self.problem(
                ErrorKind::Value,
                line,
                format!("there is no {what} {name} in this file"),
            ),
            [_, (_, second), ..] => self.problem(
                ErrorKind::Value,
                second.line,
                format!("there is more than one {what} {name}"),
            ),
        }
        None
    }

    fn not_understood(&mut self, name: &str, section: &Section) {
        let message = format!("{name} is not put together as in Glance's own file, and not understood here");
        self.problem(ErrorKind::Unsupported, section.line, message);
    }
}

/// The value of the only one of these keys, in a section that PasteDeploy takes as it stands.
fn only<'a>(section: &'a Section, keys: &[&str]) -> Option<&'a str> {
    let special = |item: &Item| {
        let key = item.key.as_str();
        let changes = ["filter-with", "next", "paste.filter_app_factory"].contains(&key)
            || (key == "use" && !keys.contains(&"use"))
            || key.starts_with("set ")
            || key.starts_with("get ");
        // References are replaced by ConfigParser, and not here.
        changes || (item.value.contains('%') && (keys.contains(&key) || key.starts_with('/')))
    };
    let mut factories = section
        .items
        .iter()
        .filter(|item| keys.contains(&item.key.as_str()))
        .map(|item| item.value.as_str());
    let one = factories.next()?;
    (factories.next().is_none() && !section.items.iter().any(special)).then_some(one)
}

fn identified(filters: &[Identifies]) -> Option<Pipeline> {
    match filters {
        [Identifies::AuthToken, Identifies::Context] => Some(Pipeline::Keystone),
        [Identifies::Unauthenticated] => Some(Pipeline::EveryoneIsAdmin),
        [Identifies::Context] => Some(Pipeline::Headers),
        _ => None,
    }
}
