//! Everything that is tested from outside, in one binary: RocksDB is linked once.

mod architecture;
mod boundaries;
mod daemon;
