//! The daemon from outside: started as an operator starts it, used as clients use it, and broken in every way that is
//! cheap to arrange. One binary, so that RocksDB is linked once.

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
mod daemon;
mod harness;
