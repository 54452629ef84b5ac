//! All integration tests, in one binary: the database is linked once.

mod architecture;
mod daemon;
