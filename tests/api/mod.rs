//! The API, one file for each resource, named as in `src/http/`.

mod cache;
mod connections;
mod cors;
mod delayed_delete;
mod healthcheck;
mod identity;
mod image_actions;
mod image_data;
mod image_import;
pub(crate) mod image_import_faults;
mod image_members;
mod image_tags;
mod images;
mod import_plugins;
mod info;
mod listing;
mod metadefs;
mod patch;
mod patch_races;
mod policy;
mod s3;
mod schemas;
mod stores;
mod swift;
mod tasks;
mod transfer_limits;
mod versions;
