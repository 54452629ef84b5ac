//! `[oslo_limit]`: where Keystone keeps the limits of projects, and who asks for them there (oslo.limit 2).

use super::{
    Interface, LimitsEndpoint, LoginScope, UnifiedLimits,
    credentials::credentials,
    read::{auth_url, interface, missing, text, tls, warn},
};
use crate::config::{
    error::{ErrorKind, OptionName},
    reader::Reader,
    sources,
    value::{self, Rejected},
};
use std::time::Duration;

pub(in crate::config) const SECTION: &str = "oslo_limit";

/// oslo.limit waits for ever when nobody says how long.
const TIMEOUT: Duration = Duration::from_secs(10);

/// `None` when something is missing or wrong; the reader then knows what.
pub(in crate::config) fn read(reader: &mut Reader<'_>) -> Option<UnifiedLimits> {
    if let Some(section) = text(reader, SECTION, "auth_section")
        && sources::group(&section) != SECTION
    {
        let message = "credentials are read from [oslo_limit] itself: write them there";
        reader.refuse(ErrorKind::Unsupported, SECTION, "auth_section", message);
    }
    let credentials = credentials(reader, SECTION);
    let auth_url = auth_url(reader, SECTION);
    let endpoint = endpoint(reader);
    // All is read before anything is missed, so that one start tells it all.
    let interface = interfaces(reader);
    let region_name = text(reader, SECTION, "region_name");
    let tls = tls(reader, SECTION);
    let request_timeout = reader.or(SECTION, "timeout", TIMEOUT, timeout);
    let max_retries = reader.or(SECTION, "connect_retries", 1, |text| {
        let n = value::unsigned_within(0, 1000)(text)?;
        u32::try_from(n).map_err(|_| Rejected::accepts("a whole number from 0 to 1000"))
    });
    let limits = UnifiedLimits {
        auth_url: auth_url?,
        credentials: credentials?,
        interface,
        region_name,
        tls,
        request_timeout,
        max_retries,
        endpoint: endpoint?,
    };
    if let super::Credentials::Password { scope, .. } = &limits.credentials
        && *scope != LoginScope::System
    {
        let message = "is not set to all: Keystone shows a token of a project that project's limits only, so that other \
                       projects have the registered limits, whatever their own are";
        warn(reader, SECTION, "system_scope", message);
    }
    Some(limits)
}

fn endpoint(reader: &mut Reader<'_>) -> Option<LimitsEndpoint> {
    let id = text(reader, SECTION, "endpoint_id");
    let service_type = text(reader, SECTION, "endpoint_service_type");
    let service_name = text(reader, SECTION, "endpoint_service_name");
    let region = text(reader, SECTION, "endpoint_region_name");
    let interface = reader.or(SECTION, "endpoint_interface", Interface::Public, interface);
    match id {
        Some(id) => Some(LimitsEndpoint::Id(id)),
        None if service_type.is_none() && service_name.is_none() => {
            missing(reader, SECTION, "endpoint_id", "423f19a4ac1e4f48bbb4180756e6eb6c");
            None
        }
        None => Some(LimitsEndpoint::OfService {
            service_type,
            service_name,
            region,
            interface,
        }),
    }
}

/// The first one: an endpoint of Keystone that is not there is told by its name.
fn interfaces(reader: &mut Reader<'_>) -> Interface {
    reader.or(
        SECTION,
        "valid_interfaces",
        Interface::Public,
        |text| match value::list(text).first() {
            Some(first) => interface(first),
            None => Ok(Interface::Public),
        },
    )
}

fn timeout(text: &str) -> Result<Duration, Rejected> {
    let seconds: Option<f64> = text.trim().parse().ok();
    seconds
        .filter(|seconds| (0.1..=3600.0).contains(seconds))
        .map(Duration::from_secs_f64)
        .ok_or_else(|| Rejected::accepts("seconds from 0.1 to 3600"))
}

/// Why an option of the section does nothing, in Glance no more than here.
pub(in crate::config) fn unread(reader: &Reader<'_>, option: &OptionName) -> Option<&'static str> {
    let name = OptionName::new("DEFAULT", "use_keystone_limits");
    let on = reader
        .effective
        .get(&name)
        .and_then(|found| found.values.last())
        .is_some_and(|found| value::boolean(&found.text).unwrap_or(false));
    if !on {
        return Some("use_keystone_limits is off");
    }
    (!reader.effective.contains_key(option)).then_some("the service does not log in with it")
}
