//! Saccade keeps a cloud's disk images and moves them at the speed of the hardware: a drop-in replacement for
//! OpenStack Glance.

pub mod cli;
pub mod config;
pub mod digest;
pub mod http;
pub mod identity;
pub mod image;
pub mod inspect;
pub mod lifecycle;
pub mod listener;
pub mod metadata;
pub mod protocol;
pub mod server;
pub mod telemetry;
