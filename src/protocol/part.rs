//! One store's part of an attempt that brings an image's data to several stores. Each store has an entry of its own in the
//! ledger and a [`super::Recovery`] of its own; the record is told of all of them at once.

use super::Outcome;
use crate::image::Rejection;

/// What an attempt brings.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Brings {
    /// The image's data. The record names the attempt when it has it.
    NewData,
    /// One more copy of what the image has. The record names the place, and not the attempt.
    Copy,
}

impl Brings {
    /// Whether a fence that ended so says nothing yet of one store's part: what has committed is in some of its stores, and
    /// a copy that does not hold the image any more may have come to its end. Then the record tells.
    pub const fn needs_look(self, fence: Outcome) -> bool {
        matches!(
            (self, fence),
            (Self::NewData, Outcome::Refused(Rejection::Committed)) | (Self::Copy, Outcome::Refused(_))
        )
    }

    /// How the fence ended for the part, given whether the image has a location in its store.
    pub const fn looked(is_there: bool) -> Outcome {
        match is_there {
            true => Outcome::Refused(Rejection::Committed),
            false => Outcome::Refused(Rejection::NotHeld),
        }
    }
}
