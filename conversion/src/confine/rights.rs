//! The rights of the super-user, which a worker has none of: without a user namespace it would have what the daemon has.

use std::io;

use rustix::thread::{
    CapabilitiesSecureBits, CapabilitySet, CapabilitySets, capabilities, clear_ambient_capability_set,
    remove_capability_from_bounding_set, set_capabilities, set_capabilities_secure_bits,
};

const NONE: CapabilitySets = CapabilitySets {
    effective: CapabilitySet::empty(),
    permitted: CapabilitySet::empty(),
    inheritable: CapabilitySet::empty(),
};

/// Gives all of them up, for good. With `no_new_privs` no program can bring any back.
///
/// # Errors
/// Some are left.
pub(super) fn give_up() -> io::Result<()> {
    // The super-user becomes a user like others. Only who has rights may say so; whoever has none has nothing to say.
    let _ = set_capabilities_secure_bits(
        CapabilitiesSecureBits::NO_ROOT
            | CapabilitiesSecureBits::NO_ROOT_LOCKED
            | CapabilitiesSecureBits::NO_SETUID_FIXUP
            | CapabilitiesSecureBits::NO_SETUID_FIXUP_LOCKED
            | CapabilitiesSecureBits::NO_CAP_AMBIENT_RAISE
            | CapabilitiesSecureBits::NO_CAP_AMBIENT_RAISE_LOCKED,
    );
    // Also those that this kernel has and nobody here knows. It refuses to talk of those that it does not know.
    for number in 0..u64::BITS {
        let _ = remove_capability_from_bounding_set(CapabilitySet::from_bits_retain(1 << number));
    }
    clear_ambient_capability_set()?;
    set_capabilities(None, NONE)?;
    match capabilities(None)? == NONE {
        true => Ok(()),
        false => Err(io::ErrorKind::PermissionDenied.into()),
    }
}
