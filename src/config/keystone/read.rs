//! Reads `[keystone_authtoken]` as keystonemiddleware 13 does, and says everything that is missing at once.

use super::{
    ClientCertificate, Interface, Keystone, Tls, TokenBind, Verification, credentials::credentials,
    memcached::memcached,
};
use crate::config::{
    error::{ErrorKind, OptionName, Warning},
    reader::Reader,
    sources,
    value::{self, Rejected},
};
use std::{path::PathBuf, time::Duration};

pub(in crate::config) const SECTION: &str = "keystone_authtoken";

/// keystonemiddleware waits for ever when nobody says how long.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);
/// memcached takes longer times for a date in 1970.
const LONGEST_CACHE_TIME: i64 = 30 * 86_400;
const DAY: u32 = 86_400;

/// The section that holds the credentials is named by an option, and counts from then on.
pub(in crate::config) fn find_auth_section(reader: &mut Reader<'_>) {
    let known = reader.catalogue.find(&OptionName::new(SECTION, "auth_section"));
    // What is wrong with it is told when it is read.
    let found = known.and_then(|known| reader.resolver().last(&known).ok().flatten());
    if let Some(section) = found.filter(|found| !found.text.is_empty()) {
        reader.catalogue.set_auth_section(&sources::group(&section.text));
    }
}

/// `None` when something is missing or wrong; the reader then knows what.
pub(in crate::config) fn read(reader: &mut Reader<'_>) -> Option<Keystone> {
    let credentials_in = match text(reader, SECTION, "auth_section") {
        Some(section) => sources::group(&section),
        None => SECTION.to_owned(),
    };
    let credentials = credentials(reader, &credentials_in);
    let auth_url = auth_url(reader, &credentials_in);
    let www_authenticate_uri = url(reader, "www_authenticate_uri");
    version_is_3(reader);
    let region_name = text(reader, SECTION, "region_name");
    let service_type = text(reader, SECTION, "service_type");
    let tls = tls(reader, SECTION);
    let memcached = memcached(reader);
    let keystone = Keystone {
        interface: reader.or(SECTION, "interface", Interface::Internal, interface),
        request_timeout: seconds(reader, "http_connect_timeout", REQUEST_TIMEOUT, 1),
        max_retries: reader.or(SECTION, "http_request_max_retries", 3, |text| {
            let n = value::unsigned_within(0, 1000)(text)?;
            u32::try_from(n).map_err(|_| Rejected::accepts("a whole number from 0 to 1000"))
        }),
        include_service_catalog: reader.or(SECTION, "include_service_catalog", true, value::boolean),
        service_token_roles: reader.or(
            SECTION,
            "service_token_roles",
            vec!["service".to_owned()],
            |text| Ok(value::list(&text.to_lowercase())),
        ),
        service_token_roles_required: service_token_roles_required(reader),
        token_bind: reader.or(SECTION, "enforce_token_bind", TokenBind::Permissive, token_bind),
        token_cache_time: reader.or(
            SECTION,
            "token_cache_time",
            Some(Duration::from_secs(300)),
            token_cache_time,
        ),
        auth_url: auth_url?,
        credentials: credentials?,
        www_authenticate_uri,
        region_name,
        tls,
        service_type,
        memcached: memcached?,
    };
    Some(keystone)
}

/// What an option says, if anything: to keystonemiddleware, empty is as good as absent.
pub(super) fn text(reader: &mut Reader<'_>, section: &str, name: &str) -> Option<String> {
    let found = reader.text(section, name)?;
    Some(found.text).filter(|text| !text.is_empty())
}

/// Remembers that the option is needed, with a line to write.
pub(super) fn missing(reader: &mut Reader<'_>, section: &str, name: &str, example: &str) {
    let who = match section {
        super::limits::SECTION => "use_keystone_limits",
        _ => "Keystone identity",
    };
    let message = format!("is missing, and {who} needs it; for example `{name} = {example}`");
    reader.refuse(ErrorKind::Conflict, section, name, message);
}

/// Remembers what an operator should know of an option that holds.
pub(super) fn warn(reader: &mut Reader<'_>, section: &str, name: &str, message: &str) {
    let warning = Warning {
        option: Some(OptionName::new(section, name)),
        origin: reader.origin(section, name),
        message: message.to_owned(),
    };
    reader.warnings.push(warning);
}

/// A number of seconds up to a day.
pub(super) fn seconds(reader: &mut Reader<'_>, name: &str, default: Duration, least: u32) -> Duration {
    reader.or(SECTION, name, default, |text| {
        value::unsigned_within(least, DAY)(text).map(Duration::from_secs)
    })
}

/// A certificate and its key; a key alone is a mistake.
pub(super) fn client_certificate(
    reader: &mut Reader<'_>,
    section: &str,
    certfile: &str,
    keyfile: &str,
) -> Option<ClientCertificate> {
    let key = text(reader, section, keyfile).map(PathBuf::from);
    match text(reader, section, certfile) {
        Some(cert) => Some(ClientCertificate {
            certfile: PathBuf::from(cert),
            keyfile: key,
        }),
        None => {
            if key.is_some() {
                let message = format!("a key is of no use without its certificate: set {certfile}");
                reader.refuse(ErrorKind::Conflict, section, keyfile, message);
            }
            None
        }
    }
}

fn url(reader: &mut Reader<'_>, name: &str) -> Option<String> {
    reader
        .optional(SECTION, name, |text| match text {
            "" => Ok(None),
            text => value::http_url(text).map(Some),
        })
        .flatten()
}

pub(super) fn auth_url(reader: &mut Reader<'_>, section: &str) -> Option<String> {
    if text(reader, section, "auth_url").is_none() {
        missing(reader, section, "auth_url", "http://controller:5000");
        return None;
    }
    reader.optional(section, "auth_url", |text| {
        let url = value::http_url(text)?;
        let last = url.trim_end_matches('/').rsplit('/').next().unwrap_or_default();
        match last.strip_prefix('v') {
            Some(version) if version.starts_with('2') => Err(Rejected::accepts(
                "the URL without a version or with /v3: version 2.0 of the identity API is gone",
            )),
            _ => Ok(url),
        }
    })
}

fn version_is_3(reader: &mut Reader<'_>) {
    reader.optional(SECTION, "auth_version", |text| {
        match text.trim_start_matches(['v', 'V']) {
            "" | "3" => Ok(()),
            minor if minor.starts_with("3.") => Ok(()),
            _ => Err(Rejected::accepts(
                "v3, the only version of the identity API that there still is",
            )),
        }
    });
}

/// Catalogs of version 2 called them `publicURL` and so on; keystoneauth still takes these names.
pub(super) fn interface(text: &str) -> Result<Interface, Rejected> {
    match text.strip_suffix("URL").unwrap_or(text) {
        "public" => Ok(Interface::Public),
        "internal" => Ok(Interface::Internal),
        "admin" => Ok(Interface::Admin),
        _ => Err(Rejected::accepts("public, internal or admin")),
    }
}

fn token_bind(text: &str) -> Result<TokenBind, Rejected> {
    Ok(match text {
        "disabled" => TokenBind::Disabled,
        "permissive" => TokenBind::Permissive,
        "strict" => TokenBind::Strict,
        "required" => TokenBind::Required,
        "" => {
            return Err(Rejected::accepts(
                "disabled, permissive, strict, required, or the name of a kind of binding",
            ));
        }
        name => TokenBind::Named(name.to_owned()),
    })
}

/// To memcached and to keystonemiddleware, 0 is for ever: a revoked token would be good until it expires.
fn token_cache_time(text: &str) -> Result<Option<Duration>, Rejected> {
    match value::integer(text) {
        Ok(n) if n < 0 => Ok(None),
        Ok(n @ 1..=LONGEST_CACHE_TIME) => Ok(Some(Duration::from_secs(n.unsigned_abs()))),
        _ => Err(Rejected::accepts(format!(
            "-1, which turns the cache off, or seconds from 1 to {LONGEST_CACHE_TIME} (30 days); 0 would believe revoked \
             tokens for ever"
        ))),
    }
}

fn service_token_roles_required(reader: &mut Reader<'_>) -> bool {
    let name = "service_token_roles_required";
    let required = reader.or(SECTION, name, true, value::boolean);
    if !required {
        let message = "any valid token passes for a service token, and frees another from its access rules; set it to true";
        warn(reader, SECTION, name, message);
    }
    required
}

pub(super) fn tls(reader: &mut Reader<'_>, section: &str) -> Tls {
    let insecure = reader.or(section, "insecure", false, value::boolean);
    if insecure {
        let message = "whoever answers at auth_url is taken for Keystone, and learns the password of the service; \
                       set cafile instead";
        warn(reader, section, "insecure", message);
    }
    Tls {
        cafile: text(reader, section, "cafile").map(PathBuf::from),
        client: client_certificate(reader, section, "certfile", "keyfile"),
        verification: match insecure {
            true => Verification::Off,
            false => Verification::Full,
        },
    }
}
