//! Deleting an image, and finishing a deletion that was interrupted.

use super::Outcome;
use crate::image::Rejection;

/// One deletion, of a record at one revision.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Deletion {
    step: DeletionStep,
    bytes: Bytes,
    end: DeletionEnd,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Bytes {
    Some,
    None,
}

/// What a deletion does next.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum DeletionStep {
    /// Ask the stores whether the blobs may be deleted; one that is gone already may.
    Prepare,
    /// Write the deletion to the ledger, durably.
    Begin,
    /// Turn the record into its tombstone.
    Tombstone,
    /// Make the record's revision a new one, so that a tombstone that is still on its way does not apply.
    Touch,
    /// Delete the blobs.
    Bytes,
    /// Remove the deletion from the ledger.
    Forget,
    /// Nothing.
    Finished(DeletionEnd),
}

/// What has become of a deletion.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum DeletionEnd {
    /// The image is deleted; what is left of its bytes is the janitor's to remove.
    Deleted,
    /// It is not deleted: a store or the record refused.
    Refused,
    /// It is not deleted: something failed.
    Failed,
    /// It is not known whether it is deleted; the ledger still has it, and it will be one or the other.
    Unfinished,
}

impl Deletion {
    /// The deletion of an image that has data.
    pub const fn with_bytes() -> Self {
        Self {
            step: DeletionStep::Prepare,
            bytes: Bytes::Some,
            end: DeletionEnd::Deleted,
        }
    }

    /// The deletion of an image that has none, or whose data is kept for a time: only the record is concerned.
    pub const fn without_bytes() -> Self {
        Self {
            step: DeletionStep::Tombstone,
            bytes: Bytes::None,
            end: DeletionEnd::Deleted,
        }
    }

    /// A deletion of which only the ledger knows that it was begun.
    pub const fn recover() -> Self {
        Self {
            step: DeletionStep::Touch,
            bytes: Bytes::Some,
            end: DeletionEnd::Deleted,
        }
    }

    /// What to do next.
    pub const fn step(&self) -> DeletionStep {
        self.step
    }

    /// Goes on from the step that [`Deletion::step`] named. After [`DeletionStep::Finished`] nothing changes any more.
    pub const fn on(&mut self, outcome: Outcome) {
        use DeletionStep::{Begin, Bytes, Finished, Forget, Prepare, Tombstone, Touch};
        self.step = match (self.step, outcome) {
            (Prepare, Outcome::Done) => Begin,
            (Prepare, Outcome::Refused(_)) => Finished(DeletionEnd::Refused),
            (Prepare, _) => Finished(DeletionEnd::Failed),
            (Begin, Outcome::Done) => Tombstone,
            (Tombstone, Outcome::Done) | (Touch, Outcome::Refused(Rejection::Deleted)) => self.tombstoned(),
            (Tombstone, Outcome::Refused(_)) => self.not_deleted(DeletionEnd::Refused),
            (Tombstone, Outcome::Unknown) => Touch,
            // One that waits to be deleted is deleted as far as anybody can tell; but its bytes are kept.
            (Touch, Outcome::Refused(Rejection::Pending)) if !self.has_bytes() => {
                Finished(DeletionEnd::Deleted)
            }
            // Whatever the tombstone was computed from is no more.
            (Begin, _) | (Tombstone, Outcome::Failed) | (Touch, Outcome::Done | Outcome::Refused(_)) => {
                self.not_deleted(DeletionEnd::Failed)
            }
            (Touch, _) => Finished(DeletionEnd::Unfinished),
            (Bytes, Outcome::Done) => Forget,
            (Bytes, _) => Finished(DeletionEnd::Deleted),
            (Forget, _) => Finished(self.end),
            (Finished(end), _) => Finished(end),
        };
    }

    const fn has_bytes(&self) -> bool {
        match self.bytes {
            Bytes::Some => true,
            Bytes::None => false,
        }
    }

    const fn tombstoned(&self) -> DeletionStep {
        match self.bytes {
            Bytes::Some => DeletionStep::Bytes,
            Bytes::None => DeletionStep::Finished(DeletionEnd::Deleted),
        }
    }

    const fn not_deleted(&mut self, end: DeletionEnd) -> DeletionStep {
        self.end = end;
        match self.bytes {
            Bytes::Some => DeletionStep::Forget,
            Bytes::None => DeletionStep::Finished(end),
        }
    }
}
