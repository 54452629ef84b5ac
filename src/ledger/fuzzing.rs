//! Doors to private parsers, for `fuzz/` alone: thin, and with plain or public types.

use std::collections::BTreeMap;

use super::{Entry, OperationId, journal};

/// What a journal holds, and how many of its lines cannot be read.
pub fn parse(text: &[u8]) -> (BTreeMap<OperationId, Entry>, usize) {
    let found = journal::parse(text);
    (found.entries, found.unreadable_lines)
}

/// The line that puts an operation into the ledger.
pub fn line(id: OperationId, entry: Entry) -> String {
    journal::begin_line(id, entry)
}
