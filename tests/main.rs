//! Everything that is tested from outside, in one binary: RocksDB is linked once.

mod boundaries;
