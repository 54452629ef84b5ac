//! What a worker may use up.

use rustix::process::{Resource, Rlimit, setrlimit};

use super::ConfineError;
use crate::order::Limits;

/// Threads have stacks of this size then, in bytes: `qemu-img` starts up to 64 of them.
const STACK: u64 = 1 << 20;

/// Where it counts: in a user namespace of its own. The super-user is never counted; new processes are refused by the
/// filter of system calls in any case.
const THREADS: u64 = 256;

/// Sets the limits, for good.
pub(super) fn set(limits: &Limits) -> Result<(), ConfineError> {
    let limits = [
        (Resource::Core, "core files", 0),
        (Resource::Cpu, "processor time", limits.cpu_seconds),
        (Resource::As, "address space", limits.memory),
        (Resource::Fsize, "the length of files", limits.file_size),
        (Resource::Stack, "stacks", STACK),
        (Resource::Nproc, "threads", THREADS),
        (Resource::Nofile, "open files", 64),
        (Resource::Memlock, "locked memory", 0),
    ];
    for (resource, what, most) in limits {
        // What the daemon may not have, its worker may not either.
        let most = rustix::process::getrlimit(resource)
            .maximum
            .map_or(most, |maximum| most.min(maximum));
        let limit = Rlimit {
            current: Some(most),
            maximum: Some(most),
        };
        setrlimit(resource, limit).map_err(|error| ConfineError::Limit {
            what,
            source: error.into(),
        })?;
    }
    Ok(())
}
