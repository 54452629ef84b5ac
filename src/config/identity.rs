//! Who says who the callers are. Never less than what Glance would ask, unless a line of `[saccade]` says so by name.

use super::{
    error::{ErrorKind, OptionName, Warning},
    glance::Given,
    keystone,
    paste::{self, Found, Pipeline},
    reader::Reader,
    settings::{CachePipeline, Identity, TrustedPeers},
    sources::Sources,
    value,
};
use std::{net::SocketAddr, time::Duration};

const SACCADE: &str = "saccade";
/// The value of `[saccade] identity` that asks nobody. It is long on purpose.
pub(super) const NOBODY: &str = "none-everyone-is-admin";

/// A way to find out who is calling, before its options are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Local,
    TrustedHeaders,
    Keystone,
    NoneEveryoneIsAdmin,
}

/// The chosen way, and who has chosen it.
#[derive(Clone, Debug)]
pub(super) struct Choice {
    pub(super) kind: Kind,
    /// What stands in the same pipeline for the image cache.
    pub(super) caching: CachePipeline,
    /// Whether that pipeline compresses answers.
    pub(super) gzip: bool,
    because: String,
}

impl Choice {
    /// For `saccade config check`.
    pub(super) fn shown(&self) -> String {
        let callers = match self.kind {
            Kind::Local => "users and tokens of Saccade itself",
            Kind::TrustedHeaders => "whoever the headers of a proxy name",
            Kind::Keystone => "tokens of Keystone",
            Kind::NoneEveryoneIsAdmin => "everyone is an administrator",
        };
        format!("{callers} ({})", self.because)
    }
}

/// `None` when nothing may be chosen; the reader then knows why.
pub(super) fn choose(reader: &mut Reader<'_>, sources: &Sources, given: Given) -> Option<Choice> {
    let named = named(reader);
    let pipeline = match given {
        Given::OwnAtMost => None,
        // What is wrong with the pipeline stops the start, whoever is named.
        Given::Glance => Some(paste::pipeline(reader, sources)?),
    };
    let caching = pipeline
        .as_ref()
        .map_or(CachePipeline::None, |found| found.caching);
    let gzip = pipeline.as_ref().is_some_and(|found| found.gzip);
    let by_name = |kind| Choice {
        kind,
        caching,
        gzip,
        because: "[saccade] identity says so".to_owned(),
    };
    match (named, pipeline) {
        (Named::Wrong, _) => None,
        (Named::Not, None) => Some(Choice {
            kind: Kind::Local,
            caching,
            gzip,
            because: "no Glance configuration is given".to_owned(),
        }),
        (
            Named::Not,
            Some(Found {
                pipeline: Pipeline::Keystone,
                because,
                ..
            }),
        ) => Some(Choice {
            kind: Kind::Keystone,
            caching,
            gzip,
            because,
        }),
        (Named::Not, Some(found)) => {
            must_be_named(reader, &found);
            None
        }
        (Named::As(kind), None) => Some(by_name(kind)),
        (Named::As(kind), Some(found)) => stands_beside(reader, kind, &found).then(|| by_name(kind)),
    }
}

enum Named {
    Not,
    As(Kind),
    Wrong,
}

fn named(reader: &mut Reader<'_>) -> Named {
    let Some(found) = reader.text(SACCADE, "identity") else {
        return Named::Not;
    };
    Named::As(match found.text.as_str() {
        "local" => Kind::Local,
        "trusted-headers" => Kind::TrustedHeaders,
        "keystone" => Kind::Keystone,
        NOBODY => Kind::NoneEveryoneIsAdmin,
        _ => {
            let accepted = format!("keystone, local, trusted-headers or {NOBODY}");
            reader.wrong(OptionName::new(SACCADE, "identity"), &found, &accepted);
            return Named::Wrong;
        }
    })
}

fn must_be_named(reader: &mut Reader<'_>, found: &Found) {
    let in_glance = match found.pipeline {
        Pipeline::Headers => "whoever sends identity headers is believed",
        Pipeline::Keystone | Pipeline::EveryoneIsAdmin => "every caller is an administrator",
    };
    let message = format!(
        "must be set, because in Glance {in_glance} ({}). Set `[paste_deploy] flavor = keystone`, or by name `identity = \
         local` (users and tokens of Saccade itself), `identity = trusted-headers` (a proxy in front says who the caller \
         is) or `identity = {NOBODY}`",
        found.because
    );
    reader.refuse(ErrorKind::Conflict, SACCADE, "identity", message);
}

/// Whether what is named may stand beside what Glance would do.
fn stands_beside(reader: &mut Reader<'_>, kind: Kind, found: &Found) -> bool {
    match (kind, found.pipeline) {
        (Kind::NoneEveryoneIsAdmin, Pipeline::Keystone) => {
            let message = format!(
                "asks nobody who the callers are, and Glance would ask Keystone ({}): remove one of the two",
                found.because
            );
            reader.refuse(ErrorKind::Conflict, SACCADE, "identity", message);
            false
        }
        (Kind::Local | Kind::TrustedHeaders, Pipeline::Keystone) => {
            let origin = reader.origin(SACCADE, "identity");
            reader.warnings.push(Warning {
                option: Some(OptionName::new(SACCADE, "identity")),
                origin,
                message: format!(
                    "stands instead of Keystone, which Glance would ask ({})",
                    found.because
                ),
            });
            true
        }
        _ => true,
    }
}

/// Reads what the chosen way needs. `None` when that is wrong or not all there; the reader then knows what.
pub(super) fn identity(reader: &mut Reader<'_>, kind: Option<Kind>, bind: SocketAddr) -> Option<Identity> {
    let token_lifetime = reader.or(
        SACCADE,
        "token_lifetime",
        Duration::from_secs(86_400),
        value::duration_from(Duration::from_secs(60)),
    );
    let from = match reader.or(SACCADE, "trusted_headers_allow_remote", false, value::boolean) {
        true => TrustedPeers::Any,
        false => TrustedPeers::Loopback,
    };
    match kind? {
        Kind::Local => Some(Identity::Local { token_lifetime }),
        Kind::Keystone => {
            let keystone = keystone::read(reader)?;
            Some(Identity::Keystone(Box::new(keystone)))
        }
        Kind::TrustedHeaders => {
            if from == TrustedPeers::Loopback && !bind.ip().to_canonical().is_loopback() {
                let message = format!(
                    "trusted-headers believes whoever connects, and {bind} is open to others. Listen on 127.0.0.1 \
                     behind the proxy, or, where the network lets none but the proxy in, set \
                     `trusted_headers_allow_remote = true`"
                );
                reader.refuse(ErrorKind::Conflict, SACCADE, "identity", message);
                return None;
            }
            Some(Identity::TrustedHeaders { from })
        }
        Kind::NoneEveryoneIsAdmin => {
            let origin = reader.origin(SACCADE, "identity");
            reader.warnings.push(Warning {
                option: Some(OptionName::new(SACCADE, "identity")),
                origin,
                message: format!(
                    "nobody is asked who they are: whoever reaches {bind} may read, change and delete every image"
                ),
            });
            Some(Identity::NoneEveryoneIsAdmin)
        }
    }
}
