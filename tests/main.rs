//! The daemon from outside: started as an operator starts it, used as clients use it, and broken in every way that is
//! cheap to arrange. One binary, so that RocksDB is linked once.

// Helpers outside of `#[test]` functions fail a test, too, by a panic.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

mod api;
mod clients;


mod harness;
