//! What a worker may use up.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use super::ConfineError;
use crate::order::Limits;

/// Threads have stacks of this size then, in bytes: `qemu-img` starts up to 64 of them.
const STACK: u64 = 1 << 20;

/// `qemu-img` starts up to 64, and a few of its own.
const THREADS: u64 = 256;

/// Sets the limits, for good.
pub(super) fn set(limits: &Limits) -> Result<(), ConfineError> {
    let limits = [
        (Resource::Core, "core files", 0),
        (Resource::Cpu, "processor time", limits.cpu_seconds),
        (Resource::As, "address space", limits.memory),
        (Resource::Fsize, "the length of files", limits.file_size),
        (Resource::Stack, "stacks", STACK),
        (Resource::Nofile, "open files", 64),
        (Resource::Memlock, "locked memory", 0),
    ];
    limits
        .into_iter()
        .try_for_each(|(resource, what, most)| limit(resource, what, most))
}

/// Limits the number of threads: in a user namespace of its own, where the daemon's own threads do not count, so that there is a
/// number that makes sense. The super-user is never counted. New processes are refused by the filter of system calls.
pub(super) fn set_threads() -> Result<(), ConfineError> {
    limit(Resource::Nproc, "threads", THREADS)
}

fn limit(resource: Resource, what: &'static str, most: u64) -> Result<(), ConfineError> {
    // What the daemon may not have, its worker may not either.
    let most = getrlimit(resource)
        .maximum
        .map_or(most, |maximum| most.min(maximum));
    let limit = Rlimit {
        current: Some(most),
        maximum: Some(most),
    };
    setrlimit(resource, limit).map_err(|error| ConfineError::Limit {
        what,
        source: error.into(),
    })
}
