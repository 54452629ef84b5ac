//! Saccade keeps a cloud's disk images and moves them at the speed of the hardware: a drop-in replacement for
//! OpenStack Glance.

pub mod cache;
pub mod catalog;
pub mod cli;
pub mod config;
pub mod definitions;
pub mod digest;
pub mod file_answer;
pub mod http;
pub mod identity;
pub mod image;
pub mod import;
pub mod inspect;
pub mod janitor;
pub mod ledger;
pub mod lifecycle;
pub mod listener;
pub mod metadata;
pub mod metadefs;
pub mod policy;
pub mod protocol;
pub mod quota;
pub mod server;
pub mod stores;
pub mod telemetry;
pub mod transfer;
