//! `swift_store_*`: containers of a Swift account.

use super::super::{
    error::ErrorKind,
    reader::Reader,
    settings::{SwiftAccounts, SwiftAuthentication, SwiftEndpointType, SwiftStore},
    value::{self, Rejected, Secret},
};
use std::path::PathBuf;

/// The option that a clash of two stores is reported at.
pub(super) const PLACE: &str = "swift_store_container";

const MULTI_TENANT: &str = "swift_store_multi_tenant";
const CONFIG_FILE: &str = "swift_store_config_file";

/// The store of a section. Whether its account is complete is told when it is opened: the file of references is read then,
/// which is looked for in `places`.
pub(super) fn read(reader: &mut Reader<'_>, section: &str, places: &[PathBuf]) -> SwiftStore {
    let multi_tenant = reader.or(section, MULTI_TENANT, false, value::boolean);
    let config_file = text(reader, section, CONFIG_FILE).map(|name| found(name, places));
    if multi_tenant && config_file.is_some() {
        let message = "cannot be used with swift_store_multi_tenant, as in Glance; the store's own account is that of \
                       swift_store_auth_address, swift_store_user and swift_store_key";
        reader.refuse(ErrorKind::Conflict, section, CONFIG_FILE, message);
    }
    let admins = reader.or(section, "swift_store_admin_tenants", Vec::new(), projects);
    SwiftStore {
        config_file,
        default_reference: reader.or(
            section,
            "default_swift_reference",
            "ref1".to_owned(),
            value::not_empty,
        ),
        auth_address: text(reader, section, "swift_store_auth_address"),
        user: secret(reader, section, "swift_store_user"),
        key: secret(reader, section, "swift_store_key"),
        application_credential_id: secret(reader, section, "swift_store_application_credential_id"),
        application_credential_secret: secret(reader, section, "swift_store_application_credential_secret"),
        authentication: reader.or(
            section,
            "swift_store_auth_version",
            SwiftAuthentication::Keystone,
            authentication,
        ),
        endpoint: text(reader, section, "swift_store_endpoint"),
        endpoint_type: reader.or(
            section,
            "swift_store_endpoint_type",
            SwiftEndpointType::Public,
            endpoint_type,
        ),
        service_type: reader.or(
            section,
            "swift_store_service_type",
            "object-store".to_owned(),
            value::not_empty,
        ),
        region: text(reader, section, "swift_store_region"),
        container: reader.or(section, PLACE, "glance".to_owned(), value::not_empty),
        multiple_containers_seed: reader.or(
            section,
            "swift_store_multiple_containers_seed",
            0,
            value::unsigned_within(0, 32),
        ),
        create_container_on_put: reader.or(
            section,
            "swift_store_create_container_on_put",
            false,
            value::boolean,
        ),
        large_object_size: reader.or(
            section,
            "swift_store_large_object_size",
            5120,
            value::unsigned_within(1, u32::MAX),
        ),
        large_object_chunk_size: reader.or(
            section,
            "swift_store_large_object_chunk_size",
            200,
            value::unsigned_within(1, u32::MAX),
        ),
        cacert: text(reader, section, "swift_store_cacert").map(PathBuf::from),
        auth_insecure: reader.or(section, "swift_store_auth_insecure", false, value::boolean),
        retry_get_count: reader.or(
            section,
            "swift_store_retry_get_count",
            0,
            value::unsigned_within(0, u32::MAX),
        ),
        expire_soon_interval: reader.or(
            section,
            "swift_store_expire_soon_interval",
            60,
            value::unsigned_within(0, u32::MAX),
        ),
        accounts: match multi_tenant {
            true => SwiftAccounts::OfProjects { admins },
            false => SwiftAccounts::Own,
        },
    }
}

/// The beginning of the store's locations: where two stores had that in common, a location would not tell whose it is.
/// Whether they share an account under different names is told when they are opened.
pub(super) fn place(store: &SwiftStore) -> Option<String> {
    store.location_prefix()
}

/// As glance_store has it (`find_file` of oslo.config). One that is nowhere is told when it is read.
fn found(name: String, places: &[PathBuf]) -> PathBuf {
    let candidates = places.iter().map(|place| place.join(&name));
    // A name with its directory is the same everywhere.
    let mut there = candidates.filter(|path| path.exists());
    there.next().unwrap_or_else(|| PathBuf::from(name))
}

/// Empty text is nothing, as to Glance.
fn text(reader: &mut Reader<'_>, section: &str, name: &str) -> Option<String> {
    let text = reader.optional(section, name, |text| Ok(text.trim().to_owned()));
    text.filter(|text| !text.is_empty())
}

fn secret(reader: &mut Reader<'_>, section: &str, name: &str) -> Option<Secret> {
    text(reader, section, name).map(Secret::new)
}

/// Ids of projects, or, as Swift takes them too, names: nothing that would be more than that in a list of who may write.
fn projects(text: &str) -> Result<Vec<String>, Rejected> {
    let projects = value::list(text);
    let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
    match projects
        .iter()
        .all(|project| !project.is_empty() && project.chars().all(is_plain))
    {
        true => Ok(projects),
        false => Err(Rejected::accepts("ids of projects, with commas in between")),
    }
}

fn authentication(text: &str) -> Result<SwiftAuthentication, Rejected> {
    match text.trim() {
        "1" | "1.0" => Ok(SwiftAuthentication::OfTheServer),
        "3" => Ok(SwiftAuthentication::Keystone),
        _ => Err(Rejected::accepts(
            "3 (Keystone), or 1 (Swift's tempauth, RGW's own)",
        )),
    }
}

fn endpoint_type(text: &str) -> Result<SwiftEndpointType, Rejected> {
    match text {
        "publicURL" => Ok(SwiftEndpointType::Public),
        "internalURL" => Ok(SwiftEndpointType::Internal),
        "adminURL" => Ok(SwiftEndpointType::Admin),
        _ => Err(Rejected::accepts("publicURL, internalURL or adminURL")),
    }
}
