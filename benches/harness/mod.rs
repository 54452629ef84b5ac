//! What benchmarks of running servers stand on: processes that end with the benchmark, and a client that costs little.

mod http;
mod process;
mod saccade;

pub(crate) use self::{
    http::{Connection, Content, Framing, Payload, Receive, TRUSTED},
    process::{Server, free_address},
    saccade::{Identity, Saccade, binary},
};
