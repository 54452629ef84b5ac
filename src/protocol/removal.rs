//! Removing locations from an image, with the data that is its own, and finishing a removal that was interrupted.

use super::Outcome;
use crate::image::Rejection;

/// One removal, from a record at one revision.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Removal {
    step: RemovalStep,
    end: RemovalEnd,
}

/// What a removal does next.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum RemovalStep {
    /// Ask the stores whether the blobs may be deleted; one that is gone already may.
    Prepare,
    /// Write the removal to the ledger, durably.
    Begin,
    /// Retire the locations in the record, with whatever else the change does.
    Retire,
    /// Make the record's revision a new one, so that a change that is still on its way does not apply.
    Touch,
    /// Read whether the record has retired the locations; `Refused` says that it has not.
    Look,
    /// Delete the blobs.
    Bytes,
    /// Let the record forget the locations: their data is gone.
    Erase,
    /// Remove the removal from the ledger.
    Forget,
    /// Nothing.
    Finished(RemovalEnd),
}

/// What has become of a removal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum RemovalEnd {
    /// The locations are removed; what is left of their data is the janitor's to remove.
    Removed,
    /// They are not: a store or the record refused.
    Refused,
    /// They are not: something failed.
    Failed,
    /// It is not known whether they are; the ledger still has it, and it will be one or the other.
    Unfinished,
}

impl Removal {
    /// A removal that has done nothing yet.
    pub const fn new() -> Self {
        Self {
            step: RemovalStep::Prepare,
            end: RemovalEnd::Removed,
        }
    }

    /// A removal of which only the ledger knows that it was begun.
    pub const fn recover() -> Self {
        Self {
            step: RemovalStep::Touch,
            end: RemovalEnd::Removed,
        }
    }

    /// What to do next.
    pub const fn step(&self) -> RemovalStep {
        self.step
    }

    /// Goes on from the step that [`Removal::step`] named. After [`RemovalStep::Finished`] nothing changes any more.
    pub const fn on(&mut self, outcome: Outcome) {
        use RemovalStep::{Begin, Bytes, Erase, Finished, Forget, Look, Prepare, Retire, Touch};
        self.step = match (self.step, outcome) {
            (Prepare, Outcome::Done) => Begin,
            (Prepare, Outcome::Refused(_)) => Finished(RemovalEnd::Refused),
            (Prepare, _) => Finished(RemovalEnd::Failed),
            (Begin, Outcome::Done) => Retire,
            (Retire, Outcome::Done) | (Look, Outcome::Done) => Bytes,
            (Retire, Outcome::Refused(_)) => self.not_removed(RemovalEnd::Refused),
            (Retire, Outcome::Unknown) => Touch,
            // The change can come no more; whether it had come before, the record tells.
            (Touch, Outcome::Refused(Rejection::Revision | Rejection::Pending)) => Look,
            // The image was deleted: whoever did that removes what was retired, too.
            (Touch | Look, Outcome::Refused(_))
            | (Touch, Outcome::Done)
            | (Begin, _)
            | (Retire, Outcome::Failed) => self.not_removed(RemovalEnd::Failed),
            (Touch | Look, _) => Finished(RemovalEnd::Unfinished),
            (Bytes, Outcome::Done) => Erase,
            // Refused: somebody has erased them, or the image was deleted.
            (Erase, Outcome::Done | Outcome::Refused(_)) => Forget,
            (Bytes | Erase, _) => Finished(RemovalEnd::Removed),
            (Forget, _) => Finished(self.end),
            (Finished(end), _) => Finished(end),
        };
    }

    const fn not_removed(&mut self, end: RemovalEnd) -> RemovalStep {
        self.end = end;
        RemovalStep::Forget
    }
}

impl Default for Removal {
    fn default() -> Self {
        Self::new()
    }
}
