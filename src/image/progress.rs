//! What an image says of its import, in properties that everybody may read (Glance 33,
//! `async_/flows/api_image_import.py`, `_ImportActions`).

use std::collections::BTreeMap;

use super::{Location, StoreId};

/// The stores that an import is bringing the image to, with commas between them; empty when it is done.
pub const IMPORTING_TO: &str = "os_glance_importing_to_stores";
/// The stores that the last import could not bring the image to, likewise.
const FAILED: &str = "os_glance_failed_import";
/// The import that is under way.
pub const IMPORT_TASK: &str = "os_glance_import_task";

/// The URL of the node that keeps what waits for an import. Clients never see it.
pub const STAGE_HOST: &str = "os_glance_stage_host";

/// Where what waits is kept; `None` where nothing waits, or the node has no URL of its own.
pub(super) fn staged(properties: &mut BTreeMap<String, String>, host: Option<&str>) {
    match host {
        Some(host) => properties.insert(STAGE_HOST.to_owned(), host.to_owned()),
        None => properties.remove(STAGE_HOST),
    };
}

pub(super) fn begin(properties: &mut BTreeMap<String, String>, task: &str, stores: &[StoreId]) {
    staged(properties, None);
    let names: Vec<&str> = stores.iter().map(StoreId::as_str).collect();
    properties.insert(IMPORT_TASK.to_owned(), task.to_owned());
    properties.insert(IMPORTING_TO.to_owned(), names.join(","));
    properties.insert(FAILED.to_owned(), String::new());
}

/// An import has come to its end: the data is at these locations, and in no other of the stores it was to be in. Nothing
/// happens when there was no import.
pub(super) fn end(properties: &mut BTreeMap<String, String>, locations: &[Location]) {
    if properties.remove(IMPORT_TASK).is_none() {
        return;
    }
    let wanted = properties
        .insert(IMPORTING_TO.to_owned(), String::new())
        .unwrap_or_default();
    let is_there = |store: &str| {
        let mut stores = locations.iter().filter_map(|location| location.store.as_ref());
        stores.any(|there| there.as_str() == store)
    };
    let failed = wanted.split(',').filter(|store| !is_there(store));
    let failed = failed.collect::<Vec<_>>().join(",");
    properties.insert(FAILED.to_owned(), failed);
}
