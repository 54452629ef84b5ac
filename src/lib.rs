//! Saccade: a drop-in replacement for OpenStack Glance.

pub mod config;
