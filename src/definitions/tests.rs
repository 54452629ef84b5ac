//! The rules, on the memory store.

use std::sync::Arc;

use super::{Definitions, Parts};
use crate::{metadata::memory::MemoryMetadata, policy::Policy};

/// Nothing is defined.
pub(crate) fn definitions() -> Definitions {
    Definitions::new(Parts {
        store: Arc::new(MemoryMetadata::new()),
        policy: Arc::new(Policy::with_defaults()),
        page_default: 25,
        page_max: 1000,
    })
}
