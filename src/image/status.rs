//! The status machine: one table.

use std::fmt;

use serde::{Deserialize, Serialize};

/// The status of an image, by the names of the API.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[allow(missing_docs)] // The names are the API's own.
pub enum Status {
    Queued,
    Saving,
    Active,
    Killed,
    Deleted,
    Uploading,
    Importing,
    PendingDelete,
    Deactivated,
}

use Status::{Active, Deactivated, Deleted, Importing, Killed, PendingDelete, Queued, Saving, Uploading};

/// Every legal move (`glance/domain/__init__.py`, `Image.valid_state_targets`), except that `queued` and `saving`
/// may not stay themselves, and that a deactivated image, too, may be kept for a time when it is deleted.
const MOVES: &[(Status, &[Status])] = &[
    (Queued, &[Saving, Uploading, Importing, Active, Deleted]),
    (Saving, &[Active, Killed, Deleted, Queued]),
    (Uploading, &[Importing, Queued, Deleted]),
    (Importing, &[Active, Deleted, Queued]),
    (Active, &[PendingDelete, Deleted, Deactivated]),
    (Killed, &[Deleted]),
    (PendingDelete, &[Deleted, Active, Deactivated]),
    (Deactivated, &[Active, PendingDelete, Deleted]),
    (Deleted, &[]),
];

impl Status {
    /// All statuses, in the order of the API's schema.
    pub const ALL: [Self; 9] = [
        Queued,
        Saving,
        Active,
        Killed,
        Deleted,
        Uploading,
        Importing,
        PendingDelete,
        Deactivated,
    ];

    /// Whether an image may go from this status to `to`.
    pub fn may_become(self, to: Self) -> bool {
        MOVES
            .iter()
            .any(|(from, targets)| *from == self && targets.contains(&to))
    }

    /// Whether the node that put an image into this status is still to bring it out of it.
    pub const fn is_transient(self) -> bool {
        matches!(self, Saving | Uploading | Importing)
    }

    /// Whether an image in this status has its data.
    pub const fn keeps_data(self) -> bool {
        matches!(self, Active | Deactivated)
    }

    /// The name in the API.
    pub const fn as_str(self) -> &'static str {
        match self {
            Queued => "queued",
            Saving => "saving",
            Active => "active",
            Killed => "killed",
            Deleted => "deleted",
            Uploading => "uploading",
            Importing => "importing",
            PendingDelete => "pending_delete",
            Deactivated => "deactivated",
        }
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.as_str().fmt(f)
    }
}
