//! Everything that is tested from outside, in one binary: RocksDB is linked once.
//!
//! `harness` starts the real daemon as an operator starts it; `api` and `clients` use it as clients do; `keystone` puts it
//! into a cloud, with a real Keystone, memcached and HAProxy; `differential` compares it with Python Glance; `faults` and
//! `crash` break it in every way that is cheap to arrange.

// A test fails by a panic, and so do its helpers.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

mod api;
mod architecture;
mod boundaries;
mod clients;
mod crash;
mod daemon;
mod differential;
mod faults;
mod formats;
mod harness;
mod keystone;
mod log_sync;
