//! A door for `fuzz/`: which file a location names.

use std::path::{Path, PathBuf};

use saccade_store_contract::{Handle, Location, Operation};

use crate::layout::Layout;

/// The file in `directory` that a location names; `None` when it is not the store's.
pub fn resolve(directory: &Path, location: &str) -> Option<PathBuf> {
    let layout = Layout::new(directory).ok()?;
    layout.resolve(&Location::new(location), Operation::Read).ok()
}

/// A location in the form of those that the store makes; `None` when it is not the store's.
pub fn canonical(directory: &Path, location: &str) -> Option<String> {
    let layout = Layout::new(directory).ok()?;
    Some(layout.canonical(&Location::new(location))?.as_str().to_owned())
}

/// The handle of the attempt that a handle names, and where it writes; `None` when it is not the store's.
pub fn handle(directory: &Path, handle: &str) -> Option<(String, PathBuf)> {
    let layout = Layout::new(directory).ok()?;
    let names = layout
        .parse_handle(&Handle::new(handle.to_owned()).ok()?, Operation::Read)
        .ok()?;
    let again = names.handle(Operation::Read).ok()?;
    Some((again.as_str().to_owned(), names.temporary))
}
