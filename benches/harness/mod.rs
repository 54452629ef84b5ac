//! What benchmarks of running servers stand on: processes that end with the benchmark, and a client that costs little.

pub(crate) mod http;
pub(crate) mod process;
pub(crate) mod saccade;
